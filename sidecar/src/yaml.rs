//! YAML into typed values, and faults that may be shown: nothing of the file is in them but a place and a key that we know.
//!
//! The library's own sentences repeat what was found. In our files that may be a token, a password's hash or a key.
//!
//! *Never:* which files there are.

use std::fmt;

use serde::de::DeserializeOwned;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{what}")]
pub(crate) struct YamlError {
    place: Place,
    what: String,
}

/// From 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(Option<(usize, usize)>);

/// Reads one document. What nobody has written is the default of an empty mapping.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    serde_yaml::from_str(text).map_err(|error| YamlError {
        place: Place(error.location().map(|at| (at.line(), at.column()))),
        what: shown(&error.to_string(), error.location().is_some()),
    })
}

/// Leaves out what was found: all from the first quote to the expectation, which is ours.
fn shown(sentence: &str, has_place: bool) -> String {
    let sentence =
        if has_place { sentence.rsplit_once(" at line ").map_or(sentence, |(what, _)| what) } else { sentence };
    let Some((start, rest)) = sentence.find(['"', '`']).and_then(|quote| sentence.split_at_checked(quote)) else {
        return sentence.to_owned();
    };
    // The fields that these name are those of our types.
    if start.ends_with("missing field ") || start.ends_with("duplicate field ") {
        return sentence.to_owned();
    }
    let expected = rest.rfind(", expected ").and_then(|at| rest.get(at..)).unwrap_or_default();
    format!("{}{expected}", start.trim_end())
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((line, column)) => write!(f, "line {line}, column {column}: "),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its faults")]
    struct Outer {
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its faults")]
    struct Inner {
        name: Option<String>,
        secret: String,
        number: Option<f64>,
    }

    fn fault(text: &str) -> String {
        read::<Outer>(text).unwrap_err().to_string()
    }

    #[test]
    fn a_fault_has_its_place_and_what_was_expected() {
        let rows = [
            (
                "list:\n- {nom: a, secret: b}",
                "line 2, column 4: list[0]: unknown field, expected one of `name`, `secret`, `number`",
            ),
            ("list: a", "line 1, column 7: list: invalid type: string, expected a sequence"),
            ("list: [a]", "line 1, column 8: list[0]: invalid type: string, expected struct Inner"),
            ("list: [{}]", "line 1, column 8: list[0]: missing field `secret`"),
            ("list: [{secret: [1]}]", "line 1, column 17: list[0].secret: invalid type: sequence, expected a string"),
            ("list: [{secret: a, number: b}]", "line 1, column 28: list[0].number: invalid type: string, expected f64"),
            ("list: []\nlist: []", "line 1, column 1: duplicate field `list`"),
            ("other: []", "line 1, column 1: unknown field, expected `list`"),
        ];
        for (text, expected) in rows {
            assert_eq!(fault(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_that_was_found_is_in_a_fault() {
        let places = [
            "S",
            "S: 1",
            "list: S",
            "list: [S]",
            "list: [{S: a}]",
            "list: [{secret: a, S}]",
            "list: [{secret: a, number: S}]",
            "list: [{secret: [S]}]",
            "list: [{secret: {S: S}}]",
            "list: [{secret: !S a}]",
            "list: [{secret: !S [a]}]",
            "list: [{secret: *S}]",
            "list: [{secret: &S a, secret: *S}]",
            "list: {S: S}",
            "list: [{secret: S",
            "list: [{secret: 'S]",
            "list: [{secret: \"\\S\"}]",
            "list:\n - secret: a: S",
            "list:\n - secret: @S",
            "%S",
            "list: []\n---\nS",
            "list: []\n'S': 1",
            "list: []\n\"x`S`y\": 1",
            "list: []\n\"x, expected S`\": 1",
        ];
        for secret in
            ["s3cr3t", "s3cr3t`, expected `s3cr3t", "\"s3cr3t at line 1 column 1", "12345678901", "0x12345678901"]
        {
            for text in places.map(|place| place.replace('S', secret)) {
                let Err(error) = read::<Outer>(&text) else { continue };
                let fault = error.to_string();
                assert!(!fault.contains("s3cr3t") && !fault.contains("2345678901"), "{text:?}: {fault}");
            }
        }
    }
}
