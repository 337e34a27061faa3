//! The ways in which a body of messages can be malformed, each with what was expected and what was found.
//!
//! *Never:* status codes.

use prost::DecodeError;
use protocol::excerpt::Excerpt;

use super::native::Contradiction;
use crate::exposition::{family::Kind, limits::Excess};

/// The first fault of a body.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("protobuf parsing error in message {message}: {fault}")]
pub struct ProtobufError {
    /// From 1.
    pub message: usize,
    /// What is wrong with it.
    pub fault: Malformed,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// More than a push may contain.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// The body ends inside a length.
    #[error("expected the rest of its length, found the end of the body")]
    LengthCut,
    /// A length that fits no number.
    #[error("expected a length of at most 64 bits, found a longer one")]
    LengthTooLong,
    /// The body ends inside the message.
    #[error("expected {length} bytes, as its length says, found the end of the body after {left}")]
    Cut {
        /// What the length says.
        length: u64,
        /// What there is.
        left: usize,
    },
    /// Other bytes than a message.
    #[error("expected a MetricFamily, found other bytes: {0}")]
    Family(DecodeError),
    /// Other bytes than a metric inside a family.
    #[error("expected a Metric in {:?}, found other bytes: {}", Excerpt::of(.name), .fault)]
    Metric {
        /// The family.
        name: String,
        /// Where they stop to make sense.
        fault: DecodeError,
    },
    /// A family without a name, or with an empty one.
    #[error("expected a family name, found none")]
    NoName,
    /// The number of no type.
    #[error("expected a type from 0 to 5 for {:?}, found {}", Excerpt::of(.name), .found)]
    Type {
        /// The family.
        name: String,
        /// The number.
        found: i32,
    },
    /// A metric without the value that its family's type asks for.
    #[error("expected each metric of {:?} to have the value of a {}, found one without", Excerpt::of(.name), .kind)]
    NoValue {
        /// The family.
        name: String,
        /// Its type.
        kind: Kind,
    },
    /// A bucket or a quantile of which nobody can say where it ends.
    #[error("expected a number as bound of each bucket or quantile of {:?}, found NaN", Excerpt::of(.0))]
    Bound(String),
    /// A native histogram that contradicts itself.
    #[error("native histogram {:?}: {}", Excerpt::of(.name), .fault)]
    Native {
        /// The family.
        name: String,
        /// What does not fit.
        fault: Contradiction,
    },
    /// A name that would make the page unreadable.
    #[error("expected names without U+0000, which no scraper can read, found {:?}", Excerpt::of(.0))]
    NulInName(String),
    /// A label without a name, or with an empty one.
    #[error("expected each label of {:?} to have a name, found one without", Excerpt::of(.name))]
    NoLabelName {
        /// The family.
        name: String,
    },
    /// A label twice on one metric.
    #[error("expected each label once on {:?}, found {:?} again", Excerpt::of(.name), Excerpt::of(.label))]
    DuplicateLabel {
        /// The family.
        name: String,
        /// The label.
        label: String,
    },
}
