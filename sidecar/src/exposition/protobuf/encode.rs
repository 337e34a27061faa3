//! Families → bytes, with their metrics in the canonical order.
//!
//! *Never:* who asked, what else is on the page.

use prost::{Message, bytes::Bytes};
use protocol::LabelSet;

use super::{
    decode::KINDS,
    message,
    text_form::{self, Layout},
};
use crate::exposition::{
    escaping::Escaping,
    extra::{Exemplar, Extra, NativeHistogram, Timestamp},
    family::{Count, FamilyHead, Histogram, Kind, MetricFamily, MetricRef, Summary, Value, compare_labels},
};

/// How messages are put down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtobufForm {
    /// In binary, each with its length before it.
    Delimited,
    /// As text for people, a field a line, with an empty line after each.
    Text,
    /// As text for people, each on one line.
    CompactText,
}

/// Writes whole families, delimited: sorted by name, their metrics in canonical order, empty ones left out. Names are
/// as they are, so that they read back; the buckets of a histogram come in the order of their bounds.
#[must_use]
pub fn encode(families: &[MetricFamily]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sorted: Vec<_> = families.iter().filter(|family| !family.metrics.is_empty()).collect();
    sorted.sort_by(|left, right| left.name.cmp(&right.name));
    for family in sorted {
        let mut metrics: Vec<_> = family.metrics.iter().map(MetricRef::from).collect();
        metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
        write_family(&mut out, family.head(), metrics, Escaping::AllowUtf8, ProtobufForm::Delimited);
    }
    out
}

/// Writes one family, its metrics in the order given.
pub fn write_family<'a>(
    out: &mut Vec<u8>,
    head: FamilyHead<'_>,
    metrics: impl IntoIterator<Item = MetricRef<'a>>,
    escaping: Escaping,
    form: ProtobufForm,
) {
    let FamilyHead { name, help, .. } = head;
    let kind = head.kind.shown();
    let name = escaping.metric_name(name);
    let unit = FamilyHead { name: &name, ..head }.shown_unit();
    let metrics = metrics.into_iter().map(|metric| self::metric(kind, &metric, escaping));
    let layout = match form {
        ProtobufForm::Delimited => {
            let number = KINDS.iter().position(|known| *known == kind).and_then(|number| i32::try_from(number).ok());
            let family = message::MetricFamily {
                unit: unit.map(str::to_owned),
                name: Some(name.into_owned()),
                help: Some(help.to_owned()).filter(|help| !help.is_empty()),
                kind: number,
                metrics: metrics.map(|metric| Bytes::from(metric.encode_to_vec())).collect(),
            };
            let written = family.encode_length_delimited(out);
            debug_assert!(written.is_ok(), "a vector grows as it needs to");
            return;
        }
        ProtobufForm::Text => Layout::Lines,
        ProtobufForm::CompactText => Layout::OneLine,
    };
    let head = FamilyHead { name: &name, help, unit: unit.unwrap_or_default(), kind };
    out.extend(text_form::printed(head, metrics, layout).into_bytes());
}

fn metric(kind: Kind, metric: &MetricRef<'_>, escaping: Escaping) -> message::Metric {
    let created = metric.extra.and_then(|extra| extra.created).map(|created| timestamp(created.at));
    let labels = labels(&metric.labels, escaping);
    let mut made = message::Metric { labels, timestamp_ms: metric.timestamp, ..message::Metric::default() };
    match &*metric.value {
        Value::Number(number) if kind == Kind::Counter => {
            let exemplar = metric.extra.and_then(|extra| extra.exemplars.first()).map(exemplar);
            made.counter = Some(message::Counter { value: Some(*number), exemplar, created });
        }
        Value::Number(number) if kind == Kind::Gauge => made.gauge = Some(message::Number { value: Some(*number) }),
        Value::Number(number) => made.untyped = Some(message::Number { value: Some(*number) }),
        Value::Summary(value) => made.summary = Some(message::Summary { created, ..summary(value) }),
        Value::Histogram(value) => {
            made.histogram = Some(message::Histogram { created, ..histogram(value, metric.extra) });
        }
    }
    made
}

fn labels(labels: &LabelSet, escaping: Escaping) -> Vec<message::LabelPair> {
    let pair = |(name, value): (&str, &str)| message::LabelPair {
        name: Some(escaping.label_name(name).into_owned()),
        value: Some(value.to_owned()),
    };
    labels.iter().map(pair).collect()
}

fn summary(value: &Summary) -> message::Summary {
    let quantile =
        |(quantile, value): &(f64, f64)| message::Quantile { quantile: Some(*quantile), value: Some(*value) };
    message::Summary {
        count: Some(value.count),
        sum: Some(value.sum),
        quantiles: value.quantiles.iter().map(quantile).collect(),
        created: None,
    }
}

fn histogram(value: &Histogram, extra: Option<&Extra>) -> message::Histogram {
    let buckets = value.by_bound().into_iter().map(|(place, bound, bucket)| {
        let (count, count_float) = count(bucket);
        let exemplar = extra.and_then(|extra| extra.bucket_exemplars.get(&place)).map(exemplar);
        message::Bucket { count, upper_bound: Some(bound), exemplar, count_float }
    });
    let (count, count_float) = count(value.count);
    message::Histogram {
        count,
        count_float,
        sum: Some(value.sum),
        buckets: buckets.collect(),
        exemplars: extra.map(|extra| extra.exemplars.iter().map(exemplar).collect()).unwrap_or_default(),
        ..extra.and_then(|extra| extra.native.as_ref()).map(native).unwrap_or_default()
    }
}

fn native(native: &NativeHistogram) -> message::Histogram {
    let span = |(offset, length): &(i32, u32)| message::Span { offset: Some(*offset), length: Some(*length) };
    let (zero_count, zero_count_float) = count(native.zero_count);
    message::Histogram {
        schema: Some(native.schema),
        zero_threshold: Some(native.zero_threshold),
        zero_count,
        zero_count_float,
        negative_spans: native.negative.spans.iter().map(span).collect(),
        negative_deltas: native.negative.deltas.clone(),
        negative_counts: native.negative.counts.clone(),
        positive_spans: native.positive.spans.iter().map(span).collect(),
        positive_deltas: native.positive.deltas.clone(),
        positive_counts: native.positive.counts.clone(),
        ..message::Histogram::default()
    }
}

/// The integer field and the float field.
fn count(count: Count) -> (Option<u64>, Option<f64>) {
    match count {
        Count::Integer(count) => (Some(count), None),
        Count::Float(count) => (None, Some(count)),
    }
}

fn exemplar(exemplar: &Exemplar) -> message::Exemplar {
    message::Exemplar {
        // As upstream: it is no part of the series.
        labels: labels(&exemplar.labels, Escaping::AllowUtf8),
        value: Some(exemplar.value),
        timestamp: exemplar.timestamp.map(timestamp),
    }
}

fn timestamp(timestamp: Timestamp) -> message::Timestamp {
    message::Timestamp { seconds: Some(timestamp.seconds), nanos: Some(timestamp.nanos) }
}
