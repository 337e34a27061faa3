//! Where Sidegate and the Pushgateway differ on purpose. Each row shows our side: by requests of its own, or by a test
//! elsewhere, which has to exist.
//!
//! The README has a table of the same rows.

mod process_rows;
mod rows;

use std::net::SocketAddr;

use axum::body::Body;

use crate::{
    call::Calls,
    gateway::{Gateway, raw, scrape},
    readme::{check_table, check_test},
};
use process_rows::PROCESS_ROWS;
use rows::ROWS;

struct Row {
    /// As in the README.
    name: &'static str,
    shown: Shown,
}

enum Shown {
    /// The requests, and what the page shows or hides afterwards.
    Here { calls: &'static [Call], shows: &'static [&'static str], hides: &'static [&'static str] },
    /// `FILE.rs::name` of a test, below the crate's folder.
    By(&'static str),
}

/// Method, path, headers, body; status and how the answer starts.
type Call = (&'static str, &'static str, &'static [&'static str], &'static [u8], u16, &'static str);

#[test]
fn what_differs_on_purpose_differs_so() {
    for Row { name, shown } in ROWS.iter().chain(PROCESS_ROWS) {
        match shown {
            Shown::Here { calls, shows, hides } => check(name, calls, shows, hides),
            Shown::By(test) => check_test(name, test),
        }
    }
}

fn check(name: &str, calls: &[Call], shows: &[&str], hides: &[&str]) {
    let gateway = Calls::new();
    for (method, path, headers, body, status, start) in calls {
        let answer = gateway.push_listener(method, path, headers, Body::from(*body));
        let text = answer.text();
        let fits = if start.is_empty() { text.is_empty() } else { text.starts_with(start) };
        assert!(answer.status == *status && fits, "{name}: {method} {path}: {} {text:?}", answer.status);
    }
    let page = gateway.page();
    for expected in shows {
        assert!(page.contains(expected), "{name}: expected {expected:?} in\n{page}");
    }
    for unexpected in hides {
        assert!(!page.contains(unexpected), "{name}: expected no {unexpected:?} in\n{page}");
    }
}

#[test]
fn the_readme_tells_all_of_it() {
    let names: Vec<_> = ROWS.iter().chain(PROCESS_ROWS).map(|row| row.name).collect();
    check_table("Compatibility with the Pushgateway", &names);
}

/// A gateway as a process, and where it is.
fn process() -> (Gateway, SocketAddr) {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let to = gateway.address("all");
    (gateway, to)
}

/// Pushes to a path that is none of a string.
fn put(to: SocketAddr, path: &[u8], headers: &str) -> (u16, String) {
    let head = format!(" HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 4\r\n{headers}\r\nx 1\n");
    raw(to, &[b"PUT ", path, head.as_bytes()].concat())
}

#[test]
fn the_http_library_refuses_what_no_uri_has_without_a_sentence() {
    let (_gateway, to) = process();
    for path in [&b"/metrics/job/<"[..], b"/metrics/job/>", b"/metrics/job/`", b"/metrics/job/\xff"] {
        assert_eq!(put(to, path, ""), (400, String::new()), "{path:?}");
    }
    assert_eq!(put(to, "/metrics/job/\"{|}\\^ö".as_bytes(), "").0, 200);
    assert!(scrape(to).contains("\nx{instance=\"\",job=\"\\\"{|}\\\\^ö\"} 1\n"));
}

#[test]
fn a_target_ends_at_its_number_sign() {
    let (_gateway, to) = process();
    assert_eq!(put(to, b"/metrics/job/a#b/c/d", "").0, 200);
    assert!(scrape(to).contains("\nx{instance=\"\",job=\"a\"} 1\n"));
}

#[test]
fn heads_over_the_limits_are_refused() {
    let (_gateway, to) = process();
    let get =
        |length: usize| format!("GET {:a<length$} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n", "/-/ready?");
    assert_eq!(raw(to, get(65_534).as_bytes()).0, 200);
    assert_eq!(raw(to, get(65_535).as_bytes()), (414, String::new()));
    // There are three headers besides.
    let headers = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    assert_eq!(put(to, b"/metrics/job/a", &headers(97)).0, 200);
    assert_eq!(put(to, b"/metrics/job/a", &headers(98)), (431, String::new()));
    let header = |length: usize| format!("x: {}\r\n", "a".repeat(length));
    assert_eq!(put(to, b"/metrics/job/a", &header((1 << 20) - 100)).0, 200);
    let (status, sentence) = put(to, b"/metrics/job/a", &header(1 << 20));
    assert_eq!(status, 431);
    let start = "expected a request line and headers of at most 1048576 bytes, found 10486";
    assert!(sentence.starts_with(start), "{sentence}");
    assert!(sentence.ends_with("; `--web.max-header-bytes` sets the limit\n"), "{sentence}");
    // So much of it is not read.
    assert_eq!(put(to, b"/metrics/job/a", &header(1 << 21)), (431, String::new()));
}

#[test]
fn a_request_without_a_host_is_served() {
    let (_gateway, to) = process();
    assert_eq!(raw(to, b"GET /-/ready HTTP/1.1\r\nconnection: close\r\n\r\n"), (200, "OK".to_owned()));
}
