//! Groups as JSON, written group by group while they are sent: neither the document nor the groups are in memory as a
//! whole. One group is: however large, it is written in one piece.
//!
//! A group's own keys and the names of its families are keys of one object, sorted. A family of the name of one of
//! the group's keys (`labels`, `last_push_successful`) is left out: upstream lets it take the key's place, so that
//! readers of the key fail. It is in every other view of the group.
//!
//! One thing goes beyond upstream: a family that has a unit shows it. The families of the push times carry the time
//! of the push they tell of.
//!
//! *Never:* requests, where groups come from.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    convert::Infallible,
    fmt::{self, Display},
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use protocol::{
    LabelSet,
    series::{PUSH_FAILURE_TIME_HELP, PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_HELP, PUSH_TIME_SECONDS},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::json;
use crate::{
    clock::UnixSeconds,
    exposition::{
        Count, FamilyHead, Histogram, Kind, MetricRef, Summary, Value,
        native::{self, Bucket, Closed},
        text::write_number,
    },
    rfc3339::Rfc3339,
    store::{FamilyView, GroupView},
};

/// About how much is sent at once.
const FRAME_BYTES: usize = 64 * 1024;

/// Labels as an object.
#[derive(Debug)]
pub(in crate::http) struct Labels<'a>(pub(in crate::http) &'a LabelSet);

/// The body that writes groups as it is read.
struct Groups<I> {
    left: I,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Middle,
    End,
}

struct Group<'a>(&'a GroupView);

/// A key that every group has; sorted.
#[derive(Clone, Copy)]
enum Own {
    Labels,
    LastPushSuccessful,
    PushFailureTime,
    PushTime,
}

struct Family<'a> {
    head: FamilyHead<'a>,
    time: UnixSeconds,
    series: Vec<Series<'a>>,
}

struct Series<'a>(MetricRef<'a>);

/// A number as it is written elsewhere, except that a negative zero is one.
struct Number(f64);

/// Whole counts in plain digits.
struct Counted(Count);

struct NativeBuckets(Vec<Bucket>);

/// Written as a text.
pub(super) struct Printed<T>(pub(super) T);

/// A body of the groups, in that order. Each is asked for when its turn comes.
pub(super) fn body(groups: impl Iterator<Item = GroupView> + Send + Unpin + 'static) -> Body {
    Body::new(Groups { left: groups, at: At::Start })
}

// === impl Labels ===

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

// === impl Groups ===

impl<I: Iterator<Item = GroupView> + Unpin> http_body::Body for Groups<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut out = Vec::new();
        while out.len() < FRAME_BYTES && self.at != At::End {
            let group = self.left.next();
            out.extend_from_slice(match (self.at, &group) {
                (At::Start, _) => br#"{"status":"success","data":["#,
                (At::Middle | At::End, Some(_)) => b",",
                (At::Middle | At::End, None) => b"",
            });
            self.at = match &group {
                Some(group) => {
                    json::write(&mut out, &Group(group));
                    At::Middle
                }
                None => {
                    out.extend_from_slice(b"]}");
                    At::End
                }
            };
        }
        Poll::Ready(if out.is_empty() { None } else { Some(Ok(Frame::data(out.into()))) })
    }

    fn is_end_stream(&self) -> bool {
        self.at == At::End
    }
}

// === impl Group ===

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(group) = self;
        let mut map = serializer.serialize_map(None)?;
        let mut own = Own::ALL.into_iter().peekable();
        for family in group.families() {
            let name = family.head().name;
            if Own::ALL.iter().any(|own| own.key() == name) {
                continue;
            }
            while let Some(own) = own.next_if(|own| own.key() < name) {
                own.write(group, &mut map)?;
            }
            map.serialize_entry(name, &Family::stored(family))?;
        }
        own.try_for_each(|own| own.write(group, &mut map))?;
        map.end()
    }
}

// === impl Own ===

impl Own {
    const ALL: [Self; 4] = [Self::Labels, Self::LastPushSuccessful, Self::PushFailureTime, Self::PushTime];

    fn key(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::LastPushSuccessful => "last_push_successful",
            Self::PushFailureTime => PUSH_FAILURE_TIME_SECONDS,
            Self::PushTime => PUSH_TIME_SECONDS,
        }
    }

    fn write<M: SerializeMap>(self, group: &GroupView, map: &mut M) -> Result<(), M::Error> {
        let &GroupView { push_time, failure_time, .. } = group;
        match self {
            Self::Labels => map.serialize_entry(self.key(), &Labels(group.key.labels())),
            Self::LastPushSuccessful => map.serialize_entry(self.key(), &group.is_last_push_successful()),
            Self::PushFailureTime => self.write_time(PUSH_FAILURE_TIME_HELP, failure_time, push_time, group, map),
            Self::PushTime => self.write_time(PUSH_TIME_HELP, push_time, failure_time, group, map),
        }
    }

    /// One of the two families that every group has. The first push writes both: as long as there is no time in one, it
    /// was written at that of the other.
    fn write_time<M: SerializeMap>(
        self,
        help: &str,
        value: UnixSeconds,
        other: UnixSeconds,
        group: &GroupView,
        map: &mut M,
    ) -> Result<(), M::Error> {
        let time = if value == UnixSeconds::NEVER { other } else { value };
        let head = FamilyHead { name: self.key(), help, unit: "", kind: Kind::Gauge };
        let (labels, value) = (Cow::Borrowed(&group.exposed_key), Cow::Owned(Value::Number(value.0)));
        let series = Series(MetricRef { labels, value, timestamp: None, extra: None });
        map.serialize_entry(self.key(), &Family { head, time, series: vec![series] })
    }
}

// === impl Family ===

impl<'a> Family<'a> {
    fn stored(family: FamilyView<'a>) -> Self {
        Self { head: family.head(), time: family.pushed_at(), series: family.metrics().map(Series).collect() }
    }
}

impl Serialize for Family<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { head, time, series } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time_stamp", &Printed(Rfc3339(*time)))?;
        map.serialize_entry("type", word(head.kind))?;
        if !head.help.is_empty() {
            map.serialize_entry("help", head.help)?;
        }
        if !head.unit.is_empty() {
            map.serialize_entry("unit", head.unit)?;
        }
        map.serialize_entry("metrics", series)?;
        map.end()
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "COUNTER",
        Kind::Gauge | Kind::Info | Kind::StateSet => "GAUGE",
        Kind::Summary => "SUMMARY",
        Kind::Untyped => "UNTYPED",
        Kind::Histogram => "HISTOGRAM",
        Kind::GaugeHistogram => "GAUGE_HISTOGRAM",
    }
}

// === impl Series ===

/// Keys are sorted.
impl Serialize for Series<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(MetricRef { labels, value, extra, timestamp: _ }) = self;
        let mut map = serializer.serialize_map(None)?;
        match &**value {
            Value::Number(value) => {
                map.serialize_entry("labels", &Labels(labels))?;
                map.serialize_entry("value", &Printed(Number(*value)))?;
            }
            Value::Summary(Summary { quantiles, sum, count }) => {
                map.serialize_entry("count", &Printed(count))?;
                map.serialize_entry("labels", &Labels(labels))?;
                map.serialize_entry("quantiles", &by_text(quantiles.iter().map(|(q, value)| (*q, Number(*value)))))?;
                map.serialize_entry("sum", &Printed(Number(*sum)))?;
            }
            Value::Histogram(Histogram { buckets, sum, count }) => {
                match extra.and_then(|extra| extra.native.as_ref()).and_then(native::shown_buckets) {
                    Some(native) => map.serialize_entry("buckets", &NativeBuckets(native))?,
                    None => {
                        let counts = buckets.iter().map(|(bound, count)| (*bound, Counted(*count)));
                        map.serialize_entry("buckets", &by_text(counts))?;
                    }
                }
                map.serialize_entry("count", &Printed(Counted(*count)))?;
                map.serialize_entry("labels", &Labels(labels))?;
                map.serialize_entry("sum", &Printed(Number(*sum)))?;
            }
        }
        map.end()
    }
}

/// An object with numbers as keys: sorted as texts; of one that comes twice, the last value.
fn by_text(pairs: impl Iterator<Item = (f64, impl Display)>) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (Number(key).to_string(), value.to_string())).collect()
}

// === impl NativeBuckets ===

impl Serialize for NativeBuckets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for Bucket { closed, lower, upper, count } in &self.0 {
            let rule = match closed {
                Closed::Upper => 0,
                Closed::Lower => 1,
                Closed::Both => 3,
            };
            list.serialize_element(&(
                rule,
                Printed(Number(*lower)),
                Printed(Number(*upper)),
                Printed(Counted(*count)),
            ))?;
        }
        list.end()
    }
}

// === impl Number ===

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0.0 && self.0.is_sign_negative() { f.write_str("-0") } else { write_number(f, self.0) }
    }
}

// === impl Counted ===

impl Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Count::Integer(count) => write!(f, "{count}"),
            Count::Float(count) => Number(count).fmt(f),
        }
    }
}

// === impl Printed ===

impl<T: Display> Serialize for Printed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
