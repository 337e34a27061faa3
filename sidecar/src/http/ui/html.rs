//! Texts and numbers as HTML has them.
//!
//! *Never:* what the page says.

use std::fmt::{self, Display, Write};

/// A text that is nothing but text, between tags and in quoted attributes.
pub(super) struct Text<T>(pub(super) T);

/// A number without an exponent.
pub(super) struct Plain(pub(super) f64);

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut after = special.chars();
            if let Some(special) = after.next() {
                write!(self.0, "&#{};", u32::from(special))?;
            }
            rest = after.as_str();
        }
        self.0.write_str(rest)
    }
}

impl Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            infinite if infinite.is_infinite() => f.write_str(if infinite < 0.0 { "-Inf" } else { "+Inf" }),
            number => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_opens_a_tag_or_ends_an_attribute() {
        let text = Text("<a href='x' title=\"y\">&amp;ü").to_string();
        assert_eq!(text, "&#60;a href=&#39;x&#39; title=&#34;y&#34;&#62;&#38;amp;ü");
    }

    #[test]
    fn numbers_have_no_exponent() {
        let rows = [
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (number, expected) in rows {
            assert_eq!(Plain(number).to_string(), expected);
        }
    }
}
