//! An answer that comes in chunk by chunk, as something that a thread which may block reads from.
//!
//! A reader of JSON holds the text and the nesting it is in, however long they are: so what is too long or too deep for an
//! answer of a Pushgateway ends the reading.
//!
//! *Never:* what the JSON says.

use std::io;

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc::Receiver;

/// The longest text, or number, in bytes.
const LONGEST_TOKEN: usize = 128 << 10;

/// The most brackets within each other.
const MOST_NESTED: usize = 64;

/// Reads what is sent until nobody sends any more.
pub(crate) struct Chunks {
    coming: Receiver<Bytes>,
    chunk: Bytes,
    shape: Shape,
}

/// Where in a JSON text one is.
#[derive(Debug, Default)]
struct Shape {
    is_in_text: bool,
    is_escaped: bool,
    /// Bytes since the last that begins or ends something.
    token: usize,
    nested: usize,
}

// === impl Chunks ===

impl Chunks {
    pub(crate) fn new(coming: Receiver<Bytes>) -> Self {
        Self { coming, chunk: Bytes::new(), shape: Shape::default() }
    }
}

impl io::Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let Some(chunk) = self.coming.blocking_recv() else { return Ok(0) };
            if !self.shape.takes(&chunk) {
                return Err(io::Error::other("expected no longer text and no deeper nesting"));
            }
            self.chunk = chunk;
        }
        let count = out.len().min(self.chunk.len());
        let Some(out) = out.get_mut(..count) else { return Ok(0) };
        self.chunk.copy_to_slice(out);
        Ok(count)
    }
}

// === impl Shape ===

impl Shape {
    /// Goes on; false once something is too long or too deep.
    fn takes(&mut self, chunk: &[u8]) -> bool {
        chunk.iter().all(|byte| self.takes_byte(*byte))
    }

    fn takes_byte(&mut self, byte: u8) -> bool {
        self.token += 1;
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_in_text => self.is_escaped = true,
            b'"' => {
                self.is_in_text = !self.is_in_text;
                self.token = 0;
            }
            _ if self.is_in_text => {}
            b'{' | b'[' => {
                self.nested += 1;
                self.token = 0;
            }
            b'}' | b']' => {
                self.nested = self.nested.saturating_sub(1);
                self.token = 0;
            }
            b',' | b':' => self.token = 0,
            _ => {}
        }
        self.token <= LONGEST_TOKEN && self.nested <= MOST_NESTED
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;
    use tokio::sync::mpsc;

    use super::*;

    fn is_taken(text: &str) -> bool {
        Shape::default().takes(text.as_bytes())
    }

    #[test]
    fn a_text_and_a_number_may_be_so_long_and_no_longer() {
        for (before, one, after) in
            [("[\"", "x", "\"]"), ("{\"a\": ", "1", "}"), ("[", " ", "1]"), ("\"", "\\\"", "\"")]
        {
            let of = |length: usize| format!("{before}{}{after}", one.repeat(length / one.len()));
            assert!(is_taken(&of(LONGEST_TOKEN - 10)), "{before}");
            assert!(!is_taken(&of(LONGEST_TOKEN + 10)), "{before}");
            assert!(is_taken(&format!("[{},1]", vec![of(LONGEST_TOKEN / 2); 4].join(","))), "{before}");
        }
    }

    #[test]
    fn brackets_may_be_so_deep_and_those_in_a_text_do_not_count() {
        assert!(is_taken(&format!("{}{}{}", "[".repeat(MOST_NESTED), "]".repeat(MOST_NESTED), "[]{}".repeat(1000))));
        assert!(!is_taken(&"[{\"a\":".repeat(MOST_NESTED)));
        assert!(is_taken(&format!("[\"\\\"{}\"]", "[".repeat(1000))));
    }

    #[test]
    fn what_is_too_deep_ends_the_reading() {
        let (sender, coming) = mpsc::channel(1);
        sender.try_send(Bytes::from("[".repeat(1000))).unwrap();
        assert!(Chunks::new(coming).read(&mut [0; 10]).is_err());
    }

    proptest! {
        #[test]
        fn all_that_is_sent_is_read(sent in prop::collection::vec("[^\\[{]{0,9}", 0..9)) {
            let (sender, coming) = mpsc::channel(10);
            for chunk in &sent {
                sender.try_send(Bytes::from(chunk.clone())).unwrap();
            }
            drop(sender);
            let mut read = String::new();
            Chunks::new(coming).read_to_string(&mut read).unwrap();
            prop_assert_eq!(read, sent.concat());
        }
    }
}
