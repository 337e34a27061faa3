//! Quantiles of what was observed lately, and sum and count of all of it.
//!
//! The last eight to ten minutes are kept, as five sketches of two minutes each: the oldest goes as a whole. They age
//! when somebody looks or observes, so nothing ticks. A sketch knows a quantile to within a hundredth of it, and has an
//! upper bound for its size: 8 KiB.
//!
//! *Never:* what is observed, the clock.

use std::{collections::VecDeque, fmt, time::Duration};

use sketches_ddsketch::{Config, DDSketch};
use tokio::time::Instant;

use crate::exposition::Summary;

/// The quantiles that upstream shows.
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

const SLICE: Duration = Duration::from_secs(120);
const WINDOW: Duration = Duration::from_secs(600);

/// Bounds of a sketch: relative error, number of bins, smallest value that is told from zero.
const ACCURACY: f64 = 0.01;
const BINS: u32 = 1024;
const SMALLEST: f64 = 1e-9;

/// A sliding window over observations.
#[derive(Default)]
pub(super) struct Window {
    sum: f64,
    count: u64,
    /// From the oldest to the newest, each with the moment it began; none is empty.
    slices: VecDeque<(Instant, DDSketch)>,
}

// === impl Window ===

impl Window {
    pub(super) fn observe(&mut self, value: f64, now: Instant) {
        self.sum += value;
        self.count += 1;
        self.forget(now);
        match self.slices.back_mut().filter(|(began, _)| now.duration_since(*began) < SLICE) {
            Some((_, sketch)) => sketch.add(value),
            None => {
                let mut sketch = empty();
                sketch.add(value);
                self.slices.push_back((now, sketch));
            }
        }
    }

    /// Quantiles are `NaN` when the window is empty.
    pub(super) fn summary(&mut self, now: Instant) -> Summary {
        self.forget(now);
        let mut all = empty();
        for (_, sketch) in &self.slices {
            // Sketches of the same bounds always fit together.
            let merged = all.merge(sketch);
            debug_assert!(merged.is_ok());
        }
        let (least, most) = (all.min().unwrap_or(f64::NAN), all.max().unwrap_or(f64::NAN));
        let value =
            |quantile| all.quantile(quantile).ok().flatten().map_or(f64::NAN, |value| value.max(least).min(most));
        let quantiles = QUANTILES.iter().map(|quantile| (*quantile, value(*quantile))).collect();
        Summary { quantiles, sum: self.sum, count: self.count }
    }

    fn forget(&mut self, now: Instant) {
        while self.slices.pop_front_if(|(began, _)| WINDOW <= now.duration_since(*began)).is_some() {}
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("sum", &self.sum).field("count", &self.count).finish_non_exhaustive()
    }
}

fn empty() -> DDSketch {
    DDSketch::new(Config::new(ACCURACY, BINS, SMALLEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(summary: &Summary, expected: [f64; 3]) {
        for ((quantile, found), expected) in summary.quantiles.iter().zip(expected) {
            let is_right = (found - expected).abs() <= ACCURACY * expected || (found.is_nan() && expected.is_nan());
            assert!(is_right, "{quantile}: {found} instead of {expected}");
        }
        assert_eq!(summary.quantiles.iter().map(|(quantile, _)| *quantile).collect::<Vec<_>>(), QUANTILES);
    }

    #[test]
    fn quantiles_are_of_the_last_ten_minutes_and_sums_of_all_time() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::default();
        check(&window.summary(start), [f64::NAN; 3]);
        (1..=100).for_each(|value| window.observe(f64::from(value), start));
        check(&window.summary(after(599)), [10.0, 50.0, 90.0]);
        window.observe(1000.0, after(120));
        let summary = window.summary(after(600));
        check(&summary, [1000.0; 3]);
        assert_eq!((summary.sum, summary.count), (6050.0, 101));
        let summary = window.summary(after(720));
        check(&summary, [f64::NAN; 3]);
        assert_eq!((summary.sum, summary.count), (6050.0, 101));
    }

    #[test]
    fn whatever_is_observed_the_window_has_a_largest_size() {
        let start = Instant::now();
        let mut window = Window::default();
        for second in 0..3000 {
            let now = start + Duration::from_secs(second);
            for exponent in -12..=18 {
                window.observe(10_f64.powi(exponent), now);
            }
        }
        assert_eq!(window.slices.len(), 5);
        assert!(window.slices.iter().all(|(_, sketch)| sketch.length() <= 1024));
    }

    #[test]
    fn a_single_observation_is_every_quantile() {
        let now = Instant::now();
        let mut window = Window::default();
        window.observe(25.0, now);
        assert_eq!(window.summary(now).quantiles, QUANTILES.map(|quantile| (quantile, 25.0)));
    }

    #[test]
    fn an_observation_of_nothing_is_a_quantile_of_zero() {
        let now = Instant::now();
        let mut window = Window::default();
        window.observe(0.0, now);
        check(&window.summary(now), [0.0; 3]);
    }
}
