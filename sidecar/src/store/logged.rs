//! Decisions as records of the log, and records as decisions again.
//!
//! Records are read with what was decided then, not with the rules of now: a push that was accepted is accepted again.
//!
//! A record that was lost leaves its group in doubt. The next one of that group shows it, by the push time that it found
//! ([`Push::before`]), and what depends on the lost one is left out until a push that does not: a group that is there
//! is one that was there.
//!
//! *Never:* files, the lock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use protocol::{GroupingKey, series::is_push_time};

use super::{
    change::{Action, Change, Scope, Times, Verdict},
    consistency,
    group::Prepared,
    index::{Decision, Index, OwnFamily},
    repeat::Numbers,
    rules::{Rules, Timestamps},
    view::GroupView,
};
use crate::{
    clock::UnixSeconds,
    exposition::{Kind, Metric, MetricFamily, MetricRef},
    persist::{Draft, Entry, Fail, Push, Record, Repeated, StoredGroup, Tail},
};

/// Carries out records, one after the other.
#[derive(Debug)]
pub(super) struct Replay {
    index: Index,
    rules: Rules,
    /// Which records the groups of the checkpoint have already.
    as_of: HashMap<Arc<GroupingKey>, u64>,
    /// How many records were left out, since what they build on was lost.
    pub(super) left_out: usize,
    /// Whether something may not fit together any more.
    is_in_doubt: bool,
}

/// What can be written of a change before it is decided.
pub(super) fn draft_of(change: &Change, timestamps: Timestamps) -> Option<Draft> {
    let Action::Push { families, scope, terms } = &change.action else {
        return None;
    };
    let mut draft = Draft::push(&change.key, *scope == Scope::Group, terms.stale_after);
    for family in families.iter().filter(|family| !is_push_time(&family.name)) {
        let metrics = family.metrics.iter().map(MetricRef::from);
        draft.add_pushed(family.head(), metrics, timestamps == Timestamps::Honor);
    }
    Some(draft)
}

/// The record of a decision, `None` if it changes nothing. The draft is that of the change.
pub(super) fn record_of(decision: &Decision, draft: Option<Draft>, index: &Index) -> Option<(Draft, Tail)> {
    let before = |key| index.groups.find(key).map_or(UnixSeconds::NEVER, |group| group.push_time);
    match decision {
        Decision::Push { key, times: Times { push_time, failure_time }, .. } => {
            Some((draft?, Tail { push_time: *push_time, failure_time: *failure_time, before: before(key) }))
        }
        Decision::Repeat { key, numbers, times: Times { push_time, failure_time }, stale_after } => {
            let tail = Tail { push_time: *push_time, failure_time: *failure_time, before: before(key) };
            Some((Draft::repeat(key, *stale_after, &numbers.places, &numbers.values), tail))
        }
        Decision::Refuse { key, time: Some(time), .. } | Decision::Fail { key, time } => {
            let tail = Tail { failure_time: *time, before: before(key), ..Tail::default() };
            Some((Draft::fail(key), tail))
        }
        Decision::Remove { key } => Some((Draft::remove([&**key].into_iter()), Tail::default())),
        Decision::Refuse { time: None, .. } | Decision::Leave { .. } => None,
    }
}

/// All of a group, for a checkpoint.
pub(super) fn record_of_group(view: &GroupView) -> (Draft, Tail) {
    let mut draft = Draft::group(&view.key, view.stale_after);
    for family in view.families() {
        draft.add_stored(&view.exposed_key, family.pushed_at(), family.head(), family.metrics());
    }
    let tail = Tail { push_time: view.push_time, failure_time: view.failure_time, ..Tail::default() };
    (draft, tail)
}

/// The same as values.
fn stored(view: &GroupView) -> StoredGroup {
    let families = view.families().map(|family| {
        let head = family.head();
        let metrics = family.metrics().map(|metric| Metric {
            labels: metric.labels.into_owned(),
            value: metric.value.into_owned(),
            timestamp: metric.timestamp,
            extra: metric.extra.cloned().map(Box::new),
        });
        let (name, help, unit) = (head.name.to_owned(), head.help.to_owned(), head.unit.to_owned());
        (family.pushed_at(), MetricFamily { name, help, unit, kind: head.kind, metrics: metrics.collect() })
    });
    StoredGroup {
        key: GroupingKey::clone(&view.key),
        stale_after: view.stale_after,
        push_time: view.push_time,
        failure_time: view.failure_time,
        families: families.collect(),
    }
}

/// Whether a family cannot be beside one that the process shows about itself: another program may have stored it.
fn clashes((own, own_kind): OwnFamily, name: &str, kind: Kind) -> bool {
    let is_part = |whole: &str, kind: Kind, part: &str| {
        part.strip_prefix(whole).is_some_and(|suffix| kind.suffixes().contains(&suffix))
    };
    (name == own && kind.shown() != own_kind.shown()) || is_part(own, own_kind, name) || is_part(name, kind, own)
}

// === impl Replay ===

impl Replay {
    /// Starts with an index that has nothing in it.
    pub(super) fn new(index: Index, rules: Rules) -> Self {
        let rules = Rules { timestamps: Timestamps::Honor, ..rules };
        Self { index, rules, as_of: HashMap::new(), left_out: 0, is_in_doubt: false }
    }

    pub(super) fn take(&mut self, entry: Entry) {
        let Entry { sequence, record } = entry;
        match record {
            Record::Push(push) if self.is_news(&push.key, sequence) => self.push(push),
            Record::Repeat(repeated) if self.is_news(&repeated.key, sequence) => self.repeat(repeated),
            Record::Fail(fail) if self.is_news(&fail.key, sequence) => self.fail(fail),
            Record::Push(_) | Record::Repeat(_) | Record::Fail(_) | Record::End { .. } => {}
            Record::Remove { keys } => {
                for key in keys.into_iter().filter(|key| self.is_news(key, sequence)).collect::<Vec<_>>() {
                    self.remove(Arc::new(key));
                }
            }
            Record::Group(group) => {
                let key = Arc::new(group.key.clone());
                self.group(group);
                self.as_of.insert(key, sequence);
            }
        }
    }

    /// What all of it makes, and how many groups are left out since they do not fit in beside later ones. After damage
    /// something that was removed may be there again.
    pub(super) fn finish(self, is_damaged: bool) -> (Index, usize) {
        if !is_damaged && !self.is_in_doubt {
            return (self.index, 0);
        }
        let mut views: Vec<_> = self.index.groups.iter().map(|group| GroupView::of(group, &self.index.slots)).collect();
        views.sort_by(|left, right| {
            right.push_time.0.total_cmp(&left.push_time.0).then_with(|| left.key.cmp(&right.key))
        });
        let mut fitting = Self::new(Index::new(self.index.own, self.rules.clone()), self.rules.clone());
        let mut dropped = 0;
        for view in views {
            let group = stored(&view);
            let families = group.families.iter().map(|(_, family)| family.clone()).collect();
            let prepared = Prepared::stored(&group.key, families, &self.rules.identity);
            if consistency::objections(&fitting.index, &group.key, &prepared, Scope::Group).is_empty() {
                fitting.group(group);
            } else {
                dropped += 1;
            }
        }
        (fitting.index, dropped)
    }

    fn is_news(&self, key: &GroupingKey, sequence: u64) -> bool {
        self.as_of.get(key).is_none_or(|as_of| *as_of < sequence)
    }

    fn push(&mut self, push: Push) {
        let Push { key, is_whole, stale_after, families, push_time, failure_time, before } = push;
        let (key, times) = (Arc::new(key), Times { push_time, failure_time });
        let scope = if is_whole { Scope::Group } else { Scope::Families };
        if is_whole || self.found(&key, before) {
            self.doubt(&families);
            let Prepared { families, .. } = Prepared::new(&key, families, &self.rules);
            self.carry_out(Decision::Push { key, families, scope, times, stale_after, outline: None });
        }
    }

    /// What it repeats was found by its push time, so it has as many series.
    fn repeat(&mut self, repeated: Repeated) {
        let Repeated { key, stale_after, places, numbers, push_time, failure_time, before } = repeated;
        let key = Arc::new(key);
        if !self.found(&key, before) {
            return;
        }
        let (numbers, times) = (Numbers::new(numbers).at(places), Times { push_time, failure_time });
        if self.index.has_room_for(&key, &numbers) {
            self.carry_out(Decision::Repeat { key, numbers, times, stale_after });
        } else {
            self.left_out += 1;
        }
    }

    fn fail(&mut self, fail: Fail) {
        let Fail { key, failure_time, before } = fail;
        let key = Arc::new(key);
        if self.found(&key, before) {
            self.carry_out(Decision::Fail { key, time: failure_time });
        }
    }

    /// Whether the group is as a record found it. One that the record did not find is removed here.
    fn found(&mut self, key: &Arc<GroupingKey>, before: UnixSeconds) -> bool {
        let known = self.index.groups.find(key).map_or(UnixSeconds::NEVER, |group| group.push_time);
        if known == before {
            return true;
        }
        if before == UnixSeconds::NEVER {
            self.remove(Arc::clone(key));
            return true;
        }
        self.left_out += 1;
        false
    }

    /// A group whose families were pushed at several times is pushed that often.
    fn group(&mut self, group: StoredGroup) {
        let StoredGroup { key, stale_after, push_time, failure_time, mut families } = group;
        let key = Arc::new(key);
        self.remove(Arc::clone(&key));
        if push_time == UnixSeconds::NEVER {
            self.carry_out(Decision::Fail { key, time: failure_time });
            return;
        }
        families.sort_by(|(left, _), (right, _)| left.0.total_cmp(&right.0));
        let mut families = families.into_iter().peekable();
        while let Some((time, family)) = families.next() {
            let mut together = vec![family];
            while let Some((_, family)) = families.next_if(|(next, _)| *next == time) {
                together.push(family);
            }
            let times = Times { push_time: time, failure_time };
            self.commit(&key, together, times, None);
        }
        let times = Times { push_time, failure_time };
        self.commit(&key, Vec::new(), times, stale_after);
    }

    fn remove(&mut self, key: Arc<GroupingKey>) {
        if self.index.groups.number(&key).is_some() {
            self.carry_out(Decision::Remove { key });
        }
    }

    fn commit(
        &mut self,
        key: &Arc<GroupingKey>,
        families: Vec<MetricFamily>,
        times: Times,
        stale_after: Option<Duration>,
    ) {
        self.doubt(&families);
        let Prepared { families, .. } = Prepared::stored(key, families, &self.rules.identity);
        let (key, scope) = (Arc::clone(key), Scope::Families);
        self.carry_out(Decision::Push { key, families, scope, times, stale_after, outline: None });
    }

    fn doubt(&mut self, families: &[MetricFamily]) {
        let own = self.index.own;
        self.is_in_doubt |=
            families.iter().any(|family| own.iter().any(|own| clashes(*own, &family.name, family.kind)));
    }

    fn carry_out(&mut self, decision: Decision) {
        let verdict = self.index.commit(decision);
        debug_assert_eq!(verdict, Verdict::Done);
    }
}
