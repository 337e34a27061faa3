//! The laws of the formats: what was read can be written, and reads back the same, as far as the format can say it.
//!
//! *Never:* HTTP, what the pages of a store show.

use axum::body::Bytes;
use protocol::NameValidation;
use sidecar::exposition::{
    Metric, MetricFamily, Value, extra::Exemplar, openmetrics as newer, protobuf as delimited, text as lines,
};

use super::{
    is_short,
    outline::{in_order, kinds, outlines},
    pages::are_taken,
};

/// What is in OpenMetrics alone. It may make no sense there where the text format reads over it.
const NEWER_WORDS: [&str; 4] = ["EOF", "UNIT", "_created", "_gcount"];

/// Text → families → text → families.
pub fn text(body: &[u8]) {
    let families = match lines::decode(body, NameValidation::Utf8) {
        Ok(families) => families,
        Err(error) => return is_short(&error.to_string()),
    };
    if let Ok(classic) = lines::decode(body, NameValidation::Legacy) {
        is_same(&classic, &families);
    }
    is_fine_as_openmetrics(body, &families);
    text_reads_back(as_shown(families));
}

/// OpenMetrics → families → OpenMetrics → families.
pub fn openmetrics(body: &[u8]) {
    let families = match newer::decode(body, NameValidation::Utf8) {
        Ok(families) => families,
        Err(error) => return is_short(&error.to_string()),
    };
    if let Ok(classic) = newer::decode(body, NameValidation::Legacy) {
        is_same(&classic, &families);
    }
    let families = in_order(as_shown(families));
    if !are_taken(&families) {
        return;
    }
    let printed = newer::encode(&families);
    let read = newer::decode(printed.as_bytes(), NameValidation::Utf8);
    let read = read.unwrap_or_else(|error| panic!("{error}:\n{printed}"));
    assert_eq!(newer::encode(&read), printed);
    let read = in_order(read);
    assert_eq!(outlines(&read), outlines(&families), "{printed}");
    for (read, family) in read.iter().zip(as_said(families)) {
        let is_said = family.metrics.iter().all(|metric| is_canonical(&metric.value));
        if read.kind == family.kind && is_said {
            assert_eq!(read.help, family.help);
            assert_eq!(shown(&read.metrics), shown(&family.metrics), "{printed}");
        }
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
    is_same(&read, &families);
    text_reads_back(as_shown(families));
}

/// What the text can say of families comes back. Of what the store refuses it need not: where `x` is a summary, a
/// family `x_count` is read as a part of it.
fn text_reads_back(families: Vec<MetricFamily>) {
    if !are_taken(&families) {
        return;
    }
    let printed = lines::encode(&families);
    let read = lines::decode(printed.as_bytes(), NameValidation::Utf8);
    let read = read.unwrap_or_else(|error| panic!("{error}:\n{printed}"));
    assert_eq!(lines::encode(&read), printed);
    let (read, families) = (in_order(read), in_order(families));
    assert_eq!(outlines(&read), outlines(&families), "{printed}");
    assert_eq!(kinds(&read), kinds(&families), "{printed}");
}

/// Who knows no OpenMetrics writes text and calls it that. Times are in another unit there.
fn is_fine_as_openmetrics(body: &[u8], families: &[MetricFamily]) {
    let body = String::from_utf8_lossy(body);
    let has_times = families.iter().flat_map(|family| &family.metrics).any(|metric| metric.timestamp.is_some());
    if !has_times && !NEWER_WORDS.iter().any(|word| body.contains(word)) {
        let read = newer::decode(body.as_bytes(), NameValidation::Utf8);
        read.unwrap_or_else(|error| panic!("{error}:\n{body}"));
    }
}

/// Not each number is like itself, but each looks like itself; zero has no sign on a page.
fn shown(metrics: &[Metric]) -> String {
    [",", ")", " "]
        .iter()
        .fold(format!("{metrics:?}"), |all, end| all.replace(&format!("-0.0{end}"), &format!("0.0{end}")))
}

/// Not each number is like itself, but each is printed like itself.
fn is_same(left: &[MetricFamily], right: &[MetricFamily]) {
    assert!(left == right || format!("{left:?}") == format!("{right:?}"), "{left:#?}\nis not {right:#?}");
}

/// Without the ends of help that a line of text loses.
fn as_shown(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    for family in &mut families {
        family.help = family.help.trim_start_matches([' ', '\t']).trim_end_matches('\r').to_owned();
    }
    families
}

/// Without exemplars that have U+0000 in a value: no scraper can read them, so a page of OpenMetrics has none.
fn as_said(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    for metric in families.iter_mut().flat_map(|family| &mut family.metrics) {
        let Some(mut extra) = metric.extra.take() else { continue };
        let is_readable = |exemplar: &Exemplar| exemplar.labels.iter().all(|(_, value)| !value.contains('\0'));
        extra.exemplars.retain(is_readable);
        extra.bucket_exemplars.retain(|_, exemplar| is_readable(exemplar));
        metric.extra = extra.boxed();
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

/// Whether OpenMetrics has it with the same buckets, in the same order.
fn is_canonical(value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Summary(_) => true,
        Value::Histogram(histogram) => {
            histogram.buckets.is_sorted_by(|(left, _), (right, _)| left.total_cmp(right).is_le())
                && histogram.buckets.last().is_some_and(|(bound, _)| *bound == f64::INFINITY)
        }
    }
}
