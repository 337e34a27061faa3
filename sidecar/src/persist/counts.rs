//! What is counted about the storage.
//!
//! *Never:* the names of the series.

use std::sync::atomic::{AtomicU64, Ordering};

/// Whoever stores adds, whoever gathers reads.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Bytes of the log that no checkpoint covers.
    pub(crate) log_bytes: Count,
    pub(crate) records: Count,
    pub(crate) checkpoints: Count,
    pub(crate) torn_tails: Count,
    pub(crate) damaged_files: Count,
    pub(crate) checkpoint_failures: Count,
    pub(crate) start_failures: Count,
    pub(crate) sync_failures: Count,
    pub(crate) write_failures: Count,
}

/// One number.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

// === impl Count ===

impl Count {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
