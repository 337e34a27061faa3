//! Durations as Go writes them (`30s`, `1h30m`, `1.5s`, `0`) and as Prometheus does (`90s`, `1h30m`, `7d`).
//!
//! *Never:* what lasts that long.

use std::{
    fmt::{self, Write},
    time::Duration,
};

const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// From the longest to the shortest, in milliseconds; each may come once, in this order.
const LONG_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// What Go's durations end at, about 292 years.
const LONGEST: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// As Go reads them.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let expected = || "a duration such as 30s or 1h30m".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(expected());
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let number: f64 = number.parse().map_err(|_| expected())?;
        let (_, factor) = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(expected)?;
        seconds += number * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= LONGEST).ok_or_else(too_long)
}

fn too_long() -> String {
    "a duration of at most 292 years".to_owned()
}

/// As Prometheus reads them, and longer than nothing: groups that are stale at once would never be scraped.
pub(crate) fn stale_after(text: &str) -> Result<Duration, String> {
    parse_long(text).filter(|duration| !duration.is_zero() && *duration <= LONGEST).ok_or_else(|| {
        "a duration longer than 0 and of at most 292 years, such as 1h30m or 7d, or nothing to keep groups".to_owned()
    })
}

/// As Go writes them.
pub(crate) fn shown(duration: Duration) -> String {
    let mut text = String::new();
    let written = write_shown(&mut text, duration);
    debug_assert!(written.is_ok());
    text
}

fn parse_long(text: &str) -> Option<Duration> {
    let (mut rest, mut millis, mut units) = (text, 0_u64, LONG_UNITS.iter());
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (_, scale) = units.find(|(known, _)| *known == unit)?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(*scale)?)?;
        rest = after;
    }
    Some(Duration::from_millis(millis))
}

fn write_shown(out: &mut impl Write, duration: Duration) -> fmt::Result {
    let whole = duration.as_secs();
    if whole == 0 {
        let nanos = f64::from(duration.subsec_nanos());
        return match nanos {
            0.0 => out.write_str("0s"),
            nanos if 1e6 <= nanos => write!(out, "{}ms", nanos / 1e6),
            nanos if 1e3 <= nanos => write!(out, "{}µs", nanos / 1e3),
            nanos => write!(out, "{nanos}ns"),
        };
    }
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if 0 < hours {
        write!(out, "{hours}h")?;
    }
    if 60 <= whole {
        write!(out, "{minutes}m")?;
    }
    write!(out, "{seconds}")?;
    let fraction = format!("{:09}", duration.subsec_nanos());
    match fraction.trim_end_matches('0') {
        "" => out.write_str("s"),
        digits => write!(out, ".{digits}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        let rows = [("0", 0), ("0s", 0), ("30s", 30_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("250ms", 250)];
        for (text, millis) in rows {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "30", "1d", "-1s", "1s ", "1..5s", "99999999999999999999h", "2562048h", "9223372037s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_end_where_gos_do() {
        assert_eq!(parse("2562047h"), Ok(Duration::from_hours(2_562_047)));
        assert_eq!(parse("5000000000000000h"), Err("a duration of at most 292 years".to_owned()));
        assert_eq!(stale_after("292y"), Ok(Duration::from_hours(292 * 365 * 24)));
    }

    #[test]
    fn durations_are_shown_as_go_does() {
        let rows = [
            ("0", "0s"),
            ("5m", "5m0s"),
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("100h", "100h0m0s"),
            ("1.5s", "1.5s"),
            ("1m0.25s", "1m0.25s"),
            ("250ms", "250ms"),
            ("1.5ms", "1.5ms"),
            ("20us", "20µs"),
            ("7ns", "7ns"),
        ];
        for (written, expected) in rows {
            assert_eq!(shown(parse(written).unwrap()), expected);
        }
    }

    #[test]
    fn a_group_goes_stale_after_a_duration_as_prometheus_writes_it() {
        let rows =
            [("90s", 90), ("1h30m", 5400), ("7d", 604_800), ("1w2d", 777_600), ("1y", 31_536_000), ("1d0h5m", 86_700)];
        for (text, seconds) in rows {
            assert_eq!(stale_after(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(stale_after("250ms"), Ok(Duration::from_millis(250)));
        for bad in [
            "",
            "0",
            "0s",
            "0d0h",
            "s",
            "30",
            "1h1d",
            "1h1h",
            "1.5h",
            "-1s",
            "1s ",
            "1µs",
            "99999999999999999y",
            "293y",
        ] {
            let error = stale_after(bad).unwrap_err();
            assert!(
                error.starts_with("a duration longer than 0 and of at most 292 years, such as 1h30m or 7d"),
                "{bad}"
            );
        }
    }
}
