//! One page from two sources: what is stored, and what the process counts about itself.
//!
//! The stored text is not copied: the answer is made of slices of it, with the few lines of our own between them, so
//! that families stay sorted by name. Where a client has pushed to a family of ours, the header is ours and the
//! samples are both's. The page of messages is made anew each time: it is not kept as the text is.
//!
//! *Never:* headers, compression, which families are wanted: both sources hold those alone.

use bytes::Bytes;

use crate::{
    exposition::{Escaping, FamilyHead, MetricFamily, MetricRef, family::compare_labels, openmetrics, text},
    metrics::OWN_FAMILIES,
    store::{Page, Snapshot},
};

/// The lines of one of our own families.
struct Own {
    name: String,
    text: String,
}

/// The pieces of the page in the text format, in order.
pub(super) fn pieces(page: &Page, own: Vec<MetricFamily>) -> Vec<Bytes> {
    let written = |family: &MetricFamily| text::encode(std::slice::from_ref(family));
    merged(page, own, written)
}

/// The pieces of the page in OpenMetrics, in order.
pub(super) fn openmetrics_pieces(page: &Page, own: Vec<MetricFamily>) -> Vec<Bytes> {
    let has_family = |name: &str| {
        let is_stored = page.sections.binary_search_by(|section| (*section.name).cmp(name)).is_ok();
        is_stored || OWN_FAMILIES.iter().any(|(own, _)| *own == name)
    };
    let written = |family: &MetricFamily| {
        let mut text = String::new();
        let metrics = family.metrics.iter().map(MetricRef::from);
        openmetrics::write_family(&mut text, family.head(), metrics, Escaping::AllowUtf8, has_family);
        text
    };
    let mut pieces = merged(page, own, written);
    pieces.push(Bytes::from_static(openmetrics::END.as_bytes()));
    pieces
}

fn merged(page: &Page, own: Vec<MetricFamily>, written: impl Fn(&MetricFamily) -> String) -> Vec<Bytes> {
    let own = filled(own).map(sorted);
    let mut own = own.map(|family| Own { text: written(&family), name: family.name }).peekable();
    let mut pieces = Pieces { page, done: Vec::new(), run: 0..0 };
    for section in &page.sections {
        while let Some(before) = own.next_if(|own| *own.name < *section.name) {
            pieces.push(before.text.into());
        }
        if let Some(same) = own.next_if(|own| *own.name == *section.name) {
            pieces.push(same.text.into());
            pieces.extend(section.samples, section.end);
        } else {
            pieces.extend(section.start, section.end);
        }
    }
    own.for_each(|own| pieces.push(own.text.into()));
    pieces.flush();
    pieces.done
}

/// Hands each family of the page to `write`, in order.
pub(super) fn for_each_family(
    stored: &Snapshot,
    own: Vec<MetricFamily>,
    mut write: impl FnMut(FamilyHead<'_>, &mut dyn Iterator<Item = MetricRef<'_>>),
) {
    let mut own = filled(own).map(sorted).peekable();
    for family in &stored.families {
        while let Some(before) = own.next_if(|own| *own.name < *family.name) {
            write(before.head(), &mut before.metrics.iter().map(MetricRef::from));
        }
        match own.next_if(|own| *own.name == *family.name) {
            Some(same) => {
                write(same.head(), &mut same.metrics.iter().map(MetricRef::from).chain(family.metrics()));
            }
            None => write(family.head(), &mut family.metrics()),
        }
    }
    own.for_each(|own| write(own.head(), &mut own.metrics.iter().map(MetricRef::from)));
}

fn filled(families: Vec<MetricFamily>) -> impl Iterator<Item = MetricFamily> {
    families.into_iter().filter(|family| !family.metrics.is_empty())
}

fn sorted(mut family: MetricFamily) -> MetricFamily {
    family.metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
    family
}

struct Pieces<'a> {
    page: &'a Page,
    done: Vec<Bytes>,
    /// What of the page's text comes next, not yet among the pieces.
    run: std::ops::Range<usize>,
}

// === impl Pieces ===

impl Pieces<'_> {
    fn extend(&mut self, start: usize, end: usize) {
        if self.run.end != start {
            self.flush();
            self.run = start..start;
        }
        self.run.end = end;
    }

    fn push(&mut self, piece: Bytes) {
        self.flush();
        self.done.push(piece);
    }

    fn flush(&mut self) {
        let run = std::mem::replace(&mut self.run, 0..0);
        if !run.is_empty() {
            self.done.push(self.page.text.slice(run));
        }
    }
}
