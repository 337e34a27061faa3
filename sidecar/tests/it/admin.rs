//! Wiping, and removing groups by matchers.

use sidecar::{http::Settings, store::Store};

use crate::call::{Answer, Calls};

fn calls() -> Calls {
    let calls = Calls::around(Store::new(), Settings { has_admin_api: true, ..Settings::default() });
    for path in ["job/a", "job/a/instance/i1", "job/b/instance/i2", "job/c/zone@base64/PC9hPg"] {
        calls.put(&format!("/metrics/{path}"), "x 1\n").is(200, "");
    }
    calls
}

fn encoded(selector: &str) -> String {
    selector.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn remove(calls: &Calls, selectors: &[&str], more: &str) -> Answer {
    let selectors: Vec<_> = selectors.iter().map(|selector| format!("match[]={}", encoded(selector))).collect();
    calls.push_listener("DELETE", &format!("/api/v1/groups?{}{more}", selectors.join("&")), &[], "")
}

/// The keys of the groups that are there.
fn left(calls: &Calls) -> Vec<String> {
    let page = calls.page();
    let lines = page.lines().filter_map(|line| line.strip_prefix("push_time_seconds{"));
    lines.map(|line| line.split_once('}').unwrap().0.to_owned()).collect()
}

#[track_caller]
fn check(selectors: &[&str], removed: &str, left_over: usize) {
    let calls = calls();
    let before = left(&calls);
    let answer = format!(r#"{{"status":"success","data":{{"removed":[{removed}],"dryRun":"#);
    remove(&calls, selectors, "&dryRun=1").is(200, &format!("{answer}true}}}}"));
    assert_eq!(left(&calls), before);
    remove(&calls, selectors, "&dryRun=0").is(200, &format!("{answer}false}}}}"));
    assert_eq!(left(&calls).len(), left_over);
    remove(&calls, selectors, "").is(200, r#"{"status":"success","data":{"removed":[],"dryRun":false}}"#);
}

#[test]
fn groups_go_that_a_selector_matches_and_the_answer_has_their_keys() {
    check(&[r#"{job="a"}"#], r#"{"labels":{"instance":"i1","job":"a"}},{"labels":{"job":"a"}}"#, 2);
    check(&[r#"{job="a",instance=""}"#], r#"{"labels":{"job":"a"}}"#, 3);
    check(
        &[r#"{job=~"a|b",instance!=""}"#],
        r#"{"labels":{"instance":"i1","job":"a"}},{"labels":{"instance":"i2","job":"b"}}"#,
        2,
    );
    check(&[r#"{zone=~".*>"}"#], r#"{"labels":{"job":"c","zone":"\u003c/a\u003e"}}"#, 3);
    check(&[r#"{job="d"}"#], "", 4);
}

#[test]
fn several_selectors_add_up() {
    let removed = r#"{"labels":{"instance":"i2","job":"b"}},{"labels":{"job":"c","zone":"\u003c/a\u003e"}}"#;
    check(&[r#"{job="c"}"#, r#"{instance="i2"}"#, r#"{job="c"}"#], removed, 2);
}

#[test]
fn a_removal_that_is_not_understood_removes_nothing() {
    let calls = calls();
    let before = left(&calls);
    let of = |query: &str| calls.push_listener("DELETE", &format!("/api/v1/groups{query}"), &[], "");
    let none = "expected at least one `match[]` with a selector such as {job=\"a\"}, found none\n";
    of("").is(400, none);
    of("?dryRun=1").is(400, none);
    let a = encoded(r#"{job="a"}"#);
    of(&format!("?match[]={a}&dryrun=1"))
        .is(400, "expected no parameters but `match[]` and `dryRun`, found \"dryrun\"\n");
    of(&format!("?match[]={a}&dryRun=yes")).is(400, "expected `dryRun` to be 1, true, 0 or false, found \"yes\"\n");
    for twice in ["&dryRun=1&dryRun=0", "&dryRun=0&dryRun=0"] {
        remove(&calls, &[r#"{job="a"}"#], twice).is(400, "expected `dryRun` once, found it several times\n");
    }
    remove(&calls, &[r#"{job="a"}"#, "{job=a}"], "")
        .is(400, "bad selector at character 6: expected a value in quotes, found 'a'\n");
    remove(&calls, &["{}"], "").is(
        400,
        "expected a selector with a matcher that refuses an empty value, found \"{}\", which a group without \
         labels matches\n",
    );
    remove(&calls, &["up{job=\"a\"}"], "").is(
        400,
        "bad selector at character 1: expected no metric name, since groups have none, found \"up\"; select by \
         labels, such as {job=\"a\"}\n",
    );
    let answer = remove(&calls, &["{job=~\"a(\"}"], "");
    let start = "bad selector at character 7: expected a regular expression, found \"a(\": ";
    assert!(answer.status == 400 && answer.text().starts_with(start), "{answer:?}");
    assert_eq!(left(&calls), before);
}

#[test]
fn a_request_has_so_many_matchers_and_no_more() {
    let calls = calls();
    let sentence = "expected at most 32 matchers in all selectors of a request, found more\n";
    let of = |matchers: usize| format!("{{{}}}", vec![r#"job=~"a""#; matchers].join(","));
    assert_eq!(remove(&calls, &[&of(32)], "&dryRun=1").status, 200);
    remove(&calls, &[&of(33)], "&dryRun=1").is(400, sentence);
    assert_eq!(remove(&calls, &[&of(31), &of(1)], "&dryRun=1").status, 200);
    remove(&calls, &[&of(31), &of(1), &of(1)], "&dryRun=1").is(400, sentence);
}

#[test]
fn a_wipe_takes_all_groups() {
    let calls = calls();
    let answer = calls.push_listener("PUT", "/api/v1/admin/wipe", &[], "ignored");
    answer.is(202, "");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(left(&calls), Vec::<String>::new());
    calls.put("/metrics/job/a", "x 1\n").is(200, "");
    assert_eq!(left(&calls).len(), 1);
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    let calls = calls();
    for (path, allow) in [("/api/v1/admin/wipe", "OPTIONS, PUT"), ("/api/v1/groups", "DELETE, OPTIONS")] {
        let answer = calls.push_listener("GET", path, &[], "");
        answer.is(405, "Method Not Allowed\n");
        assert_eq!(answer.header("allow"), allow);
    }
}

#[test]
fn no_other_site_may_call_it_from_a_browser() {
    let calls = calls();
    let asks = ["origin: https://evil.example", "access-control-request-method: DELETE"];
    for (path, allow) in [("/api/v1/admin/wipe", "OPTIONS, PUT"), ("/api/v1/groups", "DELETE, OPTIONS")] {
        let answer = calls.push_listener("OPTIONS", path, &asks, "");
        answer.is(200, "");
        assert_eq!(answer.header("allow"), allow);
        let of_cors = |name: &str| name.starts_with("access-control-");
        assert!(!answer.headers.keys().any(|name| of_cors(name.as_str())), "{answer:?}");
    }
}

#[test]
fn without_the_admin_api_there_is_nothing() {
    let calls = Calls::new();
    calls.put("/metrics/job/a", "x 1\n").is(200, "");
    calls.push_listener("PUT", "/api/v1/admin/wipe", &[], "").is(404, "404 page not found\n");
    remove(&calls, &[r#"{job="a"}"#], "").is(404, "404 page not found\n");
    assert_eq!(left(&calls).len(), 1);
}

#[test]
fn both_are_counted() {
    let calls = calls();
    remove(&calls, &["{"], "");
    remove(&calls, &[r#"{job="a"}"#], "");
    calls.push_listener("PUT", "/api/v1/admin/wipe", &[], "");
    let page = calls.page();
    for labels in [
        r#"code="200",handler="api/v1/groups",method="delete""#,
        r#"code="400",handler="api/v1/groups",method="delete""#,
        r#"code="202",handler="wipe",method="put""#,
    ] {
        assert!(page.contains(&format!("pushgateway_http_requests_total{{{labels}}} 1\n")), "{page}");
    }
}
