//! A value under a name of ours that is none of those that are known, and the sentence about it.
//!
//! kubectl cuts warnings off at 256 characters and asks for 120, so what was found is shown as far as there is room.
//!
//! *Never:* which values are known, what becomes of the pod.

/// The longest warning.
pub const LONGEST: usize = 120;

/// As much of a value is shown whatever the length of the rest.
const SHOWN_AT_LEAST: usize = 12;

/// A value that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// The label, annotation or field, with whose it is if it is not the pod's.
    pub name: String,
    /// What is known.
    pub expected: String,
    /// What there is.
    pub found: String,
}

/// A text that takes so many characters at most, what is left out told by dots.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

// === impl BadValue ===

impl BadValue {
    /// The sentence, behind some words.
    #[must_use]
    pub fn sentence(&self, before: &str) -> String {
        let Self { name, expected, found } = self;
        let start = format!("{before}{name}: expected {expected}, found ");
        let room = LONGEST.saturating_sub(start.chars().count() + 2).max(SHOWN_AT_LEAST);
        format!("{start}{:?}", shortened(found, room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_shown_as_far_as_there_is_room() {
        let sentence = |name: &str, found: &str| {
            let bad = BadValue { name: name.to_owned(), expected: "a number".to_owned(), found: found.to_owned() };
            bad.sentence("no sidecar: ")
        };
        assert_eq!(sentence("a", "b"), "no sidecar: a: expected a number, found \"b\"");
        let long = sentence("a", &"b".repeat(1000));
        assert_eq!(long.chars().count(), LONGEST);
        assert!(long.ends_with("bbb…\""), "{long}");
        let name = "a".repeat(LONGEST);
        assert!(sentence(&name, "0123456789abcdef0").ends_with("found \"0123456789a…\""));
    }
}
