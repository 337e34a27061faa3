//! Protobuf bodies with what only protobuf has: native histograms, exemplars everywhere, any text as a name.
//!
//! *Never:* how they are pushed.

use e2e::wire::Message;

const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const SUMMARY: u64 = 2;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

/// Seconds of every exemplar; Prometheus takes exemplars of any past time.
const EXEMPLAR_AT: u64 = 1_700_000_000;

pub(crate) fn body() -> Vec<u8> {
    let counter = Message::new().double(1, 5.0).message(2, &exemplar("protobuf-trace", 1.5));
    let bucket = |count, bound| Message::new().integer(1, count).double(2, bound);
    let classic = Message::new()
        .integer(1, 3)
        .double(2, 4.5)
        .message(3, &bucket(1, 0.5).message(3, &exemplar("classic-trace", 0.25)))
        .message(3, &bucket(2, 1.0));
    let summary = Message::new().integer(1, 2).double(2, f64::NAN);
    let summary = summary.message(3, &Message::new().double(1, 0.5).double(2, f64::INFINITY));
    let both = native().message(3, &bucket(2, 1.0)).message(3, &bucket(6, f64::INFINITY));
    let families = [
        family("proto_total", COUNTER, &[metric(3, &counter)]).text(5, "unit").text(2, "Help\nwith \\ and \"."),
        family("proto_classic", HISTOGRAM, &[metric(7, &classic)]),
        family("proto_native", HISTOGRAM, &[metric(7, &native())]),
        family("proto_native_float", HISTOGRAM, &[metric(7, &float())]),
        family("proto_native_gauge", GAUGE_HISTOGRAM, &[metric(7, &native())]),
        family("proto_both", HISTOGRAM, &[metric(7, &both)]),
        family("proto_summary", SUMMARY, &[metric(4, &summary)]),
        family("proto_without_metrics", GAUGE, &[]),
    ];
    families.iter().flat_map(Message::delimited).collect()
}

pub(crate) fn names() -> Vec<u8> {
    let label = Message::new().text(1, "grün.es").text(2, "\n\"\\");
    let gauge = |value| metric(2, &Message::new().double(1, value));
    let families = [
        family("pro.to", GAUGE, &[gauge(1.0).message(1, &label)]),
        family("pro to", GAUGE, &[gauge(2.0).message(1, &label)]),
        family("pro.native", HISTOGRAM, &[metric(7, &native()).message(1, &label)]),
    ];
    families.iter().flat_map(Message::delimited).collect()
}

/// Six observations: two of zero, one and three in two buckets.
fn native() -> Message {
    let spans = Message::new().signed(1, 0).integer(2, 2);
    Message::new()
        .integer(1, 6)
        .double(2, 9.5)
        .signed(5, 2)
        .double(6, 0.001)
        .integer(7, 2)
        .message(12, &spans)
        .signed(13, 1)
        .signed(13, 2)
        .message(16, &exemplar("native-trace", 1.1))
}

/// Two and a half observations, half of one below zero.
fn float() -> Message {
    let span = Message::new().signed(1, -3).integer(2, 1);
    Message::new()
        .double(4, 2.5)
        .double(2, 1.5)
        .signed(5, -1)
        .double(6, 0.001)
        .double(8, 1.0)
        .message(9, &span)
        .double(11, 0.5)
        .message(12, &span)
        .double(14, 1.0)
}

fn exemplar(trace: &str, value: f64) -> Message {
    let label = Message::new().text(1, "trace_id").text(2, trace);
    Message::new().message(1, &label).double(2, value).message(3, &Message::new().integer(1, EXEMPLAR_AT))
}

fn metric(field: u64, value: &Message) -> Message {
    Message::new().message(field, value)
}

fn family(name: &str, kind: u64, metrics: &[Message]) -> Message {
    let head = Message::new().text(1, name).integer(3, kind);
    metrics.iter().fold(head, |family, metric| family.message(4, metric))
}
