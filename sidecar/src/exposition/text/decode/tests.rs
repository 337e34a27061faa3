//! The text decoder, by body in and canonical page or fault out.

use proptest::prelude::*;

use super::*;
use crate::exposition::{
    family::{Histogram, Summary, compare_labels},
    text::encode,
};

/// The families as the canonical page shows them, or the fault.
fn check(body: &str, expected: &str) {
    let found = match decode(body.as_bytes(), NameValidation::Legacy) {
        Ok(families) => encode(&families),
        Err(error) => error.to_string(),
    };
    assert_eq!(found.trim_end(), expected.trim(), "{body:?}");
}

fn fault(body: &str, expected: &str) {
    let error = decode(body.as_bytes(), NameValidation::Legacy).unwrap_err();
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
    let families = decode(b"a 1 -123\nb 1\t5", NameValidation::Legacy).unwrap();
    let times: Vec<_> = families.iter().flat_map(|family| &family.metrics).map(|metric| metric.timestamp).collect();
    assert_eq!(times, [Some(-123), Some(5)]);
}

#[test]
fn a_fault_has_line_and_column() {
    fault("a 1\nfoo-bar 1\n", r#"line 2, column 4: expected a number as value, found "-bar""#);
    fault("a\n", "line 1, column 2: expected a number as value, found the end of the line");
    fault(
        "a 1 # {}\n",
        "line 1, column 5: expected the end of the line or a timestamp in whole milliseconds after the value, found \"# {}\"",
    );
    fault("\u{feff}a 1\n", "line 1, column 1: expected a metric name, found '\\u{feff}'");
    fault("1a 1\n", "line 1, column 1: expected a metric name, found '1'");
    fault("{} 1\n", "line 1, column 1: expected a metric name before or inside the braces, found none");
    fault("a 1\n{b=\"c\"} 1\n", "line 2, column 1: expected a metric name before or inside the braces, found none");
    fault("a{\"b\"} 1\n", "line 1, column 1: expected one metric name, found \"b\" inside the braces as well");
    fault(
        "{\"a.b\"} 1\n",
        "line 1, column 1: expected a metric name of letters, digits, `_` and `:`, found \"a.b\"; `--push.enable-utf8-names` allows any",
    );
    fault(
        "a{\"b.c\"=\"1\"} 1\n",
        "line 1, column 2: expected a label name of letters, digits and `_`, found \"b.c\"; `--push.enable-utf8-names` allows any",
    );
    fault("{\"\"} 1\n", "line 1, column 1: expected a metric name in the quotes, found nothing");
    fault("a{\"\"=\"1\"} 1\n", "line 1, column 2: expected a label name in the quotes, found nothing");
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
    fault("# HELP \"\" c\n", "line 1, column 8: expected a metric name in the quotes, found nothing");
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
    for count in ["NaN", "-1", "1e30", "+Inf"] {
        fault(
            &format!("# TYPE s summary\ns_count {count}\n"),
            &format!("line 2, column 1: expected a count from 0 to 18446744073709551615, found {count:?}"),
        );
    }
    fault(
        &format!("{histogram}h_sum{{le=\"1\"}} 1\n"),
        "line 2, column 1: expected no label `le` on a sum or count, found it on \"h_sum\"",
    );
    fault(
        "# TYPE s summary\ns_count{quantile=\"0.5\"} 1\n",
        "line 2, column 1: expected no label `quantile` on a sum or count, found it on \"s_count\"",
    );
    let blank = "expected the end of the line right behind its last word, found a blank at the end of the line";
    fault("x 1 \n", &format!("line 1, column 4: {blank}"));
    fault("x{a=\"b\"} 1\t ", &format!("line 1, column 11: {blank}"));
}

#[test]
fn names_in_quotes_may_be_any_text_where_that_is_allowed() {
    let check = |body: &str, expected: &str| {
        let found = match decode(body.as_bytes(), NameValidation::Utf8) {
            Ok(families) => encode(&families),
            Err(error) => error.to_string(),
        };
        assert_eq!(found.trim_end(), expected, "{body:?}");
    };
    check("{\"a.b\"} 1\n", "# TYPE \"a.b\" untyped\n{\"a.b\"} 1");
    check("{ x=\"1\", \"größe y\" , } 1\n", "# TYPE \"größe y\" untyped\n{\"größe y\",x=\"1\"} 1");
    check("{\"a\",\"b.c\"=\"1\"} 1\n", "# TYPE a untyped\na{\"b.c\"=\"1\"} 1");
    check("{\"a:b\",\"a:b\"=\"1\"} 1\n", "# TYPE a:b untyped\na:b{\"a:b\"=\"1\"} 1");
    check(
        "# HELP \"a\\n\\\"\\\\\" b\n{\"a\\n\\\"\\\\\"} 1\n",
        "# HELP \"a\\n\\\"\\\\\" b\n# TYPE \"a\\n\\\"\\\\\" untyped\n{\"a\\n\\\"\\\\\"} 1",
    );
    check(
        "# TYPE \"s.t\" summary\n{\"s.t\",quantile=\"0.5\"} 1\n{\"s.t_count\"} 2\n",
        "# TYPE \"s.t\" summary\n{\"s.t\",quantile=\"0.5\"} 1\n{\"s.t_sum\"} 0\n{\"s.t_count\"} 2",
    );
    let place = "text format parsing error in line 1, column";
    check("{\"\"} 1\n", &format!("{place} 1: expected a metric name in the quotes, found nothing"));
    check("# TYPE \"\" gauge\n", &format!("{place} 8: expected a metric name in the quotes, found nothing"));
    check("a{\"\"=\"\"} 1\n", &format!("{place} 2: expected a label name in the quotes, found nothing"));
    let sentence = "expected a name without U+0000, which no scraper can read, found";
    check("{\"a\0\"} 1\n", &format!("{place} 1: {sentence} \"a\\0\""));
    check("# HELP \"a\0\" b\n", &format!("{place} 8: {sentence} \"a\\0\""));
    check("a{\"\0\"=\"1\"} 1\n", &format!("{place} 2: {sentence} \"\\0\""));
    check("größe 1\n", &format!("{place} 3: expected a number as value, found \"öße\""));
    check(
        "{\"a.b\",\"__name__\"=\"x\"} 1\n",
        &format!("{place} 1: expected the metric name before the braces, found it as label `__name__`"),
    );
}

/// Eight MiB of control characters were a sentence of forty once.
#[test]
fn a_fault_repeats_only_the_start_of_what_was_found() {
    let (noise, name) = ("\u{1}".repeat(1 << 20), "n".repeat(1 << 20));
    let bodies = [
        format!("a {noise}\n"),
        format!("a 1 {noise}\n"),
        format!("{{\"{noise}\"}} 1\n"),
        format!("a{{\"{noise}\"}} 1\n"),
        format!("a{{\"{noise}\"=\"1\"}} 1\n"),
        format!("a{{{name}=\"1\",{name}=\"1\"}} 1\n"),
        format!("# TYPE a {noise}\n"),
        format!("# TYPE {name} gauge\n# TYPE {name} gauge\n"),
        format!("{name} 1\n# TYPE {name} gauge\n"),
        format!("# HELP {name} a\n# HELP {name} a\n"),
        format!("# TYPE h histogram\nh_bucket{{le=\"{noise}\"}} 1\n"),
        format!("# TYPE h histogram\nh_count -{}\n", "1".repeat(200)),
    ];
    for body in bodies {
        let sentence = decode(body.as_bytes(), NameValidation::Legacy).unwrap_err().to_string();
        assert!(sentence.len() < 700 && sentence.contains('…'), "{} bytes: {sentence:.200}", sentence.len());
    }
}

/// Shifting each label into its place takes a large part of a minute here, sorting them a moment.
#[test]
fn many_labels_in_falling_order_are_read_at_once() {
    let labels: String = (0..200_000).rev().map(|n| format!("l{n:06}=\"\",")).collect();
    let families = decode(format!("a{{{labels}}} 1\n").as_bytes(), NameValidation::Legacy).unwrap();
    assert_eq!(families[0].metrics[0].labels.len(), 200_000);
}

#[test]
fn other_bytes_than_utf8_have_a_place_too() {
    let error = decode(b"a 1\nb{c=\"\xff\"} 1\n", NameValidation::Legacy).unwrap_err();
    assert_eq!((error.line, error.column, error.fault), (2, 6, Malformed::NotUtf8));
}

/// Text with everything in it that is escaped or could end a token.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"["\\\\\n\r\t\u{1}nä{}=, #:.]{0,6}"#]
}

/// A name of a label, or of a family, that no suffix or inner label is taken for.
fn any_name() -> impl Strategy<Value = String> {
    let hostile = any_text().prop_filter("parts of others", |name| {
        let is_part = Kind::WORDS.iter().flat_map(|(_, kind)| kind.suffixes()).any(|suffix| name.ends_with(suffix));
        allows_metric(NameValidation::Utf8, name)
            && name != "le"
            && name != "quantile"
            && name != "__name__"
            && !is_part
    });
    prop_oneof!["[a-d]", hostile]
}

fn any_labels(name: impl Strategy<Value = String>) -> impl Strategy<Value = LabelSet> {
    prop::collection::vec((name, any_text()), 0..3).prop_map(|labels| labels.into_iter().collect())
}

/// Up to what a double holds without becoming 2^64, which is no whole count.
fn any_whole() -> impl Strategy<Value = u64> {
    prop_oneof![0..=u64::from(u32::MAX), 0..=u64::MAX / 2]
}

fn any_count() -> impl Strategy<Value = Count> {
    let float = prop_oneof![0.0..1e9, Just(f64::INFINITY), Just(1e300)];
    prop_oneof![any_whole().prop_map(Count::Integer), float.prop_map(Count::Float)]
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![prop::num::f64::ANY, -1e3..1e3, Just(-0.0)]
}

fn any_bound() -> impl Strategy<Value = f64> {
    prop_oneof![5 => -1e3..1e3, 1 => Just(-0.0), 1 => Just(f64::INFINITY), 1 => Just(f64::NEG_INFINITY)]
}

fn any_value(kind: Kind) -> BoxedStrategy<Value> {
    let pairs = prop::collection::vec((any_bound(), any_number()), 0..3);
    let buckets = prop::collection::vec((any_bound(), any_count()), 0..3);
    match kind {
        Kind::Summary => (pairs, any_number(), any_whole())
            .prop_map(|(quantiles, sum, count)| Value::Summary(Summary { quantiles, sum, count }))
            .boxed(),
        Kind::Histogram | Kind::GaugeHistogram => (buckets, any_number(), any_count())
            .prop_map(|(buckets, sum, count)| Value::Histogram(Histogram { buckets, sum, count }))
            .boxed(),
        Kind::Counter | Kind::Gauge | Kind::Untyped | Kind::Info | Kind::StateSet => {
            any_number().prop_map(Value::Number).boxed()
        }
    }
}

fn any_family(name: &'static str) -> impl Strategy<Value = MetricFamily> {
    any_family_of(Just(name.to_owned()), "[a-d]".boxed())
}

fn any_family_of(
    name: impl Strategy<Value = String> + Clone,
    label: BoxedStrategy<String>,
) -> impl Strategy<Value = MetricFamily> {
    prop::sample::select(Kind::WORDS.to_vec()).prop_flat_map(move |(_, kind)| {
        let metrics = prop::collection::btree_map(any_labels(label.clone()), any_value(kind), 0..4);
        (name.clone(), any_text(), metrics).prop_map(move |(name, help, metrics)| {
            let metrics =
                metrics.into_iter().map(|(labels, value)| Metric { labels, value, timestamp: None, extra: None });
            MetricFamily { name, help, unit: String::new(), kind, metrics: metrics.collect() }
        })
    })
}

/// What the format can say of the families, in the one form it says it in. All that a page does not keep is named
/// here: everything else has to come back.
pub(in crate::exposition) fn canonical(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    families.retain(|family| !family.metrics.is_empty());
    families.sort_by(|left, right| left.name.cmp(&right.name));
    for family in &mut families {
        // Blanks before help are no part of it, and a carriage return at the end is the line's.
        let help = family.help.trim_start_matches([' ', '\t']);
        family.help = help.strip_suffix('\r').unwrap_or(help).to_owned();
        if family.kind == Kind::GaugeHistogram {
            family.kind = Kind::Histogram;
        }
        family.metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
        for metric in &mut family.metrics {
            match &mut metric.value {
                Value::Number(number) => *number = unsigned_zero(*number),
                Value::Summary(summary) => canonical_summary(summary),
                Value::Histogram(histogram) => canonical_histogram(histogram),
            }
        }
    }
    families
}

fn canonical_summary(summary: &mut Summary) {
    for (quantile, value) in &mut summary.quantiles {
        (*quantile, *value) = (unsigned_zero(*quantile), unsigned_zero(*value));
    }
    summary.sum = unsigned_zero(summary.sum);
    if let Some(Count::Integer(count)) = Count::from_f64(summary.count as f64) {
        summary.count = count;
    }
}

fn canonical_histogram(histogram: &mut Histogram) {
    let through_a_double = |count: Count| Count::from_f64(count.as_f64()).unwrap();
    if histogram.buckets.iter().all(|(bound, _)| *bound != f64::INFINITY) {
        histogram.buckets.push((f64::INFINITY, histogram.count));
    }
    for (bound, count) in &mut histogram.buckets {
        (*bound, *count) = (unsigned_zero(*bound), through_a_double(*count));
    }
    histogram.sum = unsigned_zero(histogram.sum);
    histogram.count = through_a_double(histogram.count);
    histogram.unify_counts();
}

fn unsigned_zero(number: f64) -> f64 {
    if number == 0.0 { 0.0 } else { number }
}

proptest! {
    /// Compared as printed for debugging, where each `NaN` is like the other.
    #[test]
    fn printed_families_read_back(one in any_family("one"), two in any_family("two")) {
        let families = vec![two, one];
        let printed = encode(&families);
        let read = decode(printed.as_bytes(), NameValidation::Legacy).unwrap();
        prop_assert_eq!(format!("{:#?}", read), format!("{:#?}", canonical(families)));
    }

    #[test]
    fn printed_families_with_names_in_utf8_read_back(
        one in any_family_of(any_name().boxed(), any_name().boxed()),
        two in any_family_of(any_name().boxed(), any_name().boxed()),
    ) {
        prop_assume!(one.name != two.name);
        let families = vec![two, one];
        let printed = encode(&families);
        let read = decode(printed.as_bytes(), NameValidation::Utf8).unwrap();
        prop_assert_eq!(format!("{:#?}", read), format!("{:#?}", canonical(families)));
    }

    #[test]
    fn no_body_breaks_the_decoder(body in prop::collection::vec(any::<u8>(), 0..200), text in "[#a{}\"=, \\\\\nTYPEHLhistogram_bucketle0-9.]{0,80}") {
        let _ = decode(&body, NameValidation::Legacy);
        let _ = decode(text.as_bytes(), NameValidation::Legacy);
        let _ = decode(text.as_bytes(), NameValidation::Utf8);
    }
}
