//! Times as OpenMetrics writes them: seconds since 1970, with as many decimals as it takes.
//!
//! They are read and printed as decimals, since a double has no room for nanoseconds.
//!
//! *Never:* what happened then.

use std::fmt::{self, Write};

use crate::exposition::{extra::Timestamp, text::number::parse_number};

const SECOND: i128 = 1_000_000_000;
const MILLISECOND: i128 = 1_000_000;

/// Reads a decimal number of seconds; what is finer than a nanosecond is cut off. `None` for anything else, and for
/// what is too far away.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let number = parse_number(text).filter(|number| number.is_finite())?;
    let has_exponent = text.contains(['e', 'E']);
    let shortest = if has_exponent { number.to_string() } else { String::new() };
    let decimal = if has_exponent { &shortest } else { text };
    let unsigned = decimal.strip_prefix(['+', '-']).unwrap_or(decimal);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let nanos = i128::from(whole) * SECOND + fraction;
    from_nanos(if decimal.starts_with('-') { -nanos } else { nanos })
}

/// The milliseconds of it, rounded down; `None` where they are too many.
pub(super) fn to_millis(time: Timestamp) -> Option<i64> {
    i64::try_from(to_nanos(time).div_euclid(MILLISECOND)).ok()
}

/// Prints a time.
pub(super) fn write(out: &mut String, time: Timestamp) -> fmt::Result {
    write_nanos(out, to_nanos(time))
}

/// Prints milliseconds since 1970.
pub(super) fn write_millis(out: &mut String, millis: i64) -> fmt::Result {
    write_nanos(out, i128::from(millis) * MILLISECOND)
}

fn from_nanos(nanos: i128) -> Option<Timestamp> {
    let seconds = i64::try_from(nanos.div_euclid(SECOND)).ok()?;
    Some(Timestamp { seconds, nanos: i32::try_from(nanos.rem_euclid(SECOND)).ok()? })
}

/// A time that is farther away than the reader goes, as other formats can say it, becomes the farthest.
fn to_nanos(time: Timestamp) -> i128 {
    let nanos = i128::from(time.seconds) * SECOND + i128::from(time.nanos);
    nanos.clamp(i128::from(i64::MIN) * SECOND, i128::from(i64::MAX) * SECOND)
}

fn write_nanos(out: &mut String, nanos: i128) -> fmt::Result {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.abs();
    write!(out, "{sign}{}", size / SECOND)?;
    if size % SECOND != 0 {
        let fraction = format!("{:09}", size % SECOND);
        write!(out, ".{}", fraction.trim_end_matches('0'))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(text: &str) -> String {
        let mut out = String::new();
        match parse(text) {
            Some(time) => write(&mut out, time).unwrap(),
            None => out.push_str("no time"),
        }
        out
    }

    #[test]
    fn decimals_are_read_to_the_nanosecond() {
        let rows = [
            ("0", "0"),
            ("-0", "0"),
            ("007", "7"),
            ("+1.", "1"),
            (".5", "0.5"),
            ("-1.5", "-1.5"),
            ("1795262426.381750341", "1795262426.381750341"),
            ("1795262426.3817503419", "1795262426.381750341"),
            ("1.7952624263817503e+09", "1795262426.3817503"),
            ("1.5E3", "1500"),
            ("1e-9", "0.000000001"),
            ("1e-10", "0"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "no time"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775808.1", "no time"),
            ("18446744073709551616", "no time"),
            ("1e300", "no time"),
            ("NaN", "no time"),
            ("+Inf", "no time"),
            ("", "no time"),
            ("1_0", "no time"),
        ];
        for (text, expected) in rows {
            assert_eq!(printed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn milliseconds_are_whole_and_before_1970_too() {
        let rows =
            [("1.0009", Some(1000)), ("-0.0005", Some(-1)), ("-1.5", Some(-1500)), ("9223372036854775807", None)];
        for (text, expected) in rows {
            assert_eq!(parse(text).and_then(to_millis), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_far_away_is_printed_as_the_farthest() {
        let rows = [
            (Timestamp { seconds: i64::MAX, nanos: i32::MAX }, "9223372036854775807"),
            (Timestamp { seconds: i64::MIN, nanos: -1 }, "-9223372036854775808"),
        ];
        for (time, expected) in rows {
            let mut out = String::new();
            write(&mut out, time).unwrap();
            assert_eq!((out.as_str(), parse(&out).is_some()), (expected, true));
        }
    }

    proptest! {
        #[test]
        fn a_printed_time_reads_back(seconds in i64::MIN..i64::MAX, nanos in 0..1_000_000_000) {
            let time = Timestamp { seconds, nanos };
            let mut out = String::new();
            write(&mut out, time).unwrap();
            prop_assert_eq!(parse(&out), Some(time));
        }

        #[test]
        fn printed_milliseconds_read_back(millis in any::<i64>()) {
            let mut out = String::new();
            write_millis(&mut out, millis).unwrap();
            prop_assert_eq!(parse(&out).and_then(to_millis), Some(millis));
        }
    }
}
