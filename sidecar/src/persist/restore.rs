//! Reads a folder: the newest whole checkpoint, then the segments that go on from it.
//!
//! | Found | What becomes of it |
//! | --- | --- |
//! | a newer version | nothing is touched, and there is no start |
//! | an end that broke off, in the last segment | is cut off and counted |
//! | damage anywhere else | what can be read is; the file is set aside once that is in a checkpoint |
//! | an unfinished checkpoint | is removed |
//!
//! *Never:* what records do.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    OpenError,
    checkpoint::remove_before,
    counts::Counts,
    folder::{Folder, Found},
    frame::{self, Header, Records, Salt, Version},
    record::{self, Entry, Record},
    wal::Segment,
};

/// What is known after reading.
#[derive(Debug)]
pub(super) struct Restored {
    /// The last record.
    pub(super) sequence: u64,
    /// The number of the next segment.
    pub(super) number: u64,
    /// The last segment, where it can go on.
    pub(super) segment: Option<Segment>,
    /// Of the checkpoint.
    pub(super) live_bytes: u64,
    /// Of the segments but the last.
    pub(super) closed_bytes: u64,
    /// Files that could not be read in full.
    pub(super) damaged: Vec<PathBuf>,
}

/// What a file was like.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    salt: Option<Salt>,
    good_end: u64,
    is_damaged: bool,
    is_torn: bool,
    /// Whether it is a checkpoint with all of its groups.
    is_whole: bool,
    sequence: u64,
}

struct Reading<'a> {
    folder: &'a Folder,
    counts: &'a Counts,
    take: &'a mut dyn FnMut(Entry),
    restored: Restored,
}

/// Gives all records to `take`, in order.
pub(super) fn restore(folder: &Folder, counts: &Counts, take: &mut dyn FnMut(Entry)) -> Result<Restored, OpenError> {
    let failed = |source| OpenError::Folder { path: folder.path().to_owned(), source };
    let found = folder.list().map_err(failed)?;
    refuse_newer(folder, &found)?;
    for path in &found.unfinished {
        remove(path);
    }
    let restored = Restored {
        sequence: 0,
        number: found.last + 1,
        segment: None,
        live_bytes: 0,
        closed_bytes: 0,
        damaged: Vec::new(),
    };
    let mut reading = Reading { folder, counts, take, restored };
    let first = reading.checkpoint(&found.checkpoints);
    let logs: Vec<_> = found.logs.into_iter().filter(|log| first <= *log).collect();
    for log in &logs {
        reading.log(*log, logs.last() == Some(log));
    }
    Ok(reading.restored)
}

fn refuse_newer(folder: &Folder, found: &Found) -> Result<(), OpenError> {
    let logs = found.logs.iter().map(|log| folder.log(*log));
    for path in logs.chain(found.checkpoints.iter().map(|checkpoint| folder.checkpoint(*checkpoint))) {
        if let Ok(Header::Newer { version }) = frame::read_header(&path) {
            return Err(OpenError::Newer { path, version });
        }
    }
    Ok(())
}

/// What stays here is in nobody's way.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a file of the storage cannot be removed");
    }
}

/// Reads a file as far as it can be read.
fn read(path: &Path, take: &mut dyn FnMut(Entry)) -> Outcome {
    let mut outcome =
        Outcome { salt: None, good_end: 0, is_damaged: true, is_torn: false, is_whole: false, sequence: 0 };
    let (version, salt) = match frame::read_header(path) {
        Ok(Header::Good { version, salt }) => (version, salt),
        Ok(Header::Short) => return Outcome { is_damaged: false, is_torn: true, ..outcome },
        Ok(Header::Damaged | Header::Newer { .. }) => return outcome,
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "a file of the storage cannot be read");
            return outcome;
        }
    };
    outcome.salt = Some(salt);
    let result = read_records(path, version, salt, take, &mut outcome);
    if let Err(error) = result {
        tracing::error!(path = %path.display(), %error, "a file of the storage cannot be read to its end");
        outcome.is_damaged = true;
    }
    outcome
}

fn read_records(
    path: &Path,
    version: Version,
    salt: Salt,
    take: &mut dyn FnMut(Entry),
    outcome: &mut Outcome,
) -> io::Result<()> {
    let mut records = Records::open(path, salt)?;
    let mut groups = 0;
    while let Some(payload) = records.next()? {
        let entry = match version {
            Version::V1 => record::decode(&payload),
        };
        let Some(entry) = entry else {
            records.reject();
            continue;
        };
        outcome.sequence = outcome.sequence.max(entry.sequence);
        match &entry.record {
            Record::End { groups: expected } => outcome.is_whole = *expected == groups,
            Record::Group(_) => groups += 1,
            Record::Push(_) | Record::Repeat(_) | Record::Fail(_) | Record::Remove { .. } => {}
        }
        take(entry);
    }
    outcome.good_end = records.good_end;
    outcome.is_damaged = records.is_damaged;
    outcome.is_torn = records.is_torn;
    outcome.is_whole &= !records.is_damaged && !records.is_torn;
    Ok(())
}

// === impl Reading ===

impl Reading<'_> {
    /// Reads the newest whole checkpoint, else the newest. Returns the segment that goes on from it.
    fn checkpoint(&mut self, checkpoints: &[u64]) -> u64 {
        let is_whole = |number: &&u64| read(&self.folder.checkpoint(**number), &mut |_| {}).is_whole;
        // There is more than one only where a process ended at the wrong moment.
        let chosen = match checkpoints {
            [] => return 0,
            [only] => *only,
            [.., newest] => *checkpoints.iter().rev().find(is_whole).unwrap_or(newest),
        };
        let path = self.folder.checkpoint(chosen);
        let outcome = read(&path, self.take);
        self.restored.sequence = outcome.sequence;
        self.restored.live_bytes = outcome.good_end;
        if outcome.is_whole {
            remove_before(self.folder, chosen);
        } else {
            self.damaged(path);
        }
        for newer in checkpoints.iter().filter(|newer| chosen < **newer) {
            self.damaged(self.folder.checkpoint(*newer));
        }
        chosen
    }

    fn log(&mut self, number: u64, is_last: bool) {
        let path = self.folder.log(number);
        let outcome = read(&path, self.take);
        let restored = &mut self.restored;
        restored.sequence = restored.sequence.max(outcome.sequence);
        if outcome.is_damaged || (outcome.is_torn && !is_last) {
            restored.closed_bytes += outcome.good_end;
            self.damaged(path);
            return;
        }
        if outcome.is_torn {
            self.counts.torn_tails.add_one();
            tracing::warn!(path = %path.display(), end = outcome.good_end, "the end of the log broke off and is cut");
        }
        let Some(salt) = outcome.salt else {
            // Nothing was ever in it.
            remove(&path);
            return;
        };
        if !is_last {
            restored.closed_bytes += outcome.good_end;
            return;
        }
        match Segment::reopen(&path, number, salt, outcome.good_end) {
            Ok(segment) => restored.segment = Some(segment),
            Err(error) => {
                restored.closed_bytes += outcome.good_end;
                tracing::warn!(path = %path.display(), %error, "the log cannot go on in its last file");
            }
        }
    }

    fn damaged(&mut self, path: PathBuf) {
        self.counts.damaged_files.add_one();
        tracing::error!(path = %path.display(), "a file of the storage is damaged; what can be read is served");
        self.restored.damaged.push(path);
    }
}
