//! Outlines of bodies in the text format.
//!
//! A line is a comment, or it is empty, or a number stands at its end, behind a blank. Lines that begin or end in any
//! other way have to be read.
//!
//! *Never:* labels.

use super::{Outlined, Outliner};
use crate::exposition::{Format, text::number::parse_number};

// === impl Outliner ===

impl Outliner {
    /// Outlines a body; `None` where it has to be read.
    #[must_use]
    pub fn text<'a>(&self, body: &'a [u8]) -> Option<Outlined<'a>> {
        let text = std::str::from_utf8(body).ok()?;
        let mut draft = self.draft(Format::Text, body);
        let mut at = 0;
        while at < text.len() {
            let rest = text.get(at..)?;
            let line = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest, |end| rest.get(..end).unwrap_or(rest));
            let end = at + line.len();
            if let Some((name, before, number)) = sample(line)? {
                draft.number(number, at + before, end)?;
                draft.names.push(name);
            }
            at = end + 1;
        }
        draft.finish()
    }
}

/// The name, where the number starts, and the number; nothing of a line that holds none, `None` of one that is not plain.
pub(super) fn sample(line: &str) -> Option<Option<(&str, usize, f64)>> {
    let bytes = line.as_bytes();
    match bytes.first() {
        None | Some(b'#') if bytes.last() != Some(&b'\r') => return Some(None),
        Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':') => {}
        _ => return None,
    }
    let before = memchr::memrchr2(b' ', b'\t', bytes)? + 1;
    let number = parse_number(line.get(before..)?)?;
    let name = line.get(..bytes.iter().position(|byte| b"{ \t".contains(byte))?)?;
    Some(Some((name, before, number)))
}
