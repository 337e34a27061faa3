//! A pod that is none: a field of another type than Kubernetes', where something of ours would go in.
//!
//! *Never:* what becomes of the pod.

use serde_json::Value;

/// What is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: expected {expected}, found {found}")]
pub struct Malformed {
    /// Which field.
    at: String,
    /// What it should be.
    expected: &'static str,
    /// What it is.
    found: &'static str,
}

// === impl Malformed ===

impl Malformed {
    /// A field, what it should be, and what is there.
    #[must_use]
    pub fn new(at: impl Into<String>, expected: &'static str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Self { at: at.into(), expected, found }
    }

    /// The same within another field.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { at: format!("{outer}.{}", self.at), ..self }
    }
}
