//! How a page writes names that are not of the classic alphabet.
//!
//! The schemes are Prometheus' own, with one difference: a label name is of the classic alphabet only without a colon.
//! Elsewhere `a:b` passes as it is, since metric names may have colons, and no scraper can read the line.
//!
//! All schemes but the first may make two names one; `values` only a name that has to be escaped and a classic one that
//! looks as if it had been. What is done about it is not decided here. A name that was escaped is of the classic
//! alphabet, so to escape it once more changes nothing.
//!
//! *Never:* headers, quotes, which names may be pushed.

use std::{borrow::Cow, fmt::Write};

use protocol::label_set::is_label_name;

use super::family::is_metric_name;

/// How names that are not of the classic alphabet are written; all others are the same in every scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// As they are; text formats put them in quotes.
    AllowUtf8,
    /// With `_` for every other character.
    #[default]
    Underscores,
    /// With `_dot_` for a dot, and `__` for `_` and every other character.
    Dots,
    /// With `U__` before them, `__` for `_`, and the number of every other character.
    Values,
}

// === impl Escaping ===

impl Escaping {
    /// All schemes.
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// The scheme of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|escaping| escaping.name() == name)
    }

    /// Its name, as headers have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The name of a family as the page has it. Suffixes come behind it.
    #[must_use]
    pub fn metric_name(self, name: &str) -> Cow<'_, str> {
        if is_metric_name(name) { name.into() } else { self.escaped(name, |c| c == ':') }
    }

    /// The name of a label as the page has it.
    #[must_use]
    pub fn label_name(self, name: &str) -> Cow<'_, str> {
        if is_label_name(name) { name.into() } else { self.escaped(name, |_| false) }
    }

    /// `may_have` tells which characters are legal beside letters, digits and `_`. A digit is not in first place.
    fn escaped(self, name: &str, may_have: fn(char) -> bool) -> Cow<'_, str> {
        let mut escaped = String::with_capacity(name.len() + 8);
        let legal =
            |at: usize, c: char| c == '_' || c.is_ascii_alphabetic() || may_have(c) || (0 < at && c.is_ascii_digit());
        let rest = name.char_indices();
        match self {
            Self::AllowUtf8 => return name.into(),
            Self::Underscores => escaped.extend(rest.map(|(at, c)| if legal(at, c) { c } else { '_' })),
            Self::Dots => rest.for_each(|(at, c)| match c {
                '.' => escaped.push_str("_dot_"),
                c if c != '_' && legal(at, c) => escaped.push(c),
                _ => escaped.push_str("__"),
            }),
            Self::Values => {
                escaped.push_str("U__");
                rest.for_each(|(at, c)| match c {
                    '_' => escaped.push_str("__"),
                    c if legal(at, c) => escaped.push(c),
                    other => {
                        let written = write!(escaped, "_{:x}_", u32::from(other));
                        debug_assert!(written.is_ok(), "a string grows as it needs to");
                    }
                });
            }
        }
        escaped.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_escaped_by_each_scheme() {
        // As it is, by underscores, by dots, by values.
        let rows = [
            ["foo.bar_x", "foo_bar_x", "foo_dot_bar__x", "U__foo_2e_bar__x"],
            ["1a", "_a", "__a", "U___31_a"],
            ["größe y", "gr__e_y", "gr____e__y", "U__gr_f6__df_e_20_y"],
            ["a1", "a1", "a1", "a1"],
            ["a_b", "a_b", "a_b", "a_b"],
            ["U__a", "U__a", "U__a", "U__a"],
            [".", "_", "_dot_", "U___2e_"],
            ["_.1", "__1", "___dot_1", "U_____2e_1"],
            ["a\n\"b\"", "a__b_", "a____b__", "U__a_a__22_b_22_"],
            ["\u{1f525}", "_", "__", "U___1f525_"],
            ["\u{10ffff}x", "_x", "__x", "U___10ffff_x"],
        ];
        for row in rows {
            for (escaping, expected) in Escaping::ALL.into_iter().zip(row) {
                assert_eq!(escaping.metric_name(row[0]), expected, "{escaping:?}");
                assert_eq!(escaping.label_name(row[0]), expected, "{escaping:?}");
            }
        }
    }

    #[test]
    fn a_colon_is_legal_in_metric_names_alone() {
        let rows = [["a:b", "a_b", "a__b", "U__a_3a_b"], ["a:.b", "a__b", "a___dot_b", "U__a_3a__2e_b"]];
        for row in rows {
            for (escaping, expected) in Escaping::ALL.into_iter().zip(row) {
                assert_eq!(escaping.label_name(row[0]), expected, "{escaping:?}");
            }
        }
        for escaping in Escaping::ALL {
            assert_eq!(escaping.metric_name("a:b"), "a:b");
        }
        assert_eq!(Escaping::Values.metric_name("a:.b"), "U__a:_2e_b");
    }

    proptest! {
        #[test]
        fn an_escaped_name_is_classic_and_stays_as_it_is(name in prop_oneof![any::<String>(), "[a_:.1ä]{1,6}"]) {
            prop_assume!(!name.is_empty());
            for escaping in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
                let metric = escaping.metric_name(&name).into_owned();
                prop_assert!(is_metric_name(&metric), "{}", metric);
                prop_assert_eq!(escaping.metric_name(&metric), metric.as_str());
                let label = escaping.label_name(&name).into_owned();
                prop_assert!(is_label_name(&label), "{}", label);
            }
            prop_assert_eq!(Escaping::AllowUtf8.metric_name(&name), name.as_str());
        }

        #[test]
        fn values_keep_names_apart_that_have_to_be_escaped(one in "[a_U.1ä]{1,6}", two in "[a_U.1ä]{1,6}") {
            prop_assume!(one != two && !is_label_name(&one) && !is_label_name(&two));
            prop_assert_ne!(Escaping::Values.label_name(&one), Escaping::Values.label_name(&two));
        }
    }
}
