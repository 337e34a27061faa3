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
