//! Moments as RFC 3339, in both directions; printed in UTC: `2026-01-02T03:04:05.6789Z`.
//!
//! The fraction that is printed is that of the shortest decimal that stands for the moment, cut at nanoseconds: a double has no more
//! than its digits. What is before 1970 or after 9999 is shown as the nearest moment in between.
//!
//! *Never:* the clock, time zones.

use std::fmt;

use jiff::{SignedDuration, Timestamp, civil::DateTime};

use crate::clock::UnixSeconds;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The last second that a year of four digits names with every offset.
const LAST: f64 = 253_402_207_200.0;

/// Prints a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rfc3339(pub(crate) UnixSeconds);

// === impl Rfc3339 ===

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = UnixSeconds(self.0.0.clamp(0.0, LAST));
        // Not a `Timestamp`: that ends a day before the year does, so that every time zone has all of them.
        let seconds = SignedDuration::from_secs(i64::try_from(moment.whole()).unwrap_or_default());
        let shown = EPOCH.checked_add(seconds).unwrap_or(EPOCH);
        write!(f, "{}", shown.strftime("%Y-%m-%dT%H:%M:%S"))?;
        let decimal = moment.0.to_string();
        let fraction = decimal.split_once('.').map_or("", |(_, fraction)| fraction);
        let nanos = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
        if !nanos.is_empty() {
            write!(f, ".{nanos}")?;
        }
        f.write_str("Z")
    }
}

/// Reads a moment with whatever offset it is written.
pub(crate) fn parse(written: &str) -> Option<UnixSeconds> {
    let moment: Timestamp = written.parse().ok()?;
    // By way of the decimal, which rounds once: nanoseconds since 1970 are more than a double can hold.
    let (sign, nanos) = (if moment.as_nanosecond() < 0 { "-" } else { "" }, moment.as_nanosecond().unsigned_abs());
    let decimal = format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    decimal.parse().ok().map(UnixSeconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_printed_with_the_digits_they_have() {
        let rows = [
            (0.0, "1970-01-01T00:00:00Z"),
            (951_782_400.0, "2000-02-29T00:00:00Z"),
            (951_868_799.5, "2000-02-29T23:59:59.5Z"),
            (1_709_164_800.0, "2024-02-29T00:00:00Z"),
            (1_767_323_045.678_901, "2026-01-02T03:04:05.678901Z"),
            (1_795_262_320.104_871_7, "2026-11-21T11:58:40.1048717Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00Z"),
            (0.000_000_001, "1970-01-01T00:00:00.000000001Z"),
            (0.000_000_000_1, "1970-01-01T00:00:00Z"),
            (253_402_207_200.0, "9999-12-30T22:00:00Z"),
        ];
        for (moment, expected) in rows {
            assert_eq!(Rfc3339(UnixSeconds(moment)).to_string(), expected);
        }
    }

    #[test]
    fn moments_that_cannot_be_written_are_the_nearest_that_can() {
        for (moment, expected) in [
            (-1.0, "1970-01-01T00:00:00Z"),
            (f64::NEG_INFINITY, "1970-01-01T00:00:00Z"),
            (f64::NAN, "1970-01-01T00:00:00Z"),
            (1e300, "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(Rfc3339(UnixSeconds(moment)).to_string(), expected, "{moment}");
        }
    }

    #[test]
    fn moments_are_read_with_any_offset() {
        let rows = [
            ("1970-01-01T00:00:00Z", Some(0.0)),
            ("2026-11-21T11:58:40.1048717Z", Some(1_795_262_320.104_871_7)),
            ("2026-11-21T13:58:40.5+02:00", Some(1_795_262_320.5)),
            ("2026-11-21T13:33:19.258171Z", Some(1_795_267_999.258_171)),
            ("1969-12-31T23:59:58.5Z", Some(-1.5)),
            ("yesterday", None),
        ];
        for (written, expected) in rows {
            assert_eq!(parse(written), expected.map(UnixSeconds), "{written}");
        }
    }
}
