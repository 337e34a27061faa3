//! Families, their metrics and values, and the order in which they are shown.
//!
//! One metric is one member of a family: a whole histogram or summary is one metric. What only some formats can carry,
//! such as native buckets and exemplars, comes with it as [`Extra`].
//!
//! *Never:* bytes.

use std::{borrow::Cow, cmp::Ordering, collections::HashSet, fmt};

use protocol::{LabelSet, NameValidation, label_set::is_in_label_name};

use super::extra::Extra;

/// The label that tells the buckets of a histogram apart.
pub const BUCKET_LABEL: &str = "le";

/// The label that tells the quantiles of a summary apart.
pub const QUANTILE_LABEL: &str = "quantile";

/// One metric name with its type, help and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The name, without the suffixes of histograms and summaries.
    pub name: String,
    /// What the metric means; empty when nobody said.
    pub help: String,
    /// What it is measured in; empty when nobody said.
    pub unit: String,
    /// The type of every metric in the family.
    pub kind: Kind,
    /// In the order they were written.
    pub metrics: Vec<Metric>,
}

/// What is said of a family before its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyHead<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it means; empty when nobody said.
    pub help: &'a str,
    /// What it is measured in; empty when nobody said.
    pub unit: &'a str,
    /// Its type.
    pub kind: Kind,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Only ever goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Quantiles, sum and count.
    Summary,
    /// Nobody said what it is; also a type of its own.
    Untyped,
    /// Buckets, sum and count.
    Histogram,
    /// A histogram whose buckets may go down; shown as a histogram.
    GaugeHistogram,
    /// Texts that stay, as labels of a 1; shown as a gauge where the format has no word for it.
    Info,
    /// States that are on or off, a metric each; shown as a gauge where the format has no word for it.
    StateSet,
}

/// One member of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// All labels but `le` and `quantile`, which are part of the value.
    pub labels: LabelSet,
    /// What was measured.
    pub value: Value,
    /// Milliseconds since 1970, where the sender gave it.
    pub timestamp: Option<i64>,
    /// What comes with the value; `None` for nearly all.
    pub extra: Option<Box<Extra>>,
}

/// A metric that somebody else keeps, or that was read from what they keep.
#[derive(Clone, Debug)]
pub struct MetricRef<'a> {
    /// All labels.
    pub labels: Cow<'a, LabelSet>,
    /// What was measured.
    pub value: Cow<'a, Value>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// What comes with the value.
    pub extra: Option<&'a Extra>,
}

/// What was measured. Which one it is follows from the family's [`Kind`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter, a gauge, or something untyped.
    Number(f64),
    /// Of a summary.
    Summary(Summary),
    /// Of a histogram or gauge histogram.
    Histogram(Histogram),
}

/// The value of a summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Quantile and value, in the order given.
    pub quantiles: Vec<(f64, f64)>,
    /// Sum of all observations.
    pub sum: f64,
    /// Number of observations.
    pub count: u64,
}

/// The value of a histogram: sum, count and the classic buckets, of which a native one has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound and cumulative count, in the order given; a bucket for `+Inf` need not be among them.
    pub buckets: Vec<(f64, Count)>,
    /// Sum of all observations.
    pub sum: f64,
    /// Number of observations.
    pub count: Count,
}

/// How many observations: whole, or a float where a sender counts in fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// A whole number.
    Integer(u64),
    /// Anything else from 0 on, infinity too.
    Float(f64),
}

/// Whether a metric may have that name.
#[must_use]
pub fn allows_metric(names: NameValidation, name: &str) -> bool {
    match names {
        NameValidation::Legacy => is_metric_name(name),
        NameValidation::Utf8 => !name.is_empty() && !name.contains('\0'),
    }
}

/// Whether a name is a metric name that every Prometheus accepts: a letter, `_` or `:`, then also digits.
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && name.bytes().all(is_in_metric_name)
}

/// Whether a byte may be in a metric name, though not each of them may be the first.
pub(super) fn is_in_metric_name(byte: u8) -> bool {
    byte == b':' || is_in_label_name(byte)
}

/// Of families of one name the last takes the place of those before it, as upstream has it for protobuf.
#[must_use]
pub fn last_of_each_name(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    let mut names = HashSet::with_capacity(families.len());
    let mut is_last: Vec<_> = families.iter().rev().map(|family| names.insert(family.name.as_str())).collect();
    if is_last.contains(&false) {
        families.retain(|_| is_last.pop().unwrap_or(true));
    }
    families
}

/// The order in which the metrics of a family are shown: fewer labels first, then by the label values, bytewise. The
/// names decide only where all values are equal, so that no two different sets are.
#[must_use]
pub fn compare_labels(left: &LabelSet, right: &LabelSet) -> Ordering {
    let values = || left.iter().map(|(_, value)| value).cmp(right.iter().map(|(_, value)| value));
    let names = || left.iter().map(|(name, _)| name).cmp(right.iter().map(|(name, _)| name));
    left.len().cmp(&right.len()).then_with(values).then_with(names)
}

/// The unit, where a name ends with it, behind a `_`: readers refuse a page that gives it to any other name.
#[must_use]
pub fn unit_at_end<'a>(name: &str, unit: &'a str) -> Option<&'a str> {
    let before = name.strip_suffix(unit).filter(|_| !unit.is_empty())?;
    before.ends_with('_').then_some(unit)
}

// === impl MetricFamily ===

impl MetricFamily {
    /// What is said before its metrics.
    #[must_use]
    pub fn head(&self) -> FamilyHead<'_> {
        FamilyHead { name: &self.name, help: &self.help, unit: &self.unit, kind: self.kind }
    }
}

// === impl FamilyHead ===

impl<'a> FamilyHead<'a> {
    /// The unit, where the name ends with it; of a counter, before `_total`.
    #[must_use]
    pub fn shown_unit(&self) -> Option<&'a str> {
        let counted = self.name.strip_suffix("_total").filter(|_| self.kind == Kind::Counter);
        unit_at_end(counted.unwrap_or(self.name), self.unit)
    }
}

// === impl Kind ===

impl Kind {
    /// All kinds, by the word that stands in a `TYPE` line; several words may mean one kind.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("counter", Self::Counter),
        ("gauge", Self::Gauge),
        ("summary", Self::Summary),
        ("untyped", Self::Untyped),
        ("histogram", Self::Histogram),
        ("gauge_histogram", Self::GaugeHistogram),
        ("gaugehistogram", Self::GaugeHistogram),
    ];

    /// The kind a word means, whatever its letter case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, kind)| *kind)
    }

    /// The suffixes that metrics of this kind put behind the family's name.
    #[must_use]
    pub fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Summary => &["_sum", "_count"],
            Self::Histogram | Self::GaugeHistogram => &["_sum", "_count", "_bucket"],
            Self::Counter | Self::Gauge | Self::Untyped | Self::Info | Self::StateSet => &[],
        }
    }

    /// The label that a metric of this kind cannot have of its own.
    #[must_use]
    pub fn inner_label(self) -> Option<&'static str> {
        match self {
            Self::Summary => Some(QUANTILE_LABEL),
            Self::Histogram | Self::GaugeHistogram => Some(BUCKET_LABEL),
            Self::Counter | Self::Gauge | Self::Untyped | Self::Info | Self::StateSet => None,
        }
    }

    /// The type that a format shows which knows neither info nor stateset. Families of one name have to agree in it.
    #[must_use]
    pub fn shown(self) -> Self {
        match self {
            Self::Info | Self::StateSet => Self::Gauge,
            Self::Counter | Self::Gauge | Self::Summary | Self::Untyped | Self::Histogram | Self::GaugeHistogram => {
                self
            }
        }
    }

    /// The value of a metric of which nothing is known yet.
    #[must_use]
    pub fn zero(self) -> Value {
        match self {
            Self::Summary => Value::Summary(Summary::default()),
            Self::Histogram | Self::GaugeHistogram => Value::Histogram(Histogram::default()),
            Self::Counter | Self::Gauge | Self::Untyped | Self::Info | Self::StateSet => Value::Number(0.0),
        }
    }
}

/// Prints the word of the `TYPE` line. Gauge histograms have none that every scraper knows: they pass as histograms.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info | Self::StateSet => "gauge",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
            Self::Histogram | Self::GaugeHistogram => "histogram",
        })
    }
}

// === impl MetricRef ===

impl<'a> From<&'a Metric> for MetricRef<'a> {
    fn from(metric: &'a Metric) -> Self {
        let Metric { labels, value, timestamp, extra } = metric;
        let (labels, value) = (Cow::Borrowed(labels), Cow::Borrowed(value));
        Self { labels, value, timestamp: *timestamp, extra: extra.as_deref() }
    }
}

// === impl Histogram ===

impl Histogram {
    /// The buckets in the order of their bounds, each with its place: readers take the first one for `+Inf` as the last.
    #[must_use]
    pub fn by_bound(&self) -> Vec<(usize, f64, Count)> {
        let buckets = self.buckets.iter().enumerate();
        let mut sorted: Vec<_> = buckets.map(|(place, (bound, count))| (place, *bound, *count)).collect();
        sorted.sort_by(|(_, left, _), (_, right, _)| left.total_cmp(right));
        sorted
    }

    /// Where one count is a float, all of them are.
    pub fn unify_counts(&mut self) {
        let counts = || self.buckets.iter().map(|(_, count)| *count).chain([self.count]);
        if counts().any(|count| matches!(count, Count::Float(_))) {
            self.count = Count::Float(self.count.as_f64());
            for (_, count) in &mut self.buckets {
                *count = Count::Float(count.as_f64());
            }
        }
    }
}

// === impl Count ===

impl Count {
    /// Takes a number as a count; `None` if it is negative or NaN.
    #[must_use]
    pub fn from_f64(number: f64) -> Option<Self> {
        const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
        if number < 0.0 || number.is_nan() {
            return None;
        }
        if number.fract() != 0.0 || TOO_LARGE <= number {
            return Some(Self::Float(number));
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and within the range, as asked above")]
        Some(Self::Integer(number as u64))
    }

    /// The count as it is shown.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Integer(count) => count as f64,
            Self::Float(count) => count,
        }
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::Integer(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_labels_come_first_then_values_decide() {
        let set = |labels: &[(&str, &str)]| labels.iter().copied().collect::<LabelSet>();
        let mut sets = [
            set(&[("a", "1"), ("b", "1")]),
            set(&[("z", "0")]),
            set(&[("a", "1")]),
            set(&[]),
            set(&[("b", "1")]),
            set(&[("a", "0"), ("z", "9")]),
        ];
        sets.sort_by(compare_labels);
        let shown: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let expected = ["{}", r#"{z="0"}"#, r#"{a="1"}"#, r#"{b="1"}"#, r#"{a="0",z="9"}"#, r#"{a="1",b="1"}"#];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_unit_is_shown_where_the_name_ends_with_it() {
        let shown = |name, unit, kind| FamilyHead { name, help: "", unit, kind }.shown_unit();
        assert_eq!(shown("x_seconds", "seconds", Kind::Gauge), Some("seconds"));
        assert_eq!(shown("x_seconds_total", "seconds", Kind::Counter), Some("seconds"));
        assert_eq!(shown("x_seconds", "seconds", Kind::Counter), Some("seconds"));
        for (name, unit, kind) in [
            ("x_seconds_total", "seconds", Kind::Gauge),
            ("x_seconds_total", "total", Kind::Counter),
            ("x_milliseconds", "seconds", Kind::Gauge),
            ("seconds", "seconds", Kind::Gauge),
            ("x.seconds", "seconds", Kind::Gauge),
            ("x_", "", Kind::Gauge),
        ] {
            assert_eq!(shown(name, unit, kind), None, "{name} {unit}");
        }
    }

    #[test]
    fn whole_numbers_are_integer_counts_and_others_floats() {
        assert_eq!(Count::from_f64(3.0), Some(Count::Integer(3)));
        assert_eq!(Count::from_f64(3.5), Some(Count::Float(3.5)));
        assert_eq!(Count::from_f64(1e300), Some(Count::Float(1e300)));
        assert_eq!(Count::from_f64(f64::NAN), None);
        assert_eq!(Count::from_f64(f64::INFINITY), Some(Count::Float(f64::INFINITY)));
        assert_eq!(Count::from_f64(-1.0), None);
    }

    #[test]
    fn one_float_count_makes_all_of_the_histogram_float() {
        let mut histogram = Histogram { buckets: vec![(1.0, Count::Float(0.5))], sum: 0.0, count: Count::Integer(2) };
        histogram.unify_counts();
        assert_eq!(histogram.count, Count::Float(2.0));
    }
}
