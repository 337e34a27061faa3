//! Selectors of groups: `{job="a",instance=~"x.*",zone!="b"}`, as Prometheus selects series.
//!
//! The operators are `=`, `!=`, `=~` and `!~`. All matchers of a selector have to match. A label that a group does not
//! have counts as an empty one. Patterns match whole values, and their dot matches a line feed too. A selector
//! that a group without labels matches is refused: it says what groups must not be, or nothing at all, and selects most of
//! them.
//!
//! Limits: groups have no metric name, so a selector has none. Of the escapes in a quoted text there are `\\`, `\"`,
//! `\'`, `\n`, `\r` and `\t`; in backticks there are none. Patterns know no Unicode classes (`\pL`), and have a size
//! limit once compiled.
//!
//! *Never:* the store, HTTP.

use std::fmt;

use protocol::{Excerpt, LabelSet, label_set::is_label_name};
use regex_lite::Regex;

use crate::pattern;

/// The label that stands for the metric's name in Prometheus.
const NAME_LABEL: &str = "__name__";

/// Most matchers that a request may have in all its selectors.
pub(crate) const MOST_MATCHERS: usize = 32;

/// What labels have to be.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    matchers: Vec<Matcher>,
}

/// Why a text is no selector, or none that is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    /// The first place that does not fit, by characters from 1.
    #[error("bad selector at character {at}: expected {expected}, found {found}")]
    Syntax { at: usize, expected: &'static str, found: Found },
    #[error(
        "bad selector at character {at}: expected no metric name, since groups have none, found {:?}; \
         select by labels, such as {{job=\"a\"}}",
        Excerpt::of(.name)
    )]
    MetricName { at: usize, name: String },
    #[error("bad selector at character {at}: expected a regular expression, found {:?}: {fault}", Excerpt::of(.pattern))]
    Pattern { at: usize, pattern: String, fault: String },
    #[error(
        "expected a selector with a matcher that refuses an empty value, found {:?}, which a group without labels matches",
        Excerpt::of(.0)
    )]
    SelectsAll(String),
    #[error("expected at most {MOST_MATCHERS} matchers in all selectors of a request, found more")]
    TooMany,
}

/// A character, or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found(Option<char>);

#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equals(String),
    Differs(String),
    Matches(Regex),
    Misses(Regex),
}

#[derive(Clone, Copy)]
enum Operator {
    Equals,
    Differs,
    Matches,
    Misses,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// How many matchers may come yet.
    left: usize,
}

// === impl Selector ===

impl Selector {
    /// Reads a selector of at most so many matchers.
    ///
    /// # Errors
    /// The first place that does not fit; or that it matches a group without labels.
    pub(crate) fn parse(text: &str, most: usize) -> Result<Self, SelectorError> {
        let selector = Parser { text, at: 0, left: most }.selector()?;
        if selector.matches(&LabelSet::new()) {
            return Err(SelectorError::SelectsAll(text.to_owned()));
        }
        Ok(selector)
    }

    /// How many it has.
    pub(crate) fn matchers(&self) -> usize {
        self.matchers.len()
    }

    /// Whether all matchers match.
    pub(crate) fn matches(&self, labels: &LabelSet) -> bool {
        self.matchers.iter().all(|Matcher { label, test }| test.holds(labels.get(label).unwrap_or_default()))
    }
}

// === impl Test ===

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equals(wanted) => value == wanted,
            Self::Differs(unwanted) => value != unwanted,
            Self::Matches(pattern) => pattern.is_match(value),
            Self::Misses(pattern) => !pattern.is_match(value),
        }
    }
}

// === impl Parser ===

impl Parser<'_> {
    fn selector(mut self) -> Result<Selector, SelectorError> {
        self.skip_blanks();
        self.refuse_bare_name()?;
        self.expect('{', "`{`")?;
        let mut matchers = Vec::new();
        loop {
            self.skip_blanks();
            if self.take("}") {
                break;
            }
            self.left = self.left.checked_sub(1).ok_or(SelectorError::TooMany)?;
            matchers.push(self.matcher()?);
            self.skip_blanks();
            if !self.take(",") && self.peek() != Some('}') {
                return Err(self.error("`,` or `}`"));
            }
        }
        self.skip_blanks();
        match self.peek() {
            None => Ok(Selector { matchers }),
            Some(_) => Err(self.error("the end of the selector")),
        }
    }

    fn refuse_bare_name(&self) -> Result<(), SelectorError> {
        let end = self.rest().find(|c: char| c != '_' && c != ':' && !c.is_ascii_alphanumeric());
        match self.rest().get(..end.unwrap_or(self.rest().len())) {
            None | Some("") => Ok(()),
            Some(name) => Err(SelectorError::MetricName { at: self.place(self.at), name: name.to_owned() }),
        }
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        let start = self.at;
        let is_quoted = matches!(self.peek(), Some('"' | '\'' | '`'));
        let label = if is_quoted { self.quoted("a label name")? } else { self.name()? };
        self.skip_blanks();
        if is_quoted && matches!(self.peek(), Some(',' | '}')) {
            return Err(SelectorError::MetricName { at: self.place(start), name: label });
        }
        if label.is_empty() {
            self.at = start;
            return Err(self.error("a label name that is not empty"));
        }
        let operator = self.operator()?;
        self.skip_blanks();
        let at = self.place(self.at);
        let value = self.quoted("a value in quotes")?;
        if label == NAME_LABEL {
            return Err(SelectorError::MetricName { at: self.place(start), name: value });
        }
        let test = match operator {
            Operator::Equals => Test::Equals(value),
            Operator::Differs => Test::Differs(value),
            Operator::Matches => Test::Matches(anchored(at, value)?),
            Operator::Misses => Test::Misses(anchored(at, value)?),
        };
        Ok(Matcher { label, test })
    }

    fn name(&mut self) -> Result<String, SelectorError> {
        let rest = self.rest();
        let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().to_owned();
        if !is_label_name(&name) {
            return Err(self.error("a label name"));
        }
        self.at += end;
        Ok(name)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        let operators =
            [("=~", Operator::Matches), ("!~", Operator::Misses), ("!=", Operator::Differs), ("=", Operator::Equals)];
        let found = operators.into_iter().find(|(written, _)| self.take(written));
        found.map(|(_, operator)| operator).ok_or_else(|| self.error("`=`, `!=`, `=~` or `!~`"))
    }

    fn quoted(&mut self, expected: &'static str) -> Result<String, SelectorError> {
        let Some(quote) = self.peek().filter(|quote| matches!(quote, '"' | '\'' | '`')) else {
            return Err(self.error(expected));
        };
        self.at += quote.len_utf8();
        let mut text = String::new();
        loop {
            match self.peek() {
                Some(end) if end == quote => {
                    self.at += quote.len_utf8();
                    return Ok(text);
                }
                Some('\\') if quote != '`' => {
                    self.at += 1;
                    text.push(self.escaped()?);
                }
                Some('\n') if quote != '`' => return Err(self.error("the closing quote")),
                Some(other) => {
                    self.at += other.len_utf8();
                    text.push(other);
                }
                None => return Err(self.error("the closing quote")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, SelectorError> {
        let meant = match self.peek() {
            Some(itself @ ('\\' | '"' | '\'')) => itself,
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            _ => {
                return Err(self.error(
                    "`\\\\`, `\\\"`, `\\'`, `\\n`, `\\r` or `\\t` as escape (a pattern's backslash is doubled)",
                ));
            }
        };
        self.at += 1;
        Ok(meant)
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_ascii_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: char, expected: &'static str) -> Result<(), SelectorError> {
        if self.take(token.encode_utf8(&mut [0; 4])) { Ok(()) } else { Err(self.error(expected)) }
    }

    fn error(&self, expected: &'static str) -> SelectorError {
        SelectorError::Syntax { at: self.place(self.at), expected, found: Found(self.peek()) }
    }

    /// By characters from 1.
    fn place(&self, byte: usize) -> usize {
        self.text.get(..byte).unwrap_or_default().chars().count() + 1
    }
}

/// A pattern for whole values.
fn anchored(at: usize, pattern: String) -> Result<Regex, SelectorError> {
    pattern::anchored(&pattern).map_err(|fault| SelectorError::Pattern { at, pattern, fault: fault.to_string() })
}

// === impl Found ===

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(found) => write!(f, "{found:?}"),
            None => f.write_str("the end of the text"),
        }
    }
}

#[cfg(test)]
mod tests;
