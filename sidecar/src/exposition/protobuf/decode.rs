//! Bytes → families.
//!
//! *Never:* what is done with the families.

use std::collections::{BTreeMap, HashMap};

use prost::{
    Message,
    bytes::{Buf, Bytes},
};
use protocol::LabelSet;

use super::{
    error::{Malformed, ProtobufError},
    message, native, parts,
};
use crate::exposition::{
    extra::{Created, Exemplar, Extra, NativeBuckets, NativeHistogram, Timestamp},
    family::{Count, Histogram, Kind, Metric, MetricFamily, Summary, Value},
    limits::{Limit, Limits},
};

/// The types by their numbers.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Counter, Kind::Gauge, Kind::Summary, Kind::Untyped, Kind::Histogram, Kind::GaugeHistogram];

/// Reads families up to the limits.
struct Reader<'a> {
    limits: &'a Limits,
    /// So far, in all families.
    series: usize,
}

/// Reads a body. Families come in the order of their first message, empty ones too.
///
/// # Errors
/// The first fault.
pub fn decode(body: &Bytes) -> Result<Vec<MetricFamily>, ProtobufError> {
    decode_within(body, &Limits::NONE)
}

/// The same, up to the limits.
///
/// # Errors
/// The first fault or excess.
pub fn decode_within(body: &Bytes, limits: &Limits) -> Result<Vec<MetricFamily>, ProtobufError> {
    let mut reader = Reader { limits, series: 0 };
    let mut families: Vec<MetricFamily> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let (mut rest, mut message) = (body.clone(), 0);
    while rest.has_remaining() {
        message += 1;
        let family = frame(&mut rest).and_then(|frame| reader.family(&frame));
        let family = family.map_err(|fault| ProtobufError { message, fault })?;
        let index = *by_name.entry(family.name.clone()).or_insert(families.len());
        match families.get_mut(index) {
            Some(earlier) => *earlier = family,
            None => families.push(family),
        }
    }
    Ok(families)
}

/// Takes the next message off, without its length.
fn frame(rest: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = length(rest)?;
    let left = rest.remaining();
    match usize::try_from(length) {
        Ok(length) if length <= left => Ok(rest.split_to(length)),
        Ok(_) | Err(_) => Err(Malformed::Cut { length, left }),
    }
}

fn length(rest: &mut Bytes) -> Result<u64, Malformed> {
    let mut length = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = rest.try_get_u8().map_err(|_| Malformed::LengthCut)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(Malformed::LengthTooLong);
        }
        length |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Malformed::LengthTooLong)
}

// === impl Reader ===

impl Reader<'_> {
    fn family(&mut self, frame: &Bytes) -> Result<MetricFamily, Malformed> {
        // A family without metrics takes its room too.
        self.series += parts::count(frame, parts::METRICS).max(1);
        self.limits.check(Limit::Series, self.series)?;
        let found = message::MetricFamily::decode(frame.clone()).map_err(Malformed::Family)?;
        let name = found.name.filter(|name| !name.is_empty()).ok_or(Malformed::NoName)?;
        self.limits.check(Limit::MetricName, name.len())?;
        if name.contains('\0') {
            return Err(Malformed::NulInName(name));
        }
        let number = found.kind.unwrap_or_default();
        let kind = usize::try_from(number).ok().and_then(|number| KINDS.get(number));
        let Some(kind) = kind.copied() else {
            return Err(Malformed::Type { name, found: number });
        };
        let metrics = found.metrics.into_iter().map(|metric| self.metric(&name, kind, metric));
        let metrics = metrics.collect::<Result<_, _>>()?;
        let (help, unit) = (found.help.unwrap_or_default(), found.unit.unwrap_or_default());
        self.limits.check(Limit::Help, help.len().max(unit.len()))?;
        Ok(MetricFamily { name, help, unit, kind, metrics })
    }

    fn metric(&self, name: &str, kind: Kind, bytes: Bytes) -> Result<Metric, Malformed> {
        self.limits.check(Limit::Labels, parts::count(&bytes, parts::LABELS))?;
        self.limits.check(Limit::Buckets, parts::inside_value(&bytes))?;
        let message = message::Metric::decode(bytes);
        let message = message.map_err(|fault| Malformed::Metric { name: name.to_owned(), fault })?;
        let metric = metric(name, kind, message)?;
        self.limits.check_labels(&metric.labels)?;
        Ok(metric)
    }
}

fn metric(name: &str, kind: Kind, found: message::Metric) -> Result<Metric, Malformed> {
    let labels = labels(name, found.labels)?;
    let plain = |number: message::Number| (Value::Number(number.value.unwrap_or_default()), Extra::default());
    let value = match kind {
        Kind::Counter => found.counter.map(counter),
        Kind::Gauge | Kind::Info | Kind::StateSet => found.gauge.map(plain),
        Kind::Summary => found.summary.map(summary),
        Kind::Untyped => found.untyped.map(plain),
        Kind::Histogram | Kind::GaugeHistogram => found.histogram.map(histogram),
    };
    let (value, extra) = value.ok_or_else(|| Malformed::NoValue { name: name.to_owned(), kind })?;
    if has_nan_bound(&value) {
        return Err(Malformed::Bound(name.to_owned()));
    }
    if let (Value::Histogram(histogram), Some(native)) = (&value, &extra.native) {
        let checked = native::check(native, histogram.count, histogram.sum);
        checked.map_err(|fault| Malformed::Native { name: name.to_owned(), fault })?;
    }
    if let Some(label) = nul_in_exemplars(&extra) {
        return Err(Malformed::NulInName(label.to_owned()));
    }
    Ok(Metric { labels, value, timestamp: found.timestamp_ms, extra: extra.boxed() })
}

fn labels(name: &str, pairs: Vec<message::LabelPair>) -> Result<LabelSet, Malformed> {
    let mut named = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Some(label) = pair.name.filter(|label| !label.is_empty()) else {
            return Err(Malformed::NoLabelName { name: name.to_owned() });
        };
        if label.contains('\0') {
            return Err(Malformed::NulInName(label));
        }
        named.push((label, pair.value.unwrap_or_default()));
    }
    LabelSet::from_pairs(named).map_err(|label| Malformed::DuplicateLabel { name: name.to_owned(), label })
}

/// On a page of text that would be a label that no reader of text takes.
fn has_nan_bound(value: &Value) -> bool {
    match value {
        Value::Number(_) => false,
        Value::Summary(summary) => summary.quantiles.iter().any(|(quantile, _)| quantile.is_nan()),
        Value::Histogram(histogram) => histogram.buckets.iter().any(|(bound, _)| bound.is_nan()),
    }
}

fn nul_in_exemplars(extra: &Extra) -> Option<&str> {
    let exemplars = extra.exemplars.iter().chain(extra.bucket_exemplars.values());
    let mut names = exemplars.flat_map(|exemplar| exemplar.labels.iter().map(|(name, _)| name));
    names.find(|name| name.contains('\0'))
}

fn counter(found: message::Counter) -> (Value, Extra) {
    let exemplars = found.exemplar.into_iter().map(exemplar).collect();
    let extra = Extra { created: found.created.map(created), exemplars, ..Extra::default() };
    (Value::Number(found.value.unwrap_or_default()), extra)
}

fn summary(found: message::Summary) -> (Value, Extra) {
    let quantiles = found.quantiles.into_iter();
    let quantiles = quantiles.map(|it| (it.quantile.unwrap_or_default(), it.value.unwrap_or_default())).collect();
    let (sum, count) = (found.sum.unwrap_or_default(), found.count.unwrap_or_default());
    let extra = Extra { created: found.created.map(created), ..Extra::default() };
    (Value::Summary(Summary { quantiles, sum, count }), extra)
}

fn histogram(mut found: message::Histogram) -> (Value, Extra) {
    let mut native = take_native(&mut found);
    let is_float = native.as_ref().is_some_and(NativeHistogram::has_float_counts);
    let mut bucket_exemplars = BTreeMap::new();
    let buckets = found.buckets.into_iter().enumerate().map(|(place, bucket)| {
        if let Some(found) = bucket.exemplar {
            bucket_exemplars.insert(place, exemplar(found));
        }
        (bucket.upper_bound.unwrap_or_default(), count(bucket.count, bucket.count_float))
    });
    let buckets = buckets.collect();
    let mut count = count(found.count, found.count_float);
    if is_float {
        count = Count::Float(count.as_f64());
    }
    let mut histogram = Histogram { buckets, sum: found.sum.unwrap_or_default(), count };
    histogram.unify_counts();
    if let (Some(native), Count::Float(_)) = (&mut native, histogram.count) {
        native.zero_count = Count::Float(native.zero_count.as_f64());
    }
    let exemplars = found.exemplars.into_iter().map(exemplar).collect();
    let extra = Extra { created: found.created.map(created), exemplars, bucket_exemplars, native };
    (Value::Histogram(histogram), extra)
}

/// Takes the native part, where some field of it is there.
fn take_native(found: &mut message::Histogram) -> Option<NativeHistogram> {
    let buckets = |spans: &mut Vec<message::Span>, deltas: &mut _, counts: &mut _| NativeBuckets {
        spans: spans.drain(..).map(|it| (it.offset.unwrap_or_default(), it.length.unwrap_or_default())).collect(),
        deltas: std::mem::take(deltas),
        counts: std::mem::take(counts),
    };
    let negative = buckets(&mut found.negative_spans, &mut found.negative_deltas, &mut found.negative_counts);
    let positive = buckets(&mut found.positive_spans, &mut found.positive_deltas, &mut found.positive_counts);
    let is_there = found.schema.is_some()
        || found.zero_threshold.is_some()
        || found.zero_count.is_some()
        || found.zero_count_float.is_some()
        || negative != NativeBuckets::default()
        || positive != NativeBuckets::default();
    is_there.then(|| NativeHistogram {
        schema: found.schema.unwrap_or_default(),
        zero_threshold: found.zero_threshold.unwrap_or_default(),
        zero_count: count(found.zero_count, found.zero_count_float),
        negative,
        positive,
    })
}

/// A float counts where it is greater than zero.
fn count(integer: Option<u64>, float: Option<f64>) -> Count {
    match float {
        Some(float) if 0.0 < float => Count::Float(float),
        Some(_) | None => Count::Integer(integer.unwrap_or_default()),
    }
}

fn exemplar(found: message::Exemplar) -> Exemplar {
    let labels = found.labels.into_iter();
    Exemplar {
        labels: labels.map(|pair| (pair.name.unwrap_or_default(), pair.value.unwrap_or_default())).collect(),
        value: found.value.unwrap_or_default(),
        timestamp: found.timestamp.map(timestamp),
    }
}

fn created(found: message::Timestamp) -> Created {
    Created { at: timestamp(found), is_line: false }
}

fn timestamp(found: message::Timestamp) -> Timestamp {
    Timestamp { seconds: found.seconds.unwrap_or_default(), nanos: found.nanos.unwrap_or_default() }
}
