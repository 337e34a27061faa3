//! Records, there and back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::LabelSet;

use super::*;
use crate::{
    exposition::{
        Count, Created, Extra, Histogram, Kind, Metric, MetricRef, Summary, Value,
        extra::{Exemplar, NativeBuckets, NativeHistogram, Timestamp},
    },
    persist::frame::HEAD_LENGTH,
};

/// Any bits at all, so that nothing hides behind what floats there usually are.
fn number() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits)
}

fn labels() -> impl Strategy<Value = LabelSet> {
    prop::collection::vec((any::<String>(), any::<String>()), 0..4).prop_map(|labels| labels.into_iter().collect())
}

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![any::<u64>().prop_map(Count::Integer), number().prop_map(Count::Float)]
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    (labels(), number(), prop::option::of(timestamp())).prop_map(|(labels, value, timestamp)| Exemplar {
        labels,
        value,
        timestamp,
    })
}

fn buckets() -> impl Strategy<Value = NativeBuckets> {
    let spans = prop::collection::vec((any::<i32>(), any::<u32>()), 0..3);
    let (deltas, counts) = (prop::collection::vec(any::<i64>(), 0..3), prop::collection::vec(number(), 0..3));
    (spans, deltas, counts).prop_map(|(spans, deltas, counts)| NativeBuckets { spans, deltas, counts })
}

fn native() -> impl Strategy<Value = NativeHistogram> {
    (any::<i32>(), number(), count(), buckets(), buckets()).prop_map(
        |(schema, zero_threshold, zero_count, negative, positive)| NativeHistogram {
            schema,
            zero_threshold,
            zero_count,
            negative,
            positive,
        },
    )
}

fn extra() -> impl Strategy<Value = Extra> {
    let created = (timestamp(), any::<bool>()).prop_map(|(at, is_line)| Created { at, is_line });
    let exemplars = prop::collection::vec(exemplar(), 0..3);
    let bucket_exemplars = prop::collection::vec((any::<usize>(), exemplar()), 0..3);
    (prop::option::of(created), exemplars, bucket_exemplars, prop::option::of(native())).prop_map(
        |(created, exemplars, bucket_exemplars, native)| {
            let bucket_exemplars: BTreeMap<_, _> = bucket_exemplars.into_iter().collect();
            Extra { created, exemplars, bucket_exemplars, native }
        },
    )
}

fn value() -> impl Strategy<Value = Value> {
    let summary = (prop::collection::vec((number(), number()), 0..3), number(), any::<u64>())
        .prop_map(|(quantiles, sum, count)| Value::Summary(Summary { quantiles, sum, count }));
    let histogram = (prop::collection::vec((number(), count()), 0..3), number(), count())
        .prop_map(|(buckets, sum, count)| Value::Histogram(Histogram { buckets, sum, count }));
    prop_oneof![number().prop_map(Value::Number), summary, histogram]
}

fn metric() -> impl Strategy<Value = Metric> {
    (labels(), value(), prop::option::of(any::<i64>()), prop::option::of(extra()))
        .prop_map(|(labels, value, timestamp, extra)| Metric { labels, value, timestamp, extra: extra.map(Box::new) })
}

fn family() -> impl Strategy<Value = MetricFamily> {
    let kind = prop::sample::select(vec![
        Kind::Counter,
        Kind::Gauge,
        Kind::Summary,
        Kind::Untyped,
        Kind::Histogram,
        Kind::GaugeHistogram,
        Kind::Info,
        Kind::StateSet,
    ]);
    (any::<String>(), any::<String>(), any::<String>(), kind, prop::collection::vec(metric(), 0..3))
        .prop_map(|(name, help, unit, kind, metrics)| MetricFamily { name, help, unit, kind, metrics })
}

fn key() -> impl Strategy<Value = GroupingKey> {
    labels().prop_filter_map("no key has such names", |mut labels| {
        labels.insert("job", "j");
        GroupingKey::from_labels(labels).ok()
    })
}

fn times() -> impl Strategy<Value = Tail> {
    (number(), number(), number()).prop_map(|(push_time, failure_time, before)| Tail {
        push_time: UnixSeconds(push_time),
        failure_time: UnixSeconds(failure_time),
        before: UnixSeconds(before),
    })
}

fn read(draft: Draft, tail: &Tail) -> Option<Entry> {
    decode(&draft.finish(7, tail)[HEAD_LENGTH..])
}

/// No two texts are the same, and every NaN is the same as itself.
fn shown(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn pushed(push: &Push) -> Option<Entry> {
    let mut draft = Draft::push(&push.key, push.is_whole, push.stale_after);
    for family in &push.families {
        draft.add_pushed(family.head(), family.metrics.iter().map(MetricRef::from), true);
    }
    read(draft, &Tail { push_time: push.push_time, failure_time: push.failure_time, before: push.before })
}

proptest! {
    #[test]
    fn a_push_reads_back(
        key in key(),
        is_whole in any::<bool>(),
        stale_after in prop::option::of(any::<std::time::Duration>()),
        families in prop::collection::vec(family(), 0..4),
        tail in times(),
    ) {
        let Tail { push_time, failure_time, before } = tail;
        let push = Push { key, is_whole, stale_after, families, push_time, failure_time, before };
        let expected = Entry { sequence: 7, record: Record::Push(push.clone()) };
        prop_assert_eq!(shown(&pushed(&push)), shown(&Some(expected)));
    }

    #[test]
    fn a_group_reads_back(
        key in key(),
        stale_after in prop::option::of(any::<std::time::Duration>()),
        families in prop::collection::vec((number().prop_map(UnixSeconds), family()), 0..4),
        tail in times(),
    ) {
        let mut draft = Draft::group(&key, stale_after);
        for (time, family) in &families {
            draft.add_stored(&key.exposed_labels(), *time, family.head(), family.metrics.iter().map(MetricRef::from));
        }
        let mut families = families;
        // What the key gives is not written.
        for (_, family) in &mut families {
            for metric in &mut family.metrics {
                for (name, value) in key.labels().iter() {
                    if metric.labels.get(name) == Some(value) {
                        metric.labels.remove(name);
                    }
                }
                if !key.labels().contains("instance") && metric.labels.get("instance") == Some("") {
                    metric.labels.remove("instance");
                }
            }
        }
        let Tail { push_time, failure_time, .. } = tail;
        let group = StoredGroup { key, stale_after, push_time, failure_time, families };
        let expected = Entry { sequence: 7, record: Record::Group(group) };
        prop_assert_eq!(shown(&read(draft, &tail)), shown(&Some(expected)));
    }

    #[test]
    fn other_records_read_back(keys in prop::collection::vec(key(), 0..4), groups in any::<u64>(), tail in times()) {
        let record = |draft| read(draft, &tail).map(|entry| entry.record);
        let removal = record(Draft::remove(keys.iter()));
        prop_assert_eq!(shown(&removal), shown(&Some(Record::Remove { keys: keys.clone() })));
        prop_assert_eq!(shown(&record(Draft::end(groups))), shown(&Some(Record::End { groups })));
        for key in keys {
            let Tail { failure_time, before, .. } = tail;
            let read = record(Draft::fail(&key));
            let expected = Record::Fail(Fail { key, failure_time, before });
            prop_assert_eq!(shown(&read), shown(&Some(expected)));
        }
    }

    #[test]
    fn a_repetition_reads_back(
        key in key(),
        places in prop::collection::vec(any::<u32>(), 0..4),
        numbers in prop::collection::vec(number(), 0..4),
        tail in times(),
        seconds in prop::option::of(any::<u32>()),
    ) {
        let stale_after = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let read = read(Draft::repeat(&key, stale_after, &places, &numbers), &tail).map(|entry| entry.record);
        let Tail { push_time, failure_time, before } = tail;
        let places = places.into();
        let expected = Repeated { key, stale_after, places, numbers, push_time, failure_time, before };
        prop_assert_eq!(shown(&read), shown(&Some(Record::Repeat(expected))));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_record_that_is_cut_is_none(family in family(), cut in 1_usize..40) {
        let key = GroupingKey::from_labels([("job", "j")].into_iter().collect()).unwrap();
        let mut draft = Draft::push(&key, true, None);
        draft.add_pushed(family.head(), family.metrics.iter().map(MetricRef::from), true);
        let bytes = draft.finish(7, &Tail::default());
        let payload = &bytes[HEAD_LENGTH..];
        let entry = decode(&payload[..payload.len().saturating_sub(cut)]);
        // The tail of a shorter record may be cut out of the body, but never a whole body.
        prop_assert_eq!(entry, None);
    }
}

#[test]
fn timestamps_that_are_not_honored_are_not_written() {
    let key = GroupingKey::from_labels([("job", "j")].into_iter().collect()).unwrap();
    let metric = Metric { labels: LabelSet::new(), value: Value::Number(1.0), timestamp: Some(5), extra: None };
    let (name, help, unit) = ("x".to_owned(), String::new(), String::new());
    let family = MetricFamily { name, help, unit, kind: Kind::Gauge, metrics: vec![metric] };
    let mut draft = Draft::push(&key, true, None);
    draft.add_pushed(family.head(), family.metrics.iter().map(MetricRef::from), false);
    let Some(Entry { record: Record::Push(push), .. }) = read(draft, &Tail::default()) else {
        panic!("expected a push");
    };
    assert_eq!(push.families[0].metrics[0].timestamp, None);
}
