//! DELETE at the push listener, plain and on the condition of the times.

use crate::call::{Answer, Calls};

fn delete(calls: &Calls, path: &str, push_time: Option<&str>) -> Answer {
    let header = push_time.map(|time| format!("sidegate-if-push-time: {time}"));
    let headers: Vec<_> = header.as_deref().into_iter().collect();
    calls.push_listener("DELETE", path, &headers, "ignored")
}

/// The push time as the page prints it.
fn push_time(calls: &Calls) -> String {
    let page = calls.page();
    let line = page.lines().find(|line| line.starts_with("push_time_seconds{")).unwrap();
    line.rsplit_once(' ').unwrap().1.to_owned()
}

#[test]
fn a_plain_delete_is_always_202_and_takes_only_its_group() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "x 1\n");
    calls.put("/metrics/job/j/instance/i", "x 1\n");
    delete(&calls, "/metrics/job/j", None).is(202, "");
    delete(&calls, "/metrics/job/j", None).is(202, "");
    let page = calls.page();
    assert!(!page.contains("instance=\"\""), "{page}");
    assert!(page.contains("x{instance=\"i\",job=\"j\"} 1\n"), "{page}");
    assert_eq!(delete(&calls, "/metrics/job/j/a", None).status, 400);
}

#[test]
fn a_conditional_delete_spares_a_group_that_was_pushed_since() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "x 1\n");
    let seen = push_time(&calls);
    calls.put("/metrics/job/j", "x 2\n");
    let answer = delete(&calls, "/metrics/job/j", Some(&seen));
    let now = push_time(&calls);
    answer.is(412, &format!("expected a group last pushed at {seen}, found one pushed at {now}; it was not deleted\n"));
    delete(&calls, "/metrics/job/j", Some(&now)).is(202, "");
    assert!(!calls.page().contains("job=\"j\""));
    delete(&calls, "/metrics/job/j", Some(&now)).is(202, "");
}

#[test]
fn zero_deletes_a_group_that_was_never_pushed() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "x 1 5\n");
    delete(&calls, "/metrics/job/j", Some("0")).is(202, "");
    assert!(!calls.page().contains("job=\"j\""));
}

#[test]
fn a_group_that_was_refused_a_push_since_is_spared() {
    let calls = Calls::new();
    let failure_time = || {
        calls.put("/metrics/job/j", "x 1 5\n");
        let page = calls.page();
        let line = page.lines().find(|line| line.starts_with("push_failure_time_seconds{")).unwrap();
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    let (seen, now) = (failure_time(), failure_time());
    let delete = |failure_time: &str| {
        let failed = format!("sidegate-if-push-failure-time: {failure_time}");
        calls.push_listener("DELETE", "/metrics/job/j", &["sidegate-if-push-time: 0", &failed], "")
    };
    let sentence =
        format!("expected a group last refused a push at {seen}, found one refused at {now}; it was not deleted\n");
    delete(&seen).is(412, &sentence);
    assert!(calls.page().contains("job=\"j\""));
    delete(&now).is(202, "");
    assert!(!calls.page().contains("job=\"j\""));
}

#[test]
fn a_condition_that_is_no_time_is_400() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "x 1\n");
    for time in ["soon", "NaN", "-1", "inf", ""] {
        assert_eq!(delete(&calls, "/metrics/job/j", Some(time)).status, 400, "{time}");
    }
    assert!(calls.page().contains("job=\"j\""));
}
