//! One document of manifests: text to a tree with its order, and back, by `serde_yaml`, and as `kubectl` understands it.
//!
//! `serde_yaml` reads YAML 1.2 and `kubectl` 1.1. Where they differ about an unquoted word, the tree has what `kubectl`
//! reads, and what is written is quoted so that both read the same. Keys become strings and `<<` is merged, as `kubectl`
//! does it. What a tree cannot hold (tags, a key twice) is told beside it: harmless in a document that is passed on as it
//! came, and a mistake in one that would have to be written anew.
//!
//! JSON is read by the same way, and written as JSON.
//!
//! Limit: the last of more than 15 digits of a number in JSON that is not whole may change.
//!
//! *Never:* what a manifest means, several documents.

pub mod scalar;

use std::{cell::RefCell, collections::BTreeSet, fmt, ops::Range};

use serde::{
    Serialize,
    de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess as _, Visitor},
};
use serde_yaml::{Mapping, Value};

use scalar::kubectl_reads;

/// Around a word that `serde_yaml` would write without quotes and `kubectl` would not read as a string. For private use,
/// and turned into quotes before anybody sees them.
const QUOTES: [char; 2] = ['\u{f8f0}', '\u{f8f1}'];

/// A document as a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Its values; all keys are strings.
    pub value: Value,
    /// What the tree cannot hold of the text, as a sentence.
    pub loss: Option<String>,
}

/// How a document is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Indented.
    Yaml,
    /// With braces.
    Json,
}

/// Why a tree could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// As YAML.
    #[error("cannot be written as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// As JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Better none than another.
    #[error("cannot be written so that it reads the same")]
    Different,
}

/// Reads a value of the text; a copy for each value within.
#[derive(Clone, Copy)]
struct Reader<'a> {
    text: &'a str,
    loss: &'a RefCell<Option<String>>,
}

/// A key as it was read, and whether it is the one that merges.
enum Key {
    Name(String),
    Merge,
}

struct KeyReader<'a>(Reader<'a>);

/// A value whose ambiguous words are marked to be quoted.
struct Marked<'a>(&'a Value);

/// Reads a document of YAML.
///
/// # Errors
/// When it is none. Lines are counted from the start of the text.
pub fn read_yaml(text: &str) -> Result<Tree, serde_yaml::Error> {
    // It is the one tag whose value is not what stands there, and the only one that is not told of.
    let binary = text.contains("!!binary").then(|| "a value with the tag !!binary".to_owned());
    let loss = RefCell::new(binary);
    let value = Reader { text, loss: &loss }.deserialize(serde_yaml::Deserializer::from_str(text))?;
    Ok(Tree { value, loss: loss.into_inner() })
}

/// Reads a document of JSON.
///
/// # Errors
/// When it is none.
pub fn read_json(text: &str) -> Result<Tree, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let loss = RefCell::default();
    let value = Reader { text, loss: &loss }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Tree { value, loss: loss.into_inner() })
}

/// Where the documents of a text of JSON are, without the white space around them.
///
/// # Errors
/// When it is none.
pub fn json_documents(text: &str) -> Result<Vec<Range<usize>>, serde_json::Error> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let mut documents = Vec::new();
    let mut start = 0;
    while let Some(document) = stream.next() {
        document?;
        let end = stream.byte_offset();
        let blank = text.get(start..end).map_or(0, |document| document.len() - document.trim_start().len());
        documents.push(start + blank..end);
        start = end;
    }
    Ok(documents)
}

/// Writes a document. What was written is read again: it is the same, or an error.
///
/// # Errors
/// When it cannot be written.
pub fn write(value: &Value, form: Form) -> Result<String, WriteError> {
    let (text, again) = match form {
        Form::Json => {
            let text = serde_json::to_string_pretty(value)?;
            let again = read_json(&text)?;
            (text, again)
        }
        Form::Yaml => {
            let text = serde_yaml::to_string(&Marked(value))?.replace(QUOTES, "\"");
            let again = read_yaml(&text)?;
            (text, again)
        }
    };
    if again.value == *value && again.loss.is_none() { Ok(text) } else { Err(WriteError::Different) }
}

// === impl Reader ===

impl Reader<'_> {
    /// Keeps the first.
    fn lose(&self, what: impl FnOnce() -> String) {
        self.loss.borrow_mut().get_or_insert_with(what);
    }

    /// What `kubectl` makes of a string that was read from the text itself; those that were put together were quoted.
    fn word(&self, text: &str) -> Value {
        match kubectl_reads(text) {
            Some(value) if self.is_plain(text) => value,
            Some(_) | None => Value::String(text.to_owned()),
        }
    }

    /// Whether a part of the text stands there without quotes and without a tag that says what it is.
    fn is_plain(&self, part: &str) -> bool {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr());
        let Some(before) = start.and_then(|start| self.text.get(..start)) else { return false };
        let is_quoted = before.ends_with(['"', '\'']);
        let mut words = before.rsplit(|c: char| c.is_whitespace() || "[{,".contains(c)).filter(|word| !word.is_empty());
        let is_tagged = words.find(|word| !word.starts_with('&')).is_some_and(|word| word.starts_with('!'));
        !is_quoted && !is_tagged
    }

    fn merge(into: &mut Mapping, value: Value) -> bool {
        match value {
            Value::Mapping(more) => {
                into.extend(more);
                true
            }
            // Earlier ones win over later ones.
            Value::Sequence(all) => all.into_iter().rev().all(|one| one.is_mapping() && Self::merge(into, one)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => false,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        if !value.is_finite() {
            self.lose(|| format!("the number {value}"));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value, E> {
        Ok(self.word(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut sequence = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            sequence.push(item);
        }
        Ok(Value::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        let mut own = BTreeSet::new();
        while let Some(key) = entries.next_key_seed(KeyReader(self))? {
            let value = entries.next_value_seed(self)?;
            match key {
                Key::Merge => {
                    if !Self::merge(&mut mapping, value) {
                        return Err(A::Error::custom("expected a mapping, or several, behind <<"));
                    }
                }
                Key::Name(name) => {
                    mapping.insert(Value::String(name.clone()), value);
                    if !own.insert(name.clone()) {
                        self.lose(|| format!("the key {name:?} twice"));
                    }
                }
            }
        }
        Ok(Value::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, value) = tagged.variant::<String>()?;
        self.lose(|| format!("a value with the tag !{tag}"));
        value.newtype_variant_seed(self)
    }
}

// === impl KeyReader ===

impl<'de> DeserializeSeed<'de> for KeyReader<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeyReader<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a string, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Key, E> {
        Ok(Key::Name(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Key, E> {
        Ok(Key::Name(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Key, E> {
        Ok(Key::Name(value.to_string()))
    }

    /// `kubectl` spells some of them otherwise.
    fn visit_f64<E>(self, value: f64) -> Result<Key, E> {
        self.0.lose(|| format!("the number {value} as a key"));
        Ok(Key::Name(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Key, E> {
        Ok(Key::Name(value.to_owned()))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Key, E> {
        if value == "<<" && self.0.is_plain(value) {
            return Ok(Key::Merge);
        }
        match self.0.word(value) {
            Value::Bool(value) => self.visit_bool(value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => self.visit_i64(value),
                (None, Some(value)) => self.visit_u64(value),
                (None, None) => self.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Value::Null | Value::String(_) | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
                self.visit_str(value)
            }
        }
    }
}

// === impl Marked ===

impl Serialize for Marked<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) if kubectl_reads(text).is_some() || text == "<<" => {
                let [open, close] = QUOTES;
                serializer.serialize_str(&format!("{open}{text}{close}"))
            }
            Value::Sequence(items) => serializer.collect_seq(items.iter().map(Marked)),
            Value::Mapping(entries) => serializer.collect_map(entries.iter().map(|(k, v)| (Marked(k), Marked(v)))),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_)) => {
                other.serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
