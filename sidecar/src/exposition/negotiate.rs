//! `Content-Type` → format.
//!
//! Pure: strings in, a format out. A body is text unless its type says in full that it is not, as upstream has it.
//!
//! *Never:* headers of other names, status codes.

mod media_type;

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

/// The format of a body, by its `Content-Type`; one that cannot be read, or is missing, means text.
#[must_use]
pub fn pushed(content_type: &str) -> Format {
    let is_protobuf = MediaType::parse(content_type).is_some_and(|it| it.is_delimited_protobuf());
    if is_protobuf { Format::Protobuf } else { Format::Text }
}

// === impl MediaType ===

impl MediaType {
    fn is_delimited_protobuf(&self) -> bool {
        self.essence == PROTOBUF
            && self.parameter("encoding") == Some("delimited")
            && self.parameter("proto") == Some(MESSAGE)
    }
}

#[cfg(test)]
mod tests;
