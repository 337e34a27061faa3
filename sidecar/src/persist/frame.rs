//! How records stand in a file: a head that says what the file is, then each record with its length and checksum.
//!
//! ```text
//! file:   head, the same head again, records
//! head:   "sidegate"  version: u32  salt: u64  checksum: u32
//! record: mark: u32   length: u32   checksum: u32   payload        (all little-endian)
//! ```
//!
//! Mark and checksums of the records depend on the salt, which is random and never leaves the file: where a file is
//! damaged, the next good record is looked for, and nobody can have pushed something that looks like one. A head is
//! what it says only where its own checksum is right, so that a damaged version is not taken for a newer one.
//!
//! Files of all versions begin with such a head. This is version 1, the first.
//!
//! *Never:* what a record says, which files there are.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

/// Bytes in front of the first record.
pub(super) const START: u64 = 2 * HEADER as u64;

/// Bytes in front of the payload of a record.
pub(super) const HEAD_LENGTH: usize = 12;

const MAGIC: &[u8; 8] = b"sidegate";
const HEADER: usize = 24;
const CURRENT: u32 = 1;

/// How much is read at a time.
const READ_AHEAD: usize = 64 * 1024;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
}

/// What makes the records of one file its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(u64);

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Good {
        version: Version,
        salt: Salt,
    },
    /// Written by a later program.
    Newer {
        version: u32,
    },
    /// Too short for a head: it broke off while it was made.
    Short,
    Damaged,
}

/// The records of a file, one by one.
#[derive(Debug)]
pub(super) struct Records {
    source: Source,
    salt: Salt,
    at: u64,
    /// Where the last good record ends.
    pub(super) good_end: u64,
    /// Whether something between good records was none.
    pub(super) is_damaged: bool,
    /// Whether something is behind the last good record.
    pub(super) is_torn: bool,
}

/// A file that is read ahead.
#[derive(Debug)]
struct Source {
    file: File,
    length: u64,
    buffer: Vec<u8>,
    /// Where the buffer is from.
    start: u64,
}

/// What every new file starts with.
pub(super) fn header(salt: Salt) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEADER);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&CURRENT.to_le_bytes());
    head.extend_from_slice(&salt.0.to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    head.repeat(2)
}

/// Fills in the head of a record whose payload stands behind the room for it.
pub(super) fn seal(mut record: Vec<u8>, salt: Salt) -> io::Result<Vec<u8>> {
    let length = record.len().saturating_sub(HEAD_LENGTH);
    let length = u32::try_from(length).map_err(|_| io::Error::other("the record is larger than 4 GiB"))?;
    if let Some((head, payload)) = record.split_first_chunk_mut::<HEAD_LENGTH>() {
        let (mark, rest) = head.split_at_mut(4);
        let (length_bytes, checksum) = rest.split_at_mut(4);
        mark.copy_from_slice(&salt.mark());
        length_bytes.copy_from_slice(&length.to_le_bytes());
        checksum.copy_from_slice(&salt.checksum(length, payload).to_le_bytes());
    }
    Ok(record)
}

/// Reads what a file says it is.
pub(super) fn read_header(path: &Path) -> io::Result<Header> {
    let file = File::open(path)?;
    let mut source = Source::new(file)?;
    if source.length < START {
        return Ok(Header::Short);
    }
    let bytes = source.bytes(0, 2 * HEADER)?;
    let (first, second) = bytes.split_at(HEADER);
    Ok([first, second].into_iter().find_map(parse_header).unwrap_or(Header::Damaged))
}

fn parse_header(bytes: &[u8]) -> Option<Header> {
    let (head, checksum) = bytes.split_last_chunk::<4>()?;
    let rest = head.strip_prefix(MAGIC)?;
    if crc32fast::hash(head) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (version, salt) = rest.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*version) {
        0 => None,
        1 => Some(Header::Good { version: Version::V1, salt: Salt(u64::from_le_bytes(*salt.first_chunk()?)) }),
        version => Some(Header::Newer { version }),
    }
}

// === impl Salt ===

impl Salt {
    /// Another each time.
    pub(super) fn random() -> Self {
        // The standard library seeds its maps from the system's randomness.
        Self(RandomState::new().hash_one(0_u8))
    }

    fn mark(self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        [a, b, c, d]
    }

    fn checksum(self, length: u32, payload: &[u8]) -> u32 {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        let mut hasher = crc32fast::Hasher::new_with_initial(u32::from_be_bytes([a, b, c, d]));
        hasher.update(&length.to_le_bytes());
        hasher.update(payload);
        hasher.finalize()
    }
}

// === impl Records ===

impl Records {
    pub(super) fn open(path: &Path, salt: Salt) -> io::Result<Self> {
        let source = Source::new(File::open(path)?)?;
        Ok(Self { source, salt, at: START, good_end: START, is_damaged: false, is_torn: false })
    }

    /// The payload of the next good record; `None` at the end, and then it is known what the file is like.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut is_bad = false;
        while self.at < self.source.length {
            if let Some(payload) = self.record_at(self.at)? {
                self.is_damaged |= is_bad;
                self.at += HEAD_LENGTH as u64 + payload.len() as u64;
                self.good_end = self.at;
                return Ok(Some(payload));
            }
            is_bad = true;
            self.at = self.next_mark(self.at + 1)?;
        }
        self.is_torn |= is_bad;
        Ok(None)
    }

    /// What was read last is no record after all.
    pub(super) fn reject(&mut self) {
        self.is_damaged = true;
    }

    fn record_at(&mut self, at: u64) -> io::Result<Option<Vec<u8>>> {
        let left = self.source.length - at;
        let Some(room) = left.checked_sub(HEAD_LENGTH as u64) else { return Ok(None) };
        let head = self.source.bytes(at, HEAD_LENGTH)?;
        let (mark, rest) = head.split_at(4);
        let (length, checksum) = rest.split_at(4);
        let (Ok(length), Ok(checksum)) = (length.try_into(), checksum.try_into()) else { return Ok(None) };
        let (length, checksum) = (u32::from_le_bytes(length), u32::from_le_bytes(checksum));
        if mark != self.salt.mark() || room < u64::from(length) {
            return Ok(None);
        }
        let Ok(size) = usize::try_from(length) else { return Ok(None) };
        let payload = self.source.bytes(at + HEAD_LENGTH as u64, size)?;
        Ok((self.salt.checksum(length, payload) == checksum).then(|| payload.to_vec()))
    }

    /// Where the next mark is, from there on; the end of the file if there is none.
    fn next_mark(&mut self, mut from: u64) -> io::Result<u64> {
        let mark = self.salt.mark();
        loop {
            let left = usize::try_from(self.source.length.saturating_sub(from)).unwrap_or(usize::MAX);
            if left < mark.len() {
                return Ok(self.source.length);
            }
            let bytes = self.source.bytes(from, left.min(READ_AHEAD))?;
            if let Some(place) = bytes.windows(mark.len()).position(|window| window == mark) {
                return Ok(from + place as u64);
            }
            // The last bytes may be the start of one.
            from += (bytes.len() - (mark.len() - 1)) as u64;
        }
    }
}

// === impl Source ===

impl Source {
    fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length, buffer: Vec::new(), start: 0 })
    }

    /// So many bytes from there on, which are known to be in the file.
    fn bytes(&mut self, at: u64, size: usize) -> io::Result<&[u8]> {
        let known = at.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        let known = known.filter(|offset| offset.checked_add(size).is_some_and(|end| end <= self.buffer.len()));
        let offset = if let Some(offset) = known {
            offset
        } else {
            let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
            // Empty until it is read, so that a fault leaves nothing that was not.
            self.buffer.clear();
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(size.max(READ_AHEAD.min(left)), 0);
            self.file.read_exact_at(&mut buffer, at)?;
            (self.buffer, self.start) = (buffer, at);
            0
        };
        self.buffer.get(offset..offset + size).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(payload: &[u8], salt: Salt) -> Vec<u8> {
        seal([&[0; HEAD_LENGTH], payload].concat(), salt).unwrap()
    }

    struct Case {
        path: std::path::PathBuf,
    }

    impl Case {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("sidegate-frame-{}-{name}", std::process::id()));
            fs::write(&path, bytes).unwrap();
            Self { path }
        }

        fn read(&self, salt: Salt) -> (Vec<Vec<u8>>, Records) {
            let mut records = Records::open(&self.path, salt).unwrap();
            let mut read = Vec::new();
            while let Some(payload) = records.next().unwrap() {
                read.push(payload);
            }
            (read, records)
        }
    }

    impl Drop for Case {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let salt = Salt::random();
        let large = vec![7; 3 * READ_AHEAD];
        let bytes = [header(salt), record(b"one", salt), record(&large, salt), record(b"", salt)].concat();
        let case = Case::new("plain", &bytes);
        assert_eq!(read_header(&case.path).unwrap(), Header::Good { version: Version::V1, salt });
        let (read, records) = case.read(salt);
        assert_eq!(read, [b"one".to_vec(), large, Vec::new()]);
        assert!(!records.is_damaged && !records.is_torn);
        assert_eq!(records.good_end, bytes.len() as u64);
    }

    #[test]
    fn after_damage_the_next_record_is_found_wherever_it_is() {
        let salt = Salt::random();
        for gap in [0, 1, 11, READ_AHEAD - 20, READ_AHEAD - 3, READ_AHEAD, 2 * READ_AHEAD + 1] {
            let first = record(b"one", salt);
            let bad = vec![1; gap.max(1)];
            let bytes = [header(salt), first, bad, record(b"two", salt), b"torn".to_vec()].concat();
            let (read, records) = Case::new("gap", &bytes).read(salt);
            assert_eq!(read, [b"one", b"two"], "{gap}");
            assert!(records.is_damaged && records.is_torn, "{gap}");
            assert_eq!(records.good_end, bytes.len() as u64 - 4);
        }
    }

    #[test]
    fn what_looks_like_a_record_of_another_file_is_none() {
        let (salt, other) = (Salt(1), Salt(2));
        let pushed = record(b"forged", other);
        let mut outer = record(&[b"a".to_vec(), pushed, b"z".to_vec()].concat(), salt);
        *outer.last_mut().unwrap() ^= 1;
        let (read, records) = Case::new("forged", &[header(salt), outer, record(b"two", salt)].concat()).read(salt);
        assert_eq!(read, [b"two"]);
        assert!(records.is_damaged);
    }

    #[test]
    fn a_head_survives_the_loss_of_either_copy() {
        let salt = Salt::random();
        let good = header(salt);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            let case = Case::new("head", &bytes);
            assert_eq!(read_header(&case.path).unwrap(), Header::Good { version: Version::V1, salt }, "byte {at}");
        }
        for length in 0..good.len() {
            assert_eq!(read_header(&Case::new("head", &good[..length]).path).unwrap(), Header::Short, "{length}");
        }
    }

    #[test]
    fn a_version_counts_where_the_checksum_is_right() {
        let with_version = |version: u32| {
            let mut head = header(Salt(5))[..HEADER - 4].to_vec();
            head[8..12].copy_from_slice(&version.to_le_bytes());
            head.extend(crc32fast::hash(&head).to_le_bytes());
            read_header(&Case::new("version", &head.repeat(2)).path).unwrap()
        };
        assert_eq!(with_version(1), Header::Good { version: Version::V1, salt: Salt(5) });
        assert_eq!(with_version(2), Header::Newer { version: 2 });
        assert_eq!(with_version(0), Header::Damaged);
        let mut wrong = header(Salt(5));
        wrong[8] = 2;
        wrong[HEADER + 8] = 2;
        assert_eq!(read_header(&Case::new("version", &wrong).path).unwrap(), Header::Damaged);
    }
}
