//! A media type and its parameters, as they stand in a header.
//!
//! *Never:* what a type means.

use std::borrow::Cow;

/// A type such as `text/plain; version=0.0.4`. Names are in lower case, values as written.
#[derive(Debug)]
pub(super) struct MediaType<'a> {
    pub(super) essence: Cow<'a, str>,
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// More than any client sends, and so few that to compare each with all costs nothing.
const MOST_PARAMETERS: usize = 32;

const BLANKS: [char; 2] = [' ', '\t'];

// === impl MediaType ===

impl<'a> MediaType<'a> {
    /// `None` if it does not parse, gives one parameter two values, or has too many of them.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let essence = in_lower_case(essence.trim_matches(BLANKS));
        if !essence.split('/').all(is_token) || 2 < essence.split('/').count() {
            return None;
        }
        let mut parsed = Self { essence, parameters: Vec::new() };
        loop {
            rest = rest.trim_start_matches(BLANKS);
            if rest.is_empty() {
                return Some(parsed);
            }
            rest = rest.strip_prefix(';')?.trim_start_matches(BLANKS);
            if rest.is_empty() {
                return Some(parsed);
            }
            let (name, after) = rest.split_once('=')?;
            let name = in_lower_case(name.trim_end_matches(BLANKS));
            let value;
            (value, rest) = parameter_value(after.trim_start_matches(BLANKS))?;
            let known = parsed.parameter(&name);
            if !is_token(&name)
                || parsed.parameters.len() == MOST_PARAMETERS
                || known.is_some_and(|known| known != value)
            {
                return None;
            }
            parsed.parameters.push((name, value));
        }
    }

    /// The value of a parameter, by its name in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

fn in_lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
}

/// A token, or a text in quotes with its escapes undone, and what follows it.
fn parameter_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_in_token(byte)).unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        return is_token(token).then_some((token.into(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value.into(), chars.as_str())),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_in_token)
}

fn is_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte)
}
