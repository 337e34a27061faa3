//! Header in, format out.

use super::*;

#[test]
fn a_body_is_protobuf_if_its_type_says_so_in_full() {
    let check = |content_type: &str, expected: Format| assert_eq!(pushed(content_type), expected, "{content_type}");
    for yes in [
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        "application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily",
        "Application/Vnd.Google.Protobuf ; Encoding = delimited;\tPROTO=\"io.prometheus.client.MetricFamily\" ;",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; q=0.3; encoding=\"deli\\mited\"",
        "application/vnd.google.protobuf; encoding=delimited; encoding=delimited; proto=io.prometheus.client.MetricFamily",
    ] {
        check(yes, Format::Protobuf);
    }
    for no in [
        "",
        "text/plain; version=0.0.4",
        "application/vnd.google.protobuf",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=Delimited",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
        "application/vnd.google.protobuf; proto=io.prometheus.client.metricfamily; encoding=delimited",
        "application/x-protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; x",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; encoding=text",
        "application/vnd.google.protobuf; proto=\"io.prometheus.client.MetricFamily; encoding=delimited",
        "application/vnd.google.protobuf proto=io.prometheus.client.MetricFamily; encoding=delimited",
    ] {
        check(no, Format::Text);
    }
}

const DELIMITED: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

#[track_caller]
fn check(accept: &str, expected: &str) {
    assert_eq!(accepted(accept).to_string(), expected, "{accept}");
}

fn text(escaping: &str) -> String {
    format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}")
}

fn protobuf(escaping: &str) -> String {
    format!(
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
         escaping={escaping}"
    )
}

#[test]
fn the_heaviest_clause_that_can_be_written_is_chosen() {
    check(DELIMITED, &protobuf("underscores"));
    check(&format!("text/plain;version=0.0.4;q=0.4, {DELIMITED};q=0.5"), &protobuf("underscores"));
    check(&format!("text/plain, {DELIMITED}"), &text("underscores"));
    check(&format!("{DELIMITED};q=0.5, text/plain;q=0.6"), &text("underscores"));
    check(
        &format!("application/openmetrics-text;version=1.0.0, */*;q=0.9, {DELIMITED};q=0.1"),
        &protobuf("underscores"),
    );
    check(&format!("text/plain;version=1.0.0, {DELIMITED};q=0.1"), &protobuf("underscores"));
    check(&format!(";;, text/plain;q, {DELIMITED}"), &protobuf("underscores"));
}

#[test]
fn where_nothing_can_be_written_the_page_is_text() {
    let compact = DELIMITED.replace("delimited", "compact-text");
    for accept in ["", "*/*", "text/*", "application/openmetrics-text; version=1.0.0", "text/html", "x;q=y", &compact] {
        check(accept, &text("underscores"));
    }
    check(&format!("{DELIMITED};q=0"), &text("underscores"));
    check(&format!("{DELIMITED};q=x"), &text("underscores"));
}

#[test]
fn the_escaping_is_the_last_one_known_up_to_the_choice() {
    check(&format!("{DELIMITED};escaping=dots"), &protobuf("dots"));
    check(&format!("{DELIMITED};escaping=what"), &protobuf("underscores"));
    check(&format!("{DELIMITED};q=0.5, text/plain;q=0.4;escaping=dots"), &protobuf("underscores"));
    check("application/openmetrics-text;escaping=values, text/plain;q=0.5", &text("values"));
    check("application/openmetrics-text;escaping=values, text/plain;q=0.5;escaping=allow-utf-8", &text("allow-utf-8"));
}

#[test]
fn prometheus_gets_what_it_asks_for_first() {
    let without = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    check(without, &text("allow-utf-8"));
    check(&format!("{DELIMITED};escaping=allow-utf-8;q=0.6,{without}"), &protobuf("allow-utf-8"));
}
