//! The end on request: over the router, and of the real process.

use sidecar::{http::Settings, store::Store};

use crate::{
    call::Calls,
    gateway::{Gateway, request, scrape},
};

fn with(route_prefix: &str, has_lifecycle_api: bool) -> Calls {
    Calls::around(
        Store::new(),
        Settings { route_prefix: route_prefix.into(), has_lifecycle_api, ..Settings::default() },
    )
}

#[test]
fn quitting_is_refused_unless_it_is_enabled() {
    let calls = with("", false);
    for method in ["PUT", "POST"] {
        let answer = calls.push_listener(method, "/-/quit", &[], "");
        answer.is(403, "Lifecycle API is not enabled.");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
}

#[test]
fn whoever_may_quit_is_told_goodbye_every_time() {
    let calls = with("/p", true);
    for method in ["PUT", "POST", "PUT"] {
        calls.push_listener(method, "/p/-/quit", &[], "").is(200, "Requesting termination... Goodbye!");
    }
    assert!(!calls.push_listener("GET", "/p/metrics", &[], "").text().contains("quit"));
}

#[test]
fn a_look_at_quit_is_told_how_to_ask() {
    let answer = with("", true).push_listener("GET", "/-/quit", &[], "");
    answer.is(405, "Only POST or PUT requests allowed.");
    for method in ["DELETE", "HEAD"] {
        let answer = with("", true).push_listener(method, "/-/quit", &[], "");
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, OPTIONS, POST, PUT"));
    }
    let calls = with("/p", true);
    calls.push_listener("GET", "/-/quit", &[], "").is(405, "Only POST or PUT requests allowed.");
    let answer = calls.push_listener("PUT", "/-/quit", &[], "");
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, OPTIONS"));
    let answer = calls.push_listener("GET", "/p/-/quit", &[], "");
    answer.is(405, "Method Not Allowed\n");
    assert_eq!(answer.header("allow"), "OPTIONS, POST, PUT");
}

#[test]
fn the_process_answers_and_then_leaves() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"]);
    let address = gateway.address("all");
    let answer = request(address, "POST", "/-/quit", &[], "");
    assert_eq!(answer, (200, "Requesting termination... Goodbye!".to_owned()));
    let (status, log) = gateway.wait();
    assert!(status.success() && log.contains("msg=leaving signal=quit"), "{log}");
}

#[test]
fn a_sidecar_that_is_told_to_quit_holds_open_as_on_a_signal() {
    let (gateway, push, scrape) = Gateway::sidecar(&["--web.enable-lifecycle"]);
    assert_eq!(request(push, "PUT", "/metrics/job/j", &[], "x 1\n").0, 200);
    assert_eq!(request(push, "PUT", "/-/quit", &[], "").0, 200);
    assert_eq!(request(push, "PUT", "/-/quit", &[], "").0, 200);
    assert!(self::scrape(scrape).contains("x{"));
    let (status, log) = gateway.wait();
    assert!(status.success() && log.contains("msg=leaving signal=quit"), "{log}");
}
