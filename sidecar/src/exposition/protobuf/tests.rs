//! The protobuf format: bytes and faults by hand, everything else by the round trip.

use proptest::prelude::*;
use prost::{Message, bytes::Bytes};

use super::*;
use crate::exposition::{
    Escaping,
    extra::{Created, Exemplar, Extra, NativeBuckets, NativeHistogram, Timestamp},
    family::{Count, FamilyHead, Histogram, Kind, Metric, MetricFamily, MetricRef, Summary, Value},
    text::{self, decode::tests::canonical},
};

/// A message with its length before it.
fn delimited(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend(message);
    out
}

/// A field whose key is that byte.
fn field(key: u8, content: &[u8]) -> Vec<u8> {
    [vec![key], delimited(content)].concat()
}

fn family(name: &[u8], kind: u8, metrics: &[&[u8]]) -> Vec<u8> {
    let metrics = metrics.iter().map(|metric| field(0x22, metric));
    let fields: Vec<_> = [field(0x0a, name), vec![0x18, kind]].into_iter().chain(metrics).collect();
    delimited(&fields.concat())
}

fn read(body: &[u8]) -> Vec<MetricFamily> {
    decode(&Bytes::copy_from_slice(body)).unwrap()
}

/// A gauge of 1.
const GAUGE: &[u8] = b"\x12\x09\x09\0\0\0\0\0\0\xf0\x3f";

#[track_caller]
fn fault(body: &[u8], expected: &str) {
    let error = decode(&Bytes::copy_from_slice(body)).unwrap_err();
    assert_eq!(error.to_string(), format!("protobuf parsing error in message {expected}"));
}

#[test]
fn messages_are_read_with_unknown_fields_and_without_a_type() {
    assert_eq!(read(b""), []);
    let gauge = [b"\x0a\x06\x0a\x01a\x12\x01b".as_slice(), GAUGE, b"\x7a\x01x"].concat();
    assert_eq!(text::encode(&read(&family(b"g", 1, &[&gauge]))), "# TYPE g gauge\ng{a=\"b\"} 1\n");
    let counter = read(&delimited(b"\x0a\x01c\x12\x04help\x22\x02\x1a\x00\x2a\x04unit"));
    assert_eq!(text::encode(&counter), "# HELP c help\n# TYPE c counter\nc 0\n");
}

#[test]
fn the_later_of_two_families_of_a_name_counts_and_may_be_empty() {
    let body = [family(b"a", 1, &[GAUGE]), family(b"b", 1, &[GAUGE]), family(b"a", 3, &[])].concat();
    let families = read(&body);
    let found: Vec<_> = families.iter().map(|it| (it.name.as_str(), it.kind, it.metrics.len())).collect();
    assert_eq!(found, [("a", Kind::Untyped, 0), ("b", Kind::Gauge, 1)]);
}

#[test]
fn packed_numbers_are_read_as_unpacked_ones_are() {
    let native = |deltas: &[u8]| {
        let histogram = [b"\x08\x01\x28\x06\x62\x04\x08\x00\x10\x02".as_slice(), deltas].concat();
        let metric = field(0x3a, &histogram);
        read(&family(b"h", 4, &[&metric]))
    };
    let packed = native(b"\x6a\x02\x02\x01");
    assert_eq!(packed, native(b"\x68\x02\x68\x01"));
    let extra = packed[0].metrics[0].extra.as_ref().unwrap();
    let native = extra.native.as_ref().unwrap();
    assert_eq!((native.schema, native.positive.spans.as_slice()), (3, [(0, 2)].as_slice()));
    assert_eq!(native.positive.deltas, [1, -1]);
    let expected = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n";
    assert_eq!(text::encode(&packed), expected);
}

#[test]
fn a_body_that_does_not_end_with_a_message_is_refused() {
    fault(b"\x80", "1: expected the rest of its length, found the end of the body");
    fault(&[0xff; 11], "1: expected a length of at most 64 bits, found a longer one");
    fault(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "1: expected a length of at most 64 bits, found a longer one");
    let cut = [family(b"a", 1, &[]), b"\x05\x0a\x01".to_vec()].concat();
    fault(&cut, "2: expected 5 bytes, as its length says, found the end of the body after 2");
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    fault(huge, "1: expected 18446744073709551615 bytes, as its length says, found the end of the body after 0");
    let text = decode(&Bytes::from_static(b"a 1\n")).unwrap_err();
    assert!(matches!(text.fault, Malformed::Cut { .. }), "{text}");
    let other = decode(&Bytes::from(delimited(b"\x0a\x02\xff\xff"))).unwrap_err();
    assert!(matches!(other.fault, Malformed::Family(_)), "{other}");
    let other = decode(&Bytes::from(family(b"a", 1, &[b"\x12\x01\x09"]))).unwrap_err();
    assert!(matches!(other.fault, Malformed::Metric { .. }), "{other}");
}

#[test]
fn what_would_break_the_page_is_refused() {
    fault(&family(b"", 1, &[GAUGE]), "1: expected a family name, found none");
    fault(&delimited(b"\x18\x01"), "1: expected a family name, found none");
    fault(&family(b"a", 6, &[]), "1: expected a type from 0 to 5 for \"a\", found 6");
    fault(
        &family(b"a", 5, &[b""]),
        "1: expected each metric of \"a\" to have the value of a histogram, found one without",
    );
    fault(
        &family(b"a", 2, &[GAUGE]),
        "1: expected each metric of \"a\" to have the value of a summary, found one without",
    );
    let nan = b"\x3a\x0b\x1a\x09\x11\0\0\0\0\0\0\xf8\x7f";
    fault(&family(b"a", 4, &[nan]), "1: expected a number as bound of each bucket or quantile of \"a\", found NaN");
    let nan = b"\x22\x0b\x1a\x09\x09\0\0\0\0\0\0\xf8\x7f";
    fault(&family(b"a", 2, &[nan]), "1: expected a number as bound of each bucket or quantile of \"a\", found NaN");
    fault(
        &family(b"a\0b", 1, &[GAUGE]),
        "1: expected names without U+0000, which no scraper can read, found \"a\\0b\"",
    );
    let labelled = |labels: &[u8]| family(b"a", 1, &[&[labels, GAUGE].concat()]);
    fault(&labelled(b"\x0a\x03\x12\x01x"), "1: expected each label of \"a\" to have a name, found one without");
    fault(
        &labelled(b"\x0a\x04\x0a\x02\0x"),
        "1: expected names without U+0000, which no scraper can read, found \"\\0x\"",
    );
    let exemplar = |at: u8| field(at, &field(0x0a, &field(0x0a, b"\0t")));
    let sentence = "1: expected names without U+0000, which no scraper can read, found \"\\0t\"";
    fault(&family(b"a", 0, &[&field(0x1a, &exemplar(0x12))]), sentence);
    fault(&family(b"a", 4, &[&field(0x3a, &field(0x1a, &exemplar(0x1a)))]), sentence);
    fault(&labelled(b"\x0a\x03\x0a\x01x\x0a\x03\x0a\x01x"), "1: expected each label once on \"a\", found \"x\" again");
}

#[test]
fn a_native_histogram_that_contradicts_itself_is_refused() {
    let histogram = |native: message::Histogram| {
        let metric = message::Metric { histogram: Some(native), ..message::Metric::default() };
        family(b"h", 4, &[&metric.encode_to_vec()])
    };
    let native = || message::Histogram {
        count: Some(2),
        schema: Some(3),
        positive_spans: vec![message::Span { offset: Some(0), length: Some(2) }],
        positive_deltas: vec![1, 0],
        ..message::Histogram::default()
    };
    assert_eq!(read(&histogram(native())).len(), 1);
    let custom = message::Histogram { schema: Some(-53), ..native() };
    fault(&histogram(custom), "1: native histogram \"h\": expected a schema from -4 to 8, found -53");
    let few = message::Histogram { count: Some(1), ..native() };
    let sentence = "1: native histogram \"h\": expected a count of 2, which its buckets hold, found 1";
    fault(&histogram(few), sentence);
    let huge = || message::Span { offset: Some(0), length: Some(u32::MAX) };
    let spans = std::iter::repeat_with(huge).take(1000).collect();
    let sentence = "1: native histogram \"h\": expected 4294967295000 deltas or counts, as many as its spans have \
                    buckets, found 2";
    fault(&histogram(message::Histogram { positive_spans: spans, ..native() }), sentence);
    // Of a histogram that is float by its classic part alone.
    let float = message::Histogram { count_float: Some(2.0), ..native() };
    let sentence = "1: native histogram \"h\": expected deltas beside a whole count and counts beside a float that is \
                    not 0, found both or the other";
    fault(&histogram(float), sentence);
}

#[test]
fn buckets_are_written_in_the_order_of_their_bounds() {
    let exemplar = |value: f64| Exemplar { value, ..Exemplar::default() };
    let buckets = [(f64::INFINITY, 3), (2.0, 2), (1.0, 1)].map(|(bound, count)| (bound, Count::Integer(count)));
    let value = Value::Histogram(Histogram { buckets: buckets.to_vec(), sum: 0.0, count: Count::Integer(3) });
    let bucket_exemplars = [(0, exemplar(0.5)), (2, exemplar(0.25))].into();
    let extra = Extra { bucket_exemplars, ..Extra::default() }.boxed();
    let metrics = vec![Metric { labels: protocol::LabelSet::new(), value, timestamp: None, extra }];
    let (name, help, unit) = ("h".to_owned(), String::new(), String::new());
    let written = encode(&[MetricFamily { name, help, unit, kind: Kind::Histogram, metrics }]);
    let read = read(&written);
    let Value::Histogram(found) = &read[0].metrics[0].value else { panic!("{read:?}") };
    assert_eq!(found.buckets, buckets.into_iter().rev().collect::<Vec<_>>());
    let extra = read[0].metrics[0].extra.as_ref().unwrap();
    assert_eq!(extra.bucket_exemplars, [(0, exemplar(0.25)), (2, exemplar(0.5))].into());
}

#[test]
fn a_float_count_that_is_greater_than_zero_makes_the_histogram_float() {
    let histogram = message::Histogram {
        count: Some(1),
        count_float: Some(1.5),
        zero_count: Some(7),
        buckets: vec![message::Bucket { count: Some(2), count_float: Some(0.0), ..message::Bucket::default() }],
        ..message::Histogram::default()
    };
    let metric = message::Metric { histogram: Some(histogram), ..message::Metric::default() };
    let families = read(&family(b"h", 5, &[&metric.encode_to_vec()]));
    let Value::Histogram(found) = &families[0].metrics[0].value else { panic!("{families:?}") };
    assert_eq!((found.count, found.buckets[0].1), (Count::Float(1.5), Count::Float(2.0)));
    let extra = families[0].metrics[0].extra.as_ref().unwrap();
    assert_eq!(extra.native.as_ref().unwrap().zero_count, Count::Float(7.0));
}

/// As another implementation writes it: every field of every message, each with a value of its own.
fn every_field() -> Bytes {
    let hex: Vec<u8> = include_bytes!("tests/every_field.hex").iter().copied().filter(|byte| *byte != b'\n').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.chunks(2).map(byte).collect()
}

#[test]
fn every_field_is_where_others_write_it() {
    let exemplar = |number: i64| Exemplar {
        labels: [("trace", number.to_string())].into_iter().collect(),
        value: number as f64,
        timestamp: Some(Timestamp { seconds: number, nanos: i32::try_from(number).unwrap() + 1 }),
    };
    let created = |seconds: i64| {
        let at = Timestamp { seconds, nanos: i32::try_from(seconds).unwrap() + 1 };
        Some(Created { at, is_line: false })
    };
    let family = |name: &str, kind, value, extra: Extra| {
        let metric = Metric { labels: protocol::LabelSet::new(), value, timestamp: None, extra: extra.boxed() };
        MetricFamily { name: name.to_owned(), help: String::new(), unit: String::new(), kind, metrics: vec![metric] }
    };
    let none = Extra::default;

    let extra = Extra { created: created(20), exemplars: vec![exemplar(10)], ..none() };
    let mut counter = family("c", Kind::Counter, Value::Number(1.5), extra);
    counter.help = "counts".to_owned();
    counter.metrics[0].timestamp = Some(-5);
    counter.metrics[0].labels.insert("a", "b");

    let buckets = vec![(32.0, Count::Integer(31))];
    let integer = Value::Histogram(Histogram { buckets, sum: 102.0, count: Count::Integer(456) });
    let native = NativeHistogram {
        schema: -3,
        zero_threshold: 106.0,
        zero_count: Count::Integer(107),
        negative: NativeBuckets { spans: vec![(-91, 2)], deltas: vec![10, 300], counts: vec![] },
        positive: NativeBuckets { spans: vec![(121, 3)], deltas: vec![13, -12, 14], counts: vec![] },
    };
    let of_integer = Extra {
        created: created(150),
        exemplars: vec![exemplar(160)],
        bucket_exemplars: [(0, exemplar(33))].into(),
        native: Some(native),
    };

    let buckets = vec![(42.0, Count::Float(44.5))];
    let float = Value::Histogram(Histogram { buckets, sum: 202.0, count: Count::Float(204.5) });
    let native = NativeHistogram {
        schema: 5,
        zero_threshold: 206.0,
        zero_count: Count::Float(208.5),
        negative: NativeBuckets { spans: vec![(-294, 1)], deltas: vec![], counts: vec![211.5] },
        positive: NativeBuckets { spans: vec![(215, 2)], deltas: vec![], counts: vec![214.5, 1.0] },
    };
    let of_float = Extra { native: Some(native), ..none() };

    let summary = Value::Summary(Summary { quantiles: vec![(0.5, 303.0)], sum: 302.0, count: 301 });
    let expected = [
        counter,
        family("g", Kind::Gauge, Value::Number(2.5), none()),
        family("h", Kind::Histogram, integer, of_integer),
        family("i", Kind::GaugeHistogram, float, of_float),
        family("s", Kind::Summary, summary, Extra { created: created(304), ..none() }),
        family("u", Kind::Untyped, Value::Number(3.5), none()),
    ];
    assert_eq!(decode(&every_field()).unwrap(), expected);
    assert_eq!(encode(&expected), every_field());
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1e9..1e9, Just(f64::INFINITY), Just(0.0), Just(-0.0)]
}

fn labels() -> impl Strategy<Value = protocol::LabelSet> {
    let name = prop_oneof!["[a-d]", "[^\0]{1,4}"];
    prop::collection::vec((name, any::<String>()), 0..3).prop_map(|labels| labels.into_iter().collect())
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn created() -> impl Strategy<Value = Created> {
    timestamp().prop_map(|at| Created { at, is_line: false })
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    (labels(), number(), prop::option::of(timestamp())).prop_map(|(labels, value, timestamp)| Exemplar {
        labels,
        value,
        timestamp,
    })
}

fn native(is_float: bool) -> impl Strategy<Value = NativeHistogram> {
    let side = move || {
        let runs =
            (any::<i32>(), prop::collection::vec((0..i32::MAX, prop::collection::vec(0..1_u32 << 20, 0..3)), 0..3));
        runs.prop_map(move |(first, runs)| {
            let mut side = NativeBuckets::default();
            let mut before = 0;
            for (offset, buckets) in runs {
                let offset = if side.spans.is_empty() { first } else { offset };
                side.spans.push((offset, u32::try_from(buckets.len()).unwrap()));
                for bucket in buckets {
                    match is_float {
                        true => side.counts.push(f64::from(bucket) / 4.0),
                        false => side.deltas.push(i64::from(bucket) - before),
                    }
                    before = i64::from(bucket);
                }
            }
            side
        })
    };
    (-4..=8_i32, 0.0..1e9, native_count(is_float), side(), side()).prop_map(
        |(schema, zero_threshold, zero_count, negative, positive)| NativeHistogram {
            schema,
            zero_threshold,
            zero_count,
            negative,
            positive,
        },
    )
}

/// What the count of the histogram always covers.
fn native_count(is_float: bool) -> BoxedStrategy<Count> {
    if is_float { count(true) } else { (0..1_u64 << 20).prop_map(Count::Integer).boxed() }
}

fn count(is_float: bool) -> BoxedStrategy<Count> {
    match is_float {
        true => (0.5..1e9).prop_map(Count::Float).boxed(),
        false => (1_u64 << 30..=u64::MAX).prop_map(Count::Integer).boxed(),
    }
}

/// What the buckets hold, where they count in whole numbers.
fn held(native: &NativeHistogram) -> Option<Count> {
    let Count::Integer(mut held) = native.zero_count else { return None };
    for side in [&native.negative, &native.positive] {
        let mut bucket = 0;
        for delta in &side.deltas {
            bucket += delta;
            held += u64::try_from(bucket).unwrap();
        }
    }
    Some(Count::Integer(held))
}

fn histogram() -> impl Strategy<Value = (Value, Extra)> {
    any::<bool>().prop_flat_map(|is_float| {
        let buckets = prop::collection::vec((number(), count(is_float), prop::option::of(exemplar())), 0..4);
        let exemplars = prop::collection::vec(exemplar(), 0..3);
        let rest = (exemplars, prop::option::of(created()), prop::option::of(native(is_float)));
        (buckets, number(), count(is_float), rest).prop_map(
            |(mut buckets, sum, count, (exemplars, created, native))| {
                buckets.sort_by(|(left, ..), (right, ..)| left.total_cmp(right));
                let bucket_exemplars = buckets.iter().enumerate();
                let bucket_exemplars =
                    bucket_exemplars.filter_map(|(place, (_, _, exemplar))| Some((place, exemplar.clone()?))).collect();
                let buckets = buckets.into_iter().map(|(bound, count, _)| (bound, count)).collect();
                // Where the sum is a number, no observation is outside of the native buckets.
                let count = native.as_ref().map_or(count, |native| held(native).unwrap_or(count));
                let extra = Extra { created, exemplars, bucket_exemplars, native };
                (Value::Histogram(Histogram { buckets, sum, count }), extra)
            },
        )
    })
}

fn value(kind: Kind) -> BoxedStrategy<(Value, Extra)> {
    let created = prop::option::of(created());
    match kind {
        Kind::Counter => (number(), created, prop::collection::vec(exemplar(), 0..2))
            .prop_map(|(value, created, exemplars)| {
                (Value::Number(value), Extra { created, exemplars, ..Extra::default() })
            })
            .boxed(),
        Kind::Gauge | Kind::Untyped | Kind::Info | Kind::StateSet => {
            number().prop_map(|value| (Value::Number(value), Extra::default())).boxed()
        }
        Kind::Summary => (prop::collection::vec((number(), number()), 0..3), number(), any::<u64>(), created)
            .prop_map(|(quantiles, sum, count, created)| {
                (Value::Summary(Summary { quantiles, sum, count }), Extra { created, ..Extra::default() })
            })
            .boxed(),
        Kind::Histogram | Kind::GaugeHistogram => histogram().boxed(),
    }
}

/// With that at the end of its name, and maybe in that unit.
fn any_family(name: &'static str) -> impl Strategy<Value = MetricFamily> {
    prop::sample::select(decode::KINDS.to_vec()).prop_flat_map(move |kind| {
        let metric = (labels(), value(kind), prop::option::of(any::<i64>()));
        let metrics = prop::collection::vec(metric, 1..4);
        (any::<String>(), "[^\0]{0,3}", any::<bool>(), metrics).prop_map(move |(help, start, has_unit, metrics)| {
            let metrics = metrics.into_iter().map(|(labels, (value, extra), timestamp)| Metric {
                labels,
                value,
                timestamp,
                extra: extra.boxed(),
            });
            let mut metrics: Vec<_> = metrics.collect();
            metrics.sort_by(|left, right| crate::exposition::family::compare_labels(&left.labels, &right.labels));
            let unit = if has_unit { name } else { "" }.to_owned();
            MetricFamily { name: format!("{start}_{name}"), help, unit, kind, metrics }
        })
    })
}

/// Without what a text has no words for: what comes with a value, units, and labels that name parts of a value. Each
/// series comes once.
fn as_text_has_it(mut family: MetricFamily) -> MetricFamily {
    family.unit.clear();
    for metric in &mut family.metrics {
        metric.extra = None;
        let kept = metric.labels.iter().filter(|(name, _)| !["le", "quantile", "__name__"].contains(name));
        metric.labels = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }
    family.metrics.dedup_by(|later, earlier| later.labels == earlier.labels);
    family
}

proptest! {
    #[test]
    fn what_was_written_reads_back(one in any_family("one"), two in any_family("two")) {
        let mut families = vec![one, two];
        families.sort_by(|left, right| left.name.cmp(&right.name));
        let written = encode(&families);
        let read = decode(&written.into()).unwrap();
        prop_assert_eq!(read, families);
    }

    /// Compared as printed for debugging, where each `NaN` is like the other.
    #[test]
    fn what_a_text_can_say_of_messages_comes_back(one in any_family("one"), two in any_family("two")) {
        let messages = encode(&[as_text_has_it(one), as_text_has_it(two)]);
        let families = decode(&messages.into()).unwrap();
        let printed = text::encode(&families);
        let read = text::decode(printed.as_bytes(), protocol::NameValidation::Utf8).unwrap();
        prop_assert_eq!(format!("{:#?}", read), format!("{:#?}", canonical(families)));
    }

    #[test]
    fn no_body_breaks_the_decoder(body in prop::collection::vec(any::<u8>(), 0..200), one in any_family("one"), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = decode(&body.into());
        let mut written = encode(&[one]);
        let at = at.index(written.len());
        written[at] = byte;
        let _ = decode(&written.into());
    }
}

#[test]
fn info_and_stateset_are_gauges_and_the_unit_is_kept() {
    for kind in [Kind::Info, Kind::StateSet] {
        let metric = Metric {
            labels: [("a.b", "c")].into_iter().collect(),
            value: Value::Number(1.0),
            timestamp: None,
            extra: None,
        };
        let unit = "seconds".to_owned();
        let name = "x.y_seconds".to_owned();
        let family = MetricFamily { name, help: String::new(), unit, kind, metrics: vec![metric] };
        let mut expected = family.clone();
        expected.kind = Kind::Gauge;
        assert_eq!(decode(&encode(std::slice::from_ref(&family)).into()).unwrap(), [expected.clone()]);
        let mut out = Vec::new();
        let metrics = family.metrics.iter().map(Into::into);
        write_family(&mut out, family.head(), metrics, Escaping::Dots, ProtobufForm::Delimited);
        expected.name = "x_dot_y__seconds".to_owned();
        expected.metrics[0].labels = [("a_dot_b", "c")].into_iter().collect();
        assert_eq!(decode(&out.into()).unwrap(), [expected]);
    }
}

#[test]
fn a_unit_that_the_shown_name_does_not_end_with_is_left_out() {
    let metric = Metric { labels: protocol::LabelSet::new(), value: Value::Number(1.0), timestamp: None, extra: None };
    let unit = |name, kind, escaping, form| {
        let mut out = Vec::new();
        let head = FamilyHead { name, help: "", unit: "seconds", kind };
        write_family(&mut out, head, [MetricRef::from(&metric)], escaping, form);
        out
    };
    let shown = |name, kind, escaping| {
        let text = String::from_utf8(unit(name, kind, escaping, ProtobufForm::CompactText)).unwrap();
        let read = read(&unit(name, kind, escaping, ProtobufForm::Delimited));
        assert_eq!(text.contains("unit"), !read[0].unit.is_empty(), "{text}");
        !read[0].unit.is_empty()
    };
    assert!(shown("x_seconds", Kind::Gauge, Escaping::Underscores));
    assert!(shown("x_seconds_total", Kind::Counter, Escaping::Underscores));
    assert!(shown("x.seconds", Kind::Gauge, Escaping::Underscores));
    assert!(!shown("x.seconds", Kind::Gauge, Escaping::AllowUtf8));
    assert!(shown("x.seconds", Kind::Gauge, Escaping::Values));
    assert!(!shown("x_seconds_total", Kind::Gauge, Escaping::Underscores));
    assert!(!shown("x", Kind::Untyped, Escaping::Underscores));
}

/// The same families as in `every_field_is_where_others_write_it`.
#[test]
fn every_field_has_its_name_in_the_text_forms() {
    let families = decode(&every_field()).unwrap();
    let print = |form| {
        let mut out = Vec::new();
        for family in &families {
            let metrics = family.metrics.iter().map(Into::into);
            write_family(&mut out, family.head(), metrics, Escaping::AllowUtf8, form);
        }
        String::from_utf8(out).unwrap()
    };
    assert_eq!(print(ProtobufForm::Text), include_str!("tests/every_field.txt"));
    let compact = print(ProtobufForm::CompactText);
    assert_eq!(compact.lines().count(), families.len());
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&compact), words(&print(ProtobufForm::Text)));
}

#[test]
fn texts_are_escaped_in_the_text_forms() {
    let metric = Metric {
        labels: [("l", "\"\\\n\t\u{7f}ö")].into_iter().collect(),
        value: Value::Number(f64::NEG_INFINITY),
        timestamp: Some(-1),
        extra: None,
    };
    let head = FamilyHead { name: "n_u", help: "", unit: "u", kind: Kind::Untyped };
    let mut out = Vec::new();
    write_family(&mut out, head, [MetricRef::from(&metric)], Escaping::AllowUtf8, ProtobufForm::CompactText);
    let expected = "name: \"n_u\" type: UNTYPED metric { label { name: \"l\" value: \"\\\"\\\\\\n\\011\\177ö\" } \
                    untyped { value: -inf } timestamp_ms: -1 } unit: \"u\" \n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
