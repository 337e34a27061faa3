//! What the text format and OpenMetrics write in the same way.
//!
//! *Never:* lines, which names are escaped.

use std::fmt;

use protocol::label_set::write_quoted;

/// Prints a name, in quotes where it is not of the classic alphabet.
pub(in crate::exposition) fn write_name(out: &mut String, name: &str, is_plain: impl Fn(&str) -> bool) -> fmt::Result {
    if is_plain(name) {
        out.push_str(name);
        return Ok(());
    }
    write_quoted(out, name)
}

/// Writing into a string does not fail; the signature of the traits says it might.
pub(in crate::exposition) fn written(result: fmt::Result) {
    debug_assert!(result.is_ok());
}
