//! The folder: its lock, the names of its files, and what is there.
//!
//! | Name | What |
//! | --- | --- |
//! | `lock` | locked by the process that works with the folder |
//! | `log-N` | a segment of the log |
//! | `checkpoint-N` | all groups, as far as segments before N tell of them; later ones go on from there |
//! | `checkpoint-N.new` | one that is being written |
//! | `….damaged` | a file that could not be read in full, once what could be read is in a checkpoint |
//!
//! Numbers only rise. Files of other names are nobody's business here.
//!
//! *Never:* what is in the files.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::OpenError;

const LOG: &str = "log-";
const CHECKPOINT: &str = "checkpoint-";
const NEW: &str = ".new";
const DAMAGED: &str = ".damaged";

/// A folder that is ours as long as the value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The lock ends with the file.
    _lock: File,
}

/// What is in the folder, numbers rising.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) logs: Vec<u64>,
    pub(super) checkpoints: Vec<u64>,
    /// Checkpoints that were never finished.
    pub(super) unfinished: Vec<PathBuf>,
    /// The largest number that any file has.
    pub(super) last: u64,
}

// === impl Folder ===

impl Folder {
    /// Makes it where it is missing, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = private().create(true).truncate(false).open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn log(&self, number: u64) -> PathBuf {
        self.path.join(format!("{LOG}{number}"))
    }

    pub(super) fn checkpoint(&self, number: u64) -> PathBuf {
        self.path.join(format!("{CHECKPOINT}{number}"))
    }

    pub(super) fn unfinished(&self, number: u64) -> PathBuf {
        self.path.join(format!("{CHECKPOINT}{number}{NEW}"))
    }

    pub(super) fn list(&self) -> io::Result<Found> {
        let mut found = Found::default();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(CHECKPOINT) && name.ends_with(NEW) {
                found.unfinished.push(self.path.join(name));
            }
            let whole = name.strip_suffix(DAMAGED).or_else(|| name.strip_suffix(NEW));
            let stem = whole.unwrap_or(name);
            let number = |prefix| stem.strip_prefix(prefix).and_then(|number: &str| number.parse::<u64>().ok());
            let (log, checkpoint) = (number(LOG), number(CHECKPOINT));
            found.last = found.last.max(log.or(checkpoint).unwrap_or_default());
            if whole.is_none() {
                found.logs.extend(log);
                found.checkpoints.extend(checkpoint);
            }
        }
        found.logs.sort_unstable();
        found.checkpoints.sort_unstable();
        Ok(found)
    }

    /// Makes the names of its files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// For files that nobody else may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Keeps a file under another name, for whoever wants to look at it.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(DAMAGED);
    fs::rename(path, name)
}
