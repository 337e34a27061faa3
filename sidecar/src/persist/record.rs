//! What is written of a change, in terms of the exposition: the values, and their bytes.
//!
//! A record is a kind, a body and a tail. The body is what was asked for, so that it can be made ready without a look
//! at what is stored ([`Draft`]); the tail is what was decided ([`Tail`]), of one length, so that it is added in no
//! time. Reading gives an [`Entry`]: the same values, whatever the flags are by then.
//!
//! Each record of a group says at which push time it found it. Where a record was lost, the next one of its group shows
//! it.
//!
//! These bytes are version 1 of the format. A change to them is a new version beside this one: what an older version
//! wrote is read for ever.
//!
//! *Never:* files, checksums, what a record does.

mod bytes;
mod decode;
mod encode;

use std::time::Duration;

use protocol::GroupingKey;

use crate::{clock::UnixSeconds, exposition::MetricFamily};
pub(super) use decode::decode;
pub(crate) use encode::Draft;

/// One record as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Counts all records of a log from 1 on; of a group in a checkpoint, the last one that is in it.
    pub(crate) sequence: u64,
    pub(crate) record: Record,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Push(Push),
    Repeat(Repeated),
    Fail(Fail),
    Remove {
        keys: Vec<GroupingKey>,
    },
    /// All of a group, in a checkpoint.
    Group(StoredGroup),
    /// The last record of a checkpoint.
    End {
        groups: u64,
    },
}

/// An accepted push.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Push {
    pub(crate) key: GroupingKey,
    /// Whether its families are all that the group has from then on.
    pub(crate) is_whole: bool,
    pub(crate) stale_after: Option<Duration>,
    /// With timestamps only where they were honored.
    pub(crate) families: Vec<MetricFamily>,
    pub(crate) push_time: UnixSeconds,
    pub(crate) failure_time: UnixSeconds,
    /// The push time that the group had; [`UnixSeconds::NEVER`] if no push was accepted or there was no group.
    pub(crate) before: UnixSeconds,
}

/// An accepted push that said the same as the one before it, with other numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Repeated {
    pub(crate) key: GroupingKey,
    pub(crate) stale_after: Option<Duration>,
    /// The places of the group's families in the order of the numbers; nothing where that is their own.
    pub(crate) places: Box<[u32]>,
    /// One for each series of the group.
    pub(crate) numbers: Vec<f64>,
    pub(crate) push_time: UnixSeconds,
    pub(crate) failure_time: UnixSeconds,
    /// As of a push.
    pub(crate) before: UnixSeconds,
}

/// A refused push.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fail {
    pub(crate) key: GroupingKey,
    pub(crate) failure_time: UnixSeconds,
    /// As of a push.
    pub(crate) before: UnixSeconds,
}

/// A group as it was at some moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredGroup {
    pub(crate) key: GroupingKey,
    pub(crate) stale_after: Option<Duration>,
    pub(crate) push_time: UnixSeconds,
    pub(crate) failure_time: UnixSeconds,
    /// Each with the time of its push.
    pub(crate) families: Vec<(UnixSeconds, MetricFamily)>,
}

/// What is decided of a record, apart from its number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tail {
    pub(crate) push_time: UnixSeconds,
    pub(crate) failure_time: UnixSeconds,
    pub(crate) before: UnixSeconds,
}

/// Bytes of a tail with its sequence in front.
const TAIL_LENGTH: usize = 32;

/// The first byte of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Type {
    Push = 1,
    Fail = 2,
    Remove = 3,
    Group = 4,
    End = 5,
    Repeat = 6,
}

/// What a family starts with; a zero says that there are no more.
const FAMILY: u8 = 1;

/// What the first byte of a metric says; a zero says that there are no more.
mod metric {
    pub(super) const PRESENT: u8 = 0x80;
    pub(super) const HAS_TIMESTAMP: u8 = 0x01;
    pub(super) const HAS_EXTRA: u8 = 0x02;
    pub(super) const SUMMARY: u8 = 0x04;
    pub(super) const HISTOGRAM: u8 = 0x08;
}

/// What the first byte of what comes with a value says.
mod extra {
    pub(super) const HAS_CREATED: u8 = 0x01;
    pub(super) const IS_LINE: u8 = 0x02;
    pub(super) const HAS_NATIVE: u8 = 0x04;
}

#[cfg(test)]
mod tests;
