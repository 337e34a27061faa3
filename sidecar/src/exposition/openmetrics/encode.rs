//! Families → text.
//!
//! A family stands under a header, which for a counter and an info is its name without the suffix.
//!
//! *Never:* who asked, what else is on the page.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt::{self, Write},
};

use protocol::{
    LabelSet, NameValidation,
    label_set::{is_label_name, write_quoted},
};

use super::{MOST_EXEMPLAR_CHARACTERS, seconds};
use crate::exposition::{
    escaping::Escaping,
    extra::Exemplar,
    family::{
        BUCKET_LABEL, FamilyHead, Histogram, Kind, MetricFamily, MetricRef, QUANTILE_LABEL, Summary, Value,
        compare_labels, is_metric_name, unit_at_end,
    },
    text::{
        write_number,
        writing::{write_name, written},
    },
};

/// The last line of a page.
pub const END: &str = "# EOF\n";

/// What the lines of a metric have behind the name of their header, beside the suffixes of counter and info.
const PARTS: [&str; 4] = ["_sum", "_count", "_bucket", "_created"];

/// What the values of an info or a stateset say of it: it may be none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    are_ones: bool,
    are_states: bool,
}

/// What follows from the family as a whole.
#[derive(Debug)]
pub struct Shape<'a> {
    /// As the samples have it, escaped.
    name: Cow<'a, str>,
    /// How long the part of it is that the header has.
    header: usize,
    /// As the `TYPE` line has it.
    word: &'static str,
    /// Whether there may be lines that say when the counting began: no other family has their name.
    has_created: bool,
    escaping: Escaping,
}

/// Prints whole families and the end: sorted by name, their metrics in canonical order, empty ones left out.
/// For tests and fuzzing: a page is made of [`write_family`] and [`END`].
#[must_use]
pub fn encode(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    let mut sorted: Vec<_> = families.iter().filter(|family| !family.metrics.is_empty()).collect();
    sorted.sort_by(|left, right| left.name.cmp(&right.name));
    for family in &sorted {
        let mut metrics: Vec<_> = family.metrics.iter().map(MetricRef::from).collect();
        metrics.sort_by(|left, right| compare_labels(&left.labels, &right.labels));
        let has_family = |name: &str| sorted.binary_search_by(|family| (*family.name).cmp(name)).is_ok();
        write_family(&mut out, family.head(), metrics, Escaping::AllowUtf8, has_family);
    }
    out.push_str(END);
    out
}

/// Prints one family, its metrics in the order given. `has_family` tells whether the page has a family of that name, as
/// it is before escaping: neither a header nor a `_created` line may have the name of another, nor of a part of one.
pub fn write_family<'a>(
    out: &mut String,
    head: FamilyHead<'_>,
    metrics: impl IntoIterator<Item = MetricRef<'a>>,
    escaping: Escaping,
    has_family: impl Fn(&str) -> bool,
) {
    let metrics: Vec<_> = metrics.into_iter().collect();
    let facts = Facts::of(head, || metrics.iter().cloned(), escaping);
    let shape = Shape::of(head, facts, escaping, has_family);
    shape.write_head(out, head);
    for metric in &metrics {
        shape.write(out, metric);
    }
}

/// The braces after a name, with what is in them; none where nothing is.
struct Block<'a> {
    out: &'a mut String,
    is_open: bool,
}

// === impl Facts ===

impl Facts {
    /// Looks at the metrics where they matter.
    pub fn of<'a, M: Iterator<Item = MetricRef<'a>>>(
        head: FamilyHead<'_>,
        metrics: impl Fn() -> M,
        escaping: Escaping,
    ) -> Self {
        let are = |allowed: &[f64]| {
            metrics().all(|metric| matches!(&*metric.value, Value::Number(number) if allowed.contains(number)))
        };
        match head.kind {
            Kind::Info => Self { are_ones: are(&[1.0]), are_states: false },
            Kind::StateSet => {
                let name = escaping.metric_name(head.name);
                let has_state = |metric: MetricRef<'_>| {
                    let mut labels = metric.labels.iter().map(|(label, _)| escaping.label_name(label));
                    labels.any(|label| label == name)
                };
                Self { are_ones: false, are_states: metrics().all(has_state) && are(&[0.0, 1.0]) }
            }
            Kind::Counter | Kind::Gauge | Kind::Summary | Kind::Untyped | Kind::Histogram | Kind::GaugeHistogram => {
                Self::default()
            }
        }
    }
}

// === impl Shape ===

impl<'a> Shape<'a> {
    /// `has_family` as for [`write_family`].
    pub fn of(head: FamilyHead<'a>, facts: Facts, escaping: Escaping, has_family: impl Fn(&str) -> bool) -> Self {
        let FamilyHead { name, kind, .. } = head;
        let escaped = escaping.metric_name(name);
        let is_part = |short: &str| {
            let mut wholes = PARTS.iter().filter_map(|part| short.strip_suffix(part));
            wholes.any(|whole| has_family(whole) || has_family(&format!("{whole}_total")))
        };
        let short = |suffix| {
            let is_free = |short: &&str| !short.is_empty() && !has_family(short) && !is_part(short);
            let short = name.strip_suffix(suffix).filter(is_free)?;
            escaped.strip_suffix(suffix).map(|header| (short, header.len()))
        };
        let whole = escaped.len();
        let (word, header) = match kind {
            Kind::Counter => short("_total").map_or(("unknown", whole), |(_, header)| ("counter", header)),
            // Where there is a counter of the same short name, the header is the counter's.
            Kind::Info => match short("_info").filter(|_| facts.are_ones) {
                Some((short, header)) if !has_family(&format!("{short}_total")) => ("info", header),
                Some(_) | None => ("gauge", whole),
            },
            Kind::StateSet if facts.are_states => ("stateset", whole),
            Kind::StateSet | Kind::Gauge => ("gauge", whole),
            Kind::Summary => ("summary", whole),
            Kind::Histogram | Kind::GaugeHistogram => ("histogram", whole),
            Kind::Untyped => ("unknown", whole),
        };
        let of_header = if word == "counter" { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let has_created =
            matches!(word, "counter" | "summary" | "histogram") && !has_family(&format!("{of_header}_created"));
        Self { name: escaped, header, word, has_created, escaping }
    }

    /// Prints the lines before the samples.
    pub fn write_head(&self, out: &mut String, head: FamilyHead<'_>) {
        written(self.write_header(out, head));
    }

    /// Prints the lines of one metric.
    pub fn write(&self, out: &mut String, metric: &MetricRef<'_>) {
        written(self.write_metric(out, metric));
    }

    fn header(&self) -> &str {
        self.name.get(..self.header).unwrap_or(&self.name)
    }

    fn write_header(&self, out: &mut String, head: FamilyHead<'_>) -> fmt::Result {
        let mut name = String::new();
        write_name(&mut name, self.header(), is_metric_name)?;
        let has_help = !["", "\r"].contains(&head.help.trim_start_matches([' ', '\t']));
        if has_help {
            let help = head.help.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            writeln!(out, "# HELP {name} {help}")?;
        }
        writeln!(out, "# TYPE {name} {}", self.word)?;
        let is_plain = |c: u8| c == b'_' || c == b':' || c.is_ascii_alphanumeric();
        match unit_at_end(self.header(), head.unit).filter(|unit| unit.bytes().all(is_plain)) {
            Some(unit) if !matches!(self.word, "info" | "stateset") => writeln!(out, "# UNIT {name} {unit}")?,
            Some(_) | None => {}
        }
        Ok(())
    }

    fn write_metric(&self, out: &mut String, metric: &MetricRef<'_>) -> fmt::Result {
        let (extra, is_counter) = (metric.extra, self.word == "counter");
        match &*metric.value {
            Value::Number(number) => {
                let exemplar = extra.filter(|_| is_counter).and_then(|extra| extra.exemplars.first());
                self.line(out, metric, &self.name, None, |out| write_number(out, *number), exemplar)?;
            }
            Value::Summary(summary) => self.write_summary(out, metric, summary)?,
            Value::Histogram(histogram) => self.write_histogram(out, metric, histogram)?,
        }
        match extra.and_then(|extra| extra.created).filter(|created| self.has_created && created.is_line) {
            Some(created) => {
                let name = format!("{}_created", self.header());
                self.line(out, metric, &name, None, |out| seconds::write(out, created.at), None)
            }
            None => Ok(()),
        }
    }

    fn write_summary(&self, out: &mut String, metric: &MetricRef<'_>, summary: &Summary) -> fmt::Result {
        for (quantile, value) in &summary.quantiles {
            let inner = Some((QUANTILE_LABEL, *quantile));
            self.line(out, metric, &self.name, inner, |out| write_number(out, *value), None)?;
        }
        self.write_sum(out, metric, summary.sum, summary.count as f64)
    }

    /// The buckets stand in the order of their bounds, that for everything last.
    fn write_histogram(&self, out: &mut String, metric: &MetricRef<'_>, histogram: &Histogram) -> fmt::Result {
        let name = format!("{}_bucket", self.name);
        let exemplars = metric.extra.map(|extra| &extra.bucket_exemplars);
        let count = histogram.count.as_f64();
        let given = histogram.by_bound().into_iter();
        let mut buckets: Vec<_> = given
            .map(|(place, bound, count)| (bound, count.as_f64(), exemplars.and_then(|them| them.get(&place))))
            .collect();
        if buckets.last().is_none_or(|(bound, ..)| *bound != f64::INFINITY) {
            buckets.push((f64::INFINITY, count, None));
        }
        for (bound, count, exemplar) in buckets {
            let inner = Some((BUCKET_LABEL, bound));
            self.line(out, metric, &name, inner, |out| write_number(out, count), exemplar)?;
        }
        self.write_sum(out, metric, histogram.sum, count)
    }

    fn write_sum(&self, out: &mut String, metric: &MetricRef<'_>, sum: f64, count: f64) -> fmt::Result {
        for (suffix, value) in [("_sum", sum), ("_count", count)] {
            let name = format!("{}{suffix}", self.name);
            self.line(out, metric, &name, None, |out| write_number(out, value), None)?;
        }
        Ok(())
    }

    fn line(
        &self,
        out: &mut String,
        metric: &MetricRef<'_>,
        name: &str,
        inner: Option<(&str, f64)>,
        write_value: impl FnOnce(&mut String) -> fmt::Result,
        exemplar: Option<&Exemplar>,
    ) -> fmt::Result {
        let is_plain = is_metric_name(name);
        if is_plain {
            out.push_str(name);
        }
        let mut block = Block { out, is_open: false };
        if !is_plain {
            write_quoted(block.item(), name)?;
        }
        block.labels(&metric.labels, self.escaping)?;
        if let Some((label, bound)) = inner {
            write!(block.item(), "{label}=\"")?;
            write_canonical(block.out, bound)?;
            block.out.push('"');
        }
        block.close();
        out.push(' ');
        write_value(out)?;
        if let Some(timestamp) = metric.timestamp {
            out.push(' ');
            seconds::write_millis(out, timestamp)?;
        }
        if let Some(exemplar) = exemplar {
            self.write_exemplar(out, exemplar)?;
        }
        out.push('\n');
        Ok(())
    }

    /// One that no parser takes is left out: it is too long, or has two labels of one name, or one whose
    /// name is none, or U+0000 somewhere.
    fn write_exemplar(&self, out: &mut String, exemplar: &Exemplar) -> fmt::Result {
        let Exemplar { labels, value, timestamp } = exemplar;
        let names: BTreeSet<_> = labels.iter().map(|(name, _)| self.escaping.label_name(name)).collect();
        let values = || labels.iter().map(|(_, value)| value);
        let characters: usize = names.iter().map(|name| &**name).chain(values()).map(|text| text.chars().count()).sum();
        let has_nul = values().any(|value| value.contains('\0'));
        let is_name = |name: &str| NameValidation::Utf8.allows_label(name) && name != "__name__";
        let are_names = names.len() == labels.len() && names.iter().all(|name| is_name(name));
        if MOST_EXEMPLAR_CHARACTERS < characters || has_nul || !are_names {
            return Ok(());
        }
        out.push_str(" # ");
        if labels.is_empty() {
            out.push_str("{}");
        } else {
            let mut block = Block { out, is_open: false };
            block.labels(labels, self.escaping)?;
            block.close();
        }
        out.push(' ');
        write_number(out, *value)?;
        if let Some(timestamp) = timestamp {
            out.push(' ');
            seconds::write(out, *timestamp)?;
        }
        Ok(())
    }
}

// === impl Block ===

impl Block<'_> {
    /// Where the next item is to be written.
    fn item(&mut self) -> &mut String {
        self.out.push(if self.is_open { ',' } else { '{' });
        self.is_open = true;
        self.out
    }

    fn labels(&mut self, labels: &LabelSet, escaping: Escaping) -> fmt::Result {
        for (name, value) in labels.iter() {
            write_name(self.item(), &escaping.label_name(name), is_label_name)?;
            self.out.push('=');
            write_quoted(self.out, value)?;
        }
        Ok(())
    }

    fn close(self) {
        if self.is_open {
            self.out.push('}');
        }
    }
}

/// Prints a bound so that all who print it do it alike: as a float, with `.0` where there is neither point nor exponent.
fn write_canonical(out: &mut String, bound: f64) -> fmt::Result {
    let mut number = String::new();
    write_number(&mut number, bound)?;
    out.push_str(&number);
    if bound.is_finite() && !number.contains(['.', 'e']) {
        out.push_str(".0");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
