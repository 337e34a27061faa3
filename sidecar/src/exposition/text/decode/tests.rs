//! The text decoder, by body in and canonical page or fault out.

use proptest::prelude::*;

use super::*;
use crate::exposition::{
    family::{Histogram, Summary},
    text::encode,
};

/// The families as the canonical page shows them, or the fault.
fn check(body: &str, expected: &str) {
    let found = match decode(body.as_bytes()) {
        Ok(families) => encode(&families),
        Err(error) => error.to_string(),
    };
    assert_eq!(found.trim_end(), expected.trim(), "{body:?}");
}

fn fault(body: &str, expected: &str) {
    let error = decode(body.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), format!("text format parsing error in {expected}"), "{body:?}");
}

#[test]
fn samples_are_read_with_and_without_labels() {
    check("a 1\n", "# TYPE a untyped\na 1");
    check("a{} 1\n", "# TYPE a untyped\na 1");
    check("  a  {b=\"c\" , d=\"e\",}2\n", "# TYPE a untyped\na{b=\"c\",d=\"e\"} 2");
    check("# TYPE a counter\n# HELP a One \\\\ two\\n\na 1e3\n", "# HELP a One \\\\ two\\n\n# TYPE a counter\na 1000");
    check("{\"a\",b=\"c\"} 1\n", "# TYPE a untyped\na{b=\"c\"} 1");
    check("# TYPE \"a\" gauge\na 1\n", "# TYPE a gauge\na 1");
    check("#TYPE a GAUGE\na 1\n", "# TYPE a gauge\na 1");
}

#[test]
fn nothing_is_a_push_of_nothing() {
    check("", "");
    check("\n \n# a comment\n# HELP\n# TYPE a\n# TYPE a gauge\n# EOF", "");
    check("#\n# HELP a \n# HELP a text\n", "");
}

#[test]
fn crlf_and_a_missing_last_line_feed_are_accepted() {
    check("# TYPE a gauge\r\na 1\r\nb 2", "# TYPE a gauge\na 1\n# TYPE b untyped\nb 2");
    fault("a 1\rb 2\n", r#"line 1, column 3: expected a number as value, found "1\rb""#);
    fault("a 1\r", r#"line 1, column 3: expected a number as value, found "1\r""#);
}

#[test]
fn a_histogram_is_put_together_from_its_lines() {
    check(
        "# TYPE h histogram\nh_bucket{le=\"1e3\",a=\"x\"} 1\nh_count{a=\"x\"} 3\nh_sum{a=\"x\"} 9\nh_bucket{a=\"y\",le=\".5\"} 0.5\n",
        r#"
# TYPE h histogram
h_bucket{a="x",le="1000"} 1
h_bucket{a="x",le="+Inf"} 3
h_sum{a="x"} 9
h_count{a="x"} 3
h_bucket{a="y",le="0.5"} 0.5
h_bucket{a="y",le="+Inf"} 0
h_sum{a="y"} 0
h_count{a="y"} 0
"#,
    );
}

#[test]
fn a_summary_is_put_together_from_its_lines() {
    check(
        "# TYPE s summary\ns{quantile=\".50\"} 1\ns_sum 2\ns_count 3.7\ns_bucket 4\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n# TYPE s_bucket untyped\ns_bucket 4",
    );
}

#[test]
fn a_suffix_counts_only_after_the_type_is_known() {
    check(
        "x_count 1\n# TYPE x summary\nx_sum 1\n",
        "# TYPE x summary\nx_sum 1\nx_count 0\n# TYPE x_count untyped\nx_count 1",
    );
}

#[test]
fn timestamps_are_read() {
    let families = decode(b"a 1 -123\nb 1\t5").unwrap();
    let times: Vec<_> = families.iter().flat_map(|family| &family.metrics).map(|metric| metric.timestamp).collect();
    assert_eq!(times, [Some(-123), Some(5)]);
}

#[test]
fn a_fault_has_line_and_column() {
    fault("a 1\nfoo-bar 1\n", r#"line 2, column 4: expected a number as value, found "-bar""#);
    fault("a\n", "line 1, column 2: expected a number as value, found the end of the line");
    fault(
        "a 1 \n",
        "line 1, column 5: expected the end of the line or a timestamp in whole milliseconds after the value, found the end of the line",
    );
    fault(
        "a 1 # {}\n",
        "line 1, column 5: expected the end of the line or a timestamp in whole milliseconds after the value, found \"# {}\"",
    );
    fault("\u{feff}a 1\n", "line 1, column 1: expected a metric name, found '\\u{feff}'");
    fault("1a 1\n", "line 1, column 1: expected a metric name, found '1'");
    fault("{} 1\n", "line 1, column 1: expected a metric name before or inside the braces, found none");
    fault("a 1\n{b=\"c\"} 1\n", "line 2, column 1: expected a metric name before or inside the braces, found none");
    fault("a{\"b\"} 1\n", "line 1, column 1: expected one metric name, found \"b\" inside the braces as well");
    fault("{\"a.b\"} 1\n", "line 1, column 1: expected a metric name of letters, digits, `_` and `:`, found \"a.b\"");
    fault("a{\"b.c\"=\"1\"} 1\n", "line 1, column 2: expected a label name of letters, digits and `_`, found \"b.c\"");
    fault("größe 1\n", "line 1, column 3: expected a number as value, found \"öße\"");
    fault("a{b=\"ö\" c} 1\n", "line 1, column 9: expected `,` or `}`, found 'c'");
    fault("a{b=\"c\n", "line 1, column 7: expected `\"` at the end of the value, found the end of the line");
    fault("a{b=\"1\",b=\"1\"} 1\n", "line 1, column 2: expected each label once, found \"b\" again");
    fault(
        "a{__name__=\"b\"} 1\n",
        "line 1, column 2: expected the metric name before the braces, found it as label `__name__`",
    );
}

#[test]
fn a_fault_in_a_comment_is_explained() {
    fault(
        "# TYPE a gauge \na 1\n",
        "line 1, column 10: expected a type (counter, gauge, histogram, gaugehistogram, summary or untyped), found \"gauge \"",
    );
    fault(
        "# TYPE a gauge\n# TYPE a gauge\n",
        "line 2, column 10: expected one TYPE line for \"a\", found a second one",
    );
    fault(
        "a 1\n# TYPE a gauge\n",
        "line 2, column 10: expected the TYPE line of \"a\" before its first sample, found it after",
    );
    fault("# HELP a b\n# HELP a b\n", "line 2, column 10: expected one HELP line for \"a\", found a second one");
    fault("# HELP a b\\t\n", "line 1, column 12: expected `\\\\`, `\\\"` or `\\n` as escape in help, found 't'");
    fault("# HELP a-b c\n", "line 1, column 9: expected a blank after the metric name, found '-'");
    fault("# HELP 1a c\n", "line 1, column 8: expected a metric name, found '1'");
    fault(
        "# HELP \"a c\n",
        "line 1, column 8: expected a metric name in quotes, with `\\\\`, `\\\"` and `\\n` as its escapes, found something else",
    );
}

#[test]
fn a_fault_in_a_composed_metric_is_explained() {
    let histogram = "# TYPE h histogram\n";
    fault(
        &format!("{histogram}h_bucket 1\n"),
        "line 2, column 1: expected label `le` on a histogram's bucket, found none",
    );
    fault(
        &format!("{histogram}h_bucket{{le=\"x\"}} 1\n"),
        "line 2, column 1: expected a number as value of label `le`, found \"x\"",
    );
    fault(
        &format!("{histogram}h_bucket{{le=\"NaN\"}} 1\n"),
        "line 2, column 1: expected a number as value of label `le`, found \"NaN\"",
    );
    fault(&format!("{histogram}h_count -1\n"), "line 2, column 1: expected a count of at least 0, found \"-1\"");
    fault("# TYPE s summary\ns_count NaN\n", "line 2, column 1: expected a count of at least 0, found \"NaN\"");
}

#[test]
fn other_bytes_than_utf8_have_a_place_too() {
    let error = decode(b"a 1\nb{c=\"\xff\"} 1\n").unwrap_err();
    assert_eq!((error.line, error.column, error.fault), (2, 6, Malformed::NotUtf8));
}

fn any_labels() -> impl Strategy<Value = LabelSet> {
    let label = ("[a-d]", any::<String>());
    prop::collection::vec(label, 0..3).prop_map(|labels| labels.into_iter().collect())
}

fn any_count() -> impl Strategy<Value = Count> {
    prop_oneof![(0..=u64::from(u32::MAX)).prop_map(Count::Integer), (0.0..1e9).prop_map(Count::Float)]
}

fn any_value(kind: Kind) -> BoxedStrategy<Value> {
    let pairs = prop::collection::vec((-1e3..1e3, any::<f64>()), 0..3);
    let buckets = prop::collection::vec((-1e3..1e3, any_count()), 0..3);
    match kind {
        Kind::Summary => (pairs, any::<f64>(), any::<u32>())
            .prop_map(|(quantiles, sum, count)| Value::Summary(Summary { quantiles, sum, count: count.into() }))
            .boxed(),
        Kind::Histogram | Kind::GaugeHistogram => (buckets, any::<f64>(), any_count())
            .prop_map(|(buckets, sum, count)| Value::Histogram(Histogram { buckets, sum, count }))
            .boxed(),
        Kind::Counter | Kind::Gauge | Kind::Untyped => any::<f64>().prop_map(Value::Number).boxed(),
    }
}

fn any_family(name: &'static str) -> impl Strategy<Value = MetricFamily> {
    let kinds = vec![Kind::Counter, Kind::Gauge, Kind::Summary, Kind::Untyped, Kind::Histogram];
    prop::sample::select(kinds).prop_flat_map(move |kind| {
        let values = any_value(kind).prop_map(|value| (value, None));
        let metrics = prop::collection::btree_map(any_labels().prop_map(|labels| labels.to_string()), values, 1..4);
        (any::<String>(), metrics).prop_map(move |(help, metrics)| {
            let metrics = metrics.into_iter().map(|(labels, (value, timestamp))| {
                let labels = parse_block(&labels).unwrap().labels.into_iter().collect();
                Metric { labels, value, timestamp, extra: None }
            });
            // Blanks before help are no part of it, and an empty help is none.
            let help = help.trim_start_matches([' ', '\t']).to_owned();
            MetricFamily { name: name.to_owned(), help, kind, metrics: metrics.collect() }
        })
    })
}

proptest! {
    #[test]
    fn a_printed_page_reads_back(one in any_family("one"), two in any_family("two")) {
        let printed = encode(&[one, two]);
        let read = decode(printed.as_bytes()).unwrap();
        prop_assert_eq!(encode(&read), printed);
    }

    #[test]
    fn no_body_breaks_the_decoder(body in prop::collection::vec(any::<u8>(), 0..200), text in "[#a{}\"=, \\\\\nTYPEHLhistogram_bucketle0-9.]{0,80}") {
        let _ = decode(&body);
        let _ = decode(text.as_bytes());
    }
}
