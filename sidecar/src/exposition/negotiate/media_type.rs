//! A media type and its parameters, as they stand in a header.
//!
//! *Never:* what a type means.

/// A type such as `text/plain; version=0.0.4`. Names are in lower case, values as written.
#[derive(Debug)]
pub(super) struct MediaType {
    pub(super) essence: String,
    parameters: Vec<(String, String)>,
}

/// More than any client sends, and so few that to compare each with all costs nothing.
const MOST_PARAMETERS: usize = 32;

const BLANKS: [char; 2] = [' ', '\t'];

// === impl MediaType ===

impl MediaType {
    /// `None` if it does not parse, gives one parameter two values, or has too many of them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let essence = essence.trim_matches(BLANKS).to_ascii_lowercase();
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
            let name = name.trim_end_matches(BLANKS).to_ascii_lowercase();
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
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A token, or a text in quotes with its escapes undone, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = text.split_at(text.find(|c| !is_token_char(c)).unwrap_or(text.len()));
        return is_token(token).then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c)
}
