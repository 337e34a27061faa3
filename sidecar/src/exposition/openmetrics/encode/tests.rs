//! The OpenMetrics writer, by family in and lines out, and the way back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::NameValidation;

use super::*;
use crate::exposition::{
    extra::{Created, Extra, Timestamp},
    family::{Count, Metric},
    openmetrics::decode,
};

fn metric(labels: &[(&str, &str)], value: Value) -> Metric {
    Metric { labels: labels.iter().copied().collect(), value, timestamp: None, extra: None }
}

fn number(labels: &[(&str, &str)], number: f64) -> Metric {
    metric(labels, Value::Number(number))
}

fn family(name: &str, kind: Kind, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: name.to_owned(), help: String::new(), unit: String::new(), kind, metrics }
}

fn check(families: &[MetricFamily], expected: &str) {
    assert_eq!(encode(families), format!("{}# EOF\n", expected.trim_start()));
}

fn exemplar(labels: &[(&str, &str)]) -> Exemplar {
    let timestamp = Some(Timestamp { seconds: 3, nanos: 40_000_000 });
    Exemplar { labels: labels.iter().copied().collect(), value: 0.5, timestamp }
}

#[test]
fn help_is_escaped_and_the_unit_shown_where_the_name_has_it() {
    let say = |name: &str, unit: &str, kind| {
        let family = family(name, kind, vec![number(&[], 1.0)]);
        MetricFamily { help: "a \\ \"b\"\nc".to_owned(), unit: unit.to_owned(), ..family }
    };
    check(
        &[
            say("a_seconds", "seconds", Kind::Gauge),
            say("b_seconds_total", "seconds", Kind::Counter),
            say("c_bytes", "seconds", Kind::Gauge),
            say("dseconds", "seconds", Kind::Gauge),
            say("e_s_info", "s", Kind::Info),
            say("f_a b", "a b", Kind::Gauge),
        ],
        r#"
# HELP a_seconds a \\ \"b\"\nc
# TYPE a_seconds gauge
# UNIT a_seconds seconds
a_seconds 1
# HELP b_seconds a \\ \"b\"\nc
# TYPE b_seconds counter
# UNIT b_seconds seconds
b_seconds_total 1
# HELP c_bytes a \\ \"b\"\nc
# TYPE c_bytes gauge
c_bytes 1
# HELP dseconds a \\ \"b\"\nc
# TYPE dseconds gauge
dseconds 1
# HELP e_s a \\ \"b\"\nc
# TYPE e_s info
e_s_info 1
# HELP "f_a b" a \\ \"b\"\nc
# TYPE "f_a b" gauge
{"f_a b"} 1
"#,
    );
}

#[test]
fn help_of_blanks_is_no_help() {
    for blank in ["", " ", " \t", " \r", "\r"] {
        let family = family("a", Kind::Gauge, vec![number(&[], 1.0)]);
        check(&[MetricFamily { help: blank.to_owned(), ..family }], "# TYPE a gauge\na 1\n");
    }
}

#[test]
fn a_counter_without_its_suffix_is_unknown() {
    let counter = |name: &str| family(name, Kind::Counter, vec![number(&[], 1.0)]);
    check(&[counter("a_total")], "# TYPE a counter\na_total 1\n");
    check(&[counter("a")], "# TYPE a unknown\na 1\n");
    check(&[counter("_total")], "# TYPE _total unknown\n_total 1\n");
}

#[test]
fn a_family_whose_short_name_is_taken_stands_under_its_own() {
    let one = |name: &str, kind| family(name, kind, vec![number(&[], 1.0)]);
    check(
        &[one("a_total", Kind::Counter), one("a_info", Kind::Info), one("a", Kind::Gauge)],
        "# TYPE a gauge\na 1\n# TYPE a_info gauge\na_info 1\n# TYPE a_total unknown\na_total 1\n",
    );
    check(
        &[one("a_total", Kind::Counter), one("a_info", Kind::Info)],
        "# TYPE a_info gauge\na_info 1\n# TYPE a counter\na_total 1\n",
    );
}

#[test]
fn a_counter_whose_short_name_is_that_of_a_part_is_unknown() {
    let one = |name: &str, kind| family(name, kind, vec![number(&[], 1.0)]);
    let summary = family("s", Kind::Summary, vec![metric(&[], Value::Summary(Summary::default()))]);
    check(
        &[summary, one("s_sum_total", Kind::Counter)],
        "# TYPE s summary\ns_sum 0\ns_count 0\n# TYPE s_sum_total unknown\ns_sum_total 1\n",
    );
    check(
        &[one("c_created_total", Kind::Counter), one("c_total", Kind::Counter)],
        "# TYPE c_created_total unknown\nc_created_total 1\n# TYPE c counter\nc_total 1\n",
    );
}

#[test]
fn no_created_line_has_the_name_of_a_family() {
    let created = Some(Created { at: Timestamp::default(), is_line: true });
    let extra = Extra { created, ..Extra::default() }.boxed();
    let counter = family("c_total", Kind::Counter, vec![Metric { extra, ..number(&[], 1.0) }]);
    check(std::slice::from_ref(&counter), "# TYPE c counter\nc_total 1\nc_created 0\n");
    check(
        &[counter, family("c_created", Kind::Gauge, vec![number(&[], 5.0)])],
        "# TYPE c_created gauge\nc_created 5\n# TYPE c counter\nc_total 1\n",
    );
}

#[test]
fn info_and_stateset_are_gauges_unless_they_are_as_the_standard_has_them() {
    let of = |name: &str, kind, metrics| vec![family(name, kind, metrics)];
    check(&of("a_info", Kind::Info, vec![number(&[("b", "c")], 1.0)]), "# TYPE a info\na_info{b=\"c\"} 1\n");
    check(&of("a", Kind::Info, vec![number(&[], 1.0)]), "# TYPE a gauge\na 1\n");
    check(&of("a_info", Kind::Info, vec![number(&[], 2.0)]), "# TYPE a_info gauge\na_info 2\n");
    let states = |value| vec![number(&[("a", "off")], 0.0), number(&[("a", "on")], value)];
    check(&of("a", Kind::StateSet, states(1.0)), "# TYPE a stateset\na{a=\"off\"} 0\na{a=\"on\"} 1\n");
    check(&of("a", Kind::StateSet, states(2.0)), "# TYPE a gauge\na{a=\"off\"} 0\na{a=\"on\"} 2\n");
    check(&of("b", Kind::StateSet, states(1.0)), "# TYPE b gauge\nb{a=\"off\"} 0\nb{a=\"on\"} 1\n");
}

#[test]
fn bounds_are_canonical_and_in_order() {
    let buckets = [f64::INFINITY, 10.0, 1e-5, 0.25, 1e6, 0.0, -1.0].map(|bound| (bound, Count::Integer(1))).to_vec();
    let histogram = Histogram { buckets, sum: 2.5, count: Count::Integer(1) };
    let summary = Summary { quantiles: vec![(1.0, f64::NAN), (0.5, 1e6)], sum: 1.0, count: 2 };
    check(
        &[
            family("h", Kind::GaugeHistogram, vec![metric(&[("z", "1")], Value::Histogram(histogram))]),
            family("s", Kind::Summary, vec![metric(&[], Value::Summary(summary))]),
        ],
        r#"
# TYPE h histogram
h_bucket{z="1",le="-1.0"} 1
h_bucket{z="1",le="0.0"} 1
h_bucket{z="1",le="1e-05"} 1
h_bucket{z="1",le="0.25"} 1
h_bucket{z="1",le="10.0"} 1
h_bucket{z="1",le="1e+06"} 1
h_bucket{z="1",le="+Inf"} 1
h_sum{z="1"} 2.5
h_count{z="1"} 1
# TYPE s summary
s{quantile="1.0"} NaN
s{quantile="0.5"} 1e+06
s_sum 1
s_count 2
"#,
    );
}

#[test]
fn timestamps_exemplars_and_created_lines_are_shown() {
    let created = Some(Created { at: Timestamp { seconds: 1_790_000_000, nanos: 250 }, is_line: true });
    let counter = Extra { created, exemplars: vec![exemplar(&[("x", "\"y\"")]), exemplar(&[])], ..Extra::default() };
    let bucket_exemplars = BTreeMap::from([(0, exemplar(&[])), (1, exemplar(&[("x", "1")]))]);
    let histogram = Extra { created, bucket_exemplars, ..Extra::default() };
    let buckets = vec![(2.0, Count::Integer(2)), (1.0, Count::Integer(1))];
    let value = Histogram { buckets, sum: 2.5, count: Count::Integer(3) };
    let with = |metric: Metric, extra: Extra| Metric { timestamp: Some(1_500), extra: extra.boxed(), ..metric };
    check(
        &[
            family("c_total", Kind::Counter, vec![with(number(&[("a", "b")], 1.0), counter)]),
            family("h", Kind::Histogram, vec![with(metric(&[], Value::Histogram(value)), histogram)]),
            family(
                "s",
                Kind::Summary,
                vec![with(metric(&[], Value::Summary(Summary::default())), Extra { created, ..Extra::default() })],
            ),
        ],
        r#"
# TYPE c counter
c_total{a="b"} 1 1.5 # {x="\"y\""} 0.5 3.04
c_created{a="b"} 1790000000.00000025 1.5
# TYPE h histogram
h_bucket{le="1.0"} 1 1.5 # {x="1"} 0.5 3.04
h_bucket{le="2.0"} 2 1.5 # {} 0.5 3.04
h_bucket{le="+Inf"} 3 1.5
h_sum 2.5 1.5
h_count 3 1.5
h_created 1790000000.00000025 1.5
# TYPE s summary
s_sum 0 1.5
s_count 0 1.5
s_created 1790000000.00000025 1.5
"#,
    );
}

#[test]
fn what_has_no_place_is_left_out() {
    let is_line = |is_line| Some(Created { at: Timestamp::default(), is_line });
    let long = "ü".repeat(MOST_EXEMPLAR_CHARACTERS);
    let all = |labels: &[(&str, &str)]| Extra { exemplars: vec![exemplar(labels)], ..Extra::default() };
    let extras = [
        ("a_total", Kind::Counter, Extra { created: is_line(false), ..Extra::default() }),
        ("b_total", Kind::Counter, all(&[("x", &long)])),
        ("c_total", Kind::Counter, all(&[("", "x")])),
        ("c_x_total", Kind::Counter, all(&[("a\0", "x")])),
        ("c_y_total", Kind::Counter, all(&[("__name__", "x")])),
        ("c_z_total", Kind::Counter, all(&[("x", "\0")])),
        ("d", Kind::Counter, Extra { created: is_line(true), ..all(&[]) }),
        ("e", Kind::Gauge, Extra { created: is_line(true), ..all(&[]) }),
    ];
    let families =
        extras.map(|(name, kind, extra)| family(name, kind, vec![Metric { extra: extra.boxed(), ..number(&[], 1.0) }]));
    check(
        &families,
        "# TYPE a counter\na_total 1\n# TYPE b counter\nb_total 1\n# TYPE c counter\nc_total 1\n\
         # TYPE c_x counter\nc_x_total 1\n# TYPE c_y counter\nc_y_total 1\n# TYPE c_z counter\nc_z_total 1\n# TYPE d unknown\nd 1\n\
         # TYPE e gauge\ne 1\n",
    );
}

#[test]
fn a_name_that_needs_quotes_stands_inside_the_braces() {
    let histogram = || Value::Histogram(Histogram { buckets: vec![], sum: 2.5, count: Count::Integer(3) });
    check(
        &[
            family("my.\"m\"_total", Kind::Counter, vec![number(&[("a.b", "c"), ("d", "")], 1.0), number(&[], 2.0)]),
            family("my.h", Kind::Histogram, vec![metric(&[], histogram())]),
        ],
        r#"
# TYPE "my.\"m\"" counter
{"my.\"m\"_total"} 2
{"my.\"m\"_total","a.b"="c",d=""} 1
# TYPE "my.h" histogram
{"my.h_bucket",le="+Inf"} 3
{"my.h_sum"} 2.5
{"my.h_count"} 3
"#,
    );
}

#[test]
fn suffixes_come_behind_the_name_that_was_escaped() {
    let extra = Extra {
        created: Some(Created { at: Timestamp::default(), is_line: true }),
        exemplars: vec![exemplar(&[("x.y", "z")])],
        ..Extra::default()
    };
    let counter =
        family("my.c_total", Kind::Counter, vec![Metric { extra: extra.boxed(), ..number(&[("a.b", "c")], 1.0) }]);
    let states = family("my.s", Kind::StateSet, vec![number(&[("my.s", "on")], 1.0)]);
    let rows = [
        (
            Escaping::Underscores,
            "# TYPE my_c counter\nmy_c_total{a_b=\"c\"} 1 # {x_y=\"z\"} 0.5 3.04\nmy_c_created{a_b=\"c\"} 0\n\
             # TYPE my_s stateset\nmy_s{my_s=\"on\"} 1\n",
        ),
        (
            Escaping::Dots,
            "# TYPE my_dot_c_ counter\nmy_dot_c__total{a_dot_b=\"c\"} 1 # {x_dot_y=\"z\"} 0.5 3.04\n\
             my_dot_c__created{a_dot_b=\"c\"} 0\n# TYPE my_dot_s stateset\nmy_dot_s{my_dot_s=\"on\"} 1\n",
        ),
        (
            Escaping::Values,
            "# TYPE U__my_2e_c_ counter\nU__my_2e_c__total{U__a_2e_b=\"c\"} 1 # {U__x_2e_y=\"z\"} 0.5 3.04\n\
             U__my_2e_c__created{U__a_2e_b=\"c\"} 0\n# TYPE U__my_2e_s stateset\nU__my_2e_s{U__my_2e_s=\"on\"} 1\n",
        ),
    ];
    for (escaping, expected) in rows {
        let mut out = String::new();
        for family in [&counter, &states] {
            write_family(&mut out, family.head(), family.metrics.iter().map(MetricRef::from), escaping, |_| false);
        }
        assert_eq!(out, expected, "{escaping:?}");
    }
}

#[test]
fn an_exemplar_whose_labels_become_one_is_left_out() {
    let extra = Extra { exemplars: vec![exemplar(&[("x.y", "1"), ("x_y", "2")])], ..Extra::default() };
    let counter = family("a_total", Kind::Counter, vec![Metric { extra: extra.boxed(), ..number(&[], 1.0) }]);
    let written = |escaping| {
        let mut out = String::new();
        write_family(&mut out, counter.head(), counter.metrics.iter().map(MetricRef::from), escaping, |_| false);
        out
    };
    assert_eq!(written(Escaping::Underscores), "# TYPE a counter\na_total 1\n");
    assert!(written(Escaping::AllowUtf8).ends_with(" # {\"x.y\"=\"1\",x_y=\"2\"} 0.5 3.04\n"));
}

/// Text with everything in it that is escaped or could end a token.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"["\\\\\n\r\t\u{1}nä{}=, #]{0,6}"#]
}

fn any_labels() -> impl Strategy<Value = LabelSet> {
    let label = ("[a-d]", any_text());
    prop::collection::vec(label, 0..3).prop_map(|labels| labels.into_iter().collect())
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![prop::num::f64::ANY, -1e3..1e3].prop_map(|number| if number == 0.0 { 0.0 } else { number })
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn any_exemplar() -> impl Strategy<Value = Exemplar> {
    let label = ("[a-d]", r#"["\\\\\n\r\t\x00ä{}=, #]{0,20}"#);
    let labels = prop::collection::vec(label, 0..3).prop_map(|labels| labels.into_iter().collect());
    (labels, any_number(), prop::option::of(any_time())).prop_map(|(labels, value, timestamp)| Exemplar {
        labels,
        value,
        timestamp,
    })
}

/// Takes out the exemplars that no page has.
fn without_nul(metric: &mut Metric) {
    let has_none = |exemplar: &Exemplar| exemplar.labels.iter().all(|(_, value)| !value.contains('\0'));
    if let Some(mut extra) = metric.extra.take() {
        extra.exemplars.retain(has_none);
        extra.bucket_exemplars.retain(|_, exemplar| has_none(exemplar));
        metric.extra = extra.boxed();
    }
}

fn any_created() -> impl Strategy<Value = Option<Created>> {
    prop::option::of(any_time().prop_map(|at| Created { at, is_line: true }))
}

/// A value and all that can come with it.
type Carried = (Value, Option<Box<Extra>>);

fn any_counter() -> impl Strategy<Value = Carried> {
    (any_number(), any_created(), prop::option::of(any_exemplar())).prop_map(|(number, created, exemplar)| {
        let extra = Extra { created, exemplars: exemplar.into_iter().collect(), ..Extra::default() };
        (Value::Number(number), extra.boxed())
    })
}

fn any_summary() -> impl Strategy<Value = Carried> {
    let quantiles = prop::collection::vec((-1.0..2.0, any_number()), 0..3);
    (quantiles, any_number(), 0..1_u64 << 53, any_created()).prop_map(|(quantiles, sum, count, created)| {
        let extra = Extra { created, ..Extra::default() };
        (Value::Summary(Summary { quantiles, sum, count }), extra.boxed())
    })
}

fn any_histogram() -> impl Strategy<Value = Carried> {
    let bucket = (-1e3..1e3, 0..1_u64 << 50, prop::option::of(any_exemplar()));
    let buckets = prop::collection::vec(bucket, 0..4);
    (buckets, any_number(), any::<bool>(), any_created()).prop_map(|(mut found, sum, is_float, created)| {
        found.push((f64::INFINITY, 1 << 50, None));
        found.sort_by(|(left, ..), (right, ..)| left.total_cmp(right));
        let to_count = |count: u64| if is_float { Count::Float(count as f64 + 0.5) } else { Count::Integer(count) };
        let buckets = found.iter().map(|(bound, count, _)| (*bound, to_count(*count))).collect();
        let exemplars = found.into_iter().enumerate();
        let bucket_exemplars = exemplars.filter_map(|(place, (.., exemplar))| Some((place, exemplar?))).collect();
        let extra = Extra { created, bucket_exemplars, ..Extra::default() };
        (Value::Histogram(Histogram { buckets, sum, count: to_count(7) }), extra.boxed())
    })
}

/// Of a name, and a unit that the name ends with, for every kind that OpenMetrics has a word for.
fn any_family() -> impl Strategy<Value = MetricFamily> {
    let number = |number: BoxedStrategy<f64>| number.prop_map(|number| (Value::Number(number), None)).boxed();
    let of = |name, unit, kind, value: BoxedStrategy<Carried>| (Just((name, unit, kind)), any_metrics(value));
    let family = prop_oneof![
        of("a_s_total", "s", Kind::Counter, any_counter().boxed()),
        of("b_s", "s", Kind::Gauge, number(any_number().boxed())),
        of("c_s", "s", Kind::Summary, any_summary().boxed()),
        of("d_s", "s", Kind::Histogram, any_histogram().boxed()),
        of("e_s", "s", Kind::Untyped, number(any_number().boxed())),
        of("f_info", "", Kind::Info, number(Just(1.0).boxed())),
        of("a", "", Kind::StateSet, number(prop_oneof![Just(0.0), Just(1.0)].boxed())),
    ];
    (family, any_text(), any::<bool>()).prop_map(|(((name, unit, kind), mut metrics), help, has_unit)| {
        for metric in &mut metrics {
            if kind == Kind::StateSet && !metric.labels.contains("a") {
                metric.labels.insert("a", "state");
            }
        }
        metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
        metrics.dedup_by(|left, right| left.labels == right.labels);
        let unit = if has_unit { unit } else { "" };
        // Blanks before help are no part of it, and a carriage return at the end is the line's.
        let help = help.trim_start_matches([' ', '\t']).trim_end_matches('\r').to_owned();
        MetricFamily { name: name.to_owned(), help, unit: unit.to_owned(), kind, metrics }
    })
}

fn any_metrics(value: BoxedStrategy<Carried>) -> impl Strategy<Value = Vec<Metric>> {
    let metrics = prop::collection::btree_map(any_labels(), (value, prop::option::of(any::<i64>())), 1..4);
    metrics.prop_map(|metrics| {
        let metric = |(labels, ((value, extra), timestamp))| Metric { labels, value, timestamp, extra };
        metrics.into_iter().map(metric).collect()
    })
}

proptest! {
    /// Compared as printed for debugging, where each `NaN` is like the other.
    #[test]
    fn printed_families_read_back(families in prop::collection::vec(any_family(), 0..3)) {
        let by_name: BTreeMap<_, _> = families.into_iter().map(|family| (family.name.clone(), family)).collect();
        let mut families: Vec<_> = by_name.into_values().collect();
        let printed = encode(&families);
        families.iter_mut().flat_map(|family| &mut family.metrics).for_each(without_nul);
        let read = decode(printed.as_bytes(), NameValidation::Legacy).unwrap();
        prop_assert_eq!(format!("{:#?}", read), format!("{:#?}", families));
    }
}
