//! Messages as text: the notation that protobuf tools print and read, with the fields by their numbers.
//!
//! *Never:* which names are escaped, bytes.

use std::fmt::Display;

use super::message::{
    Bucket, Counter, Exemplar, Histogram, LabelPair, Metric, Number, Quantile, Span, Summary, Timestamp,
};
use crate::exposition::{
    family::{FamilyHead, Kind},
    text::write_number,
};

/// How fields are set apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A line each, indented.
    Lines,
    /// By a blank.
    OneLine,
}

/// A message that is being written.
struct Printer {
    out: String,
    layout: Layout,
    depth: usize,
}

/// Something that has fields.
trait Fields {
    fn print(&self, to: &mut Printer);
}

/// Prints one family, with the end of its line, or an empty line, after it.
pub(super) fn printed(head: FamilyHead<'_>, metrics: impl Iterator<Item = Metric>, layout: Layout) -> String {
    let mut to = Printer { out: String::new(), layout, depth: 0 };
    to.text("name", Some(head.name));
    to.text("help", Some(head.help).filter(|help| !help.is_empty()));
    to.field("type", Some(word(head.kind)));
    for metric in metrics {
        to.message("metric", [&metric]);
    }
    to.text("unit", Some(head.unit).filter(|unit| !unit.is_empty()));
    to.out.push('\n');
    to.out
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "COUNTER",
        Kind::Gauge | Kind::Info | Kind::StateSet => "GAUGE",
        Kind::Summary => "SUMMARY",
        Kind::Untyped => "UNTYPED",
        Kind::Histogram => "HISTOGRAM",
        Kind::GaugeHistogram => "GAUGE_HISTOGRAM",
    }
}

// === impl Printer ===

impl Printer {
    fn field(&mut self, name: &str, values: impl IntoIterator<Item = impl Display>) {
        for value in values {
            self.start(name);
            self.out.push_str(": ");
            self.out.push_str(&value.to_string());
            self.end();
        }
    }

    fn number(&mut self, name: &str, values: impl IntoIterator<Item = f64>) {
        let printed = |number: f64| {
            let mut out = String::new();
            let written = write_number(&mut out, number);
            debug_assert!(written.is_ok(), "a string grows as it needs to");
            // The notation has words of its own for these.
            match out.as_str() {
                "NaN" => "nan".to_owned(),
                "+Inf" => "inf".to_owned(),
                "-Inf" => "-inf".to_owned(),
                _ => out,
            }
        };
        self.field(name, values.into_iter().map(printed));
    }

    fn text<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        self.field(name, values.into_iter().map(quoted));
    }

    fn message<'a, M: Fields + 'a>(&mut self, name: &str, messages: impl IntoIterator<Item = &'a M>) {
        for message in messages {
            self.start(name);
            self.out.push_str(" {");
            self.depth += 1;
            match self.layout {
                Layout::Lines => self.out.push('\n'),
                Layout::OneLine => self.out.push(' '),
            }
            message.print(self);
            self.depth -= 1;
            self.start("}");
            self.end();
        }
    }

    fn start(&mut self, word: &str) {
        if self.layout == Layout::Lines {
            self.out.extend(std::iter::repeat_n("  ", self.depth));
        }
        self.out.push_str(word);
    }

    fn end(&mut self) {
        self.out.push(if self.layout == Layout::Lines { '\n' } else { ' ' });
    }
}

/// Control characters by their number, in three octal digits, as all readers of the notation know them.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:03o}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

// === impl Fields ===

impl Fields for Metric {
    fn print(&self, to: &mut Printer) {
        let Self { labels, gauge, counter, summary, untyped, timestamp_ms, histogram } = self;
        to.message("label", labels);
        to.message("gauge", gauge);
        to.message("counter", counter);
        to.message("summary", summary);
        to.message("untyped", untyped);
        to.field("timestamp_ms", *timestamp_ms);
        to.message("histogram", histogram);
    }
}

impl Fields for LabelPair {
    fn print(&self, to: &mut Printer) {
        to.text("name", self.name.as_deref());
        to.text("value", self.value.as_deref());
    }
}

impl Fields for Number {
    fn print(&self, to: &mut Printer) {
        to.number("value", self.value);
    }
}

impl Fields for Counter {
    fn print(&self, to: &mut Printer) {
        let Self { value, exemplar, created } = self;
        to.number("value", *value);
        to.message("exemplar", exemplar);
        to.message("created_timestamp", created);
    }
}

impl Fields for Summary {
    fn print(&self, to: &mut Printer) {
        let Self { count, sum, quantiles, created } = self;
        to.field("sample_count", *count);
        to.number("sample_sum", *sum);
        to.message("quantile", quantiles);
        to.message("created_timestamp", created);
    }
}

impl Fields for Quantile {
    fn print(&self, to: &mut Printer) {
        to.number("quantile", self.quantile);
        to.number("value", self.value);
    }
}

impl Fields for Histogram {
    fn print(&self, to: &mut Printer) {
        to.field("sample_count", self.count);
        to.number("sample_sum", self.sum);
        to.message("bucket", &self.buckets);
        to.number("sample_count_float", self.count_float);
        to.field("schema", self.schema);
        to.number("zero_threshold", self.zero_threshold);
        to.field("zero_count", self.zero_count);
        to.number("zero_count_float", self.zero_count_float);
        to.message("negative_span", &self.negative_spans);
        to.field("negative_delta", self.negative_deltas.iter());
        to.number("negative_count", self.negative_counts.iter().copied());
        to.message("positive_span", &self.positive_spans);
        to.field("positive_delta", self.positive_deltas.iter());
        to.number("positive_count", self.positive_counts.iter().copied());
        to.message("created_timestamp", &self.created);
        to.message("exemplars", &self.exemplars);
    }
}

impl Fields for Bucket {
    fn print(&self, to: &mut Printer) {
        let Self { count, upper_bound, exemplar, count_float } = self;
        to.field("cumulative_count", *count);
        to.number("upper_bound", *upper_bound);
        to.message("exemplar", exemplar);
        to.number("cumulative_count_float", *count_float);
    }
}

impl Fields for Span {
    fn print(&self, to: &mut Printer) {
        to.field("offset", self.offset);
        to.field("length", self.length);
    }
}

impl Fields for Exemplar {
    fn print(&self, to: &mut Printer) {
        let Self { labels, value, timestamp } = self;
        to.message("label", labels);
        to.number("value", *value);
        to.message("timestamp", timestamp);
    }
}

impl Fields for Timestamp {
    fn print(&self, to: &mut Printer) {
        to.field("seconds", self.seconds);
        to.field("nanos", self.nanos);
    }
}
