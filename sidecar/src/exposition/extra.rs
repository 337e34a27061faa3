//! What a metric can carry beside its value, and the text format 0.0.4 has no place for.
//!
//! It is kept as it came: nothing here is checked, summed or shown in text. Nearly all metrics have none of it.
//!
//! *Never:* bytes, what a native histogram means.

use std::collections::BTreeMap;

use protocol::{LabelSet, label_set::is_label_name};

use super::family::Count;

/// All of it; of one that has nothing, there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra {
    /// When the counting began: of counters, summaries and histograms.
    pub created: Option<Created>,
    /// Of a counter at most one; of a histogram those that belong to no classic bucket.
    pub exemplars: Vec<Exemplar>,
    /// Of a classic histogram, by the place of the bucket.
    pub bucket_exemplars: BTreeMap<usize, Exemplar>,
    /// The part of a histogram whose buckets follow from a schema.
    pub native: Option<NativeHistogram>,
}

/// When the counting of a metric began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// The moment.
    pub at: Timestamp,
    /// Whether the sender wrote it as a `_created` line. Only then is it shown as one: other senders' metrics would
    /// else get a series more each, which a Pushgateway does not have.
    pub is_line: bool,
}

/// One observation that stands for others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar {
    /// Where it leads to, such as the id of a trace.
    pub labels: LabelSet,
    /// What was observed.
    pub value: f64,
    /// When it was observed, where the sender gave it.
    pub timestamp: Option<Timestamp>,
}

/// A moment after 1970, or before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// What comes on top.
    pub nanos: i32,
}

/// The native part of a histogram; sum and count are those of the classic part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// How wide the buckets are.
    pub schema: i32,
    /// How far from zero the bucket of zero reaches.
    pub zero_threshold: f64,
    /// How many observations are in it.
    pub zero_count: Count,
    /// The buckets below zero.
    pub negative: NativeBuckets,
    /// The buckets above zero.
    pub positive: NativeBuckets,
}

/// The buckets on one side of zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeBuckets {
    /// Offset and length of each run of buckets.
    pub spans: Vec<(i32, u32)>,
    /// The count of each bucket, as difference from the one before it.
    pub deltas: Vec<i64>,
    /// The count of each bucket, where counts are floats.
    pub counts: Vec<f64>,
}

// === impl Extra ===

impl Extra {
    /// As a metric keeps it: `None` if there is nothing in it.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        if self == Self::default() { None } else { Some(Box::new(self)) }
    }

    /// Whether no label of an exemplar has to be escaped.
    #[must_use]
    pub fn is_classic(&self) -> bool {
        let mut exemplars = self.exemplars.iter().chain(self.bucket_exemplars.values());
        exemplars.all(|exemplar| exemplar.labels.iter().all(|(name, _)| is_label_name(name)))
    }
}

// === impl NativeHistogram ===

impl NativeHistogram {
    /// Whether the buckets, or that of zero, count in floats.
    #[must_use]
    pub fn has_float_counts(&self) -> bool {
        matches!(self.zero_count, Count::Float(_))
            || !self.negative.counts.is_empty()
            || !self.positive.counts.is_empty()
    }
}
