//! Pushes as they come: random names, labels, help and values.
//!
//! Mostly, the beginning of a name tells the type, so that most pushes fit beside the others; names are few, so that
//! many of them meet, with and without escaping.
//!
//! *Never:* what readers make of them.

use std::ops::Range;

use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree as _, test_runner::TestRunner};
use protocol::{
    GroupingKey, LabelSet,
    label_set::{is_label_name, write_quoted},
};

use crate::gateway::{Push, TEXT};

const KINDS: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// Values of labels and texts of help.
const HOSTILE: &str = "[a\"\\\\\n\r\t {}=,#é\u{1f525}\u{0}\u{7f}]{0,5}";

type Labels = Vec<(String, String)>;

/// A suffix, the label of the part, and the value of a line.
type Part = (&'static str, Option<(&'static str, &'static str)>, f64);

/// A family as it is pushed.
#[derive(Clone, Debug)]
struct Family {
    name: String,
    kind: &'static str,
    help: String,
    labels: Labels,
    value: f64,
}

/// A number of pushes, each to a group of its own; names are of the classic alphabet if they have to be.
pub(crate) fn pushes(is_classic: bool, count: Range<usize>) -> impl Strategy<Value = Vec<Push>> {
    let group = (labels(is_classic), vec(family(is_classic), 0..5));
    vec(group, count).prop_map(|groups| groups.into_iter().enumerate().map(push).collect())
}

/// One choice of many.
pub(crate) fn any_pushes(is_classic: bool) -> anyhow::Result<Vec<Push>> {
    let tree = pushes(is_classic, 30..50).new_tree(&mut TestRunner::default());
    tree.map(|tree| tree.current()).map_err(|reason| anyhow::anyhow!("{reason}"))
}

fn family(is_classic: bool) -> impl Strategy<Value = Family> {
    let kind = select(KINDS.as_slice());
    let other = prop_oneof![19 => Just(None), 1 => select(KINDS.as_slice()).prop_map(Some)];
    let tail = if is_classic { "[ab_]{0,2}" } else { "[a._ é\"\\\\]{0,2}" };
    let value = prop_oneof![any::<f64>(), select([0.0, 1.0, f64::NAN, f64::INFINITY].as_slice())];
    (kind, other, tail, HOSTILE, labels(is_classic), value).prop_map(|(kind, other, tail, help, labels, value)| {
        Family { name: format!("{kind}{tail}"), kind: other.unwrap_or(kind), help, labels, value }
    })
}

/// Each name once.
fn labels(is_classic: bool) -> impl Strategy<Value = Labels> {
    let name = if is_classic { "[ab]{1,2}" } else { "[a._ é:]{1,2}" };
    vec((name, HOSTILE), 0..3).prop_map(|mut labels| {
        labels.retain(|(name, _)| !name.starts_with("__"));
        labels.sort();
        labels.dedup_by(|(later, _), (earlier, _)| later == earlier);
        labels
    })
}

/// The number keeps the groups apart.
fn push((number, (labels, mut families)): (usize, (Labels, Vec<Family>))) -> Push {
    let named = labels.into_iter().map(|(name, value)| (escaped_by_values(&name), value));
    let key: LabelSet = named.chain([("job".to_owned(), format!("random {number}"))]).collect();
    families.sort_by(|left, right| left.name.cmp(&right.name));
    families.dedup_by(|later, earlier| later.name == earlier.name);
    let path = GroupingKey::from_labels(key).expect("the keys made here are keys").to_path();
    Push::new(&path, TEXT, families.iter().map(Family::text).collect::<String>())
}

/// As a path has it.
fn escaped_by_values(name: &str) -> String {
    if is_label_name(name) {
        return name.to_owned();
    }
    let escaped = name.chars().map(|c| match c {
        '_' => "__".to_owned(),
        c if c.is_ascii_alphanumeric() => c.to_string(),
        c => format!("_{:x}_", u32::from(c)),
    });
    format!("U__{}", escaped.collect::<String>())
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    let written = write_quoted(&mut out, text);
    debug_assert!(written.is_ok(), "a string grows as it needs to");
    out
}

/// Without quotes where none are needed, as everybody writes it.
fn label(name: &str, value: &str) -> String {
    let name = if is_label_name(name) { name.to_owned() } else { quoted(name) };
    format!("{name}={}", quoted(value))
}

// === impl Family ===

impl Family {
    fn text(&self) -> String {
        let Self { name, kind, help, value, .. } = self;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let parts: Vec<Part> = match *kind {
            "histogram" => vec![
                ("_bucket", Some(("le", "0.5")), 1.0),
                ("_bucket", Some(("le", "+Inf")), 2.0),
                ("_sum", None, *value),
                ("_count", None, 2.0),
            ],
            "summary" => vec![("", Some(("quantile", "0.5")), *value), ("_sum", None, 1.0), ("_count", None, 2.0)],
            _ => vec![("", None, *value)],
        };
        let is_plain = is_label_name(name);
        let line = |(suffix, part, value): Part| {
            let own = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let labels = own.chain(part).map(|(name, value)| label(name, value));
            let name = format!("{name}{suffix}");
            let (before, inside) = if is_plain { (name, None) } else { (String::new(), Some(quoted(&name))) };
            let inside: Vec<_> = inside.into_iter().chain(labels).collect();
            format!("{before}{{{}}} {value:e}\n", inside.join(","))
        };
        let lines: String = parts.into_iter().map(line).collect();
        let name = if is_plain { name.clone() } else { quoted(name) };
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}")
    }
}
