//! Values → bytes.
//!
//! *Never:* reading.

use std::time::Duration;

use protocol::{GroupingKey, LabelSet};

use super::{
    FAMILY, Tail, Type,
    bytes::{put_float, put_labels, put_length, put_number, put_signed, put_text},
    extra, metric,
};
use crate::{
    clock::UnixSeconds,
    exposition::{
        Count, Extra, FamilyHead, Histogram, Kind, MetricRef, Summary, Value,
        extra::{Exemplar, NativeBuckets, NativeHistogram, Timestamp},
    },
    persist::frame::HEAD_LENGTH,
};

/// A record that lacks what is decided. In front of it is room for the head of its frame.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
}

// === impl Draft ===

impl Draft {
    /// A push without families.
    pub(crate) fn push(key: &GroupingKey, is_whole: bool, stale_after: Option<Duration>) -> Self {
        let mut draft = Self::of(Type::Push);
        draft.put_key(key);
        draft.bytes.push(u8::from(is_whole));
        draft.put_limit(stale_after);
        draft
    }

    /// A push that brings numbers alone.
    pub(crate) fn repeat(key: &GroupingKey, stale_after: Option<Duration>, places: &[u32], numbers: &[f64]) -> Self {
        let mut draft = Self::of(Type::Repeat);
        draft.put_key(key);
        draft.put_limit(stale_after);
        put_length(&mut draft.bytes, places.len());
        places.iter().for_each(|place| put_number(&mut draft.bytes, (*place).into()));
        put_length(&mut draft.bytes, numbers.len());
        numbers.iter().for_each(|number| put_float(&mut draft.bytes, *number));
        draft
    }

    pub(crate) fn fail(key: &GroupingKey) -> Self {
        let mut draft = Self::of(Type::Fail);
        draft.put_key(key);
        draft
    }

    pub(crate) fn remove<'a>(keys: impl ExactSizeIterator<Item = &'a GroupingKey>) -> Self {
        let mut draft = Self::of(Type::Remove);
        put_length(&mut draft.bytes, keys.len());
        keys.for_each(|key| draft.put_key(key));
        draft
    }

    /// A group without families.
    pub(crate) fn group(key: &GroupingKey, stale_after: Option<Duration>) -> Self {
        let mut draft = Self::of(Type::Group);
        draft.put_key(key);
        draft.put_limit(stale_after);
        draft
    }

    pub(in crate::persist) fn end(groups: u64) -> Self {
        let mut draft = Self::of(Type::End);
        put_number(&mut draft.bytes, groups);
        draft
    }

    /// Adds a family of a push, with its timestamps or without.
    pub(crate) fn add_pushed<'a>(
        &mut self,
        head: FamilyHead<'_>,
        metrics: impl Iterator<Item = MetricRef<'a>>,
        has_timestamps: bool,
    ) {
        self.put_head(head);
        for metric in metrics {
            let timestamp = metric.timestamp.filter(|_| has_timestamps);
            self.put_metric(&MetricRef { timestamp, ..metric }, |_| true);
        }
        self.bytes.push(0);
    }

    /// Adds a family of a group. Labels that every series of its key has are left out, as `given` has them.
    pub(crate) fn add_stored<'a>(
        &mut self,
        given: &LabelSet,
        time: UnixSeconds,
        head: FamilyHead<'_>,
        metrics: impl Iterator<Item = MetricRef<'a>>,
    ) {
        self.put_head(head);
        put_float(&mut self.bytes, time.0);
        for metric in metrics {
            self.put_metric(&metric, |(name, value)| given.get(name) != Some(value));
        }
        self.bytes.push(0);
    }

    /// Adds what was decided. Behind the room for the head of the frame is all of the record then.
    pub(in crate::persist) fn finish(mut self, sequence: u64, tail: &Tail) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes.extend_from_slice(&sequence.to_le_bytes());
        for time in [tail.push_time, tail.failure_time, tail.before] {
            put_float(&mut self.bytes, time.0);
        }
        self.bytes
    }

    fn of(kind: Type) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.resize(HEAD_LENGTH, 0);
        bytes.push(kind as u8);
        Self { bytes }
    }

    fn put_key(&mut self, key: &GroupingKey) {
        put_labels(&mut self.bytes, key.labels(), |_| true);
    }

    fn put_limit(&mut self, stale_after: Option<Duration>) {
        self.bytes.push(u8::from(stale_after.is_some()));
        if let Some(limit) = stale_after {
            put_number(&mut self.bytes, limit.as_secs());
            put_number(&mut self.bytes, limit.subsec_nanos().into());
        }
    }

    fn put_head(&mut self, head: FamilyHead<'_>) {
        let FamilyHead { name, help, unit, kind } = head;
        self.bytes.extend([FAMILY, number_of(kind)]);
        for text in [name, help, unit] {
            put_text(&mut self.bytes, text);
        }
    }

    fn put_metric(&mut self, metric: &MetricRef<'_>, is_wanted: impl Fn((&str, &str)) -> bool) {
        let out = &mut self.bytes;
        let value = match &*metric.value {
            Value::Number(_) => 0,
            Value::Summary(_) => metric::SUMMARY,
            Value::Histogram(_) => metric::HISTOGRAM,
        };
        let timestamp = if metric.timestamp.is_some() { metric::HAS_TIMESTAMP } else { 0 };
        let extra = if metric.extra.is_some() { metric::HAS_EXTRA } else { 0 };
        out.push(metric::PRESENT | value | timestamp | extra);
        put_labels(out, &metric.labels, is_wanted);
        match &*metric.value {
            Value::Number(number) => put_float(out, *number),
            Value::Summary(summary) => put_summary(out, summary),
            Value::Histogram(histogram) => put_histogram(out, histogram),
        }
        if let Some(timestamp) = metric.timestamp {
            put_signed(out, timestamp);
        }
        if let Some(extra) = metric.extra {
            put_extra(out, extra);
        }
    }
}

/// Whether the key gives that label to every series of its group.
pub(super) fn number_of(kind: Kind) -> u8 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Summary => 2,
        Kind::Untyped => 3,
        Kind::Histogram => 4,
        Kind::GaugeHistogram => 5,
        Kind::Info => 6,
        Kind::StateSet => 7,
    }
}

fn put_summary(out: &mut Vec<u8>, summary: &Summary) {
    put_length(out, summary.quantiles.len());
    for (quantile, value) in &summary.quantiles {
        put_float(out, *quantile);
        put_float(out, *value);
    }
    put_float(out, summary.sum);
    put_number(out, summary.count);
}

fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    put_length(out, histogram.buckets.len());
    for (bound, count) in &histogram.buckets {
        put_float(out, *bound);
        put_count(out, *count);
    }
    put_float(out, histogram.sum);
    put_count(out, histogram.count);
}

fn put_count(out: &mut Vec<u8>, count: Count) {
    match count {
        Count::Integer(count) => {
            out.push(0);
            put_number(out, count);
        }
        Count::Float(count) => {
            out.push(1);
            put_float(out, count);
        }
    }
}

fn put_extra(out: &mut Vec<u8>, from: &Extra) {
    let Extra { created, exemplars, bucket_exemplars, native } = from;
    let mut flags = 0;
    if let Some(created) = created {
        flags |= extra::HAS_CREATED | if created.is_line { extra::IS_LINE } else { 0 };
    }
    if native.is_some() {
        flags |= extra::HAS_NATIVE;
    }
    out.push(flags);
    if let Some(created) = created {
        put_timestamp(out, created.at);
    }
    put_length(out, exemplars.len());
    exemplars.iter().for_each(|exemplar| put_exemplar(out, exemplar));
    put_length(out, bucket_exemplars.len());
    for (place, exemplar) in bucket_exemplars {
        put_length(out, *place);
        put_exemplar(out, exemplar);
    }
    if let Some(native) = native {
        put_native(out, native);
    }
}

fn put_timestamp(out: &mut Vec<u8>, timestamp: Timestamp) {
    put_signed(out, timestamp.seconds);
    put_signed(out, timestamp.nanos.into());
}

fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    put_labels(out, &exemplar.labels, |_| true);
    put_float(out, exemplar.value);
    out.push(u8::from(exemplar.timestamp.is_some()));
    if let Some(timestamp) = exemplar.timestamp {
        put_timestamp(out, timestamp);
    }
}

fn put_native(out: &mut Vec<u8>, native: &NativeHistogram) {
    put_signed(out, native.schema.into());
    put_float(out, native.zero_threshold);
    put_count(out, native.zero_count);
    for NativeBuckets { spans, deltas, counts } in [&native.negative, &native.positive] {
        put_length(out, spans.len());
        for (offset, length) in spans {
            put_signed(out, (*offset).into());
            put_number(out, (*length).into());
        }
        put_length(out, deltas.len());
        deltas.iter().for_each(|delta| put_signed(out, *delta));
        put_length(out, counts.len());
        counts.iter().for_each(|count| put_float(out, *count));
    }
}
