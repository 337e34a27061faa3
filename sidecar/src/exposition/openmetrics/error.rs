//! The ways in which an OpenMetrics text can be malformed, each with what was expected and what was found.
//!
//! What the text format has as well has its sentence there.
//!
//! *Never:* status codes.

use protocol::Excerpt;

use crate::exposition::text::{
    self,
    error::{Found, Quoted},
};

/// The first fault of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("OpenMetrics parsing error in line {line}, column {column}: {fault}")]
pub struct OpenMetricsError {
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
    /// What is a fault in the text format too.
    #[error(transparent)]
    Text(#[from] text::Malformed),
    /// More lines after the last one.
    #[error("expected nothing after `# EOF`, found {0}")]
    AfterEnd(Quoted),
    /// The word of a `TYPE` line.
    #[error(
        "expected a type (counter, gauge, histogram, gaugehistogram, summary, info, stateset or unknown), found {0}"
    )]
    Type(Quoted),
    /// A second `UNIT` line.
    #[error("expected one UNIT line for {:?}, found a second one", Excerpt::of(.0))]
    SecondUnit(String),
    /// What follows the value is neither a timestamp nor an exemplar.
    #[error("expected the end of the line, a timestamp in seconds or an exemplar after the value, found {0}")]
    AfterValue(Quoted),
    /// What follows the timestamp is no exemplar.
    #[error("expected the end of the line or an exemplar after the timestamp, found {0}")]
    AfterTimestamp(Quoted),
    /// An exemplar without labels in braces, which may be empty.
    #[error("expected `{{` and the labels of an exemplar after `#`, found {0}")]
    ExemplarBraces(Found),
    /// A metric name among the labels of an exemplar.
    #[error("expected labels only in the braces of an exemplar, found the metric name {:?}", Excerpt::of(.0))]
    ExemplarName(String),
    /// Too much in the labels of an exemplar.
    #[error("expected an exemplar with at most 128 characters in its label names and values, found {0}")]
    LongExemplar(usize),
    /// The value of an exemplar is no number.
    #[error("expected a number as value of the exemplar, found {0}")]
    ExemplarValue(Quoted),
    /// What follows the value of an exemplar is no timestamp.
    #[error("expected the end of the line or a timestamp in seconds after the exemplar, found {0}")]
    ExemplarTimestamp(Quoted),
    /// An exemplar where none can be.
    #[error("expected exemplars on counters and buckets of histograms only, found one on {:?}", Excerpt::of(.0))]
    Exemplar(String),
    /// The value of an info.
    #[error("expected 1 as value of an info, found {0}")]
    Info(Quoted),
    /// The value of a state.
    #[error("expected 0 or 1 as value in a stateset, found {0}")]
    StateSet(Quoted),
    /// The value of a `_created` line is no time.
    #[error("expected a time in seconds as value of a `_created` line, found {0}")]
    Created(Quoted),
    /// A second `_created` line for the same labels.
    #[error("expected one line {:?} for each set of labels, found a second one", Excerpt::of(.0))]
    SecondCreated(String),
    /// Values of one series at several times.
    #[error("expected one point in time for each series, found {:?} at {first} and at {second} ms", Excerpt::of(.name))]
    SecondPoint {
        /// As the line has it.
        name: String,
        /// Milliseconds since 1970.
        first: i64,
        /// Milliseconds since 1970.
        second: i64,
    },
}
