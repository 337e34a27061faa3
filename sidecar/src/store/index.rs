//! All groups, and all families by name: what a decision is made from and what it changes.
//!
//! Pure: [`Index::decide`] looks and [`Index::commit`] changes, neither reads a clock nor does I/O, and the same
//! decisions in the same order make the same index. The families are kept across groups, sorted as the page shows
//! them, so that a push finds its duplicates and its rivals by name instead of looking at everything.
//!
//! *Never:* tasks, locks, disk, the clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use protocol::{
    GroupingKey,
    series::{PUSH_FAILURE_TIME_HELP, PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_HELP, PUSH_TIME_SECONDS},
};

use super::{
    change::{Action, Change, Objection, Scope, Terms, Times, Verdict},
    consistency,
    family::Family,
    group::{About, Group, GroupFamily, Prepared, PreparedFamily},
    groups::Groups,
    identity::Identity,
    limits::{self, Limits},
    rules::Rules,
    series::Series,
    slots::Slots,
    staleness::Staleness,
    stored::Stored,
};
use crate::{clock::UnixSeconds, exposition::Kind};

/// The name and type of a family that the process shows about itself.
pub(crate) type OwnFamily = (&'static str, Kind);

/// The two families that tell when a group was pushed.
const TIMES: [(&str, &str); 2] =
    [(PUSH_TIME_SECONDS, PUSH_TIME_HELP), (PUSH_FAILURE_TIME_SECONDS, PUSH_FAILURE_TIME_HELP)];

/// Everything that is stored.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) groups: Groups,
    pub(super) families: BTreeMap<Arc<str>, Family>,
    pub(super) slots: Slots,
    pub(super) own: &'static [OwnFamily],
    pub(super) identity: Identity,
    staleness: Staleness,
    /// Raised by every commit that the page can tell.
    pub(super) revision: u64,
    pub(super) limits: Limits,
    /// That of the last family to come or to go.
    pub(super) names_revision: u64,
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
    Fail,
    Remove,
    RemoveIf { push_time: UnixSeconds, failure_time: Option<UnixSeconds> },
}

/// What is to be done, with all that doing it takes.
#[derive(Debug)]
pub(super) enum Decision {
    Push {
        key: Arc<GroupingKey>,
        families: Vec<PreparedFamily>,
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
            Action::Fail => Wish::Fail,
            Action::Remove => Wish::Remove,
            Action::RemoveIf { push_time, failure_time } => Wish::RemoveIf { push_time, failure_time },
        };
        Self { key: Arc::new(change.key), wish }
    }
}

// === impl Index ===

impl Index {
    pub(super) fn new(own: &'static [OwnFamily], rules: Rules) -> Self {
        let (staleness, identity, limits) = (Staleness::new(&rules), rules.identity, rules.limits);
        Self {
            groups: Groups::default(),
            families: BTreeMap::new(),
            slots: Slots::default(),
            own,
            identity,
            staleness,
            revision: 0,
            limits,
            names_revision: 0,
        }
    }

    pub(super) fn decide(&self, request: Request, now: UnixSeconds) -> Decision {
        let Request { key, wish } = request;
        match wish {
            Wish::Push { prepared, scope, terms } => self.decide_push(key, prepared, scope, terms, now),
            Wish::Fail => match self.groups.find(&key).map(|group| group.next_failure_time(now)) {
                Some(time) => Decision::Fail { key, time },
                None => Decision::Leave { verdict: Verdict::Done },
            },
            Wish::Remove if self.groups.number(&key).is_some() => Decision::Remove { key },
            Wish::Remove => Decision::Leave { verdict: Verdict::Done },
            Wish::RemoveIf { push_time, failure_time } => match self.groups.find(&key).map(Group::times) {
                None => Decision::Leave { verdict: Verdict::Done },
                Some(found) if found.push_time != push_time => {
                    Decision::Leave { verdict: Verdict::PushedSince { push_time: found.push_time } }
                }
                Some(found) if failure_time.is_some_and(|seen| seen != found.failure_time) => {
                    Decision::Leave { verdict: Verdict::FailedSince { failure_time: found.failure_time } }
                }
                Some(_) => Decision::Remove { key },
            },
        }
    }

    fn decide_push(
        &self,
        key: Arc<GroupingKey>,
        mut prepared: Prepared,
        scope: Scope,
        terms: Terms,
        now: UnixSeconds,
    ) -> Decision {
        let group = self.groups.find(&key);
        let known = group.map(Group::times).unwrap_or_default();
        if terms.times.is_some_and(|given| !known.is_before(given)) {
            return Decision::Leave { verdict: Verdict::PushedSince { push_time: known.push_time } };
        }
        if let Some(group) = group {
            for family in &mut prepared.families {
                family.known = self.known(group, family);
            }
        }
        let objections = consistency::objections(self, &key, &prepared, scope);
        if !objections.is_empty() {
            let can_be_shown = !objections.iter().any(|why| matches!(why, Objection::SameShownKey { .. }));
            let time = group.map_or(now, |group| group.next_failure_time(now));
            return Decision::Refuse { key, time: can_be_shown.then_some(time), objections };
        }
        if let Some(full) = limits::objection(self, group, &prepared, scope) {
            let time = group.map(|group| group.next_failure_time(now));
            return Decision::Refuse { key, time, objections: vec![full] };
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

    /// The place of the family in its group, if the group has the same to say of series with the same labels.
    fn known(&self, group: &Group, family: &PreparedFamily) -> Option<usize> {
        let place = group.place_of(&family.name)?;
        let GroupFamily { about, series, .. } = group.families.get(place)?;
        let stored = series.as_slice();
        let mut pairs = family.series.iter().zip(stored);
        let is_known = stored.len() == family.series.len()
            && !stored.is_empty()
            && family.says(about)
            && pairs.all(|(new, old)| new.fits_in_place_of(&self.slots.get(*old).series));
        is_known.then_some(place)
    }

    pub(super) fn commit(&mut self, decision: Decision) -> Verdict {
        match decision {
            Decision::Push { key, families, scope, times, stale_after } => {
                self.revision += 1;
                self.push(&key, families, scope, times, stale_after);
                Verdict::Done
            }
            Decision::Refuse { key, time, objections } => {
                if let Some(time) = time {
                    self.revision += 1;
                    self.fail(&key, time);
                }
                Verdict::Refused(objections)
            }
            Decision::Fail { key, time } => {
                self.revision += 1;
                self.fail(&key, time);
                Verdict::Done
            }
            Decision::Remove { key } => {
                self.revision += 1;
                self.remove(&key);
                Verdict::Done
            }
            Decision::Leave { verdict } => verdict,
        }
    }

    /// Where series and groups are looked up.
    pub(super) fn stored(&self) -> Stored<'_> {
        Stored { slots: &self.slots, groups: &self.groups }
    }

    /// How much is stored.
    pub(super) fn counts(&self) -> Counts {
        let groups = self.groups.len();
        Counts { groups, series: self.slots.len() - TIMES.len() * groups }
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
    pub(super) fn groups_pushed_after(&mut self, revision: u64) -> usize {
        self.groups.pushed_after(revision)
    }

    fn push(
        &mut self,
        key: &Arc<GroupingKey>,
        families: Vec<PreparedFamily>,
        scope: Scope,
        times: Times,
        stale_after: Option<Duration>,
    ) {
        let number = self.group(key);
        let revision = self.revision;
        let Some(group) = self.groups.get_mut(number) else {
            return;
        };
        self.staleness.take_out(&group.key, group);
        group.stale_after = stale_after;
        self.groups.pushed(number, revision);
        self.set_times(number, times);

        let mut mine = self.groups.get_mut(number).map(|group| std::mem::take(&mut group.families)).unwrap_or_default();
        let mut is_kept = vec![scope == Scope::Families; mine.len()];
        let mut others = Vec::new();
        for family in families {
            let place = mine.binary_search_by(|known| (*known.about.name).cmp(&family.name));
            let place = place.ok().and_then(|place| Some((mine.get_mut(place)?, is_kept.get_mut(place)?)));
            match (place, family.known) {
                (Some((known, is_kept)), Some(_)) => {
                    *is_kept = true;
                    known.time = times.push_time;
                    for (id, series) in known.series.as_slice().iter().zip(family.series) {
                        self.slots.replace(*id, series, revision);
                    }
                }
                (Some((_, is_kept)), None) => {
                    *is_kept = false;
                    others.push(family);
                }
                (None, _) => others.push(family),
            }
        }
        if !others.is_empty() || is_kept.contains(&false) {
            mine = self.exchange(number, mine, &is_kept, others, times.push_time);
        }
        if let Some(group) = self.groups.get_mut(number) {
            group.families = mine;
            self.staleness.put_in(&group.key, group);
        }
    }

    /// Takes out what is not kept of the families of a group, puts others in, and returns what it has then.
    fn exchange(
        &mut self,
        number: u32,
        mine: Box<[GroupFamily]>,
        is_kept: &[bool],
        others: Vec<PreparedFamily>,
        time: UnixSeconds,
    ) -> Box<[GroupFamily]> {
        let (mut kept, mut replaced) = (Vec::with_capacity(is_kept.len().max(others.len())), Vec::new());
        for (family, is_kept) in mine.into_iter().zip(is_kept) {
            if *is_kept { kept.push(family) } else { replaced.push(family) }
        }
        for family in &replaced {
            self.take_out(family);
        }
        let mut names = BTreeSet::new();
        for family in others {
            let family = self.put_in(number, family, time);
            if family.series.len() != 0 {
                names.insert(Arc::clone(&family.about.name));
            }
            kept.push(family);
        }
        kept.sort_by(|left, right| left.about.name.cmp(&right.about.name));
        for family in replaced.iter().filter(|family| !names.contains(&family.about.name)) {
            self.pass_on(number, family);
        }
        kept.into()
    }

    fn fail(&mut self, key: &Arc<GroupingKey>, time: UnixSeconds) {
        let number = self.group(key);
        if let Some(group) = self.groups.get(number) {
            self.staleness.take_out(&group.key, group);
            let times = Times { failure_time: time, ..group.times() };
            self.set_times(number, times);
        }
        if let Some(group) = self.groups.get(number) {
            self.staleness.put_in(&group.key, group);
        }
    }

    fn remove(&mut self, key: &Arc<GroupingKey>) {
        let Some(number) = self.groups.number(key) else {
            return;
        };
        let Some(group) = self.groups.get_mut(number) else {
            return;
        };
        self.staleness.take_out(&group.key, group);
        let families = std::mem::take(&mut group.families);
        let times = group.times_shown;
        for family in &families {
            self.take_out(family);
            self.pass_on(number, family);
        }
        for ((name, _), id) in TIMES.into_iter().zip(times) {
            if let Some(family) = self.families.get(name) {
                let shown =
                    GroupFamily { about: Arc::clone(&family.about), time: UnixSeconds::NEVER, series: id.into() };
                self.take_out(&shown);
            }
        }
        self.groups.remove(number);
    }

    /// The number of the group of that key, or that of a new one.
    fn group(&mut self, key: &Arc<GroupingKey>) -> u32 {
        if let Some(number) = self.groups.number(key) {
            return number;
        }
        let number = self.groups.insert(Group::new(Arc::clone(key), &self.identity));
        let times = TIMES.map(|(name, help)| {
            let family = PreparedFamily {
                name: name.to_owned(),
                kind: Kind::Gauge,
                help: help.to_owned(),
                unit: String::new(),
                series: vec![Series::time()],
                faults: Vec::new(),
                known: None,
            };
            let series = self.put_in(number, family, UnixSeconds::NEVER).series;
            series.as_slice().first().copied().unwrap_or_default()
        });
        if let Some(group) = self.groups.get_mut(number) {
            group.times_shown = times;
        }
        number
    }

    fn set_times(&mut self, number: u32, times: Times) {
        let Some(group) = self.groups.get_mut(number) else {
            return;
        };
        let before = group.times();
        let Times { push_time, failure_time } = times;
        (group.push_time, group.failure_time) = (push_time, failure_time);
        let [push, failure] = group.times_shown;
        if before.push_time != push_time {
            self.slots.touch(push, self.revision);
        }
        if before.failure_time != failure_time {
            self.slots.touch(failure, self.revision);
        }
    }

    fn take_out(&mut self, family: &GroupFamily) {
        if let Some(stored) = self.families.get_mut(&family.about.name) {
            stored.take_out(&mut self.slots, &self.groups, family, self.revision);
            if stored.series.is_empty() {
                self.families.remove(&family.about.name);
                self.names_revision = self.revision;
            }
        }
    }

    /// After a family of a group went for good.
    fn pass_on(&mut self, number: u32, family: &GroupFamily) {
        let groups = &self.groups;
        if let Some(stored) = self.families.get_mut(&family.about.name) {
            let theirs = |giver| Some(&*groups.get(giver)?.family(&family.about.name)?.about);
            stored.pass_on(&self.slots, &family.about, number, theirs, self.revision);
        }
    }

    fn put_in(&mut self, number: u32, family: PreparedFamily, time: UnixSeconds) -> GroupFamily {
        let Some(stored) = self.families.get(&*family.name) else {
            let nobody = About { name: "".into(), kind: Kind::Untyped, help: "".into(), unit: "".into() };
            let about = family.about(&Arc::new(nobody));
            return self.put_into(number, about, family, time);
        };
        let about = family.about(&stored.about);
        self.put_into(number, about, family, time)
    }

    fn put_into(&mut self, number: u32, about: Arc<About>, family: PreparedFamily, time: UnixSeconds) -> GroupFamily {
        if family.series.is_empty() {
            return GroupFamily { about, time, series: Vec::new().into() };
        }
        let (groups, revision) = (&self.groups, self.revision);
        let stored = self.families.entry(Arc::clone(&about.name)).or_insert_with(|| {
            self.names_revision = revision;
            Family::new(Arc::clone(&about), revision)
        });
        let theirs = |giver| Some(&*groups.get(giver)?.family(&about.name)?.about);
        stored.take_help(&self.slots, number, &about, theirs, revision);
        let ids = stored.put_in(&mut self.slots, groups, (number, about.kind), family.series, revision);
        stored.about = Arc::clone(&about);
        GroupFamily { about, time, series: ids.into() }
    }
}

#[cfg(test)]
mod tests;
