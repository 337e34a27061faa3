//! The page of a revision: the lines of all families, put together when asked for and kept until the revision changes.
//!
//! *Never:* the process's own families, compression, who reads.

use std::sync::Arc;

use bytes::Bytes;
use protocol::series::{PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_SECONDS};

use super::{family::Family, index::Index};
use crate::exposition::{
    Escaping, FamilyHead, MetricRef,
    text::{write_header, write_series},
};

/// Everything that is stored, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The state it shows.
    pub revision: u64,
    /// All families, sorted by name.
    pub text: Bytes,
    /// Where each family stands in the text, without gaps.
    pub sections: Vec<Section>,
}

/// Where a family stands in the text of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: Arc<str>,
    /// Where its header starts.
    pub start: usize,
    /// Where its samples start.
    pub samples: usize,
    /// Where it ends.
    pub end: usize,
}

/// How push times are labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLabels {
    /// As every series is: with an empty `instance` where the key has none.
    Shown,
    /// As the key was pushed, so that a reader can name the group.
    AsPushed,
}

// === impl Page ===

impl Page {
    /// Puts the page together from the families that are wanted.
    pub(super) fn of(index: &Index, labels: KeyLabels, wanted: impl Fn(&str) -> bool) -> Self {
        let mut text = String::new();
        let mut sections = Vec::new();
        for (name, family) in index.families.iter().filter(|(name, _)| wanted(name)) {
            let start = text.len();
            let (help, unit, kind) = (&*family.help, &*family.unit, family.kind);
            write_header(&mut text, FamilyHead { name, help, unit, kind }, Escaping::default());
            let samples = text.len();
            let is_time = **name == *PUSH_TIME_SECONDS || **name == *PUSH_FAILURE_TIME_SECONDS;
            if is_time && labels == KeyLabels::AsPushed {
                write_keys(&mut text, name, family);
            } else {
                family.series.keys().for_each(|series| text.push_str(&series.0.lines));
            }
            sections.push(Section { name: Arc::clone(name), start, samples, end: text.len() });
        }
        Self { revision: index.revision, text: text.into(), sections }
    }
}

fn write_keys(text: &mut String, name: &str, family: &Family) {
    for (series, key) in &family.series {
        let metric = MetricRef { labels: key.labels(), ..series.0.metric() };
        write_series(text, name, metric, Escaping::default());
    }
}
