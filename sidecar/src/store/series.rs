//! One series as it is kept.
//!
//! Nearly all are a number under classic names: of those there is the text of the page alone, without the metric's name,
//! and whoever wants labels or value reads them from it. All others are kept as values, with their lines where these are
//! the same under every escaping scheme.
//!
//! *Never:* groups, other series.

use std::{borrow::Cow, sync::Arc};

use protocol::{LabelSet, label_set::is_label_name};

use super::labels::{Labels, write_block};
use crate::exposition::{
    Escaping, Extra, Metric, MetricRef, Value,
    family::is_metric_name,
    text::{self, write_number},
};

/// A metric with all its labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Series {
    /// Labels, a blank, the number. Nothing at all for a push time: its labels and its number are its group's.
    Plain(Box<str>),
    Rich(Arc<Rich>),
}

/// A metric that is more than a number, or has a name that is not classic.
#[derive(Debug, PartialEq)]
pub(super) struct Rich {
    pub(super) labels: LabelSet,
    pub(super) value: Value,
    /// Milliseconds since 1970, where timestamps are honored and the sender gave one.
    pub(super) timestamp: Option<i64>,
    /// Absent where a name has to be escaped: then they differ from scheme to scheme.
    pub(super) lines: Option<Box<str>>,
    pub(super) extra: Option<Box<Extra>>,
}

/// Makes series of a family, with one buffer for all.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    name: &'a str,
    is_classic: bool,
    buffer: String,
}

// === impl Maker ===

impl<'a> Maker<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Self { name, is_classic: is_metric_name(name), buffer: String::new() }
    }

    /// The series of a metric, once it has these labels instead of its own.
    pub(super) fn series<'b, L: Iterator<Item = (&'b str, &'b str)>>(
        &mut self,
        labels: impl Fn() -> L,
        value: Value,
        timestamp: Option<i64>,
        extra: Option<Box<Extra>>,
    ) -> Series {
        if let Value::Number(number) = value
            && self.is_classic
            && timestamp.is_none()
            && extra.is_none()
            // In text, a zero has no sign.
            && !(number == 0.0 && number.is_sign_negative())
        {
            self.buffer.clear();
            if write_block(&mut self.buffer, labels()) {
                self.buffer.push(' ');
                let written = write_number(&mut self.buffer, number);
                debug_assert!(written.is_ok(), "a string grows as it needs to");
                return Series::Plain(self.buffer.as_str().into());
            }
        }
        let labels: LabelSet = labels().collect();
        let is_classic = self.is_classic && labels.iter().all(|(name, _)| is_label_name(name));
        let metric = Metric { labels, value, timestamp, extra };
        let lines = is_classic.then(|| {
            let mut lines = String::new();
            text::write_series(&mut lines, self.name, &(&metric).into(), Escaping::default());
            lines.into()
        });
        let Metric { labels, value, timestamp, extra } = metric;
        Series::Rich(Arc::new(Rich { labels, value, timestamp, lines, extra }))
    }
}

// === impl Series ===

impl Series {
    /// A push time.
    pub(super) fn time() -> Self {
        Self::default()
    }

    /// Those of a push time are its group's.
    pub(super) fn labels(&self) -> Labels<'_> {
        match self {
            Self::Plain(text) => Labels::Block(split(text).0),
            Self::Rich(rich) => Labels::Set(&rich.labels),
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Gives a plain series another number, which has no sign where it is zero. Returns whether it was another.
    pub(super) fn renumber(&mut self, number: &str) -> bool {
        let Self::Plain(text) = self else { return false };
        let Some(blank) = memchr::memrchr(b' ', text.as_bytes()) else { return false };
        if text.get(blank + 1..) == Some(number) {
            return false;
        }
        // One of the same length needs no other place.
        let mut other = String::from(std::mem::take(text));
        other.truncate(blank + 1);
        other.reserve_exact(number.len());
        other.push_str(number);
        *text = other.into();
        true
    }

    /// As whoever writes it down takes it.
    pub(super) fn metric(&self) -> MetricRef<'_> {
        match self {
            Self::Plain(text) => {
                let number = split(text).1.parse().unwrap_or_default();
                let (labels, value) = (self.labels().to_set(), Cow::Owned(Value::Number(number)));
                MetricRef { labels, value, timestamp: None, extra: None }
            }
            Self::Rich(rich) => rich.metric(),
        }
    }

    /// Whether it is written in the same way under every escaping scheme.
    pub(super) fn is_classic(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Rich(rich) => rich.lines.is_some(),
        }
    }

    /// Whether the same is true of what comes with the value.
    pub(super) fn has_classic_extra(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Rich(rich) => rich.extra.as_deref().is_none_or(Extra::is_classic),
        }
    }

    /// Whether it can stand where the other one stands, and nobody has to look at what is beside it.
    pub(super) fn fits_in_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(new), Self::Plain(old)) => {
                let (labels, _) = split(new);
                // Labels end with a brace, and a block is read from its start: no longer one starts like it.
                old.as_bytes().get(labels.len()) == Some(&b' ') && old.starts_with(labels)
            }
            (Self::Rich(new), Self::Rich(old)) => {
                new.labels == old.labels
                    && self.is_classic() == other.is_classic()
                    && self.has_classic_extra() == other.has_classic_extra()
            }
            (Self::Plain(_), Self::Rich(_)) | (Self::Rich(_), Self::Plain(_)) => false,
        }
    }
}

impl Default for Series {
    fn default() -> Self {
        Self::Plain(Box::default())
    }
}

/// Labels and number.
fn split(text: &str) -> (&str, &str) {
    text.rsplit_once(' ').unwrap_or((text, ""))
}

// === impl Rich ===

impl Rich {
    pub(super) fn metric(&self) -> MetricRef<'_> {
        let (labels, value) = (Cow::Borrowed(&self.labels), Cow::Borrowed(&self.value));
        MetricRef { labels, value, timestamp: self.timestamp, extra: self.extra.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(labels: &[(&str, &str)], number: f64) -> Series {
        let labels: LabelSet = labels.iter().copied().collect();
        Maker::new("x").series(|| labels.iter(), Value::Number(number), None, None)
    }

    #[test]
    fn a_plain_series_is_the_text_behind_the_name() {
        assert_eq!(series(&[("a", "b c\"")], 1.5), Series::Plain("{a=\"b c\\\"\"} 1.5".into()));
        assert!(matches!(series(&[("a.b", "")], 1.5), Series::Rich(_)));
        assert_eq!(size_of::<Series>(), 16);
    }

    #[test]
    fn a_series_stands_in_place_of_one_with_the_same_labels_alone() {
        let one = series(&[("a", "b")], 1.0);
        assert!(series(&[("a", "b")], 22.0).fits_in_place_of(&one));
        for other in [&[("a", "b"), ("c", "d")][..], &[("a", "")], &[("a", "b\"} 1")]] {
            assert!(!series(other, 1.0).fits_in_place_of(&one));
            assert!(!one.fits_in_place_of(&series(other, 1.0)));
        }
    }

    proptest! {
        #[test]
        fn labels_and_number_are_read_from_the_text(number in any::<f64>(), label in any::<String>()) {
            let series = series(&[("a", &label)], number);
            let metric = series.metric();
            prop_assert_eq!(metric.labels.get("a"), Some(&*label));
            let Value::Number(read) = *metric.value else { panic!("expected a number, found {:?}", metric.value) };
            prop_assert!(read.to_bits() == number.to_bits() || (read.is_nan() && number.is_nan()));
        }
    }
}
