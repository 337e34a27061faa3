//! Where what is pushed is kept: the flags of every role, and those of the Pushgateway.
//!
//! *Never:* whether the folder is there.

use std::{path::PathBuf, time::Duration};

use protocol::flags;

use super::{
    reader::{Reader, given},
    shown::Shown,
    word,
};
use crate::{
    args::{PersistenceArgs, StorageArgs},
    duration,
    persist::Storage,
};

/// What `--persistence.interval` is where there is no such flag.
const INTERVAL: Duration = Duration::from_mins(5);

/// What a process keeps, and where.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// `None` for memory only.
    pub(crate) storage: Option<Storage>,
    /// Where the Pushgateway would have its file.
    pub(crate) upstreams_file: Option<PathBuf>,
}

pub(super) fn read_alone(
    reader: &mut Reader,
    shown: &mut Shown,
    storage: StorageArgs,
    persistence: PersistenceArgs,
) -> Option<Keeping> {
    let PersistenceArgs { persistence_file, persistence_interval } = persistence;
    let file = given(persistence_file);
    let interval = reader.read("--persistence.interval", &persistence_interval, duration::parse);
    shown.text("persistence.file", file.as_deref().unwrap_or_default());
    shown.text("persistence.interval", &interval.map(duration::shown).unwrap_or_default());
    let folder = given(storage.storage_dir.clone());
    if let (Some(file), Some(_)) = (&file, &folder) {
        reader.mistakes.push(format!(
            "--persistence.file: expected no value beside `{}`, which names the folder already, found {file:?}",
            flags::STORAGE_DIR
        ));
    }
    let folder = folder.or_else(|| file.as_ref().map(|file| format!("{file}.d")));
    let storage = StorageArgs { storage_dir: folder, ..storage };
    let storage = read(reader, storage, interval.unwrap_or(INTERVAL))?;
    interval.map(|_| Keeping { storage, upstreams_file: file.map(PathBuf::from) })
}

pub(super) fn read_sidecar(reader: &mut Reader, storage: StorageArgs) -> Option<Keeping> {
    let storage = read(reader, storage, INTERVAL)?;
    Some(Keeping { storage, upstreams_file: None })
}

/// The inner `None` is memory only.
fn read(reader: &mut Reader, storage: StorageArgs, interval: Duration) -> Option<Option<Storage>> {
    let is_synced = reader.read(flags::STORAGE_SYNC, &storage.storage_sync, word::sync)?;
    let folder = given(storage.storage_dir).map(PathBuf::from);
    Some(folder.map(|folder| Storage { folder, is_synced, interval }))
}
