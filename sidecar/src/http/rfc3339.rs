//! Moments as RFC 3339 in UTC: `2026-01-02T03:04:05.6789Z`.
//!
//! The fraction is that of the shortest decimal that stands for the moment, cut at nanoseconds: a double has no more
//! than its digits. What is before 1970 or after 9999 is shown as the nearest moment in between.
//!
//! *Never:* the clock, time zones.

use std::fmt;

use crate::clock::UnixSeconds;

/// The last second that four digits of a year can name.
const LAST: f64 = 253_402_300_799.0;

/// Prints a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rfc3339(pub(super) UnixSeconds);

// === impl Rfc3339 ===

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = UnixSeconds(self.0.0.clamp(0.0, LAST));
        let seconds = moment.whole();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let decimal = moment.0.to_string();
        let fraction = decimal.split_once('.').map_or("", |(_, fraction)| fraction);
        let nanos = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
        if !nanos.is_empty() {
            write!(f, ".{nanos}")?;
        }
        f.write_str("Z")
    }
}

/// Year, month and day of a day after 1970. Years are counted from March, so that a leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
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
            (253_402_300_799.0, "9999-12-31T23:59:59Z"),
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
            (1e300, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Rfc3339(UnixSeconds(moment)).to_string(), expected, "{moment}");
        }
    }
}
