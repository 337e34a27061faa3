//! A gzip member put together from parts that were compressed apart, so that a part that did not change is not
//! compressed again.
//!
//! Each part is raw deflate that ends at a byte and looks back at nothing before it. One header before all of them and
//! one trailer behind make a single member, as any reader takes it; the checksum is reckoned from those of the parts.
//!
//! *Never:* what is compressed, HTTP.

mod deflate;

use flate2::Crc;

pub(crate) use deflate::Deflater;

/// What stands before the first part: deflate, no name, no time, the fastest level, an unknown system.
pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// An empty block that says that it is the last.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// The polynomial of the checksum, its bits in reverse order.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// The powers of x that come by squaring x.
const SQUARES: [u32; 32] = squares();

/// What a trailer has to know of a part, before it was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    crc: u32,
    /// What the checksum of something before this part is multiplied with: x to the number of its bits.
    shift: u32,
    /// Modulo 2^32, as the trailer has it.
    length: u32,
}

/// What stands behind the last part.
pub(crate) fn trailer(sum: Sum) -> Vec<u8> {
    let mut out = LAST_BLOCK.to_vec();
    out.extend_from_slice(&sum.crc.to_le_bytes());
    out.extend_from_slice(&sum.length.to_le_bytes());
    out
}

// === impl Sum ===

impl Sum {
    pub(crate) fn of(part: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(part);
        Self { crc: crc.sum(), shift: shift(part.len()), length: crc.amount() }
    }

    /// That of both parts in a row.
    #[must_use]
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            crc: product(next.shift, self.crc) ^ next.crc,
            shift: product(self.shift, next.shift),
            length: self.length.wrapping_add(next.length),
        }
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self { crc: 0, shift: ONE, length: 0 }
    }
}

/// x to the number of bits in so many bytes.
fn shift(bytes: usize) -> u32 {
    let bits = SQUARES.iter().cycle().skip(3);
    let powers = bits.zip(0..usize::BITS).filter(|(_, bit)| bytes >> bit & 1 == 1);
    powers.fold(ONE, |all, (power, _)| product(all, *power))
}

/// Of two polynomials, modulo that of the checksum.
const fn product(mut left: u32, mut right: u32) -> u32 {
    let mut product = 0;
    while left != 0 {
        if left & ONE != 0 {
            product ^= right;
        }
        left <<= 1;
        right = if right & 1 == 0 { right >> 1 } else { right >> 1 ^ POLYNOMIAL };
    }
    product
}

const fn squares() -> [u32; 32] {
    let mut squares = [0; 32];
    let mut power = ONE >> 1;
    let mut rest = squares.as_mut_slice();
    while let Some((first, others)) = rest.split_first_mut() {
        *first = power;
        power = product(power, power);
        rest = others;
    }
    squares
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    /// Reads one member, and nothing behind it.
    fn read(member: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut decoder = GzDecoder::new(member);
        decoder.read_to_end(&mut text).unwrap();
        assert_eq!(decoder.into_inner().len(), 0);
        text
    }

    fn member(parts: &[&[u8]]) -> Vec<u8> {
        let (mut deflater, mut out, mut sum) = (Deflater::default(), HEADER.to_vec(), Sum::default());
        for part in parts {
            deflater.deflate(part, &mut out);
            sum = sum.then(Sum::of(part));
        }
        out.extend(trailer(sum));
        out
    }

    #[test]
    fn parts_are_one_member() {
        assert_eq!(read(&member(&[])), b"");
        assert_eq!(read(&member(&[b"a", b"", b"bc\xff\x00"])), b"abc\xff\x00");
        let long = "metric{a=\"b\"} 1\n".repeat(10_000);
        assert_eq!(read(&member(&[long.as_bytes(), b"end", long.as_bytes()])).len(), 2 * long.len() + 3);
    }

    #[test]
    fn lines_that_are_like_each_other_get_small() {
        let lines: String = (0..64)
            .map(|number| {
                format!("batch_rows_total{{id=\"{number:05}\",instance=\"\",job=\"j\"}} {}\n", number * 7919 % 1000)
            })
            .collect();
        let compressed = member(&[lines.as_bytes()]).len();
        assert!(compressed * 4 < lines.len(), "{} became {compressed}", lines.len());
    }

    fn any_part() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..2000),
            (prop::collection::vec(any::<u8>(), 1..40), 0..2000_usize).prop_map(|(unit, times)| unit.repeat(times)),
        ]
    }

    proptest! {
        #[test]
        fn what_was_compressed_reads_back(parts in prop::collection::vec(any_part(), 0..6)) {
            let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(read(&member(&parts)), parts.concat());
        }
    }
}
