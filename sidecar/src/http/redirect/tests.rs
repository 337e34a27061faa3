//! Section 3 of the reference as a table, and what must hold for every path.

use proptest::prelude::*;

use super::*;

fn known(prefix: &str) -> Known {
    let paths = [
        ("/", "GET, OPTIONS"),
        ("/metrics", "GET, OPTIONS"),
        ("/metrics/", "GET, OPTIONS"),
        ("/-/healthy", "GET, OPTIONS"),
        ("/-/quit", "OPTIONS, POST, PUT"),
        ("/api/v1/status", "GET, OPTIONS"),
    ];
    Known {
        groups: format!("{prefix}/metrics"),
        roots: vec![format!("{prefix}/"), format!("{prefix}/api/v1/")],
        asked_before: Some(format!("{prefix}/api/v1/")),
        paths: paths.into_iter().map(|(path, methods)| (format!("{prefix}{path}"), methods.to_owned())).collect(),
    }
}

fn shown(prefix: &str, method: &str, target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match redirect(&method, path, query, &known(prefix)) {
        Some(Redirect { status, location }) => format!("{} {location}", status.as_u16()),
        None => "served".to_owned(),
    }
}

#[track_caller]
fn check(method: &str, target: &str, expected: &str) {
    assert_eq!(shown("", method, target), expected, "{method} {target}");
}

#[test]
fn an_unclean_path_is_sent_to_the_clean_one() {
    check("GET", "//-/healthy", "307 /-/healthy");
    check("PUT", "/-/./quit", "307 /-/quit");
    check("GET", "/a/../-/healthy/?a=b&c=/../d", "307 /-/healthy/?a=b&c=/../d");
    check("GET", "//metrics?name[]=x", "307 /metrics?name[]=x");
    check("GET", "/../..", "307 /");
    check("GET", "/a/.", "307 /a");
    check("GET", "//", "307 /");
    check("POST", "/nothing//here", "307 /nothing/here");
    // Escapes are no steps.
    check("GET", "/%2e%2e/a", "served");
}

#[test]
fn a_slash_is_added_or_taken_off() {
    check("GET", "/-/healthy/", "301 /-/healthy");
    check("GET", "/api/v1/status/?x", "301 /api/v1/status?x");
    check("PUT", "/-/quit/", "307 /-/quit");
    check("GET", "/metrics", "served");
    check("GET", "/metrics/", "served");
    for (method, expected) in [("GET", "301 /p/"), ("POST", "307 /p/"), ("HEAD", "307 /p/")] {
        assert_eq!(shown("/p", method, "/p"), expected);
    }
    check("GET", "/api/v1", "301 /api/v1/");
    check("POST", "/api/v1", "307 /api/v1/");
    assert_eq!(shown("/p", "GET", "/p/api/v1"), "301 /p/api/v1/");
    assert_eq!(shown("/p", "GET", "/p/"), "served");
}

#[test]
fn another_spelling_is_sent_to_the_canonical_one() {
    check("GET", "/Metrics", "301 /metrics");
    check("GET", "/METRICS/", "301 /metrics");
    check("GET", "/-/HEALTHY/?x", "301 /-/healthy?x");
    check("POST", "/-/Quit", "307 /-/quit");
    assert_eq!(shown("/p", "GET", "/P/metrics"), "301 /p/metrics");
}

#[test]
fn only_the_same_method_is_looked_for() {
    for (method, path) in [
        ("POST", "/-/healthy/"),
        ("HEAD", "/-/healthy/"),
        ("get", "/-/healthy/"),
        ("GET", "/-/quit/"),
        ("POST", "/-/HEALTHY"),
        ("GET", "/nothing"),
        ("POST", "/"),
        ("OPTIONS", "*"),
        ("CONNECT", ""),
    ] {
        check(method, path, "served");
    }
}

#[test]
fn a_path_of_groups_is_never_sent_elsewhere() {
    let paths = [
        "/metrics/job/j/",
        "/metrics/job//a/b",
        "/metrics/job/../../-/healthy",
        "/metrics/../-/healthy",
        "/METRICS/Job/x",
        "//metrics/job/j",
        "/./metrics//job/j",
        "/x/../metrics/job/j",
        "/metrics//",
        "/metrics/jobs/x",
    ];
    for path in paths {
        for method in ["PUT", "POST", "DELETE", "GET", "HEAD", "put"] {
            check(method, path, "served");
        }
    }
    for path in ["//metrics", "/METRICS", "//metrics/", "/metrics/.", "/metrics/"] {
        for method in ["PUT", "POST", "DELETE"] {
            check(method, path, "served");
        }
    }
    assert_eq!(shown("/p", "PUT", "/p//metrics/job/j"), "served");
    assert_eq!(shown("/p", "PUT", "/metrics//job/j"), "307 /metrics/job/j");
    check("GET", "/metricsjob//x", "307 /metricsjob/x");
}

/// `//host` and `/\host` are other hosts to a browser.
#[test]
fn no_redirect_leaves_the_host() {
    check("GET", "//example.com/..//evil", "307 /evil");
    check("GET", "/./\\example.com", "307 /%5Cexample.com");
    check("GET", "/.//ä b\"?ö\\", "307 /%C3%A4%20b%22?%C3%B6%5C");
}

proptest! {
    #[test]
    fn a_redirect_stays_here_and_ends(
        method in prop::sample::select(vec!["GET", "PUT", "POST", "DELETE"]),
        parts in prop::collection::vec(prop::sample::select(vec!["", ".", "..", "metrics", "JOB", "-", "Healthy", "\\", "%2F", "é"]), 0..6),
    ) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut path = format!("/{}", parts.join("/"));
        for _ in 0..3 {
            let Some(Redirect { location, .. }) = redirect(&method, &path, None, &known("")) else { return Ok(()) };
            prop_assert!(location.starts_with('/') && !location.starts_with("//"), "{}", location);
            prop_assert!(location.is_ascii() && !location.contains('\\'), "{}", location);
            path = location;
        }
        prop_assert!(false, "goes on for ever: {}", path);
    }
}
