//! When groups grow stale: the moment of each, in order, so that the next one is known at once.
//!
//! A group is stale when the time since its push is more than its limit; while no push was accepted, the last refused
//! one counts. Only groups with a limit are kept here, and a push moves only its own.
//!
//! *Never:* limits of their own, families, the clock.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc, time::Duration};

use protocol::GroupingKey;

use super::group::Group;
use crate::clock::UnixSeconds;

/// The groups that will grow stale, the first one first.
#[derive(Debug)]
pub(super) struct Staleness {
    /// The limit of groups that have none of their own.
    default_limit: Option<Duration>,
    moments: BTreeSet<(Moment, Arc<GroupingKey>)>,
}

/// The last moment at which a group is not stale.
#[derive(Clone, Copy, Debug)]
struct Moment(UnixSeconds);

// === impl Staleness ===

impl Staleness {
    pub(super) fn new(default_limit: Option<Duration>) -> Self {
        Self { default_limit, moments: BTreeSet::new() }
    }

    /// Notes a group that has its times.
    pub(super) fn put_in(&mut self, key: &Arc<GroupingKey>, group: &Group) {
        if let Some(moment) = self.moment(group) {
            self.moments.insert((moment, Arc::clone(key)));
        }
    }

    /// Forgets a group whose times are still those it was noted with.
    pub(super) fn take_out(&mut self, key: &Arc<GroupingKey>, group: &Group) {
        if let Some(moment) = self.moment(group) {
            self.moments.remove(&(moment, Arc::clone(key)));
        }
    }

    /// The first moment at which some group is stale.
    pub(super) fn next(&self) -> Option<UnixSeconds> {
        self.moments.first().map(|(Moment(last_good), _)| last_good.next())
    }

    /// The groups that are stale, the one that was so first comes first.
    pub(super) fn stale(&self, now: UnixSeconds) -> impl Iterator<Item = &Arc<GroupingKey>> {
        self.moments.iter().take_while(move |(Moment(last_good), _)| *last_good < now).map(|(_, key)| key)
    }

    fn moment(&self, group: &Group) -> Option<Moment> {
        let last = if group.push_time == UnixSeconds::NEVER { group.failure_time } else { group.push_time };
        let limit = group.stale_after.or(self.default_limit)?;
        Some(Moment(UnixSeconds(last.0 + limit.as_secs_f64())))
    }
}

// === impl Moment ===

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.0.total_cmp(&other.0.0)
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Moment {}
