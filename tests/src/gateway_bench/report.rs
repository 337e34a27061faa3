//! What is printed: tables in Markdown, with what was to be reached.
//!
//! *Never:* how a figure came about.

use std::fmt::Write as _;

use super::compare::{Comparison, Rounds};
use crate::measuring::figure::{Goal, MEBIBYTE, Unit, digits};

/// A line of a table of loads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) comparison: Comparison,
    /// Of the ratio to the bare server.
    pub(super) goal: Goal,
    /// Memory of ours afterwards, in bytes.
    pub(super) memory: f64,
    /// The same load on the reference.
    pub(super) reference: Option<Rounds>,
}

/// A line of the table of single figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) what: String,
    pub(super) ours: f64,
    pub(super) unit: Unit,
    pub(super) goal: Goal,
    pub(super) reference: Option<f64>,
}

/// The tables, as they are gathered.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) pushes: Vec<Line>,
    pub(super) scrapes: Vec<Line>,
    pub(super) facts: Vec<Fact>,
    /// What could not be measured, and why.
    pub(super) gaps: Vec<String>,
}

// === impl Line ===

impl Line {
    fn shown(&self) -> String {
        let Self { what, comparison, goal, memory, reference } = self;
        let (ours, [one, many], ratio) = (&comparison.ours, &comparison.bare, comparison.ratio());
        let reference = reference.as_ref().map_or_else(|| "–".to_owned(), |reference| digits(reference.rate()));
        format!(
            "| {what} | {} | {} / {} | {} | {} | {} / {} | {} | {:.2} / {:.2} | {reference} |\n",
            digits(ours.rate()),
            digits(one.rate()),
            digits(many.rate()),
            Unit::Percent.shown(ratio),
            goal.shown(Unit::Percent, ratio),
            digits(ours.p50()),
            digits(ours.p99()),
            digits(memory / MEBIBYTE),
            ours.cost(),
            comparison.faster().cost(),
        )
    }
}

// === impl Fact ===

impl Fact {
    fn shown(&self) -> String {
        let Self { what, ours, unit, goal, reference } = self;
        let reference = reference.map_or_else(|| "–".to_owned(), |reference| unit.shown(reference));
        format!("| {what} | {} | {} | {reference} |\n", unit.shown(*ours), goal.shown(*unit, *ours))
    }
}

// === impl Report ===

impl Report {
    /// All tables, those without a line left out.
    pub(super) fn shown(&self, reference: &str) -> String {
        let mut out = String::new();
        for (what, lines) in [("Pushes", &self.pushes), ("Scrapes", &self.scrapes)] {
            if !lines.is_empty() {
                let written = write!(
                    out,
                    "\n| {what} | ours /s | bare /s, one thread / many | ours to the faster bare | to reach | \
                     p50 / p99 ms | RSS MiB | CPU s per 10,000, ours / bare | {reference} /s |\n\
                     | --- | --: | --: | --: | --- | --: | --: | --: | --: |\n"
                );
                debug_assert!(written.is_ok());
                lines.iter().for_each(|line| out.push_str(&line.shown()));
            }
        }
        if !self.facts.is_empty() {
            let written = write!(out, "\n| Figures | ours | to reach | {reference} |\n| --- | --: | --- | --: |\n");
            debug_assert!(written.is_ok());
            self.facts.iter().for_each(|fact| out.push_str(&fact.shown()));
        }
        for gap in &self.gaps {
            out.push_str(&format!("\nNot measured: {gap}.\n"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_without_a_counterpart_has_a_dash_there() {
        let goal = Goal::AtMost(0.01);
        let fact = Fact { what: "start".to_owned(), ours: 0.004, unit: Unit::Milliseconds, goal, reference: None };
        let report = Report { facts: vec![fact], gaps: vec!["x, since y".to_owned()], ..Report::default() };
        let expected = "\n| Figures | ours | to reach | Pushgateway |\n| --- | --: | --- | --: |\n\
                        | start | 4.00 ms | ≤ 10.0 ms: met | – |\n\nNot measured: x, since y.\n";
        assert_eq!(report.shown("Pushgateway"), expected);
    }
}
