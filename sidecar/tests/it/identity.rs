//! Labels that name a pod, in a process that knows its own.

use sidecar::{
    http::Settings,
    store::{Identity, IdentityRule, Rules, Store},
};

use crate::{
    call::Calls,
    gateway::{Gateway, request, scrape},
};

/// In the pod `web-0` of the namespace `data`.
fn with(rule: IdentityRule) -> Calls {
    let identity = Identity { pod: Some("web-0".into()), namespace: Some("data".into()), rule };
    Calls::around(Store::with(Rules { identity, ..Rules::default() }), Settings::default())
}

/// The samples of the page, but for those of the process, with push times cut off.
fn samples(calls: &Calls) -> String {
    let page = calls.page();
    let pushed = page.lines().filter(|line| !line.starts_with(['#']) && !line.starts_with("pushgateway_"));
    let pushed = pushed.filter(|line| !line.starts_with("sidegate_"));
    let cut = |line: &str| {
        let is_time = line.starts_with("push_time_seconds");
        if is_time { line.rsplit_once(' ').unwrap().0.to_owned() } else { line.to_owned() }
    };
    pushed.map(|line| format!("{}\n", cut(line))).collect()
}

#[test]
fn another_pod_in_the_key_or_the_body_is_shown_under_another_name() {
    let calls = with(IdentityRule::Rename);
    calls.put("/metrics/job/j/pod/db-1", "x{namespace=\"other\"} 1\ny{pod=\"lost to the key\"} 2\n").is(200, "");
    assert_eq!(
        samples(&calls),
        "push_failure_time_seconds{exported_pod=\"db-1\",instance=\"\",job=\"j\"} 0\n\
         push_time_seconds{exported_pod=\"db-1\",instance=\"\",job=\"j\"}\n\
         x{exported_namespace=\"other\",exported_pod=\"db-1\",instance=\"\",job=\"j\"} 1\n\
         y{exported_pod=\"db-1\",instance=\"\",job=\"j\"} 2\n",
    );
}

#[test]
fn the_pods_own_name_stays_where_it_was_pushed() {
    let calls = with(IdentityRule::Rename);
    calls.put("/metrics/job/j/pod/web-0", "x{namespace=\"data\"} 1\n").is(200, "");
    let page = calls.page();
    assert!(page.contains("\nx{instance=\"\",job=\"j\",namespace=\"data\",pod=\"web-0\"} 1\n"), "{page}");
    assert!(page.contains("\npush_time_seconds{instance=\"\",job=\"j\",pod=\"web-0\"} "), "{page}");
}

#[test]
fn the_key_stays_as_it_was_pushed_for_whoever_names_the_group() {
    let calls = with(IdentityRule::Rename);
    let path = "/metrics/job/j/pod/db-1";
    calls.put(path, "x 1\n").is(200, "");
    let json = calls.push_listener("GET", &format!("/api/v1/metrics?group={path}"), &[], "").text();
    assert!(json.contains(r#""labels":{"job":"j","pod":"db-1"},"last_push_successful":true"#), "{json}");
    let exposed = r#"{"labels":{"exported_pod":"db-1","instance":"","job":"j"},"value":"#;
    assert_eq!(json.matches(exposed).count(), 3, "{json}");
    let read = calls.scrape_listener("GET", "/metrics?name[]=push_time_seconds", &["sidegate-operator-read: 1"]);
    assert!(read.text().contains("\npush_time_seconds{job=\"j\",pod=\"db-1\"} "), "{}", read.text());
    // POST finds the group by its key, and DELETE does.
    assert_eq!(calls.push_listener("POST", path, &[], "x 2\n").status, 200);
    assert!(samples(&calls).ends_with("\nx{exported_pod=\"db-1\",instance=\"\",job=\"j\"} 2\n"));
    assert_eq!(calls.push_listener("DELETE", path, &[], "").status, 202);
    assert_eq!(samples(&calls), "");
}

#[test]
fn what_fits_together_is_judged_by_what_is_shown() {
    let calls = with(IdentityRule::Rename);
    let start = "pushed metrics are invalid or inconsistent with existing metrics: expected";
    calls.put("/metrics/job/j/pod/db-1", "x 1\n").is(200, "");
    calls.put("/metrics/job/j/exported_pod/db-1", "y 1\n").is(
        400,
        &format!(
            "{start} a grouping key that can be told from {{job=\"j\",pod=\"db-1\"}}, found \
             {{exported_pod=\"db-1\",job=\"j\"}}: both are shown as {{exported_pod=\"db-1\",instance=\"\",job=\"j\"}}\n"
        ),
    );
    calls.put("/metrics/job/j", "x{exported_pod=\"db-1\"} 1\n").is(
        400,
        &format!(
            "{start} each series once, found x{{exported_pod=\"db-1\",instance=\"\",job=\"j\"}} \
             in another group already\n"
        ),
    );
    // Two that would be one with the label taken away are told apart by its new name.
    calls.put("/metrics/job/k", "z{pod=\"a\"} 1\nz{pod=\"b\"} 2\nz{pod=\"a\",exported_pod=\"b\"} 3\n").is(200, "");
    let samples = samples(&calls);
    for expected in [
        "z{exported_pod=\"a\",instance=\"\",job=\"k\"} 1",
        "z{exported_pod=\"b\",instance=\"\",job=\"k\"} 2",
        "z{exported_exported_pod=\"a\",exported_pod=\"b\",instance=\"\",job=\"k\"} 3",
    ] {
        assert!(samples.contains(&format!("\n{expected}\n")), "{samples}");
    }
}

#[test]
fn refused_is_what_names_another_pod_and_nothing_else() {
    let calls = with(IdentityRule::Refuse);
    let start = "pushed metrics are invalid or inconsistent with existing metrics: expected no label";
    calls
        .put("/metrics/job/j", "x 1\ny{pod=\"db-1\"} 1\n")
        .is(400, &format!("{start} \"pod\" but this pod's own, \"web-0\", found \"db-1\" on \"y\"\n"));
    calls
        .put("/metrics/job/j/namespace/other", "")
        .is(400, &format!("{start} \"namespace\" but this pod's own, \"data\", found \"other\" in the grouping key\n"));
    calls.put("/metrics/job/k/pod/web-0", "x{namespace=\"\"} 1\n").is(200, "");
    let page = calls.page();
    assert!(page.contains("\nsidegate_pushes_refused_total{reason=\"identity\"} 2\n"), "{page}");
    assert!(page.contains("\nsidegate_pushes_refused_total{reason=\"inconsistent\"} 0\n"), "{page}");
    // The failure is shown, and not as that of another namespace.
    let failed = "\npush_failure_time_seconds{exported_namespace=\"other\",instance=\"\",job=\"j\"} ";
    assert!(page.contains(failed) && !page.contains(",namespace=\"other\""), "{page}");
}

#[test]
fn allowed_is_everything() {
    let calls = with(IdentityRule::Allow);
    calls.put("/metrics/job/j/pod/db-1", "x{namespace=\"other\"} 1\n").is(200, "");
    let page = calls.page();
    assert!(page.contains("\nx{instance=\"\",job=\"j\",namespace=\"other\",pod=\"db-1\"} 1\n"), "{page}");
}

#[test]
fn a_sidecar_that_knows_its_pod_renames_by_itself_and_one_that_does_not_leaves_labels_alone() {
    for (flags, name) in [(&["--pod.name=web-0", "--pod.namespace=data"][..], "exported_pod"), (&[], "pod")] {
        let (_gateway, push, page) = Gateway::sidecar(flags);
        assert_eq!(request(push, "PUT", "/metrics/job/j", &[], "x{pod=\"db-1\"} 1\n").0, 200);
        let page = scrape(page);
        let exported = name == "exported_pod";
        let expected = if exported {
            "x{exported_pod=\"db-1\",instance=\"\",job=\"j\"} 1"
        } else {
            "x{instance=\"\",job=\"j\",pod=\"db-1\"} 1"
        };
        assert!(page.contains(&format!("\n{expected}\n")), "{page}");
    }
}
