//! Durations as Prometheus writes them: `90s`, `1h30m`, `7d`.
//!
//! *Never:* the clock, what a duration is for.

use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Units from the longest to the shortest, in milliseconds; each may come once, in this order.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The most digits of a number: what the API server takes has to be what we can read, or one object stops a watch.
const DIGITS: usize = 6;

/// What [`Duration`] accepts, for a CEL rule. An empty text fits and is refused by the schema's `minLength`.
pub const PATTERN: &str = "^([0-9]{1,6}y)?([0-9]{1,6}w)?([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?\
                           ([0-9]{1,6}ms)?$";

/// A duration that is written as Prometheus writes it and remembers how it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    text: String,
    length: time::Duration,
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError {
    found: String,
}

// === impl Duration ===

impl Duration {
    /// So many seconds, written as such.
    #[must_use]
    pub fn from_seconds(seconds: u64) -> Self {
        Self { text: format!("{seconds}s"), length: time::Duration::from_secs(seconds) }
    }

    /// How long it is.
    #[must_use]
    pub fn length(&self) -> time::Duration {
        self.length
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { found: text.to_owned() };
        let (mut rest, mut millis, mut units) = (text, 0_u64, UNITS.iter());
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
            let (number, after) = rest.split_at_checked(digits).filter(|_| digits <= DIGITS).ok_or_else(error)?;
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at_checked(letters).ok_or_else(error)?;
            let (_, scale) = units.find(|(name, _)| *name == unit).ok_or_else(error)?;
            let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale)).ok_or_else(error)?;
            millis = millis.checked_add(part).ok_or_else(error)?;
            rest = after;
        }
        if text.is_empty() {
            return Err(error());
        }
        Ok(Self { text: text.to_owned(), length: time::Duration::from_millis(millis) })
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.text
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('{PATTERN}')"),
                "message": "expected a duration such as 90s, 1h30m or 7d",
            }],
        })
    }
}

// === impl DurationError ===

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a duration such as 90s, 1h30m or 7d, found {:?}", self.found)
    }
}

impl std::error::Error for DurationError {}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, string::string_regex};

    use super::*;

    fn check(text: &str, millis: Option<u64>) {
        let found = text.parse::<Duration>().ok().map(|duration| duration.length());
        assert_eq!(found, millis.map(time::Duration::from_millis), "{text}");
    }

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        check("90s", Some(90_000));
        check("1h30m", Some(5_400_000));
        check("7d", Some(7 * 86_400_000));
        check("1y2w3d4h5m6s7ms", Some(33_019_506_007));
        check("0s", Some(0));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "1", "s", "1.5h", "-1h", "1m1h", "1h1h", "1x", "1 h", "1000000y"] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_api_server_takes_is_read(text in string_regex(PATTERN.trim_matches(['^', '$'])).unwrap()) {
            prop_assert_eq!(text.parse::<Duration>().is_ok(), !text.is_empty());
        }
    }

    #[test]
    fn a_duration_is_written_as_it_was_read() {
        let duration: Duration = serde_json::from_str("\"90m\"").unwrap();
        assert_eq!(serde_json::to_string(&duration).unwrap(), "\"90m\"");
    }
}
