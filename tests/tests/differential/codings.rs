//! Encoders that do not compress: bodies in every content encoding, base64 and percent-encoding.
//!
//! By hand, so that nothing here is shared with what is tested.
//!
//! *Never:* decoding of bodies.

use e2e::wire::varint;

const BASE64_STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One member with one stored block.
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let length = u32::try_from(body.len()).unwrap_or_default();
    [&head[..], &stored(body), &crc32(body).to_le_bytes(), &length.to_le_bytes()].concat()
}

/// A zlib stream with one stored block.
pub(crate) fn deflate(body: &[u8]) -> Vec<u8> {
    let (mut low, mut high) = (1u32, 0u32);
    for byte in body {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    [&[0x78, 0x01][..], &stored(body), &((high << 16) | low).to_be_bytes()].concat()
}

fn stored(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("bodies are short");
    [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), body].concat()
}

fn crc32(body: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in body {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// One frame with one raw block.
pub(crate) fn zstd(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default();
    let block = ((length << 3) | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &length.to_le_bytes(), &block[..3], body].concat()
}

/// One literal.
pub(crate) fn snappy_block(body: &[u8]) -> Vec<u8> {
    let mut block = varint(u64::try_from(body.len()).unwrap_or_default());
    if let Some(last) = body.len().checked_sub(1) {
        block.push(61 << 2);
        block.extend(u16::try_from(last).expect("bodies are short").to_le_bytes());
    }
    block.extend(body);
    block
}

/// With the standard alphabet or the one for URLs, without padding.
pub(crate) fn base64(bytes: &[u8], for_urls: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for digit in 0..=chunk.len() {
            let index = usize::try_from(bits >> (18 - 6 * digit) & 0x3f).unwrap_or_default();
            out.push(match BASE64_STANDARD[index] {
                b'+' if for_urls => b'-',
                b'/' if for_urls => b'_',
                other => other,
            });
        }
    }
    out
}

/// Without base64 of either alphabet; what is no digit is passed over.
pub(crate) fn base64_decoded(digits: &[u8]) -> Vec<u8> {
    let standard = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let values =
        digits.iter().map(standard).filter_map(|digit| BASE64_STANDARD.iter().position(|known| *known == digit));
    let (mut out, mut bits, mut count) = (Vec::new(), 0usize, 0);
    for value in values {
        bits = ((bits << 6) | value) & 0xffff;
        count += 6;
        if 8 <= count {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
        }
    }
    out
}

/// With escapes for the bytes that are chosen, and for those that no target can hold.
pub(crate) fn percent(bytes: &[u8], chosen: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        if chosen(*byte) || *byte <= b' ' || *byte == 0x7f {
            out.extend(format!("%{byte:02X}").into_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

/// Without the escapes; what is no escape stays.
pub(crate) fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match escape_at(bytes, at) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// The byte that an escape at this place stands for.
pub(crate) fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let digits = bytes.get(at..at + 3)?.strip_prefix(b"%")?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u8::from_str_radix(digits, 16).ok()
}
