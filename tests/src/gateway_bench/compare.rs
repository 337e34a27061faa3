//! Ours against the bare server: by turns, so that what disturbs one disturbs the other, and in ratios of neighbours.
//!
//! *Never:* what is sent, what is to be reached.

use super::{
    server::Server,
    wrk::{Figures, Load, Wrk},
};

/// How often each is loaded; odd, so that there is a middle.
const ROUNDS: usize = 3;

/// How long a round takes.
const SECONDS: usize = 1;

/// Rounds of one server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rounds {
    figures: Vec<Figures>,
    /// Processor time of all rounds, in seconds.
    processor_time: f64,
}

/// Ours, and the bare server with one thread and with many.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) ours: Rounds,
    pub(super) bare: [Rounds; 2],
}

/// Loads ours and both bare servers by turns, each with the load for it.
pub(super) fn compare(
    wrk: &Wrk,
    ours: (&Server, &Load),
    bare: &[Server; 2],
    load: &Load,
) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison { ours: Rounds::none(), bare: [Rounds::none(), Rounds::none()] };
    for _ in 0..ROUNDS {
        comparison.ours.add(wrk, ours.0, ours.1, SECONDS)?;
        for (rounds, server) in comparison.bare.iter_mut().zip(bare) {
            rounds.add(wrk, server, load, SECONDS)?;
        }
    }
    Ok(comparison)
}

/// The one in the middle, or the mean of both; 0 of none.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    let around = numbers.get(half.saturating_sub(1 - numbers.len() % 2)..=half).unwrap_or_default();
    if around.is_empty() { 0.0 } else { around.iter().sum::<f64>() / around.len() as f64 }
}

// === impl Rounds ===

impl Rounds {
    pub(super) fn none() -> Self {
        Self { figures: Vec::new(), processor_time: 0.0 }
    }

    pub(super) fn add(&mut self, wrk: &Wrk, server: &Server, load: &Load, seconds: usize) -> anyhow::Result<()> {
        let before = server.processor_time()?;
        self.figures.push(wrk.run(load, server.address, seconds)?);
        self.processor_time += server.processor_time()? - before;
        Ok(())
    }

    /// Answers in a second, in the middle round.
    pub(super) fn rate(&self) -> f64 {
        self.middle(Figures::rate)
    }

    /// In milliseconds, in the middle round.
    pub(super) fn p50(&self) -> f64 {
        self.middle(|figures| figures.p50)
    }

    /// In milliseconds, in the middle round.
    pub(super) fn p99(&self) -> f64 {
        self.middle(|figures| figures.p99)
    }

    /// Seconds of a processor for ten thousand answers.
    pub(super) fn cost(&self) -> f64 {
        10_000.0 * self.processor_time / self.figures.iter().map(|figures| figures.requests).sum::<f64>()
    }

    fn middle(&self, of: impl Fn(Figures) -> f64) -> f64 {
        median(self.figures.iter().copied().map(of).collect())
    }
}

// === impl Comparison ===

impl Comparison {
    /// The bare server that is faster here.
    pub(super) fn faster(&self) -> &Rounds {
        let [one, many] = &self.bare;
        if one.rate() < many.rate() { many } else { one }
    }

    /// Ours by the faster bare server: the middle of the ratios of neighbouring rounds.
    pub(super) fn ratio(&self) -> f64 {
        let pairs = self.ours.figures.iter().zip(&self.faster().figures);
        median(pairs.map(|(ours, bare)| ours.rate() / bare.rate()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(requests: &[f64]) -> Rounds {
        let figures = |requests: &f64| Figures { requests: *requests, seconds: 1.0, p50: 1.0, p99: 2.0 };
        Rounds { figures: requests.iter().map(figures).collect(), processor_time: 0.5 }
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn the_ratio_goes_by_neighbouring_rounds_against_the_faster_server() {
        let ours = rounds(&[60.0, 35.0, 90.0]);
        let comparison = Comparison { ours, bare: [rounds(&[100.0, 50.0, 100.0]), rounds(&[1.0, 2.0, 3.0])] };
        assert_eq!(comparison.faster().rate(), 100.0);
        // 0.6, 0.7 and 0.9: the machine was half as fast in the second round.
        assert_eq!(comparison.ratio(), 0.7);
    }

    #[test]
    fn the_cost_is_of_ten_thousand_answers() {
        assert_eq!(rounds(&[1000.0, 4000.0]).cost(), 1.0);
    }
}
