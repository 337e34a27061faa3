//! How much a push may contain, and by how much one exceeds it.
//!
//! The decoders hold the limits while they read: what is small on the wire is many times larger once it is read, and
//! larger again on the page, where each line has the name and all labels.
//!
//! *Never:* flags' values, HTTP, what is stored.

use protocol::LabelSet;

use super::{
    extra::{Extra, NativeBuckets},
    family::{Metric, MetricFamily, Value},
};

/// What a line of the page has beside name and labels: the longest number, a suffix, blanks.
const LINE_BYTES: usize = 40;

/// What a label of the page has beside name and value.
const LABEL_BYTES: usize = 4;

/// The limits; `usize::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series of a push; a histogram or a summary is one.
    pub series: usize,
    /// Labels of a series, and of the grouping key.
    pub labels: usize,
    /// Bytes of the name of a label.
    pub label_name_bytes: usize,
    /// Bytes of the value of a label.
    pub label_value_bytes: usize,
    /// Bytes of the name of a metric.
    pub metric_name_bytes: usize,
    /// Bytes of help or unit.
    pub help_bytes: usize,
    /// Buckets, quantiles, spans and exemplars, with their labels, of one histogram or summary.
    pub buckets: usize,
    /// Bytes that a push takes on the page, about.
    pub page_bytes: usize,
}

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// See [`Limits::series`].
    Series,
    /// See [`Limits::labels`].
    Labels,
    /// See [`Limits::label_name_bytes`].
    LabelName,
    /// See [`Limits::label_value_bytes`].
    LabelValue,
    /// See [`Limits::metric_name_bytes`].
    MetricName,
    /// See [`Limits::help_bytes`].
    Help,
    /// See [`Limits::buckets`].
    Buckets,
    /// See [`Limits::page_bytes`].
    Page,
}

/// What was found beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {at_most} {}, found {found}; `{}` sets the limit", .limit.of_what(), .limit.flag())]
pub struct Excess {
    /// Which one.
    pub limit: Limit,
    /// What it is.
    pub at_most: usize,
    /// What there is, or a part of it that is too much already.
    pub found: usize,
}

// === impl Limits ===

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        series: usize::MAX,
        labels: usize::MAX,
        label_name_bytes: usize::MAX,
        label_value_bytes: usize::MAX,
        metric_name_bytes: usize::MAX,
        help_bytes: usize::MAX,
        buckets: usize::MAX,
        page_bytes: usize::MAX,
    };

    /// Whether so much of something is allowed.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, limit: Limit, found: usize) -> Result<(), Excess> {
        let at_most = match limit {
            Limit::Series => self.series,
            Limit::Labels => self.labels,
            Limit::LabelName => self.label_name_bytes,
            Limit::LabelValue => self.label_value_bytes,
            Limit::MetricName => self.metric_name_bytes,
            Limit::Help => self.help_bytes,
            Limit::Buckets => self.buckets,
            Limit::Page => self.page_bytes,
        };
        if at_most < found { Err(Excess { limit, at_most, found }) } else { Ok(()) }
    }

    /// Whether a series, or a grouping key, may have these labels.
    ///
    /// # Errors
    /// The first excess.
    pub fn check_labels(&self, labels: &LabelSet) -> Result<(), Excess> {
        self.check(Limit::Labels, labels.len())?;
        labels.iter().try_for_each(|(name, value)| {
            self.check(Limit::LabelName, name.len())?;
            self.check(Limit::LabelValue, value.len())
        })
    }

    /// Whether families that were read may be as large as they are, on a page where each series has the labels of the
    /// key too.
    ///
    /// # Errors
    /// The first excess.
    pub fn check_families(&self, key: &LabelSet, families: &[MetricFamily]) -> Result<(), Excess> {
        let key = label_bytes(key);
        let mut page = 0_usize;
        for MetricFamily { name, help, unit, metrics, .. } in families {
            page = page.saturating_add(name.len() + help.len() + unit.len());
            for Metric { labels, value, extra, .. } in metrics {
                let parts = parts(value, extra.as_deref());
                self.check(Limit::Buckets, parts)?;
                let line = name.len() + label_bytes(labels) + key + LINE_BYTES;
                // A histogram has a sum, a count and a last bucket, whatever else it has.
                let lines = if matches!(value, Value::Number(_)) { 1 } else { parts.saturating_add(3) };
                page = page.saturating_add(line.saturating_mul(lines));
                self.check(Limit::Page, page)?;
            }
        }
        self.check(Limit::Page, page)
    }
}

fn label_bytes(labels: &LabelSet) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len() + LABEL_BYTES).sum()
}

/// Buckets and quantiles.
fn parts(value: &Value, extra: Option<&Extra>) -> usize {
    let of_side = |side: &NativeBuckets| side.deltas.len() + side.counts.len();
    let native = extra.and_then(|extra| extra.native.as_ref());
    let native = native.map_or(0, |native| of_side(&native.negative) + of_side(&native.positive));
    match value {
        Value::Number(_) => 0,
        Value::Summary(summary) => summary.quantiles.len(),
        Value::Histogram(histogram) => histogram.buckets.len() + native,
    }
}

impl Default for Limits {
    /// Those of a process alone.
    fn default() -> Self {
        Self {
            series: 1_000_000,
            labels: 128,
            label_name_bytes: 1024,
            label_value_bytes: 16 * 1024,
            metric_name_bytes: 1024,
            help_bytes: 16 * 1024,
            buckets: 10_000,
            page_bytes: 256 * 1024 * 1024,
        }
    }
}

// === impl Limit ===

impl Limit {
    /// The flag that sets it.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Series => "--push.max-series",
            Self::Labels => "--push.max-labels",
            Self::LabelName => "--push.max-label-name-bytes",
            Self::LabelValue => "--push.max-label-value-bytes",
            Self::MetricName => "--push.max-metric-name-bytes",
            Self::Help => "--push.max-help-bytes",
            Self::Buckets => "--push.max-buckets",
            Self::Page => "--push.max-page-bytes",
        }
    }

    fn of_what(self) -> &'static str {
        match self {
            Self::Series => "series in a push",
            Self::Labels => "labels on a series or in the grouping key",
            Self::LabelName => "bytes as name of a label",
            Self::LabelValue => "bytes as value of a label",
            Self::MetricName => "bytes as name of a metric",
            Self::Help => "bytes as help or unit",
            Self::Buckets => "buckets, quantiles and the like of a histogram or summary",
            Self::Page => "bytes that a push takes on the page",
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::NameValidation;

    use super::*;
    use crate::exposition::{openmetrics, text};

    fn texts(limits: &Limits, body: &str) -> [String; 2] {
        let names = NameValidation::Legacy;
        let old = text::decode_within(body.as_bytes(), names, limits).map(drop);
        let new = openmetrics::decode_within(body.as_bytes(), names, limits).map(drop);
        let told = |result: Result<(), String>| result.err().unwrap_or_default();
        [told(old.map_err(|error| error.to_string())), told(new.map_err(|error| error.to_string()))]
    }

    #[track_caller]
    fn check(limits: Limits, fits: &str, exceeds: &str, sentence: &str) {
        assert_eq!(texts(&limits, fits), ["", ""]);
        for told in texts(&limits, exceeds) {
            assert!(told.ends_with(&format!(": {sentence}")), "{told}");
        }
    }

    #[test]
    fn texts_are_read_up_to_each_limit_and_no_further() {
        check(
            Limits { series: 2, ..Limits::NONE },
            "a 1\nb 1\n",
            "a 1\nb 1\nc 1\n",
            "expected at most 2 series in a push, found 3; `--push.max-series` sets the limit",
        );
        check(
            Limits { labels: 1, ..Limits::NONE },
            "a{b=\"1\"} 1\n",
            "a{b=\"1\",c=\"1\"} 1\n",
            "expected at most 1 labels on a series or in the grouping key, found 2; `--push.max-labels` sets the limit",
        );
        check(
            Limits { label_name_bytes: 2, ..Limits::NONE },
            "a{bb=\"1\"} 1\n",
            "a{bbb=\"1\"} 1\n",
            "expected at most 2 bytes as name of a label, found 3; `--push.max-label-name-bytes` sets the limit",
        );
        check(
            Limits { label_value_bytes: 2, ..Limits::NONE },
            "a{b=\"11\"} 1\n",
            "a{b=\"111\"} 1\n",
            "expected at most 2 bytes as value of a label, found 3; `--push.max-label-value-bytes` sets the limit",
        );
        check(
            Limits { metric_name_bytes: 2, ..Limits::NONE },
            "aa 1\n",
            "aaa 1\n",
            "expected at most 2 bytes as name of a metric, found 3; `--push.max-metric-name-bytes` sets the limit",
        );
        check(
            Limits { help_bytes: 2, ..Limits::NONE },
            "# HELP a bb\na 1\n",
            "# HELP a bbb\na 1\n",
            "expected at most 2 bytes as help or unit, found 3; `--push.max-help-bytes` sets the limit",
        );
    }

    #[test]
    fn a_histogram_is_one_series_however_many_lines_it_has() {
        let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        assert_eq!(texts(&Limits { series: 1, ..Limits::NONE }, body), ["", ""]);
    }

    #[test]
    fn families_without_series_count_too() {
        let limits = Limits { series: 1, ..Limits::NONE };
        let sentence = "expected at most 1 series in a push, found 2; `--push.max-series` sets the limit";
        check(limits, "# TYPE a gauge\n", "# TYPE a gauge\n# TYPE b gauge\n", sentence);
        check(limits, "# HELP a a\n", "# HELP a a\n# HELP b b\n", sentence);
    }

    fn families(body: &str) -> Vec<MetricFamily> {
        text::decode(body.as_bytes(), NameValidation::Legacy).unwrap()
    }

    #[test]
    fn every_line_of_the_page_counts_with_its_name_and_all_its_labels() {
        let key: LabelSet = [("job", "j".repeat(93))].into_iter().collect();
        let check = |body: &str, found: usize| {
            let limits = |page_bytes| Limits { page_bytes, ..Limits::NONE };
            assert_eq!(limits(found).check_families(&key, &families(body)), Ok(()), "{body}");
            let excess = Excess { limit: Limit::Page, at_most: found - 1, found };
            assert_eq!(limits(found - 1).check_families(&key, &families(body)), Err(excess), "{body}");
        };
        check("a 1\n", 1 + 1 + 100 + 40);
        check("a{b=\"12345\"} 1\na{b=\"1\"} 1\n", 1 + 2 * (1 + 100 + 40) + 10 + 6);
        let histogram = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        check(histogram, 1 + 5 * (1 + 100 + 40));
    }

    #[test]
    fn buckets_and_quantiles_have_a_limit() {
        let limits = Limits { buckets: 1, ..Limits::NONE };
        let check = |body: &str| limits.check_families(&LabelSet::new(), &families(body));
        assert_eq!(check("# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"), Ok(()));
        let excess = Excess { limit: Limit::Buckets, at_most: 1, found: 2 };
        assert_eq!(check("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\n"), Err(excess));
        assert_eq!(check("# TYPE s summary\ns{quantile=\"0.1\"} 1\ns{quantile=\"0.9\"} 1\n"), Err(excess));
        assert_eq!(
            excess.to_string(),
            "expected at most 1 buckets, quantiles and the like of a histogram or summary, found 2; \
             `--push.max-buckets` sets the limit"
        );
    }
}
