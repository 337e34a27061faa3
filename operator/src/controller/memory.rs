//! What this process remembers of each `PushGroup` between reconciles: when its objects were applied and how that went,
//! and what of the collected groups is not in the status yet.
//!
//! All of it may be lost in a restart: the objects are then applied once more, and only what was collected in the
//! very moment before is not counted.
//!
//! *Never:* the API server.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::PushGroup;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::{
    apply::Outcome,
    ledger::{Ending, Ledger},
};
use crate::retry;

/// How many applies in a row that a touch brought about come a second apart; from then on the pause between them grows.
/// A person who tries something makes fewer, even though each takes one more, since our own apply is a touch, too.
const QUICK: u32 = 30;

/// Without an apply for so long, a touch is the first of a row, and so it is with counts. Longer than any pause in a row.
const QUIET: Duration = Duration::from_secs(60);

/// How long counts wait for each other at the most: a status that is written for each pod that comes or goes would be
/// most of what the API server has to do for us.
const COUNTS_EVERY: Duration = Duration::from_secs(15);

/// How many pods that ended are remembered one by one, of all groups together: as many as there may be, and some.
const MOST_PODS: usize = 16_384;

/// What is remembered of all groups.
#[derive(Debug, Default)]
pub struct Memory {
    entries: Mutex<HashMap<ObjectRef<PushGroup>, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    uid: String,
    synced: Option<Synced>,
    touched: bool,
    /// The applies in a row that a touch brought about.
    repairs: u32,
    failures: u32,
    failed_applies: u32,
    /// When counts alone were written last, and how often in a row.
    counts: Option<(Timestamp, u32)>,
    ledger: Ledger,
}

#[derive(Debug)]
struct Synced {
    generation: Option<i64>,
    at: Timestamp,
    outcome: Outcome,
}

// === impl Memory ===

impl Memory {
    /// The outcome of the last apply, if it is of this generation and not too long ago. A touch since then leaves it a
    /// pause that grows with each in a row, or another that writes the same fields would have us write as fast as it
    /// does; a failure stands for a pause of its own, or every wake would repeat it.
    #[must_use]
    pub fn fresh_outcome(
        &self,
        group: &ObjectRef<PushGroup>,
        uid: &str,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Option<Outcome> {
        let entries = self.entries();
        let entry = entries.get(group).filter(|entry| entry.uid == uid)?;
        let synced = entry.synced.as_ref().filter(|synced| synced.generation == generation)?;
        (Duration::ZERO < entry.fresh_for(now)).then(|| synced.outcome.clone())
    }

    /// For how long the outcome of the last apply is fresh yet.
    #[must_use]
    pub fn fresh_for(&self, group: &ObjectRef<PushGroup>, now: Timestamp) -> Duration {
        self.entries().get(group).map(|entry| entry.fresh_for(now)).unwrap_or_default()
    }

    /// The outcome of the last apply, however old.
    #[must_use]
    pub fn last_outcome(&self, group: &ObjectRef<PushGroup>) -> Option<Outcome> {
        self.entries().get(group).and_then(|entry| entry.synced.as_ref()).map(|synced| synced.outcome.clone())
    }

    /// Objects are about to be read and applied. What is known of a group of the same name that is gone is dropped.
    pub fn begin(&self, group: &ObjectRef<PushGroup>, uid: &str, now: Timestamp) {
        let mut entries = self.entries();
        let entry = entries.entry(group.clone()).or_default();
        if entry.uid.is_empty() {
            // What has come before the first look stays.
            uid.clone_into(&mut entry.uid);
        }
        if entry.uid != uid {
            *entry = Entry { uid: uid.to_owned(), ..Entry::default() };
        }
        let in_a_row = entry.age(now).is_some_and(|age| age < QUIET);
        entry.repairs = match (in_a_row, std::mem::take(&mut entry.touched)) {
            (false, _) => 0,
            (true, false) => entry.repairs,
            (true, true) => entry.repairs.saturating_add(1),
        };
    }

    /// Objects were applied.
    pub fn synced(&self, group: &ObjectRef<PushGroup>, generation: Option<i64>, at: Timestamp, outcome: Outcome) {
        let mut entries = self.entries();
        let entry = entries.entry(group.clone()).or_default();
        entry.failed_applies = match outcome {
            Outcome::Failed(_) => entry.failed_applies.saturating_add(1),
            Outcome::Applied
            | Outcome::AppliedByEndpoints
            | Outcome::NotWanted
            | Outcome::ApiAbsent
            | Outcome::LeftToOlder(_)
            | Outcome::ServiceUnfit { .. }
            | Outcome::Foreign(_) => 0,
        };
        entry.synced = Some(Synced { generation, at, outcome });
    }

    /// Somebody changed an object: it is to be applied again. Our own apply may be that somebody, which ends there,
    /// since applying what is there changes nothing.
    pub fn touch(&self, group: &ObjectRef<PushGroup>) {
        if let Some(entry) = self.entries().get_mut(group) {
            entry.touched = true;
        }
    }

    /// A reconcile went well.
    pub fn succeeded(&self, group: &ObjectRef<PushGroup>) {
        if let Some(entry) = self.entries().get_mut(group) {
            entry.failures = 0;
        }
    }

    /// A reconcile failed; how many in a row that makes.
    #[must_use]
    pub fn failed(&self, group: &ObjectRef<PushGroup>) -> u32 {
        let mut entries = self.entries();
        let entry = entries.entry(group.clone()).or_default();
        entry.failures = entry.failures.saturating_add(1);
        entry.failures
    }

    /// Works on the account of collected groups.
    pub fn ledger<T>(&self, group: &ObjectRef<PushGroup>, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.entries().entry(group.clone()).or_default().ledger)
    }

    /// How long a status that differs in counts alone is not to be written yet. The first change is told at once; while
    /// they go on, they are told together, ever more seldom.
    #[must_use]
    pub fn counts_wait(&self, group: &ObjectRef<PushGroup>, now: Timestamp) -> Duration {
        let counts = self.entries().get(group).and_then(|entry| entry.counts);
        let Some((age, in_a_row)) = counts.and_then(|(at, in_a_row)| Some((age(at, now)?, in_a_row))) else {
            return Duration::ZERO;
        };
        if QUIET <= age { Duration::ZERO } else { retry::pause(in_a_row).min(COUNTS_EVERY).saturating_sub(age) }
    }

    /// A status that differed in counts alone was written.
    pub fn wrote_counts(&self, group: &ObjectRef<PushGroup>, now: Timestamp) {
        let mut entries = self.entries();
        let entry = entries.entry(group.clone()).or_default();
        let before = entry.counts.filter(|(at, _)| age(*at, now).is_some_and(|age| age < QUIET));
        entry.counts = Some((now, before.map_or(1, |(_, in_a_row)| in_a_row.saturating_add(1))));
    }

    /// A pod of a group shows its last word. Every replica hears it, and only the one that leads is told that a group is
    /// gone: so a group that is new here takes the place of those that `exists` does not know, and of all pods that are
    /// remembered there is a limit, at which the group with the most gives way.
    pub fn ended(&self, group: &ObjectRef<PushGroup>, ending: Ending, exists: impl Fn(&ObjectRef<PushGroup>) -> bool) {
        let mut entries = self.entries();
        if !entries.contains_key(group) {
            entries.retain(|known, _| exists(known));
        }
        entries.entry(group.clone()).or_default().ledger.ended(ending);
        if MOST_PODS < entries.values().map(|entry| entry.ledger.remembered()).sum()
            && let Some(most) = entries.values_mut().max_by_key(|entry| entry.ledger.remembered())
        {
            most.ledger.give_way();
        }
    }

    /// Another may have reconciled since: all is applied again, and only what is not written yet stays.
    pub fn forget_outcomes(&self) {
        for entry in self.entries().values_mut() {
            *entry = Entry { uid: entry.uid.clone(), ledger: std::mem::take(&mut entry.ledger), ..Entry::default() };
            entry.ledger.may_be_behind();
        }
    }

    /// The group is gone.
    pub fn forget(&self, group: &ObjectRef<PushGroup>) {
        self.entries().remove(group);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ObjectRef<PushGroup>, Entry>> {
        // Whoever panicked with the lock held left whole entries behind.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Entry ===

impl Entry {
    fn fresh_for(&self, now: Timestamp) -> Duration {
        let (Some(synced), Some(age)) = (&self.synced, self.age(now)) else { return Duration::ZERO };
        let good_for = match &synced.outcome {
            Outcome::Failed(_) => retry::pause(self.failed_applies),
            outcome @ (Outcome::Applied
            | Outcome::AppliedByEndpoints
            | Outcome::NotWanted
            | Outcome::ApiAbsent
            | Outcome::LeftToOlder(_)
            | Outcome::ServiceUnfit { .. }
            | Outcome::Foreign(_)) => {
                let untouched = outcome.good_for(&self.uid);
                let touched = retry::pause(self.repairs.saturating_sub(QUICK));
                if self.touched { touched.min(untouched) } else { untouched }
            }
        };
        good_for.saturating_sub(age)
    }

    /// How long ago the last apply was.
    fn age(&self, now: Timestamp) -> Option<Duration> {
        self.synced.as_ref().and_then(|synced| age(synced.at, now))
    }
}

/// How long ago something was. A clock that was set back makes all of it old, which is none.
fn age(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(now.duration_since(at)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> ObjectRef<PushGroup> {
        ObjectRef::new("nightly").within("data")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn synced() -> Memory {
        let memory = Memory::default();
        memory.begin(&group(), "uid", at(100));
        memory.synced(&group(), Some(1), at(100), Outcome::Applied);
        memory
    }

    #[test]
    fn an_outcome_is_fresh_for_a_while_for_one_generation_of_one_object() {
        let memory = synced();
        let fresh =
            |uid, generation, second| memory.fresh_outcome(&group(), uid, Some(generation), at(second)).is_some();
        assert!(fresh("uid", 1, 101));
        assert!(!fresh("uid", 1, 100 + 900));
        assert!(!fresh("uid", 1, 99), "a clock that was set back");
        assert!(!fresh("uid", 2, 101));
        assert!(!fresh("other", 1, 101));
    }

    #[test]
    fn a_touched_object_is_applied_again() {
        let memory = synced();
        memory.touch(&group());
        assert_eq!(memory.fresh_outcome(&group(), "uid", Some(1), at(101)), None);
        memory.begin(&group(), "uid", at(101));
        assert_eq!(memory.fresh_outcome(&group(), "uid", Some(1), at(101)), Some(Outcome::Applied));
    }

    #[test]
    fn who_touches_objects_again_and_again_has_them_applied_ever_more_seldom_until_it_is_quiet() {
        let (memory, mut now) = (synced(), 100);
        let mut repair = |quiet: i64| {
            now += quiet;
            memory.touch(&group());
            let pause = memory.fresh_for(&group(), at(now));
            now += i64::try_from(pause.as_secs()).unwrap();
            memory.begin(&group(), "uid", at(now));
            memory.synced(&group(), Some(1), at(now), Outcome::Applied);
            pause.as_secs()
        };
        let quick: Vec<_> = (0..=QUICK).map(|_| repair(0)).collect();
        assert!(quick.iter().all(|pause| *pause == 1), "{quick:?}");
        assert_eq!([(); 8].map(|()| repair(0)), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!([repair(60), repair(0)], [0, 1]);
    }

    #[test]
    fn counts_are_told_at_once_and_while_they_go_on_changing_ever_more_seldom() {
        let (memory, mut now) = (Memory::default(), 100);
        let mut write = |quiet: i64| {
            now += quiet;
            let wait = memory.counts_wait(&group(), at(now)).as_secs();
            now += i64::try_from(wait).unwrap();
            assert_eq!(memory.counts_wait(&group(), at(now)), Duration::ZERO);
            memory.wrote_counts(&group(), at(now));
            wait
        };
        assert_eq!([(); 8].map(|()| write(0)), [0, 1, 2, 4, 8, 15, 15, 15]);
        assert_eq!([write(10), write(20)], [5, 0], "what has waited already is not to wait again");
        assert_eq!([write(60), write(0)], [0, 1]);
        assert_eq!(memory.counts_wait(&group(), at(0)), Duration::ZERO, "a clock that was set back");
    }

    #[test]
    fn a_failed_apply_stands_for_its_pause_whatever_wakes_and_is_tried_again_at_a_new_generation() {
        let memory = Memory::default();
        let fail = |second| {
            memory.begin(&group(), "uid", at(second));
            memory.synced(&group(), Some(1), at(second), Outcome::Failed("Service: no".to_owned()));
            memory.touch(&group());
        };
        let fresh = |generation, second| memory.fresh_outcome(&group(), "uid", Some(generation), at(second)).is_some();
        fail(100);
        assert!(fresh(1, 100) && !fresh(1, 101) && !fresh(2, 100));
        fail(101);
        fail(103);
        assert!(fresh(1, 106) && !fresh(1, 107), "four seconds after the third");
        assert_eq!(memory.fresh_for(&group(), at(104)), Duration::from_secs(3));
        memory.begin(&group(), "uid", at(107));
        memory.synced(&group(), Some(1), at(107), Outcome::Applied);
        fail(200);
        assert!(!fresh(1, 201), "the count starts anew");
    }

    #[test]
    fn a_new_object_of_the_same_name_starts_afresh() {
        let memory = synced();
        memory.ledger(&group(), |ledger| ledger.add(3));
        memory.begin(&group(), "other", at(101));
        assert!(!memory.ledger(&group(), |ledger| ledger.has_unwritten()));
        assert_eq!(memory.last_outcome(&group()), None);
    }

    fn ending(n: usize) -> Ending {
        Ending { pod: n.to_string(), uid: n.to_string(), groups: 1, finished: at(i64::try_from(n).unwrap()) }
    }

    #[test]
    fn pods_that_ended_are_remembered_up_to_a_limit_for_all_groups_together() {
        let memory = Memory::default();
        let group = |n: usize| ObjectRef::new(&format!("group-{n}")).within("data");
        memory.ended(&group(100), ending(0), |_| true);
        for n in 0..2 * MOST_PODS {
            memory.ended(&group(n % 10), ending(n), |_| true);
        }
        let remembered = |n| memory.ledger(&group(n), |ledger| ledger.remembered());
        assert_eq!((0..10).map(remembered).sum::<usize>() + remembered(100), MOST_PODS);
        assert_eq!(remembered(100), 1, "it has the fewest");
    }

    #[test]
    fn what_pods_say_of_groups_that_are_gone_is_dropped() {
        let memory = Memory::default();
        let absent = |n: usize| ObjectRef::new(&format!("absent-{n}")).within("data");
        memory.ended(&group(), ending(1), |known| *known == group());
        for n in 0..100 {
            memory.ended(&absent(n), ending(n), |known| *known == group());
        }
        let known: Vec<_> = memory.entries().keys().map(|known| known.name.clone()).collect();
        assert_eq!(known.len(), 2, "{known:?}");
        assert_eq!(memory.ledger(&group(), |ledger| ledger.remembered()), 1);
    }

    #[test]
    fn failures_count_in_a_row() {
        let memory = Memory::default();
        assert_eq!([memory.failed(&group()), memory.failed(&group())], [1, 2]);
        memory.succeeded(&group());
        assert_eq!(memory.failed(&group()), 1);
        memory.forget(&group());
        assert_eq!(memory.failed(&group()), 1);
    }
}
