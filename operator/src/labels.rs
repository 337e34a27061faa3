//! Labels of objects, as a flag lists them and as the API server takes them.
//!
//! Syntax: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>.
//!
//! *Never:* whose labels they are.

use std::collections::BTreeMap;

use crate::scope::is_dns_label;

/// The longest value, and the longest name after its prefix.
const LONGEST: usize = 63;

/// The longest prefix of a name.
const LONGEST_PREFIX: usize = 253;

/// Reads `name=value` pairs; the last of a name counts.
///
/// # Errors
/// The first that is none.
pub fn labels<'a>(pairs: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, String>, String> {
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| pair.to_owned())?;
            let is_good = is_name(name) && (value.is_empty() || is_word(value));
            if is_good { Ok((name.to_owned(), value.to_owned())) } else { Err(pair.to_owned()) }
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    match name.split_once('/') {
        None => is_word(name),
        Some((prefix, name)) => prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(is_dns_label) && is_word(name),
    }
}

/// Letters and digits at both ends, and between them `-`, `_` and `.` too.
fn is_word(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| is_end(c) || matches!(c, '-' | '_' | '.');
    text.len() <= LONGEST && text.starts_with(is_end) && text.ends_with(is_end) && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_labels() {
        let found = labels(["release=stack", "example.com/Team.a=", "release=other"].into_iter()).unwrap();
        assert_eq!(
            found,
            BTreeMap::from(
                [("example.com/Team.a", ""), ("release", "other")]
                    .map(|(name, value)| { (name.to_owned(), value.to_owned()) })
            )
        );
    }

    #[test]
    fn what_the_api_server_refuses_is_found() {
        let (long, prefix) = (format!("{}=v", "n".repeat(64)), format!("{}.com/n=v", "p".repeat(254)));
        for bad in [
            "release",
            "=v",
            "-n=v",
            "n-=v",
            "n=-v",
            "n=v.",
            "n n=v",
            "n=v v",
            "a/b/c=v",
            "/n=v",
            "Example.com/n=v",
            "a..b/n=v",
            "a_b/n=v",
            "n=\u{e4}",
            &long,
            &prefix,
        ] {
            assert_eq!(labels(["ok=ok", bad].into_iter()), Err(bad.to_owned()));
        }
    }
}
