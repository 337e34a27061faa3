//! Numbers, texts and labels as bytes, and back.
//!
//! Whole numbers are written seven bits a byte, the low ones first; floats as their bits, so that each NaN stays what
//! it is; texts with their length in front.
//!
//! *Never:* what is written.

use protocol::LabelSet;

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(super) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, u64::try_from(length).unwrap_or(u64::MAX));
}

/// Small ones are short on both sides of zero.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

pub(super) fn put_float(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(&number.to_bits().to_le_bytes());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Without those that are not wanted.
pub(super) fn put_labels(out: &mut Vec<u8>, labels: &LabelSet, is_wanted: impl Fn((&str, &str)) -> bool) {
    put_length(out, labels.iter().filter(|label| is_wanted(*label)).count());
    for (name, value) in labels.iter().filter(|label| is_wanted(*label)) {
        put_text(out, name);
        put_text(out, value);
    }
}

/// Reads from the front. `None` where the bytes end too early or are not what they should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            let shifted = low.checked_shl(shift).filter(|shifted| shifted >> shift == low)?;
            number |= shifted;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn float(&mut self) -> Option<f64> {
        let (bits, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(f64::from_bits(u64::from_le_bytes(*bits)))
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    pub(super) fn labels(&mut self) -> Option<LabelSet> {
        let pairs = self.several(|reader| Some((reader.text()?, reader.text()?)))?;
        LabelSet::from_pairs(pairs).ok()
    }

    /// So many of them as a number in front says.
    pub(super) fn several<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        // No room is made for a number that somebody else wrote: each one takes a byte at least.
        let mut read = Vec::new();
        for _ in 0..self.length()? {
            read.push(one(self)?);
        }
        Some(read)
    }
}
