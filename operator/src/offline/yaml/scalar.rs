//! What an unquoted word means to `kubectl`: it reads YAML 1.1, where `on` is true and `0644` is 420, and `serde_yaml`
//! reads 1.2, where both are words. Pure.
//!
//! *Never:* where a word stands, and whether it is quoted.

use serde_yaml::{Number, Value};

/// What a word is that `serde_yaml` takes for a string; `None` where it is one to `kubectl` as well.
#[must_use]
pub fn kubectl_reads(word: &str) -> Option<Value> {
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(Value::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(Value::Bool(false)),
        _ if word.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) => number(word),
        _ => None,
    }
}

/// Digits may have `_` between them, and a zero before them makes them octal.
fn number(word: &str) -> Option<Value> {
    let plain = word.replace('_', "");
    let (sign, digits) = match plain.strip_prefix(['+', '-']) {
        Some(digits) => (plain.get(..1).unwrap_or_default(), digits),
        None => ("", plain.as_str()),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some(two) if two.starts_with('0') && two.ends_with(|second: char| second.is_ascii_digit()) => {
            (8, digits.get(1..)?)
        }
        Some(_) | None => (10, digits),
    };
    if digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        if let Ok(whole) = i64::from_str_radix(&format!("{sign}{digits}"), radix) {
            return Some(Value::Number(whole.into()));
        }
        if let (false, Ok(whole)) = (sign == "-", u64::from_str_radix(digits, radix)) {
            return Some(Value::Number(whole.into()));
        }
    }
    is_decimal(&plain).then(|| plain.parse().ok()).flatten().filter(|float: &f64| float.is_finite()).map(float)
}

/// Whether it is digits with at most one point and one exponent.
fn is_decimal(plain: &str) -> bool {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

fn float(float: f64) -> Value {
    Value::Number(Number::from(float))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_yaml_1_1_are_what_kubectl_makes_of_them() {
        for (word, expected) in [
            ("on", Value::from(true)),
            ("Off", Value::from(false)),
            ("y", Value::from(true)),
            ("NO", Value::from(false)),
            ("0644", Value::from(420)),
            ("-012", Value::from(-10)),
            ("08", float(8.0)),
            ("00", Value::from(0)),
            ("1_000", Value::from(1000)),
            ("1_000.5", float(1000.5)),
            ("0X1f", Value::from(31)),
            ("0o_17", Value::from(15)),
            ("+0B11", Value::from(3)),
            ("01777777777777777777777", Value::from(u64::MAX)),
        ] {
            assert_eq!(kubectl_reads(word), Some(expected), "{word}");
        }
    }

    #[test]
    fn other_words_are_words() {
        for word in [
            "oN",
            "yes!",
            "1.2.3",
            "2026-01-01",
            "1:30",
            "-",
            "+-1",
            "0x",
            "0xg",
            "0b2",
            "1e",
            "_1",
            "a1",
            "1e999",
            "1__a",
        ] {
            assert_eq!(kubectl_reads(word), None, "{word}");
        }
    }
}
