//! All groups, by key and by number.
//!
//! *Never:* families, series.

use std::{collections::HashMap, sync::Arc};

use protocol::GroupingKey;

use super::{group::Group, slab::Slab};

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    numbers: HashMap<Arc<GroupingKey>, u32>,
    groups: Slab<Option<Group>>,
    /// The answer that was given last to how many were pushed after a revision, kept true with every change.
    tally: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    revision: u64,
    pushed_after: usize,
}

// === impl Groups ===

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn number(&self, key: &GroupingKey) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Group> {
        self.groups.get(number).as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.groups.get_mut(number).as_mut()
    }

    pub(super) fn find(&self, key: &GroupingKey) -> Option<&Group> {
        self.get(self.number(key)?)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<GroupingKey>> {
        self.numbers.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.numbers.values().filter_map(|number| self.get(*number))
    }

    /// Takes a new group in and returns its number.
    pub(super) fn insert(&mut self, group: Group) -> u32 {
        let key = Arc::clone(&group.key);
        let number = self.groups.insert(Some(group));
        self.numbers.insert(key, number);
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Group> {
        let group = self.groups.remove(number)?;
        self.numbers.remove(&group.key);
        self.tally.pushed_after -= usize::from(self.tally.revision < group.pushed_at);
        Some(group)
    }

    /// Notes an accepted push of a group.
    pub(super) fn pushed(&mut self, number: u32, revision: u64) {
        if let Some(group) = self.groups.get_mut(number) {
            self.tally.pushed_after += usize::from(self.tally.revision < revision);
            self.tally.pushed_after -= usize::from(self.tally.revision < group.pushed_at);
            group.pushed_at = revision;
        }
    }

    /// How many had an accepted push after that revision. Groups are looked at only when another revision is asked for.
    pub(super) fn pushed_after(&mut self, revision: u64) -> usize {
        if self.tally.revision != revision {
            let groups = self.numbers.values().filter_map(|number| self.get(*number));
            let pushed_after = groups.filter(|group| revision < group.pushed_at).count();
            self.tally = Tally { revision, pushed_after };
        }
        self.tally.pushed_after
    }
}
