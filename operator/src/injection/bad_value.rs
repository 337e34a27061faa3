//! A value under a name of ours that is none of those that are known, and the sentence about it.
//!
//! *Never:* which values are known, what becomes of the pod.

use super::warning::warning;

/// A value that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// The label, annotation or field, with whose it is if it is not the pod's.
    pub name: String,
    /// What is known.
    pub expected: String,
    /// Names that are known besides, as far as there is room to list them.
    pub such_as: Option<String>,
    /// What there is.
    pub found: String,
}

// === impl BadValue ===

impl BadValue {
    /// The sentence, behind some words.
    #[must_use]
    pub fn sentence(&self, before: &str) -> String {
        let Self { name, expected, such_as, found } = self;
        let start = format!("{before}{name}: expected {expected}");
        match such_as {
            Some(such_as) => warning(&[&format!("{start} ("), such_as, "), found \"", found, "\""]),
            None => warning(&[&format!("{start}, found \""), found, "\""]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_told_beside_what_was_found() {
        let bad = |such_as: Option<&str>, found: &str| BadValue {
            name: "a".to_owned(),
            expected: "a number".to_owned(),
            such_as: such_as.map(str::to_owned),
            found: found.to_owned(),
        };
        assert_eq!(bad(None, "b").sentence("no sidecar: "), "no sidecar: a: expected a number, found \"b\"");
        assert_eq!(bad(Some("1, 2"), "b").sentence(""), "a: expected a number (1, 2), found \"b\"");
        assert!(bad(None, &"b".repeat(1000)).sentence("").ends_with("bbb…\""));
    }
}
