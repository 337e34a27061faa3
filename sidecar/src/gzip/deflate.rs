//! Deflate for a page's lines: fast, with the codes that every reader knows by heart.
//!
//! One line is nearly the line before it, so that a look at the last place with the same four bytes finds most of what
//! there is to find, and code tables of its own would cost a small part more than they save.
//!
//! *Never:* what a part is.

use std::ops::Range;

/// How many places are remembered; a power of two.
const PLACES: usize = 4096;

/// How far a reader looks back.
const FARTHEST: usize = 32 * 1024;

/// The lengths of a repetition.
const LENGTHS: Range<usize> = 4..259;

/// The end of a block, then an empty one that ends at a byte.
const SYNC: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bits and how many they are, the first one in the lowest place.
type Code = (u32, u32);

const LITERALS: [Code; 256] = literals();
const REPETITIONS: [Code; LENGTHS.end] = repetitions();

/// Compresses parts, each for itself.
#[derive(Debug)]
pub(crate) struct Deflater {
    /// By four bytes, the place behind the start of where they were last; 0 if they were nowhere.
    places: Box<[u32; PLACES]>,
}

/// Bits that are written to bytes.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    count: u32,
}

// === impl Deflater ===

impl Deflater {
    /// Appends a part, compressed.
    pub(crate) fn deflate(&mut self, part: &[u8], out: &mut Vec<u8>) {
        self.places.fill(0);
        let mut bits = Bits { out, waiting: 0, count: 0 };
        // A block that is not the last, with the codes known by heart.
        bits.put((0b010, 3));
        let mut at = 0;
        let mut rest = part;
        while let Some(four) = rest.first_chunk::<4>() {
            let known = self.note(*four, at).filter(|known| at - known <= FARTHEST);
            let length = known.map_or(0, |known| common(part.get(known..).unwrap_or_default(), rest));
            if LENGTHS.contains(&length) {
                bits.put(REPETITIONS.get(length).copied().unwrap_or_default());
                bits.put_distance(at - known.unwrap_or_default());
                let next = part.get(at + length - 1..).unwrap_or_default();
                if let Some(four) = next.first_chunk::<4>() {
                    self.note(*four, at + length - 1);
                }
                at += length;
            } else {
                bits.put_literal(four[0]);
                at += 1;
            }
            rest = part.get(at..).unwrap_or_default();
        }
        rest.iter().for_each(|byte| bits.put_literal(*byte));
        bits.finish();
    }

    /// Remembers where four bytes are, and tells where they, or others like them, were last.
    fn note(&mut self, four: [u8; 4], at: usize) -> Option<usize> {
        const SPREAD: u32 = 0x9e37_79b1;
        let place = u32::from_le_bytes(four).wrapping_mul(SPREAD) >> (u32::BITS - PLACES.ilog2());
        let place = self.places.get_mut(usize::try_from(place).unwrap_or_default())?;
        let before = std::mem::replace(place, u32::try_from(at + 1).unwrap_or_default());
        usize::try_from(before).ok()?.checked_sub(1)
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self { places: Box::new([0; PLACES]) }
    }
}

/// How many bytes are the same at the start, up to the longest repetition.
fn common(left: &[u8], right: &[u8]) -> usize {
    let right = right.get(..LENGTHS.end - 1).unwrap_or(right);
    let ((lefts, _), (rights, _)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    let mut length = 0;
    for (left, right) in lefts.iter().zip(rights) {
        let difference = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if difference != 0 {
            return length + usize::try_from(difference.trailing_zeros() / 8).unwrap_or_default();
        }
        length += 8;
    }
    let ends = left.iter().skip(length).zip(right.iter().skip(length));
    length + ends.take_while(|(left, right)| left == right).count()
}

// === impl Bits ===

impl Bits<'_> {
    fn put(&mut self, (bits, count): Code) {
        self.waiting |= u64::from(bits) << self.count;
        self.count += count;
        if u32::BITS <= self.count {
            self.out.extend(self.waiting.to_le_bytes().first_chunk::<4>().into_iter().flatten());
            self.waiting >>= u32::BITS;
            self.count -= u32::BITS;
        }
    }

    fn put_literal(&mut self, byte: u8) {
        self.put(LITERALS.get(usize::from(byte)).copied().unwrap_or_default());
    }

    fn put_distance(&mut self, distance: usize) {
        let distance = u32::try_from(distance).unwrap_or_default().saturating_sub(1);
        let extra = distance.checked_ilog2().unwrap_or_default().saturating_sub(1);
        let code = 2 * extra + (distance >> extra);
        self.put((code.reverse_bits() >> 27 | (distance & ((1 << extra) - 1)) << 5, 5 + extra));
    }

    fn finish(mut self) {
        // The end of the block, and the start of an empty one.
        self.put((0, 7));
        self.put((0, 3));
        let bytes = usize::try_from(self.count.div_ceil(8)).unwrap_or_default();
        self.out.extend(self.waiting.to_le_bytes().into_iter().take(bytes));
        self.out.extend_from_slice(&SYNC);
    }
}

const fn literals() -> [Code; 256] {
    let mut codes = [(0, 0); 256];
    let mut rest = codes.as_mut_slice();
    let mut byte = 0_u32;
    while let Some((code, others)) = rest.split_first_mut() {
        *code = if byte < 144 { reversed(0x30 + byte, 8) } else { reversed(0x190 + byte - 144, 9) };
        byte += 1;
        rest = others;
    }
    codes
}

const fn repetitions() -> [Code; LENGTHS.end] {
    let mut codes = [(0, 0); LENGTHS.end];
    let mut rest = codes.as_mut_slice();
    let mut length = 0_u32;
    while let Some((code, others)) = rest.split_first_mut() {
        if 3 <= length {
            *code = repetition(length);
        }
        length += 1;
        rest = others;
    }
    codes
}

const fn repetition(length: u32) -> Code {
    let over = length - 3;
    // How many bits tell which of the lengths of a symbol it is.
    let extra = if length == 258 || over < 8 { 0 } else { over.ilog2() - 2 };
    let symbol = if length == 258 { 285 } else { 257 + 4 * extra + (over >> extra) };
    let (code, count) = if symbol < 280 { reversed(symbol - 256, 7) } else { reversed(0xc0 + symbol - 280, 8) };
    (code | (over & ((1 << extra) - 1)) << count, count + extra)
}

/// Codes are written from their highest bit on.
const fn reversed(code: u32, count: u32) -> Code {
    (code.reverse_bits() >> (u32::BITS - count), count)
}
