//! Calls as other systems that speak the protocol document them: BlueKing's collector, DataKit, and old clients.
//!
//! Where they and the Pushgateway differ, it is the Pushgateway that is followed. The README has a table of it.

use std::{io::Write, net::SocketAddr};

use flate2::{Compression, write::GzEncoder};

use crate::{
    gateway::{Gateway, request, scrape},
    readme::{check_table, check_test},
};

const PROTOBUF: &str =
    "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A gauge `g` with the value 1.
const GAUGE: &[u8] = b"\x12\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\0\0\0\0\0\0\xf0\x3f";

/// Names and values in the environment of a process.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// As in the README, and the test in this file that shows it.
const ROWS: &[(&str, &str)] = &[
    (
        "BlueKing: `X-BK-TOKEN` as header or query, Basic as `bkmonitor`",
        "bluekings_tokens_let_in_where_there_is_a_token_file",
    ),
    ("BlueKing: a token where none is asked for", "bluekings_tokens_are_ignored_where_none_is_asked_for"),
    ("BlueKing: `X-Tps-TenantID`", "bluekings_tokens_are_ignored_where_none_is_asked_for"),
    ("BlueKing: port 4318 in a pod", "blueking_pushes_to_an_extra_listener_without_a_prefix"),
    ("BlueKing: port 4318 without Kubernetes", "alone_it_listens_at_several_addresses"),
    ("BlueKing: a label in body and path", "a_label_of_the_path_wins_over_one_of_the_body"),
    ("DataKit: `ENV_INPUT_PUSHGATEWAY_…`", "datakits_variables_are_understood"),
    ("DataKit: a variable that is no boolean", "a_boolean_of_datakit_that_is_none_stops_the_start"),
    ("DataKit: `route_prefix`", "datakits_paths_are_served_below_its_prefix"),
    (
        "DataKit: `measurement_name`, `job_as_measurement`, `keep_exist_metric_name`",
        "datakits_variables_name_measurements_as_they_say",
    ),
    ("DataKit: `honor_timestamps`", "datakits_timestamps_are_kept_on_request"),
    ("DataKit: a protobuf body that breaks off", "a_protobuf_body_that_breaks_off_is_refused_as_a_whole"),
    ("Java's simpleclient before 0.8", "a_client_that_takes_only_202_gets_it_on_request"),
    ("prom-aggregation-gateway: no job", "without_a_job_pushes_are_taken_on_request_and_nothing_is_added_up"),
    ("prom-aggregation-gateway: sums", "without_a_job_pushes_are_taken_on_request_and_nothing_is_added_up"),
];

#[test]
fn the_readme_tells_who_comes_from_elsewhere() {
    let names: Vec<_> = ROWS.iter().map(|(name, _)| *name).collect();
    check_table("Coming from another system", &names);
    for (name, test) in ROWS {
        check_test(name, &format!("tests/it/known_systems.rs::{test}"));
    }
}

/// A gateway alone, and where it is.
fn alone(args: &[&str], variables: Variables<'_>) -> (Gateway, SocketAddr) {
    let mut gateway = Gateway::start_with(&[&["--web.listen-address=127.0.0.1:0"], args].concat(), variables);
    let to = gateway.address("all");
    (gateway, to)
}

#[track_caller]
fn push(to: SocketAddr, method: &str, path: &str, headers: &[&str], body: impl AsRef<[u8]>) {
    assert_eq!(request(to, method, path, headers, body), (200, String::new()), "{method} {path} {headers:?}");
}

#[test]
fn blueking_pushes_to_an_extra_listener_without_a_prefix() {
    let args = ["sidecar", "--push.listen-address=127.0.0.1:0,127.0.0.1:0", "--scrape.listen-address=127.0.0.1:0"];
    let mut gateway = Gateway::start(&args);
    let [first, extra] = gateway.addresses("push", 2)[..] else { panic!("expected two push listeners") };
    assert_ne!(first, extra);
    push(extra, "POST", "/metrics/job/demo/instance/10.0.0.1", &["X-BK-TOKEN: t"], "request_total 1\n");
    push(first, "PUT", "/metrics/job@base64/ZGVtbw==/ip/10.0.0.1", &[], "request_total 2\n");
    let page = scrape(gateway.address("scrape"));
    assert!(page.contains("\nrequest_total{instance=\"\",ip=\"10.0.0.1\",job=\"demo\"} 2\n"), "{page}");
    assert!(page.contains("\nrequest_total{instance=\"10.0.0.1\",job=\"demo\"} 1\n"), "{page}");
}

#[test]
fn alone_it_listens_at_several_addresses() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"]);
    let [first, second] = gateway.addresses("all", 2)[..] else { panic!("expected two listeners") };
    assert_ne!(first, second);
    push(first, "POST", "/metrics/job/a", &[], "x 1\n");
    push(second, "POST", "/metrics/job/b", &[], "x 2\n");
    for to in [first, second] {
        assert!(scrape(to).contains("\nx{instance=\"\",job=\"a\"} 1\nx{instance=\"\",job=\"b\"} 2\n"));
    }
}

/// With BlueKing it is the other way round.
#[test]
fn a_label_of_the_path_wins_over_one_of_the_body() {
    let (_gateway, to) = alone(&[], &[]);
    push(to, "POST", "/metrics/job/j/ip/path", &[], "x{ip=\"body\",job=\"body\"} 1\n");
    assert!(scrape(to).contains("\nx{instance=\"\",ip=\"path\",job=\"j\"} 1\n"));
}

/// Wherever a token may be, and whatever it is, while there are none to compare it with.
#[test]
fn bluekings_tokens_are_ignored_where_none_is_asked_for() {
    let (_gateway, to, page) = Gateway::sidecar(&[]);
    let headers: [&[&str]; 9] = [
        &["X-BK-TOKEN: Ymtia2JrYmtiaw=="],
        &["x-bk-token: t"],
        &["X-Bk-Token: t"],
        &["X-BK-TOKEN:"],
        &["X-Tps-TenantID: tenant"],
        // `bkmonitor:TOKEN`, and a user that BlueKing does not know.
        &["Authorization: Basic Ymttb25pdG9yOlRPS0VO"],
        &["Authorization: Basic c29tZWJvZHk6c2VjcmV0"],
        &["Authorization: Bearer TOKEN"],
        &["X-BK-TOKEN: a", "X-Tps-TenantID: b", "Authorization: nonsense"],
    ];
    for (n, headers) in headers.iter().enumerate() {
        push(to, "POST", &format!("/metrics/job/demo/n/{n}"), headers, "request_total 1\n");
    }
    for query in ["X-BK-TOKEN=t", "X-BK-TOKEN=", "X-BK-TOKEN", "X-Tps-TenantID=t", "X-BK-TOKEN=%ff&X-Tps-TenantID=b"] {
        push(to, "PUT", &format!("/metrics/job/demo/q/1?{query}"), &[], "by_query 1\n");
        assert!(scrape(page).contains("by_query{instance=\"\",job=\"demo\",q=\"1\"} 1\n"), "{query}");
        assert_eq!(request(to, "DELETE", &format!("/metrics/job/demo/q/1?{query}"), &[], "").0, 202);
        assert!(!scrape(page).contains("by_query"), "{query}");
    }
    let delete = "/metrics/job/demo/n/0?X-BK-TOKEN=t";
    assert_eq!(request(to, "DELETE", delete, &["X-BK-TOKEN: t"], "").0, 202);
    let page = scrape(page);
    assert_eq!(page.matches("\nrequest_total{").count(), headers.len() - 1, "{page}");
    assert!(!page.contains("TOKEN") && !page.contains("tenant"), "{page}");
}

/// Each of the ways that its clients have, while no other token is there.
#[test]
fn bluekings_tokens_let_in_where_there_is_a_token_file() {
    let file = std::env::temp_dir().join(format!("sidegate-tokens-blueking-{}", std::process::id()));
    std::fs::write(&file, "Ymtia2JrYmtiaw==\nVE9L+RU4=\n").unwrap();
    let (_gateway, to, page) = Gateway::sidecar(&[&format!("--auth.token-file={}", file.display())]);
    let path = "/metrics/job/demo";
    // `bkmonitor:Ymtia2JrYmtiaw==`.
    let basic = "Authorization: Basic Ymttb25pdG9yOlltdGlhMkpyWW10aWF3PT0=";
    for header in ["X-BK-TOKEN: Ymtia2JrYmtiaw==", basic, "Authorization: Bearer VE9L+RU4="] {
        push(to, "POST", path, &[header], "request_total 1\n");
        push(to, "PUT", path, &[header, "X-Tps-TenantID: tenant"], "request_total 1\n");
    }
    for query in ["Ymtia2JrYmtiaw==", "Ymtia2JrYmtiaw%3D%3D", "VE9L%2BRU4=", "VE9L+RU4="] {
        push(to, "POST", &format!("{path}?X-BK-TOKEN={query}"), &[], "request_total 1\n");
        push(to, "POST", &format!("{path}?X-BK-TOKEN={query}"), &["X-BK-TOKEN: another"], "request_total 2\n");
    }
    for (query, header) in [("", "X-BK-TOKEN:"), ("?X-BK-TOKEN=", "X-BK-TOKEN: another"), ("?X-BK-TOKEN=x", "a: b")] {
        assert_eq!(request(to, "POST", &format!("{path}{query}"), &[header], "request_total 3\n").0, 401, "{query}");
    }
    assert_eq!(request(to, "POST", path, &["X-Tps-TenantID: Ymtia2JrYmtiaw=="], "request_total 3\n").0, 401);
    assert!(scrape(page).contains("\nrequest_total{instance=\"\",job=\"demo\"} 2\n"));
}

/// Their Python sample: the library's text, its headers, and the token added by a handler.
#[test]
fn bluekings_sample_for_python_is_taken() {
    let (_gateway, to, page) = Gateway::sidecar(&[]);
    let headers = ["Content-Type: text/plain; version=0.0.4; charset=utf-8", "X-Bk-Token: t"];
    let body = "# HELP demo_total Calls.\n# TYPE demo_total counter\ndemo_total{target=\"a\"} 1.0\n\
                # HELP demo_created Calls.\n# TYPE demo_created gauge\ndemo_created{target=\"a\"} 1.7e+09\n";
    for _ in 0..2 {
        push(to, "POST", "/metrics/job/SDK/instance/127.0.0.1/ip/127.0.0.1", &headers, body);
    }
    let page = scrape(page);
    assert!(
        page.contains("\ndemo_total{instance=\"127.0.0.1\",ip=\"127.0.0.1\",job=\"SDK\",target=\"a\"} 1\n"),
        "{page}"
    );
}

#[test]
fn datakits_paths_are_served_below_its_prefix() {
    let (_gateway, to, page) = Gateway::sidecar(&["--web.route-prefix=/v1/pushgateway"]);
    let rows = [
        ("POST", "/v1/pushgateway/metrics/job/pushgateway", "job=\"pushgateway\""),
        ("PUT", "/v1/pushgateway/metrics/job/a/instance/b", "instance=\"b\",job=\"a\""),
        ("POST", "/v1/pushgateway/metrics/job@base64/cHVzaGdhdGV3YXkx", "job=\"pushgateway1\""),
        ("PUT", "/v1/pushgateway/metrics/job@base64/YS9i/path@base64/L3Zhci90bXA=", "job=\"a/b\",path=\"/var/tmp\""),
        ("POST", "/v1/pushgateway/metrics/job@base64/YS9iYw==", "job=\"a/bc\""),
        ("PUT", "/v1/pushgateway/metrics/job@base64/YS9iZA", "job=\"a/bd\""),
    ];
    for (method, path, labels) in rows {
        push(to, method, path, &[], "# TYPE pushgateway_count counter\npushgateway_count 7\n");
        let labels = if labels.contains("instance") { labels.to_owned() } else { format!("instance=\"\",{labels}") };
        let page = scrape(page);
        assert!(page.contains(&format!("\npushgateway_count{{{labels}}} 7\n")), "{path}: {page}");
    }
    assert_eq!(request(to, "POST", "/metrics/job/a", &[], "x 1\n").0, 404);
    assert_eq!(request(to, "GET", "/v1/pushgateway", &[], "").0, 301);
}

#[test]
fn datakits_variables_are_understood() {
    let variables = [
        ("ENV_INPUT_PUSHGATEWAY_ROUTE_PREFIX", "/v1/pushgateway"),
        ("ENV_INPUT_PUSHGATEWAY_JOB_AS_MEASUREMENT", "true"),
    ];
    let mut gateway = Gateway::start_with(&["--web.listen-address=127.0.0.1:0"], &variables);
    let to = gateway.address("all");
    push(to, "PUT", "/v1/pushgateway/metrics/job/j", &[], "pushgateway_count 1\n");
    let (_, page) = request(to, "GET", "/v1/pushgateway/metrics", &[], "");
    assert!(page.contains("\npushgateway_count{instance=\"\",job=\"j\",measurement=\"j\"} 1\n"), "{page}");
}

#[test]
fn datakits_variables_name_measurements_as_they_say() {
    let (name, keep, job) = (
        "ENV_INPUT_PUSHGATEWAY_MEASUREMENT_NAME",
        "ENV_INPUT_PUSHGATEWAY_KEEP_EXIST_METRIC_NAME",
        "ENV_INPUT_PUSHGATEWAY_JOB_AS_MEASUREMENT",
    );
    let rows: [(Variables<'_>, &str, &str); 7] = [
        (&[], "rows_count", ""),
        (&[(name, "m")], "rows_count", "m"),
        (&[(name, "m"), (keep, "false"), (job, "true")], "rows_count", "m"),
        (&[(job, "true")], "rows_count", "j"),
        (&[(job, "true"), (keep, "false")], "rows_count", "j"),
        (&[(keep, "true")], "rows_count", ""),
        (&[(keep, "false")], "count", "rows"),
    ];
    for (variables, metric, measurement) in rows {
        let (_gateway, to) = alone(&[], variables);
        push(to, "PUT", "/metrics/job/j", &[], "rows_count 1\n");
        let measurement =
            if measurement.is_empty() { String::new() } else { format!(",measurement=\"{measurement}\"") };
        let line = format!("\n{metric}{{instance=\"\",job=\"j\"{measurement}}} 1\n");
        assert!(scrape(to).contains(&line), "{variables:?}: {}", scrape(to));
    }
}

#[test]
fn a_boolean_of_datakit_that_is_none_stops_the_start() {
    for variable in ["ENV_INPUT_PUSHGATEWAY_KEEP_EXIST_METRIC_NAME", "ENV_INPUT_PUSHGATEWAY_JOB_AS_MEASUREMENT"] {
        let gateway = Gateway::start_with(&["--web.listen-address=127.0.0.1:0"], &[(variable, "maybe")]);
        let (status, log) = gateway.wait();
        assert!(status.code() == Some(1) && log.contains(": expected true or false, found \"maybe\""), "{log}");
    }
}

/// With DataKit this is so unless it is told otherwise.
#[test]
fn datakits_timestamps_are_kept_on_request() {
    let body = "rows_count 1 1700000000000\n";
    let (_gateway, to) = alone(&["--push.timestamps=honor"], &[]);
    push(to, "POST", "/metrics/job/j", &[], body);
    assert!(scrape(to).contains("\nrows_count{instance=\"\",job=\"j\"} 1 1700000000000\n"));

    let (_gateway, to) = alone(&[], &[]);
    let (status, sentence) = request(to, "POST", "/metrics/job/j", &[], body);
    assert!(status == 400 && sentence.contains("timestamp"), "{status} {sentence}");
}

/// Java's simpleclient up to 0.7 takes nothing else for success.
#[test]
fn a_client_that_takes_only_202_gets_it_on_request() {
    let (_gateway, to) = alone(&["--push.disable-consistency-check"], &[]);
    let headers = ["Content-Type: text/plain; version=0.0.4; charset=utf-8"];
    let body = "# HELP rows Rows.\n# TYPE rows gauge\nrows 1.0\n";
    for method in ["PUT", "POST"] {
        let answer = request(to, method, "/metrics/job/j/instance/i", &headers, body);
        assert_eq!(answer, (202, String::new()), "{method}");
    }
    assert!(scrape(to).contains("\nrows{instance=\"i\",job=\"j\"} 1\n"));
    assert_eq!(request(to, "DELETE", "/metrics/job/j/instance/i", &headers, "").0, 202);
    assert!(!scrape(to).contains("\nrows{"));
}

/// As clients of the prom-aggregation-gateway do it.
#[test]
fn without_a_job_pushes_are_taken_on_request_and_nothing_is_added_up() {
    let (_gateway, to) = alone(&["--push.allow-missing-job"], &[]);
    for value in [3, 4] {
        for path in ["/metrics", "/metrics/region/eu", "/metrics/job/j"] {
            push(to, "POST", path, &[], format!("# TYPE rows counter\nrows {value}\n"));
        }
    }
    let page = scrape(to);
    for labels in ["instance=\"\",job=\"\"", "instance=\"\",job=\"\",region=\"eu\"", "instance=\"\",job=\"j\""] {
        assert!(page.contains(&format!("\nrows{{{labels}}} 4\n")), "{page}");
    }
}

#[test]
fn datakits_bodies_are_text_and_protobuf_plain_and_compressed() {
    let (_gateway, to, page) = Gateway::sidecar(&["--web.route-prefix=/v1/pushgateway"]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let snappy = |bytes: &[u8]| {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.into_inner().unwrap()
    };
    let text: &[u8] = b"# TYPE g gauge\ng 1\n";
    for (kind, body) in [("content-type: text/plain; version=0.0.4", text), (PROTOBUF, GAUGE)] {
        let bodies = [
            ("content-encoding: identity", body.to_vec()),
            ("content-encoding: gzip", gzip(body)),
            ("content-encoding: snappy", snappy(body)),
        ];
        for (encoding, body) in bodies {
            for method in ["POST", "PUT"] {
                push(to, method, "/v1/pushgateway/metrics/job/j", &[kind, encoding], &body);
                let shown = "# TYPE g gauge\ng{instance=\"\",job=\"j\"} 1\n";
                assert!(scrape(page).contains(shown), "{method} {kind} {encoding}");
                assert_eq!(request(to, "DELETE", "/v1/pushgateway/metrics/job/j", &[], "").0, 202);
            }
        }
    }
}

/// DataKit stores what it could read of a body that breaks off, and says 200.
#[test]
fn a_protobuf_body_that_breaks_off_is_refused_as_a_whole() {
    let (_gateway, to, page) = Gateway::sidecar(&[]);
    let torn = [GAUGE, &GAUGE[..7]].concat();
    let (status, sentence) = request(to, "POST", "/metrics/job/j", &[PROTOBUF], torn);
    assert!(
        status == 400 && sentence.starts_with("protobuf parsing error in message 2: expected 18 bytes"),
        "{sentence}"
    );
    assert!(!scrape(page).contains("job=\"j\""));
}
