//! One series as it is kept: its labels, its value, and its lines of the page, made once at the push.
//!
//! *Never:* groups, other series.

use std::{cmp::Ordering, sync::Arc};

use protocol::{LabelSet, label_set::is_label_name};

use crate::exposition::{
    Escaping, Extra, Metric, MetricRef, Value,
    family::{compare_labels, is_metric_name},
    text,
};

/// A metric with all its labels. The lines make the page cheap, the value is for whoever asks in another form.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: LabelSet,
    pub(super) value: Value,
    /// Milliseconds since 1970, where timestamps are honored and the sender gave one.
    pub(super) timestamp: Option<i64>,
    /// Absent where a name has to be escaped: then they differ from scheme to scheme.
    pub(super) lines: Option<Box<str>>,
    pub(super) extra: Option<Box<Extra>>,
}

/// A series in the order of the page: by labels alone, so that an equal one can be found.
#[derive(Clone, Debug)]
pub(super) struct ByLabels(pub(super) Arc<Series>);

// === impl Series ===

impl Series {
    /// Takes a metric with all its labels.
    pub(super) fn new(name: &str, metric: Metric) -> Self {
        let is_classic = is_metric_name(name) && metric.labels.iter().all(|(name, _)| is_label_name(name));
        let lines = is_classic.then(|| {
            let mut lines = String::new();
            text::write_series(&mut lines, name, (&metric).into(), Escaping::default());
            lines.into()
        });
        let Metric { labels, value, timestamp, extra } = metric;
        Self { labels, value, timestamp, lines, extra }
    }

    /// A gauge with nothing but its value.
    pub(super) fn gauge(name: &str, labels: LabelSet, value: f64) -> Self {
        Self::new(name, Metric { labels, value: Value::Number(value), timestamp: None, extra: None })
    }

    /// As whoever writes it down takes it.
    pub(super) fn metric(&self) -> MetricRef<'_> {
        MetricRef { labels: &self.labels, value: &self.value, timestamp: self.timestamp, extra: self.extra.as_deref() }
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
