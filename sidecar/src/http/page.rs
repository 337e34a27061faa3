//! One page from two sources: what is stored, and what the process counts about itself.
//!
//! The stored text is not copied: the answer is made of slices of it, with the few lines of our own between them, so
//! that families stay sorted by name. Where a client has pushed to a family of ours, the header is ours and the
//! samples are both's. The page of messages is made anew each time: it is not kept as the text is.
//!
//! *Never:* headers, compression.

use bytes::Bytes;

use crate::{
    exposition::{MetricFamily, MetricRef, family::compare_labels, protobuf, text},
    store::{Page, Snapshot},
};

/// The lines of one of our own families.
struct Own {
    name: String,
    text: String,
}

/// The pieces of the page, in order. Families are taken where `wanted` says so.
pub(super) fn pieces(page: &Page, own: Vec<MetricFamily>, wanted: impl Fn(&str) -> bool) -> Vec<Bytes> {
    let own = own.into_iter().filter(|family| wanted(&family.name) && !family.metrics.is_empty());
    let mut own = own.map(Own::of).peekable();
    let mut pieces = Pieces { page, done: Vec::new(), run: 0..0 };
    for section in page.sections.iter().filter(|section| wanted(&section.name)) {
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

/// The page in protobuf. What is stored holds the wanted families already.
pub(super) fn messages(stored: &Snapshot, own: Vec<MetricFamily>, wanted: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let own = own.into_iter().filter(|family| wanted(&family.name) && !family.metrics.is_empty());
    let mut own = own.map(sorted).peekable();
    for family in &stored.families {
        while let Some(before) = own.next_if(|own| *own.name < *family.name) {
            write_own(&mut out, &before, []);
        }
        match own.next_if(|own| *own.name == *family.name) {
            Some(same) => write_own(&mut out, &same, family.metrics()),
            None => protobuf::write_family(&mut out, family.head(), family.metrics()),
        }
    }
    own.for_each(|own| write_own(&mut out, &own, []));
    out
}

fn sorted(mut family: MetricFamily) -> MetricFamily {
    family.metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
    family
}

fn write_own<'a>(out: &mut Vec<u8>, own: &'a MetricFamily, pushed: impl IntoIterator<Item = MetricRef<'a>>) {
    let metrics = own.metrics.iter().map(MetricRef::from).chain(pushed);
    protobuf::write_family(out, own.head(), metrics);
}

struct Pieces<'a> {
    page: &'a Page,
    done: Vec<Bytes>,
    /// What of the page's text comes next, not yet among the pieces.
    run: std::ops::Range<usize>,
}

// === impl Own ===

impl Own {
    fn of(family: MetricFamily) -> Self {
        let text = text::encode(std::slice::from_ref(&family));
        Self { name: family.name, text }
    }
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
