//! Measurements: DataKit's way to name what a series is of, as a label beside the metric's name.
//!
//! The measurement is a fixed name, else the job, else what the metric's name has before its first `_`. Only in that
//! last case may the metric lose it from its name. The rule is about single pushes: with names cut short, `a_x` and
//! `b_x` are both `x`, and a POST of the one takes the place of the other.
//!
//! *Never:* flags, the store, other labels.

use std::collections::HashMap;

use protocol::{Excerpt, GroupingKey, series::is_push_time};

use super::family::{MetricFamily, is_metric_name, last_of_each_name};

/// The label that holds the measurement.
pub const MEASUREMENT_LABEL: &str = "measurement";

/// Measurement and metric where a name has nothing else to offer.
const UNKNOWN: &str = "unknown";

/// How measurements are named. The default is DataKit's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The measurement of everything; `None` or empty: no fixed one.
    pub name: Option<String>,
    /// Whether the job is the measurement, where there is no fixed one.
    pub job_as_measurement: bool,
    /// Whether a metric keeps the part of its name that became its measurement.
    pub keep_metric_name: bool,
}

/// Why a push cannot be named so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasurementError {
    /// Two families would have one name.
    #[error(
        "expected metric names that differ once their measurements are split off, found {:?} for both {:?} and {:?}",
        Excerpt::of(.name),
        Excerpt::of(.first),
        Excerpt::of(.second)
    )]
    SameName {
        /// That name.
        name: String,
        /// A family as pushed.
        first: String,
        /// The other one as pushed.
        second: String,
    },
    /// What is left is no name.
    #[error(
        "expected a metric name that is one without its measurement too, found {:?}, of which {:?} is left",
        Excerpt::of(.pushed),
        Excerpt::of(.left)
    )]
    BadName {
        /// The family as pushed.
        pushed: String,
        /// What is left of its name.
        left: String,
    },
    /// A label of that name tells something else.
    #[error(
        "expected no label `measurement` on {:?} but {:?}, found {:?}, maybe in the grouping key",
        Excerpt::of(.family),
        Excerpt::of(.measurement),
        Excerpt::of(.found)
    )]
    OtherMeasurement {
        /// The family as pushed.
        family: String,
        /// Its measurement.
        measurement: String,
        /// What the label tells.
        found: String,
    },
}

/// A measurement and the name that is left to the metric.
type Named<'a> = (&'a str, &'a str);

// === impl Naming ===

impl Naming {
    /// Names the measurement of each family of a push to that key. The two push times are left as they are.
    ///
    /// # Errors
    /// The first family that cannot be named.
    pub fn apply(&self, key: &GroupingKey, families: Vec<MetricFamily>) -> Result<Vec<MetricFamily>, MeasurementError> {
        let mut families = last_of_each_name(families);
        // What each name was before.
        let mut taken = HashMap::with_capacity(families.len());
        for family in &mut families {
            if is_push_time(&family.name) {
                continue;
            }
            let pushed = family.name.clone();
            let (measurement, name) = self.named(key.job(), &pushed);
            check_name(&pushed, name)?;
            if let Some(first) = taken.insert(name.to_owned(), pushed.clone()) {
                return Err(MeasurementError::SameName { name: name.to_owned(), first, second: pushed });
            }
            set(key, family, measurement)?;
            name.clone_into(&mut family.name);
            if family.head().shown_unit().is_none() {
                family.unit.clear();
            }
        }
        Ok(families)
    }

    fn named<'a>(&'a self, job: &'a str, metric: &'a str) -> Named<'a> {
        let fixed = self.name.as_deref().filter(|name| !name.is_empty());
        let job = Some(job).filter(|job| self.job_as_measurement && !job.is_empty());
        match fixed.or(job) {
            Some(measurement) => (measurement, metric),
            None => split(metric, self.keep_metric_name),
        }
    }
}

impl Default for Naming {
    fn default() -> Self {
        Self { name: None, job_as_measurement: false, keep_metric_name: true }
    }
}

/// DataKit's rule to the letter: a single character is not enough of a name.
fn split(metric: &str, keeps_name: bool) -> Named<'_> {
    let stripped = metric.trim_start_matches('_');
    if stripped.len() <= 1 {
        return (UNKNOWN, UNKNOWN);
    }
    match stripped.split_once('_') {
        None => (stripped, stripped),
        Some((before, "")) => (before, before),
        Some((before, _)) if keeps_name => (before, stripped),
        Some((before, after)) => (before, after),
    }
}

/// A name that was legal has to stay so, and must not become one that the gateway overwrites.
fn check_name(pushed: &str, left: &str) -> Result<(), MeasurementError> {
    if is_push_time(left) || is_metric_name(pushed) && !is_metric_name(left) {
        return Err(MeasurementError::BadName { pushed: pushed.to_owned(), left: left.to_owned() });
    }
    Ok(())
}

fn set(key: &GroupingKey, family: &mut MetricFamily, measurement: &str) -> Result<(), MeasurementError> {
    let of_the_key = key.labels().get(MEASUREMENT_LABEL);
    let of_series = family.metrics.iter().filter_map(|metric| metric.labels.get(MEASUREMENT_LABEL));
    if let Some(found) = of_the_key.into_iter().chain(of_series).find(|found| *found != measurement) {
        let (family, measurement, found) = (family.name.clone(), measurement.to_owned(), found.to_owned());
        return Err(MeasurementError::OtherMeasurement { family, measurement, found });
    }
    for metric in &mut family.metrics {
        metric.labels.insert(MEASUREMENT_LABEL, measurement);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
