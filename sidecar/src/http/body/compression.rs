//! The encodings that a body may be sent in, each undone in one go and never beyond a limit.
//!
//! What is decompressed is written to a buffer that grows up to the limit and one byte, so a small body that stands for
//! a large one costs no more than the limit. On top comes what a decoder works with: for zstd the window that the sender
//! chose, which may be 8 MiB, as every decoder is to support, or the limit rounded up to a power of two; for the others
//! a constant. The zstd decoder is the C library: the one in Rust lets a single block grow to gigabytes.
//!
//! `deflate` is read with the zlib header that it should have, and without, as some send it; `snappy` as the stream
//! format and as the single block that remote write uses. A body that goes on after its end is refused, except that
//! gzip, framed snappy and zstd may be several in a row.
//!
//! *Never:* headers, status codes, what is in the body.

use std::{
    fmt,
    io::{self, Read},
};

use flate2::{Decompress, FlushDecompress, Status, read::MultiGzDecoder};

/// The names of all encodings, as a header lists them.
pub(in crate::http) const ACCEPTED: &str = "gzip, deflate, snappy, zstd";

/// How much is decompressed before the buffer grows for the first time.
const FIRST_BYTES: usize = 16 * 1024;

/// The start of snappy's stream format; no block that a compressor makes starts so.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The logarithm of the window that every zstd decoder is to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Encoding {
    Gzip,
    Deflate,
    Snappy,
    Zstd,
}

/// Why a body could not be decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It stands for more than the limit.
    TooLarge,
    /// It is not in this encoding, or damaged.
    Malformed(String),
}

// === impl Encoding ===

impl Encoding {
    const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Snappy, Self::Zstd];

    /// The encoding of a name in lower case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }

    /// The body as it was, if that is at most `limit` bytes.
    pub(super) fn undo(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Gzip => read_all(MultiGzDecoder::new(body), limit),
            Self::Deflate => inflate(body, limit),
            Self::Snappy if body.is_empty() || body.starts_with(SNAPPY_STREAM) => {
                read_all(snap::read::FrameDecoder::new(body), limit)
            }
            Self::Snappy => snappy_block(body, limit),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(body)?;
                let limit_log = limit.checked_next_power_of_two().map_or(ZSTD_WINDOW_LOG, usize::ilog2);
                decoder.window_log_max(limit_log.clamp(ZSTD_WINDOW_LOG, 30))?;
                read_all(decoder, limit)
            }
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn read_all(mut decoder: impl Read, limit: usize) -> Result<Vec<u8>, Fault> {
    let mut plain = Vec::new();
    loop {
        let room = grow(&mut plain, limit)?;
        // There is room for all that is taken, so `read_to_end` does not grow the buffer.
        let taken = decoder.by_ref().take(u64::try_from(room).unwrap_or(u64::MAX)).read_to_end(&mut plain)?;
        if taken < room {
            return Ok(plain);
        }
    }
}

/// Not by a reader: that takes the end of the body for the end of the stream.
fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decompress::new(has_zlib_header(body));
    let mut plain = Vec::new();
    let mut rest = body;
    loop {
        if plain.len() == plain.capacity() {
            grow(&mut plain, limit)?;
        }
        let (read, written) = (decoder.total_in(), plain.len());
        let status = decoder.decompress_vec(rest, &mut plain, FlushDecompress::None).map_err(io::Error::from)?;
        let read = usize::try_from(decoder.total_in() - read).unwrap_or(usize::MAX);
        rest = rest.get(read..).unwrap_or_default();
        match status {
            Status::StreamEnd if limit < plain.len() => return Err(Fault::TooLarge),
            Status::StreamEnd if rest.is_empty() => return Ok(plain),
            Status::StreamEnd => return Err(Fault::Malformed("it goes on after its end".to_owned())),
            Status::Ok | Status::BufError if read == 0 && plain.len() == written => {
                return Err(Fault::Malformed("it ends too early".to_owned()));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// The method is 8 and the check bits fit. The first block of a bare stream does not look so: padding is zero.
fn has_zlib_header(body: &[u8]) -> bool {
    let [first, second, ..] = body else {
        return false;
    };
    first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31)
}

/// A block says how large it is before anything is decompressed.
fn snappy_block(body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let malformed = |error: snap::Error| Fault::Malformed(error.to_string());
    if limit < snap::raw::decompress_len(body).map_err(malformed)? {
        return Err(Fault::TooLarge);
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(malformed)
}

/// Makes room in a full buffer, at most up to the limit and one byte, and tells how much.
fn grow(plain: &mut Vec<u8>, limit: usize) -> Result<usize, Fault> {
    let most = limit.saturating_add(1);
    if most <= plain.len() {
        return Err(Fault::TooLarge);
    }
    let room = plain.len().max(FIRST_BYTES).min(most - plain.len());
    plain.reserve_exact(room);
    Ok(room)
}

// === impl Fault ===

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

#[cfg(test)]
mod tests;
