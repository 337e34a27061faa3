//! The `U__` form of a name, in both directions: how a name of any text is written in the classic alphabet.
//!
//! After the prefix, `__` is one underscore, and `_`, one to five hexadecimal digits, `_` is the character of that
//! number; all else stands for itself. That five digits do not reach the last characters is upstream's limit.
//!
//! *Never:* which names are legal.

use std::borrow::Cow;

const PREFIX: &str = "U__";

/// Most digits of a character's number.
const MOST_DIGITS: usize = 5;

/// A way to write a name that [`unescape`] turns back into it, or that stands for itself.
pub(super) fn escape(name: &str) -> Cow<'_, str> {
    // All but the underscore stands for itself behind the prefix too.
    if name.starts_with(PREFIX) { Cow::Owned(format!("{PREFIX}{}", name.replace('_', "__"))) } else { name.into() }
}

/// The name that is meant; `None` where the prefix is missing or something does not fit: it stands for itself then.
pub(super) fn unescape(written: &str) -> Option<String> {
    let mut rest = written.strip_prefix(PREFIX)?;
    let mut name = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('_') {
        name.push_str(plain);
        let (digits, after) = escape.split_once('_')?;
        name.push(if digits.is_empty() { '_' } else { character(digits)? });
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

fn character(digits: &str) -> Option<char> {
    let is_number = digits.len() <= MOST_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = is_number.then(|| u32::from_str_radix(digits, 16).ok())?;
    number.and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(written: &str, expected: Option<&str>) {
        assert_eq!(unescape(written).as_deref(), expected, "{written}");
    }

    #[test]
    fn escaped_names_are_read() {
        check("U__foo_2e_bar__x", Some("foo.bar_x"));
        check("U__gr_f6__dF_e_20_y", Some("größe y"));
        check("U___31_a", Some("1a"));
        check("U___1f60a_", Some("😊"));
        check("U__plain.ü", Some("plain.ü"));
        check("U__", Some(""));
        check("U____", Some("_"));
        check("U______name____", Some("__name__"));
        check("U___FFFFF_", Some("\u{fffff}"));
    }

    #[test]
    fn what_does_not_fit_stands_for_itself() {
        for written in [
            "",
            "a",
            "u__a",
            "U_a",
            "U__a_",
            "U__a_2e",
            "U__a_2g_",
            "U___d800_",
            "U___01F60A_",
            "U___-2e_",
            "U___+2e_",
            "U___",
            "U__a_2e_b_",
            "U_____",
        ] {
            check(written, None);
        }
    }

    proptest! {
        #[test]
        fn a_name_that_was_written_reads_back(start in "(U__)?", rest in ".*") {
            let name = format!("{start}{rest}");
            let written = escape(&name);
            prop_assert_eq!(unescape(&written).unwrap_or_else(|| written.clone().into_owned()), name);
        }

        #[test]
        fn an_escaped_name_reads_back(name in "[^\u{100000}-\u{10ffff}]*") {
            let escaped = name.chars().map(|c| match c {
                '_' => "__".to_owned(),
                c if c.is_ascii_alphanumeric() => c.to_string(),
                c => format!("_{:x}_", u32::from(c)),
            });
            let written = format!("{PREFIX}{}", escaped.collect::<String>());
            prop_assert_eq!(unescape(&written), Some(name));
        }
    }
}
