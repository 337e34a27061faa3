//! Header in, format out.

use proptest::prelude::*;

use super::*;

fn pushed(content_type: &str) -> Format {
    super::pushed(MediaType::parse(content_type).as_ref())
}

#[test]
fn a_body_is_text_unless_its_type_says_in_full_what_else() {
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
    for yes in [
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "Application/OpenMetrics-Text;version=0.0.1",
    ] {
        check(yes, Format::OpenMetrics);
    }
    for no in [
        "",
        "text/plain; version=0.0.4",
        "application/openmetrics-text; version",
        "application/openmetrics",
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

#[test]
fn a_body_that_ends_as_openmetrics_is_read_so_where_its_type_leaves_it_open() {
    let of = |content_type: &str, body: &str| sniffed(content_type, body.as_bytes());
    let body = "a 1\n# EOF\n";
    for open in ["", "text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "not a type"] {
        assert_eq!(of(open, body), Format::OpenMetrics, "{open}");
        assert_eq!(of(open, "a 1\n"), Format::Text, "{open}");
    }
    assert_eq!(of("text/plain; version=0.0.4", body), Format::Text);
    assert_eq!(of("text/plain; charset=utf-8; Version=\"0.0.4\"", body), Format::Text);
    assert_eq!(of("application/openmetrics-text", "a 1\n"), Format::OpenMetrics);
    assert_eq!(of(DELIMITED, body), Format::Protobuf);
    assert_eq!(of("application/vnd.google.protobuf", body), Format::Text);
    for ended in ["# EOF", "# EOF\n", "# EOF\r\n", "a 1\r\n# EOF", "a 1\n# EOF\n\n \n"] {
        assert_eq!(of("", ended), Format::OpenMetrics, "{ended:?}");
    }
    for other in ["", "a 1\n## EOF\n", "a 1 # EOF\n", "# EOF\na 1\n", "a 1\n# EOF 2\n", "a 1\n# eof\n", " # EOF\n"] {
        assert_eq!(of("", other), Format::Text, "{other:?}");
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

fn openmetrics(escaping: &str) -> String {
    format!("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping={escaping}")
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
    check(&format!("application/openmetrics-text, {DELIMITED};q=0.9"), &openmetrics("underscores"));
    check(&format!("application/openmetrics-text;version=2.0.0, {DELIMITED};q=0.1"), &protobuf("underscores"));
    check(&format!("text/plain;version=2.0.0, {DELIMITED};q=0.1"), &protobuf("underscores"));
    check(&format!("text/html, {DELIMITED};q=0.1"), &protobuf("underscores"));
    check(&format!(";;, text/plain;q, {DELIMITED}"), &protobuf("underscores"));
}

#[test]
fn a_wildcard_that_stands_for_text_means_text() {
    check(&format!("*/*;q=0.9, {DELIMITED};q=0.1"), &text("underscores"));
    check(&format!("text/*, {DELIMITED}"), &text("underscores"));
    check(&format!("application/*, {DELIMITED};q=0.1"), &protobuf("underscores"));
}

#[test]
fn where_nothing_can_be_written_the_page_is_text() {
    let other = DELIMITED.replace("delimited", "json");
    for accept in ["", "*/*", "text/*", "application/*", "text/html", "x;q=y", &other] {
        check(accept, &text("underscores"));
    }
    check(&format!("{DELIMITED};q=0"), &text("underscores"));
    for weight in ["x", "1.1", "-0.5", "inf", "nan", "1e999"] {
        check(&format!("{DELIMITED};q={weight}"), &text("underscores"));
        check(&format!("{DELIMITED};q={weight}, application/openmetrics-text;q=0.1"), &openmetrics("underscores"));
    }
    check("application/openmetrics-text;q=0", &text("underscores"));
}

#[test]
fn a_clause_of_too_many_parameters_is_none() {
    let many = |count: usize| (0..count).map(|number| format!(";p{number}=x")).collect::<String>();
    let openmetrics_with = |count| format!("application/openmetrics-text{}", many(count));
    check(&openmetrics_with(32), &openmetrics("underscores"));
    check(&openmetrics_with(33), &text("underscores"));
    assert_eq!(pushed(&openmetrics_with(32)), Format::OpenMetrics);
    assert_eq!(pushed(&openmetrics_with(33)), Format::Text);
}

#[test]
fn the_answer_names_the_version_that_was_asked_for() {
    let row = |accept: &str, expected: &str| check(accept, &format!("{expected}; charset=utf-8; escaping=underscores"));
    row("text/plain", "text/plain; version=0.0.4");
    row("text/plain;version=0.0.4", "text/plain; version=0.0.4");
    row("text/plain;version=1.0.0", "text/plain; version=1.0.0");
    row("application/openmetrics-text", "application/openmetrics-text; version=1.0.0");
    row("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0");
    row("application/openmetrics-text; version=0.0.1", "application/openmetrics-text; version=0.0.1");
}

#[test]
fn protobuf_has_three_forms() {
    for form in ["delimited", "text", "compact-text"] {
        check(&DELIMITED.replace("delimited", form), &protobuf("underscores").replace("delimited", form));
    }
}

#[test]
fn the_escaping_is_the_last_one_known_up_to_the_choice() {
    check(&format!("{DELIMITED};escaping=dots"), &protobuf("dots"));
    check(&format!("{DELIMITED};escaping=what"), &protobuf("underscores"));
    check(&format!("{DELIMITED};q=0.5, text/plain;q=0.4;escaping=dots"), &protobuf("underscores"));
    check("text/html;escaping=values, text/plain;q=0.5", &text("values"));
    check("text/html;escaping=values, text/plain;q=0.5;escaping=allow-utf-8", &text("allow-utf-8"));
    check("text/html;escaping=values;q=0, text/plain;q=0.5", &text("underscores"));
}

/// Each as that release sends it, without native histograms and with them.
#[test]
fn prometheus_gets_what_it_asks_for_first() {
    let protobuf_first = |rest: &str, escaping: &str| format!("{DELIMITED}{escaping};q=0.9,{rest}");
    // 2.0 to 2.4.
    check("text/plain;version=0.0.4;q=1,*/*;q=0.1", &text("underscores"));
    // 2.5 to 2.48.
    let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    check(old, &openmetrics("underscores"));
    check(
        "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        &openmetrics("underscores").replace("1.0.0", "0.0.1"),
    );
    let old = "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    check(&format!("{DELIMITED},{old}"), &protobuf("underscores"));
    // 2.49 and later.
    let later = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    check(later, &openmetrics("underscores"));
    check(&protobuf_first(later, ""), &protobuf("underscores"));
    // 3, with names in UTF-8 and with the escaping that is set for older names.
    for escaping in ["allow-utf-8", "underscores"] {
        let three = format!(
            "application/openmetrics-text;version=1.0.0;escaping={escaping};q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping={escaping};q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        check(&three, &openmetrics(escaping));
        check(&protobuf_first(&three, &format!(";escaping={escaping}")), &protobuf(escaping));
        // As 3 sends it: the clause of protobuf has no scheme.
        check(&protobuf_first(&three, ""), &protobuf("underscores"));
    }
    // With text alone.
    let text_only = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4";
    check(text_only, "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8");
}

/// Headers of the words and signs that mean something, and of any others.
fn any_header() -> impl Strategy<Value = String> {
    let pieces = [
        "text/plain",
        "application/openmetrics-text",
        "application/vnd.google.protobuf",
        "*/*",
        "text/*",
        "version=",
        "1.0.0",
        "0.0.4",
        "proto=io.prometheus.client.MetricFamily",
        "encoding=",
        "delimited",
        "compact-text",
        "escaping=",
        "dots",
        "allow-utf-8",
        "q=",
        "0.5",
        "NaN",
        "inf",
        "-1",
        "1e400",
        ";",
        ";",
        ",",
        " ",
        "\"",
        "\\",
        "=",
        "\t",
        "ä",
    ];
    let pieces = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..14).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => pieces, 1 => any::<String>()]
}

proptest! {
    #[test]
    fn no_header_breaks_negotiation(header in any_header()) {
        let choice = accepted(&header);
        let said = choice.to_string();
        // Who asks for what was answered gets it again.
        prop_assert_eq!(accepted(&said), choice, "{}", said);
        let _ = pushed(&header);
    }
}
