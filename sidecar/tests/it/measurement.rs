//! Measurements as DataKit names them, from the push to the page.

use sidecar::{exposition::measurement::Naming, http::Settings};

use crate::call::Calls;

fn with(naming: Naming) -> Calls {
    Calls::with(Settings { measurement: Some(naming), ..Settings::default() })
}

fn short() -> Naming {
    Naming { keep_metric_name: false, ..Naming::default() }
}

#[track_caller]
fn check(naming: Naming, body: &str, expected: &str) {
    let calls = with(naming);
    calls.put("/metrics/job/some_job/a/b", body).is(200, "");
    assert!(calls.page().contains(&format!("\n{expected}\n")), "{}", calls.page());
}

#[test]
fn a_measurement_is_a_fixed_name_else_the_job_else_the_start_of_the_name() {
    let fixed = Naming { name: Some("fixed".to_owned()), job_as_measurement: true, keep_metric_name: false };
    check(fixed, "a_x 1\n", "a_x{a=\"b\",instance=\"\",job=\"some_job\",measurement=\"fixed\"} 1");
    let job = Naming { job_as_measurement: true, ..short() };
    check(job, "a_x 1\n", "a_x{a=\"b\",instance=\"\",job=\"some_job\",measurement=\"some_job\"} 1");
    check(Naming::default(), "a_x 1\n", "a_x{a=\"b\",instance=\"\",job=\"some_job\",measurement=\"a\"} 1");
    check(short(), "a_x 1\n", "x{a=\"b\",instance=\"\",job=\"some_job\",measurement=\"a\"} 1");
}

#[test]
fn without_naming_there_is_no_measurement() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "_a_x{measurement=\"b\"} 1\n").is(200, "");
    assert!(calls.page().contains("\n_a_x{instance=\"\",job=\"j\",measurement=\"b\"} 1\n"));
}

#[test]
fn a_push_that_cannot_be_named_is_explained_and_leaves_no_trace() {
    let calls = with(short());
    let refuses = |path: &str, body: &str, sentence: &str| calls.put(path, body).is(400, &format!("{sentence}\n"));
    refuses(
        "/metrics/job/j",
        "a_x 1\nb_x 1\n",
        "expected metric names that differ once their measurements are split off, \
         found \"x\" for both \"a_x\" and \"b_x\"",
    );
    refuses(
        "/metrics/job/j",
        "http_2xx 1\n",
        "expected a metric name that is one without its measurement too, found \"http_2xx\", of which \"2xx\" is left",
    );
    let other = "expected no label `measurement` on \"a_x\" but \"a\", found \"b\", maybe in the grouping key";
    refuses("/metrics/job/j", "a_x{measurement=\"b\"} 1\n", other);
    refuses("/metrics/job/j/measurement/b", "a_x 1\n", other);
    let page = calls.page();
    assert!(!page.contains("push_time_seconds"), "{page}");
    assert!(page.contains("sidegate_pushes_refused_total{reason=\"measurement\"} 4\n"), "{page}");
}

#[test]
fn names_that_are_one_across_groups_need_one_type() {
    let calls = with(short());
    calls.put("/metrics/job/a", "# TYPE a_x gauge\na_x 1\n").is(200, "");
    calls.put("/metrics/job/b", "# TYPE b_x gauge\nb_x 1\n").is(200, "");
    let answer = calls.put("/metrics/job/c", "c_x 1\n");
    let sentence = "expected \"x\" to be of type gauge, as it is known already, found type untyped\n";
    assert!(answer.status == 400 && answer.text().ends_with(sentence), "{}", answer.text());
}
