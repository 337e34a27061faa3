//! A segment of the log: records are added at its end, each in one write, or not at all.
//!
//! A write that fails may leave a part of a record. It is cut off again, or where that fails too, before the next
//! record is written.
//!
//! *Never:* what records mean, when a segment has an end.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use super::{
    folder::private,
    frame::{self, START, Salt},
};

/// A file that grows.
#[derive(Debug)]
pub(super) struct Segment {
    file: Arc<File>,
    pub(super) number: u64,
    pub(super) salt: Salt,
    /// Where the last whole record ends.
    pub(super) end: u64,
    /// Whether there may be something behind it.
    has_rest: bool,
}

// === impl Segment ===

impl Segment {
    /// A new one, of which nothing is left if it cannot be made.
    pub(super) fn create(path: &Path, number: u64) -> io::Result<Self> {
        let salt = Salt::random();
        let file = private().create_new(true).open(path)?;
        if let Err(error) = file.write_all_at(&frame::header(salt), 0) {
            // It is not known to anybody; a later start takes it for one that broke off.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(Self { file: Arc::new(file), number, salt, end: START, has_rest: false })
    }

    /// One that is there and good up to that end.
    pub(super) fn reopen(path: &Path, number: u64, salt: Salt, end: u64) -> io::Result<Self> {
        let file = Arc::new(private().open(path)?);
        let mut segment = Self { file, number, salt, end, has_rest: true };
        segment.cut()?;
        Ok(segment)
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Adds one sealed record.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.cut()?;
        match self.file.write_all_at(record, self.end) {
            Ok(()) => {
                self.end += record.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.has_rest = true;
                // Tried again before the next record.
                let _ = self.cut();
                Err(error)
            }
        }
    }

    /// The same where there is no room for anything.
    #[cfg(test)]
    pub(super) fn broken(self) -> Self {
        let full = private().open("/dev/full").map_or_else(|_| Arc::clone(&self.file), Arc::new);
        Self { file: full, ..self }
    }

    fn cut(&mut self) -> io::Result<()> {
        if self.has_rest {
            self.file.set_len(self.end)?;
            self.has_rest = false;
        }
        Ok(())
    }
}
