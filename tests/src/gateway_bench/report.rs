//! What is printed: tables in Markdown, with what was to be reached.
//!
//! *Never:* how a figure came about.

use std::fmt::Write as _;

use super::compare::{Comparison, Rounds};

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    None,
}

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

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Given in bytes.
    Mebibytes,
    /// Given in seconds.
    Milliseconds,
    /// How many times as much.
    Times,
    /// A share of 1.
    Percent,
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

// === impl Goal ===

impl Goal {
    fn shown(self, unit: Unit, found: f64) -> String {
        let (is_met, goal) = match self {
            Self::None => return String::new(),
            Self::AtLeast(least) => (least <= found, format!("≥ {}", unit.shown(least))),
            Self::AtMost(most) => (found <= most, format!("≤ {}", unit.shown(most))),
        };
        format!("{goal}: {}", if is_met { "met" } else { "**not met**" })
    }
}

// === impl Unit ===

impl Unit {
    fn shown(self, number: f64) -> String {
        match self {
            Self::Mebibytes => format!("{} MiB", digits(number / MEBIBYTE)),
            Self::Milliseconds => format!("{} ms", digits(1000.0 * number)),
            Self::Times => format!("{} ×", digits(number)),
            Self::Percent => format!("{:.0} %", 100.0 * number),
        }
    }
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

/// Three digits or all before the point, with commas between thousands.
fn digits(number: f64) -> String {
    if number < 1.0 {
        return format!("{number:.3}");
    }
    if number < 100.0 {
        let places = if number < 10.0 { 2 } else { 1 };
        return format!("{number:.places$}");
    }
    let whole = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if 0 < place && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_all_before_the_point() {
        let shown = [0.1234, 1.239, 12.36, 123.6, 1234.5, 12_345.0, 1_234_567.0].map(digits);
        assert_eq!(shown, ["0.123", "1.24", "12.4", "124", "1,234", "12,345", "1,234,567"]);
    }

    #[test]
    fn a_goal_says_whether_it_is_met() {
        assert_eq!(Goal::AtLeast(0.6).shown(Unit::Percent, 0.6), "≥ 60 %: met");
        assert_eq!(Goal::AtLeast(0.6).shown(Unit::Percent, 0.599), "≥ 60 %: **not met**");
        let most = Goal::AtMost(6.0 * MEBIBYTE);
        assert_eq!(most.shown(Unit::Mebibytes, 5.9 * MEBIBYTE), "≤ 6.00 MiB: met");
        assert_eq!(most.shown(Unit::Mebibytes, 6.1 * MEBIBYTE), "≤ 6.00 MiB: **not met**");
        assert_eq!(Goal::None.shown(Unit::Times, 1.0), "");
    }

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
