//! A body of OpenMetrics, from the push to the pages.

use crate::call::Calls;

const OPENMETRICS: &str = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All kinds, with everything that the format can say of them.
const BODY: &str = "\
# HELP rows Rows written.
# TYPE rows counter
rows_total 5.0 # {trace_id=\"abc\"} 2.0 1700000000.5
rows_created 1700000000.25
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_bucket{le=\"1.0\"} 2 # {trace_id=\"def\"} 0.5
took_seconds_bucket{le=\"+Inf\"} 3
took_seconds_sum 4.5
took_seconds_count 3
# TYPE build info
build_info{version=\"1.2\"} 1
# TYPE state stateset
state{state=\"on\"} 1
state{state=\"off\"} 0
# TYPE loose unknown
loose 7
# EOF
";

fn pushed() -> Calls {
    let calls = Calls::new();
    calls.push_listener("PUT", "/metrics/job/j", &[OPENMETRICS], BODY).is(200, "");
    calls
}

/// The page in that format, without what the process says of itself and the push times.
fn page(calls: &Calls, accept: &str) -> String {
    let names = ["rows_total", "took_seconds", "build_info", "state", "loose"];
    let query = names.map(|name| format!("name[]={name}")).join("&");
    calls.scrape_listener("GET", &format!("/metrics?{query}"), &[&format!("accept: {accept}")]).text()
}

#[test]
fn a_body_of_openmetrics_is_read_with_all_it_carries() {
    let expected = "\
# TYPE build info
build_info{instance=\"\",job=\"j\",version=\"1.2\"} 1
# TYPE loose unknown
loose{instance=\"\",job=\"j\"} 7
# HELP rows Rows written.
# TYPE rows counter
rows_total{instance=\"\",job=\"j\"} 5 # {trace_id=\"abc\"} 2 1700000000.5
rows_created{instance=\"\",job=\"j\"} 1700000000.25
# TYPE state stateset
state{instance=\"\",job=\"j\",state=\"off\"} 0
state{instance=\"\",job=\"j\",state=\"on\"} 1
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_bucket{instance=\"\",job=\"j\",le=\"1.0\"} 2 # {trace_id=\"def\"} 0.5
took_seconds_bucket{instance=\"\",job=\"j\",le=\"+Inf\"} 3
took_seconds_sum{instance=\"\",job=\"j\"} 4.5
took_seconds_count{instance=\"\",job=\"j\"} 3
# EOF
";
    assert_eq!(page(&pushed(), "application/openmetrics-text;version=1.0.0"), expected);
}

#[test]
fn sample_names_are_the_same_in_text() {
    let expected = "\
# TYPE build_info gauge
build_info{instance=\"\",job=\"j\",version=\"1.2\"} 1
# TYPE loose untyped
loose{instance=\"\",job=\"j\"} 7
# HELP rows_total Rows written.
# TYPE rows_total counter
rows_total{instance=\"\",job=\"j\"} 5
# TYPE state gauge
state{instance=\"\",job=\"j\",state=\"off\"} 0
state{instance=\"\",job=\"j\",state=\"on\"} 1
# TYPE took_seconds histogram
took_seconds_bucket{instance=\"\",job=\"j\",le=\"1\"} 2
took_seconds_bucket{instance=\"\",job=\"j\",le=\"+Inf\"} 3
took_seconds_sum{instance=\"\",job=\"j\"} 4.5
took_seconds_count{instance=\"\",job=\"j\"} 3
";
    assert_eq!(page(&pushed(), "text/plain"), expected);
}

/// A counter of other clients has no `_total`, and a dashboard that knows its name must find it.
#[test]
fn sample_names_are_the_same_in_openmetrics() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "# TYPE rows_total counter\nrows_total 1\n# TYPE loose counter\nloose 2\n").is(200, "");
    let expected = "\
# TYPE loose unknown
loose{instance=\"\",job=\"j\"} 2
# TYPE rows counter
rows_total{instance=\"\",job=\"j\"} 1
# EOF
";
    assert_eq!(page(&calls, "application/openmetrics-text"), expected);
}

#[test]
fn a_body_of_openmetrics_that_is_wrong_is_located() {
    let calls = Calls::new();
    let rows = [
        ("a 1\n# EOF\nb 1\n", "line 3, column 1: "),
        ("# TYPE a info\na_info 2\n", "line 2, column "),
        ("a 1 # {b=\"c\"} 1\n", "line 1, column "),
    ];
    for (body, place) in rows {
        let answer = calls.push_listener("PUT", "/metrics/job/j", &[OPENMETRICS], body);
        let sentence = answer.text();
        assert_eq!(answer.status, 400, "{sentence}");
        assert!(sentence.contains(place) && sentence.contains("expected "), "{sentence}");
        assert!(sentence.contains(", found ") && sentence.ends_with('\n'), "{sentence}");
    }
    assert!(!calls.page().contains("push_time_seconds{"));
}

#[test]
fn a_body_of_text_under_the_name_of_openmetrics_stays_fine() {
    let calls = Calls::new();
    let body = "# TYPE a_total counter\na_total 1\n\n# HELP b Help\n# TYPE b gauge\nb  2\nc 3";
    calls.push_listener("POST", "/metrics/job/j", &[OPENMETRICS], body).is(200, "");
    for line in ["a_total{instance=\"\",job=\"j\"} 1\n", "# TYPE b gauge\n", "\nc{instance=\"\",job=\"j\"} 3\n"] {
        assert!(calls.page().contains(line), "{line}");
    }
}

/// Node's client writes OpenMetrics and sends no type.
#[test]
fn a_body_that_ends_as_openmetrics_is_read_so_where_its_type_leaves_it_open() {
    let asked = "application/openmetrics-text";
    let expected = page(&pushed(), asked);
    for headers in [&[][..], &["content-type: text/plain"], &["content-type: application/x-www-form-urlencoded"]] {
        for end in ["", "\n"] {
            let calls = Calls::new();
            calls.push_listener("PUT", "/metrics/job/j", headers, format!("{BODY}{end}")).is(200, "");
            assert_eq!(page(&calls, asked), expected, "{headers:?}");
        }
    }
    // As text, what stands behind the value is no timestamp.
    let calls = Calls::new();
    let text = ["content-type: text/plain; version=0.0.4"];
    assert_eq!(calls.push_listener("PUT", "/metrics/job/j", &text, BODY).status, 400);
    calls.push_listener("PUT", "/metrics/job/j", &text, "# TYPE a counter\na 1\n# EOF\n").is(200, "");
}
