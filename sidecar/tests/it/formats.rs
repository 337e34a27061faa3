//! In which format a page comes, how its names are written, and how it is compressed.

use std::io::Read;

use flate2::read::GzDecoder;
use protocol::NameValidation;
use sidecar::{exposition::protobuf, http::Settings};

use crate::call::{Answer, Calls};

const DELIMITED: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// A gateway that takes names in UTF-8, with some.
fn with_names() -> Calls {
    let calls = Calls::with(Settings { names: NameValidation::Utf8, ..Settings::default() });
    calls
        .put("/metrics/job/j", "# HELP \"a.b\" Help\n# TYPE \"a.b\" gauge\n{\"a.b\",\"x y\"=\"1\"} 1\nc 2\n")
        .is(200, "");
    calls
}

fn get(calls: &Calls, query: &str, accept: &str) -> Answer {
    calls.scrape_listener("GET", &format!("/metrics?{query}"), &[&format!("accept: {accept}")])
}

#[test]
fn names_in_utf8_are_refused_with_the_flag_that_allows_them() {
    let calls = Calls::new();
    let rows = [
        ("{\"a.b\"} 1\n", "line 1, column 1: expected a metric name of letters, digits, `_` and `:`, found \"a.b\""),
        (
            "# TYPE \"a.b\" gauge\n",
            "line 1, column 8: expected a metric name of letters, digits, `_` and `:`, found \"a.b\"",
        ),
        ("a{\"b.c\"=\"1\"} 1\n", "line 1, column 2: expected a label name of letters, digits and `_`, found \"b.c\""),
    ];
    for (body, sentence) in rows {
        let expected = format!("text format parsing error in {sentence}; `--push.enable-utf8-names` allows any\n");
        calls.put("/metrics/job/j", body).is(400, &expected);
    }
}

#[test]
fn names_are_escaped_as_the_reader_asks() {
    let calls = with_names();
    let page = |header: &str, series: &str| format!("# HELP {header} Help\n# TYPE {header} gauge\n{series} 1\n");
    let rows = [
        ("allow-utf-8", page("\"a.b\"", "{\"a.b\",instance=\"\",job=\"j\",\"x y\"=\"1\"}")),
        ("underscores", page("a_b", "a_b{instance=\"\",job=\"j\",x_y=\"1\"}")),
        ("dots", page("a_dot_b", "a_dot_b{instance=\"\",job=\"j\",x__y=\"1\"}")),
        ("values", page("U__a_2e_b", "U__a_2e_b{instance=\"\",job=\"j\",U__x_20_y=\"1\"}")),
    ];
    for (escaping, expected) in rows {
        let answer = get(&calls, "name[]=a.b", &format!("text/plain;version=0.0.4;escaping={escaping}"));
        answer.is(200, &expected);
        let kind = format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}");
        assert_eq!(answer.header("content-type"), kind);
        let whole = get(&calls, "", &format!("text/plain;escaping={escaping}")).text();
        assert!(whole.contains(&format!("{expected}# TYPE c untyped\n")), "{whole}");
    }
    get(&calls, "name[]=a_b", "text/plain").is(200, "");
}

#[test]
fn protobuf_names_are_escaped_too() {
    let calls = with_names();
    let name = |escaping: &str| {
        let answer = get(&calls, "name[]=a.b", &format!("{DELIMITED};escaping={escaping}"));
        let families = protobuf::decode(&answer.bytes.into()).unwrap();
        let labels: Vec<_> = families[0].metrics[0].labels.iter().map(|(name, _)| name.to_owned()).collect();
        format!("{} {}", families[0].name, labels.join(" "))
    };
    assert_eq!(name("allow-utf-8"), "a.b instance job x y");
    assert_eq!(name("underscores"), "a_b instance job x_y");
    assert_eq!(name("dots"), "a_dot_b instance job x__y");
    assert_eq!(name("values"), "U__a_2e_b U__x_20_y instance job");
}

#[test]
fn protobuf_takes_any_name_in_either_mode() {
    let calls = with_names();
    let body = get(&calls, "name[]=a.b", &format!("{DELIMITED};escaping=allow-utf-8")).bytes;
    let legacy = Calls::new();
    let kind = format!("content-type: {DELIMITED}");
    legacy.push_listener("PUT", "/metrics/job/j", &[&kind], body).is(200, "");
    let expected = "# HELP a_b Help\n# TYPE a_b gauge\na_b{instance=\"\",job=\"j\",x_y=\"1\"} 1\n";
    get(&legacy, "name[]=a.b", "text/plain").is(200, expected);
}

#[test]
fn protobuf_comes_as_text_for_people_on_request() {
    let calls = with_names();
    let get = |form: &str| get(&calls, "name[]=a.b&name[]=c", &DELIMITED.replace("delimited", form));
    let answer = get("text");
    let labels = |extra: &str| {
        let label =
            |name: &str, value: &str| format!("  label {{\n    name: \"{name}\"\n    value: \"{value}\"\n  }}\n");
        format!("{}{}{extra}", label("instance", ""), label("job", "j"))
    };
    let more = "  label {\n    name: \"x_y\"\n    value: \"1\"\n  }\n";
    let expected = format!(
        "name: \"a_b\"\nhelp: \"Help\"\ntype: GAUGE\nmetric {{\n{}  gauge {{\n    value: 1\n  }}\n}}\n\n\
         name: \"c\"\ntype: UNTYPED\nmetric {{\n{}  untyped {{\n    value: 2\n  }}\n}}\n\n",
        labels(more),
        labels("")
    );
    answer.is(200, &expected);
    let kind =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text; escaping=underscores";
    assert_eq!(answer.header("content-type"), kind);

    let answer = get("compact-text");
    let label = |name: &str, value: &str| format!("label {{ name: \"{name}\" value: \"{value}\" }} ");
    let first = [label("instance", ""), label("job", "j"), label("x_y", "1")].concat();
    let second = [label("instance", ""), label("job", "j")].concat();
    let expected = format!(
        "name: \"a_b\" help: \"Help\" type: GAUGE metric {{ {first}gauge {{ value: 1 }} }} \n\
         name: \"c\" type: UNTYPED metric {{ {second}untyped {{ value: 2 }} }} \n"
    );
    answer.is(200, &expected);
    assert_eq!(answer.header("content-type"), kind.replace("=text", "=compact-text"));
}

#[test]
fn an_openmetrics_page_ends_with_its_mark() {
    let answer =
        get(&with_names(), "name[]=c", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
    assert_eq!((answer.status, answer.header("content-type")), (200, kind));
    assert!(answer.text().contains("\nc{instance=\"\",job=\"j\"} 2\n"), "{}", answer.text());
    assert!(answer.text().ends_with("\n# EOF\n"), "{}", answer.text());
    assert!(!get(&with_names(), "", "*/*").text().contains("# EOF"));
}

#[test]
fn an_openmetrics_page_has_own_and_pushed_series_of_a_family_under_one_header() {
    let calls = Calls::new();
    calls.put("/metrics/job/j", "# TYPE sidegate_scrapes_total counter\nsidegate_scrapes_total 4\n").is(200, "");
    for query in ["", "name[]=sidegate_scrapes_total"] {
        let page = get(&calls, query, "application/openmetrics-text").text();
        let merged = "\nsidegate_scrapes_total 0\nsidegate_scrapes_total{instance=\"\",job=\"j\"} 4\n";
        assert!(page.contains(merged), "{page}");
        assert_eq!(page.matches("# TYPE sidegate_scrapes").count(), 1, "{page}");
        assert_eq!(page.matches("# EOF").count(), 1, "{page}");
    }
}

#[test]
fn what_escaping_makes_alike_is_shown_once_and_counted() {
    let calls = with_names();
    calls.put("/metrics/job/k", "# TYPE a_b counter\na_b 5\n").is(200, "");
    let count = |page: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix("sidegate_escaped_series_hidden_total "));
        line.unwrap().parse::<u32>().unwrap()
    };
    let page = calls.page();
    assert!(page.contains("# TYPE a_b counter\na_b{instance=\"\",job=\"k\"} 5\n# TYPE c untyped\n"), "{page}");
    assert_eq!(count(&page), 1);
    let unescaped = get(&calls, "", "text/plain;escaping=allow-utf-8").text();
    assert!(unescaped.contains("# TYPE a_b counter\n") && unescaped.contains("# TYPE \"a.b\" gauge\n"), "{unescaped}");
    assert_eq!(count(&unescaped), 1);
    get(&calls, "", DELIMITED);
    get(&calls, "", "application/openmetrics-text");
    assert_eq!(count(&calls.page()), 4);
}

#[test]
fn the_operators_read_has_names_as_they_are() {
    let calls = with_names();
    let answer =
        calls.scrape_listener("GET", "/metrics", &["sidegate-operator-read: 1", &format!("accept: {DELIMITED}")]);
    let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
    assert_eq!(answer.header("content-type"), kind);
    assert!(answer.text().contains("{\"a.b\",instance=\"\",job=\"j\",\"x y\"=\"1\"} 1\n"), "{}", answer.text());
}

#[test]
fn a_page_is_compressed_as_the_reader_asks_and_says_so() {
    let calls = with_names();
    let plain = "# TYPE c untyped\nc{instance=\"\",job=\"j\"} 2\n";
    let get = |accepted: &str| {
        let answer = calls.scrape_listener("GET", "/metrics?name[]=c", &[&format!("accept-encoding: {accepted}")]);
        assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
        answer
    };
    let answer = get("identity");
    answer.is(200, plain);
    assert_eq!(answer.header("content-encoding"), "");

    let answer = get("zstd,gzip");
    assert_eq!(answer.header("content-encoding"), "zstd");
    assert_eq!(zstd::decode_all(answer.bytes.as_slice()).unwrap(), plain.as_bytes());

    let answer = get("gzip, zstd;q=0.9");
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(answer.bytes.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain);
}
