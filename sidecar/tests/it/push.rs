//! PUT and POST: what is accepted, and how the rest is answered.

use std::io::Write;

use axum::body::Body;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use sidecar::{exposition::Limits, http::Settings};

use crate::call::Calls;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_accepted_push_is_answered_empty_and_shown() {
    let calls = Calls::new();
    let answer = calls.put("/metrics/job/j/a/b", "# TYPE x gauge\nx 1\n");
    answer.is(200, "");
    assert_eq!(answer.header("content-type"), "");
    assert!(calls.page().contains("# TYPE x gauge\nx{a=\"b\",instance=\"\",job=\"j\"} 1\n"));
}

#[test]
fn paths_are_data_as_sent() {
    let calls = Calls::new();
    let rows = [
        ("/metrics/job/a%2Fb", "job=\"a/b\""),
        ("/metrics/job@base64/L3Zhcg", "job=\"/var\""),
        ("/metrics/job%40base64/L3Zhcg==/p/1", "job=\"/var\",p=\"1\""),
        ("/metrics/job/e/x/", "job=\"e\",x=\"\""),
        ("/metrics/job/e/x//y/z", "job=\"e\",x=\"\",y=\"z\""),
        ("/metrics/job/./a/..", "a=\"..\""),
        ("/metrics/job/q?x=y", "job=\"q\""),
        ("/metrics/job/c%3F%23+", "job=\"c?#+\""),
    ];
    for (path, expected) in rows {
        let answer = calls.put(path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(calls.page().contains(expected), "{path}: {}", calls.page());
    }
}

#[test]
fn a_path_that_names_no_group_is_explained() {
    let calls = Calls::new();
    calls.put("/metrics/job/", "").is(400, "job name is required: expected a value for `job`, found an empty one\n");
    calls
        .put("/metrics/job//a/b", "")
        .is(400, "job name is required: expected a value for `job`, found an empty one\n");
    assert!(calls.put("/metrics/job/j//b", "").text().starts_with("improper label name \"\""));
    assert!(calls.put("/metrics/job/j/a", "").text().starts_with("odd number of components in label string"));
    assert!(calls.put("/metrics/job@base64/%2B*", "").text().starts_with("invalid base64 encoding"));
    let answer = calls.put("/metrics/job/%ff", "x 1\n");
    answer.is(400, "expected UTF-8 as value of label \"job\", found other bytes\n");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(!calls.page().contains("push_time_seconds"));
}

#[test]
fn a_malformed_body_is_located_and_leaves_no_trace() {
    let calls = Calls::new();
    let answer = calls.put("/metrics/job/j", "x 1\ny z\n");
    answer.is(400, "text format parsing error in line 2, column 3: expected a number as value, found \"z\"\n");
    let page = calls.page();
    assert!(!page.contains("push_failure_time_seconds"), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"syntax\"} 1\n"), "{page}");
    assert!(
        page.contains("pushgateway_http_requests_total{code=\"400\",handler=\"push\",method=\"put\"} 1\n"),
        "{page}"
    );
}

#[test]
fn a_push_that_does_not_fit_is_explained_and_sets_the_failure_time() {
    let calls = Calls::new();
    let start = "pushed metrics are invalid or inconsistent with existing metrics:";
    calls
        .put("/metrics/job/j", "x 1 1000\n")
        .is(400, &format!("{start} expected no timestamps, found one on a sample of \"x\"\n"));
    let several = calls.put("/metrics/job/j", "x{__a=\"\"} 1\nx{__b=\"\"} 1\n").text();
    assert!(several.starts_with(&format!("{start} 2 error(s) occurred:\n* expected")), "{several}");
    for (count, said) in [(9, "9 error(s)"), (10, "at least 10 error(s)"), (11, "at least 10 error(s)")] {
        let body: String = (0..count).map(|number| format!("y{{__{number}a=\"\"}} 1\n")).collect();
        let several = calls.put("/metrics/job/other", &body).text();
        assert!(several.starts_with(&format!("{start} {said} occurred:\n* expected")), "{several}");
        assert_eq!(several.matches("\n* ").count(), count.min(10));
    }
    let page = calls.page();
    assert!(page.contains("push_time_seconds{instance=\"\",job=\"j\"} 0\n"), "{page}");
    assert!(page.contains("push_failure_time_seconds{instance=\"\",job=\"j\"} 1."), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"timestamp\"} 1\n"), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"inconsistent\"} 4\n"), "{page}");
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn known_encodings_are_undone() {
    let calls = Calls::new();
    let encoded = |encoding: &str, body: Vec<u8>| {
        calls.push_listener("POST", "/metrics/job/j", &[&format!("content-encoding: {encoding}")], body)
    };
    let two_members = [gzip(b"gz 1\n"), gzip(b"gzip 2\n")].concat();
    encoded("GZIP", two_members).is(200, "");
    encoded("identity", b"plain 1\n".to_vec()).is(200, "");
    encoded("deflate", zlib(b"deflate 1\n")).is(200, "");
    encoded("snappy", snap::raw::Encoder::new().compress_vec(b"snappy 1\n").unwrap()).is(200, "");
    encoded("zstd", zstd::bulk::compress(b"zstd 1\n", 3).unwrap()).is(200, "");
    let page = calls.page();
    for name in ["deflate", "gz", "gzip", "plain", "snappy", "zstd"] {
        assert!(page.contains(&format!("\n{name}{{instance=\"\",job=\"j\"}} ")), "{name}: {page}");
    }
}

#[test]
fn a_body_in_another_encoding_than_it_says_is_400() {
    let calls = Calls::new();
    for encoding in ["gzip", "deflate", "snappy", "zstd"] {
        let header = format!("content-encoding: {encoding}");
        let answer = calls.push_listener("POST", "/metrics/job/j", &[&header], "x 1\n");
        assert_eq!(answer.status, 400, "{encoding}");
        let start = format!("expected a body in {encoding}, as `Content-Encoding` says, found something else: ");
        assert!(answer.text().starts_with(&start), "{}", answer.text());
    }
    let page = calls.page();
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"body\"} 4\n"), "{page}");
    assert!(!page.contains("push_time_seconds"), "{page}");
}

#[test]
fn unknown_and_stacked_encodings_are_415_with_the_list_of_known_ones() {
    let calls = Calls::new();
    let check = |headers: &[&str], found: &str| {
        let answer = calls.push_listener("POST", "/metrics/job/j", headers, "x 1\n");
        let start = "expected `Content-Encoding` to be one of gzip, deflate, snappy, zstd or identity, found";
        answer.is(415, &format!("{start} {found:?}\n"));
        assert_eq!(answer.header("accept-encoding"), "gzip, deflate, snappy, zstd");
    };
    check(&["content-encoding: br"], "br");
    check(&["content-encoding: gzip, GZIP"], "gzip, gzip");
    check(&["content-encoding: gzip", "content-encoding: zstd"], "gzip, zstd");
}

#[test]
fn a_body_over_the_limit_is_413_before_and_after_decompression() {
    let calls = Calls::new();
    let limit = 16 * 1024 * 1024;
    let large = vec![b'#'; limit + 1];
    let text =
        "expected a body of at most 16777216 bytes, found a larger one; `--push.max-body-bytes` sets the limit\n";
    calls.push_listener("PUT", "/metrics/job/j", &[], large.clone()).is(413, text);
    calls.push_listener("PUT", "/metrics/job/j", &["content-length: 99999999"], Body::empty()).is(413, text);
    let bomb = calls.push_listener("PUT", "/metrics/job/j", &["content-encoding: gzip"], gzip(&large));
    let sent = gzip(&large).len();
    let text = format!(
        "expected a body that decompresses to at most 200 times its {sent} bytes, found more; \
         `--push.max-compression-ratio` sets the limit\n"
    );
    bomb.is(413, &text);
    calls.push_listener("PUT", "/metrics/job/j", &[], large[1..].to_vec()).is(200, "");
    let page = calls.page();
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"too_large\"} 2\n"), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"compression_ratio\"} 1\n"), "{page}");
}

#[test]
fn an_answer_repeats_only_the_start_of_what_was_sent() {
    let calls = Calls::with(Settings { pushes: Limits::NONE, ..Settings::default() });
    let long = "n".repeat(10_000);
    let check = |status: u16, method: &str, path: &str, header: &str, body: &str| {
        let answer = calls.push_listener(method, path, &[header], body.to_owned());
        assert_eq!(answer.status, status, "{:.200}", answer.text());
        assert!(answer.bytes.len() < 700 && answer.text().contains('…'), "{} bytes", answer.bytes.len());
    };
    check(415, "PUT", "/metrics/job/j", &format!("content-encoding: {long}"), "");
    check(400, "DELETE", "/metrics/job/j", &format!("sidegate-if-push-time: {long}"), "");
    check(400, "PUT", &format!("/metrics/job/j/{long}"), "a: b", "");
    check(400, "PUT", "/metrics/job/j", "a: b", &format!("x {}\n", "\u{1}".repeat(1 << 20)));
    check(400, "PUT", "/metrics/job/j", "a: b", &format!("{long} 1 5\n"));
}

#[test]
fn a_key_that_looks_like_another_is_refused_and_harms_nobody() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "x 1\n").is(200, "");
    let before = calls.page();
    let answer = calls.put("/metrics/job/j/instance/", "x 1\n");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("a key without `instance` is shown with an empty one"), "{}", answer.text());
    let of_groups = |page: &str| page.split("# HELP pushgateway_").next().map(str::to_owned);
    assert_eq!(of_groups(&calls.page()), of_groups(&before));
    calls.put("/metrics/job/other", "x 1\n").is(200, "");
}

#[test]
fn protobuf_is_read_where_the_type_says_so() {
    let calls = Calls::new();
    let kind =
        "content-type: application/vnd.google.protobuf; encoding=delimited; proto=io.prometheus.client.MetricFamily";
    let push = |path: &str, headers: &[&str], body: &[u8]| calls.push_listener("POST", path, headers, body.to_vec());
    let gauge: &[u8] = b"\x12\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\0\0\0\0\0\0\xf0\x3f";
    push("/metrics/job/j", &[kind], gauge).is(200, "");
    push("/metrics/job/k", &[kind, "content-encoding: gzip"], &gzip(gauge)).is(200, "");
    let page = calls.page();
    assert!(page.contains("# TYPE g gauge\ng{instance=\"\",job=\"j\"} 1\ng{instance=\"\",job=\"k\"} 1\n"), "{page}");
    // An empty family empties that of its name.
    push("/metrics/job/j", &[kind], b"\x05\x0a\x01g\x18\x01").is(200, "");
    assert!(!calls.page().contains("\ng{instance=\"\",job=\"j\"}"));
    let answer = push("/metrics/job/new", &[kind], b"\x09\x0a\x01g");
    answer.is(
        400,
        "protobuf parsing error in message 1: expected 9 bytes, as its length says, found the end of the body after 3\n",
    );
    assert!(push("/metrics/job/new", &[], gauge).text().starts_with("text format parsing error in line "));
    let page = calls.page();
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"syntax\"} 2\n"), "{page}");
    assert!(!page.contains("job=\"new\""), "{page}");
}
