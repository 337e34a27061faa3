//! All groups, and all families by name: what a decision is made from and what it changes.
//!
//! Pure: [`Index::decide`] looks and [`Index::commit`] changes, neither reads a clock nor does I/O, and the same
//! decisions in the same order make the same index. The families are kept across groups, sorted as the page shows
//! them, so that a push finds its duplicates and its rivals by name instead of looking at everything.
//!
//! *Never:* tasks, locks, disk, the clock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use protocol::{
    GroupingKey,
    series::{PUSH_FAILURE_TIME_HELP, PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_HELP, PUSH_TIME_SECONDS, is_push_time},
};

use super::{
    change::{Action, Change, Objection, Scope, Terms, Times, Verdict},
    consistency,
    family::Family,
    group::{Group, GroupFamily, Prepared},
    identity::Identity,
    rules::Rules,
    series::{ByLabels, Series},
    staleness::Staleness,
};
use crate::{clock::UnixSeconds, exposition::Kind};

/// The name and type of a family that the process shows about itself.
pub(crate) type OwnFamily = (&'static str, Kind);

/// Everything that is stored.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) groups: HashMap<Arc<GroupingKey>, Group>,
    pub(super) families: BTreeMap<Arc<str>, Family>,
    pub(super) own: &'static [OwnFamily],
    pub(super) identity: Identity,
    staleness: Staleness,
    /// Raised by every commit that the page can tell.
    pub(super) revision: u64,
}

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Groups, those that never had an accepted push too.
    pub groups: usize,
    /// Pushed series: the push times of the groups are not among them. A histogram or a summary is one.
    pub series: usize,
}

/// A change made ready without a look at the index.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) key: Arc<GroupingKey>,
    wish: Wish,
}

#[derive(Debug)]
enum Wish {
    Push { prepared: Prepared, scope: Scope, terms: Terms },
    Remove,
    RemoveIf { push_time: UnixSeconds },
}

/// What is to be done, with all that doing it takes.
#[derive(Debug)]
pub(super) enum Decision {
    Push {
        key: Arc<GroupingKey>,
        families: Vec<GroupFamily>,
        scope: Scope,
        /// Those of the group from then on.
        times: Times,
        stale_after: Option<Duration>,
    },
    /// Without a time, the failure leaves no trace: its group could not be told from another.
    Refuse {
        key: Arc<GroupingKey>,
        time: Option<UnixSeconds>,
        objections: Vec<Objection>,
    },
    /// The failure time alone, of a refused push of the past.
    Fail {
        key: Arc<GroupingKey>,
        time: UnixSeconds,
    },
    Remove {
        key: Arc<GroupingKey>,
    },
    Leave {
        verdict: Verdict,
    },
}

// === impl Request ===

impl Request {
    pub(super) fn new(change: Change, rules: &Rules) -> Self {
        let wish = match change.action {
            Action::Push { families, scope, terms } => {
                let is_push = terms.times.is_none_or(|times| times.push_time != UnixSeconds::NEVER);
                let families = if is_push { families } else { Vec::new() };
                Wish::Push { prepared: Prepared::new(&change.key, families, rules), scope, terms }
            }
            Action::Remove => Wish::Remove,
            Action::RemoveIf { push_time } => Wish::RemoveIf { push_time },
        };
        Self { key: Arc::new(change.key), wish }
    }
}

// === impl Index ===

impl Index {
    pub(super) fn new(own: &'static [OwnFamily], rules: Rules) -> Self {
        let (staleness, identity) = (Staleness::new(&rules), rules.identity);
        Self { groups: HashMap::new(), families: BTreeMap::new(), own, identity, staleness, revision: 0 }
    }

    pub(super) fn decide(&self, request: Request, now: UnixSeconds) -> Decision {
        let Request { key, wish } = request;
        let group = self.groups.get(&key);
        match wish {
            Wish::Push { prepared, scope, terms } => self.decide_push(key, prepared, scope, terms, now),
            Wish::Remove if group.is_some() => Decision::Remove { key },
            Wish::Remove => Decision::Leave { verdict: Verdict::Done },
            Wish::RemoveIf { push_time } => match group.map(|group| group.push_time) {
                None => Decision::Leave { verdict: Verdict::Done },
                Some(found) if found == push_time => Decision::Remove { key },
                Some(found) => Decision::Leave { verdict: Verdict::PushedSince { push_time: found } },
            },
        }
    }

    fn decide_push(
        &self,
        key: Arc<GroupingKey>,
        prepared: Prepared,
        scope: Scope,
        terms: Terms,
        now: UnixSeconds,
    ) -> Decision {
        let group = self.groups.get(&key);
        let known = group.map(Group::times).unwrap_or_default();
        if terms.times.is_some_and(|given| !known.is_before(given)) {
            return Decision::Leave { verdict: Verdict::PushedSince { push_time: known.push_time } };
        }
        let objections = consistency::objections(self, &key, &prepared, scope);
        if !objections.is_empty() {
            let can_be_shown = !objections.iter().any(|why| matches!(why, Objection::SameShownKey { .. }));
            let time = group.map_or(now, |group| group.next_failure_time(now));
            return Decision::Refuse { key, time: can_be_shown.then_some(time), objections };
        }
        let times = match terms.times {
            None => Times { push_time: group.map_or(now, |group| group.next_push_time(now)), ..known },
            Some(Times { push_time: UnixSeconds::NEVER, failure_time }) => {
                return Decision::Fail { key, time: failure_time };
            }
            Some(given) => Times { failure_time: known.failure_time.max(given.failure_time), ..given },
        };
        Decision::Push { key, families: prepared.families, scope, times, stale_after: terms.stale_after }
    }

    pub(super) fn commit(&mut self, decision: Decision) -> Verdict {
        if matches!(decision, Decision::Leave { .. } | Decision::Refuse { time: None, .. }) {
            return decision.verdict();
        }
        self.revision += 1;
        match decision {
            Decision::Push { key, families, scope, times, stale_after } => {
                self.push(&key, families, scope, times, stale_after);
                Verdict::Done
            }
            Decision::Refuse { key, time, objections } => {
                self.fail(&key, time.unwrap_or_default());
                Verdict::Refused(objections)
            }
            Decision::Fail { key, time } => {
                self.fail(&key, time);
                Verdict::Done
            }
            Decision::Remove { key } => {
                self.remove(&key);
                Verdict::Done
            }
            Decision::Leave { verdict } => verdict,
        }
    }

    /// How much is stored.
    pub(super) fn counts(&self) -> Counts {
        let pushed = self.families.iter().filter(|(name, _)| !is_push_time(name));
        Counts { groups: self.groups.len(), series: pushed.map(|(_, family)| family.series.len()).sum() }
    }

    /// The first moment at which some group is stale, if nothing happens until then.
    pub(super) fn next_staleness(&self) -> Option<UnixSeconds> {
        self.staleness.next()
    }

    /// A scrape has shown that revision.
    pub(super) fn scraped(&mut self, revision: u64) {
        self.staleness.scraped(revision);
    }

    /// The groups that are stale, the one that was so first comes first.
    pub(super) fn stale(&self, now: UnixSeconds) -> impl Iterator<Item = &Arc<GroupingKey>> {
        self.staleness.stale(now)
    }

    /// How many groups had an accepted push after that revision.
    pub(super) fn groups_pushed_after(&self, revision: u64) -> usize {
        self.groups.values().filter(|group| revision < group.pushed_at).count()
    }

    fn push(
        &mut self,
        key: &Arc<GroupingKey>,
        families: Vec<GroupFamily>,
        scope: Scope,
        times: Times,
        stale_after: Option<Duration>,
    ) {
        let (key, mut group) = self.take(key);
        let replaced = match scope {
            Scope::Group => std::mem::take(&mut group.families).into_values().collect::<Vec<_>>(),
            Scope::Families => families.iter().filter_map(|family| group.families.remove(&family.name)).collect(),
        };
        for family in &replaced {
            self.take_out(family);
        }
        for mut family in families {
            family.time = times.push_time;
            self.put_in(&key, &family);
            group.families.insert(Arc::clone(&family.name), family);
        }
        let is_gone = |family: &&GroupFamily| group.families.get(&family.name).is_none_or(|now| now.series.is_empty());
        for family in replaced.iter().filter(is_gone) {
            self.pass_on(&key, family);
        }
        let Times { push_time, failure_time } = times;
        group = Group { push_time, failure_time, pushed_at: self.revision, stale_after, ..group };
        self.put_back(key, group);
    }

    fn fail(&mut self, key: &Arc<GroupingKey>, time: UnixSeconds) {
        let (key, mut group) = self.take(key);
        group.failure_time = time;
        self.put_back(key, group);
    }

    fn remove(&mut self, key: &Arc<GroupingKey>) {
        let Some((key, group)) = self.groups.remove_entry(key) else {
            return;
        };
        self.staleness.take_out(&key, &group);
        for family in group.families.values() {
            self.take_out(family);
            self.pass_on(&key, family);
        }
        for family in times_of(&self.identity, &key, &group) {
            self.take_out(&family);
        }
    }

    /// The group of that key with the key that its series share, or a new one. It comes back by `put_back`.
    fn take(&mut self, key: &Arc<GroupingKey>) -> (Arc<GroupingKey>, Group) {
        let Some((key, group)) = self.groups.remove_entry(key) else {
            return (Arc::clone(key), Group::new());
        };
        self.staleness.take_out(&key, &group);
        (key, group)
    }

    fn put_back(&mut self, key: Arc<GroupingKey>, group: Group) {
        for family in times_of(&self.identity, &key, &group) {
            self.take_out(&family);
            self.put_in(&key, &family);
        }
        self.staleness.put_in(&key, &group);
        self.groups.insert(key, group);
    }

    fn take_out(&mut self, family: &GroupFamily) {
        if let Some(stored) = self.families.get_mut(&family.name) {
            stored.take_out(family);
            if stored.series.is_empty() {
                self.families.remove(&family.name);
            }
        }
    }

    /// After a family of a group went for good.
    fn pass_on(&mut self, key: &GroupingKey, family: &GroupFamily) {
        let groups = &self.groups;
        if let Some(stored) = self.families.get_mut(&family.name) {
            stored.pass_on(family, key, |owner| groups.get(owner)?.families.get(&family.name));
        }
    }

    fn put_in(&mut self, key: &Arc<GroupingKey>, family: &GroupFamily) {
        if family.series.is_empty() {
            return;
        }
        let groups = &self.groups;
        let theirs = |giver: &GroupingKey| groups.get(giver).and_then(|group| group.families.get(&family.name));
        let stored = self.families.entry(Arc::clone(&family.name)).or_insert_with(|| Family::new(family.kind));
        stored.put_in(key, family, theirs);
    }
}

/// The two families that tell when the group was pushed.
fn times_of(identity: &Identity, key: &GroupingKey, group: &Group) -> [GroupFamily; 2] {
    let family = |name: &str, help: &str, time: UnixSeconds| GroupFamily {
        name: name.into(),
        kind: Kind::Gauge,
        help: help.into(),
        unit: "".into(),
        time,
        series: vec![ByLabels(Arc::new(Series::gauge(name, identity.exposed_key(key), time.0)))],
    };
    [
        family(PUSH_TIME_SECONDS, PUSH_TIME_HELP, group.push_time),
        family(PUSH_FAILURE_TIME_SECONDS, PUSH_FAILURE_TIME_HELP, group.failure_time),
    ]
}

// === impl Decision ===

impl Decision {
    fn verdict(self) -> Verdict {
        match self {
            Self::Push { .. } | Self::Fail { .. } | Self::Remove { .. } => Verdict::Done,
            Self::Refuse { objections, .. } => Verdict::Refused(objections),
            Self::Leave { verdict } => verdict,
        }
    }
}

#[cfg(test)]
mod tests;
