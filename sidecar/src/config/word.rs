//! Values that are one word or one number.
//!
//! *Never:* which flag has it.

use tracing::level_filters::LevelFilter;

use crate::{store::Timestamps, telemetry};

/// The words that Go takes too.
pub(super) fn switch(word: &str) -> Result<bool, String> {
    match word {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

pub(super) fn level(word: &str) -> Result<LevelFilter, String> {
    match word {
        "debug" => Ok(LevelFilter::DEBUG),
        "info" => Ok(LevelFilter::INFO),
        "warn" => Ok(LevelFilter::WARN),
        "error" => Ok(LevelFilter::ERROR),
        _ => Err("debug, info, warn or error".to_owned()),
    }
}

pub(super) fn format(word: &str) -> Result<telemetry::Format, String> {
    match word {
        "logfmt" => Ok(telemetry::Format::Logfmt),
        "json" => Ok(telemetry::Format::Json),
        _ => Err("logfmt or json".to_owned()),
    }
}

pub(super) fn timestamps(word: &str) -> Result<Timestamps, String> {
    match word {
        "reject" => Ok(Timestamps::Reject),
        "strip" => Ok(Timestamps::Strip),
        "honor" | "honour" => Ok(Timestamps::Honor),
        _ => Err("reject, strip or honor".to_owned()),
    }
}

/// 0 is no limit.
pub(super) fn limit(number: &str) -> Result<usize, String> {
    let limit = number.parse().map_err(|_| "a whole number, or 0 for no limit".to_owned())?;
    Ok(if limit == 0 { usize::MAX } else { limit })
}
