//! Quantities of Kubernetes, such as `100m` or `64Mi`: read as whole thousandths, written in the canonical form.
//!
//! What is finer than a thousandth is rounded up, and what is beyond 64 bits is cut off there: so does the API server when
//! it compares quantities.
//!
//! *Never:* what is measured.

use std::fmt;

use serde_json::Value;

/// Thousandths in one.
pub const ONE: i128 = 1000;

/// The largest number of thousandths: whole numbers have 64 bits.
pub const MOST: i128 = i64::MAX as i128 * ONE;

/// As many digits of a number as count: all of any number that is not cut off anyway.
const DIGITS: u32 = 30;

/// The same before a power of two: with the largest they fit into 128 bits.
const DIGITS_OF_BINARY: u32 = 20;

const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

const BINARY_SUFFIXES: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// An amount, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// How much, in thousandths.
    pub thousandths: i128,
    /// How it is written.
    pub notation: Notation,
}

/// The family of suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// `100m`, `2k`.
    Decimal,
    /// `64Mi`.
    Binary,
    /// `1e3`.
    Exponent,
}

/// What stands behind the number.
struct Scale {
    power_of_ten: i32,
    power_of_two: u32,
    notation: Notation,
}

/// Reads a quantity of a raw object, where it may be a number too.
#[must_use]
pub fn read(value: &Value) -> Option<Amount> {
    match value {
        Value::String(text) => Amount::parse(text),
        Value::Number(number) => Amount::parse(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

// === impl Amount ===

impl Amount {
    /// Reads a quantity.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (-1, unsigned),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = unsigned.find(|character: char| !character.is_ascii_digit() && character != '.');
        let (number, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
        let Scale { power_of_ten, power_of_two, notation } = Scale::parse(suffix)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let (digits, dropped, is_exact) = significant(whole, fraction, power_of_two);
        // To thousandths.
        let power = i64::from(power_of_ten) + 3 + dropped;
        let shifted = digits.checked_mul(1_i128 << power_of_two);
        let size = shifted.map_or(MOST, |shifted| scaled(shifted, power, is_exact)).min(MOST);
        Some(Self { thousandths: sign * size, notation })
    }

    /// As it would be in this family of suffixes, all digits kept.
    fn canonical(self) -> String {
        let Self { thousandths, notation } = self;
        if notation == Notation::Binary && 1024 * ONE <= thousandths.abs() && thousandths % ONE == 0 {
            let (mut size, mut suffix) = (thousandths / ONE, "");
            for (larger, _) in BINARY_SUFFIXES {
                if size % 1024 != 0 {
                    break;
                }
                (size, suffix) = (size / 1024, larger);
            }
            return format!("{size}{suffix}");
        }
        let (mut size, mut power) = (thousandths, -3);
        while size != 0 && size % 1000 == 0 && power < 18 {
            (size, power) = (size / 1000, power + 3);
        }
        if size == 0 || power == 0 {
            return size.to_string();
        }
        match DECIMAL_SUFFIXES.iter().find(|(_, known)| *known == power) {
            Some((suffix, _)) if notation != Notation::Exponent => format!("{size}{suffix}"),
            Some(_) | None => format!("{size}e{power}"),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

// === impl Scale ===

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        if let Some((_, power)) = DECIMAL_SUFFIXES.iter().find(|(known, _)| *known == suffix) {
            return Some(Self { power_of_ten: *power, power_of_two: 0, notation: Notation::Decimal });
        }
        if let Some((_, power)) = BINARY_SUFFIXES.iter().find(|(known, _)| *known == suffix) {
            return Some(Self { power_of_ten: 0, power_of_two: *power, notation: Notation::Binary });
        }
        let power_of_ten = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        Some(Self { power_of_ten, power_of_two: 0, notation: Notation::Exponent })
    }
}

/// The first digits that count, the power of ten they stand for, and whether the rest is nothing.
fn significant(whole: &str, fraction: &str, power_of_two: u32) -> (i128, i64, bool) {
    let enough = 10_i128.pow(if power_of_two == 0 { DIGITS } else { DIGITS_OF_BINARY } - 1);
    let (mut digits, mut power, mut is_exact) = (0_i128, 0_i64, true);
    let places = whole.bytes().map(|byte| (byte, 0)).chain(fraction.bytes().map(|byte| (byte, 1)));
    for (byte, place) in places {
        let digit = i128::from(byte - b'0');
        if digits < enough {
            digits = digits * 10 + digit;
            power -= place;
        } else {
            is_exact &= digit == 0;
            power += 1 - place;
        }
    }
    (digits, power, is_exact)
}

/// A size times a power of ten, rounded up.
fn scaled(size: i128, power: i64, is_exact: bool) -> i128 {
    if size == 0 {
        return 0;
    }
    let factor = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10_i128.checked_pow(power));
    let rest = i128::from(!is_exact);
    match (factor, 0 <= power) {
        (Some(factor), true) => size.saturating_mul(factor).saturating_add(rest),
        (None, true) => MOST,
        (Some(factor), false) => (size + rest).div_euclid(factor) + i128::from((size + rest) % factor != 0),
        (None, false) => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, thousandths: i128, canonical: &str) {
        let amount = Amount::parse(text).unwrap_or_else(|| panic!("{text:?} is a quantity"));
        assert_eq!(amount.thousandths, thousandths, "{text}");
        assert_eq!(amount.to_string(), canonical, "{text}");
    }

    #[test]
    fn a_quantity_is_read_and_written_as_the_api_server_does() {
        for (text, thousandths, canonical) in [
            ("0", 0, "0"),
            ("0m", 0, "0"),
            ("1", 1000, "1"),
            ("+1", 1000, "1"),
            ("-1", -1000, "-1"),
            ("100m", 100, "100m"),
            ("1000m", 1000, "1"),
            ("1500m", 1500, "1500m"),
            ("0.1", 100, "100m"),
            (".5", 500, "500m"),
            ("5.", 5000, "5"),
            ("2000", 2_000_000, "2k"),
            ("1k", 1_000_000, "1k"),
            ("1M", 1_000_000_000, "1M"),
            ("1.5G", 1_500_000_000_000, "1500M"),
            ("1E", 1_000_000_000_000_000_000_000, "1E"),
            ("1e3", 1_000_000, "1e3"),
            ("1E3", 1_000_000, "1e3"),
            ("1500e-3", 1500, "1500e-3"),
            ("12e+1", 120_000, "120"),
            ("64Mi", 67_108_864_000, "64Mi"),
            ("0.5Gi", 536_870_912_000, "512Mi"),
            ("1536Ki", 1_572_864_000, "1536Ki"),
            ("1024Mi", 1_073_741_824_000, "1Gi"),
            ("1Ei", 1_152_921_504_606_846_976_000, "1Ei"),
            ("0.5Ki", 512_000, "512"),
            ("1025", 1_025_000, "1025"),
        ] {
            check(text, thousandths, canonical);
        }
    }

    #[test]
    fn what_is_too_fine_is_rounded_up_and_what_is_too_large_is_cut_off() {
        check("1n", 1, "1m");
        check("1u", 1, "1m");
        check("1000001u", 1001, "1001m");
        check("0.0001m", 1, "1m");
        check("1e-400", 1, "1e-3");
        check("0e-400", 0, "0");
        check("0.00000000000000000000000000000000000000000000000001", 1, "1m");
        check("1.00000000000000000000000000000000000000000000000001", 1001, "1001m");
        check("0.123456789012345678Ei", 142_335_986_942_043_632_727, "142335986942043632727m");
        for text in
            ["9223372036854775808", "1e400", "1e99999999", "99999999999999999999999999999999999999999999", "16Ei"]
        {
            assert_eq!(Amount::parse(text).map(|amount| amount.thousandths), Some(MOST), "{text}");
        }
        assert_eq!(Amount::parse("9223372036854775807").map(|amount| amount.thousandths), Some(MOST));
        assert_eq!(Amount::parse("-16Ei").map(|amount| amount.thousandths), Some(-MOST));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        let wrong = [
            "", " 1", "1 ", "m", ".", "-", "+", "1.1.M", "1+1", "0.1mi", "1i", "1K", "1mm", "1e", "1e1.5", "--1",
            "1kk", "NaN", "1_000", "１",
        ];
        for text in wrong {
            assert_eq!(Amount::parse(text), None, "{text:?}");
        }
        assert_eq!(read(&serde_json::json!(null)), None);
        assert_eq!(read(&serde_json::json!(0.5)).unwrap().to_string(), "500m");
        assert_eq!(read(&serde_json::json!(2)).unwrap().to_string(), "2");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(thousandths in -MOST..=MOST, notation in 0..3) {
            let notation = [Notation::Decimal, Notation::Binary, Notation::Exponent][usize::try_from(notation).unwrap()];
            let amount = Amount { thousandths, notation };
            let again = Amount::parse(&amount.to_string()).unwrap();
            prop_assert_eq!(again.thousandths, thousandths, "{}", amount);
            // Once canonical, always canonical.
            prop_assert_eq!(again.to_string(), amount.to_string());
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[-+]?[0-9.]{0,60}[numkMGTPEie+-]{0,3}[0-9]{0,12}") {
            let read = Amount::parse(&text);
            prop_assert!(read.is_none_or(|amount| amount.thousandths.abs() <= MOST));
        }
    }
}
