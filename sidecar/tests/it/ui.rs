//! The status page: what it says, and that nothing pushed can become a part of it.

use protocol::NameValidation;
use sidecar::{
    clock::UnixSeconds,
    exposition::{
        Count, Extra, Histogram, Kind, Metric, MetricFamily, Summary, Value,
        extra::{NativeBuckets, NativeHistogram},
        text,
    },
    http::Settings,
    store::{Change, Store},
};

use crate::call::{Answer, Calls};

/// 2026-01-02T03:04:05.25Z
const PUSHED: UnixSeconds = UnixSeconds(1_767_323_045.25);

fn push(store: &Store, path: &str, body: &str) {
    let key = protocol::GroupingKey::from_path(path, protocol::PathNames::Legacy).unwrap();
    let families = text::decode(body.as_bytes(), protocol::NameValidation::Legacy).unwrap();
    store.submit(Change::merge(key, families), PUSHED);
}

fn calls(store: &Store) -> Calls {
    Calls::around(store.clone(), Settings::default())
}

fn get(calls: &Calls, path: &str) -> Answer {
    calls.push_listener("GET", path, &[], "")
}

fn page(store: &Store, path: &str) -> String {
    let answer = get(&calls(store), path);
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
    answer.text()
}

#[track_caller]
fn has(page: &str, part: &str) {
    assert!(page.contains(part), "expected {part} in\n{page}");
}

#[test]
fn groups_families_and_series_are_shown() {
    let store = Store::new();
    let body = "# HELP x What it is.\n# TYPE x counter\nx{z=\"1\"} 1e21\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n\
                # TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_sum 2\nh_count 3\n";
    push(&store, "/metrics/job/j/a/b", body);
    let page = page(&store, "/");
    has(&page, "<p class=\"quiet\">1 group.</p>");
    // The job first, whatever the alphabet says.
    has(&page, "<span class=\"label\">job=&#34;j&#34;</span><span class=\"label\">a=&#34;b&#34;</span>");
    has(&page, "pushed <time datetime=\"2026-01-02T03:04:05.25Z\">2026-01-02 03:04:05 UTC</time>");
    has(&page, "<span class=\"name\">x</span> <span class=\"quiet\">counter, pushed");
    has(&page, "<div>What it is.</div>");
    has(
        &page,
        "{a=&#34;b&#34;,instance=&#34;&#34;,job=&#34;j&#34;,z=&#34;1&#34;}</td><td class=\"value\">1000000000000000000000</td>",
    );
    has(&page, "<td class=\"value\">0.5: 1<br>sum: 2<br>count: 3</td>");
    has(&page, "<td class=\"value\">≤ 0.1: 1<br>sum: 2<br>count: 3</td>");
    has(&page, "refused: never");
    has(&page, "<meta name=\"robots\" content=\"noindex, nofollow\">");
    assert!(!page.contains("Last push failed!"), "{page}");
}

#[test]
fn a_group_whose_last_push_failed_is_marked() {
    let store = Store::new();
    push(&store, "/metrics/job/j", "x 1 5\n");
    let page = page(&store, "/status");
    has(&page, "<span class=\"failed\">Last push failed!</span>");
    has(&page, "Last push accepted: never; refused: <time datetime=\"2026-01-02T03:04:05.25Z\">");
}

#[test]
fn what_was_pushed_cannot_become_a_part_of_the_page() {
    let store = Store::new();
    let hostile = "</script><img src=x onerror='alert(1)'>\\\" onclick=\\\"alert(1)&lt;";
    let body = format!("# HELP x {hostile}\n# TYPE x gauge\nx{{v=\"{hostile}\"}} 1\n");
    push(&store, "/metrics/job/%3Cimg%20src=x%20onerror=%22alert(1)%22%3E/a/%22%27%3E%3Cb%3E", &body);
    let page = page(&store, "/?q=%3Cimg%20src%22%27");
    has(&page, "value=\"&#60;img src&#34;&#39;\"");
    has(&page, "with “&#60;img src&#34;&#39;” in the key");
    let page = self::page(&store, "/");
    for part in ["<img", "onerror='", "onclick=\"", "<b>", "\"alert", "&lt;"] {
        assert!(!page.contains(part), "{part} in\n{page}");
    }
    assert_eq!(page.matches("<script>").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    has(&page, "&#60;img src=x onerror=&#39;alert(1)&#39;&#62;");
}

#[test]
fn the_browser_is_told_to_run_and_load_nothing_else() {
    let answer = get(&Calls::new(), "/");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[test]
fn the_buttons_name_what_they_ask_for() {
    let store = Store::new();
    push(&store, "/metrics/job/a%2Fb/x/%22", "x 1\n");
    let settings = Settings { has_admin_api: true, link_prefix: "/ext".into(), ..Settings::default() };
    let admin = get(&Calls::around(store.clone(), settings), "/").text();
    has(&admin, "data-method=\"DELETE\" data-path=\"/ext/metrics/job@base64/YS9i/x/%22\"");
    has(&admin, "data-question=\"Delete the group {job=&#34;a/b&#34;,x=&#34;\\&#34;&#34;}?\"");
    has(&admin, "data-method=\"PUT\" data-path=\"/ext/api/v1/admin/wipe\" data-question=\"Delete all 1 groups?\"");
    has(&admin, "<a href=\"/ext/metrics\">");
    assert!(!page(&store, "/").contains("admin/wipe"));
    // The path of the link and of the button are those of the group.
    let link = "/ext/api/v1/metrics?group=";
    let (_, group) = admin.split_once(link).unwrap();
    let (group, _) = group.split_once('"').unwrap();
    let calls = calls(&store);
    has(&get(&calls, &format!("/api/v1/metrics?group={group}")).text(), r#""labels":{"job":"a/b","x":"\""}"#);
    calls.push_listener("DELETE", "/metrics/job@base64/YS9i/x/%22", &[], "").is(202, "");
    has(&page(&store, "/"), "<p class=\"quiet\">No groups.</p>");
}

#[test]
fn the_buttons_name_their_group_where_names_are_any_text_too() {
    let store = Store::new();
    let settings = || Settings { names: NameValidation::Utf8, ..Settings::default() };
    let calls = Calls::around(store.clone(), settings());
    calls.put("/metrics/job/j/U__x_2e_y/1", "x 1\n").is(200, "");
    calls.put("/metrics/job/j/U__U____x__2e__y/2", "x 1\n").is(200, "");
    let question = "data-question=\"Delete the group {U__x_2e_y=&#34;2&#34;,job=&#34;j&#34;}?\"";
    let page = get(&calls, "/").text();
    let (before, _) = page.split_once(question).unwrap();
    let last = |start: &str| before.rsplit_once(start).unwrap().1.split_once('"').unwrap().0.to_owned();
    let json = get(&calls, &last("<a href=\"")).text();
    has(&json, r#""data":[{"labels":{"U__x_2e_y":"2","job":"j"}"#);
    calls.push_listener("DELETE", &last("data-path=\""), &[], "").is(202, "");
    let left: Vec<_> = store.keys().iter().map(ToString::to_string).collect();
    assert_eq!(left, [r#"{job="j","x.y"="1"}"#]);
}

#[test]
fn many_groups_are_shown_page_by_page_and_each_once() {
    let store = Store::new();
    for job in 0..450 {
        push(&store, &format!("/metrics/job/{job:03}%20%26/a/b"), "x 1\n");
    }
    let mut path = "/?q=A%3D%22B".to_owned();
    let mut seen = Vec::new();
    for said in ["Groups 1 to 200 of 450", "Groups 201 to 400 of 450", "Groups 401 to 450 of 450"] {
        let page = page(&store, &path);
        has(&page, &format!("{said} with “A=&#34;B” in the key, of 450 in all."));
        let jobs = page.split("<span class=\"label\">job=&#34;").skip(1).map(|rest| rest.get(..3).unwrap().to_owned());
        seen.extend(jobs);
        path = match page.split_once("\">Next groups</a>") {
            Some((before, _)) => before.rsplit_once("href=\"").unwrap().1.replace("&amp;", "&"),
            None => String::new(),
        };
    }
    assert_eq!(path, "");
    let expected: Vec<_> = (0..450).map(|job| format!("{job:03}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_page_ends_when_it_is_large_and_says_what_is_left_out() {
    let store = Store::new();
    let long = "v".repeat(1000);
    for job in ["a", "b"] {
        let series: String =
            (0..3000).map(|number| format!("x{{v=\"{number}{long}\"}} 1\ny{{v=\"{number}{long}\"}} 1\n")).collect();
        push(&store, &format!("/metrics/job/{job}"), &format!("{series}z 1\n"));
    }
    let first = page(&store, "/");
    assert!(first.len() < 5 * 1024 * 1024, "{}", first.len());
    has(&first, "Groups 1 to 1 of 2.");
    has(&first, " more series are left out here; the JSON has them.</p>");
    has(&first, "<p class=\"quiet\">1 more families are left out here; the JSON has them.</p>");
    has(&first, "/?q=&amp;after=%2Fmetrics%2Fjob%2Fa\">Next groups</a>");
}

/// A series with so many parts that each would be long.
fn check_parts(kind: Kind, value: Value, extra: Option<Box<Extra>>) {
    let metric = Metric { labels: protocol::LabelSet::new(), value, timestamp: None, extra };
    let (name, help, unit) = ("x".to_owned(), String::new(), String::new());
    let store = Store::new();
    let key = protocol::GroupingKey::from_path("/metrics/job/j", protocol::PathNames::Legacy).unwrap();
    store.submit(Change::replace(key, vec![MetricFamily { name, help, unit, kind, metrics: vec![metric] }]), PUSHED);
    let page = page(&store, "/");
    assert!(page.len() < 5 * 1024 * 1024, "{kind}: {}", page.len());
    has(&page, " more are left out here; the JSON has them.<br>sum: 1<br>count: 2</td>");
}

#[test]
fn a_page_ends_within_a_series_too() {
    let numbers = || (1..=40_000).map(|number| f64::from(number) * 1e290);
    let quantiles = numbers().map(|number| (number, 1.0)).collect();
    check_parts(Kind::Summary, Value::Summary(Summary { quantiles, sum: 1.0, count: 2 }), None);
    let histogram = |buckets| Value::Histogram(Histogram { buckets, sum: 1.0, count: Count::Integer(2) });
    let buckets = numbers().map(|number| (number, Count::Integer(1))).collect();
    check_parts(Kind::Histogram, histogram(buckets), None);
    let positive = NativeBuckets { spans: vec![(1, 250_000)], deltas: vec![1; 250_000], counts: Vec::new() };
    let (zero_count, negative) = (Count::Integer(0), NativeBuckets::default());
    let native = NativeHistogram { schema: 8, zero_threshold: 0.0, zero_count, negative, positive };
    check_parts(Kind::Histogram, histogram(Vec::new()), Extra { native: Some(native), ..Extra::default() }.boxed());
}

#[test]
fn a_place_to_go_on_from_that_is_no_key_is_400() {
    let answer = get(&Calls::new(), "/?after=job/a");
    answer.is(400, "expected /metrics or a path below /metrics/, found another path\n");
}

#[test]
fn the_status_has_version_start_and_flags() {
    let flags = vec![("log.level".to_owned(), "<info>".to_owned())];
    let settings = Settings { flags, started: PUSHED, route_prefix: "/p".into(), ..Settings::default() };
    let calls = Calls::around(Store::new(), settings);
    let page = get(&calls, "/p/status").text();
    has(&page, &format!("<td>Version</td><td>{}</td>", env!("CARGO_PKG_VERSION")));
    has(&page, "<td>Started</td><td><time datetime=\"2026-01-02T03:04:05.25Z\">");
    has(&page, "<td>log.level</td><td>&#60;info&#62;</td>");
    assert_eq!(get(&calls, "/status").status, 404);
    let page = get(&calls, "/p/metrics").text();
    has(&page, "pushgateway_http_requests_total{code=\"200\",handler=\"status\",method=\"get\"} 1\n");
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    for path in ["/", "/status"] {
        for method in ["HEAD", "POST", "DELETE"] {
            let answer = Calls::new().push_listener(method, path, &[], "");
            assert_eq!((answer.status, answer.header("allow")), (405, "GET, OPTIONS"), "{method} {path}");
        }
    }
}
