//! The laws of the formats: what was read can be written, and reads back the same; and what the store takes makes a
//! page that can be read.
//!
//! *Never:* HTTP.

use axum::body::Bytes;
use protocol::{GroupingKey, LabelSet, NameValidation};
use sidecar::{
    clock::UnixSeconds,
    exposition::{Escaping, MetricFamily, Value, family::compare_labels, protobuf as delimited, text as lines},
    store::{Change, Store, Verdict},
};

use super::is_short;

/// Name, type as printed, and each metric with the number of its inner lines.
type Outline<'a> = (&'a str, String, Vec<(&'a LabelSet, usize)>);

/// Text → families → text → families.
pub fn text(body: &[u8]) {
    match read_text(body) {
        Ok(families) => text_reads_back(as_shown(families)),
        Err(sentence) => is_short(&sentence),
    }
}

/// Messages → families → messages → families.
pub fn protobuf(body: &[u8]) {
    let families = match delimited::decode(&Bytes::copy_from_slice(body)) {
        Ok(families) => families,
        Err(error) => return is_short(&error.to_string()),
    };
    let written = delimited::encode(&families);
    let read = delimited::decode(&Bytes::from(written.clone())).unwrap();
    assert_eq!(delimited::encode(&read), written);
    let families = as_delimited(in_order(families));
    // Not each number is like itself, but each is printed like itself.
    assert!(read == families || format!("{read:?}") == format!("{families:?}"), "{families:#?}\nbecame {read:#?}");
    text_reads_back(as_shown(families));
}

/// The one place that says how a body of text is read.
fn read_text(body: &[u8]) -> Result<Vec<MetricFamily>, String> {
    lines::decode(body, NameValidation::Utf8).map_err(|error| error.to_string())
}

/// What the text can say of families comes back. Of what the store refuses it need not: where `x` is a summary, a
/// family `x_count` is read as a part of it.
fn text_reads_back(families: Vec<MetricFamily>) {
    if !is_taken(&families) {
        return;
    }
    let printed = lines::encode(&families);
    let read = read_text(printed.as_bytes()).unwrap_or_else(|error| panic!("{error}:\n{printed}"));
    assert_eq!(lines::encode(&read), printed);
    assert_eq!(outlines(&in_order(read)), outlines(&in_order(families)), "{printed}");
}

/// Whether the store takes them; what it takes makes a page that can be read.
fn is_taken(families: &[MetricFamily]) -> bool {
    let key = GroupingKey::from_labels([("job", "j")].into_iter().collect()).unwrap();
    let store = Store::new();
    let is_taken = store.submit(Change::replace(key, families.to_vec()), UnixSeconds(1.0)) == Verdict::Done;
    let page = store.page(Escaping::AllowUtf8);
    let read = read_text(&page.text).unwrap_or_else(|error| panic!("{error}:\n{:?}", page.text));
    assert_eq!(lines::encode(&read), String::from_utf8_lossy(&page.text));
    is_taken
}

/// Without timestamps, which no page shows, and without the ends of help that a line of text loses.
fn as_shown(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    for family in &mut families {
        family.help = family.help.trim_start_matches([' ', '\t']).trim_end_matches('\r').to_owned();
        family.metrics.iter_mut().for_each(|metric| metric.timestamp = None);
    }
    families
}

/// As they are written: sorted, and without empty ones.
fn in_order(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    families.retain(|family| !family.metrics.is_empty());
    families.sort_by(|left, right| left.name.cmp(&right.name));
    for family in &mut families {
        family.metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
    }
    families
}

/// As messages say it: a unit only where the name ends with it, buckets in the order of their bounds.
fn as_delimited(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    for family in &mut families {
        family.unit = family.head().shown_unit().unwrap_or_default().to_owned();
        for metric in &mut family.metrics {
            let Value::Histogram(histogram) = &mut metric.value else { continue };
            let sorted = histogram.by_bound();
            if let Some(extra) = &mut metric.extra {
                let moved = sorted.iter().enumerate();
                let moved =
                    moved.filter_map(|(place, (before, ..))| Some((place, extra.bucket_exemplars.remove(before)?)));
                extra.bucket_exemplars = moved.collect();
            }
            histogram.buckets = sorted.into_iter().map(|(_, bound, count)| (bound, count)).collect();
        }
    }
    families
}

fn outlines(families: &[MetricFamily]) -> Vec<Outline<'_>> {
    let outline = |family| {
        let MetricFamily { name, kind, metrics, .. }: &MetricFamily = family;
        let metrics = metrics.iter().map(|metric| (&metric.labels, inner_lines(&metric.value)));
        (name.as_str(), kind.to_string(), metrics.collect())
    };
    families.iter().map(outline).collect()
}

fn inner_lines(value: &Value) -> usize {
    match value {
        Value::Number(_) => 0,
        Value::Summary(summary) => summary.quantiles.len(),
        // That for +Inf is written whether it is there or not.
        Value::Histogram(histogram) => histogram.buckets.iter().filter(|(bound, _)| *bound != f64::INFINITY).count(),
    }
}
