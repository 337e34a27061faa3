//! The OpenMetrics decoder, by body in and families or fault out.

use proptest::prelude::*;

use super::*;
use crate::exposition::{openmetrics::encode, text};

fn families(body: &str) -> Vec<MetricFamily> {
    decode(body.as_bytes(), NameValidation::Legacy).unwrap()
}

/// The families as the canonical page shows them.
fn check(body: &str, expected: &str) {
    let found = match decode(body.as_bytes(), NameValidation::Legacy) {
        Ok(families) => encode(&families),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, format!("{}# EOF\n", expected.trim_start()), "{body:?}");
}

fn fault(body: &str, expected: &str) {
    let error = decode(body.as_bytes(), NameValidation::Legacy).unwrap_err();
    assert_eq!(error.to_string(), format!("OpenMetrics parsing error in {expected}"), "{body:?}");
}

/// Name and type of each family.
fn names(body: &str) -> Vec<(String, Kind)> {
    families(body).into_iter().map(|family| (family.name, family.kind)).collect()
}

fn named(expected: &[(&str, Kind)]) -> Vec<(String, Kind)> {
    expected.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

/// As the client for Python prints it.
const PYTHON: &str = r##"# HELP jobs Jobs \"done\" \\ so far\nand more
# TYPE jobs counter
jobs_total{kind="a"} 2.0 # {trace_id="abc"} 2.0 1795262426.3817654
jobs_created{kind="a"} 1.7952624263817503e+09
# HELP temp_celsius t
# TYPE temp_celsius gauge
# UNIT temp_celsius celsius
temp_celsius 1.5
# HELP d_seconds d
# TYPE d_seconds histogram
# UNIT d_seconds seconds
d_seconds_bucket{le="0.1"} 0.0
d_seconds_bucket{le="1.0"} 1.0 # {trace_id="def"} 0.3 1795262426.3818936
d_seconds_bucket{le="+Inf"} 2.0
d_seconds_count 2.0
d_seconds_sum 5.3
d_seconds_created 1.7952624263818343e+09
# HELP s_seconds s
# TYPE s_seconds summary
s_seconds_count 1.0
s_seconds_sum 2.0
s_seconds_created 1.795262426381918e+09
# HELP build b
# TYPE build info
build_info{version="1.2"} 1.0
# HELP state st
# TYPE state stateset
state{state="on"} 0.0
state{state="off"} 1.0
# EOF
"##;

/// As the client for Node prints it, and the line feed that `console.log` adds.
const NODE: &str = r##"# HELP jobs Jobs "done"
# TYPE jobs counter
jobs_total{kind="a"} 2 # {traceId="abc"} 2 1795262426.235
jobs_total{kind="b"} 1
# HELP d_seconds h
# TYPE d_seconds histogram
d_seconds_bucket{le="0.1",p="/"} 0
d_seconds_bucket{le="1",p="/"} 1 # {traceId="def"} 0.3 1795262426.236
d_seconds_bucket{le="+Inf",p="/"} 1
d_seconds_sum{p="/"} 0.3
d_seconds_count{p="/"} 1
d_seconds_bucket{le="0.1",p="/x"} 0
d_seconds_bucket{le="+Inf",p="/x"} 1
d_seconds_sum{p="/x"} 5
d_seconds_count{p="/x"} 1
# HELP s_seconds s
# TYPE s_seconds summary
s_seconds{quantile="0.5"} 2
s_seconds{quantile="0.9"} 2
s_seconds_sum 2
s_seconds_count 1
# EOF

"##;

#[test]
fn what_the_python_client_prints_is_read() {
    check(
        PYTHON,
        r##"
# HELP build b
# TYPE build info
build_info{version="1.2"} 1
# HELP d_seconds d
# TYPE d_seconds histogram
# UNIT d_seconds seconds
d_seconds_bucket{le="0.1"} 0
d_seconds_bucket{le="1.0"} 1 # {trace_id="def"} 0.3 1795262426.3818936
d_seconds_bucket{le="+Inf"} 2
d_seconds_sum 5.3
d_seconds_count 2
d_seconds_created 1795262426.3818343
# HELP jobs Jobs \"done\" \\ so far\nand more
# TYPE jobs counter
jobs_total{kind="a"} 2 # {trace_id="abc"} 2 1795262426.3817654
jobs_created{kind="a"} 1795262426.3817503
# HELP s_seconds s
# TYPE s_seconds summary
s_seconds_sum 2
s_seconds_count 1
s_seconds_created 1795262426.381918
# HELP state st
# TYPE state stateset
state{state="off"} 1
state{state="on"} 0
# HELP temp_celsius t
# TYPE temp_celsius gauge
# UNIT temp_celsius celsius
temp_celsius 1.5
"##,
    );
}

#[test]
fn what_the_node_client_prints_is_read() {
    check(
        NODE,
        r##"
# HELP d_seconds h
# TYPE d_seconds histogram
d_seconds_bucket{p="/",le="0.1"} 0
d_seconds_bucket{p="/",le="1.0"} 1 # {traceId="def"} 0.3 1795262426.236
d_seconds_bucket{p="/",le="+Inf"} 1
d_seconds_sum{p="/"} 0.3
d_seconds_count{p="/"} 1
d_seconds_bucket{p="/x",le="0.1"} 0
d_seconds_bucket{p="/x",le="+Inf"} 1
d_seconds_sum{p="/x"} 5
d_seconds_count{p="/x"} 1
# HELP jobs Jobs \"done\"
# TYPE jobs counter
jobs_total{kind="a"} 2 # {traceId="abc"} 2 1795262426.235
jobs_total{kind="b"} 1
# HELP s_seconds s
# TYPE s_seconds summary
s_seconds{quantile="0.5"} 2
s_seconds{quantile="0.9"} 2
s_seconds_sum 2
s_seconds_count 1
"##,
    );
}

#[test]
fn families_are_named_as_their_samples() {
    let body = "# TYPE a counter\na_total 1\n# TYPE b info\nb_info 1\n# TYPE c unknown\nc 1\n# TYPE d stateset\nd{d=\"x\"} 1\n\
                # TYPE e histogram\ne_count 1\n# TYPE f gaugehistogram\nf_gcount 1\n# TYPE g summary\ng_sum 1\n";
    let expected = [
        ("a_total", Kind::Counter),
        ("b_info", Kind::Info),
        ("c", Kind::Untyped),
        ("d", Kind::StateSet),
        ("e", Kind::Histogram),
        ("f", Kind::GaugeHistogram),
        ("g", Kind::Summary),
    ];
    assert_eq!(names(body), named(&expected));
}

#[test]
fn a_type_line_of_a_counter_may_have_any_name_that_its_samples_have() {
    assert_eq!(names("# TYPE x_total counter\nx_total 1\n"), named(&[("x_total", Kind::Counter)]));
    assert_eq!(names("# TYPE x counter\nx 1\n"), named(&[("x", Kind::Counter)]));
    assert_eq!(names("# TYPE x_info info\nx_info 1\n"), named(&[("x_info", Kind::Info)]));
    let both = "# TYPE x counter\nx 1\n# TYPE x_total gauge\nx_total 2\n";
    assert_eq!(names(both), named(&[("x", Kind::Counter), ("x_total", Kind::Gauge)]));
    // A suffix counts only after the type is known, as in text.
    let late = "x_total 1\n# TYPE x counter\nx_total{a=\"b\"} 2\n";
    assert_eq!(names(late), named(&[("x_total", Kind::Untyped)]));
}

#[test]
fn sum_and_count_of_a_gauge_histogram_have_their_own_suffixes_or_the_common_ones() {
    let expected = "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    check("# TYPE h gaugehistogram\nh_bucket{le=\"1\"} 1\nh_gsum 3\nh_gcount 2\n", expected);
    check("# TYPE h gaugehistogram\nh_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\n", expected);
}

#[test]
fn help_and_unit_belong_to_the_family_whatever_the_order_of_the_lines() {
    let body = "# UNIT x_seconds seconds\n# HELP x_seconds Some \\\"time\\\"\\n\n# TYPE x_seconds counter\nx_seconds_total 1\n";
    let found = families(body).remove(0);
    assert_eq!((found.help.as_str(), found.unit.as_str()), ("Some \"time\"\n", "seconds"));
    let late = families("# TYPE x_s gauge\nx_s 1\n# HELP x_s text\n# UNIT x_s s\n").remove(0);
    assert_eq!((late.help.as_str(), late.unit.as_str()), ("text", "s"));
    let part = families("# TYPE x summary\n# HELP x_sum a\n# UNIT x_sum b\nx_sum 1\n# HELP x_sum c\n").remove(0);
    assert_eq!((part.help.as_str(), part.unit.as_str()), ("", ""));
}

/// A gateway that knows no OpenMetrics reads these as the text format.
#[test]
fn what_is_fine_as_text_is_read_as_there() {
    let bodies = [
        "",
        "\n\n",
        "# EOF",
        "a 1",
        "a 1\n# EOF\n\n \n",
        "a 1\r\n# EOF\r\n",
        "  a  {b=\"c\" , d=\"e\",}2\n",
        "\n# a comment\n#\n# HELP\n# TYPE a\n# UNIT a\n# UNIT\n# TYPE a gauge\na 1\n",
        "#TYPE a GAUGE\na 1\n",
        "# TYPE a untyped\na 1e3\n",
        "{\"a\",b=\"c\"} 1\n",
        "# HELP a a \\\\ b\n# TYPE a counter\na{x=\"\\\"\\\\\\n\"} -1\n",
        "# TYPE x_total counter\nx_total 1\n# TYPE x_created gauge\nx_created 5\n",
        "# TYPE x histogram\nx_count 1\n# TYPE x_created gauge\nx_created 5\n",
        "x_created 1\nx_info 2\nx_total 3\nx_gsum 4\nx_count 5\n",
        "x_count 1\n# TYPE x summary\nx_sum 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1e3\",a=\"x\"} 1\nh_count{a=\"x\"} 3.5\nh_sum{a=\"y\"} 9\n",
        "# TYPE s summary\ns{quantile=\".50\"} 1\ns_sum 2\ns_count 3.7\ns_bucket 4\n",
    ];
    for body in bodies {
        let expected = text::decode(body.as_bytes(), NameValidation::Legacy).unwrap();
        assert_eq!(families(body), expected, "{body:?}");
    }
}

#[test]
fn timestamps_are_in_seconds() {
    let body = "a 1 1795262426.2359\nb 1 -0.5\nc 1 1e3\n# TYPE h histogram\nh_sum 1 2\nh_count 1 2\n";
    let times: Vec<_> = families(body).iter().map(|family| family.metrics[0].timestamp).collect();
    assert_eq!(times, [Some(1_795_262_426_235), Some(-500), Some(1_000_000), Some(2000)]);
}

#[test]
fn an_exemplar_comes_with_the_counter_or_the_bucket() {
    let body = "# TYPE c counter\nc_total 1 5 # {a=\"b\"} 2 7.5\n\
                # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\t#\t{} NaN\n\
                # TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 2 # {x=\"#\"}1e3 -1\n";
    let extras: Vec<_> =
        families(body).into_iter().map(|mut family| *family.metrics.remove(0).extra.unwrap()).collect();
    let exemplar = |labels: &[(&str, &str)], value, timestamp| {
        let labels = labels.iter().copied().collect();
        Exemplar { labels, value, timestamp }
    };
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    assert_eq!(extras[0].exemplars, [exemplar(&[("a", "b")], 2.0, at(7, 500_000_000))]);
    assert_eq!(extras[1].bucket_exemplars.keys().collect::<Vec<_>>(), [&1]);
    assert!(extras[1].bucket_exemplars[&1].value.is_nan());
    assert_eq!(extras[2].bucket_exemplars[&0], exemplar(&[("x", "#")], 1000.0, at(-1, 0)));
}

#[test]
fn an_exemplar_may_have_128_characters() {
    let body =
        |characters: usize| format!("# TYPE c counter\nc_total 1 # {{ab=\"{}\"}} 1\n", "ü".repeat(characters - 2));
    assert_eq!(families(&body(128))[0].metrics[0].extra.as_ref().unwrap().exemplars.len(), 1);
    fault(
        &body(129),
        "line 2, column 13: expected an exemplar with at most 128 characters in its label names and values, found 129",
    );
}

#[test]
fn a_created_line_tells_of_the_metric_with_its_labels() {
    let body = "# TYPE c counter\nc_created{a=\"1\"} 5.5\nc_total{a=\"1\"} 1\nc_total{a=\"2\"} 1\n";
    let found = families(body).remove(0);
    let created: Vec<_> = found.metrics.iter().map(|metric| metric.extra.as_ref().and_then(|it| it.created)).collect();
    let at = Timestamp { seconds: 5, nanos: 500_000_000 };
    assert_eq!(created, [Some(Created { at, is_line: true }), None]);
}

#[test]
fn a_created_line_without_its_metric_is_a_family_of_its_own() {
    check(
        "# TYPE c counter\nc_created{a=\"1\"} 5.5 7\nc_total 1\n",
        "# TYPE c_created unknown\nc_created{a=\"1\"} 5.5 7\n# TYPE c counter\nc_total 1\n",
    );
    // Beside it, the others are of that family too.
    check(
        "# TYPE c counter\nc_created{a=\"1\"} 5.5\nc_created{a=\"2\"} 6.5\nc_total{a=\"1\"} 1\n",
        "# TYPE c_created unknown\nc_created{a=\"1\"} 5.5\nc_created{a=\"2\"} 6.5\n# TYPE c counter\nc_total{a=\"1\"} 1\n",
    );
    assert_eq!(names("# TYPE g gauge\ng 1\ng_created 5\n"), named(&[("g", Kind::Gauge), ("g_created", Kind::Untyped)]));
    assert_eq!(
        names("# TYPE x counter\nx 1\nx_created 5\n"),
        named(&[("x", Kind::Counter), ("x_created", Kind::Untyped)])
    );
}

#[test]
fn names_in_quotes_may_be_any_text_where_that_is_allowed() {
    let body = "# TYPE \"my.c\" counter\n# UNIT \"my.c\" c\n{\"my.c_total\",\"a.b\"=\"1\"} 2 # {\"d.e\"=\"f\"} 1\n\
                {\"my.c_created\",\"a.b\"=\"1\"} 5\n# TYPE \"my.h\" histogram\n{\"my.h_bucket\",le=\"1\"} 1\n";
    let found = decode(body.as_bytes(), NameValidation::Utf8).unwrap();
    let expected = "# TYPE \"my.c\" counter\n{\"my.c_total\",\"a.b\"=\"1\"} 2 # {\"d.e\"=\"f\"} 1\n{\"my.c_created\",\"a.b\"=\"1\"} 5\n\
                    # TYPE \"my.h\" histogram\n{\"my.h_bucket\",le=\"1.0\"} 1\n{\"my.h_bucket\",le=\"+Inf\"} 0\n{\"my.h_sum\"} 0\n\
                    {\"my.h_count\"} 0\n# EOF\n";
    assert_eq!(encode(&found), expected);
    let places = [("# UNIT \"a.b\" c\n", 8), ("{\"a.b\"} 1\n", 1)];
    for (body, column) in places {
        fault(
            body,
            &format!(
                "line 1, column {column}: expected a metric name of letters, digits, `_` and `:`, found \"a.b\"; \
                 `--push.enable-utf8-names` allows any"
            ),
        );
    }
    fault(
        "# TYPE c counter\nc_total 1 # {\"d.e\"=\"f\"} 1\n",
        "line 2, column 13: expected a label name of letters, digits and `_`, found \"d.e\"; \
         `--push.enable-utf8-names` allows any",
    );
}

#[test]
fn nothing_follows_the_end() {
    fault("a 1\n# EOF\nb 1\n", "line 3, column 1: expected nothing after `# EOF`, found \"b 1\"");
    fault("# EOF\n # EOF\n", "line 2, column 2: expected nothing after `# EOF`, found \"# EOF\"");
}

#[test]
fn a_fault_in_a_comment_is_explained() {
    fault(
        "# TYPE a gauge \n",
        "line 1, column 10: expected a type (counter, gauge, histogram, gaugehistogram, summary, info, stateset or \
         unknown), found \"gauge \"",
    );
    fault(
        "# TYPE a gauge\n# TYPE a gauge\n",
        "line 2, column 10: expected one TYPE line for \"a\", found a second one",
    );
    fault(
        "# TYPE a counter\na_total 1\n# TYPE a_total counter\n",
        "line 3, column 16: expected the TYPE line of \"a\" before its first sample, found it after",
    );
    fault(
        "# TYPE a counter\na_created 1\n# TYPE a counter\n",
        "line 3, column 10: expected the TYPE line of \"a\" before its first sample, found it after",
    );
    fault("# HELP a b\n# HELP a b\n", "line 2, column 10: expected one HELP line for \"a\", found a second one");
    fault("# UNIT a b\n# UNIT a b\n", "line 2, column 10: expected one UNIT line for \"a\", found a second one");
    fault("# HELP a b\\t\n", "line 1, column 12: expected `\\\\`, `\\\"` or `\\n` as escape in help, found 't'");
    fault("# UNIT a-b c\n", "line 1, column 9: expected a blank after the metric name, found '-'");
}

#[test]
fn a_fault_behind_the_value_is_explained() {
    let expected = "expected the end of the line, a timestamp in seconds or an exemplar after the value, found";
    fault("a 1 x\n", &format!("line 1, column 5: {expected} \"x\""));
    fault("a 1 NaN # {}\n", &format!("line 1, column 5: {expected} \"NaN\""));
    fault("a 1 1e300\n", &format!("line 1, column 5: {expected} \"1e300\""));
    let expected = "expected the end of the line or an exemplar after the timestamp, found";
    fault("a 1 2 3 4\n", &format!("line 1, column 7: {expected} \"3 4\""));
}

#[test]
fn a_fault_in_an_exemplar_is_explained() {
    let bad = |exemplar: &str, expected: &str| fault(&format!("# TYPE c counter\nc_total 1 {exemplar}\n"), expected);
    bad("#", "line 2, column 12: expected `{` and the labels of an exemplar after `#`, found the end of the line");
    bad("# 5", "line 2, column 13: expected `{` and the labels of an exemplar after `#`, found '5'");
    bad("# {a=\"b\" 5", "line 2, column 20: expected `,` or `}`, found '5'");
    bad("# {a=\"b\",a=\"b\"} 5", "line 2, column 13: expected each label once, found \"a\" again");
    bad(
        "# {\"x\"} 5",
        "line 2, column 13: expected labels only in the braces of an exemplar, found the metric name \"x\"",
    );
    bad("# {}", "line 2, column 15: expected a number as value of the exemplar, found the end of the line");
    bad("# {} x", "line 2, column 16: expected a number as value of the exemplar, found \"x\"");
    let expected = "expected the end of the line or a timestamp in seconds after the exemplar, found";
    bad("# {} 1 2 3", &format!("line 2, column 18: {expected} \"2 3\""));
    bad("# {} 1 Inf", &format!("line 2, column 18: {expected} \"Inf\""));
}

#[test]
fn an_exemplar_where_none_can_be_is_refused() {
    let rows = [
        ("gauge", "x"),
        ("unknown", "x"),
        ("info", "x_info"),
        ("counter", "x_created"),
        ("summary", "x{quantile=\"0.5\"}"),
        ("summary", "x_sum"),
        ("histogram", "x_sum"),
        ("gaugehistogram", "x_gcount"),
    ];
    for (kind, series) in rows {
        let name = series.split('{').next().unwrap();
        fault(
            &format!("# TYPE x {kind}\n{series} 1 # {{}} 1\n"),
            &format!(
                "line 2, column 1: expected exemplars on counters and buckets of histograms only, found one on {name:?}"
            ),
        );
    }
}

#[test]
fn a_fault_in_a_value_is_explained() {
    fault("a x\n", "line 1, column 3: expected a number as value, found \"x\"");
    fault("# TYPE a info\na_info 2\n", "line 2, column 1: expected 1 as value of an info, found \"2\"");
    fault(
        "# TYPE a stateset\na{a=\"x\"} 0.5\n",
        "line 2, column 1: expected 0 or 1 as value in a stateset, found \"0.5\"",
    );
    let created = "line 2, column 1: expected a time in seconds as value of a `_created` line, found";
    fault("# TYPE a counter\na_created NaN\n", &format!("{created} \"NaN\""));
    fault("# TYPE a summary\na_created 1e99\n", &format!("{created} \"1e99\""));
    fault(
        "# TYPE a counter\na_created 1\na_created 2\n",
        "line 3, column 1: expected one line \"a_created\" for each set of labels, found a second one",
    );
}

#[test]
fn a_fault_in_a_composed_metric_is_explained() {
    let histogram = "# TYPE h histogram\n";
    fault(
        &format!("{histogram}h_bucket 1\n"),
        "line 2, column 1: expected label `le` on a histogram's bucket, found none",
    );
    fault("# TYPE s summary\ns 1\n", "line 2, column 1: expected label `quantile` on a summary's quantile, found none");
    fault(
        &format!("{histogram}h_bucket{{le=\"NaN\"}} 1\n"),
        "line 2, column 1: expected a number as value of label `le`, found \"NaN\"",
    );
    let blank = "expected the end of the line right behind its last word, found a blank at the end of the line";
    fault("x 1 \n", &format!("line 1, column 4: {blank}"));
    fault("x 1 2 \n", &format!("line 1, column 6: {blank}"));
    fault("# TYPE c counter\nc_total 1 # {} 1 \n", &format!("line 2, column 17: {blank}"));
    fault(
        "# TYPE g gaugehistogram\ng_gsum{le=\"1\"} 1\n",
        "line 2, column 1: expected no label `le` on a sum or count, found it on \"g_gsum\"",
    );
    fault("# TYPE g gaugehistogram\ng_gcount -1\n", "line 2, column 1: expected a count of at least 0, found \"-1\"");
}

#[test]
fn a_series_has_one_point_in_time() {
    let expected = "expected one point in time for each series, found";
    fault(
        "a{b=\"c\"} 1 1\na 1 2\na{b=\"c\"} 1 2\n",
        &format!("line 3, column 1: {expected} \"a\" at 1000 and at 2000 ms"),
    );
    fault(
        "# TYPE h histogram\nh_sum 1 1\nh_count 1 1\nh_sum 1 2\n",
        &format!("line 4, column 1: {expected} \"h_sum\" at 1000 and at 2000 ms"),
    );
    // Whether a series comes twice at one time is asked elsewhere, of all formats.
    assert_eq!(families("a 1 1\na 2 1\na 3\n")[0].metrics.len(), 3);
}

#[test]
fn other_bytes_than_utf8_have_a_place_too() {
    let error = decode(b"a 1\nb{c=\"\xff\"} 1\n", NameValidation::Legacy).unwrap_err();
    assert_eq!(error.to_string(), "OpenMetrics parsing error in line 2, column 6: expected UTF-8, found other bytes");
}

#[test]
fn a_fault_repeats_only_the_start_of_what_was_found() {
    let (noise, name) = ("\u{1}".repeat(1 << 20), "n".repeat(1 << 20));
    let bodies = [
        format!("# EOF\n{noise}\n"),
        format!("# TYPE a {noise}\n"),
        format!("# UNIT {name} a\n# UNIT {name} a\n"),
        format!("a 1 {noise}\n"),
        format!("a 1 1 {noise}\n"),
        format!("a 1 # {{\"{noise}\"}} 1\n"),
        format!("a 1 # {{}} {noise}\n"),
        format!("a 1 # {{}} 1 {noise}\n"),
        format!("{name} 1 # {{}} 1\n"),
        format!("# TYPE a info\na_info {}\n", "1".repeat(200)),
        format!("# TYPE a stateset\na {}\n", "1".repeat(200)),
        format!("# TYPE a counter\na_created {}\n", "1".repeat(200)),
        format!("# TYPE {name} counter\n{name}_created 1\n{name}_created 1\n"),
        format!("{name} 1 1\n{name} 1 2\n"),
    ];
    for body in bodies {
        let sentence = decode(body.as_bytes(), NameValidation::Legacy).unwrap_err().to_string();
        assert!(sentence.len() < 700 && sentence.contains('…'), "{} bytes: {sentence:.200}", sentence.len());
    }
}

proptest! {
    #[test]
    fn no_body_breaks_the_decoder(
        body in prop::collection::vec(any::<u8>(), 0..200),
        text in "(# (TYPE|UNIT|HELP) x (counter|info|stateset|histogram|s)\n)?(x(_total|_info|_created|_bucket)?(\\{(le|x)=\"[1x]\"\\})? [01.e-]{1,3}[ 1]{0,3}[# {}=\"a,1]{0,12}\n){0,4}",
    ) {
        let _ = decode(&body, NameValidation::Legacy);
        let _ = decode(text.as_bytes(), NameValidation::Utf8);
    }

    /// Text reads the second of two equal series, which no store takes; here one is enough to refuse it.
    #[test]
    fn a_body_that_is_fine_as_text_is_fine(
        lines in prop::collection::vec(
            "# (TYPE|HELP) x(_total|_info|_sum|_count|_bucket|_created)? (counter|gauge|summary|histogram|untyped)|x(_total|_info|_sum|_count|_bucket|_created|_gsum)?(\\{(le|quantile)=\"[1x]\"\\})? [012]",
            0..6,
        ),
    ) {
        let body = lines.join("\n");
        if text::decode(body.as_bytes(), NameValidation::Legacy).is_ok() {
            let found = decode(body.as_bytes(), NameValidation::Legacy);
            let is_twice = matches!(&found, Err(error) if matches!(error.fault, Malformed::SecondCreated(_)));
            prop_assert!(found.is_ok() || is_twice, "{:?}", found);
        }
    }
}
