//! The JSON API's answer in, those of the wanted label sets that it has out. Nothing else of it is kept, even for a while.
//!
//! *Never:* where it comes from, which sets are wanted.

use std::{collections::HashSet, fmt, io};

use protocol::LabelSet;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::TrueKeys;

/// The most labels of a group that may be wanted, and the most bytes of them: the page has no more of one either.
const MOST_LABELS: usize = 64;
const LONGEST_LABELS: usize = 128 << 10;

pub(super) fn read(answer: impl io::Read, wanted: &HashSet<LabelSet>) -> Result<TrueKeys, serde_json::Error> {
    let mut keys = TrueKeys::default();
    let mut answer = serde_json::Deserializer::from_reader(answer);
    answer.deserialize_map(Answer(Sought { wanted, keys: &mut keys }))?;
    answer.end()?;
    Ok(keys)
}

struct Sought<'a> {
    wanted: &'a HashSet<LabelSet>,
    keys: &'a mut TrueKeys,
}

struct Answer<'a>(Sought<'a>);

struct Groups<'a>(Sought<'a>);

struct Group<'a, 'b>(&'a mut Sought<'b>);

enum Labels {
    Told(LabelSet),
    /// More than any that is wanted has.
    TooMany,
    /// Something else stands in their place.
    Hidden,
}

/// What a label has for a value, if that is a text.
struct Text(Option<String>);

// === impl Sought ===

impl Sought<'_> {
    fn take(&mut self, labels: Labels) {
        match labels {
            Labels::Told(labels) => {
                if self.wanted.contains(&labels) {
                    self.keys.labels.insert(labels);
                }
            }
            Labels::TooMany => {}
            Labels::Hidden => self.keys.hidden += 1,
        }
    }
}

// === impl Answer ===

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an answer with data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Sought { wanted, keys } = self.0;
        let mut has_data = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "data" if has_data => return Err(Error::duplicate_field("data")),
                "data" => {
                    map.next_value_seed(Groups(Sought { wanted, keys: &mut *keys }))?;
                    has_data = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_data { Ok(()) } else { Err(Error::missing_field("data")) }
    }
}

// === impl Groups ===

impl<'de> DeserializeSeed<'de> for Groups<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, groups: D) -> Result<(), D::Error> {
        groups.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Groups<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("groups")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut groups: A) -> Result<(), A::Error> {
        while groups.next_element_seed(Group(&mut self.0))?.is_some() {}
        Ok(())
    }
}

// === impl Group ===

impl<'de> DeserializeSeed<'de> for Group<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, group: D) -> Result<(), D::Error> {
        group.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Group<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a group with labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut group: A) -> Result<(), A::Error> {
        let mut labels = None;
        while let Some(name) = group.next_key::<String>()? {
            match name.as_str() {
                "labels" if labels.is_some() => return Err(Error::duplicate_field("labels")),
                "labels" => labels = Some(group.next_value()?),
                _ => {
                    group.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.0.take(labels.ok_or_else(|| Error::missing_field("labels"))?);
        Ok(())
    }
}

// === impl Labels ===

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(labels: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Labels;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let (mut labels, mut length) = (Vec::new(), 0);
                while let Some(name) = map.next_key::<String>()? {
                    let Text(value) = map.next_value()?;
                    let Some(value) = value else { return skip(map, Labels::Hidden) };
                    length += name.len() + value.len();
                    if labels.len() == MOST_LABELS || LONGEST_LABELS < length {
                        return skip(map, Labels::TooMany);
                    }
                    labels.push((name, value));
                }
                Ok(Labels::Told(labels.into_iter().collect()))
            }
        }

        labels.deserialize_map(Reader)
    }
}

fn skip<'de, A: MapAccess<'de>>(mut map: A, labels: Labels) -> Result<Labels, A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(labels)
}

// === impl Text ===

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }

        value.deserialize_any(Reader)
    }
}
