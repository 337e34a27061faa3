//! Keeps what was pushed on disk: a log of decided changes and, now and then, a checkpoint of all groups.
//!
//! ```text
//! change ──▶ Draft ──▶ lock: decide ─ Log::append ─ commit ──▶ Store::settled ──▶ answer
//!                                        │                         └ waits for the disk itself, where asked to
//!                                        └ one write; it fails: nothing has changed
//! ```
//!
//! What was written survives the end of the process, since it is the system's by then. The end of the machine it
//! survives where writes are synced ([`Storage::is_synced`]).
//!
//! The log has at most the size of the groups and [`MARGIN`] on top before a checkpoint takes its place; while that is
//! written, both are there, and what is pushed meanwhile.
//!
//! *Never:* the index, HTTP, the clock (`now` is an argument).

mod checkpoint;
mod counts;
mod folder;
mod frame;
mod record;
mod restore;
mod sync;
mod wal;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::clock::UnixSeconds;
pub(crate) use checkpoint::Checkpoint;
pub(crate) use counts::Counts;
use folder::Folder;
pub(crate) use record::{Draft, Entry, Fail, Push, Record, Repeated, StoredGroup, Tail};
pub(crate) use sync::Syncer;
use wal::Segment;

/// By how many bytes the log may outgrow the groups.
const MARGIN: u64 = 8 * 1024 * 1024;

/// A log that is shorter than this is no reason for a checkpoint.
const SHORT: u64 = 64 * 1024;

/// How long to wait after a checkpoint that failed, in seconds.
const RETRY: f64 = 10.0;

/// Where to keep what is pushed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) folder: PathBuf,
    /// Whether a push is on the disk itself before it is answered.
    pub(crate) is_synced: bool,
    /// How long to leave between checkpoints, unless the log outgrows its bound.
    pub(crate) interval: Duration,
}

/// Why a folder cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It cannot be made, locked or listed.
    #[error("expected a folder to read and write at {}, found: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("expected to be the only process that stores in {}, found another one at work there", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// It was written by a later program.
    #[error(
        "expected a file of version 1 or less, found version {version} at {}: a newer Sidegate wrote it, and nothing \
         in its folder was touched",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        version: u32,
    },
}

/// Why a change is not on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// It could not be written, and was not carried out.
    #[error("expected to store the change before it is made, found: {0}; nothing was changed")]
    Write(Arc<str>),
    /// It was carried out and written, but the disk did not take it.
    #[error(
        "expected to have the change on disk, found: {0}; it was made, and may be gone after a crash of the machine"
    )]
    Sync(Arc<str>),
}

/// The log of a folder.
#[derive(Debug)]
pub(crate) struct Log {
    folder: Arc<Folder>,
    /// The one that is written to; made when it is first needed.
    segment: Option<Segment>,
    /// That of the next segment.
    number: u64,
    /// Of the last record.
    sequence: u64,
    /// Of segments that are not written to any more and that no checkpoint covers.
    closed_bytes: u64,
    /// Of the last checkpoint.
    live_bytes: u64,
    syncer: Option<Arc<Syncer>>,
    counts: Arc<Counts>,
    interval: f64,
    /// Whether the last write failed.
    is_failing: bool,
    /// What only a checkpoint mends.
    needs_checkpoint: bool,
    is_checkpointing: bool,
    has_checkpoint_failed: bool,
    /// When a checkpoint was last begun; the first change counts too.
    begun: UnixSeconds,
    /// Files that could not be read in full.
    damaged: Vec<PathBuf>,
}

// === impl Log ===

impl Log {
    /// Gives all that the folder holds to `take`, in order, and goes on from there.
    pub(crate) fn open(
        storage: &Storage,
        counts: &Arc<Counts>,
        take: &mut dyn FnMut(Entry),
    ) -> Result<Self, OpenError> {
        let folder = Folder::open(&storage.folder)?;
        let failed = |source| OpenError::Folder { path: storage.folder.clone(), source };
        let syncer = if storage.is_synced { Some(Syncer::start(Arc::clone(counts)).map_err(failed)?) } else { None };
        let restored = restore::restore(&folder, counts, take)?;
        let log = Self {
            folder: Arc::new(folder),
            segment: restored.segment,
            number: restored.number,
            sequence: restored.sequence,
            closed_bytes: restored.closed_bytes,
            live_bytes: restored.live_bytes,
            syncer: syncer.map(Arc::new),
            counts: Arc::clone(counts),
            interval: storage.interval.as_secs_f64(),
            is_failing: false,
            needs_checkpoint: !restored.damaged.is_empty(),
            is_checkpointing: false,
            has_checkpoint_failed: false,
            begun: UnixSeconds::NEVER,
            damaged: restored.damaged,
        };
        log.counts.log_bytes.set(log.bytes());
        Ok(log)
    }

    pub(crate) fn syncer(&self) -> Option<Arc<Syncer>> {
        self.syncer.clone()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether some file could not be read in full; a checkpoint sets it aside.
    pub(crate) fn is_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// Of the last record that was written.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes a record. If that fails, there is none.
    pub(crate) fn append(&mut self, draft: Draft, tail: &Tail) -> Result<(), NotStored> {
        match self.write(draft, tail) {
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(folder = %self.folder.path().display(), "changes are stored again");
                }
                Ok(())
            }
            Err(error) => {
                self.counts.write_failures.add_one();
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(folder = %self.folder.path().display(), %error, "changes cannot be stored and are refused");
                }
                Err(NotStored::Write(error.to_string().into()))
            }
        }
    }

    fn write(&mut self, draft: Draft, tail: &Tail) -> io::Result<()> {
        let is_lost = |segment: &Segment| self.syncer.as_ref().is_some_and(|syncer| syncer.has_lost(segment.file()));
        if self.segment.as_ref().is_some_and(is_lost) {
            // What was lost is in the groups still.
            self.needs_checkpoint = true;
            self.rotate()?;
        }
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.new_segment()?,
        };
        let record = frame::seal(draft.finish(self.sequence + 1, tail), segment.salt);
        let written = record.and_then(|record| segment.append(&record));
        let segment = self.segment.insert(segment);
        written?;
        self.sequence += 1;
        if let Some(syncer) = &self.syncer {
            syncer.written(segment.file());
        }
        self.counts.records.add_one();
        self.counts.log_bytes.set(self.bytes());
        Ok(())
    }

    /// Whether a checkpoint is to be begun now. Asked once, it is taken to be.
    pub(crate) fn take_due(&mut self, now: UnixSeconds) -> bool {
        if self.begun == UnixSeconds::NEVER {
            self.begun = now;
        }
        // A clock that was set back does not put it off.
        let since = (now.0 - self.begun.0).abs();
        let is_wanted = self.needs_checkpoint
            || self.live_bytes.saturating_add(MARGIN) <= self.bytes()
            || (self.is_long() && self.interval <= since);
        let is_due = is_wanted && !self.is_checkpointing && (!self.has_checkpoint_failed || RETRY <= since);
        if is_due {
            (self.is_checkpointing, self.begun) = (true, now);
        }
        is_due
    }

    /// Whether there is something that only a checkpoint mends, or enough for one that is written at leisure.
    pub(crate) fn is_worth_a_checkpoint(&self) -> bool {
        !self.is_checkpointing && (self.needs_checkpoint || self.is_long())
    }

    /// Whether the log is long enough for a checkpoint that nothing forces.
    fn is_long(&self) -> bool {
        let bytes = self.bytes();
        SHORT <= bytes && self.live_bytes / 4 <= bytes
    }

    /// Begins a checkpoint, to be ended by [`Log::end_checkpoint`]. From here on records go to a new segment.
    pub(crate) fn begin_checkpoint(&mut self) -> io::Result<Checkpoint> {
        self.is_checkpointing = true;
        // One that nothing was written to will do, so that checkpoints that fail do not leave one each.
        let is_new = self.segment.as_ref().is_some_and(|segment| segment.end == frame::START);
        if !is_new {
            self.rotate()?;
        }
        let number = self.segment.as_ref().map_or(self.number, |segment| segment.number);
        Checkpoint::begin(Arc::clone(&self.folder), number, self.closed_bytes, self.damaged.clone())
    }

    /// After a checkpoint was written, or could not be.
    pub(crate) fn end_checkpoint(&mut self, written: io::Result<(u64, u64)>) {
        self.is_checkpointing = false;
        self.has_checkpoint_failed = written.is_err();
        match written {
            Ok((live_bytes, covered)) => {
                self.live_bytes = live_bytes;
                self.closed_bytes = self.closed_bytes.saturating_sub(covered);
                self.needs_checkpoint = false;
                self.damaged.clear();
                self.counts.checkpoints.add_one();
                self.counts.log_bytes.set(self.bytes());
                tracing::debug!(bytes = live_bytes, "checkpoint written");
            }
            Err(error) => {
                self.counts.checkpoint_failures.add_one();
                tracing::warn!(folder = %self.folder.path().display(), %error, "a checkpoint cannot be written; the log goes on");
            }
        }
    }

    /// Puts what was written onto the disk, at the end of a life.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match &self.segment {
            Some(segment) => segment.file().sync_data(),
            None => Ok(()),
        }
    }

    /// Lets all writes to the segment fail from now on.
    #[cfg(test)]
    pub(crate) fn break_segment(&mut self) {
        self.segment = self.segment.take().map(Segment::broken);
    }

    #[cfg(test)]
    pub(crate) fn is_checkpointing(&self) -> bool {
        self.is_checkpointing
    }

    fn rotate(&mut self) -> io::Result<()> {
        let segment = self.new_segment()?;
        if let Some(closed) = self.segment.replace(segment) {
            self.closed_bytes += closed.end;
        }
        Ok(())
    }

    fn new_segment(&mut self) -> io::Result<Segment> {
        // Another one each time, so that nothing that could not be removed stands in the way.
        let number = self.number;
        self.number += 1;
        let segment = Segment::create(&self.folder.log(number), number)?;
        if self.syncer.is_some() {
            self.folder.sync()?;
        }
        Ok(segment)
    }

    /// Of the log, as far as no checkpoint covers it.
    fn bytes(&self) -> u64 {
        self.closed_bytes + self.segment.as_ref().map_or(0, |segment| segment.end)
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Ends it: how large it is, and how much of the log it takes the place of.
    pub(crate) fn end(self, sequence: u64) -> io::Result<(u64, u64)> {
        let covered = self.covered;
        Ok((self.finish(sequence)?, covered))
    }
}
