//! Bytes → values.
//!
//! *Never:* writing, trust in a length.

use std::time::Duration;

use protocol::GroupingKey;

use super::{
    Entry, FAMILY, Fail, Push, Record, Repeated, StoredGroup, TAIL_LENGTH, Tail, Type, bytes::Reader,
    encode::number_of, extra, metric,
};
use crate::{
    clock::UnixSeconds,
    exposition::{
        Count, Created, Extra, Histogram, Kind, Metric, MetricFamily, Summary, Value,
        extra::{Exemplar, NativeBuckets, NativeHistogram, Timestamp},
    },
};

const KINDS: [Kind; 8] = [
    Kind::Counter,
    Kind::Gauge,
    Kind::Summary,
    Kind::Untyped,
    Kind::Histogram,
    Kind::GaugeHistogram,
    Kind::Info,
    Kind::StateSet,
];

const TYPES: [Type; 6] = [Type::Push, Type::Fail, Type::Remove, Type::Group, Type::End, Type::Repeat];

/// Reads one whole record; `None` if it is none.
pub(in crate::persist) fn decode(bytes: &[u8]) -> Option<Entry> {
    let (body, tail) = bytes.split_at_checked(bytes.len().checked_sub(TAIL_LENGTH)?)?;
    let (sequence, times) = tail.split_first_chunk()?;
    let sequence = u64::from_le_bytes(*sequence);
    let mut times = Reader::new(times);
    let mut time = || times.float().map(UnixSeconds);
    let tail = Tail { push_time: time()?, failure_time: time()?, before: time()? };
    let mut reader = Reader::new(body);
    let record = record(&mut reader, tail)?;
    // Behind the body is a zero, where families may end.
    (reader.byte()? == 0 && reader.is_at_end()).then_some(Entry { sequence, record })
}

fn record(reader: &mut Reader<'_>, tail: Tail) -> Option<Record> {
    let first = reader.byte()?;
    let Tail { push_time, failure_time, before } = tail;
    Some(match TYPES.into_iter().find(|known| *known as u8 == first)? {
        Type::Push => {
            let (key, is_whole) = (key(reader)?, flag(reader)?);
            let stale_after = limit(reader)?;
            let families = families(reader, |_| Some(()))?.into_iter().map(|((), family)| family).collect();
            Record::Push(Push { key, is_whole, stale_after, families, push_time, failure_time, before })
        }
        Type::Repeat => {
            let (key, stale_after) = (key(reader)?, limit(reader)?);
            let places = reader.several(|reader| u32::try_from(reader.number()?).ok())?.into();
            let numbers = reader.several(Reader::float)?;
            Record::Repeat(Repeated { key, stale_after, places, numbers, push_time, failure_time, before })
        }
        Type::Fail => Record::Fail(Fail { key: key(reader)?, failure_time, before }),
        Type::Remove => Record::Remove { keys: reader.several(key)? },
        Type::Group => {
            let (key, stale_after) = (key(reader)?, limit(reader)?);
            let families = families(reader, |reader| reader.float().map(UnixSeconds))?;
            Record::Group(StoredGroup { key, stale_after, push_time, failure_time, families })
        }
        Type::End => Record::End { groups: reader.number()? },
    })
}

fn key(reader: &mut Reader<'_>) -> Option<GroupingKey> {
    GroupingKey::from_labels(reader.labels()?).ok()
}

fn flag(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.byte()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// What a flag in front says to be there or not.
fn optional<T>(reader: &mut Reader<'_>, read: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Option<T>> {
    if flag(reader)? { read(reader).map(Some) } else { Some(None) }
}

fn limit(reader: &mut Reader<'_>) -> Option<Option<Duration>> {
    optional(reader, |reader| {
        let (seconds, nanos) = (reader.number()?, reader.number()?);
        let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
        Some(Duration::new(seconds, nanos))
    })
}

/// Families up to the zero behind them, which is left.
fn families<T>(
    reader: &mut Reader<'_>,
    ahead: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Option<Vec<(T, MetricFamily)>> {
    let mut read = Vec::new();
    loop {
        let mut probe = *reader;
        match probe.byte()? {
            0 => return Some(read),
            FAMILY => *reader = probe,
            _ => return None,
        }
        let number = reader.byte()?;
        let kind = KINDS.into_iter().find(|kind| number_of(*kind) == number)?;
        let (name, help, unit) = (reader.text()?, reader.text()?, reader.text()?);
        let ahead = ahead(reader)?;
        let mut metrics = Vec::new();
        loop {
            match reader.byte()? {
                0 => break,
                flags => metrics.push(metric(reader, flags)?),
            }
        }
        read.push((ahead, MetricFamily { name, help, unit, kind, metrics }));
    }
}

fn metric(reader: &mut Reader<'_>, flags: u8) -> Option<Metric> {
    let labels = reader.labels()?;
    let value = match flags & !(metric::HAS_TIMESTAMP | metric::HAS_EXTRA) {
        metric::PRESENT => Value::Number(reader.float()?),
        bits if bits == metric::PRESENT | metric::SUMMARY => Value::Summary(summary(reader)?),
        bits if bits == metric::PRESENT | metric::HISTOGRAM => Value::Histogram(histogram(reader)?),
        _ => return None,
    };
    let timestamp = if flags & metric::HAS_TIMESTAMP == 0 { None } else { Some(reader.signed()?) };
    let extra = if flags & metric::HAS_EXTRA == 0 { None } else { Some(Box::new(extra(reader)?)) };
    Some(Metric { labels, value, timestamp, extra })
}

fn summary(reader: &mut Reader<'_>) -> Option<Summary> {
    let quantiles = reader.several(|reader| Some((reader.float()?, reader.float()?)))?;
    Some(Summary { quantiles, sum: reader.float()?, count: reader.number()? })
}

fn histogram(reader: &mut Reader<'_>) -> Option<Histogram> {
    let buckets = reader.several(|reader| Some((reader.float()?, count(reader)?)))?;
    Some(Histogram { buckets, sum: reader.float()?, count: count(reader)? })
}

fn count(reader: &mut Reader<'_>) -> Option<Count> {
    Some(if flag(reader)? { Count::Float(reader.float()?) } else { Count::Integer(reader.number()?) })
}

fn extra(reader: &mut Reader<'_>) -> Option<Extra> {
    let flags = reader.byte()?;
    let created = if flags & extra::HAS_CREATED == 0 {
        None
    } else {
        Some(Created { at: timestamp(reader)?, is_line: flags & extra::IS_LINE != 0 })
    };
    Some(Extra {
        created,
        exemplars: reader.several(exemplar)?,
        bucket_exemplars: reader.several(|reader| Some((reader.length()?, exemplar(reader)?)))?.into_iter().collect(),
        native: if flags & extra::HAS_NATIVE == 0 { None } else { Some(native(reader)?) },
    })
}

fn timestamp(reader: &mut Reader<'_>) -> Option<Timestamp> {
    Some(Timestamp { seconds: reader.signed()?, nanos: reader.signed()?.try_into().ok()? })
}

fn exemplar(reader: &mut Reader<'_>) -> Option<Exemplar> {
    Some(Exemplar { labels: reader.labels()?, value: reader.float()?, timestamp: optional(reader, timestamp)? })
}

fn native(reader: &mut Reader<'_>) -> Option<NativeHistogram> {
    Some(NativeHistogram {
        schema: reader.signed()?.try_into().ok()?,
        zero_threshold: reader.float()?,
        zero_count: count(reader)?,
        negative: buckets(reader)?,
        positive: buckets(reader)?,
    })
}

fn buckets(reader: &mut Reader<'_>) -> Option<NativeBuckets> {
    Some(NativeBuckets {
        spans: reader.several(|reader| Some((reader.signed()?.try_into().ok()?, reader.number()?.try_into().ok()?)))?,
        deltas: reader.several(Reader::signed)?,
        counts: reader.several(Reader::float)?,
    })
}
