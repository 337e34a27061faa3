//! The JSON API: what it says to the byte, and with which headers.

use sidecar::{
    clock::UnixSeconds,
    exposition::{
        Count, Created, Extra, Histogram, Kind, Metric, MetricFamily, Value,
        extra::{NativeBuckets, NativeHistogram},
        text,
    },
    http::Settings,
    store::{Change, Store},
};

use crate::call::{Answer, Calls};

/// 2026-01-02T03:04:05.25Z
const PUSHED: UnixSeconds = UnixSeconds(1_767_323_045.25);

fn key(path: &str) -> protocol::GroupingKey {
    protocol::GroupingKey::from_path(path, protocol::PathNames::Literal).unwrap()
}

fn push_at(store: &Store, path: &str, body: &str, now: UnixSeconds) {
    let families = text::decode(body.as_bytes(), protocol::NameValidation::Legacy).unwrap();
    store.submit(Change::merge(key(path), families), now);
}

fn push(store: &Store, path: &str, body: &str) {
    push_at(store, path, body, PUSHED);
}

fn get(calls: &Calls, path: &str) -> Answer {
    calls.push_listener("GET", path, &[], "")
}

#[track_caller]
fn check(store: &Store, query: &str, expected: &str) {
    let calls = Calls::around(store.clone(), Settings::default());
    get(&calls, &format!("/api/v1/metrics{query}")).is(200, expected);
}

/// A group's object with the two push times, and `before` and `after` around what stands between the families of a
/// test.
fn times(labels: &str, pushed: &str, failed: &str) -> String {
    let family = |name, word, time, value| {
        format!(
            r#""{name}":{{"time_stamp":"{time}","type":"GAUGE","help":"Last Unix time when changing this group in the Pushgateway {word}.","metrics":[{{"labels":{labels},"value":"{value}"}}]}}"#
        )
    };
    let stamp = "2026-01-02T03:04:05.25Z";
    let failure = family("push_failure_time_seconds", "failed", stamp, failed);
    let success = family("push_time_seconds", "succeeded", stamp, pushed);
    format!("{failure},{success}")
}

const PUSHED_TEXT: &str = "1.76732304525e+09";

#[test]
fn nothing_stored_is_an_empty_list() {
    check(&Store::new(), "", r#"{"status":"success","data":[]}"#);
}

#[test]
fn a_group_has_its_labels_its_times_and_its_families_in_the_order_of_their_names() {
    let store = Store::new();
    push(
        &store,
        "/metrics/job/j/a/b",
        "# HELP x What it is.\n# TYPE x counter\nx{z=\"1\"} 1.5\nx 2\na_first 1234567\n",
    );
    let times = times(r#"{"a":"b","instance":"","job":"j"}"#, PUSHED_TEXT, "0");
    let expected = format!(
        r#"{{"status":"success","data":[{{"a_first":{{"time_stamp":"2026-01-02T03:04:05.25Z","type":"UNTYPED","metrics":[{{"labels":{{"a":"b","instance":"","job":"j"}},"value":"1.234567e+06"}}]}},"labels":{{"a":"b","job":"j"}},"last_push_successful":true,{times},"x":{{"time_stamp":"2026-01-02T03:04:05.25Z","type":"COUNTER","help":"What it is.","metrics":[{{"labels":{{"a":"b","instance":"","job":"j","z":"1"}},"value":"1.5"}},{{"labels":{{"a":"b","instance":"","job":"j"}},"value":"2"}}]}}}}]}}"#
    );
    check(&store, "", &expected);
}

#[test]
fn a_refused_push_shows_in_a_group() {
    let store = Store::new();
    push(&store, "/metrics/job/j", "x 1 5\n");
    let times = times(r#"{"instance":"","job":"j"}"#, "0", PUSHED_TEXT);
    let group = format!(r#"{{"labels":{{"job":"j"}},"last_push_successful":false,{times}}}"#);
    check(&store, "", &format!(r#"{{"status":"success","data":[{group}]}}"#));
}

#[test]
fn groups_are_sorted_by_key_however_many_there_are() {
    let store = Store::new();
    for job in (0..2000).rev() {
        push(&store, &format!("/metrics/job/{job:04}"), "x 1\n");
    }
    let calls = Calls::around(store, Settings::default());
    let answer = get(&calls, "/api/v1/metrics").text();
    assert!(answer.starts_with(r#"{"status":"success","data":[{"#) && answer.ends_with("}]}"), "{answer}");
    let jobs: Vec<_> = answer.split(r#"{"labels":{"job":""#).skip(1).map(|group| group.get(..4).unwrap()).collect();
    let expected: Vec<_> = (0..2000).map(|job| format!("{job:04}")).collect();
    assert_eq!(jobs, expected);
}

/// What a family's object has in `metrics`.
#[track_caller]
fn check_metrics(store: &Store, family: &str, expected: &str) {
    let calls = Calls::around(store.clone(), Settings::default());
    let answer = get(&calls, "/api/v1/metrics").text();
    let (_, family) = answer.split_once(&format!(r#""{family}":{{"#)).unwrap();
    let (_, metrics) = family.split_once(r#""metrics":"#).unwrap();
    assert!(metrics.starts_with(&format!("{expected}}}")), "{metrics}");
}

#[test]
fn numbers_are_texts_as_on_the_page_but_zero_keeps_its_sign() {
    for (written, expected) in
        [("-0", "-0"), ("0", "0"), ("1e21", "1e+21"), ("0.00001", "1e-05"), ("nan", "NaN"), ("-inf", "-Inf")]
    {
        let store = Store::new();
        push(&store, "/metrics/job/j", &format!("x {written}\n"));
        let expected = format!(r#"[{{"labels":{{"instance":"","job":"j"}},"value":"{expected}"}}]"#);
        check_metrics(&store, "x", &expected);
    }
}

#[test]
fn summaries_and_histograms_have_their_parts_by_name() {
    let store = Store::new();
    let body = "# TYPE s summary\ns{quantile=\"0.9\"} 3\ns{quantile=\"0.5\"} NaN\ns_sum 1e6\ns_count 12345678\n\
                # TYPE e summary\ne_sum 1\ne_count 0\n\
                # TYPE h histogram\nh_bucket{le=\"1e3\"} 2\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2.5\nh_sum -0\nh_count 3\n";
    push(&store, "/metrics/job/j", body);
    let labels = r#""labels":{"instance":"","job":"j"}"#;
    let summary = format!(r#"[{{"count":"12345678",{labels},"quantiles":{{"0.5":"NaN","0.9":"3"}},"sum":"1e+06"}}]"#);
    check_metrics(&store, "s", &summary);
    check_metrics(&store, "e", &format!(r#"[{{"count":"0",{labels},"quantiles":{{}},"sum":"1"}}]"#));
    let buckets = r#"{"+Inf":"2.5","0.1":"1","1000":"2"}"#;
    check_metrics(&store, "h", &format!(r#"[{{"buckets":{buckets},"count":"3",{labels},"sum":"-0"}}]"#));
}

fn native(schema: i32, spans: Vec<(i32, u32)>) -> MetricFamily {
    let negative = NativeBuckets { spans: spans.clone(), deltas: vec![1], counts: Vec::new() };
    let positive = NativeBuckets { spans, deltas: vec![3], counts: Vec::new() };
    let native = NativeHistogram { schema, zero_threshold: 0.001, zero_count: Count::Integer(2), negative, positive };
    let extra = Extra { native: Some(native), created: Some(Created::default()), ..Extra::default() };
    let value = Histogram { buckets: vec![(0.5, Count::Integer(1))], sum: 2.5, count: Count::Integer(6) };
    let labels = protocol::LabelSet::new();
    let metric = Metric { labels, value: Value::Histogram(value), timestamp: None, extra: extra.boxed() };
    let (name, help, unit) = ("h".to_owned(), String::new(), "seconds".to_owned());
    MetricFamily { name, help, unit, kind: Kind::GaugeHistogram, metrics: vec![metric] }
}

#[test]
fn a_native_histogram_has_a_list_of_its_buckets() {
    let labels = r#""labels":{"instance":"","job":"j"}"#;
    let store = Store::new();
    store.submit(Change::replace(key("/metrics/job/j"), vec![native(0, vec![(1, 1)])]), PUSHED);
    let buckets = r#"[[1,"-2","-1","1"],[3,"-0.001","0.001","2"],[0,"1","2","3"]]"#;
    check_metrics(&store, "h", &format!(r#"[{{"buckets":{buckets},"count":"6",{labels},"sum":"2.5"}}]"#));
    // Without a span, or of a schema that nobody knows, the classic buckets are all there is to show.
    for family in [native(0, vec![]), native(77, vec![(1, 1)])] {
        store.submit(Change::replace(key("/metrics/job/j"), vec![family]), PUSHED);
        check_metrics(&store, "h", &format!(r#"[{{"buckets":{{"0.5":"1"}},"count":"6",{labels},"sum":"2.5"}}]"#));
    }
}

#[test]
fn a_unit_is_shown_where_there_is_one_and_kinds_have_upstreams_words() {
    let store = Store::new();
    let number = |name: &str, kind| MetricFamily {
        name: name.to_owned(),
        help: String::new(),
        unit: String::new(),
        kind,
        metrics: vec![Metric {
            labels: protocol::LabelSet::new(),
            value: Value::Number(1.0),
            timestamp: None,
            extra: None,
        }],
    };
    let families = vec![native(0, vec![]), number("i", Kind::Info), number("s", Kind::StateSet)];
    store.submit(Change::replace(key("/metrics/job/j"), families), PUSHED);
    let calls = Calls::around(store, Settings::default());
    let answer = get(&calls, "/api/v1/metrics").text();
    let stamp = r#""time_stamp":"2026-01-02T03:04:05.25Z""#;
    for (name, head) in [("h", r#""type":"GAUGE_HISTOGRAM","unit":"seconds""#), ("i", r#""type":"GAUGE""#)] {
        assert!(answer.contains(&format!(r#""{name}":{{{stamp},{head},"metrics""#)), "{answer}");
    }
    assert!(answer.contains(&format!(r#""s":{{{stamp},"type":"GAUGE","metrics""#)), "{answer}");
}

#[test]
fn hostile_values_stay_texts() {
    let store = Store::new();
    push(&store, "/metrics/job/a%3Cb%3E%26%22%5C", "# HELP x a <b> & \"c\"\nx{v=\"</script>\\n\u{2028}\u{1}\"} 1\n");
    let calls = Calls::around(store, Settings::default());
    let answer = get(&calls, "/api/v1/metrics").text();
    assert!(answer.contains(r#""labels":{"job":"a\u003cb\u003e\u0026\"\\"}"#), "{answer}");
    assert!(answer.contains(r#""v":"\u003c/script\u003e\n\u2028\u0001""#), "{answer}");
    assert!(answer.contains(r#""help":"a \u003cb\u003e \u0026 \"c\"""#), "{answer}");
}

#[test]
fn families_with_the_names_of_a_groups_keys_do_not_take_their_place() {
    let store = Store::new();
    push(&store, "/metrics/job/j", "labels 1\nlast_push_successful 0\nlabels_too 5\n");
    let calls = Calls::around(store, Settings::default());
    let answer = get(&calls, "/api/v1/metrics").text();
    assert_eq!(answer.matches(r#""labels":{"job":"j"},"#).count(), 1, "{answer}");
    assert!(answer.contains(r#""last_push_successful":true"#) && !answer.contains(r#""value":"1""#), "{answer}");
    assert!(answer.contains(r#""labels_too":{"#), "{answer}");
    assert!(calls.page().contains("labels{instance=\"\",job=\"j\"} 1\n"));
}

#[test]
fn one_group_is_found_by_its_path() {
    let store = Store::new();
    push(&store, "/metrics/job/a", "x 1\n");
    push(&store, "/metrics/job/a/instance/b%2Fc", "y 1\n");
    let labels = r#"{"instance":"b/c","job":"a"}"#;
    let times = times(labels, PUSHED_TEXT, "0");
    let y = format!(
        r#""y":{{"time_stamp":"2026-01-02T03:04:05.25Z","type":"UNTYPED","metrics":[{{"labels":{labels},"value":"1"}}]}}"#
    );
    let group = format!(r#"{{"labels":{labels},"last_push_successful":true,{times},{y}}}"#);
    let expected = format!(r#"{{"status":"success","data":[{group}]}}"#);
    for query in [
        "?group=/metrics/job/a/instance/b%252Fc",
        "?group=job/a/instance/b%252Fc",
        "?group=/job/a/instance@base64/Yi9j",
        "?x=y&group=%2Fmetrics%2Fjob%2Fa%2Finstance%2540base64%2FYi9j",
    ] {
        check(&store, query, &expected);
    }
}

#[test]
fn a_group_that_is_not_there_is_404_and_a_bad_key_is_400() {
    let calls = Calls::new();
    let answer = get(&calls, "/api/v1/metrics?group=job/a/b/c");
    answer.is(404, "expected the key of a group that is here, found /metrics/job/a/b/c, which is not\n");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let rows = [
        ("job/a/b", "odd number of components in label string \"b\""),
        ("job@base64/a/b@base64/*", "invalid base64 encoding for label \"job\""),
        ("job/", "job name is required"),
        ("", "expected /metrics/job/JOB or /metrics/job@base64/JOB, found another path\n"),
    ];
    for (group, start) in rows {
        let answer = get(&calls, &format!("/api/v1/metrics?group={group}"));
        assert_eq!(answer.status, 400, "{group}");
        assert!(answer.text().starts_with(start), "{group}: {}", answer.text());
    }
}

#[test]
fn the_status_tells_build_flags_and_start() {
    let flags = [("web.route-prefix", "/p<"), ("log.format", "logfmt")];
    let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let calls = Calls::around(Store::new(), Settings { flags, started: PUSHED, ..Settings::default() });
    let expected = format!(
        r#"{{"status":"success","data":{{"build_information":{{"branch":"","buildDate":"","buildUser":"","goVersion":"","revision":"","version":"{}"}},"flags":{{"log.format":"logfmt","web.route-prefix":"/p\u003c"}},"start_time":"2026-01-02T03:04:05.25Z"}}}}"#,
        env!("CARGO_PKG_VERSION")
    );
    get(&calls, "/api/v1/status").is(200, &expected);
}

#[test]
fn answers_may_be_read_by_other_sites_and_not_kept() {
    let calls = Calls::new();
    let open = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-allow-headers", "Accept, Authorization, Content-Type, Origin"),
        ("access-control-expose-headers", "Date"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
    ];
    let of = |method, path| calls.push_listener(method, path, &[], "");
    for path in ["/api/v1/status", "/api/v1/metrics"] {
        let answer = of("GET", path);
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(open.iter().all(|(name, value)| answer.header(name) == *value), "{path} {answer:?}");
        for method in ["PUT", "HEAD", "DELETE"] {
            let answer = of(method, path);
            assert_eq!((answer.status, answer.header("allow")), (405, "GET, OPTIONS"), "{method}");
            assert!(open.iter().all(|(name, _)| answer.header(name).is_empty()), "{method} {answer:?}");
        }
    }
    for path in ["/api/v1/", "/api/v1/status", "/api/v1/metrics", "/api/v1/a/b", "/api/v1/admin/wipe"] {
        let answer = of("OPTIONS", path);
        answer.is(200, "");
        assert!(open.iter().all(|(name, value)| answer.header(name) == *value), "{path} {answer:?}");
        assert_eq!(answer.header("content-type"), "");
    }
    for path in ["/api/v1/", "/api/v1/nothing"] {
        let answer = of("GET", path);
        answer.is(404, "404 page not found\n");
        assert!(open.iter().all(|(name, _)| answer.header(name).is_empty()), "{answer:?}");
        assert_eq!(answer.header("allow"), "");
    }
}

#[test]
fn a_browser_that_asks_before_a_request_is_not_sent_elsewhere() {
    for prefix in ["", "/p"] {
        let calls = Calls::around(Store::new(), Settings { route_prefix: prefix.into(), ..Settings::default() });
        for path in ["/api/v1/status/", "/api/v1//status", "/api/v1/STATUS", "/api/v1/./metrics", "/api/v1/x//y"] {
            let answer = calls.push_listener("OPTIONS", &format!("{prefix}{path}"), &[], "");
            answer.is(200, "");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        }
        assert_eq!(get(&calls, &format!("{prefix}/api/v1/status/")).status, 301);
    }
}

#[test]
fn the_api_is_behind_the_route_prefix_and_counted() {
    let calls = Calls::around(Store::new(), Settings { route_prefix: "/p".into(), ..Settings::default() });
    for (method, path) in [("GET", "metrics"), ("GET", "status"), ("OPTIONS", "x"), ("PUT", "status"), ("GET", "x")] {
        calls.push_listener(method, &format!("/p/api/v1/{path}"), &[], "");
    }
    assert_eq!(get(&calls, "/api/v1/status").status, 404);
    let page = get(&calls, "/p/metrics").text();
    let counted: Vec<_> = page.lines().filter(|line| line.starts_with("pushgateway_http_requests_total{")).collect();
    let expected = ["metrics", "options", "status"].map(|handler| {
        let method = if handler == "options" { "options" } else { "get" };
        format!("pushgateway_http_requests_total{{code=\"200\",handler=\"api/v1/{handler}\",method=\"{method}\"}} 1")
    });
    assert_eq!(counted, expected);
}

#[test]
fn the_scrape_listener_has_no_api() {
    let calls = Calls::new();
    for path in ["/api/v1/metrics", "/api/v1/status", "/", "/status", "/-/quit"] {
        assert_eq!(calls.scrape_listener("GET", path, &[]).status, 404, "{path}");
    }
}
