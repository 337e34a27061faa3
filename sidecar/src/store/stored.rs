//! Series by number, with what their groups know of them: a push time has no text of its own.
//!
//! *Never:* families, changes.

use protocol::{label_set::is_label_name, series::PUSH_TIME_SECONDS};

use super::{
    group::Group,
    groups::Groups,
    labels::{Labels, exposed},
    series::{Maker, Series},
    slots::{Slot, Slots},
};
use crate::{clock::UnixSeconds, exposition::Value};

/// Where series and groups are looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a> {
    pub(super) slots: &'a Slots,
    pub(super) groups: &'a Groups,
}

// === impl Stored ===

impl<'a> Stored<'a> {
    pub(super) fn slot(self, id: u32) -> &'a Slot {
        self.slots.get(id)
    }

    /// The group whose push time the series is, if it is one.
    pub(super) fn time_of(self, slot: &Slot) -> Option<&'a Group> {
        match &slot.series {
            Series::Plain(text) if text.is_empty() => self.groups.get(slot.group),
            Series::Plain(_) | Series::Rich(_) => None,
        }
    }

    pub(super) fn labels(self, id: u32) -> Labels<'a> {
        let slot = self.slot(id);
        self.time_of(slot).map_or_else(|| slot.series.labels(), |group| Labels::Key(group.shown_key()))
    }

    /// Whether it is written in the same way under every escaping scheme.
    pub(super) fn is_classic(self, slot: &Slot) -> bool {
        match self.time_of(slot) {
            Some(group) => has_classic_key(group),
            None => slot.series.is_classic(),
        }
    }

    /// As if it had a text of its own.
    pub(super) fn series(self, family: &str, id: u32) -> Series {
        let slot = self.slot(id);
        match self.time_of(slot) {
            Some(group) => {
                let value = Value::Number(time(family, group).0);
                Maker::new(family).series(|| exposed(group.shown_key()), value, None, None)
            }
            None => slot.series.clone(),
        }
    }
}

/// The one of its push times that a family shows.
pub(super) fn time(family: &str, group: &Group) -> UnixSeconds {
    if family == PUSH_TIME_SECONDS { group.push_time } else { group.failure_time }
}

pub(super) fn has_classic_key(group: &Group) -> bool {
    group.key.labels().iter().all(|(name, _)| is_label_name(name))
}
