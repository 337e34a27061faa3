//! What two readings of the same families have to agree in, whatever was lost of the rest.
//!
//! *Never:* formats, which reading is right.

use protocol::LabelSet;
use sidecar::exposition::{MetricFamily, Value, family::compare_labels};

/// Name, and each metric with the number of its inner lines.
pub type Outline<'a> = (&'a str, Vec<(&'a LabelSet, usize)>);

/// Of each family, in the order given.
pub fn outlines(families: &[MetricFamily]) -> Vec<Outline<'_>> {
    let outline = |family| {
        let MetricFamily { name, metrics, .. }: &MetricFamily = family;
        let metrics = metrics.iter().map(|metric| (&metric.labels, inner_lines(&metric.value)));
        (name.as_str(), metrics.collect())
    };
    families.iter().map(outline).collect()
}

/// The types as text prints them.
pub fn kinds(families: &[MetricFamily]) -> Vec<String> {
    families.iter().map(|family| family.kind.to_string()).collect()
}

/// As they are written: sorted, and without empty ones.
pub fn in_order(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    families.retain(|family| !family.metrics.is_empty());
    families.sort_by(|left, right| left.name.cmp(&right.name));
    for family in &mut families {
        family.metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
    }
    families
}

fn inner_lines(value: &Value) -> usize {
    match value {
        Value::Number(_) => 0,
        Value::Summary(summary) => summary.quantiles.len(),
        // That for +Inf is written whether it is there or not.
        Value::Histogram(histogram) => histogram.buckets.iter().filter(|(bound, _)| *bound != f64::INFINITY).count(),
    }
}
