//! Which path and method is answered how: section 3 of the reference, and what differs on purpose.

use axum::body::Body;
use protocol::NameValidation;
use sidecar::http::Settings;

use crate::call::{Answer, Calls};

/// What is allowed where groups are.
const GROUPS: &str = "DELETE, OPTIONS, POST, PUT";

/// One request: method, path, status, and `Allow`, `Location`, or the sentence.
type Row<'a> = (&'a str, &'a str, u16, &'a str);

fn at(prefix: &str, telemetry_path: &str) -> Calls {
    Calls::with(Settings { route_prefix: prefix.into(), telemetry_path: telemetry_path.into(), ..Settings::default() })
}

fn without_job() -> Calls {
    Calls::with(Settings { allows_missing_job: true, ..Settings::default() })
}

#[track_caller]
fn check(calls: &Calls, rows: &[Row<'_>]) {
    for (method, path, status, expected) in rows {
        check_answer(&calls.push_listener(method, path, &[], Body::empty()), (method, path, *status, expected));
    }
}

#[track_caller]
fn check_answer(answer: &Answer, (method, path, status, expected): Row<'_>) {
    let text = answer.text();
    let found = match answer.status {
        301 | 307 => answer.header("location"),
        405 => answer.header("allow"),
        200 if method == "OPTIONS" => answer.header("allow"),
        200 if method == "GET" => "",
        _ => text.trim_end_matches('\n'),
    };
    assert_eq!((answer.status, found), (status, expected), "{method} {path}: {text}");
    match status {
        // An answer to HEAD has no body.
        405 if method != "HEAD" => assert_eq!(text, "Method Not Allowed\n"),
        301 | 307 | 405 => assert_eq!(text, ""),
        400.. => assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8"),
        _ => {}
    }
}

const NOT_FOUND: &str = "404 page not found";
const EMPTY_JOB: &str = "job name is required: expected a value for `job`, found an empty one";

#[test]
fn paths_and_methods_are_answered_as_the_reference_has_it() {
    check(
        &Calls::new(),
        &[
            // GET does not imply HEAD, and methods are case-sensitive.
            ("HEAD", "/metrics", 405, "GET, OPTIONS"),
            ("HEAD", "/-/healthy", 405, "GET, OPTIONS"),
            ("HEAD", "/-/ready", 405, "GET, OPTIONS"),
            ("HEAD", "/metrics/job/x", 405, GROUPS),
            ("GET", "/metrics/job/x", 405, GROUPS),
            ("GET", "/metrics/job@base64/eA/a/b", 405, GROUPS),
            ("PATCH", "/metrics/job/x", 405, GROUPS),
            ("post", "/metrics/job/x", 405, GROUPS),
            ("get", "/metrics", 405, "GET, OPTIONS"),
            ("OPTIONS", "/metrics/job/x", 200, GROUPS),
            ("OPTIONS", "/metrics", 200, "GET, OPTIONS"),
            ("OPTIONS", "/-/ready", 200, "GET, OPTIONS"),
            ("POST", "/metrics", 405, "GET, OPTIONS"),
            ("PUT", "/metrics", 405, "GET, OPTIONS"),
            ("DELETE", "/metrics", 405, "GET, OPTIONS"),
            ("POST", "/-/healthy", 405, "GET, OPTIONS"),
            ("PUT", "/metrics/job", 404, NOT_FOUND),
            ("POST", "/metrics/job", 404, NOT_FOUND),
            ("POST", "/metrics/jobs/x", 404, NOT_FOUND),
            ("GET", "/metrics/jobs/x", 404, NOT_FOUND),
            ("POST", "/metrics/instance/x", 404, NOT_FOUND),
            ("GET", "/nothing", 404, NOT_FOUND),
            ("OPTIONS", "/nothing", 404, NOT_FOUND),
            ("GET", "/debug/pprof/", 404, NOT_FOUND),
            // A slash behind the job is part of the key.
            ("POST", "/metrics/job/x/", 200, ""),
            ("POST", "/metrics/job/x/a/", 200, ""),
            ("DELETE", "/metrics/job/x/", 202, ""),
            // No roots without a slash but these.
            ("GET", "/api/v1", 301, "/api/v1/"),
            ("GET", "/api/v1/", 404, NOT_FOUND),
            ("GET", "/-/healthy/", 301, "/-/healthy"),
            ("GET", "/api/v1/status/", 301, "/api/v1/status"),
            ("GET", "/-//healthy?a=%2F/b", 307, "/-/healthy?a=%2F/b"),
            ("GET", "//metrics", 307, "/metrics"),
            ("GET", "/METRICS", 301, "/metrics"),
            ("POST", "/x/../-/healthy", 307, "/-/healthy"),
        ],
    );
}

#[test]
fn no_push_path_is_redirected() {
    check(
        &Calls::new(),
        &[
            ("POST", "/metrics/job/", 400, EMPTY_JOB),
            ("PUT", "/metrics/job//", 400, EMPTY_JOB),
            ("PUT", "/metrics/job//a/b", 400, EMPTY_JOB),
            ("DELETE", "/metrics/job@base64/=", 400, EMPTY_JOB),
            ("PUT", "/metrics/job/x/a//b/c", 200, ""),
            ("PUT", "/metrics/job/../a/.", 200, ""),
            (
                "DELETE",
                "/metrics/job/x/../-",
                400,
                "improper label name \"..\": expected a letter or `_`, then letters, digits and `_`, and no `__` at the start",
            ),
            ("PUT", "/METRICS/Job/x", 404, NOT_FOUND),
            ("PUT", "/metrics/JOB/x", 404, NOT_FOUND),
            ("POST", "//metrics/job/x", 404, NOT_FOUND),
            ("POST", "/metrics//job/x", 404, NOT_FOUND),
            ("POST", "/./metrics/job/x", 404, NOT_FOUND),
            ("POST", "/x/../metrics/job/x", 404, NOT_FOUND),
            ("DELETE", "/metrics/../-/healthy", 404, NOT_FOUND),
            ("POST", "//metrics", 404, NOT_FOUND),
            ("GET", "//metrics/job/x", 404, NOT_FOUND),
        ],
    );
}

#[test]
fn the_page_is_at_both_spellings() {
    let calls = Calls::new();
    check(
        &calls,
        &[
            ("GET", "/metrics", 200, ""),
            ("GET", "/metrics/", 200, ""),
            ("POST", "/metrics/", 405, "GET, OPTIONS"),
            ("HEAD", "/metrics/", 405, "GET, OPTIONS"),
        ],
    );
    calls.put("/metrics/job/j", "x 1\n").is(200, "");
    let answer = calls.push_listener("GET", "/metrics/?name[]=x", &[], "");
    answer.is(200, "# TYPE x untyped\nx{instance=\"\",job=\"j\"} 1\n");
}

#[test]
fn a_prefix_stands_before_every_path() {
    check(
        &at("/a/b", "/metrics"),
        &[
            ("PUT", "/a/b/metrics/job/x", 200, ""),
            ("PUT", "/a/b/metrics/job/x/c//d/", 200, ""),
            ("GET", "/a/b/metrics", 200, ""),
            ("GET", "/a/b/-/ready", 200, ""),
            ("GET", "/a/b", 301, "/a/b/"),
            ("POST", "/a/b?c", 307, "/a/b/?c"),
            ("GET", "/a/b/api/v1", 301, "/a/b/api/v1/"),
            ("GET", "/A/b/Metrics", 301, "/a/b/metrics"),
            ("PUT", "/a//b/metrics/job/x", 404, NOT_FOUND),
            ("PUT", "/a/b//metrics/job/x", 404, NOT_FOUND),
            ("PUT", "/metrics/job/x", 404, NOT_FOUND),
            ("GET", "/metrics", 404, NOT_FOUND),
            ("GET", "/-/ready", 404, NOT_FOUND),
            ("GET", "/a", 404, NOT_FOUND),
        ],
    );
}

#[test]
fn the_page_moves_and_the_pushes_stay() {
    check(
        &at("", "/federate"),
        &[
            ("GET", "/federate", 200, ""),
            ("GET", "/federate/", 301, "/federate"),
            ("GET", "/Federate", 301, "/federate"),
            ("POST", "/federate", 405, "GET, OPTIONS"),
            ("GET", "/metrics", 404, NOT_FOUND),
            ("GET", "/metrics/", 404, NOT_FOUND),
            ("POST", "/metrics", 404, NOT_FOUND),
            ("PUT", "/metrics/job/x", 200, ""),
            ("PUT", "/federate/job/x", 404, NOT_FOUND),
        ],
    );
    check(&at("/p", "/a/b"), &[("GET", "/p/a/b", 200, ""), ("GET", "/a/b", 404, NOT_FOUND)]);
}

#[test]
fn the_scrape_listener_has_its_own_paths_whatever_the_other_has() {
    let calls = Calls::with(Settings {
        route_prefix: "/p".into(),
        telemetry_path: "/federate".into(),
        allows_missing_job: true,
        ..Settings::default()
    });
    let rows: [Row<'_>; 11] = [
        ("GET", "/metrics", 200, ""),
        ("GET", "/metrics/", 200, ""),
        ("GET", "/METRICS", 301, "/metrics"),
        ("GET", "//metrics?a=b", 307, "/metrics?a=b"),
        ("GET", "/-/ready/", 301, "/-/ready"),
        ("GET", "/p/metrics", 404, NOT_FOUND),
        ("GET", "/federate", 404, NOT_FOUND),
        ("GET", "/api/v1", 404, NOT_FOUND),
        ("PUT", "/metrics/job/x", 405, "DELETE, OPTIONS"),
        ("PUT", "/metrics", 405, "GET, OPTIONS"),
        ("DELETE", "/metrics/a/b", 404, NOT_FOUND),
    ];
    for row in rows {
        check_answer(&calls.scrape_listener(row.0, row.1, &[]), row);
    }
    // A key without a job is one there, since the operator has seen it; it takes a signature as all do.
    assert_eq!(calls.scrape_listener("DELETE", "/metrics/job/", &[]).status, 401);
}

#[test]
fn without_a_job_groups_are_pushed_and_deleted_where_that_is_allowed() {
    let calls = without_job();
    let all = "DELETE, GET, OPTIONS, POST, PUT";
    check(
        &calls,
        &[
            ("GET", "/metrics", 200, ""),
            ("GET", "/metrics/", 200, ""),
            ("OPTIONS", "/metrics", 200, all),
            ("HEAD", "/metrics", 405, all),
            ("PATCH", "/metrics/", 405, all),
            ("GET", "/metrics/instance/i", 405, GROUPS),
            (
                "POST",
                "/metrics/job",
                400,
                "odd number of components in label string \"job\": expected a value after each label name; write `/` in a value as `%2F`, or put the value in base64, make it with `base64 -w0 | tr '+/' '-_'`",
            ),
            ("POST", "/METRICS/instance/i", 404, NOT_FOUND),
            ("POST", "//metrics", 404, NOT_FOUND),
        ],
    );
    let pushes = [
        ("/metrics", "job=\"\""),
        ("/metrics/", "job=\"\""),
        ("/metrics/job/", "job=\"\""),
        ("/metrics/job/j", "job=\"j\""),
        ("/metrics/a/b//", "improper"),
        ("/metrics/a%2Fb/1", "improper"),
    ];
    for (path, expected) in pushes {
        let answer = calls.put(path, "x 1\n");
        if expected == "improper" {
            assert!(answer.status == 400 && answer.text().starts_with("improper label name"), "{path}: {answer:?}");
        } else {
            answer.is(200, "");
            let page = calls.page();
            assert!(page.contains(&format!("\nx{{instance=\"\",{expected}}} 1\n")), "{path}: {page}");
        }
    }
    calls.push_listener("POST", "/metrics/instance/i/region@base64/ZXUvMQ", &[], "y 2\n").is(200, "");
    assert!(calls.page().contains("\ny{instance=\"i\",job=\"\",region=\"eu/1\"} 2\n"));
    calls.push_listener("DELETE", "/metrics", &[], "").is(202, "");
    calls.push_listener("DELETE", "/metrics/region/eu%2F1/instance/i", &[], "").is(202, "");
    let page = calls.page();
    assert!(!page.contains("job=\"\"") && page.contains("x{instance=\"\",job=\"j\"} 1\n"), "{page}");
}

#[test]
fn names_of_any_text_are_read_from_the_path_where_they_are_allowed() {
    let calls = Calls::with(Settings { names: NameValidation::Utf8, ..Settings::default() });
    calls.put("/metrics/job/j/U__a_2e_b/1", "x 1\n").is(200, "");
    calls.put("/metrics/job/j/a.b/1", "x 2\n").is(200, "");
    let page = calls.push_listener("GET", "/metrics?name[]=x", &["sidegate-operator-read: 1"], "").text();
    assert_eq!(page.lines().filter(|line| line.contains("job=\"j\"")).count(), 1, "{page}");
    let refused = calls.put("/metrics/job/j/U______b/1", "x 1\n");
    refused.is(
        400,
        "improper label name \"U______b\": expected text in UTF-8, not empty, without U+0000, and no `__` at the start, \
         nor once it is unescaped\n",
    );
    calls.put("/metrics/job/k", "x 1\n").is(200, "");

    let classic = Calls::new();
    assert!(classic.put("/metrics/job/j/a.b/1", "").text().starts_with("improper label name \"a.b\""));
    classic.put("/metrics/job/j/U__a_2e_b/1", "x 1\n").is(200, "");
    assert!(classic.page().contains("x{U__a_2e_b=\"1\",instance=\"\",job=\"j\"} 1\n"), "{}", classic.page());
}
