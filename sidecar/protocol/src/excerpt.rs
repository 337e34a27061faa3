//! How much of a found text a sentence repeats.
//!
//! Sentences about malformed input go to clients and logs. What was found may be a whole body, and escaping makes it
//! several times larger, so everybody who quotes it quotes an [`Excerpt`].
//!
//! *Never:* what is wrong with the text.

use std::fmt::{self, Write};

/// So many characters of a text are repeated.
pub const MOST_CHARACTERS: usize = 80;

/// The start of a text, with `…` behind it if there is more. `{}` prints it as it is, but for control characters, which
/// are escaped, `{:?}` in quotes and escaped, with the `…` after the closing quote, so that it is not taken for a part
/// of the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt {
    start: String,
    is_cut: bool,
}

/// Takes so many characters and fails at the next, which ends the printing of what is longer.
struct Start {
    text: String,
    left: usize,
}

// === impl Excerpt ===

impl Excerpt {
    /// The start of what a value prints. Printing ends there, so a large value costs no more than a small one.
    pub fn of(value: impl fmt::Display) -> Self {
        let mut start = Start { text: String::new(), left: MOST_CHARACTERS };
        let is_cut = write!(start, "{value}").is_err();
        Self { start: start.text, is_cut }
    }

    fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cut { f.write_str("…") } else { Ok(()) }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.start.chars() {
            if c.is_control() { write!(f, "{}", c.escape_debug())? } else { f.write_char(c)? }
        }
        self.end(f)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.start)?;
        self.end(f)
    }
}

// === impl Start ===

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some((end, _)) = text.char_indices().nth(self.left) else {
            self.left -= text.chars().count();
            self.text.push_str(text);
            return Ok(());
        };
        self.left = 0;
        self.text.push_str(text.get(..end).unwrap_or_default());
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_repeated_whole() {
        let text = "ü".repeat(MOST_CHARACTERS);
        assert_eq!(Excerpt::of(&text).to_string(), text);
        assert_eq!(format!("{:?}", Excerpt::of("a\"\n")), "\"a\\\"\\n\"");
        assert_eq!(Excerpt::of("").to_string(), "");
    }

    #[test]
    fn control_characters_do_not_reach_a_log_or_a_terminal() {
        assert_eq!(Excerpt::of("{a=\"\0\u{1b}[2J\n\"}").to_string(), "{a=\"\\0\\u{1b}[2J\\n\"}");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let long = "ü".repeat(MOST_CHARACTERS + 1);
        let start = "ü".repeat(MOST_CHARACTERS);
        assert_eq!(Excerpt::of(&long).to_string(), format!("{start}…"));
        assert_eq!(format!("{:?}", Excerpt::of(&long)), format!("\"{start}\"…"));
    }

    #[test]
    fn a_value_that_prints_in_pieces_is_cut_between_and_within_them() {
        struct Pieces<'a>(&'a [&'a str]);
        impl fmt::Display for Pieces<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|piece| f.write_str(piece))
            }
        }
        let forty = "0123456789012345678901234567890123456789";
        let cut = |pieces: &[&str]| Excerpt::of(Pieces(pieces)).to_string();
        assert_eq!(cut(&[]), "");
        assert_eq!(cut(&[forty, forty]), format!("{forty}{forty}"));
        assert_eq!(cut(&[forty, forty, ""]), format!("{forty}{forty}"));
        assert_eq!(cut(&[forty, forty, "x"]), format!("{forty}{forty}…"));
        assert_eq!(cut(&[forty, "x", forty]), format!("{forty}x{}…", forty.get(..39).unwrap()));
    }
}
