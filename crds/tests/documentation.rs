//! What `kubectl explain` prints reads like documentation: each field has complete sentences.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is right")]

use serde_json::Value;

/// Described by Kubernetes.
const FOREIGN: [&str; 2] = ["spec.selector", "status.conditions"];

fn check(path: &str, schema: &Value, seen: &mut usize) {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        let text = field.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(15 <= text.len(), "{path}: {text:?} says too little");
        assert!(text.starts_with(|first: char| first.is_uppercase()), "{path}: expected a sentence, found {text:?}");
        assert!(text.ends_with('.'), "{path}: expected a full stop at the end, found {text:?}");
        for word in ["TODO", "not built", "nothing acts", "reconcile", "[`", "Option<"] {
            assert!(!text.contains(word), "{path}: {word} is nothing for a user: {text:?}");
        }
        for word in field.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            assert!(
                text.to_lowercase().contains(&format!("`{}`", word.to_lowercase())),
                "{path}: expected a word about `{word}`, found {text:?}"
            );
        }
        *seen += 1;
        if !FOREIGN.contains(&path.as_str()) {
            check(&path, field.get("items").unwrap_or(field), seen);
        }
    }
}

#[test]
fn every_field_is_described_in_complete_sentences() {
    let crd: Value = serde_yaml::from_str(&crds::custom_resource_definition_yaml().unwrap()).unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let mut seen = 0;
    for part in ["spec", "status"] {
        check(part, schema.pointer(&format!("/properties/{part}")).unwrap(), &mut seen);
    }
    assert!(60 < seen, "found {seen} fields");
}
