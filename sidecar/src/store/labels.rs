//! The labels of a stored series, wherever they are: in its text, in a set, or in the key of its group. And the order of
//! the page over all of them.
//!
//! *Never:* values, families.

use std::{borrow::Cow, cmp::Ordering};

use protocol::{
    LabelSet,
    label_set::{is_label_name, parse_block},
    series::INSTANCE_LABEL,
};

/// All labels of a series.
#[derive(Clone, Copy, Debug)]
pub(super) enum Labels<'a> {
    /// As [`write_block`] wrote them.
    Block(&'a str),
    Set(&'a LabelSet),
    /// Those that a push time is shown with, but for an empty `instance`.
    Key(&'a LabelSet),
}

/// A label as it stands somewhere.
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
    /// Whether the value has escapes in it.
    is_escaped: bool,
}

/// The pairs of a block.
struct Pairs<'a> {
    /// From the mark before the next pair on.
    rest: &'a str,
}

/// Two sorted lists of labels as one.
struct Merged<'a, L: Iterator<Item = (&'a str, &'a str)>, R: Iterator<Item = (&'a str, &'a str)>> {
    over: std::iter::Peekable<L>,
    under: std::iter::Peekable<R>,
}

/// The labels of both, sorted by name; of a name that both have, the first one's.
pub(super) fn merged<'a>(
    over: impl Iterator<Item = (&'a str, &'a str)>,
    under: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    Merged { over: over.peekable(), under: under.peekable() }
}

/// The labels that a series of a group has, when these were pushed with it: the key's take the place of its own, and it
/// has an `instance` in any case.
pub(super) fn forced<'a>(key: &'a LabelSet, pushed: &'a LabelSet) -> impl Iterator<Item = (&'a str, &'a str)> {
    merged(merged(key.iter(), pushed.iter()), std::iter::once((INSTANCE_LABEL, "")))
}

/// Writes a label block; `false`, with something written, if a name is not classic.
pub(super) fn write_block<'a>(out: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let mut before = '{';
    for (name, value) in labels {
        if !is_label_name(name) {
            return false;
        }
        out.push(before);
        out.push_str(name);
        out.push_str("=\"");
        write_escaped(out, value);
        out.push('"');
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    true
}

fn write_escaped(out: &mut String, value: &str) {
    if !['\\', '"', '\n'].into_iter().any(|c| value.contains(c)) {
        out.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

// === impl Labels ===

impl<'a> Labels<'a> {
    /// Fewer labels first, then by the values, bytewise, then by the names.
    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Block(left), Self::Block(right)) => compare(pairs(left), pairs(right)),
            (Self::Block(left), Self::Set(right)) => compare(pairs(left), right.iter().map(pair)),
            (Self::Set(left), Self::Block(right)) => compare(left.iter().map(pair), pairs(right)),
            (Self::Set(left), Self::Set(right)) => compare(left.iter().map(pair), right.iter().map(pair)),
            (Self::Key(left), Self::Key(right)) => compare(exposed(left).map(pair), exposed(right).map(pair)),
            (Self::Key(key), Self::Block(_) | Self::Set(_)) => Labels::Set(&exposed(key).collect()).compare(other),
            (Self::Block(_) | Self::Set(_), Self::Key(key)) => self.compare(Labels::Set(&exposed(key).collect())),
        }
    }

    pub(super) fn to_set(self) -> Cow<'a, LabelSet> {
        match self {
            Self::Set(set) => Cow::Borrowed(set),
            Self::Key(key) => Cow::Owned(exposed(key).collect()),
            Self::Block(block) => {
                let pairs = parse_block(block).map(|block| block.labels).unwrap_or_default();
                Cow::Owned(LabelSet::from_pairs(pairs).unwrap_or_default())
            }
        }
    }
}

impl Ord for Labels<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(*other)
    }
}

impl PartialOrd for Labels<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Labels<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Labels<'_> {}

fn compare<'a>(mut left: impl Iterator<Item = Pair<'a>>, mut right: impl Iterator<Item = Pair<'a>>) -> Ordering {
    let (mut values, mut names) = (Ordering::Equal, Ordering::Equal);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return values.then(names),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => {
                if values.is_eq() {
                    values = left.compare_value(&right);
                    names = names.then_with(|| left.name.cmp(right.name));
                }
            }
        }
    }
}

/// The labels that the push times of a group are shown with.
pub(super) fn exposed(key: &LabelSet) -> impl Iterator<Item = (&str, &str)> {
    merged(key.iter(), std::iter::once((INSTANCE_LABEL, "")))
}

fn pair<'a>((name, value): (&'a str, &'a str)) -> Pair<'a> {
    Pair { name, value, is_escaped: false }
}

fn pairs(block: &str) -> impl Iterator<Item = Pair<'_>> {
    Pairs { rest: block }
}

// === impl Pair ===

impl Pair<'_> {
    fn compare_value(&self, other: &Self) -> Ordering {
        if self.is_escaped || other.is_escaped { self.bytes().cmp(other.bytes()) } else { self.value.cmp(other.value) }
    }

    /// Of the value, unescaped.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        let mut bytes = self.value.bytes();
        std::iter::from_fn(move || match bytes.next() {
            Some(b'\\') if self.is_escaped => bytes.next().map(|byte| if byte == b'n' { b'\n' } else { byte }),
            byte => byte,
        })
    }
}

// === impl Pairs ===

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let (name, value) = self.rest.get(1..)?.split_once('=')?;
        let value = value.get(1..)?;
        let (end, is_escaped) = end_of(value)?;
        self.rest = value.get(end + 1..)?;
        Some(Pair { name, value: value.get(..end)?, is_escaped })
    }
}

/// Where a value ends that starts behind its quote, and whether there are escapes in it.
fn end_of(value: &str) -> Option<(usize, bool)> {
    let first = value.find('"')?;
    if !value.get(..first)?.contains('\\') {
        return Some((first, false));
    }
    let mut is_escape = false;
    let is_end = |byte| {
        let is_end = byte == b'"' && !is_escape;
        is_escape = byte == b'\\' && !is_escape;
        is_end
    };
    value.bytes().position(is_end).map(|end| (end, true))
}

// === impl Merged ===

impl<'a, L: Iterator<Item = (&'a str, &'a str)>, R: Iterator<Item = (&'a str, &'a str)>> Iterator for Merged<'a, L, R> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        match (self.over.peek(), self.under.peek()) {
            (Some((over, _)), Some((under, _))) => match over.cmp(under) {
                Ordering::Less => self.over.next(),
                Ordering::Equal => {
                    self.under.next();
                    self.over.next()
                }
                Ordering::Greater => self.under.next(),
            },
            (Some(_), None) => self.over.next(),
            (None, _) => self.under.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::family::compare_labels;

    fn set(labels: &[(String, String)]) -> LabelSet {
        labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn any_labels() -> impl Strategy<Value = LabelSet> {
        prop::collection::vec(("[a-c]{1,2}", "[ab\\\\\"\n={}, ]{0,3}"), 1..4).prop_map(|labels| set(&labels))
    }

    fn block(labels: &LabelSet) -> String {
        let mut out = String::new();
        assert!(write_block(&mut out, labels.iter()));
        out
    }

    proptest! {
        #[test]
        fn a_block_is_ordered_and_read_like_the_set_it_was_written_from(left in any_labels(), right in any_labels()) {
            let (left_block, right_block) = (block(&left), block(&right));
            prop_assert_eq!(&left_block, &left.to_string());
            prop_assert_eq!(&*Labels::Block(&left_block).to_set(), &left);
            let expected = compare_labels(&left, &right);
            for (one, other) in [
                (Labels::Block(&left_block), Labels::Block(&right_block)),
                (Labels::Block(&left_block), Labels::Set(&right)),
                (Labels::Set(&left), Labels::Block(&right_block)),
                (Labels::Set(&left), Labels::Set(&right)),
            ] {
                prop_assert_eq!(one.compare(other), expected, "{} {}", left, right);
            }
        }
    }

    #[test]
    fn a_name_that_is_not_classic_cannot_be_written() {
        assert!(!write_block(&mut String::new(), [("a.b", "")].into_iter()));
    }
}
