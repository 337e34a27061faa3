//! Timestamps in a push, by the rule of the store.

use axum::body::Body;
use sidecar::{
    http::Settings,
    store::{Rules, Store, Timestamps},
};

use crate::call::Calls;

fn with(timestamps: Timestamps) -> Calls {
    Calls::around(Store::with(Rules { timestamps, ..Rules::default() }), Settings::default())
}

const PUSH: &str = "# TYPE h histogram\nh_bucket{le=\"1\"} 1 2000\nh_sum 1 2000\nh_count 1 2000\nx 1 1000\ny 1\n";

#[test]
fn a_push_with_timestamps_is_refused_by_default() {
    let calls = Calls::new();
    let sentence = "expected no timestamps, found one on a sample of";
    for (body, name) in [("x 1 0\n", "x"), ("y 1\nx 1 -5\n", "x"), (PUSH, "h")] {
        let start = "pushed metrics are invalid or inconsistent with existing metrics:";
        calls.put("/metrics/job/j", body).is(400, &format!("{start} {sentence} {name:?}\n"));
    }
    assert!(calls.page().contains("sidegate_pushes_refused_total{reason=\"timestamp\"} 3\n"));
}

#[test]
fn stripped_timestamps_are_gone() {
    let calls = with(Timestamps::Strip);
    calls.put("/metrics/job/j", PUSH).is(200, "");
    let page = calls.page();
    assert!(page.contains("\nx{instance=\"\",job=\"j\"} 1\n"), "{page}");
    assert!(page.contains("\nh_sum{instance=\"\",job=\"j\"} 1\n"), "{page}");
}

#[test]
fn honored_timestamps_are_shown_and_push_times_have_none() {
    let calls = with(Timestamps::Honor);
    calls.put("/metrics/job/j", PUSH).is(200, "");
    let page = calls.page();
    let lines = [
        "h_bucket{instance=\"\",job=\"j\",le=\"1\"} 1 2000",
        "h_sum{instance=\"\",job=\"j\"} 1 2000",
        "h_count{instance=\"\",job=\"j\"} 1 2000",
        "x{instance=\"\",job=\"j\"} 1 1000",
        "y{instance=\"\",job=\"j\"} 1",
    ];
    for line in lines {
        assert!(page.contains(&format!("\n{line}\n")), "{line}: {page}");
    }
    let times = page.lines().filter(|line| line.starts_with("push_"));
    assert!(times.into_iter().all(|line| line.split(' ').count() == 2), "{page}");
}

#[test]
fn honored_timestamps_are_shown_in_protobuf_too() {
    let accept = "accept: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    // Of a metric, the field 6 with 1000 in it.
    let timestamp = [0x30, 0xe8, 0x07];
    for (rule, is_shown) in [(Timestamps::Honor, true), (Timestamps::Strip, false)] {
        let calls = with(rule);
        calls.put("/metrics/job/j", "x 1 1000\n").is(200, "");
        let page = calls.push_listener("GET", "/metrics", &[accept], Body::empty());
        assert!(page.header("content-type").starts_with("application/vnd.google.protobuf"));
        assert_eq!(page.bytes.windows(3).any(|bytes| bytes == timestamp), is_shown);
    }
}

#[test]
fn honored_timestamps_are_not_kept_where_the_next_push_has_none() {
    let calls = with(Timestamps::Honor);
    calls.put("/metrics/job/j", "x 1 1000\n").is(200, "");
    calls.put("/metrics/job/j", "x 2\n").is(200, "");
    assert!(calls.page().contains("\nx{instance=\"\",job=\"j\"} 2\n"));
}
