//! Pushes that are hard to show: every type, odd numbers, labels and help, failed and empty groups, names in UTF-8.
//!
//! *Never:* what readers make of them.

use crate::{
    gateway::{OPENMETRICS, Push, TEXT},
    hostile_protobuf,
};

/// A value with everything that has to be escaped somewhere.
pub(crate) const ODD_VALUE: &str = "a\\n \"b\"\n{c=\"d\"} # 1\t\r,}\u{1f525}\u{0}\u{2028}é";

const TYPES: &str = "\
# HELP types_counter_total Its help.
# TYPE types_counter_total counter
types_counter_total{code=\"200\"} 3
types_counter_total{code=\"500\"} 1e20
# TYPE types_gauge gauge
types_gauge -4.5
# TYPE types_untyped untyped
types_untyped 7
types_without_type 8
# TYPE types_summary summary
types_summary{quantile=\"0.5\"} 2
types_summary{quantile=\"0.99\"} NaN
types_summary_sum 17.5
types_summary_count 9
# TYPE types_histogram histogram
types_histogram_bucket{le=\"0.1\"} 1
types_histogram_bucket{le=\"1\"} 2
types_histogram_bucket{le=\"1000000\"} 3
types_histogram_bucket{le=\"+Inf\"} 4
types_histogram_sum 1.25
types_histogram_count 4
# TYPE types_bare_histogram histogram
types_bare_histogram_sum 1
types_bare_histogram_count 2
# TYPE types_bare_summary summary
types_bare_summary_sum 1
types_bare_summary_count 2
# TYPE counter_without_suffix counter
counter_without_suffix 1
# TYPE types_empty gauge
";

const NUMBERS: &str = "\
# TYPE number gauge
number{is=\"inf\"} +Inf
number{is=\"minus_inf\"} -Inf
number{is=\"nan\"} NaN
number{is=\"minus_zero\"} -0
number{is=\"least\"} 5e-324
number{is=\"greatest\"} 1.7976931348623157e308
number{is=\"third\"} 0.3333333333333333
number{is=\"large\"} 123456789012345678
number{is=\"million\"} 1000000
number{is=\"ten_millionth\"} 0.0000001
";

const OPEN: &str = "\
# TYPE open_requests counter
# HELP open_requests Help with \\\"quotes\\\", a \\\\ and a \\n line.
open_requests_total{path=\"/\"} 5 # {trace_id=\"open-trace\"} 0.5
open_requests_created{path=\"/\"} 1.6e9
# TYPE open_seconds histogram
# UNIT open_seconds seconds
open_seconds_bucket{le=\"0.5\"} 1 # {trace_id=\"bucket-trace\"} 0.25
open_seconds_bucket{le=\"+Inf\"} 3
open_seconds_sum 2
open_seconds_count 3
# TYPE open_build info
open_build_info{version=\"1.2\"} 1
# TYPE open_state stateset
open_state{open_state=\"on\"} 1
open_state{open_state=\"off\"} 0
# TYPE open_gauge_histogram gaugehistogram
open_gauge_histogram_bucket{le=\"1\"} 1
open_gauge_histogram_bucket{le=\"+Inf\"} 2
open_gauge_histogram_gsum 3
open_gauge_histogram_gcount 2
# TYPE open_unknown unknown
open_unknown 1
# EOF
";

/// Some of these names are one when they are escaped; of those, some are of different types.
const NAMES: &str = "\
# HELP \"my.gauge\" With a dot.
# TYPE \"my.gauge\" gauge
{\"my.gauge\"} 1
# TYPE my_gauge gauge
my_gauge 2
# TYPE \"my gauge\" counter
{\"my gauge\"} 3
# TYPE \"my.histogram\" histogram
{\"my.histogram_bucket\",le=\"1\"} 1
{\"my.histogram_bucket\",le=\"+Inf\"} 2
{\"my.histogram_sum\"} 3
{\"my.histogram_count\"} 2
# TYPE \"my.summary\" summary
{\"my.summary\",quantile=\"0.5\",\"a.b\"=\"c\"} 1
{\"my.summary_sum\",\"a.b\"=\"c\"} 2
{\"my.summary_count\",\"a.b\"=\"c\"} 1
{\"my_histogram.sum\"} 4
{\"my_histogram.bucket\"} 5
{\"größe in m²\",\"über\"=\"1\"} 6
{\"quote\\\"d\\\\ and\\n\"} 7
{\"1st\"} 8
{\"fire\u{1f525}\"} 9
{\"{}\",\"=\\\"{},\"=\"x\"} 10
{\"# TYPE a\"} 11
{\"same\",\"a.b\"=\"1\",a_b=\"2\"} 12
{\"same\",\"a.b\"=\"1\",\"a:b\"=\"2\"} 13
{\"same\",a_b=\"1\"} 14
{\"same\",\"a.b\"=\"1\"} 15
{\"same\",\"a b\"=\"1\",\"name.x\"=\"y\"} 16
{\"push.time.seconds\"} 17
{\"push.time_seconds\"} 18
{\"process.start_time_seconds\"} 19
{\"pushgateway.build_info\",\"a:b\"=\"c\"} 20
# TYPE \"open.seconds\" gauge
{\"open.seconds\"} 21
# TYPE \"dotted.counter_total\" counter
{\"dotted.counter_total\"} 22
";

/// All that has names of the classic alphabet.
pub(crate) fn classic() -> Vec<Push> {
    let mut labels = String::from("# HELP odd_labels Help with \\\\ and \\n and \"quotes\" and {a=\"b\"} 1\t\n");
    let escaped = ODD_VALUE.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    labels.push_str(&format!("odd_labels{{odd=\"{escaped}\",empty=\"\",quantile=\"x\",le=\"y\"}} 1\n"));
    vec![
        Push::new("/metrics/job/types", TEXT, TYPES),
        // The same families in another group, of which one has another help.
        Push::new("/metrics/job/types/instance/host:1/shard/2", TEXT, TYPES.replace("Its help.", "Another help.")),
        Push::new("/metrics/job/numbers", TEXT, NUMBERS),
        Push::new("/metrics/job/labels", TEXT, labels),
        Push::new("/metrics/job@base64/b2RkIC8gIgogam9i/path@base64/L3Zhci90bXA/empty@base64/=", TEXT, "odd_key 1\n"),
        Push::new("/metrics/job/open", OPENMETRICS, OPEN),
        Push::new("/metrics/job/protobuf", crate::gateway::PROTOBUF, hostile_protobuf::body()),
        Push::new("/metrics/job/empty", TEXT, ""),
        Push { status: 400, ..Push::new("/metrics/job/failed", TEXT, "# TYPE types_gauge counter\ntypes_gauge 1\n") },
    ]
}

/// Names that only UTF-8 has, in bodies and in keys.
pub(crate) fn names() -> Vec<Push> {
    vec![
        Push::new("/metrics/job/names", TEXT, NAMES),
        Push::new("/metrics/job/names/U__my_2e_label/x", TEXT, "in_a_named_group 1\n"),
        Push::new("/metrics/job/names/U__my_20_label/y", TEXT, "in_a_named_group 2\n"),
        Push::new("/metrics/job/names/my_label/x", TEXT, "in_a_named_group 3\n"),
        Push::new("/metrics/job/protobuf_names", crate::gateway::PROTOBUF, hostile_protobuf::names()),
        Push::new(
            "/metrics/job/open_names",
            OPENMETRICS,
            "# TYPE \"o.p\" counter\n{\"o.p_total\",\"q.r\"=\"s\"} 1\n# EOF\n",
        ),
    ]
}

/// How long before now the samples of [`timed`] are, in milliseconds.
pub(crate) const BEFORE: i64 = 10_000;

/// Samples with a time; all the same, counted from a time in milliseconds.
pub(crate) fn timed(now: i64) -> Vec<Push> {
    let at = now - BEFORE;
    let histogram = format!("h_bucket{{le=\"+Inf\"}} 1 {at}\nh_sum 1 {at}\nh_count 1 {at}\n");
    let text = format!("timed 1 {at}\nuntimed 2\n# TYPE h histogram\n{histogram}");
    let seconds = format!("{}.{:03}", at / 1000, at % 1000);
    let open = format!("# TYPE timed_open counter\ntimed_open_total 3 {seconds}\n# EOF\n");
    vec![Push::new("/metrics/job/timed", TEXT, text), Push::new("/metrics/job/timed_open", OPENMETRICS, open)]
}
