//! Pushes that are answered before anybody can ask what became of them.

use sidecar::http::Settings;

use crate::call::Calls;

#[test]
fn unchecked_a_push_is_answered_202_whatever_becomes_of_it() {
    let calls = Calls::with(Settings { is_unchecked: true, ..Settings::default() });
    calls.put("/metrics/job/j", "x 1\n").is(202, "");
    // The first has timestamps, the others do not fit.
    for body in ["x 1 5\n", "# TYPE x gauge\nx{a=\"1\",__b=\"\"} 1\n", "sidegate_scrapes_total 1\n"] {
        let answer = calls.put("/metrics/job/j", body);
        answer.is(202, "");
        assert_eq!(answer.header("content-type"), "");
    }
    let page = calls.page();
    assert!(page.contains("\nx{instance=\"\",job=\"j\"} 1\n"), "{page}");
    assert!(!page.contains("\npush_failure_time_seconds{instance=\"\",job=\"j\"} 0\n"), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"timestamp\"} 1\n"), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"inconsistent\"} 2\n"), "{page}");
}

#[test]
fn unchecked_a_push_that_cannot_be_read_is_400_still() {
    let calls = Calls::with(Settings { is_unchecked: true, ..Settings::default() });
    assert_eq!(calls.put("/metrics/job/j", "x y\n").status, 400);
    assert_eq!(calls.put("/metrics/job/j/a", "x 1\n").status, 400);
    assert!(!calls.page().contains("push_time_seconds"));
}
