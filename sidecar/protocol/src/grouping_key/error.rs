//! Why something is no grouping key, in sentences that help.
//!
//! *Never:* status codes.

use std::fmt;

use crate::{endpoints::METRICS_PATH, excerpt::Excerpt};

/// How to make base64 that a path can carry; refused keys end with it.
const BASE64_ADVICE: &str = "make it with `base64 -w0 | tr '+/' '-_'`";

/// Why something is no grouping key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupingKeyError {
    /// The path does not start with `/metrics/job/` or `/metrics/job@base64/`.
    NotAGroupPath,
    /// The path is not `/metrics` and not below it, where no job is needed.
    NotBelowMetrics,
    /// The job's value is empty, or there is no label `job`.
    EmptyJob,
    /// A name without a value at the end; the labels' part of the path.
    OddParts(String),
    /// No label name of the classic alphabet, or a reserved one; as written.
    BadName(String),
    /// No label name where all text is one: empty, reserved, with U+0000, or not UTF-8; as written.
    BadUtf8Name(String),
    /// The label is named twice, or `job` is named again.
    Duplicate(String),
    /// A value that is not base64: label and value as written.
    BadBase64 {
        /// The label's name.
        name: String,
        /// The value as written.
        value: String,
    },
    /// A `%` that is no escape, in the name of a label or in its value; the label's name.
    BadEscape(String),
    /// A value that is not UTF-8 once decoded; the label's name.
    NotUtf8(String),
}

// === impl GroupingKeyError ===

impl fmt::Display for GroupingKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAGroupPath => {
                write!(f, "expected {METRICS_PATH}/job/JOB or {METRICS_PATH}/job@base64/JOB, found another path")
            }
            Self::NotBelowMetrics => {
                write!(f, "expected {METRICS_PATH} or a path below {METRICS_PATH}/, found another path")
            }
            Self::EmptyJob => f.write_str("job name is required: expected a value for `job`, found an empty one"),
            Self::OddParts(labels) => write!(
                f,
                "odd number of components in label string {:?}: expected a value after each label name; \
                 write `/` in a value as `%2F`, or put the value in base64, {BASE64_ADVICE}",
                Excerpt::of(labels)
            ),
            Self::BadName(name) => write!(
                f,
                "improper label name {:?}: expected a letter or `_`, then letters, digits and `_`, \
                 and no `__` at the start",
                Excerpt::of(name)
            ),
            Self::BadUtf8Name(name) => write!(
                f,
                "improper label name {:?}: expected text in UTF-8, not empty, without U+0000, \
                 and no `__` at the start, nor once it is unescaped",
                Excerpt::of(name)
            ),
            Self::Duplicate(name) => {
                write!(f, "expected each label once in the grouping key, found {:?} again", Excerpt::of(name))
            }
            Self::BadBase64 { name, value } => write!(
                f,
                "invalid base64 encoding for label {:?}: expected the URL-safe alphabet, found {:?}; \
                 {BASE64_ADVICE}",
                Excerpt::of(name),
                Excerpt::of(value)
            ),
            Self::BadEscape(name) => write!(
                f,
                "expected two hexadecimal digits after each `%` in label {:?} and its value, found something else; \
                 `%` itself is `%25`",
                Excerpt::of(name)
            ),
            Self::NotUtf8(name) => {
                write!(f, "expected UTF-8 as value of label {:?}, found other bytes", Excerpt::of(name))
            }
        }
    }
}

impl std::error::Error for GroupingKeyError {}
