//! Groups that grow stale: what a push may say about it, and that the process removes them.

use std::{net::SocketAddr, time::Duration};

use axum::body::Body;
use sidecar::{
    clock::{self, UnixSeconds},
    http::Settings,
    store::{Rules, Store},
};

use crate::{
    call::Calls,
    gateway::{Gateway, request, scrape},
};

/// In how many seconds something is stale, if nothing happens until then.
fn stale_in(store: &Store) -> Option<f64> {
    store.next_staleness().map(|UnixSeconds(at)| (at - clock::now().0).round())
}

#[test]
fn a_push_says_how_old_its_group_may_grow_and_the_next_one_leaves_it_to_the_rule() {
    let store = Store::with(Rules { stale_after: Some(Duration::from_secs(3600)), ..Rules::default() });
    let calls = Calls::around(store.clone(), Settings::default());
    let push = |method: &str, headers: &[&str]| {
        calls.push_listener(method, "/metrics/job/j", headers, "x 1\n").is(200, "");
    };
    push("PUT", &["sidegate-stale-after: 7d"]);
    assert_eq!(stale_in(&store), Some(604_800.0));
    push("POST", &["Sidegate-Stale-After: 1h30m"]);
    assert_eq!(stale_in(&store), Some(5400.0));
    push("POST", &[]);
    assert_eq!(stale_in(&store), Some(3600.0));
    calls.push_listener("DELETE", "/metrics/job/j", &[], Body::empty()).is(202, "");
    assert_eq!(stale_in(&store), None);
}

#[test]
fn a_limit_that_is_no_duration_is_explained_and_leaves_no_trace() {
    let calls = Calls::new();
    for found in ["soon", "90", "0", "0s", "-1h", ""] {
        let header = format!("sidegate-stale-after: {found}");
        let start = "expected `sidegate-stale-after` to be a duration above 0 such as 90s, 1h30m or 7d, found";
        calls.push_listener("PUT", "/metrics/job/j", &[&header], "x 1\n").is(400, &format!("{start} {found:?}\n"));
    }
    let page = calls.page();
    assert!(!page.contains("push_time_seconds"), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"header\"} 6\n"), "{page}");
    assert!(page.contains("sidegate_groups_expired_total 0\n"), "{page}");
}

fn check_removal(mut gateway: Gateway, push: SocketAddr, page: SocketAddr) {
    assert_eq!(request(push, "PUT", "/metrics/job/stays", &[], "x 1\n").0, 200);
    let soon = ["sidegate-stale-after: 1ms"];
    for job in ["a", "b"] {
        assert_eq!(request(push, "PUT", &format!("/metrics/job/{job}"), &soon, "x 1\n").0, 200);
    }
    // In a sidecar, what nobody has seen stays however old it is.
    if push != page {
        let page = scrape(page);
        assert_eq!(page.matches("\npush_time_seconds{").count(), 3, "{page}");
    }
    let removed = |line: &str| line.contains("msg=\"stale groups removed\" groups=");
    let line = gateway.line(removed);
    if line.contains("groups=1 ") {
        gateway.line(|other| removed(other) && other != line);
    }
    assert!(line.contains("job="), "{line}");
    let page = scrape(page);
    assert!(page.contains("\nsidegate_groups_expired_total 2\n"), "{page}");
    assert!(page.contains("\nx{instance=\"\",job=\"stays\"} 1\n") && !page.contains("job=\"a\""), "{page}");
    assert_eq!(page.matches("\npush_time_seconds{").count(), 1, "{page}");
}

#[test]
fn alone_it_removes_what_is_stale() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let address = gateway.address("all");
    check_removal(gateway, address, address);
}

#[test]
fn as_a_sidecar_it_removes_what_is_stale() {
    let (gateway, push, page) = Gateway::sidecar(&[]);
    check_removal(gateway, push, page);
}
