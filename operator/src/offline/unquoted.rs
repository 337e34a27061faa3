//! Labels and annotations of ours that are no texts: `true` without quotes is a boolean to YAML, and so are `on` and `yes`.
//! The API server refuses such a manifest, and what reads it here takes the value for none.
//!
//! *Never:* what becomes of the object.

use crds::names;
use serde_yaml::Value;

/// A sentence about each label or annotation of ours that is no text; none about what is left empty.
#[must_use]
pub fn unquoted(object: &Value) -> Vec<String> {
    let mut remarks = Vec::new();
    for field in ["labels", "annotations"] {
        let map = object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_mapping);
        for (name, value) in map.into_iter().flatten() {
            let Some(name) = name.as_str().filter(|name| name.starts_with(names::PREFIX)) else { continue };
            if let Some(found) = kind_of(value) {
                remarks.push(format!("{name} of metadata.{field}: expected a text, found {found}: quote it"));
            }
        }
    }
    remarks
}

/// What a value is that is no text.
fn kind_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::String(_) => None,
        Value::Bool(_) => Some("a boolean"),
        Value::Number(_) => Some("a number"),
        Value::Sequence(_) => Some("a list"),
        Value::Mapping(_) => Some("an object"),
        Value::Tagged(tagged) => kind_of(&tagged.value),
    }
}
