//! What the storage counts, as families.
//!
//! *Never:* files.

use super::{family, metric};
use crate::{
    exposition::{Kind, MetricFamily},
    persist::Counts,
};

const CHECKPOINTS: &str = "sidegate_storage_checkpoints_total";
const DAMAGED_FILES: &str = "sidegate_storage_damaged_files_total";
const FAILURES: &str = "sidegate_storage_failures_total";
const LOG_BYTES: &str = "sidegate_storage_log_bytes";
const RECORDS: &str = "sidegate_storage_records_total";
const TORN_TAILS: &str = "sidegate_storage_torn_tails_total";

/// Its families, by name.
pub(super) const FAMILIES: [(&str, Kind); 6] = [
    (CHECKPOINTS, Kind::Counter),
    (DAMAGED_FILES, Kind::Counter),
    (FAILURES, Kind::Counter),
    (LOG_BYTES, Kind::Gauge),
    (RECORDS, Kind::Counter),
    (TORN_TAILS, Kind::Counter),
];

/// All of them, sorted by name. Without a storage they stay zero.
pub(super) fn gather(counts: &Counts) -> [MetricFamily; 6] {
    let plain = |name, help, kind, count: u64| family(name, help, kind, vec![metric(&[], count)]);
    let failures = [
        ("checkpoint", &counts.checkpoint_failures),
        ("start", &counts.start_failures),
        ("sync", &counts.sync_failures),
        ("write", &counts.write_failures),
    ];
    let failures = failures.map(|(step, count)| metric(&[("step", step)], count.get()));
    [
        plain(
            CHECKPOINTS,
            "Checkpoints of all groups that took the place of the log.",
            Kind::Counter,
            counts.checkpoints.get(),
        ),
        plain(
            DAMAGED_FILES,
            "Files of the storage that could not be read in full at the start.",
            Kind::Counter,
            counts.damaged_files.get(),
        ),
        family(
            FAILURES,
            "What the storage could not do, by step: a push whose write or sync failed was answered 503.",
            Kind::Counter,
            failures.into(),
        ),
        plain(LOG_BYTES, "Size of the log that no checkpoint covers.", Kind::Gauge, counts.log_bytes.get()),
        plain(RECORDS, "Changes that were written to the log.", Kind::Counter, counts.records.get()),
        plain(
            TORN_TAILS,
            "Ends of the log that broke off when a process ended, and were cut off at the start.",
            Kind::Counter,
            counts.torn_tails.get(),
        ),
    ]
}
