//! The tokens of one line.
//!
//! *Never:* other lines, families.

use super::{Cow, Fault, Found, LabelBlock, LabelSet, Malformed, NameValidation, Quoted, Sample};
use super::{allows_metric, is_in_metric_name, parse_block, parse_number};

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A line without its end, and how far it was read.
pub(in crate::exposition) struct Line<'a> {
    text: &'a str,
    at: usize,
    /// What names in quotes may be.
    names: NameValidation,
}

// === impl Line ===

impl<'a> Line<'a> {
    pub(in crate::exposition) fn new(text: &'a str, names: NameValidation) -> Self {
        Self { text, at: 0, names }
    }

    pub(in crate::exposition) fn at(&self) -> usize {
        self.at
    }

    pub(in crate::exposition) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(in crate::exposition) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(in crate::exposition) fn peek_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(in crate::exposition) fn take(&mut self, token: char) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    pub(in crate::exposition) fn skip_blanks(&mut self) {
        while self.peek_byte().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// Everything up to the next blank.
    pub(in crate::exposition) fn word(&mut self) -> &'a str {
        self.until(is_blank)
    }

    /// The name in a comment and the blanks after it; `None` where the line ends before or right after the name.
    pub(in crate::exposition) fn comment_name(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        let start = self.at;
        let (plain, quoted) = match self.peek_byte() {
            None => return Ok(None),
            Some(b'"') => ("", Some(self.quoted_name()?)),
            Some(_) => (self.plain_name()?, None),
        };
        if !self.peek_byte().is_none_or(is_blank) {
            return Err(self.fault(Malformed::AfterCommentName(Found(self.peek()))));
        }
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(None);
        }
        let name = quoted.map(|name| self.legal_name(start, name)).transpose()?;
        Ok(Some(name.map_or(Cow::Borrowed(plain), Cow::Owned)))
    }

    /// The rest of the line as help.
    pub(in crate::exposition) fn help(&mut self) -> Result<String, Fault> {
        let mut help = String::new();
        loop {
            help.push_str(self.until(|byte| byte == b'\\'));
            if !self.take('\\') {
                return Ok(help);
            }
            help.push(match self.peek() {
                Some('\\') => '\\',
                Some('"') => '"',
                Some('n') => '\n',
                other => return Err(self.fault(Malformed::HelpEscape(Found(other)))),
            });
            self.at += 1;
        }
    }

    /// The whole line as a sample.
    pub(in crate::exposition) fn sample(&mut self) -> Result<Sample<'a>, Fault> {
        let point = self.point()?;
        Ok(Sample { timestamp: self.timestamp()?, ..point })
    }

    /// The start of the line as a sample: name, labels and value.
    pub(in crate::exposition) fn point(&mut self) -> Result<Sample<'a>, Fault> {
        let start = self.at;
        let plain = if self.peek_byte() == Some(b'{') { None } else { Some(self.plain_name()?) };
        self.skip_blanks();
        let (quoted, labels) = if self.peek_byte() == Some(b'{') { self.labels()? } else { (None, LabelSet::new()) };
        let name = match (plain, quoted) {
            (Some(name), None) => Cow::Borrowed(name),
            (None, Some(name)) => Cow::Owned(self.legal_name(start, name)?),
            (None, None) => return Err(Fault { at: start, what: Malformed::NoMetricName }),
            (Some(_), Some(name)) => return Err(Fault { at: start, what: Malformed::SecondMetricName(name) }),
        };
        self.skip_blanks();
        let at = self.at;
        let written = self.word();
        let Some(value) = parse_number(written) else {
            return Err(Fault { at, what: Malformed::Value(Quoted(written.to_owned())) });
        };
        Ok(Sample { name, labels, value, written, timestamp: None })
    }

    /// Nothing, or a blank and a timestamp.
    fn timestamp(&mut self) -> Result<Option<i64>, Fault> {
        if self.rest().is_empty() {
            return Ok(None);
        }
        let before = self.at;
        self.skip_blanks();
        let rest = self.rest();
        if rest.is_empty() {
            return Err(Fault { at: before, what: Malformed::TrailingBlank });
        }
        match rest.parse() {
            Ok(timestamp) => Ok(Some(timestamp)),
            Err(_) => Err(self.fault(Malformed::Timestamp(Quoted(rest.to_owned())))),
        }
    }

    fn plain_name(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        let name = self.until(|byte| !is_in_metric_name(byte));
        if name.as_bytes().first().is_some_and(|first| !first.is_ascii_digit()) {
            return Ok(name);
        }
        self.at = start;
        Err(self.fault(Malformed::MetricName(Found(self.peek()))))
    }

    /// A name that stood in quotes at that place.
    fn legal_name(&self, at: usize, name: String) -> Result<String, Fault> {
        match name {
            name if allows_metric(self.names, &name) => Ok(name),
            name if name.is_empty() => Err(Fault { at, what: Malformed::EmptyMetricName }),
            name if name.contains('\0') => Err(Fault { at, what: Malformed::NulInName(name) }),
            name => Err(Fault { at, what: Malformed::MetricNameAlphabet(name) }),
        }
    }

    /// A name in quotes is a label block's one item, so the block's grammar reads it.
    fn quoted_name(&mut self) -> Result<String, Fault> {
        let rest = self.rest();
        let inner = rest.strip_prefix('"').unwrap_or_default();
        let mut escaped = false;
        let end = inner.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let quoted = end.and_then(|end| rest.get(..end + 2));
        let block = quoted.map(|quoted| format!("{{{quoted}}}"));
        let name = block.as_deref().and_then(|block| parse_block(block).ok()).and_then(|block| block.metric_name);
        match (name, quoted) {
            (Some(name), Some(quoted)) => {
                self.at += quoted.len();
                Ok(name)
            }
            _ => Err(self.fault(Malformed::QuotedName)),
        }
    }

    /// The label block and the metric name inside it.
    pub(in crate::exposition) fn labels(&mut self) -> Result<(Option<String>, LabelSet), Fault> {
        let start = self.at;
        let LabelBlock { metric_name, labels, rest } = parse_block(self.rest()).map_err(|mut error| {
            // To `parse_block` the line is all there is.
            error.found = error.found.or(Some('\n'));
            Fault { at: start + error.offset, what: Malformed::Labels(error) }
        })?;
        for (name, _) in &labels {
            if name == "__name__" {
                return Err(Fault { at: start, what: Malformed::NameAsLabel });
            }
            if !self.names.allows_label(name) {
                let what = match name {
                    name if name.is_empty() => Malformed::EmptyLabelName,
                    name if name.contains('\0') => Malformed::NulInName(name.to_string()),
                    name => Malformed::LabelNameAlphabet(name.to_string()),
                };
                return Err(Fault { at: start, what });
            }
        }
        let set =
            LabelSet::from_pairs(labels).map_err(|name| Fault { at: start, what: Malformed::DuplicateLabel(name) })?;
        self.at = self.text.len() - rest.len();
        Ok((metric_name, set))
    }

    /// Everything before a byte that ends it: one of ASCII, or the first of a character.
    fn until(&mut self, end: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(end).unwrap_or(rest.len());
        let token = rest.get(..length).unwrap_or(rest);
        self.at += token.len();
        token
    }

    pub(in crate::exposition) fn fault(&self, what: Malformed) -> Fault {
        Fault { at: self.at, what }
    }
}
