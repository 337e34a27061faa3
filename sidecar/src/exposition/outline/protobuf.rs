//! Outlines of bodies of messages.
//!
//! A number has eight bytes, wherever it is: so two bodies that agree in all others are the same messages. Fields that are
//! not known are passed over like all that is no number.
//!
//! *Never:* labels, help, units.

use std::ops::Range;

use super::{Draft, Format, Hasher, Outlined, Outliner};

/// Fields of a family.
const NAME: u64 = 1;
const METRIC: u64 = 4;

/// Fields of a metric.
const GAUGE: u64 = 2;
const COUNTER: u64 = 3;
const SUMMARY: u64 = 4;
const UNTYPED: u64 = 5;
const TIMESTAMP: u64 = 6;
const HISTOGRAM: u64 = 7;

/// What a message with a value and nothing else starts with: field 1, eight bytes.
const VALUE: u8 = 0x09;
const VALUE_BYTES: usize = 8;

/// A place in a body, and the end of the message around it.
#[derive(Clone, Copy, Debug)]
struct Fields<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

/// The number of a field, and where its bytes are if it has a length.
type Field = (u64, Option<Range<usize>>);

// === impl Outliner ===

impl Outliner {
    /// Outlines a body; `None` where it has to be read.
    #[must_use]
    pub fn protobuf<'a>(&self, body: &'a [u8]) -> Option<Outlined<'a>> {
        let mut draft = self.draft(Format::Protobuf, body);
        let mut families = Fields { body, at: 0, end: body.len() };
        while families.at < families.end {
            let family = families.delimited()?;
            draft.family(family)?;
        }
        draft.finish()
    }
}

// === impl Draft ===

impl<H: Hasher> Draft<'_, H> {
    fn family(&mut self, family: Range<usize>) -> Option<()> {
        let mut fields = Fields { body: self.body, at: family.start, end: family.end };
        let mut name = "";
        while let Some((number, bytes)) = fields.next()? {
            match (number, bytes) {
                (NAME, Some(bytes)) => name = std::str::from_utf8(self.body.get(bytes)?).ok()?,
                (METRIC, Some(metric)) => self.metric(metric)?,
                _ => {}
            }
        }
        self.names.resize(self.numbers.len(), name);
        Some(())
    }

    /// A metric has one number.
    fn metric(&mut self, metric: Range<usize>) -> Option<()> {
        let mut fields = Fields { body: self.body, at: metric.start, end: metric.end };
        let numbers = self.numbers.len();
        while let Some((number, bytes)) = fields.next()? {
            match (number, bytes) {
                (GAUGE | COUNTER | UNTYPED, Some(value)) => self.value(value)?,
                (SUMMARY | TIMESTAMP | HISTOGRAM, _) => return None,
                _ => {}
            }
        }
        (self.numbers.len() == numbers + 1).then_some(())
    }

    fn value(&mut self, value: Range<usize>) -> Option<()> {
        let (first, number) = self.body.get(value.clone())?.split_first()?;
        let number: [u8; VALUE_BYTES] = number.try_into().ok().filter(|_| *first == VALUE)?;
        self.number(f64::from_le_bytes(number), value.start + 1, value.end)
    }
}

// === impl Fields ===

impl Fields<'_> {
    /// The next field; nothing at the end, `None` where it is no field.
    fn next(&mut self) -> Option<Option<Field>> {
        if self.at == self.end {
            return Some(None);
        }
        let key = self.varint()?;
        let bytes = match key & 7 {
            0 => self.varint().map(|_| None)?,
            1 => self.skip(8).map(|_| None)?,
            2 => Some(self.delimited()?),
            5 => self.skip(4).map(|_| None)?,
            _ => return None,
        };
        Some(Some((key >> 3, bytes)))
    }

    /// Bytes with their length in front.
    fn delimited(&mut self) -> Option<Range<usize>> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.skip(length)
    }

    fn skip(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.end)?;
        Some(std::mem::replace(&mut self.at, end)..end)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut rest = self.body.get(self.at..self.end)?;
        let before = rest.len();
        let number = prost::encoding::decode_varint(&mut rest).ok()?;
        self.at += before - rest.len();
        Some(number)
    }
}
