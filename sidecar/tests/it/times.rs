//! Pushes that took place in the past, as an import brings them.

use axum::body::Body;
use sidecar::{clock, http::Settings};

use crate::call::{Answer, Calls};

fn with_admin_api() -> Calls {
    Calls::with(Settings { has_admin_api: true, ..Settings::default() })
}

/// A PUT with these times, each absent where empty.
fn put_at(calls: &Calls, body: &str, push_time: &str, failure_time: &str) -> Answer {
    let times = [("sidegate-push-time", push_time), ("sidegate-push-failure-time", failure_time)];
    let headers = times.into_iter().filter(|(_, time)| !time.is_empty());
    let headers: Vec<_> = headers.map(|(name, time)| format!("{name}: {time}")).collect();
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    calls.push_listener("PUT", "/metrics/job/j", &headers, body.to_owned())
}

/// The lines of groups, as any gateway shows them.
fn of_groups(calls: &Calls) -> String {
    let page = calls.page();
    page.lines().filter(|line| line.contains("job=\"")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_group_that_is_taken_over_looks_as_it_did() {
    let from = Calls::new();
    from.put("/metrics/job/j", "x 1\n").is(200, "");
    assert_eq!(from.put("/metrics/job/j", "x 1 5\n").status, 400);
    let groups = of_groups(&from);
    let time = |name: &str| {
        let line = groups.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    let into = with_admin_api();
    put_at(&into, "x 1\n", &time("push_time_seconds"), &time("push_failure_time_seconds")).is(200, "");
    assert_eq!(of_groups(&into), groups);
}

#[test]
fn a_group_that_saw_only_refused_pushes_is_taken_over_without_metrics() {
    let calls = with_admin_api();
    put_at(&calls, "", "0", "1.5e+09").is(200, "");
    let expected = "push_failure_time_seconds{instance=\"\",job=\"j\"} 1.5e+09\n\
                    push_time_seconds{instance=\"\",job=\"j\"} 0\n";
    assert_eq!(of_groups(&calls), expected);
}

#[test]
fn a_group_that_has_moved_on_stays_as_it_is() {
    let calls = with_admin_api();
    put_at(&calls, "", "0", "1000").is(200, "");
    put_at(&calls, "", "0", "1000")
        .is(412, "expected a group last refused a push before 1000, found a later time; nothing was changed\n");
    put_at(&calls, "x 1\n", "2000.5", "").is(200, "");
    let before = of_groups(&calls);
    for time in ["2000.5", "1999"] {
        let sentence = "found one pushed at 2000.5; nothing was changed";
        put_at(&calls, "x 2\n", time, "3000")
            .is(412, &format!("expected a group last pushed before {time}, {sentence}\n"));
    }
    put_at(&calls, "", "0", "3000")
        .is(412, "expected a group that no push was accepted of, found one pushed at 2000.5; nothing was changed\n");
    assert_eq!(of_groups(&calls), before);
    let page = calls.page();
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"outdated\"} 4\n"), "{page}");
}

#[test]
fn times_are_for_the_admin_api_only() {
    let calls = Calls::new();
    let sentence = |header: &str| {
        format!("expected no `{header}` while the admin API is off; the flag `--web.enable-admin-api` turns it on\n")
    };
    put_at(&calls, "x 1\n", "1000", "").is(403, &sentence("sidegate-push-time"));
    put_at(&calls, "x 1\n", "", "1000").is(403, &sentence("sidegate-push-failure-time"));
    assert_eq!(of_groups(&calls), "");
}

#[test]
fn times_that_make_no_sense_are_explained_and_leave_no_trace() {
    let calls = with_admin_api();
    let ahead = (clock::now().0 + 60.0).to_string();
    for found in ["soon", "NaN", "inf", "-1", &ahead] {
        let sentence = |header: &str| {
            format!("expected `{header}` to be Unix seconds that are not in the future, found {found:?}\n")
        };
        put_at(&calls, "x 1\n", found, "").is(400, &sentence("sidegate-push-time"));
        put_at(&calls, "x 1\n", "1000", found).is(400, &sentence("sidegate-push-failure-time"));
    }
    let alone = "expected `sidegate-push-time` beside `sidegate-push-failure-time`, found none\n";
    put_at(&calls, "", "", "1000").is(400, alone);
    let no_time = "expected a `sidegate-push-failure-time` above 0 beside a `sidegate-push-time` of 0, found none\n";
    put_at(&calls, "", "0", "").is(400, no_time);
    put_at(&calls, "", "0", "0").is(400, no_time);
    let metrics = "expected an empty body beside a `sidegate-push-time` of 0, which says that no push was accepted, \
                   found metrics\n";
    put_at(&calls, "x 1\n", "0", "1000").is(400, metrics);
    assert_eq!(of_groups(&calls), "");
    assert!(calls.page().contains("sidegate_pushes_refused_total{reason=\"header\"} 14\n"));
}

#[test]
fn a_clock_that_is_a_little_ahead_does_no_harm() {
    let calls = with_admin_api();
    let ahead = (clock::now().0 + 2.0).to_string();
    put_at(&calls, "x 1\n", &ahead, "").is(200, "");
    calls.push_listener("DELETE", "/metrics/job/j", &[&format!("sidegate-if-push-time: {ahead}")], Body::empty());
    assert_eq!(of_groups(&calls), "");
}
