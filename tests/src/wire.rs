//! Protobuf messages, written field by field: what a client of any age could send.
//!
//! *Never:* what a field means.

/// A message that is put together field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

// === impl Message ===

impl Message {
    /// One without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number, as `int64`, `uint64`, `bool` or an enum is written.
    #[must_use]
    pub fn integer(mut self, field: u64, value: u64) -> Self {
        integer(&mut self.0, field, value);
        self
    }

    /// Adds a number, as `sint64` is written.
    #[must_use]
    pub fn signed(self, field: u64, value: i64) -> Self {
        self.integer(field, ((value << 1) ^ (value >> 63)).cast_unsigned())
    }

    /// Adds a `double`.
    #[must_use]
    pub fn double(mut self, field: u64, value: f64) -> Self {
        double(&mut self.0, field, value);
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(mut self, field: u64, value: &str) -> Self {
        text(&mut self.0, field, value);
        self
    }

    /// Adds a message.
    #[must_use]
    pub fn message(mut self, field: u64, value: &Self) -> Self {
        message(&mut self.0, field, &value.0);
        self
    }

    /// Its length and its bytes.
    #[must_use]
    pub fn delimited(&self) -> Vec<u8> {
        let mut out = varint(length(&self.0));
        out.extend(&self.0);
        out
    }
}

/// Writes a number, as `int64`, `uint64`, `bool` or an enum is written.
pub fn integer(out: &mut Vec<u8>, field: u64, value: u64) {
    key(out, field, 0);
    out.extend(varint(value));
}

/// Writes a `double`.
pub fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    key(out, field, 1);
    out.extend(value.to_le_bytes());
}

/// Writes a message, given as bytes.
pub fn message(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, 2);
    out.extend(varint(length(value)));
    out.extend(value);
}

/// Writes a text.
pub fn text(out: &mut Vec<u8>, field: u64, value: &str) {
    message(out, field, value.as_bytes());
}

/// A number in base 128, lowest digits first.
#[must_use]
pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(digit);
            return bytes;
        }
        bytes.push(digit | 0x80);
    }
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    out.extend(varint((field << 3) | wire));
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_format_has_them() {
        let inner = Message::new().signed(1, -2).text(2, "ab");
        let message = Message::new().integer(1, 300).double(2, 1.0).message(3, &inner);
        let expected = b"\x14\x08\xac\x02\x11\0\0\0\0\0\0\xf0\x3f\x1a\x06\x08\x03\x12\x02ab";
        assert_eq!(message.delimited(), expected);
    }
}
