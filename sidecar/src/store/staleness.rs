//! When groups grow stale: the moment of each, in order, so that the next one is known at once.
//!
//! A group is stale when the time since its push is more than its limit; while no push was accepted, the last refused
//! one counts. Only groups with a limit are kept here, and a push moves only its own.
//!
//! Where unseen groups are kept, one whose last push no scrape has shown waits beside the order for its scrape.
//!
//! *Never:* limits of their own, families, the clock.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use protocol::GroupingKey;

use super::{group::Group, rules::Rules};
use crate::clock::UnixSeconds;

/// The groups that will grow stale, the first one first.
#[derive(Debug)]
pub(super) struct Staleness {
    /// The limit of groups that have none of their own.
    default_limit: Option<Duration>,
    moments: BTreeSet<(Moment, Arc<GroupingKey>)>,
    /// The newest revision that a scrape has shown. Groups that were pushed later are not in `moments`.
    seen: u64,
    /// Those, by the revision of their push: no two pushes share one.
    unseen: BTreeMap<u64, (Moment, Arc<GroupingKey>)>,
}

/// The last moment at which a group is not stale.
#[derive(Clone, Copy, Debug)]
struct Moment(UnixSeconds);

// === impl Staleness ===

impl Staleness {
    pub(super) fn new(rules: &Rules) -> Self {
        let seen = if rules.keeps_unseen { 0 } else { u64::MAX };
        Self { default_limit: rules.stale_after, moments: BTreeSet::new(), seen, unseen: BTreeMap::new() }
    }

    /// Notes a group that has its times.
    pub(super) fn put_in(&mut self, key: &Arc<GroupingKey>, group: &Group) {
        let Some(moment) = self.moment(group) else {
            return;
        };
        let entry = (moment, Arc::clone(key));
        if self.seen < group.pushed_at {
            self.unseen.insert(group.pushed_at, entry);
        } else {
            self.moments.insert(entry);
        }
    }

    /// Forgets a group whose times are still those it was noted with.
    pub(super) fn take_out(&mut self, key: &Arc<GroupingKey>, group: &Group) {
        if self.seen < group.pushed_at {
            self.unseen.remove(&group.pushed_at);
        } else if let Some(moment) = self.moment(group) {
            self.moments.remove(&(moment, Arc::clone(key)));
        }
    }

    /// Lets the groups grow stale whose last push was made up to that revision: a scrape has shown it.
    pub(super) fn scraped(&mut self, revision: u64) {
        self.seen = self.seen.max(revision);
        while let Some(first) = self.unseen.first_entry()
            && *first.key() <= self.seen
        {
            self.moments.insert(first.remove());
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
