//! A checkpoint: all groups in one file, which takes the place of the log before it.
//!
//! It is written beside, put onto the disk, and renamed; only then what it covers is removed. Wherever that ends, what is
//! there can be read: the old checkpoint with its log, or the new one.
//!
//! Groups may change while it is written. Each says up to which record it has them, and the log goes on from there.
//!
//! *Never:* when it is due, where groups come from.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use super::{
    folder::{Folder, private, set_aside},
    frame::{self, START, Salt},
    record::{Draft, Tail},
};

/// One that is being written. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    folder: Arc<Folder>,
    number: u64,
    file: BufWriter<File>,
    salt: Salt,
    groups: u64,
    bytes: u64,
    /// Bytes of the log that it takes the place of.
    pub(super) covered: u64,
    /// Files that could not be read in full; what could be is in here.
    damaged: Vec<PathBuf>,
    is_finished: bool,
}

// === impl Checkpoint ===

impl Checkpoint {
    /// One that covers all segments before that number.
    pub(super) fn begin(folder: Arc<Folder>, number: u64, covered: u64, damaged: Vec<PathBuf>) -> io::Result<Self> {
        let (salt, path) = (Salt::random(), folder.unfinished(number));
        let file = private().create(true).truncate(true).open(path)?;
        let file = BufWriter::with_capacity(64 * 1024, file);
        let mut checkpoint =
            Self { folder, number, file, salt, groups: 0, bytes: START, covered, damaged, is_finished: false };
        checkpoint.file.write_all(&frame::header(salt))?;
        Ok(checkpoint)
    }

    /// Adds a group that has all records up to that sequence.
    pub(crate) fn add(&mut self, group: Draft, tail: &Tail, sequence: u64) -> io::Result<()> {
        self.groups += 1;
        self.write(group, tail, sequence)
    }

    /// Takes the place of what is there. Returns how large it is.
    pub(super) fn finish(mut self, sequence: u64) -> io::Result<u64> {
        self.write(Draft::end(self.groups), &Tail::default(), sequence)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let path = self.folder.checkpoint(self.number);
        fs::rename(self.folder.unfinished(self.number), path)?;
        self.is_finished = true;
        self.folder.sync()?;
        for path in &self.damaged {
            if let Err(error) = set_aside(path) {
                tracing::warn!(path = %path.display(), %error, "a damaged file cannot be set aside");
            }
        }
        remove_before(&self.folder, self.number);
        Ok(self.bytes)
    }

    fn write(&mut self, draft: Draft, tail: &Tail, sequence: u64) -> io::Result<()> {
        let record = frame::seal(draft.finish(sequence, tail), self.salt)?;
        self.bytes += record.len() as u64;
        self.file.write_all(&record)
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if !self.is_finished {
            // The next start removes what cannot be removed now.
            let _ = fs::remove_file(self.folder.unfinished(self.number));
        }
    }
}

/// Removes what a checkpoint covers. What stays here is removed at the next start.
pub(super) fn remove_before(folder: &Folder, number: u64) {
    let removed = folder.list().and_then(|found| {
        let logs = found.logs.into_iter().filter(|log| *log < number).map(|log| folder.log(log));
        let older = found.checkpoints.into_iter().filter(|checkpoint| *checkpoint < number);
        logs.chain(older.map(|checkpoint| folder.checkpoint(checkpoint))).try_for_each(fs::remove_file)
    });
    if let Err(error) = removed {
        tracing::warn!(path = %folder.path().display(), %error, "old files of the storage cannot be removed");
    }
}
