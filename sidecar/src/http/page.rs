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
    store::{Page, Snapshot},
};

/// The pieces of the page in the text format, in order.
pub(super) fn pieces(page: &Page, own: Vec<MetricFamily>) -> Vec<Bytes> {
    let written = |family: MetricFamily| {
        let text = text::encode(std::slice::from_ref(&family));
        (family.name, text)
    };
    page.pieces(filled(own).map(written).collect(), "")
}

/// The pieces of the page in OpenMetrics, in order.
pub(super) fn openmetrics_pieces(page: &Page, own: Vec<MetricFamily>) -> Vec<Bytes> {
    let written = |family: MetricFamily| {
        let mut text = String::new();
        let metrics = family.metrics.iter().map(MetricRef::from);
        let has_family = |name: &str| page.has_family(name);
        openmetrics::write_family(&mut text, family.head(), metrics, Escaping::AllowUtf8, has_family);
        (family.name, text)
    };
    page.pieces(filled(own).map(sorted).map(written).collect(), openmetrics::END)
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
