//! The sentences of refusals that no other test reads to the end. What is read where: those about paths in
//! `protocol` and `paths`, about text and protobuf beside their decoders, about what does not fit beside the store.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use axum::body::Body;
use protocol::signed_request::SignatureHeader;
use sidecar::http::{BodyLimits, Settings};

use crate::{call::Calls, gateway::Gateway};

const PROTOBUF: &str =
    "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

#[test]
fn a_refused_push_says_what_was_expected_and_found() {
    let calls = Calls::new();
    let check = |headers: &[&str], body: &[u8], expected: &str| {
        let answer = calls.push_listener("PUT", "/metrics/job/j", headers, body.to_vec());
        let text = answer.text();
        // What a library says follows.
        assert!(answer.status == 400 && text.starts_with(expected) && text.len() > expected.len(), "{text}");
    };
    check(&[], b"x 1\ny\xff 1\n", "text format parsing error in line 2, column 2: expected UTF-8, found other bytes");
    check(
        &[PROTOBUF],
        b"\x02\x0a\x05",
        "protobuf parsing error in message 1: expected a MetricFamily, found other bytes: ",
    );
    check(
        &[PROTOBUF],
        b"\x09\x0a\x01g\x18\x01\x22\x02\x0a\x05",
        "protobuf parsing error in message 1: expected a Metric in \"g\", found other bytes: ",
    );
    check(
        &["content-encoding: zstd"],
        b"x 1\n",
        "expected a body in zstd, as `Content-Encoding` says, found something else: ",
    );
}

#[test]
fn several_objections_have_a_line_each() {
    Calls::new().put("/metrics/job/j", "a 1\nb{__x=\"1\"} 1\nc{__x=\"1\"} 1 5\n").is(
        400,
        "pushed metrics are invalid or inconsistent with existing metrics: 3 error(s) occurred:\n\
         * expected no timestamps, found one on a sample of \"c\"\n\
         * expected no label name that starts with `__`, found \"__x\" on \"b\"\n\
         * expected no label name that starts with `__`, found \"__x\" on \"c\"\n",
    );
}

#[test]
fn a_body_that_ends_elsewhere_than_its_encoding_says_is_told_so() {
    let push = |body: &[u8]| {
        Calls::new().push_listener("PUT", "/metrics/job/j", &["content-encoding: deflate"], body.to_vec())
    };
    let start = "expected a body in deflate, as `Content-Encoding` says, found something else:";
    push(b"").is(400, &format!("{start} it ends too early\n"));
    // The empty body and one byte more.
    push(b"\x03\x00x").is(400, &format!("{start} it goes on after its end\n"));
}

#[test]
fn a_body_that_is_larger_once_decompressed_is_told_from_a_large_one() {
    let bodies = BodyLimits { decompressed_bytes: 64, ..BodyLimits::default() };
    let calls = Calls::with(Settings { bodies, ..Settings::default() });
    let body = snap::raw::Encoder::new().compress_vec("# \n".repeat(100).as_bytes()).unwrap();
    assert!(body.len() < 64);
    calls.push_listener("PUT", "/metrics/job/j", &["content-encoding: snappy"], body).is(
        413,
        "expected at most 64 bytes after decompression, found more; `--push.max-decompressed-bytes` sets the limit\n",
    );
}

#[test]
fn a_body_that_breaks_off_is_400_where_somebody_is_left_to_read_it() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let mut stream = TcpStream::connect(gateway.address("all")).unwrap();
    let head = "PUT /metrics/job/j HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{head}4\r\nx 1\n\r\nno length\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("\r\n\r\nexpected the whole body, but it broke off: "), "{answer}");
}

#[test]
fn a_condition_that_is_no_time_is_repeated() {
    let answer =
        Calls::new().push_listener("DELETE", "/metrics/job/j", &["sidegate-if-push-time: soon"], Body::empty());
    answer.is(400, "expected `sidegate-if-push-time` to be Unix seconds, found \"soon\"\n");
    let failed = "sidegate-if-push-failure-time: soon";
    let check = |headers: &[&str], expected: &str| {
        Calls::new().push_listener("DELETE", "/metrics/job/j", headers, Body::empty()).is(400, expected);
    };
    let no_time = "expected `sidegate-if-push-failure-time` to be Unix seconds, found \"soon\"\n";
    check(&["sidegate-if-push-time: 0", failed], no_time);
    check(&[failed], "expected `sidegate-if-push-time` beside `sidegate-if-push-failure-time`, found none\n");
}

#[test]
fn who_is_not_taken_for_the_operator_is_told_why() {
    let header = |signed_at| {
        let signature = SignatureHeader { signed_at, nonce: [1; 16], signature: [2; 64] };
        format!("sidegate-signature: {signature}")
    };
    let time = "sidegate-if-push-time: 1";
    let check = |calls: &Calls, headers: &[&str], status: u16, expected: &str| {
        calls.scrape_listener("DELETE", "/metrics/job/j", headers).is(status, expected);
    };
    let calls = Calls::new();
    let unsigned =
        "expected `sidegate-signature` with the operator's signature, found none: nobody else deletes at this port\n";
    check(&calls, &[], 401, unsigned);
    check(&calls, &[time], 401, unsigned);
    check(&calls, &[&header(0)], 400, "expected `sidegate-if-push-time` beside `sidegate-signature`, found none\n");
    check(
        &calls,
        &["sidegate-signature: v1.x", time],
        401,
        "expected `sidegate-signature` as v1.SECONDS.NONCE.SIGNATURE, found something else\n",
    );
    check(
        &calls,
        &[&header(0), time],
        401,
        "expected this process to know its pod (`--pod.uid`), but it does not: no signature can be meant for it\n",
    );

    let calls = Calls::trusting(std::env::temp_dir().join("sidegate-no-such-folder"), "uid");
    let answer = calls.scrape_listener("DELETE", "/metrics/job/j", &[&header(0), time]);
    let text = answer.text();
    assert_eq!(answer.status, 401);
    assert!(text.starts_with("expected a signature made within 60 s of now, found one made "), "{text}");
    assert!(text.ends_with(" s ago\n"), "{text}");
    #[expect(clippy::disallowed_methods, reason = "the router under test goes by this clock")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    check(&calls, &[&header(now), time], 401, "expected a key of the operator in `--trust.dir`, found none\n");
}

#[test]
fn a_header_of_ours_that_comes_twice_is_refused() {
    let calls = Calls::with(Settings { has_admin_api: true, ..Settings::default() });
    let names = ["sidegate-stale-after", "sidegate-push-time", "sidegate-push-failure-time"];
    let conditions = ["sidegate-if-push-time", "sidegate-if-push-failure-time"].map(|name| ("DELETE", name));
    for (method, name) in names.map(|name| ("PUT", name)).into_iter().chain(conditions) {
        let header = format!("{name}: 1s");
        let answer = calls.push_listener(method, "/metrics/job/j", &[&header, &header], Body::empty());
        assert_eq!((answer.status, answer.text()), (400, format!("expected `{name}` once, found it several times\n")));
    }
    let time = "sidegate-if-push-time: 1";
    calls
        .scrape_listener("DELETE", "/metrics/job/j", &[time, time])
        .is(400, "expected `sidegate-if-push-time` once, found it several times\n");
    let page = calls.page();
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"header\"} 3\n"), "{page}");
    assert!(page.contains("sidegate_signed_deletes_total{outcome=\"malformed\"} 1\n"), "{page}");
}

#[test]
fn how_old_a_group_may_grow_is_said_by_accepted_pushes_only() {
    let calls = Calls::with(Settings { has_admin_api: true, ..Settings::default() });
    let headers = ["sidegate-stale-after: 1h", "sidegate-push-time: 0", "sidegate-push-failure-time: 5"];
    calls.push_listener("PUT", "/metrics/job/j", &headers, Body::empty()).is(
        400,
        "expected no `sidegate-stale-after` beside a `sidegate-push-time` of 0, which says that no push was accepted, \
         found one\n",
    );
    calls.push_listener("PUT", "/metrics/job/j", &headers[1..], Body::empty()).is(200, "");
}
