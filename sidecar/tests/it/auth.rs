//! Who may push: tokens over the router, and what only the process shows.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use axum::body::Body;
use sidecar::http::Settings;

use crate::{
    call::{Answer, Calls},
    curl::curl,
    gateway::{Gateway, request, scrape},
};

const MISSING: &str = "expected a token, as `Authorization: Bearer TOKEN`, as the password of Basic or as `X-BK-TOKEN`, \
                       found none\n";

const TOKENS: &str = "\
tokens:
  - name: all
    token: T0KEN-all
  - name: backups
    token: T0KEN-backups
    jobs: [\"backup-.*\"]
    rate: {perSecond: 0.1, burst: 3}
  - {name: some, token: T0KEN-some, jobs: [j]}
";

/// A token file of its own for each test.
fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("sidegate-tokens-{name}-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

fn calls(name: &str, guards_reads: bool) -> Calls {
    let settings = Settings { has_admin_api: true, has_lifecycle_api: true, ..Settings::default() };
    Calls::guarded(settings, file(name, TOKENS), guards_reads)
}

fn push(calls: &Calls, job: &str, headers: &[&str]) -> Answer {
    calls.push_listener("PUT", &format!("/metrics/job/{job}"), headers, "x 1\n")
}

#[test]
fn writes_and_administration_need_a_token_and_reads_and_health_do_not() {
    let calls = calls("writes", false);
    let guarded = [
        ("PUT", "/metrics/job/j"),
        ("POST", "/metrics/job@base64/ag"),
        ("DELETE", "/metrics/job/j"),
        ("PUT", "/api/v1/admin/wipe"),
        ("DELETE", "/api/v1/groups?match[]=%7Bjob%3D%22j%22%7D"),
        ("PUT", "/-/quit"),
        ("POST", "/-/quit"),
    ];
    for (method, path) in guarded {
        let answer = calls.push_listener(method, path, &[], Body::empty());
        answer.is(401, MISSING);
        let schemes: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(
            schemes,
            ["Bearer realm=\"sidegate\"", "Basic realm=\"sidegate\", charset=\"UTF-8\""],
            "{method} {path}"
        );
        let answer = calls.push_listener(method, path, &["authorization: Bearer T0KEN-all"], Body::empty());
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    }
    for path in ["/metrics", "/", "/api/v1/status", "/api/v1/metrics", "/-/healthy", "/-/ready"] {
        assert_eq!(calls.push_listener("GET", path, &[], Body::empty()).status, 200, "{path}");
    }
    assert_eq!(calls.scrape_listener("GET", "/metrics", &[]).status, 200);
}

#[test]
fn reads_need_a_token_on_request_and_health_never_does() {
    let calls = calls("reads", true);
    for path in ["/metrics", "/metrics/", "/", "/status", "/api/v1/status", "/api/v1/metrics"] {
        calls.push_listener("GET", path, &[], Body::empty()).is(401, MISSING);
        let token = "x-bk-token: T0KEN-some";
        assert_eq!(calls.push_listener("GET", path, &[token], Body::empty()).status, 200, "{path}");
    }
    for path in ["/-/healthy", "/-/ready"] {
        calls.push_listener("GET", path, &[], Body::empty()).is(200, "OK");
        calls.scrape_listener("GET", path, &[]).is(200, "OK");
    }
    assert_eq!(calls.push_listener("OPTIONS", "/api/v1/metrics", &[], Body::empty()).status, 200);
    assert_eq!(calls.push_listener("GET", "/nowhere", &[], Body::empty()).status, 404);
}

/// Prometheus and the operator have no token.
#[test]
fn the_port_that_is_scraped_asks_readers_for_no_token() {
    let calls = calls("scraped", true);
    for headers in [&[][..], &["sidegate-operator-read: 1"], &["authorization: Bearer T0KEN-none"]] {
        for path in ["/metrics", "/metrics/", "/metrics?name[]=push_time_seconds"] {
            assert_eq!(calls.scrape_listener("GET", path, headers).status, 200, "{path} {headers:?}");
        }
    }
}

/// They are the operator's, who signs them.
#[test]
fn deletions_at_the_scrape_port_are_asked_for_their_signature_alone() {
    let calls = calls("signed", true);
    for headers in [&[][..], &["authorization: Bearer T0KEN-all"]] {
        let answer = calls.scrape_listener("DELETE", "/metrics/job/j", headers);
        assert_eq!(answer.status, 401);
        assert!(answer.text().starts_with("expected `sidegate-signature` with the operator's signature"));
    }
}

#[test]
fn a_refusal_says_what_was_expected_and_repeats_no_token() {
    let calls = calls("sentences", false);
    let unknown = "expected a token that is known here, found one that is not\n";
    push(&calls, "j", &["authorization: Bearer s3cr3t"]).is(401, unknown);
    push(&calls, "j", &["authorization: Bearer s3cr3t", "x-bk-token: s3cr3t2"])
        .is(401, "expected a token that is known here, found several that are not\n");
    // As is any other scheme.
    push(&calls, "j", &["authorization: s3cr3t"]).is(401, MISSING);
    let backups = "authorization: Basic dXNlcjpUMEtFTi1iYWNrdXBz";
    push(&calls, "x-backup-1", &[backups])
        .is(403, "expected a token for job \"x-backup-1\", found one for other jobs\n");
    push(&calls, "j", &[backups, "x-bk-token: T0KEN-all"]).is(200, "");
    calls
        .push_listener("PUT", "/api/v1/admin/wipe", &[backups], Body::empty())
        .is(403, "expected a token for all jobs, since this is about all groups, found one for some\n");
    for _ in 0..3 {
        push(&calls, "backup-1", &[backups]).is(200, "");
    }
    let answer = push(&calls, "backup-1", &[backups]);
    answer.is(429, "expected fewer requests with this token, found more than its rate allows; try again in 10 s\n");
    assert_eq!(answer.header("retry-after"), "10");

    let page = calls.page();
    for line in [
        "sidegate_auth_refusals_total{reason=\"forbidden\"} 2",
        "sidegate_auth_refusals_total{reason=\"missing\"} 1",
        "sidegate_auth_refusals_total{reason=\"too_often\"} 1",
        "sidegate_auth_refusals_total{reason=\"unavailable\"} 0",
        "sidegate_auth_refusals_total{reason=\"unknown\"} 2",
        "sidegate_pushes_refused_total{reason=\"auth\"} 5",
        "pushgateway_http_requests_total{code=\"401\",handler=\"push\",method=\"put\"} 3",
        "sidegate_reload_failures_total{file=\"tokens\"} 0",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "expected {line} in\n{page}");
    }
    assert!(!page.contains("s3cr3t") && !page.contains("T0KEN"), "{page}");
    let status = calls.push_listener("GET", "/api/v1/status", &[], Body::empty()).text();
    assert!(!status.contains("T0KEN") && !status.contains("auth."), "{status}");
}

#[test]
fn a_path_that_names_no_group_is_told_so_to_those_with_a_token() {
    let calls = calls("paths", false);
    push(&calls, "j/a", &[]).is(401, MISSING);
    let answer = push(&calls, "j/a", &["x-bk-token: T0KEN-backups"]);
    assert!(answer.status == 400, "{}", answer.text());
}

#[test]
fn the_job_counts_as_it_is_and_not_as_it_is_spelled() {
    let calls = calls("spelled", false);
    let token = "x-bk-token: T0KEN-backups";
    // `backup-1`, escaped and by base64.
    assert_eq!(push(&calls, "back%75p-1", &[token]).status, 200);
    let by_base64 = |job: &str| calls.push_listener("PUT", &format!("/metrics/job@base64/{job}"), &[token], "x 1\n");
    assert_eq!(by_base64("YmFja3VwLTE").status, 200);
    assert_eq!(push(&calls, "backup-%2E%2Fx", &[token]).status, 200);
    // `xbackup-1`.
    assert_eq!(by_base64("eGJhY2t1cC0x").status, 403);
}

/// As somebody copies it.
#[test]
fn the_token_file_of_the_readme_is_one() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Who may push\n").unwrap();
    let (yaml, _) = section.split_once("```yaml\n").unwrap().1.split_once("```\n").unwrap();
    let calls = Calls::guarded(Settings::default(), file("readme", yaml), false);
    assert_eq!(push(&calls, "a", &["authorization: Bearer change-me-please"]).status, 200);
    let by_query = calls.push_listener("PUT", "/metrics/job/a?X-BK-TOKEN=change-me-please", &[], "x 1\n");
    assert_eq!(by_query.status, 200);
    // `any:change-me-as-well`.
    let backups = "authorization: Basic YW55OmNoYW5nZS1tZS1hcy13ZWxs";
    assert_eq!(push(&calls, "backup-1", &[backups]).status, 200);
    assert_eq!(push(&calls, "a", &[backups]).status, 403);
}

/// A gateway alone with these tokens, and where it is.
fn alone(name: &str, args: &[&str]) -> (Gateway, SocketAddr, PathBuf) {
    let path = file(name, TOKENS);
    let flag = format!("--auth.token-file={}", path.display());
    let mut gateway = Gateway::start(&[&["--web.listen-address=127.0.0.1:0", &flag], args].concat());
    let to = gateway.address("all");
    (gateway, to, path)
}

/// Sends a head that promises a body, and as much of that; returns the answer, for which nothing more is sent.
fn answer_before_the_body(to: SocketAddr, headers: &str, start: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("PUT /metrics/job/j HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n{headers}\r\n{start}");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !String::from_utf8_lossy(&answer).contains("found none\n") {
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(piece.iter().take(read));
    }
    stream.shutdown(Shutdown::Both).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_token_is_asked_for_before_the_body_is_read() {
    let (_gateway, to, _) = alone("expect", &[]);
    for (headers, start) in [("expect: 100-continue\r\n", ""), ("", "x 1\nx"), ("", "")] {
        let answer = answer_before_the_body(to, headers, start);
        assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    }
    // With a token the client is told to go on.
    let mut stream = TcpStream::connect(to).unwrap();
    let head = "PUT /metrics/job/j HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\
                x-bk-token: T0KEN-all\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut start = [0; 25];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn curl_and_bluekings_clients_push_with_a_token() {
    let (_gateway, to, _) = alone("curl", &[]);
    let push = |args: &[&str]| curl(to, &[&["--data-binary", "@-", "/metrics/job/j"], args].concat(), "x 1\n").0;
    assert_eq!(push(&[]), 401);
    assert_eq!(push(&["--user", "bkmonitor:T0KEN-all"]), 200);
    assert_eq!(push(&["--user", ":T0KEN-all"]), 200);
    assert_eq!(push(&["--oauth2-bearer", "T0KEN-all"]), 200);
    assert_eq!(push(&["--header", "X-BK-TOKEN: T0KEN-all"]), 200);
    assert_eq!(push(&["--header", "X-BK-TOKEN: T0KEN-alL"]), 401);
    assert_eq!(curl(to, &["--data-binary", "@-", "/metrics/job/j?X-BK-TOKEN=T0KEN-all"], "x 1\n").0, 200);
    assert_eq!(curl(to, &["--data-binary", "@-", "/metrics/job/j?X-BK-TOKEN="], "x 1\n").0, 401);
}

#[test]
fn no_token_is_in_the_log() {
    let (mut gateway, to, path) = alone("log", &["--log.level=debug", "--auth.reads", "--web.enable-lifecycle"]);
    for token in ["T0KEN-all", "T0KEN-none"] {
        for (method, path) in [
            ("PUT", "/metrics/job/j"),
            ("PUT", "/metrics/job/j/a"),
            ("DELETE", "/metrics/job/j"),
            ("GET", "/metrics"),
            ("GET", "//status"),
            ("GET", "/nowhere"),
        ] {
            request(to, method, &format!("{path}?X-BK-TOKEN={token}"), &[], "x\n");
            request(to, method, path, &[&format!("authorization: Bearer {token}")], "x\n");
        }
    }
    fs::write(&path, format!("{TOKENS}  - {{token: T0KEN-more, token: T0KEN-more}}\n")).unwrap();
    eventually(|| {
        request(to, "PUT", "/metrics/job/j", &["x-bk-token: T0KEN-all"], "x 1\n").0 == 200 && {
            let page = request(to, "GET", "/metrics", &["x-bk-token: T0KEN-all"], "").1;
            page.contains("\nsidegate_reload_failures_total{file=\"tokens\"} 1\n")
        }
    });
    let line = gateway.line(|line| line.contains("level=error"));
    assert!(line.contains("duplicate field `token`") && line.contains("those read before stay in force"), "{line}");
    assert_eq!(request(to, "PUT", "/-/quit", &["x-bk-token: T0KEN-all"], "").0, 200);
    let (status, log) = gateway.wait();
    assert!(status.success() && log.contains("not let in") && log.contains("push malformed"), "{log}");
    assert!(!log.contains("T0KEN"), "{log}");
}

/// Waits for something that takes a look at a file, which happens once a second at most.
#[track_caller]
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
    let now = Instant::now;
    let started = now();
    while !is_so() {
        assert!(now() - started < Duration::from_secs(20), "it did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_changed_file_counts_without_a_restart() {
    let (mut gateway, to, path) = alone("reload", &[]);
    let push = |token: &str| request(to, "PUT", "/metrics/job/j", &[&format!("x-bk-token: {token}")], "x 1\n").0;
    assert_eq!((push("T0KEN-all"), push("new")), (200, 401));
    fs::write(&path, "new\n").unwrap();
    eventually(|| push("new") == 200);
    assert_eq!(push("T0KEN-all"), 401);
    let line = gateway.line(|line| line.contains("token file read") && line.contains("tokens=1"));
    assert!(!line.contains("new"), "{line}");
    fs::write(&path, "").unwrap();
    eventually(|| scrape(to).contains("\nsidegate_reload_failures_total{file=\"tokens\"} 1\n") || push("new") != 200);
    assert_eq!(push("new"), 200);
}

#[test]
fn alone_a_bad_file_is_a_mistake_like_others() {
    let path = file("bad", "tokens:\n  - {token: s3cr3t, for: [a]}\n");
    let flag = format!("--auth.token-file={}", path.display());
    let (status, log) = Gateway::start(&[&flag, "--log.level=loud"]).wait();
    let expected = format!(
        "--auth.token-file: expected a token file in \"{}\", found a fault: line 2, column 21: tokens[0]: \
         unknown field, expected one of `name`, `token`, `jobs`, `rate`\n--log.level: expected",
        path.display()
    );
    assert!(status.code() == Some(1) && log.contains(&expected) && !log.contains("s3cr3t"), "{log}");
    let (status, log) = Gateway::start(&["--auth.token-file=/nowhere/tokens", "--log.level=info"]).wait();
    let expected = "--auth.token-file: expected a file that can be read, found \"/nowhere/tokens\": No such file";
    assert!(status.code() == Some(1) && log.contains(expected), "{log}");
    let (status, log) = Gateway::start(&["--auth.reads"]).wait();
    let expected = "--auth.reads: expected --auth.token-file beside it, found none";
    assert!(status.code() == Some(1) && log.contains(expected), "{log}");
}

/// A native sidecar that dies would hold its pod.
#[test]
fn a_sidecar_goes_on_and_lets_nobody_in_until_the_file_is_good() {
    let path = file("sidecar", "");
    let flag = format!("--auth.token-file={}", path.display());
    let (mut gateway, to, page) = Gateway::sidecar(&[&flag]);
    let line = gateway.line(|line| line.contains("level=error"));
    assert!(line.contains("expected tokens, found an empty file (`tokens: []` lets nobody in)"), "{line}");
    let push = || request(to, "PUT", "/metrics/job/j", &["x-bk-token: T0KEN-all"], "x 1\n");
    let sentence =
        "expected a token file to compare tokens with, found none that can be read; the log says why\n".to_owned();
    assert_eq!(push(), (503, sentence));
    assert!(scrape(page).contains("\nsidegate_auth_refusals_total{reason=\"unavailable\"} 1\n"));
    assert_eq!(request(to, "GET", "/-/ready", &[], "").0, 200);
    fs::write(&path, TOKENS).unwrap();
    eventually(|| push().0 == 200);
    assert!(scrape(page).contains("\nx{instance=\"\",job=\"j\"} 1\n"));
}
