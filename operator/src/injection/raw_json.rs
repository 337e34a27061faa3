//! JSON that is kept as it is written: the order of members, the digits of numbers, the escapes of texts. A patch is
//! applied to it and taken back, and what neither touches comes out byte for byte.
//!
//! *Never:* outside tests; space between values.

use std::fmt;

use json_patch::PatchOperation;

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// Members in order, the keys with their quotes.
    Object(Vec<(String, Self)>),
    /// Items in order.
    Array(Vec<Self>),
    /// Anything else.
    Leaf(String),
}

/// How an operation is taken back.
#[derive(Debug)]
pub(crate) struct Undo {
    /// Where, with the index that `-` stood for.
    pub(crate) path: Vec<String>,
    /// What was there before.
    pub(crate) before: Option<Raw>,
}

// === impl Raw ===

impl Raw {
    /// Reads JSON that another reader has found to be right.
    pub(crate) fn parse(text: &str) -> Self {
        let mut rest = text;
        let value = parse(&mut rest);
        assert_eq!(rest.trim(), "", "{text}");
        value
    }

    /// Does what an operation of a patch says, as the API server does.
    pub(crate) fn apply(&mut self, operation: &PatchOperation) -> Undo {
        let tokens = operation.path().tokens().map(|token| token.decoded().into_owned());
        let mut path: Vec<String> = tokens.collect();
        let (value, is_add) = match operation {
            PatchOperation::Add(add) => (&add.value, true),
            PatchOperation::Replace(replace) => (&replace.value, false),
            PatchOperation::Remove(_) | PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => {
                panic!("{operation:?} does not add")
            }
        };
        let value = Self::parse(&value.to_string());
        let last = path.last_mut().unwrap().clone();
        let before = match self.parent(&path) {
            Self::Object(members) => match members.iter_mut().find(|(key, _)| unquoted(key) == last) {
                Some((_, known)) => Some(std::mem::replace(known, value)),
                None => {
                    assert!(is_add, "nothing to replace at {path:?}");
                    members.push((serde_json::to_string(&last).unwrap(), value));
                    None
                }
            },
            Self::Array(items) => {
                assert!(is_add, "{path:?}");
                let place = if last == "-" { items.len() } else { last.parse().unwrap() };
                items.insert(place, value);
                *path.last_mut().unwrap() = place.to_string();
                None
            }
            Self::Leaf(leaf) => panic!("{path:?} is in {leaf}"),
        };
        Undo { path, before }
    }

    /// Takes an operation back.
    pub(crate) fn undo(&mut self, undo: Undo) {
        let last = undo.path.last().unwrap();
        match (self.parent(&undo.path), undo.before) {
            (Self::Object(members), Some(before)) => {
                members.iter_mut().find(|(key, _)| unquoted(key) == *last).unwrap().1 = before;
            }
            (Self::Object(members), None) => {
                let place = members.iter().position(|(key, _)| unquoted(key) == *last).unwrap();
                members.remove(place);
            }
            (Self::Array(items), None) => drop(items.remove(last.parse().unwrap())),
            (parent, before) => panic!("{parent:?} {before:?}"),
        }
    }

    fn parent(&mut self, path: &[String]) -> &mut Self {
        path[..path.len() - 1].iter().fold(self, |value, token| match value {
            Self::Object(members) => &mut members.iter_mut().find(|(key, _)| unquoted(key) == *token).unwrap().1,
            Self::Array(items) => &mut items[token.parse::<usize>().unwrap()],
            Self::Leaf(leaf) => panic!("{token} of {leaf}"),
        })
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(leaf) => f.write_str(leaf),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(","))
            }
            Self::Object(members) => {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                write!(f, "{{{}}}", members.join(","))
            }
        }
    }
}

fn unquoted(key: &str) -> String {
    serde_json::from_str(key).unwrap()
}

fn parse(rest: &mut &str) -> Raw {
    *rest = rest.trim_start();
    if eat(rest, "{") {
        let mut members = Vec::new();
        while !eat(rest, "}") {
            let Raw::Leaf(key) = parse(rest) else { panic!("no key before {rest}") };
            assert!(eat(rest, ":"), "{rest}");
            members.push((key, parse(rest)));
            eat(rest, ",");
        }
        return Raw::Object(members);
    }
    if eat(rest, "[") {
        let mut items = Vec::new();
        while !eat(rest, "]") {
            items.push(parse(rest));
            eat(rest, ",");
        }
        return Raw::Array(items);
    }
    let end = if rest.starts_with('"') {
        let mut is_escaped = false;
        let quote = rest.char_indices().skip(1).find(|(_, character)| {
            let is_end = *character == '"' && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            is_end
        });
        quote.unwrap().0 + 1
    } else {
        rest.find([',', '}', ']', ' ', '\n']).unwrap_or(rest.len())
    };
    let (leaf, after) = rest.split_at(end);
    *rest = after;
    Raw::Leaf(leaf.to_owned())
}

fn eat(rest: &mut &str, start: &str) -> bool {
    *rest = rest.trim_start();
    rest.strip_prefix(start).map(|after| *rest = after).is_some()
}

#[test]
fn what_is_read_is_written_as_it_was() {
    let text = r#"{"b":1.0e400,"a":[123456789012345678901234567890,-0,"\u00e9\"\\",{"":null}],"b~/c":{},"d":[]}"#;
    assert_eq!(Raw::parse(text).to_string(), text);
}
