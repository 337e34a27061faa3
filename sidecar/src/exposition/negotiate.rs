//! `Content-Type` of a push and `Accept` of a scrape → format.
//!
//! Pure: strings in, a format out. A body is text unless its type says in full that it is not, as upstream has it. A
//! page is in the format that weighs most among those that are written here, and else text. Beyond upstream, a clause
//! of weight 0 is a refusal, and names are compared whatever their letter case. Not written yet: OpenMetrics, the
//! `text` and `compact-text` forms of protobuf; clauses that ask for them are passed over.
//!
//! *Never:* headers of other names, status codes.

mod media_type;

use std::fmt;

use super::escaping::Escaping;
use media_type::MediaType;

/// The type of the protobuf format.
const PROTOBUF: &str = "application/vnd.google.protobuf";

/// The message that a protobuf body is made of.
const MESSAGE: &str = "io.prometheus.client.MetricFamily";

/// How families are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4.
    Text,
    /// Delimited messages.
    Protobuf,
}

/// What a page will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How it is written.
    pub format: Format,
    /// How its names are written.
    pub escaping: Escaping,
}

/// The format of a page, by the `Accept` of who asks for it. The escaping scheme is the last that was asked for in the
/// clauses up to the one that is chosen.
#[must_use]
pub fn accepted(accept: &str) -> Choice {
    let clauses = accept.split(',').filter_map(MediaType::parse).map(|clause| (clause.weight(), clause));
    let mut clauses: Vec<_> = clauses.filter(|(weight, _)| 0.0 < *weight).collect();
    clauses.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    let mut choice = Choice::default();
    for (_, clause) in clauses {
        let escaping = clause.parameter("escaping").and_then(Escaping::from_name);
        choice.escaping = escaping.unwrap_or(choice.escaping);
        if let Some(format) = clause.format() {
            choice.format = format;
            break;
        }
    }
    choice
}

/// The format of a body, by its `Content-Type`; one that cannot be read, or is missing, means text.
#[must_use]
pub fn pushed(content_type: &str) -> Format {
    let is_protobuf = MediaType::parse(content_type).is_some_and(|it| it.is_delimited_protobuf());
    if is_protobuf { Format::Protobuf } else { Format::Text }
}

// === impl Choice ===

/// What nobody asked for otherwise.
impl Default for Choice {
    fn default() -> Self {
        Self { format: Format::Text, escaping: Escaping::default() }
    }
}

/// Prints the `Content-Type` of the page.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            Format::Text => f.write_str("text/plain; version=0.0.4; charset=utf-8")?,
            Format::Protobuf => write!(f, "{PROTOBUF}; proto={MESSAGE}; encoding=delimited")?,
        }
        write!(f, "; escaping={}", self.escaping.name())
    }
}

// === impl MediaType ===

impl MediaType {
    /// Between 0 and 1; one that cannot be read weighs nothing.
    fn weight(&self) -> f64 {
        self.parameter("q").map_or(Ok(1.0), str::parse).unwrap_or(0.0)
    }

    /// The format that it asks for, where that is written here.
    fn format(&self) -> Option<Format> {
        let is_text =
            self.essence == "text/plain" && self.parameter("version").is_none_or(|version| version == "0.0.4");
        match self.is_delimited_protobuf() {
            true => Some(Format::Protobuf),
            false => is_text.then_some(Format::Text),
        }
    }

    fn is_delimited_protobuf(&self) -> bool {
        self.essence == PROTOBUF
            && self.parameter("encoding") == Some("delimited")
            && self.parameter("proto") == Some(MESSAGE)
    }
}

#[cfg(test)]
mod tests;
