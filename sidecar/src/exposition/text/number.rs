//! Numbers as Go reads and prints them, which is what pushers and scrapers expect.
//!
//! *Never:* what a number stands for.

use std::fmt::{self, Write};

/// Reads a decimal number, `inf` or `nan`; `None` for anything else, and for what a double cannot hold.
pub(in crate::exposition) fn parse_number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number: f64 = text.parse().ok()?;
    let signed_nan = number.is_nan() && unsigned.len() < text.len();
    let too_large = number.is_infinite() && !unsigned.starts_with(['i', 'I']);
    if signed_nan || too_large { None } else { Some(number) }
}

/// Prints the shortest decimal that reads back as the same number, with an exponent where Go has one.
///
/// # Errors
/// Those of the writer.
pub fn write_number(out: &mut impl Write, number: f64) -> fmt::Result {
    if number == 0.0 {
        return out.write_char('0');
    }
    if number.is_nan() {
        return out.write_str("NaN");
    }
    if number.is_infinite() {
        return out.write_str(if number < 0.0 { "-Inf" } else { "+Inf" });
    }
    // Between these bounds the decimal exponent is from -4 to 5, as the shortest digits have it too.
    let size = number.abs();
    if (1e-4..1e6).contains(&size) {
        return write!(out, "{number}");
    }
    let mut shortest = Shortest::default();
    write!(shortest, "{number:e}")?;
    let shortest = shortest.as_str();
    let (digits, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    out.write_str(digits)?;
    out.write_char('e')?;
    out.write_char(sign)?;
    if exponent.len() < 2 {
        out.write_char('0')?;
    }
    out.write_str(exponent)
}

/// Room for the longest number there is, with an exponent.
#[derive(Default)]
struct Shortest {
    bytes: [u8; 32],
    length: usize,
}

// === impl Shortest ===

impl Shortest {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Write for Shortest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(number: f64) -> String {
        let mut out = String::new();
        write_number(&mut out, number).unwrap();
        out
    }

    #[test]
    fn numbers_are_printed_as_go_does() {
        let rows = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100_000.0, "100000"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e21, "1e+21"),
            (1e-300, "1e-300"),
            (1_790_000_000.125, "1.790000000125e+09"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (number, expected) in rows {
            assert_eq!(printed(number), expected);
        }
    }

    #[test]
    fn numbers_are_read_as_go_does() {
        for good in ["1", "+1", "-1", "1.", ".5", "007", "1e3", "1E+3", "inf", "+Inf", "-INFINITY", "NaN", "nan"] {
            assert!(parse_number(good).is_some(), "{good}");
        }
        for bad in ["", " 1", "0x1", "1_000", "1e400", "-1e400", "+NaN", "-nan", "1f", "e3", ".", "1\r", "0x1p-2"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
        assert_eq!(parse_number("1e-400"), Some(0.0));
    }

    proptest! {
        #[test]
        fn a_printed_number_reads_back(number in any::<f64>()) {
            let back = parse_number(&printed(number)).unwrap();
            prop_assert!(back == number || (back.is_nan() && number.is_nan()));
        }
    }
}
