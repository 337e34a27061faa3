//! Naming, by lines in and lines out.

use protocol::{NameValidation, PathNames};

use super::*;
use crate::exposition::text;

fn key(path: &str) -> GroupingKey {
    GroupingKey::from_path(&format!("/metrics/job/{path}"), PathNames::Legacy).unwrap()
}

/// The lines of a push to `path`, once its measurements are named.
fn named(naming: &Naming, path: &str, body: &str) -> Result<String, String> {
    let families = text::decode(body.as_bytes(), NameValidation::Legacy).unwrap();
    let families = naming.apply(&key(path), families).map_err(|error| error.to_string())?;
    let page = text::encode(&families);
    Ok(page.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect())
}

fn short() -> Naming {
    Naming { keep_metric_name: false, ..Naming::default() }
}

#[track_caller]
fn check(naming: &Naming, body: &str, expected: &str) {
    assert_eq!(named(naming, "some_job", body), Ok(expected.to_owned()));
}

#[track_caller]
fn refuses(naming: &Naming, path: &str, body: &str, sentence: &str) {
    assert_eq!(named(naming, path, body), Err(sentence.to_owned()));
}

/// The sample of DataKit's documentation.
#[test]
fn pushgateway_count_is_the_count_of_the_measurement_pushgateway() {
    let body = "pushgateway_count{user=\"zhangsan\"} 8\n";
    check(&Naming::default(), body, "pushgateway_count{measurement=\"pushgateway\",user=\"zhangsan\"} 8\n");
    check(&short(), body, "count{measurement=\"pushgateway\",user=\"zhangsan\"} 8\n");
}

#[test]
fn a_fixed_name_goes_before_the_job_and_the_job_before_the_metric() {
    let naming = |name: Option<&str>, job_as_measurement| {
        let name = name.map(str::to_owned);
        Naming { name, job_as_measurement, keep_metric_name: false }
    };
    check(&naming(Some("fixed"), true), "_a_b 1\n", "_a_b{measurement=\"fixed\"} 1\n");
    check(&naming(Some("fixed"), false), "a_b 1\n", "a_b{measurement=\"fixed\"} 1\n");
    check(&naming(None, true), "_a_b 1\n", "_a_b{measurement=\"some_job\"} 1\n");
    check(&naming(Some(""), true), "a_b 1\n", "a_b{measurement=\"some_job\"} 1\n");
    check(&naming(Some(""), false), "a_b 1\n", "b{measurement=\"a\"} 1\n");
}

#[test]
fn names_are_split_at_the_first_underscore_within() {
    // Pushed, measurement, kept, cut.
    let rows = [
        ("a_b", "a", "a_b", "b"),
        ("a_b_c", "a", "a_b_c", "b_c"),
        ("__aa_b", "aa", "aa_b", "b"),
        ("aa", "aa", "aa", "aa"),
        ("aa_", "aa", "aa", "aa"),
        ("__aa_", "aa", "aa", "aa"),
        ("aa__", "aa", "aa__", "_"),
        ("aa__b", "aa", "aa__b", "_b"),
        ("a:b_c", "a:b", "a:b_c", "c"),
        ("_", "unknown", "unknown", "unknown"),
        ("___", "unknown", "unknown", "unknown"),
        ("__a", "unknown", "unknown", "unknown"),
        ("a", "unknown", "unknown", "unknown"),
    ];
    for (pushed, measurement, kept, cut) in rows {
        let line = |name| format!("{name}{{measurement=\"{measurement}\"}} 1\n");
        check(&Naming::default(), &format!("{pushed} 1\n"), &line(kept));
        check(&short(), &format!("{pushed} 1\n"), &line(cut));
    }
}

#[test]
fn histograms_and_summaries_are_named_whole() {
    check(
        &short(),
        "# TYPE a_h histogram\na_h_bucket{le=\"+Inf\"} 1\na_h_sum 2\na_h_count 1\n",
        "h_bucket{measurement=\"a\",le=\"+Inf\"} 1\nh_sum{measurement=\"a\"} 2\nh_count{measurement=\"a\"} 1\n",
    );
}

#[test]
fn two_families_that_become_one_are_refused() {
    let sentence = |name: &str, first: &str, second: &str| {
        format!(
            "expected metric names that differ once their measurements are split off, \
             found {name:?} for both {first:?} and {second:?}"
        )
    };
    refuses(&short(), "j", "a_x 1\n# TYPE b_x gauge\nb_x 1\n", &sentence("x", "a_x", "b_x"));
    refuses(&short(), "j", "_ 1\n__ 1\n", &sentence("unknown", "_", "__"));
    refuses(&Naming::default(), "j", "a_x 1\n_a_x 1\n", &sentence("a_x", "a_x", "_a_x"));
    check(&Naming::default(), "a_x 1\nb_x 1\n", "a_x{measurement=\"a\"} 1\nb_x{measurement=\"b\"} 1\n");
}

#[test]
fn of_two_families_of_one_name_the_later_one_is_named() {
    let twice = ["a_x{n=\"1\"} 1\n", "a_x{n=\"2\"} 2\n"]
        .map(|body| text::decode(body.as_bytes(), NameValidation::Legacy).unwrap());
    let families = short().apply(&key("j"), twice.concat()).unwrap();
    assert!(text::encode(&families).ends_with("\nx{measurement=\"a\",n=\"2\"} 2\n"));
}

#[test]
fn a_rest_that_is_no_name_is_refused() {
    let sentence = |pushed: &str, left: &str| {
        format!(
            "expected a metric name that is one without its measurement too, found {pushed:?}, of which {left:?} is left"
        )
    };
    refuses(&short(), "j", "http_2xx 1\n", &sentence("http_2xx", "2xx"));
    refuses(&Naming::default(), "j", "_2xx 1\n", &sentence("_2xx", "2xx"));
    refuses(&short(), "j", "a_push_time_seconds 1\n", &sentence("a_push_time_seconds", "push_time_seconds"));
    check(&Naming::default(), "http_2xx 1\n", "http_2xx{measurement=\"http\"} 1\n");
}

#[test]
fn a_pushed_measurement_has_to_be_the_same() {
    let sentence = |found: &str| {
        format!("expected no label `measurement` on \"a_x\" but \"a\", found {found:?}, maybe in the grouping key")
    };
    refuses(&short(), "j", "a_x{measurement=\"b\"} 1\n", &sentence("b"));
    refuses(&short(), "j", "a_x{measurement=\"\"} 1\n", &sentence(""));
    refuses(&short(), "j/measurement/b", "a_x 1\n", &sentence("b"));
    assert_eq!(
        named(&short(), "j/measurement/a", "a_x{measurement=\"a\"} 1\n"),
        Ok("x{measurement=\"a\"} 1\n".to_owned())
    );
}

#[test]
fn push_times_are_left_as_they_are() {
    let body = "push_failure_time_seconds 2\npush_time_seconds 1\n";
    check(&short(), body, body);
}

#[test]
fn a_unit_goes_with_the_name_it_ends() {
    let unit_of = |name: &str, unit: &str| {
        let mut families = text::decode(format!("{name} 1\n").as_bytes(), NameValidation::Legacy).unwrap();
        families[0].unit = unit.to_owned();
        short().apply(&key("j"), families).unwrap().remove(0).unit
    };
    assert_eq!(unit_of("a_b_seconds", "seconds"), "seconds");
    assert_eq!(unit_of("a_seconds", "seconds"), "");
    assert_eq!(unit_of("# TYPE a_b_seconds_total counter\na_b_seconds_total", "seconds"), "seconds");
    assert_eq!(unit_of("# TYPE a_seconds_total counter\na_seconds_total", "seconds"), "");
}
