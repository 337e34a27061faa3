//! Families → text, in the canonical order and with Go's number printing.
//!
//! *Never:* who asked, what else is on the page.

use std::fmt::{self, Write};

use protocol::{
    LabelSet,
    label_set::{is_label_name, write_quoted},
};

use super::{
    number::write_number,
    writing::{write_name, written},
};
use crate::exposition::{
    escaping::Escaping,
    family::{
        BUCKET_LABEL, FamilyHead, Histogram, MetricFamily, MetricRef, QUANTILE_LABEL, Summary, Value, compare_labels,
        is_metric_name,
    },
};

/// What the lines of one metric have in common.
#[derive(Clone, Copy)]
struct Lines<'a> {
    /// Escaped already.
    name: &'a str,
    /// Whether the name stands inside the braces, in quotes.
    is_quoted: bool,
    labels: &'a LabelSet,
    timestamp: Option<i64>,
    escaping: Escaping,
}

/// Prints whole families: sorted by name, their metrics in canonical order, empty ones left out. Names are as they are,
/// in quotes where they have to be, so that all of it reads back.
#[must_use]
pub fn encode(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    let mut sorted: Vec<_> = families.iter().filter(|family| !family.metrics.is_empty()).collect();
    sorted.sort_by(|left, right| left.name.cmp(&right.name));
    for family in sorted {
        write_header(&mut out, family.head(), Escaping::AllowUtf8);
        let mut metrics: Vec<_> = family.metrics.iter().collect();
        metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
        for metric in metrics {
            write_series(&mut out, &family.name, &metric.into(), Escaping::AllowUtf8);
        }
    }
    out
}

/// Prints the lines before the samples of a family: `HELP` if there is help, and `TYPE`.
pub fn write_header(out: &mut String, head: FamilyHead<'_>, escaping: Escaping) {
    let FamilyHead { name, help, unit: _, kind } = head;
    let escaped = escaping.metric_name(name);
    let mut name = String::new();
    written(write_name(&mut name, &escaped, is_metric_name));
    if !help.is_empty() {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        written(writeln!(out, "# HELP {name} {help}"));
    }
    written(writeln!(out, "# TYPE {name} {kind}"));
}

/// Prints the lines of one metric.
pub fn write_series(out: &mut String, name: &str, metric: &MetricRef<'_>, escaping: Escaping) {
    let name = escaping.metric_name(name);
    let MetricRef { labels, value, timestamp, extra: _ } = metric;
    let series = Lines { name: &name, is_quoted: !is_metric_name(&name), labels, timestamp: *timestamp, escaping };
    written(match &**value {
        Value::Number(number) => line(out, series, "", None, *number),
        Value::Summary(summary) => write_summary(out, series, summary),
        Value::Histogram(histogram) => write_histogram(out, series, histogram),
    });
}

fn write_summary(out: &mut String, series: Lines<'_>, summary: &Summary) -> fmt::Result {
    for (quantile, value) in &summary.quantiles {
        line(out, series, "", Some((QUANTILE_LABEL, *quantile)), *value)?;
    }
    line(out, series, "_sum", None, summary.sum)?;
    line(out, series, "_count", None, summary.count as f64)
}

fn write_histogram(out: &mut String, series: Lines<'_>, histogram: &Histogram) -> fmt::Result {
    let count = histogram.count.as_f64();
    for (bound, bucket) in &histogram.buckets {
        line(out, series, "_bucket", Some((BUCKET_LABEL, *bound)), bucket.as_f64())?;
    }
    if !histogram.buckets.iter().any(|(bound, _)| *bound == f64::INFINITY) {
        line(out, series, "_bucket", Some((BUCKET_LABEL, f64::INFINITY)), count)?;
    }
    line(out, series, "_sum", None, histogram.sum)?;
    line(out, series, "_count", None, count)
}

fn line(out: &mut String, series: Lines<'_>, suffix: &str, inner: Option<(&str, f64)>, value: f64) -> fmt::Result {
    let Lines { name, is_quoted, labels, timestamp, escaping } = series;
    let mut before = '{';
    if is_quoted {
        out.push('{');
        write_quoted(out, &format!("{name}{suffix}"))?;
        before = ',';
    } else {
        out.push_str(name);
        out.push_str(suffix);
    }
    for (name, value) in labels.iter() {
        out.push(before);
        write_name(out, &escaping.label_name(name), is_label_name)?;
        out.push('=');
        write_quoted(out, value)?;
        before = ',';
    }
    if let Some((name, bound)) = inner {
        out.push(before);
        out.push_str(name);
        out.push_str("=\"");
        write_number(out, bound)?;
        out.push('"');
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    out.push(' ');
    write_number(out, value)?;
    if let Some(timestamp) = timestamp {
        write!(out, " {timestamp}")?;
    }
    out.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::family::{Count, Kind, Metric};

    fn metric(labels: &[(&str, &str)], value: Value) -> Metric {
        Metric { labels: labels.iter().copied().collect(), value, timestamp: None, extra: None }
    }

    fn family(name: &str, help: &str, kind: Kind, metrics: Vec<Metric>) -> MetricFamily {
        MetricFamily { name: name.to_owned(), help: help.to_owned(), unit: String::new(), kind, metrics }
    }

    #[test]
    fn families_and_metrics_are_sorted_and_escaped() {
        let number = Value::Number;
        let families = [
            family("b", "", Kind::Untyped, vec![metric(&[], number(1.0))]),
            family("c", "left out", Kind::Gauge, vec![]),
            family(
                "a",
                "back\\slash and \"quote\"\nline",
                Kind::Gauge,
                vec![metric(&[("x", "2")], number(2.0)), metric(&[("x", "\"\\\n")], number(1e6))],
            ),
        ];
        let expected = "\
# HELP a back\\\\slash and \"quote\"\\nline
# TYPE a gauge
a{x=\"\\\"\\\\\\n\"} 1e+06
a{x=\"2\"} 2
# TYPE b untyped
b 1
";
        assert_eq!(encode(&families), expected);
    }

    #[test]
    fn a_histogram_without_infinity_gets_that_bucket_from_its_count() {
        let histogram = Histogram { buckets: vec![(0.5, Count::Integer(1))], sum: 2.5, count: Count::Integer(3) };
        let families =
            [family("h", "", Kind::GaugeHistogram, vec![metric(&[("z", "1")], Value::Histogram(histogram))])];
        let expected = "\
# TYPE h histogram
h_bucket{z=\"1\",le=\"0.5\"} 1
h_bucket{z=\"1\",le=\"+Inf\"} 3
h_sum{z=\"1\"} 2.5
h_count{z=\"1\"} 3
";
        assert_eq!(encode(&families), expected);
    }

    #[test]
    fn a_summary_has_its_quantiles_in_the_order_given() {
        let summary = Summary { quantiles: vec![(0.9, f64::NAN), (0.5, 1.0)], sum: 1.0, count: 2 };
        let families = [family("s", "", Kind::Summary, vec![metric(&[], Value::Summary(summary))])];
        let expected = "\
# TYPE s summary
s{quantile=\"0.9\"} NaN
s{quantile=\"0.5\"} 1
s_sum 1
s_count 2
";
        assert_eq!(encode(&families), expected);
    }
}
