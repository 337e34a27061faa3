//! JSON in the spelling of upstream's: compact, and safe to stand in HTML.
//!
//! *Never:* what is written.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

/// Writes `<`, `>`, `&` and the two line separators of Unicode as escapes, and all else as `serde_json` does.
struct Spelling;

/// The value as JSON.
pub(super) fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// Writes the value behind what is there.
pub(super) fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    // Memory takes everything, and all keys of ours are texts.
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(out, Spelling));
    debug_assert!(written.is_ok(), "{written:?}");
}

// === impl Spelling ===

impl Formatter for Spelling {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut after = special.chars();
            if let Some(special) = after.next() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_upstream_has_them() {
        let text = "a<b>&\"\\/\u{2028}\u{2029}\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}ü";
        let expected = r#""a\u003cb\u003e\u0026\"\\/\u2028\u2029\n\r\t\b\f\u0001\u001f"#.to_owned() + "\u{7f}ü\"";
        assert_eq!(String::from_utf8(to_bytes(&text)).unwrap(), expected);
    }
}
