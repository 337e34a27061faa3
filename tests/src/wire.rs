//! Protobuf messages, written field by field: what a client of any age could send.
//!
//! *Never:* what a field means.

/// A message as bytes.
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
    pub fn integer(self, field: u64, value: u64) -> Self {
        self.with(field, 0, &varint(value))
    }

    /// Adds a number, as `sint64` is written.
    #[must_use]
    pub fn signed(self, field: u64, value: i64) -> Self {
        self.integer(field, (value << 1 ^ value >> 63).cast_unsigned())
    }

    /// Adds a `double`.
    #[must_use]
    pub fn double(self, field: u64, value: f64) -> Self {
        self.with(field, 1, &value.to_le_bytes())
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, field: u64, value: &str) -> Self {
        self.with(field, 2, &delimited(value.as_bytes()))
    }

    /// Adds a message.
    #[must_use]
    pub fn message(self, field: u64, value: &Self) -> Self {
        self.with(field, 2, &value.delimited())
    }

    /// Its length and its bytes.
    #[must_use]
    pub fn delimited(&self) -> Vec<u8> {
        delimited(&self.0)
    }

    fn with(mut self, field: u64, wire: u64, bytes: &[u8]) -> Self {
        self.0.extend(varint(field << 3 | wire));
        self.0.extend(bytes);
        self
    }
}

fn delimited(bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(bytes.len().try_into().unwrap_or(u64::MAX));
    out.extend(bytes);
    out
}

/// A number in base 128, lowest digits first.
fn varint(mut number: u64) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_format_has_them() {
        let inner = Message::new().signed(1, -2).text(2, "ab");
        let message = Message::new().integer(1, 300).double(2, 1.0).message(3, &inner);
        let expected = b"\x13\x08\xac\x02\x11\0\0\0\0\0\0\xf0\x3f\x1a\x06\x08\x03\x12\x02ab";
        assert_eq!(message.delimited(), expected);
    }
}
