//! Regular expressions for whole values, as Prometheus anchors them: of bounded size once compiled, and with a dot that
//! matches a line feed too.
//!
//! *Never:* what is matched.

use regex_lite::{Error, Regex, RegexBuilder};

/// Largest compiled pattern: matching takes time in proportion to it.
const MOST_PATTERN_BYTES: usize = 256 * 1024;

/// A pattern for whole values. It is read alone first, so that no `)` of it can close our group.
///
/// # Errors
/// What keeps the text from being a pattern, or that it is too large.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, Error> {
    let compiled = |pattern: &str| RegexBuilder::new(pattern).size_limit(MOST_PATTERN_BYTES).build();
    match fault(pattern) {
        Some(fault) => Err(fault),
        None => compiled(&format!("^(?s:{pattern})$")),
    }
}

/// What keeps a text from being a pattern, whatever its size. Given no room, one that can be read fails for its size
/// before anything of it is compiled, as the empty one does.
fn fault(pattern: &str) -> Option<Error> {
    let without_room = |pattern: &str| RegexBuilder::new(pattern).size_limit(0).build().err();
    let for_its_size = without_room("").map(|fault| fault.to_string());
    without_room(pattern).filter(|fault| Some(fault.to_string()) != for_its_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_ours_could_be_closed_by_is_read_alone() {
        for (pattern, is_one) in [("a)|(b", false), ("a|b", true), ("", true), ("a{1000}", true), ("[)]", true)] {
            assert_eq!(fault(pattern).is_none(), is_one, "{pattern}");
        }
    }
}
