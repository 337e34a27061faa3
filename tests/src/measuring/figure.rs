//! Figures of benchmarks: how they are written, and whether they are what they are to be.
//!
//! *Never:* how a figure came about.

/// Bytes in a MiB.
pub(crate) const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    None,
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Given in bytes.
    Mebibytes,
    /// Given in seconds.
    Milliseconds,
    /// Given in seconds.
    Seconds,
    /// A number of things.
    Number,
    /// A number of things in a second.
    PerSecond,
    /// How many times as much.
    Times,
    /// A share of 1.
    Percent,
    /// A share of 1, of which a thousandth counts.
    PerMille,
}

// === impl Goal ===

impl Goal {
    pub(crate) fn shown(self, unit: Unit, found: f64) -> String {
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
    pub(crate) fn shown(self, number: f64) -> String {
        match self {
            Self::Mebibytes => format!("{} MiB", digits(number / MEBIBYTE)),
            Self::Milliseconds => format!("{} ms", digits(1000.0 * number)),
            Self::Seconds => format!("{} s", digits(number)),
            Self::Number => whole(number),
            Self::PerSecond => format!("{} /s", digits(number)),
            Self::Times => format!("{} ×", digits(number)),
            Self::PerMille => format!("{:.1} %", 100.0 * number),
            Self::Percent => format!("{:.0} %", 100.0 * number),
        }
    }
}

/// Three digits, or all before the point with commas between thousands.
pub(crate) fn digits(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    if number < 1.0 {
        return format!("{number:.3}");
    }
    if number < 100.0 {
        let places = if number < 10.0 { 2 } else { 1 };
        return format!("{number:.places$}");
    }
    whole(number)
}

/// All digits before the point, with commas between thousands.
pub(crate) fn whole(number: f64) -> String {
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
        assert_eq!([digits(0.0), whole(7.0), whole(1234.5)], ["0", "7", "1,234"]);
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
}
