//! Which family a line belongs to, and what it adds there.
//!
//! *Never:* text.

use super::{
    Count, HashMap, Kind, LabelSet, Limit, Limits, Malformed, Metric, MetricFamily, Quoted, Sample, Value, parse_number,
};

/// The families of a body so far, in the order of their first lines.
pub(super) struct Families<'a> {
    families: Vec<Family>,
    by_name: HashMap<String, usize>,
    series: usize,
    limits: &'a Limits,
}

pub(in crate::exposition) struct Family {
    pub(in crate::exposition) name: String,
    pub(in crate::exposition) help: String,
    /// Known from a `TYPE` line, or untyped with the first sample.
    pub(in crate::exposition) kind: Option<Kind>,
    pub(in crate::exposition) metrics: Vec<Metric>,
    /// Where a metric stands whose lines are several; empty for the other kinds.
    by_labels: HashMap<LabelSet, usize>,
}

/// What the line of a histogram or summary is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::exposition) enum Part {
    /// A bucket or a quantile.
    Inner,
    Sum,
    Count,
}

// === impl Families ===

impl<'a> Families<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { families: Vec::new(), by_name: HashMap::new(), series: 0, limits }
    }

    pub(super) fn help(&mut self, name: &str, help: String) -> Result<(), Malformed> {
        self.limits.check(Limit::Help, help.len())?;
        let family = self.family_of(name)?;
        if !family.help.is_empty() {
            return Err(Malformed::SecondHelp(family.name.clone()));
        }
        family.help = help;
        Ok(())
    }

    pub(super) fn kind(&mut self, name: &str, word: &str) -> Result<(), Malformed> {
        let family = self.family_of(name)?;
        if !family.metrics.is_empty() {
            return Err(Malformed::LateType(family.name.clone()));
        }
        if family.kind.is_some() {
            return Err(Malformed::SecondType(family.name.clone()));
        }
        family.kind = Some(Kind::from_word(word).ok_or_else(|| Malformed::Type(Quoted(word.to_owned())))?);
        Ok(())
    }

    pub(super) fn add(&mut self, sample: Sample) -> Result<(), Malformed> {
        self.limits.check_labels(&sample.labels)?;
        let family = self.family_of(&sample.name)?;
        let before = family.metrics.len();
        family.add(sample)?;
        self.series += family.metrics.len() - before;
        Ok(self.limits.check(Limit::Series, self.series)?)
    }

    pub(super) fn finish(self) -> Vec<MetricFamily> {
        let filled = self.families.into_iter().filter(|family| !family.metrics.is_empty());
        filled.map(Family::finish).collect()
    }

    /// The family of that name; else the summary, else the histogram, that the name is a part of; else a new one.
    fn family_of(&mut self, name: &str) -> Result<&mut Family, Malformed> {
        let known = self.by_name.get(name).copied();
        let found = known.or_else(|| self.suffixed(name, &[Kind::Summary]));
        let found = found.or_else(|| self.suffixed(name, &[Kind::Histogram, Kind::GaugeHistogram]));
        let index = match found {
            Some(index) => index,
            None => {
                let next = self.families.len();
                self.limits.check(Limit::MetricName, name.len())?;
                // Those without series take their room too.
                self.limits.check(Limit::Series, next + 1)?;
                self.by_name.insert(name.to_owned(), next);
                self.families.push(Family::new(name));
                next
            }
        };
        #[expect(clippy::indexing_slicing, reason = "indices come from this vector, which only grows")]
        Ok(&mut self.families[index])
    }

    fn suffixed(&self, name: &str, kinds: &[Kind]) -> Option<usize> {
        let suffixes = kinds.first()?.suffixes();
        let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).filter(|base| !base.is_empty())?;
        let index = *self.by_name.get(base)?;
        let kind = self.families.get(index)?.kind?;
        kinds.contains(&kind).then_some(index)
    }
}

// === impl Family ===

impl Family {
    pub(in crate::exposition) fn new(name: &str) -> Self {
        let (help, metrics, by_labels) = Default::default();
        Self { name: name.to_owned(), help, kind: None, metrics, by_labels }
    }

    fn add(&mut self, sample: Sample) -> Result<(), Malformed> {
        let part = match sample.name.strip_prefix(&self.name) {
            Some("_sum") => Part::Sum,
            Some("_count") => Part::Count,
            _ => Part::Inner,
        };
        self.add_part(part, sample).map(drop)
    }

    /// Adds a sample and returns the metric that it is now, or is now a part of. The part matters only where a metric
    /// has several.
    pub(in crate::exposition) fn add_part(&mut self, part: Part, mut sample: Sample) -> Result<&mut Metric, Malformed> {
        let kind = *self.kind.get_or_insert(Kind::Untyped);
        let Some(label) = kind.inner_label() else {
            let Sample { labels, value, timestamp, .. } = sample;
            let metric = Metric { labels, value: Value::Number(value), timestamp, extra: None };
            return Ok(self.metrics.push_mut(metric));
        };
        let bound = sample.labels.remove(label);
        let bound = match (part, bound) {
            (Part::Sum | Part::Count, None) => 0.0,
            (Part::Sum | Part::Count, Some(_)) => return Err(Malformed::BoundOfAll { label, name: sample.name }),
            (Part::Inner, None) => return Err(Malformed::NoBound { label, kind: inner_name(kind) }),
            (Part::Inner, Some(found)) => match parse_number(&found) {
                Some(bound) if !bound.is_nan() => bound,
                Some(_) | None => return Err(Malformed::Bound { label, found }),
            },
        };
        let metric = self.metric_of(kind, sample.labels);
        metric.timestamp = metric.timestamp.or(sample.timestamp);
        let count = || Count::from_f64(sample.value).ok_or_else(|| Malformed::Count(Quoted(sample.written.clone())));
        match (&mut metric.value, part) {
            (Value::Number(number), _) => *number = sample.value,
            (Value::Summary(summary), Part::Inner) => summary.quantiles.push((bound, sample.value)),
            (Value::Summary(summary), Part::Sum) => summary.sum = sample.value,
            (Value::Summary(summary), Part::Count) => summary.count = whole(sample.value, &sample.written)?,
            (Value::Histogram(histogram), Part::Inner) => histogram.buckets.push((bound, count()?)),
            (Value::Histogram(histogram), Part::Sum) => histogram.sum = sample.value,
            (Value::Histogram(histogram), Part::Count) => histogram.count = count()?,
        }
        Ok(metric)
    }

    pub(in crate::exposition) fn finish(mut self) -> MetricFamily {
        for metric in &mut self.metrics {
            if let Value::Histogram(histogram) = &mut metric.value {
                histogram.unify_counts();
            }
        }
        let kind = self.kind.unwrap_or(Kind::Untyped);
        MetricFamily { name: self.name, help: self.help, unit: String::new(), kind, metrics: self.metrics }
    }

    fn metric_of(&mut self, kind: Kind, labels: LabelSet) -> &mut Metric {
        let next = self.metrics.len();
        let index = *self.by_labels.entry(labels.clone()).or_insert(next);
        if index == next {
            self.metrics.push(Metric { labels, value: kind.zero(), timestamp: None, extra: None });
        }
        #[expect(clippy::indexing_slicing, reason = "indices come from this vector, which only grows")]
        &mut self.metrics[index]
    }
}

fn inner_name(kind: Kind) -> &'static str {
    if kind == Kind::Summary { "summary's quantile" } else { "histogram's bucket" }
}

/// A summary counts in whole numbers; a fraction is cut off.
fn whole(count: f64, written: &str) -> Result<u64, Malformed> {
    match Count::from_f64(count).and_then(|count| Count::from_f64(count.as_f64().trunc())) {
        Some(Count::Integer(count)) => Ok(count),
        Some(Count::Float(_)) | None => Err(Malformed::SummaryCount(Quoted(written.to_owned()))),
    }
}
