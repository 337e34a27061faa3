//! A set of labels, and the label block of the text format in both directions.
//!
//! One grammar for everybody who reads a label block: the sidecar's decoder and the operator's reader of push times
//! would otherwise differ on the values that matter (commas, braces, quotes, escapes).
//!
//! *Never:* metrics, families, URLs.

use std::{borrow::Cow, cmp::Ordering, fmt};

/// Labels by name, sorted, each name once. A label with an empty value is there; it is not the same as no label.
///
/// All of it is one text, since most sets are made to be read a few times and dropped.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct LabelSet {
    /// Each name and behind it its value.
    text: String,
    /// Where in the text each name starts, its value starts, and that ends.
    places: Vec<(usize, usize, usize)>,
}

/// Which names are legal, in Prometheus' own words: validation schemes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameValidation {
    /// The classic alphabet: letters, digits, `_`, and in metric names `:`.
    #[default]
    Legacy,
    /// Any text that is not empty, but for U+0000: a page with that in a name cannot be read by Prometheus.
    Utf8,
}

/// A label block and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelBlock<'a> {
    /// The metric's name where it stands inside the braces: `{"my.metric",a="b"}`.
    pub metric_name: Option<String>,
    /// Name and value in the order written, values unescaped. Names may repeat: who allows that differs.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The text after the closing brace.
    pub rest: &'a str,
}

/// Why a text is no label block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelError {
    /// Bytes from the start of the text that was given to the place of the fault.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
    /// What was found there; `None` at the end of the text.
    pub found: Option<char>,
}

/// Whether a name is a label name that every Prometheus accepts: a letter or `_`, then also digits.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && name.bytes().all(is_in_label_name)
}

/// Looked up, since every byte of every name is.
const IN_LABEL_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is always inside")]
        let entry = &mut table[byte as usize];
        *entry = byte == b'_' || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

/// Whether a byte may be in a label name, though not each of them may be the first.
#[must_use]
pub fn is_in_label_name(byte: u8) -> bool {
    IN_LABEL_NAMES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether a name is kept for Prometheus itself: it starts with `__`.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("__")
}

/// Reads a label block. The text starts at the opening brace.
///
/// Blanks (space and tab) may stand around every token, one comma may follow the last pair, values may hold every
/// character but a line feed, and `\\`, `\"` and `\n` are the escapes. Names may be quoted the same way.
///
/// # Errors
/// The first place that does not fit.
pub fn parse_block(text: &str) -> Result<LabelBlock<'_>, LabelError> {
    Parser { text, at: 0 }.block()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

// === impl NameValidation ===

impl NameValidation {
    /// Whether a label may have that name.
    #[must_use]
    pub fn allows_label(self, name: &str) -> bool {
        match self {
            Self::Legacy => is_label_name(name),
            Self::Utf8 => !name.is_empty() && !name.contains('\0'),
        }
    }
}

// === impl LabelSet ===

impl LabelSet {
    /// The set without labels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes names and values in any order.
    ///
    /// # Errors
    /// A name that comes twice.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(mut pairs: Vec<(N, V)>) -> Result<Self, String> {
        pairs.sort_by(|(left, _), (right, _)| left.as_ref().cmp(right.as_ref()));
        let mut neighbours = pairs.iter().zip(pairs.iter().skip(1));
        match neighbours.find(|((left, _), (right, _))| left.as_ref() == right.as_ref()) {
            Some(((name, _), _)) => Err(name.as_ref().to_owned()),
            None => Ok(Self::of_sorted(&pairs)),
        }
    }

    fn of_sorted<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Self {
        let length = pairs.iter().map(|(name, value)| name.as_ref().len() + value.as_ref().len()).sum();
        let mut set = Self { text: String::with_capacity(length), places: Vec::with_capacity(pairs.len()) };
        for (name, value) in pairs {
            let start = set.text.len();
            set.text.push_str(name.as_ref());
            let middle = set.text.len();
            set.text.push_str(value.as_ref());
            set.places.push((start, middle, set.text.len()));
        }
        set
    }

    /// The value of a label, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.places.get(self.position(name).ok()?).map(|place| self.pair(place).1)
    }

    /// Whether a label of this name is there.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Sets a label and returns the value it had. For many labels at once, `extend` sorts only once.
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Option<String> {
        let (name, value) = (name.as_ref(), value.as_ref());
        let old = self.get(name).map(str::to_owned);
        let before = self.iter().take_while(|(known, _)| *known < name);
        let after = self.iter().skip_while(|(known, _)| *known <= name);
        let pairs: Vec<_> = before.chain([(name, value)]).chain(after).collect();
        *self = Self::of_sorted(&pairs);
        old
    }

    /// Takes a label out and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let found = self.get(name)?.to_owned();
        let others: Vec<_> = self.iter().filter(|(known, _)| *known != name).collect();
        *self = Self::of_sorted(&others);
        Some(found)
    }

    /// Names and values, sorted by name, bytewise.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + DoubleEndedIterator {
        self.places.iter().map(|place| self.pair(place))
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn pair(&self, &(start, middle, end): &(usize, usize, usize)) -> (&str, &str) {
        let part = |from, to| self.text.get(from..to).unwrap_or_default();
        (part(start, middle), part(middle, end))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.places.binary_search_by(|place| self.pair(place).0.cmp(name))
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// By the first name or value that differs; a set that goes on comes later.
impl Ord for LabelSet {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for LabelSet {
    /// Of a name that comes twice, the later value stays.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut pairs: Vec<_> = labels.into_iter().collect();
        keep_later(&mut pairs);
        Self::of_sorted(&pairs)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Extend<(N, V)> for LabelSet {
    /// Of a name that is there or comes twice, the later value stays.
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, labels: I) {
        let labels: Vec<_> = labels.into_iter().collect();
        let added = labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let mut pairs: Vec<_> = self.iter().chain(added).collect();
        keep_later(&mut pairs);
        *self = Self::of_sorted(&pairs);
    }
}

/// Sorts by name and keeps the last of each.
fn keep_later<N: AsRef<str>, V>(pairs: &mut Vec<(N, V)>) {
    // The sort is stable: of equal names, the later stands behind the earlier.
    pairs.sort_by(|(left, _), (right, _)| left.as_ref().cmp(right.as_ref()));
    pairs.dedup_by(|later, kept| {
        let is_same = later.0.as_ref() == kept.0.as_ref();
        if is_same {
            std::mem::swap(later, kept);
        }
        is_same
    });
}

/// Prints the label block: `{a="b",c="d"}`, names sorted, values escaped; `{}` for the empty set.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if 0 < index {
                f.write_str(",")?;
            }
            if is_label_name(name) {
                f.write_str(name)?;
            } else {
                write_quoted(f, name)?;
            }
            f.write_str("=")?;
            write_quoted(f, value)?;
        }
        f.write_str("}")
    }
}

/// Prints a value in quotes, with `\`, `"` and line feed escaped.
///
/// # Errors
/// Those of the writer.
pub fn write_quoted(out: &mut impl fmt::Write, value: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in value.bytes().enumerate() {
        let escape = match byte {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            b'\n' => "\\n",
            _ => continue,
        };
        out.write_str(value.get(plain..at).unwrap_or_default())?;
        out.write_str(escape)?;
        plain = at + 1;
    }
    out.write_str(value.get(plain..).unwrap_or_default())?;
    out.write_char('"')
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn block(mut self) -> Result<LabelBlock<'a>, LabelError> {
        self.expect(b'{', "`{`")?;
        let mut block = LabelBlock { metric_name: None, labels: Vec::new(), rest: "" };
        loop {
            self.skip_blanks();
            if self.take(b'}') {
                block.rest = self.rest();
                return Ok(block);
            }
            self.item(&mut block)?;
            self.skip_blanks();
            if !self.take(b',') && self.peek_byte() != Some(b'}') {
                return Err(self.error("`,` or `}`"));
            }
        }
    }

    /// A pair, or the metric's name in quotes.
    fn item(&mut self, block: &mut LabelBlock<'a>) -> Result<(), LabelError> {
        let start = self.at;
        let quoted = self.peek_byte() == Some(b'"');
        let name = if quoted { self.quoted()? } else { Cow::Borrowed(self.name()?) };
        self.skip_blanks();
        if quoted && matches!(self.peek_byte(), Some(b',' | b'}')) {
            if block.metric_name.is_some() {
                self.at = start;
                return Err(self.error("a label, after the metric name was given"));
            }
            block.metric_name = Some(name.into_owned());
            return Ok(());
        }
        self.expect(b'=', "`=` after the label name")?;
        self.skip_blanks();
        let value = self.quoted()?;
        block.labels.push((name, value));
        Ok(())
    }

    fn name(&mut self) -> Result<&'a str, LabelError> {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !is_in_label_name(byte)).unwrap_or(rest.len());
        match rest.get(..end) {
            Some(name) if name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) => {
                self.at += end;
                Ok(name)
            }
            Some(_) | None => Err(self.error("a label name")),
        }
    }

    /// Borrowed where nothing is escaped.
    fn quoted(&mut self) -> Result<Cow<'a, str>, LabelError> {
        self.expect(b'"', "`\"`")?;
        let mut unescaped = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | b'\n')).unwrap_or(rest.len());
            // To an empty one the rest is not copied.
            unescaped += rest.get(..end).unwrap_or_default();
            self.at += end;
            match self.peek_byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(unescaped);
                }
                Some(b'\\') => {
                    self.at += 1;
                    unescaped.to_mut().push(match self.peek_byte() {
                        Some(b'\\') => '\\',
                        Some(b'"') => '"',
                        Some(b'n') => '\n',
                        _ => return Err(self.error("`\\\\`, `\\\"` or `\\n` as escape")),
                    });
                    self.at += 1;
                }
                _ => return Err(self.error("`\"` at the end of the value")),
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek_byte(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes a character of ASCII.
    fn take(&mut self, token: u8) -> bool {
        let found = self.peek_byte() == Some(token);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, token: u8, expected: &'static str) -> Result<(), LabelError> {
        if self.take(token) { Ok(()) } else { Err(self.error(expected)) }
    }

    fn error(&self, expected: &'static str) -> LabelError {
        LabelError { offset: self.at, expected, found: self.peek() }
    }
}

// === impl LabelError ===

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found ", self.expected)?;
        match self.found {
            Some('\n') => f.write_str("the end of the line"),
            Some(found) => write!(f, "{found:?}"),
            None => f.write_str("the end of the text"),
        }
    }
}

impl std::error::Error for LabelError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match parse_block(text) {
            Ok(block) => format!("{:?} {:?} rest {:?}", block.metric_name, block.labels, block.rest),
            Err(error) => format!("{} at {}", error, error.offset),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn blocks_are_read() {
        check("{}", r#"None [] rest """#);
        check("{ } 1", r#"None [] rest " 1""#);
        check(r#"{a="b"} 1"#, r#"None [("a", "b")] rest " 1""#);
        check("{ a =\t\"b\" , }1", r#"None [("a", "b")] rest "1""#);
        check(r#"{a="1,2",b="x=y",c="{id}"}"#, r#"None [("a", "1,2"), ("b", "x=y"), ("c", "{id}")] rest """#);
        check(r#"{a="\\ \" \n"}"#, r#"None [("a", "\\ \" \n")] rest """#);
        check(r#"{"my.metric",a="b"} 1"#, r#"Some("my.metric") [("a", "b")] rest " 1""#);
        check(r#"{"größe"="x"}"#, r#"None [("größe", "x")] rest """#);
        check(r#"{a="1",a="2"}"#, r#"None [("a", "1"), ("a", "2")] rest """#);
    }

    #[test]
    fn a_fault_names_place_expectation_and_finding() {
        check("a", "expected `{`, found 'a' at 0");
        check("{,}", "expected a label name, found ',' at 1");
        check(r#"{a="b",,}"#, "expected a label name, found ',' at 7");
        check(r#"{a="b" b="c"}"#, "expected `,` or `}`, found 'b' at 7");
        check("{a}", "expected `=` after the label name, found '}' at 2");
        check("{a=b}", "expected `\"`, found 'b' at 3");
        check(r#"{a="\t"}"#, r#"expected `\\`, `\"` or `\n` as escape, found 't' at 5"#);
        check("{a=\"b\n\"}", "expected `\"` at the end of the value, found the end of the line at 5");
        check(r#"{a="b""#, "expected `,` or `}`, found the end of the text at 6");
        check(r#"{"m","n"}"#, "expected a label, after the metric name was given, found '\"' at 5");
        check(r#"{1a="b"}"#, "expected a label name, found '1' at 1");
        check(r#"{a:b="c"}"#, "expected `=` after the label name, found ':' at 2");
    }

    #[test]
    fn labels_are_sorted_and_unique() {
        let mut labels: LabelSet = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(labels.to_string(), r#"{a="2",b="3"}"#);
        assert_eq!(labels.insert("a", ""), Some("2".to_owned()));
        assert_eq!((labels.get("a"), labels.get("c")), (Some(""), None));
        assert_eq!(labels.remove("b"), Some("3".to_owned()));
        assert_eq!(labels.len(), 1);
        labels.extend([("c", "1"), ("a", "x"), ("c", "2")]);
        assert_eq!(labels.to_string(), r#"{a="x",c="2"}"#);
    }

    #[test]
    fn pairs_are_a_set_unless_a_name_comes_twice() {
        let pairs = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let set = |names: &[&str]| LabelSet::from_pairs(pairs(names)).map(|labels| labels.to_string());
        assert_eq!(set(&[]), Ok("{}".to_owned()));
        assert_eq!(set(&["b", "a"]), Ok(r#"{a="",b=""}"#.to_owned()));
        assert_eq!(set(&["b", "a", "b"]), Err("b".to_owned()));
    }

    /// Shifting each label into its place takes a large part of a minute here, sorting once a moment.
    #[test]
    fn many_labels_in_falling_order_are_a_set_at_once() {
        let falling = || (0..200_000).rev().map(|n| (format!("l{n:06}"), String::new()));
        assert_eq!(falling().collect::<LabelSet>().len(), 200_000);
        assert_eq!(LabelSet::from_pairs(falling().collect()).map(|labels| labels.len()), Ok(200_000));
    }

    proptest! {
        #[test]
        fn a_printed_set_reads_back(labels in prop::collection::vec((any::<String>(), any::<String>()), 0..5)) {
            let labels: LabelSet = labels.into_iter().collect();
            let printed = labels.to_string();
            let block = parse_block(&printed).unwrap();
            prop_assert_eq!(block.rest, "");
            prop_assert_eq!(block.labels.into_iter().collect::<LabelSet>(), labels);
        }

        #[test]
        fn no_text_breaks_the_parser(text in any::<String>()) {
            let _ = parse_block(&text);
            let _ = parse_block(&format!("{{{text}"));
        }
    }
}
