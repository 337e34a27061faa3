//! A set of labels, and the label block of the text format in both directions.
//!
//! One grammar for everybody who reads a label block: the sidecar's decoder and the operator's reader of push times
//! would otherwise differ on the values that matter (commas, braces, quotes, escapes).
//!
//! *Never:* metrics, families, URLs.

use std::fmt;

/// Labels by name, sorted, each name once. A label with an empty value is there; it is not the same as no label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelSet {
    sorted: Vec<(String, String)>,
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
    pub labels: Vec<(String, String)>,
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

fn is_in_label_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9')
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
    pub fn from_pairs(mut pairs: Vec<(String, String)>) -> Result<Self, String> {
        pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut neighbours = pairs.iter().zip(pairs.iter().skip(1));
        match neighbours.find(|((left, _), (right, _))| left == right) {
            Some(((name, _), _)) => Err(name.clone()),
            None => Ok(Self { sorted: pairs }),
        }
    }

    /// The value of a label, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.position(name).ok()?;
        self.sorted.get(found).map(|(_, value)| value.as_str())
    }

    /// Whether a label of this name is there.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Sets a label and returns the value it had. For many labels at once, `extend` sorts only once.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) -> Option<String> {
        let (name, value) = (name.into(), value.into());
        match self.position(&name) {
            Ok(found) => self.sorted.get_mut(found).map(|(_, old)| std::mem::replace(old, value)),
            Err(place) => {
                self.sorted.insert(place, (name, value));
                None
            }
        }
    }

    /// Takes a label out and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let found = self.position(name).ok()?;
        Some(self.sorted.remove(found).1)
    }

    /// Names and values, sorted by name, bytewise.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + DoubleEndedIterator {
        self.sorted.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for LabelSet {
    /// Of a name that comes twice, the later value stays.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut set = Self::new();
        set.extend(labels);
        set
    }
}

impl<N: Into<String>, V: Into<String>> Extend<(N, V)> for LabelSet {
    /// Of a name that is there or comes twice, the later value stays.
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, labels: I) {
        self.sorted.extend(labels.into_iter().map(|(name, value)| (name.into(), value.into())));
        // The sort is stable: of equal names, the later stands behind the earlier.
        self.sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
        self.sorted.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
    }
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
        self.expect('{', "`{`")?;
        let mut block = LabelBlock { metric_name: None, labels: Vec::new(), rest: "" };
        loop {
            self.skip_blanks();
            if self.take('}') {
                block.rest = self.rest();
                return Ok(block);
            }
            self.item(&mut block)?;
            self.skip_blanks();
            if !self.take(',') && self.peek() != Some('}') {
                return Err(self.error("`,` or `}`"));
            }
        }
    }

    /// A pair, or the metric's name in quotes.
    fn item(&mut self, block: &mut LabelBlock<'a>) -> Result<(), LabelError> {
        let start = self.at;
        let quoted = self.peek() == Some('"');
        let name = if quoted { self.quoted()? } else { self.name()? };
        self.skip_blanks();
        if quoted && matches!(self.peek(), Some(',' | '}')) {
            if block.metric_name.is_some() {
                self.at = start;
                return Err(self.error("a label, after the metric name was given"));
            }
            block.metric_name = Some(name);
            return Ok(());
        }
        self.expect('=', "`=` after the label name")?;
        self.skip_blanks();
        let value = self.quoted()?;
        block.labels.push((name, value));
        Ok(())
    }

    fn name(&mut self) -> Result<String, LabelError> {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !is_in_label_name(byte)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if !is_label_name(name) {
            return Err(self.error("a label name"));
        }
        self.at += end;
        Ok(name.to_owned())
    }

    fn quoted(&mut self) -> Result<String, LabelError> {
        self.expect('"', "`\"`")?;
        let mut value = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | b'\n')).unwrap_or(rest.len());
            value.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some('\\') => {
                    self.at += 1;
                    value.push(match self.peek() {
                        Some('\\') => '\\',
                        Some('"') => '"',
                        Some('n') => '\n',
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

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn take(&mut self, token: char) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn expect(&mut self, token: char, expected: &'static str) -> Result<(), LabelError> {
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
