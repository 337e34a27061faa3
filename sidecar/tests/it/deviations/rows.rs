//! The rows about pushes, in the order of the README; `process_rows` has the others.
//!
//! *Never:* how they are checked.

use super::{Call, Row, Shown};

const fn push(path: &'static str, body: &'static [u8]) -> Call {
    ("PUT", path, &[], body, 200, "")
}

pub(super) const fn here(
    calls: &'static [Call],
    shows: &'static [&'static str],
    hides: &'static [&'static str],
) -> Shown {
    Shown::Here { calls, shows, hides }
}

const fn refused(path: &'static str, body: &'static [u8], start: &'static str) -> Call {
    ("PUT", path, &[], body, 400, start)
}

pub(super) const NOT_FOUND: &str = "404 page not found\n";
const PROTOBUF: &str =
    "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "`%2F` in a push path",
        shown: here(
            &[push("/metrics/job/a%2Fb/path/%2Fvar%2ftmp", b"x 1\n")],
            &["x{instance=\"\",job=\"a/b\",path=\"/var/tmp\"} 1\n"],
            &[],
        ),
    },
    Row {
        name: "`//` in a push path",
        shown: here(
            &[
                push("/metrics/job/j/a//b/c", b"x 1\n"),
                ("PUT", "/metrics/job//a/b", &[], b"", 400, "job name is required"),
                ("PUT", "//metrics/job/j", &[], b"", 404, NOT_FOUND),
            ],
            &["x{a=\"\",b=\"c\",instance=\"\",job=\"j\"} 1\n"],
            &[],
        ),
    },
    Row {
        name: "`.` and `..` in a push path",
        shown: here(
            &[push("/metrics/job/../a/.", b"x 1\n"), push("/metrics/job/%2e%2e/a/%2e", b"y 1\n")],
            // Both name the same group, and PUT replaces it.
            &["y{a=\".\",instance=\"\",job=\"..\"} 1\n"],
            &["\nx{"],
        ),
    },
    Row {
        name: "another spelling of the fixed parts of a push path",
        shown: here(
            &[
                ("PUT", "/METRICS/Job/x", &[], b"x 1\n", 404, NOT_FOUND),
                ("POST", "/metrics/JOB/x", &[], b"x 1\n", 404, NOT_FOUND),
                ("POST", "/%6Detrics/job/x", &[], b"x 1\n", 404, NOT_FOUND),
            ],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "`POST /metrics/job/`",
        shown: here(
            &[("POST", "/metrics/job/", &[], b"", 400, "job name is required: expected a value for `job`")],
            &[],
            &[],
        ),
    },
    Row { name: "redirects of push paths", shown: Shown::By("tests/it/paths.rs::no_push_path_is_redirected") },
    Row { name: "`GET /metrics/`", shown: Shown::By("tests/it/paths.rs::the_page_is_at_both_spellings") },
    Row {
        name: "`+` in base64",
        shown: here(&[push("/metrics/job@base64/8J+Yig", b"x 1\n")], &["x{instance=\"\",job=\"😊\"} 1\n"], &[]),
    },
    Row {
        name: "a line feed in base64",
        shown: here(
            &[("PUT", "/metrics/job@base64/YQ%0A", &[], b"", 400, "invalid base64 encoding for label \"job\"")],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "a label twice in the path",
        shown: here(
            &[
                (
                    "PUT",
                    "/metrics/job/j/a/1/a/2",
                    &[],
                    b"x 1\n",
                    400,
                    "expected each label once in the grouping key, found \"a\" again",
                ),
                (
                    "PUT",
                    "/metrics/job/j/job/k",
                    &[],
                    b"x 1\n",
                    400,
                    "expected each label once in the grouping key, found \"job\" again",
                ),
            ],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "a value in the path that is not UTF-8",
        shown: here(
            &[
                (
                    "PUT",
                    "/metrics/job/%ff",
                    &[],
                    b"x 1\n",
                    400,
                    "expected UTF-8 as value of label \"job\", found other bytes\n",
                ),
                (
                    "PUT",
                    "/metrics/job/j/a@base64/_w",
                    &[],
                    b"x 1\n",
                    400,
                    "expected UTF-8 as value of label \"a\", found other bytes\n",
                ),
                push("/metrics/job/k", b"x 2\n"),
            ],
            &["x{instance=\"\",job=\"k\"} 2\n"],
            &["job=\"j\""],
        ),
    },
    Row {
        name: "a `U__` name of a reserved label",
        shown: Shown::By("tests/it/paths.rs::names_of_any_text_are_read_from_the_path_where_they_are_allowed"),
    },
    Row {
        name: "`instance=\"\"` in the key beside no `instance`",
        shown: here(
            &[
                push("/metrics/job/j", b"x 1\n"),
                (
                    "PUT",
                    "/metrics/job/j/instance/",
                    &[],
                    b"y 2\n",
                    400,
                    "pushed metrics are invalid or inconsistent with existing metrics: expected a grouping key that can be told from ",
                ),
                push("/metrics/job/k", b"x 3\n"),
            ],
            &[
                "x{instance=\"\",job=\"j\"} 1\nx{instance=\"\",job=\"k\"} 3\n",
                "push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n",
            ],
            &[],
        ),
    },
    Row {
        name: "CRLF at the end of lines",
        shown: here(
            &[push("/metrics/job/j", b"# TYPE x gauge\r\nx 1\r\n\r\ny 2\r\n")],
            &["# TYPE x gauge\nx{instance=\"\",job=\"j\"} 1\n", "y{instance=\"\",job=\"j\"} 2\n"],
            &["\r"],
        ),
    },
    Row {
        name: "no line feed at the end of the body",
        shown: here(&[push("/metrics/job/j", b"x 1\ny 2")], &["y{instance=\"\",job=\"j\"} 2\n"], &[]),
    },
    Row {
        name: "a CR elsewhere",
        shown: here(
            &[
                push("/metrics/job/k", b"# HELP y a\rb\ny{a=\"b\rc\"} 1\n"),
                (
                    "PUT",
                    "/metrics/job/j",
                    &[],
                    b"x 1\ry 2\n",
                    400,
                    "text format parsing error in line 1, column 3: expected a number as value, found \"1\\ry\"\n",
                ),
            ],
            &["# HELP y a\rb\n", "y{a=\"b\rc\",instance=\"\",job=\"k\"} 1\n"],
            &["job=\"j\""],
        ),
    },
    Row {
        name: "a line without a metric name",
        shown: here(
            &[
                (
                    "PUT",
                    "/metrics/job/j",
                    &[],
                    b"x 1\n{a=\"b\"} 2\n",
                    400,
                    "text format parsing error in line 2, column 1: expected a metric name before or inside the braces, found none\n",
                ),
                ("PUT", "/metrics/job/j", &[], b"{} 1\n", 400, "text format parsing error in line 1, column 1: "),
            ],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "where a body is wrong",
        shown: here(
            &[(
                "PUT",
                "/metrics/job/j",
                &[],
                b"x 1\ny{a=b} 2\n",
                400,
                "text format parsing error in line 2, column 5: expected `\"`, found 'b'\n",
            )],
            &[],
            &[],
        ),
    },
    Row {
        name: "an unknown `Content-Encoding`",
        shown: here(
            &[(
                "PUT",
                "/metrics/job/j",
                &["content-encoding: br"],
                b"x 1\n",
                415,
                "expected `Content-Encoding` to be one of gzip, deflate, snappy, zstd or identity, found \"br\"\n",
            )],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "a body that was encoded twice",
        shown: here(
            &[(
                "PUT",
                "/metrics/job/j",
                &["content-encoding: gzip, gzip"],
                b"x 1\n",
                415,
                "expected `Content-Encoding` to be one of gzip, deflate, snappy, zstd or identity, found \"gzip, gzip\"\n",
            )],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "a body in `deflate`, `zstd` or a snappy block",
        shown: Shown::By("tests/it/push.rs::known_encodings_are_undone"),
    },
    Row {
        name: "a large body",
        shown: Shown::By("tests/it/push.rs::a_body_over_the_limit_is_413_before_and_after_decompression"),
    },
    Row {
        name: "many series, groups or connections, long labels, slow requests",
        shown: Shown::By("tests/it/limits.rs::the_readme_has_a_row_for_each_limit_with_its_defaults"),
    },
    Row {
        name: "`Content-Encoding` on a DELETE",
        shown: here(
            &[
                push("/metrics/job/j", b"x 1\n"),
                ("DELETE", "/metrics/job/j", &["content-encoding: gzip"], b"", 202, ""),
            ],
            &[],
            &["job=\"j\""],
        ),
    },
    Row {
        name: "`Content-Encoding` on a GET",
        shown: here(&[("GET", "/-/ready", &["content-encoding: gzip"], b"", 200, "OK")], &[], &[]),
    },
    Row {
        name: "`push_failure_time_seconds` in a push",
        shown: here(
            &[
                push("/metrics/job/j", b"x 1\n"),
                push(
                    "/metrics/job/j",
                    b"# TYPE push_failure_time_seconds counter\npush_failure_time_seconds{a=\"b\"} 7\ny 1\n",
                ),
                push("/metrics/job/k", b"x 1\n"),
            ],
            &[
                "# TYPE push_failure_time_seconds gauge\npush_failure_time_seconds{instance=\"\",job=\"j\"} 0\n",
                "y{instance=\"\",job=\"j\"} 1\n",
            ],
            &["a=\"b\""],
        ),
    },
    Row {
        name: "protobuf of an unknown type, or without a name",
        shown: here(
            &[
                (
                    "PUT",
                    "/metrics/job/j",
                    &[PROTOBUF],
                    b"\x05\x0a\x01g\x18\x09",
                    400,
                    "protobuf parsing error in message 1: expected a type from 0 to ",
                ),
                (
                    "PUT",
                    "/metrics/job/j",
                    &[PROTOBUF],
                    b"\x02\x18\x01",
                    400,
                    "protobuf parsing error in message 1: expected a family name, found none\n",
                ),
            ],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "HELP that differs between groups",
        shown: here(
            &[
                push("/metrics/job/j", b"# HELP x First.\nx 1\n"),
                push("/metrics/job/a", b"# HELP x Second.\nx 1\n"),
                push("/metrics/job/j", b"# HELP x First.\nx 2\n"),
                push("/metrics/job/j", b"# HELP y First.\ny 1\n"),
                push("/metrics/job/b", b"# HELP y Second.\ny 1\n"),
            ],
            &["# HELP x Second.\n", "# HELP y First.\n"],
            &["# HELP x First.\n", "# HELP y Second.\n"],
        ),
    },
    Row {
        name: "a body of OpenMetrics",
        shown: Shown::By("tests/it/openmetrics.rs::a_body_of_openmetrics_is_read_with_all_it_carries"),
    },
    Row {
        name: "a body that ends with `# EOF`",
        shown: Shown::By(
            "tests/it/openmetrics.rs::a_body_that_ends_as_openmetrics_is_read_so_where_its_type_leaves_it_open",
        ),
    },
    Row {
        name: "a bound in text that is missing, twice on a line or NaN",
        shown: here(
            &[
                refused(
                    "/metrics/job/j",
                    b"# TYPE h histogram\nh_bucket 1\n",
                    "text format parsing error in line 2, column 1: expected label `le` on a histogram's bucket, found none\n",
                ),
                refused(
                    "/metrics/job/j",
                    b"# TYPE s summary\ns 1\n",
                    "text format parsing error in line 2, column 1: expected label `quantile` on a summary's quantile, found none\n",
                ),
                refused(
                    "/metrics/job/j",
                    b"# TYPE h histogram\nh_bucket{le=\"1\",le=\"2\"} 1\n",
                    "text format parsing error in line 2, column 9: expected each label once, found \"le\" again\n",
                ),
                refused(
                    "/metrics/job/j",
                    b"# TYPE h histogram\nh_bucket{le=\"NaN\"} 1\n",
                    "text format parsing error in line 2, column 1: expected a number as value of label `le`, found \"NaN\"\n",
                ),
            ],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "a count below zero or NaN",
        shown: here(
            &[
                refused(
                    "/metrics/job/j",
                    b"# TYPE s summary\ns_count NaN\n",
                    "text format parsing error in line 2, column 1: expected a count from 0 to 18446744073709551615, found \"NaN\"\n",
                ),
                refused(
                    "/metrics/job/j",
                    b"# TYPE s summary\ns_count -1\n",
                    "text format parsing error in line 2, column 1: expected a count from 0 to 18446744073709551615, found \"-1\"\n",
                ),
                refused(
                    "/metrics/job/j",
                    b"# TYPE h histogram\nh_count NaN\n",
                    "text format parsing error in line 2, column 1: expected a count of at least 0, found \"NaN\"\n",
                ),
                refused(
                    "/metrics/job/j",
                    b"# TYPE h histogram\nh_bucket{le=\"1\"} -1\n",
                    "text format parsing error in line 2, column 1: expected a count of at least 0, found \"-1\"\n",
                ),
            ],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "help or a comment that is not UTF-8",
        shown: here(
            &[
                refused(
                    "/metrics/job/j",
                    b"# HELP x \xff\nx 1\n",
                    "text format parsing error in line 1, column 10: expected UTF-8, found other bytes\n",
                ),
                refused(
                    "/metrics/job/j",
                    b"# \xff\nx 1\n",
                    "text format parsing error in line 1, column 3: expected UTF-8, found other bytes\n",
                ),
            ],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "a backslash in the type of a TYPE line",
        shown: here(
            &[refused(
                "/metrics/job/j",
                b"# TYPE x gau\\ge\nx 1\n",
                "text format parsing error in line 1, column 10: expected a type (",
            )],
            &[],
            &["push_time_seconds{"],
        ),
    },
    Row {
        name: "a protobuf family without series",
        shown: here(
            &[
                ("PUT", "/metrics/job/a", &[PROTOBUF], b"\x05\x0a\x01e\x18\x02", 200, ""),
                push("/metrics/job/b", b"# TYPE e gauge\ne 1\n"),
                push("/metrics/job/c", b"z_sum 1\n"),
                (
                    "PUT",
                    "/metrics/job/d",
                    &[PROTOBUF],
                    b"\x05\x0a\x01z\x18\x02",
                    400,
                    "pushed metrics are invalid or inconsistent with existing metrics: expected no family \"z_sum\" beside the summary \"z\"",
                ),
            ],
            &["# TYPE e gauge\ne{instance=\"\",job=\"b\"} 1\n", "push_time_seconds{instance=\"\",job=\"d\"} 0\n"],
            &[],
        ),
    },
    Row {
        name: "a protobuf metric without the value of its type",
        shown: here(
            &[
                push("/metrics/job/j", b"x 1\n"),
                (
                    "PUT",
                    "/metrics/job/j",
                    &[PROTOBUF],
                    b"\x07\x0a\x01q\x18\x01\x22\x00",
                    400,
                    "protobuf parsing error in message 1: expected each metric of \"q\" to have the value of a gauge, found one without\n",
                ),
            ],
            &["x{instance=\"\",job=\"j\"} 1\n", "push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n"],
            &[],
        ),
    },
    Row {
        name: "a bad escape where no key is read",
        shown: here(
            &[
                ("GET", "/metrics%zz", &[], b"", 404, NOT_FOUND),
                ("GET", "/metrics/job/%zz", &[], b"", 405, "Method Not Allowed\n"),
                ("GET", "/-/healthy?%zz", &[], b"", 200, "OK"),
            ],
            &[],
            &[],
        ),
    },
];
