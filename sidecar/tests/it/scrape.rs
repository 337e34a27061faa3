//! GET of the page and of health.

use std::io::Read;

use flate2::read::GzDecoder;

use protocol::{LabelSet, NameValidation, PathNames};
use sidecar::exposition::{
    Count, Created, Extra, Histogram, Kind, Metric, MetricFamily, Value,
    extra::{Exemplar, NativeBuckets, NativeHistogram, Timestamp},
    protobuf, text,
};

use crate::call::Calls;

#[test]
fn the_page_says_what_it_is() {
    let calls = Calls::new();
    let answer = calls.scrape_listener("GET", "/metrics", &[]);
    assert_eq!(answer.status, 200);
    let expected = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    assert_eq!(answer.header("content-type"), expected);
    assert!(answer.text().contains("\npushgateway_build_info{branch=\"\",goarch="), "{}", answer.text());
}

#[test]
fn stored_and_own_families_are_in_one_order() {
    let calls = Calls::new();
    calls
        .put("/metrics/job/j", "a 1\nq 2\nz 3\n# TYPE sidegate_scrapes_total counter\nsidegate_scrapes_total 4\n")
        .is(200, "");
    let page = calls.page();
    let names: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let header = "# HELP sidegate_scrapes_total Pages that were handed over in full to a scraper.\n# TYPE sidegate_scrapes_total counter\n";
    let merged = format!("{header}sidegate_scrapes_total 0\nsidegate_scrapes_total{{instance=\"\",job=\"j\"}} 4\n");
    assert!(page.contains(&merged), "{page}");
}

#[test]
fn families_are_picked_by_name() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "a 1\nb 2\nc 3\n").is(200, "");
    let pick = |query: &str| calls.scrape_listener("GET", &format!("/metrics?{query}"), &[]).text();
    let (a, c) =
        ("# TYPE a untyped\na{instance=\"\",job=\"j\"} 1\n", "# TYPE c untyped\nc{instance=\"\",job=\"j\"} 3\n");
    assert_eq!(pick("name[]=c&name%5B%5D=a"), format!("{a}{c}"));
    assert_eq!(pick("name[]=nothing"), "");
    assert!(pick("name[]=pushgateway_build_info").starts_with("# HELP pushgateway_build_info"));
}

#[test]
fn the_page_is_compressed_on_request() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "a 1\n").is(200, "");
    let answer = calls.scrape_listener("GET", "/metrics?name[]=a", &["accept-encoding: gzip, deflate"]);
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(answer.bytes.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "# TYPE a untyped\na{instance=\"\",job=\"j\"} 1\n");
}

#[test]
fn the_operators_read_shows_keys_as_pushed_and_is_no_scrape() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "a 1\n").is(200, "");
    let headers = ["sidegate-operator-read: 1", "x-prometheus-scrape-timeout-seconds: 10"];
    let page = calls.scrape_listener("GET", "/metrics", &headers).text();
    assert!(page.contains("\npush_time_seconds{job=\"j\"} "), "{page}");
    assert!(page.contains("\npush_failure_time_seconds{job=\"j\"} 0\n"), "{page}");
    assert!(page.contains("\na{instance=\"\",job=\"j\"} 1\n"), "{page}");
    let picked = calls.scrape_listener("GET", "/metrics?name[]=push_time_seconds", &headers).text();
    assert_eq!(picked.lines().count(), 3, "{picked}");
    assert!(calls.page().contains("sidegate_scrapes_total 0\n"));
}

#[test]
fn only_whole_pages_at_the_scrape_listener_count_as_scrapes() {
    let calls = Calls::new();
    let timeout = ["x-prometheus-scrape-timeout-seconds: 10"];
    calls.scrape_listener("GET", "/metrics", &[]);
    calls.scrape_listener("GET", "/metrics?name[]=a", &timeout);
    calls.push_listener("GET", "/metrics", &timeout, "");
    // A page of some families is made for its reader, and so is of this moment.
    let scrapes = || calls.push_listener("GET", "/metrics?name[]=sidegate_scrapes_total", &[], "").text();
    assert!(scrapes().contains("sidegate_scrapes_total 0\n"));
    calls.scrape_listener("GET", "/metrics", &timeout);
    assert!(scrapes().contains("sidegate_scrapes_total 1\n"));
}

#[test]
fn what_is_stored_and_counted_shows_in_the_very_next_answer() {
    let calls = Calls::new();
    let read = || calls.scrape_listener("GET", "/metrics", &[]).text();
    // Each time the answer before is kept for who asks right after.
    assert!(!read().contains("\nx{"));
    for number in 1..4 {
        calls.put("/metrics/job/j", &format!("x {number}\n"));
        assert!(read().contains(&format!("\nx{{instance=\"\",job=\"j\"}} {number}\n")), "{}", read());
        let counted =
            format!("pushgateway_http_requests_total{{code=\"200\",handler=\"push\",method=\"put\"}} {number}\n");
        assert!(read().contains(&counted), "{}", read());
        calls.put("/metrics/job/j", "x\n");
        let refused = format!("sidegate_pushes_refused_total{{reason=\"syntax\"}} {number}\n");
        assert!(read().contains(&refused), "{}", read());
    }
    assert_eq!(read(), read());
}

#[test]
fn health_is_served_on_both_listeners() {
    let calls = Calls::new();
    for path in ["/-/healthy", "/-/ready"] {
        calls.scrape_listener("GET", path, &[]).is(200, "OK");
        calls.push_listener("GET", path, &[], "").is(200, "OK");
    }
    assert!(
        calls.page().contains("pushgateway_http_requests_total{code=\"200\",handler=\"ready\",method=\"get\"} 2\n")
    );
}

#[test]
fn nothing_is_written_at_the_scrape_listener() {
    let calls = Calls::new();
    for method in ["PUT", "POST", "GET"] {
        let answer = calls.scrape_listener(method, "/metrics/job/j", &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, "DELETE, OPTIONS"), "{method}");
    }
    assert!(!calls.page().contains("job=\"j\""));
}

#[test]
fn the_store_alone_gives_the_operators_page_too() {
    use protocol::GroupingKey;
    use sidecar::{
        clock::UnixSeconds,
        exposition::{Escaping, text},
        store::{Change, KeyLabels, Store, Verdict},
    };

    let store = Store::new();
    let key = GroupingKey::from_path("/metrics/job/j", PathNames::Legacy).unwrap();
    let families = text::decode(b"x 1\n", NameValidation::Legacy).unwrap();
    assert_eq!(store.submit(Change::replace(key, families), UnixSeconds(1.5)), Verdict::Done);
    let page = store.page_of(KeyLabels::AsPushed, Escaping::AllowUtf8, |name| name == "push_time_seconds");
    let text = String::from_utf8(page.text().to_vec()).unwrap();
    assert!(text.ends_with("\npush_time_seconds{job=\"j\"} 1.5\n"), "{text}");
}

/// What Prometheus sends when native histograms are on.
const ACCEPT: &str = "accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
    encoding=delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,\
    text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

fn in_protobuf(calls: &Calls, path: &str, headers: &[&str]) -> Vec<MetricFamily> {
    let answer = calls.scrape_listener("GET", path, &[&[ACCEPT], headers].concat());
    let expected = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
        escaping=allow-utf-8";
    assert_eq!((answer.status, answer.header("content-type")), (200, expected));
    let mut bytes = answer.bytes.clone();
    if answer.header("content-encoding") == "gzip" {
        bytes.clear();
        GzDecoder::new(answer.bytes.as_slice()).read_to_end(&mut bytes).unwrap();
    }
    protobuf::decode(&bytes.into()).unwrap()
}

#[test]
fn the_page_is_protobuf_on_request_and_says_the_same_as_the_text() {
    let calls = Calls::new();
    calls
        .put(
            "/metrics/job/j",
            "# HELP h Help\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_count 3\n# TYPE s summary\n\
             s{quantile=\"0.5\"} 1\na 1\nz{a=\"2\"} 2\nz 1\n# TYPE sidegate_scrapes_total counter\n\
             sidegate_scrapes_total 4\n",
        )
        .is(200, "");
    let families = in_protobuf(&calls, "/metrics", &[]);
    assert!(families.is_sorted_by(|left, right| left.name < right.name));

    assert_eq!(text::encode(&families), calls.page());
    assert_eq!(in_protobuf(&calls, "/metrics", &["accept-encoding: gzip"]), families);
    let picked = in_protobuf(&calls, "/metrics?name[]=z", &[]);
    assert_eq!(picked.iter().map(|family| &family.name).collect::<Vec<_>>(), ["z"]);
}

#[test]
fn a_protobuf_page_gives_back_what_text_cannot_carry() {
    let calls = Calls::new();
    let labels = |labels: &[(&str, &str)]| labels.iter().copied().collect::<LabelSet>();
    let exemplar = Exemplar { labels: labels(&[("trace_id", "1")]), value: 2.0, timestamp: None };
    let at = Timestamp { seconds: 1_700_000_000, nanos: 5 };
    let created = Some(Created { at, is_line: false });
    let native = NativeHistogram {
        schema: 3,
        zero_threshold: 1e-9,
        zero_count: Count::Integer(1),
        negative: NativeBuckets::default(),
        positive: NativeBuckets { spans: vec![(-2, 2)], deltas: vec![1, 1], counts: Vec::new() },
    };
    let extra = Extra { created, exemplars: vec![exemplar], native: Some(native), ..Extra::default() };
    let value = Value::Histogram(Histogram { buckets: Vec::new(), sum: 7.0, count: Count::Integer(4) });
    let metric = Metric { labels: labels(&[]), value, timestamp: None, extra: extra.boxed() };
    let mut family = MetricFamily {
        name: "n".to_owned(),
        help: String::new(),
        unit: String::new(),
        kind: Kind::GaugeHistogram,
        metrics: vec![metric],
    };
    let kind =
        "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let body = protobuf::encode(std::slice::from_ref(&family));
    calls.push_listener("PUT", "/metrics/job/j", &[kind], body).is(200, "");

    family.metrics[0].labels = labels(&[("instance", ""), ("job", "j")]);
    assert_eq!(in_protobuf(&calls, "/metrics?name[]=n", &[]), [family]);
    let lines = ["n_bucket{instance=\"\",job=\"j\",le=\"+Inf\"} 4", "n_sum{instance=\"\",job=\"j\"} 7"];
    let expected = format!("# TYPE n histogram\n{}\nn_count{{instance=\"\",job=\"j\"}} 4\n", lines.join("\n"));
    calls.scrape_listener("GET", "/metrics?name[]=n", &[]).is(200, &expected);
}

#[test]
fn a_protobuf_page_counts_as_a_scrape_and_the_operator_gets_text() {
    let calls = Calls::new();
    in_protobuf(&calls, "/metrics", &["x-prometheus-scrape-timeout-seconds: 10"]);
    assert!(calls.page().contains("sidegate_scrapes_total 1\n"));
    let answer = calls.scrape_listener("GET", "/metrics", &[ACCEPT, "sidegate-operator-read: 1"]);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4; "));
}

/// What both say in OpenMetrics of a counter `c_total` whose counting began.
#[test]
fn only_a_created_line_is_shown_as_one() {
    let asked = "accept: application/openmetrics-text";
    let of = |kind: &str, body: Vec<u8>| {
        let calls = Calls::new();
        calls.push_listener("PUT", "/metrics/job/j", &[&format!("content-type: {kind}")], body).is(200, "");
        let created = in_protobuf(&calls, "/metrics?name[]=c_total", &[])[0].metrics[0].extra.as_ref().unwrap().created;
        assert_eq!(created.unwrap().at, Timestamp { seconds: 1_700_000_000, nanos: 0 });
        calls.scrape_listener("GET", "/metrics?name[]=c_total", &[asked]).text()
    };
    let series = "# TYPE c counter\nc_total{instance=\"\",job=\"j\"} 1\n";
    let body = "# TYPE c counter\nc_total 1\nc_created 1700000000\n# EOF\n";
    let page = of("application/openmetrics-text", body.into());
    assert_eq!(page, format!("{series}c_created{{instance=\"\",job=\"j\"}} 1700000000\n# EOF\n"));

    let created = Some(Created { at: Timestamp { seconds: 1_700_000_000, nanos: 0 }, is_line: false });
    let body = protobuf::encode(&[one_metric("c_total", "", Kind::Counter, Value::Number(1.0), created)]);
    assert_eq!(of(DELIMITED, body), format!("{series}# EOF\n"));
}

#[test]
fn the_unit_of_a_protobuf_push_is_kept_where_the_name_ends_with_it() {
    let calls = Calls::new();
    let kind = format!("content-type: {DELIMITED}");
    let body = protobuf::encode(&[one_metric("took_seconds", "seconds", Kind::Gauge, Value::Number(2.0), None)]);
    calls.push_listener("PUT", "/metrics/job/j", &[&kind], body).is(200, "");
    assert_eq!(in_protobuf(&calls, "/metrics?name[]=took_seconds", &[])[0].unit, "seconds");
    let asked = ["accept: application/openmetrics-text"];
    let expected =
        "# TYPE took_seconds gauge\n# UNIT took_seconds seconds\ntook_seconds{instance=\"\",job=\"j\"} 2\n# EOF\n";
    calls.scrape_listener("GET", "/metrics?name[]=took_seconds", &asked).is(200, expected);
}

const DELIMITED: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn one_metric(name: &str, unit: &str, kind: Kind, value: Value, created: Option<Created>) -> MetricFamily {
    let extra = Extra { created, ..Extra::default() }.boxed();
    let metric = Metric { labels: LabelSet::default(), value, timestamp: None, extra };
    MetricFamily { name: name.to_owned(), help: String::new(), unit: unit.to_owned(), kind, metrics: vec![metric] }
}
