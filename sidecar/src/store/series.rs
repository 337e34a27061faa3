//! One series as it is kept: its labels, its value, and its lines of the page, made once at the push.
//!
//! *Never:* groups, other series.

use std::{cmp::Ordering, sync::Arc};

use protocol::LabelSet;

use crate::exposition::{Extra, Value, family::compare_labels, text};

/// A metric with all its labels. The lines make the page cheap, the value is for whoever asks in another form.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: LabelSet,
    pub(super) value: Value,
    pub(super) lines: Box<str>,
    pub(super) extra: Option<Box<Extra>>,
}

/// A series in the order of the page: by labels alone, so that an equal one can be found.
#[derive(Clone, Debug)]
pub(super) struct ByLabels(pub(super) Arc<Series>);

// === impl Series ===

impl Series {
    pub(super) fn new(name: &str, labels: LabelSet, value: Value, extra: Option<Box<Extra>>) -> Self {
        let mut lines = String::new();
        text::write_series(&mut lines, name, &labels, &value);
        Self { labels, value, lines: lines.into(), extra }
    }
}

// === impl ByLabels ===

impl Ord for ByLabels {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_labels(&self.0.labels, &other.0.labels)
    }
}

impl PartialOrd for ByLabels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByLabels {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByLabels {}
