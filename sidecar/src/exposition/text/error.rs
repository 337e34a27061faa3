//! The ways in which a text can be malformed, each with what was expected and what was found.
//!
//! What was found is kept whole and printed as an [`Excerpt`].
//!
//! *Never:* status codes.

use std::fmt;

use protocol::{Excerpt, LabelError};

use crate::exposition::limits::Excess;

/// The first fault of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("text format parsing error in line {line}, column {column}: {fault}")]
pub struct TextError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: Malformed,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is not UTF-8.
    #[error("expected UTF-8, found other bytes")]
    NotUtf8,
    /// A line starts with what starts no metric name.
    #[error("expected a metric name, found {0}")]
    MetricName(Found),
    /// A quoted metric name of other characters.
    #[error(
        "expected a metric name of letters, digits, `_` and `:`, found {:?}; `--push.enable-utf8-names` allows any",
        Excerpt::of(.0)
    )]
    MetricNameAlphabet(String),
    /// Nothing in quotes where a metric name is expected.
    #[error("expected a metric name in the quotes, found nothing")]
    EmptyMetricName,
    /// A quoted label name of other characters.
    #[error(
        "expected a label name of letters, digits and `_`, found {:?}; `--push.enable-utf8-names` allows any",
        Excerpt::of(.0)
    )]
    LabelNameAlphabet(String),
    /// Nothing in quotes where a label name is expected.
    #[error("expected a label name in the quotes, found nothing")]
    EmptyLabelName,
    /// A name that would make the page unreadable.
    #[error("expected a name without U+0000, which no scraper can read, found {:?}", Excerpt::of(.0))]
    NulInName(String),
    /// Labels without a metric name.
    #[error("expected a metric name before or inside the braces, found none")]
    NoMetricName,
    /// A metric name before the braces and one inside.
    #[error("expected one metric name, found {:?} inside the braces as well", Excerpt::of(.0))]
    SecondMetricName(String),
    /// The label block.
    #[error("{0}")]
    Labels(LabelError),
    /// A label twice in one block.
    #[error("expected each label once, found {:?} again", Excerpt::of(.0))]
    DuplicateLabel(String),
    /// The metric name as a label.
    #[error("expected the metric name before the braces, found it as label `__name__`")]
    NameAsLabel,
    /// The value is no number.
    #[error("expected a number as value, found {0}")]
    Value(Quoted),
    /// What follows the value is no timestamp.
    #[error("expected the end of the line or a timestamp in whole milliseconds after the value, found {0}")]
    Timestamp(Quoted),
    /// Nothing but blanks behind the last word.
    #[error("expected the end of the line right behind its last word, found a blank at the end of the line")]
    TrailingBlank,
    /// A bucket without `le`, or a quantile without `quantile`.
    #[error("expected label `{label}` on a {kind}, found none")]
    NoBound {
        /// The label that is missing.
        label: &'static str,
        /// The type of the family.
        kind: &'static str,
    },
    /// `le` or `quantile` on a line that has no bound.
    #[error("expected no label `{label}` on a sum or count, found it on {:?}", Excerpt::of(.name))]
    BoundOfAll {
        /// The label.
        label: &'static str,
        /// As the line has it.
        name: String,
    },
    /// `le` or `quantile` is no number.
    #[error("expected a number as value of label `{label}`, found {:?}", Excerpt::of(.found))]
    Bound {
        /// The label.
        label: &'static str,
        /// Its value.
        found: String,
    },
    /// A count below zero.
    #[error("expected a count of at least 0, found {0}")]
    Count(Quoted),
    /// A count of a summary that is below zero, too large or no number.
    #[error("expected a count from 0 to 18446744073709551615, found {0}")]
    SummaryCount(Quoted),
    /// In a comment, something sticks to the metric name.
    #[error("expected a blank after the metric name, found {0}")]
    AfterCommentName(Found),
    /// A metric name that starts with a quote and goes wrong after it.
    #[error("expected a metric name in quotes, with `\\\\`, `\\\"` and `\\n` as its escapes, found something else")]
    QuotedName,
    /// The word of a `TYPE` line.
    #[error("expected a type (counter, gauge, histogram, gaugehistogram, summary or untyped), found {0}")]
    Type(Quoted),
    /// A second `TYPE` line.
    #[error("expected one TYPE line for {:?}, found a second one", Excerpt::of(.0))]
    SecondType(String),
    /// A `TYPE` line after a sample.
    #[error("expected the TYPE line of {:?} before its first sample, found it after", Excerpt::of(.0))]
    LateType(String),
    /// A second `HELP` line.
    #[error("expected one HELP line for {:?}, found a second one", Excerpt::of(.0))]
    SecondHelp(String),
    /// More than a push may contain.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// An escape in help.
    #[error("expected `\\\\`, `\\\"` or `\\n` as escape in help, found {0}")]
    HelpEscape(Found),
}

/// A character, or the end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found(pub Option<char>);

/// A text in quotes, or the end of the line where it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(pub String);

// === impl Found ===

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(found) => write!(f, "{found:?}"),
            None => f.write_str("the end of the line"),
        }
    }
}

// === impl Quoted ===

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the end of the line") } else { write!(f, "{:?}", Excerpt::of(&self.0)) }
    }
}
