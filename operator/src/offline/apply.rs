//! Carries out a patch of ours on a tree that keeps its order, which JSON's own does not. Pure.
//!
//! Only what such a patch has is known: values that are added, and one that is replaced.
//!
//! *Never:* what is in the patch.

use json_patch::{Patch, PatchOperation, jsonptr::PointerBuf};
use serde_yaml::Value;

/// A patch that is none of ours.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no such place.
    #[error("a patch has no place at {0}")]
    NoPlace(PointerBuf),
    /// It would take something away.
    #[error("a patch is to add only")]
    NotAdded,
    /// The value cannot be held.
    #[error(transparent)]
    Value(#[from] serde_yaml::Error),
}

/// Carries out a patch.
///
/// # Errors
/// When it is none of ours, or none for this tree.
pub fn apply(patch: &Patch, tree: &mut Value) -> Result<(), ApplyError> {
    for operation in &patch.0 {
        let (path, value, adds) = match operation {
            PatchOperation::Add(add) => (&add.path, &add.value, true),
            PatchOperation::Replace(replace) => (&replace.path, &replace.value, false),
            PatchOperation::Remove(_) | PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => {
                return Err(ApplyError::NotAdded);
            }
        };
        let keys: Vec<_> = path.tokens().map(|token| token.decoded().into_owned()).collect();
        let value = serde_yaml::to_value(value)?;
        put(tree, &keys, value, adds).ok_or_else(|| ApplyError::NoPlace(path.clone()))?;
    }
    Ok(())
}

/// The value at the end of a way of keys and indices.
pub fn at_mut<'a>(tree: &'a mut Value, keys: &[String]) -> Option<&'a mut Value> {
    keys.iter().try_fold(tree, |value, key| match value {
        Value::Mapping(mapping) => mapping.get_mut(key.as_str()),
        Value::Sequence(items) => items.get_mut(key.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => None,
    })
}

fn put(tree: &mut Value, keys: &[String], value: Value, adds: bool) -> Option<()> {
    let (last, parents) = keys.split_last()?;
    match at_mut(tree, parents)? {
        Value::Mapping(mapping) => {
            mapping.insert(Value::String(last.clone()), value);
        }
        Value::Sequence(items) => {
            let index = if last == "-" { items.len() } else { last.parse().ok()? };
            if adds {
                (index <= items.len()).then(|| items.insert(index, value))?;
            } else {
                *items.get_mut(index)? = value;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(tree: &str, patch: serde_json::Value) -> Result<String, String> {
        let mut tree: Value = serde_yaml::from_str(tree).unwrap();
        let patch: Patch = serde_json::from_value(patch).unwrap();
        let mut usual = serde_json::to_value(&tree).unwrap();
        let result = apply(&patch, &mut tree).map_err(|error| error.to_string());
        if result.is_ok() {
            json_patch::patch(&mut usual, &patch).unwrap();
            assert_eq!(serde_json::to_value(&tree).unwrap(), usual);
        }
        result.map(|()| serde_yaml::to_string(&tree).unwrap())
    }

    #[test]
    fn a_patch_does_what_it_does_to_json_and_keeps_the_order() {
        let patch = json!([
            {"op": "add", "path": "/m/a~1b", "value": {"x": 1}},
            {"op": "add", "path": "/l/0", "value": "first"},
            {"op": "add", "path": "/l/-", "value": "last"},
            {"op": "replace", "path": "/l/1", "value": 3},
            {"op": "add", "path": "/n", "value": {}},
            {"op": "replace", "path": "/z", "value": 2},
        ]);
        let text = applied("{z: 1, m: {q: 1, b: 2}, l: [1], n: null}", patch).unwrap();
        assert_eq!(text, "z: 2\nm:\n  q: 1\n  b: 2\n  a/b:\n    x: 1\nl:\n- first\n- 3\n- last\nn: {}\n");
    }

    #[test]
    fn a_patch_that_is_none_of_ours_is_refused() {
        for (patch, expected) in [
            (json!([{"op": "remove", "path": "/a"}]), "a patch is to add only"),
            (json!([{"op": "add", "path": "/b/c", "value": 1}]), "a patch has no place at /b/c"),
            (json!([{"op": "add", "path": "/a/x", "value": 1}]), "a patch has no place at /a/x"),
            (json!([{"op": "add", "path": "/a/2", "value": 1}]), "a patch has no place at /a/2"),
        ] {
            assert_eq!(applied("{a: [1]}", patch).unwrap_err(), expected);
        }
    }
}
