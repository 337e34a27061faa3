//! The store and its storage: what is loaded at the start, and the checkpoints.
//!
//! A checkpoint is written by a thread of its own, which takes the lock for a few groups at a time.
//!
//! *Never:* what is in a record or a file.

use std::{io, sync::Arc, thread};

use super::{
    index::Index,
    logged::{Replay, record_of_group},
    view::GroupView,
    writer::Store,
};
use crate::persist::{Checkpoint, Counts, Log, OpenError, Storage};

/// How many groups are looked at while nobody else can.
const AT_A_TIME: usize = 64;

// === impl Store ===

impl Store {
    /// Loads what a folder holds, into a store that has nothing yet, and keeps there what is submitted from then on.
    /// Groups that are loaded count as not scraped.
    pub(crate) fn keep_in(&mut self, storage: &Storage, counts: &Arc<Counts>) -> Result<(), OpenError> {
        let own = self.lock().index.own;
        let mut replay = Replay::new(Index::new(own, self.rules.clone()), self.rules.clone());
        let log = Log::open(storage, counts, &mut |entry| replay.take(entry))?;
        let left_out = replay.left_out;
        let (index, dropped) = replay.finish(log.is_damaged());
        tracing::info!(folder = %log.folder().display(), groups = index.groups.len(), "groups restored");
        if left_out != 0 || dropped != 0 {
            tracing::warn!(
                records = left_out,
                groups = dropped,
                "left out what does not fit to the rest, of which something was lost"
            );
        }
        let needs_checkpoint = log.is_damaged() || dropped != 0;
        self.syncer = log.syncer();
        self.is_logged = true;
        let mut state = self.lock();
        (state.index, state.log) = (index, Some(log));
        drop(state);
        if needs_checkpoint {
            self.write_checkpoint();
        }
        Ok(())
    }

    /// At the end of a life that went well: the next one starts from a checkpoint, if there is enough for one, and the
    /// log is on the disk itself.
    pub(crate) fn close(&self) {
        let is_worth_it = self.lock().log.as_ref().is_some_and(Log::is_worth_a_checkpoint);
        if is_worth_it {
            self.write_checkpoint();
        }
        if let Some(Err(error)) = self.lock().log.as_ref().map(Log::sync) {
            tracing::warn!(%error, "the log cannot be synced");
        }
    }

    /// Lets the storage take nothing from now on.
    #[cfg(test)]
    pub(crate) fn break_storage(&self) {
        self.lock().log.as_mut().unwrap().break_segment();
    }

    /// Begins a checkpoint that was found due.
    pub(super) fn start_checkpoint(&self) {
        let store = self.clone();
        let started = thread::Builder::new().name("checkpoint".to_owned()).spawn(move || store.write_checkpoint());
        if let Err(error) = started {
            self.end_checkpoint(Err(error));
        }
    }

    fn write_checkpoint(&self) {
        let begun = self.lock().log.as_mut().map(Log::begin_checkpoint);
        if let Some(begun) = begun {
            self.end_checkpoint(begun.and_then(|checkpoint| self.fill(checkpoint)));
        }
    }

    fn end_checkpoint(&self, written: io::Result<(u64, u64)>) {
        if let Some(log) = &mut self.lock().log {
            log.end_checkpoint(written);
        }
    }

    /// Writes all groups. One that comes or goes meanwhile is in the log.
    fn fill(&self, mut checkpoint: Checkpoint) -> io::Result<(u64, u64)> {
        let mut last = 0;
        for keys in self.keys().chunks(AT_A_TIME) {
            let state = self.lock();
            let sequence = state.log.as_ref().map_or(0, Log::sequence);
            let groups = keys.iter().filter_map(|key| state.index.groups.find(key));
            let views: Vec<_> = groups.map(|group| GroupView::of(group, &state.index.slots)).collect();
            drop(state);
            for view in &views {
                let (draft, tail) = record_of_group(view);
                checkpoint.add(draft, &tail, sequence)?;
            }
            last = sequence;
        }
        checkpoint.end(last)
    }
}

#[cfg(test)]
mod tests;
