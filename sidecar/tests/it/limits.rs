//! Each limit: where it is, its sentence, its counter, and what is left of the push. The README has a table of them.

use std::collections::BTreeMap;

use sidecar::{
    exposition,
    http::{BodyLimits, Settings},
    store::{self, Rules, Store},
};

use crate::{
    call::{Answer, Calls},
    process::run,
    readme::table,
};

const PROTOBUF: &str =
    "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn with_content(pushes: exposition::Limits) -> Calls {
    Calls::with(Settings { pushes, ..Settings::default() })
}

fn with_bodies(bodies: BodyLimits) -> Calls {
    Calls::with(Settings { bodies, ..Settings::default() })
}

#[track_caller]
fn refuses(calls: &Calls, answer: &Answer, status: u16, reason: &str, sentence: &str) {
    answer.is(status, &format!("{sentence}\n"));
    let page = calls.page();
    assert!(page.contains(&format!("sidegate_pushes_refused_total{{reason=\"{reason}\"}} 1\n")), "{page}");
}

#[test]
fn a_push_that_contains_too_much_is_422_and_its_group_if_known_has_failed() {
    let calls = with_content(exposition::Limits { labels: 2, ..exposition::Limits::NONE });
    let body = "x{a=\"1\",b=\"1\",c=\"1\"} 1\n";
    let sentence = "text format parsing error in line 1, column 1: expected at most 2 labels on a series or in the \
                    grouping key, found 3; `--push.max-labels` sets the limit";
    refuses(&calls, &calls.put("/metrics/job/j", body), 422, "labels", sentence);
    assert!(!calls.page().contains("job=\"j\""));

    calls.put("/metrics/job/j", "x 1\n").is(200, "");
    assert!(calls.page().contains("push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n"));
    assert_eq!(calls.put("/metrics/job/j", body).status, 422);
    let page = calls.page();
    assert!(page.contains("\nx{instance=\"\",job=\"j\"} 1\n"), "{page}");
    assert!(!page.contains("push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n"), "{page}");
}

#[test]
fn a_grouping_key_has_the_limits_of_labels() {
    let calls = with_content(exposition::Limits { label_value_bytes: 5, ..exposition::Limits::NONE });
    let sentence =
        "expected at most 5 bytes as value of a label, found 6; `--push.max-label-value-bytes` sets the limit";
    refuses(&calls, &calls.put("/metrics/job/123456", "x 1\n"), 422, "label_value", sentence);
}

#[test]
fn what_a_push_takes_on_the_page_counts_with_the_labels_of_the_key() {
    let calls = with_content(exposition::Limits { page_bytes: 500, ..exposition::Limits::NONE });
    let body = "x{a=\"1\"} 1\nx{a=\"2\"} 1\n";
    calls.put("/metrics/job/j", body).is(200, "");
    let path = format!("/metrics/job/{}", "j".repeat(300));
    let sentence =
        "expected at most 500 bytes that a push takes on the page, found 709; `--push.max-page-bytes` sets the limit";
    refuses(&calls, &calls.put(&path, body), 422, "page", sentence);
}

#[test]
fn messages_have_the_limits_before_they_are_read() {
    let check = |pushes, metrics: usize, metric: &[u8], reason: &str, sentence: &str| {
        let calls = with_content(pushes);
        let mut family = b"\x0a\x01h\x18\x04".to_vec();
        for _ in 0..metrics {
            family.extend([0x22, metric.len().try_into().unwrap()]);
            family.extend(metric);
        }
        let body = [&[u8::try_from(family.len()).unwrap()][..], &family].concat();
        let answer = calls.push_listener("PUT", "/metrics/job/j", &[PROTOBUF], body);
        let sentence = format!("protobuf parsing error in message 1: {sentence}");
        refuses(&calls, &answer, 422, reason, &sentence);
    };
    let none = exposition::Limits::NONE;
    check(
        exposition::Limits { series: 2, ..none },
        3,
        b"\x3a\x00",
        "series",
        "expected at most 2 series in a push, found 3; `--push.max-series` sets the limit",
    );
    check(
        exposition::Limits { labels: 1, ..none },
        1,
        b"\x0a\x00\x0a\x00\x3a\x00",
        "labels",
        "expected at most 1 labels on a series or in the grouping key, found 2; `--push.max-labels` sets the limit",
    );
    // Three empty buckets.
    check(
        exposition::Limits { buckets: 2, ..none },
        1,
        b"\x3a\x06\x1a\x00\x1a\x00\x1a\x00",
        "buckets",
        "expected at most 2 buckets, quantiles and the like of a histogram or summary, found 3; \
         `--push.max-buckets` sets the limit",
    );
    check(
        exposition::Limits { metric_name_bytes: 0, ..none },
        1,
        b"\x3a\x00",
        "metric_name",
        "expected at most 0 bytes as name of a metric, found 1; `--push.max-metric-name-bytes` sets the limit",
    );
}

#[test]
fn texts_have_the_limits_of_names_and_help() {
    let none = exposition::Limits::NONE;
    let rows = [
        (exposition::Limits { label_name_bytes: 1, ..none }, "x{aa=\"1\"} 1\n", "label_name"),
        (exposition::Limits { metric_name_bytes: 1, ..none }, "xx 1\n", "metric_name"),
        (exposition::Limits { help_bytes: 1, ..none }, "# HELP x hh\nx 1\n", "help"),
        (exposition::Limits { series: 1, ..none }, "x 1\ny 1\n", "series"),
        (exposition::Limits { buckets: 0, ..none }, "# TYPE x summary\nx{quantile=\"1\"} 1\n", "buckets"),
    ];
    for (limits, body, reason) in rows {
        let calls = with_content(limits);
        assert_eq!(calls.put("/metrics/job/j", body).status, 422, "{body}");
        let page = calls.page();
        assert!(page.contains(&format!("sidegate_pushes_refused_total{{reason=\"{reason}\"}} 1\n")), "{page}");
    }
}

#[test]
fn a_full_store_is_429_and_says_when_to_come_back_but_what_is_there_may_be_replaced() {
    let limits = store::Limits { groups: 2, group_series: 2, series: 3 };
    let calls = Calls::around(Store::with(Rules { limits, ..Rules::default() }), Settings::default());
    calls.put("/metrics/job/a", "x 1\ny 1\n").is(200, "");
    calls.put("/metrics/job/b", "x 1\n").is(200, "");
    let answer = calls.put("/metrics/job/c", "");
    let sentence = "expected at most 2 groups, found 3 with this push; `--storage.max-groups` sets the limit";
    refuses(&calls, &answer, 429, "groups", sentence);
    assert_eq!(answer.header("retry-after"), "60");
    let answer = calls.put("/metrics/job/b", "x 1\ny 1\n");
    let sentence = "expected at most 3 series in all groups together, found 4 with this push; \
                    `--storage.max-series` sets the limit";
    refuses(&calls, &answer, 429, "stored_series", sentence);
    assert_eq!(answer.header("retry-after"), "60");
    let answer = calls.put("/metrics/job/a", "x 1\ny 1\nz 1\n");
    let sentence =
        "expected at most 2 series in the group, found 3 with this push; `--storage.max-group-series` sets the limit";
    refuses(&calls, &answer, 422, "group_series", sentence);
    assert_eq!(answer.header("retry-after"), "");
    calls.put("/metrics/job/a", "x 2\nz 2\n").is(200, "");
    assert!(!calls.page().contains("job=\"c\""));
}

#[test]
fn a_full_store_is_429_for_unchecked_pushes_too() {
    let limits = store::Limits { groups: 0, ..store::Limits::NONE };
    let store = Store::with(Rules { limits, ..Rules::default() });
    let calls = Calls::around(store, Settings { is_unchecked: true, ..Settings::default() });
    assert_eq!(calls.put("/metrics/job/a", "x 1\n").status, 429);
}

#[test]
fn a_push_beyond_those_at_once_is_429_and_so_is_a_body_beyond_the_bytes_at_once() {
    let calls = with_bodies(BodyLimits { concurrent: 0, ..BodyLimits::default() });
    let answer = calls.put("/metrics/job/j", "x 1\n");
    let sentence = "expected at most 0 pushes at once, found one more; `--push.max-concurrent` sets the limit";
    refuses(&calls, &answer, 429, "concurrent", sentence);
    assert_eq!(answer.header("retry-after"), "1");

    let calls = with_bodies(BodyLimits { bytes_at_once: 5, ..BodyLimits::default() });
    calls.put("/metrics/job/j", "x 1\n").is(200, "");
    let answer = calls.put("/metrics/job/j", "x 1000\n");
    let sentence = "expected at most 5 bytes of bodies at once, found 7; `--push.max-bytes-at-once` sets the limit";
    refuses(&calls, &answer, 429, "bytes_at_once", sentence);
    assert_eq!(answer.header("retry-after"), "1");
}

#[test]
fn the_readme_has_a_row_for_each_limit_with_its_defaults() {
    let rows = table("Limits");
    let written: BTreeMap<_, _> = rows.iter().map(|row| (row[0].trim_matches('`').to_owned(), row)).collect();
    let (alone, sidecar) = (limits_of(&[]), limits_of(&["sidecar"]));
    assert_eq!(written.keys().collect::<Vec<_>>(), alone.keys().collect::<Vec<_>>());
    let counters = Calls::new().page();
    for (flag, row) in written {
        let [_, _, of_alone, of_sidecar, _, counter] = &row[..] else { panic!("expected six columns in {row:?}") };
        assert_eq!((of_alone, of_sidecar), (&alone[&flag], &sidecar[&flag]), "{flag}");
        let counter = counter.trim_matches('`');
        let series = match counter.strip_prefix("reason ") {
            Some(reason) => format!("sidegate_pushes_refused_total{{reason=\"{}\"}} ", reason.trim_matches('`')),
            None => format!("{counter} "),
        };
        assert!(counters.contains(&format!("\n{series}")), "{flag}: {series}");
    }
}

/// The limits of a role and their defaults, from its help.
fn limits_of(role: &[&str]) -> BTreeMap<String, String> {
    let help = run(&[role, &["--help"]].concat(), &[]).1;
    let section = help.split("\nLimits (0 for none):\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let section = format!(" {}", section.split_whitespace().collect::<Vec<_>>().join(" "));
    let flags = section.split(" --").skip(1).map(|flag| {
        let (name, help) = flag.split_once(' ').unwrap();
        let (_, default) = help.rsplit_once("[default: ").unwrap();
        (format!("--{name}"), default.trim_end_matches(']').to_owned())
    });
    flags.collect()
}
