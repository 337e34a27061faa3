//! Who is to be visited when, and what is known of everybody. Pure: the objects there are, the ends of visits and the
//! moment in; due visits and reports out.
//!
//! Targets whose last visit failed or took long stand in a row of their own with few places, so that many of them cost
//! the others nothing. A visit keeps its place until it ends, even if its target has gone meanwhile or has moved to
//! another `PushGroup`; what it found is then nobody's. What is known of the targets of a `PushGroup` is told together:
//! first when each was looked at, and so again after a change of its spec, then at most once an interval and only if it
//! changed.
//!
//! *Never:* how a visit is made, the API server, the clock.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crds::PushGroup;
use jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::{
    failing::Failures,
    policy::Policy,
    report::PassReport,
    schedule::{Freshness, next_look, spread},
    targets::CollectionTarget,
    visit::{Look, Visit},
};

/// How many targets are visited at a time.
const PLACES: usize = 32;

/// How many of those that failed or took long the last time are visited at a time, beside the others.
const PLACES_OF_COSTLY: usize = 8;

/// From when on a visit took long, whatever came of it: a target may be slow on purpose, and never fail.
const LONG: Duration = Duration::from_secs(1);

/// How soon a target is visited that is new or has changed: one that ends at once needs no visit.
const SOON: Duration = Duration::from_secs(1);

/// How long the first report of a `PushGroup`, or of its spec, waits for targets that do not answer.
const FIRST_PATIENCE: Duration = Duration::from_secs(16);

/// How soon a target is looked at again where removals are held.
const HELD: Duration = Duration::from_secs(10);

/// For how long a report is not told whose times alone have changed.
const TIMES_EVERY: Duration = Duration::from_secs(60);

/// All of it.
#[derive(Debug)]
pub(super) struct Agenda {
    interval: Duration,
    is_filled: bool,
    groups: HashMap<String, Group>,
    entries: HashMap<String, Entry>,
    answering: Row,
    costly: Row,
    /// Of the visit that has begun last.
    serial: usize,
}

/// A `PushGroup`.
#[derive(Debug)]
struct Group {
    group: Arc<PushGroup>,
    policy: Result<Arc<Policy>, String>,
    /// Its targets.
    ids: HashSet<String>,
    /// How many of them were not looked at since its spec is as it is.
    unlooked: usize,
    /// Whether something has changed since it was thought of telling.
    has_news: bool,
    /// When it is thought of telling what has changed.
    next_thought: Instant,
    told: Option<(Instant, PassReport)>,
    /// What was removed and not told yet.
    removed: PassReport,
}

/// A target.
#[derive(Debug)]
struct Entry {
    group_uid: String,
    target: CollectionTarget,
    failures: Failures,
    /// Whether its last visit took long.
    is_slow: bool,
    /// What its last visits told.
    known: Option<PassReport>,
    looks: u32,
    /// Whether one of them was by the spec that there is now.
    is_looked_at: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits { until: Instant, is_costly: bool },
    IsVisited { serial: usize, again: bool },
}

/// Targets that wait for the same places.
#[derive(Debug)]
struct Row {
    places: usize,
    taken: usize,
    waiting: BTreeSet<(Instant, String)>,
}

/// How a visit went, as far as the next one is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// All was done.
    Well,
    /// All was done that is done at a time, and there is more.
    WellWithMoreToDo,
    /// It was read, and nothing was removed since nobody knows what is asked for now.
    Held,
    /// Not all could be done.
    Badly {
        /// Whether it cost next to nothing.
        is_cheap: bool,
    },
    /// There was nobody to ask any more.
    Gone,
    /// It was cut short: what it found is not all there is.
    CutShort,
}

/// What is to be told of a `PushGroup`.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) uid: String,
    pub(super) group: Arc<PushGroup>,
    pub(super) report: PassReport,
}

// === impl Agenda ===

impl Agenda {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            is_filled: false,
            groups: HashMap::new(),
            entries: HashMap::new(),
            answering: Row::of(PLACES),
            costly: Row::of(PLACES_OF_COSTLY),
            serial: 0,
        }
    }

    /// Takes over which `PushGroup`s there are, and the targets of those that may have others than before: of a changed
    /// one they are to be given. Who is there at first is due at once, who comes later soon.
    pub(super) fn take_over(&mut self, groups: Vec<(Arc<PushGroup>, Option<Vec<CollectionTarget>>)>, now: Instant) {
        let soon = if self.is_filled { now + SOON.min(self.interval) } else { now };
        self.is_filled = true;
        let mut uids = HashSet::new();
        for (group, targets) in groups {
            let Some(uid) = group.uid() else { continue };
            let is_changed = self.take_over_group(&uid, group, now);
            if let Some(targets) = targets {
                self.take_over_targets(&uid, targets, is_changed, if is_changed { now } else { soon });
            }
            uids.insert(uid);
        }
        let is_gone = |uid: &String| !uids.contains(uid);
        let gone: Vec<_> = self.groups.keys().filter(|uid| is_gone(uid)).cloned().collect();
        for uid in gone {
            let ids = self.groups.remove(&uid).map(|group| group.ids).unwrap_or_default();
            ids.iter().for_each(|id| self.remove(id));
        }
    }

    /// Whether it is new or has another spec.
    fn take_over_group(&mut self, uid: &str, group: Arc<PushGroup>, now: Instant) -> bool {
        let generation = group.metadata.generation;
        match self.groups.get_mut(uid) {
            Some(known) if known.group.metadata.generation == generation => {
                known.group = group;
                false
            }
            Some(known) => {
                known.policy = compiled(&group);
                known.group = group;
                known.has_news = true;
                known.told = None;
                known.next_thought = now + FIRST_PATIENCE;
                known.unlooked = known.ids.len();
                for id in &known.ids {
                    if let Some(entry) = self.entries.get_mut(id) {
                        entry.is_looked_at = false;
                    }
                }
                true
            }
            None => {
                let policy = compiled(&group);
                let known = Group {
                    group,
                    policy,
                    ids: HashSet::new(),
                    unlooked: 0,
                    has_news: true,
                    next_thought: now + FIRST_PATIENCE,
                    told: None,
                    removed: PassReport::default(),
                };
                self.groups.insert(uid.to_owned(), known);
                true
            }
        }
    }

    /// These are the targets of a `PushGroup`, and no others.
    fn take_over_targets(&mut self, uid: &str, targets: Vec<CollectionTarget>, is_due: bool, due: Instant) {
        let there: HashSet<_> = targets.iter().map(|target| target.id().to_owned()).collect();
        let known = self.groups.get(uid).into_iter().flat_map(|group| &group.ids);
        let gone: Vec<_> = known.filter(|id| !there.contains(*id)).cloned().collect();
        gone.iter().for_each(|id| self.remove(id));
        for target in targets {
            self.take_over_target(uid, target, is_due, due);
        }
    }

    fn take_over_target(&mut self, uid: &str, target: CollectionTarget, is_due: bool, due: Instant) {
        let id = target.id().to_owned();
        let known = self.entries.get_mut(&id);
        if known.as_ref().is_some_and(|entry| entry.group_uid != uid) {
            // It has moved to another PushGroup: what is known of it stays with the old one.
            self.remove(&id);
        }
        match self.entries.get_mut(&id) {
            Some(entry) if entry.target == target => {
                if is_due {
                    self.bring_forward(&id, due);
                }
            }
            Some(entry) => {
                entry.target = target;
                entry.failures = Failures::default();
                entry.is_slow = false;
                self.bring_forward(&id, due);
            }
            None => {
                let entry = Entry {
                    group_uid: uid.to_owned(),
                    target,
                    failures: Failures::default(),
                    is_slow: false,
                    known: None,
                    looks: 0,
                    is_looked_at: false,
                    state: State::Waits { until: due, is_costly: false },
                };
                if let Some(group) = self.groups.get_mut(uid) {
                    group.ids.insert(id.clone());
                    group.unlooked += 1;
                    group.has_news = true;
                }
                self.answering.waiting.insert((due, id.clone()));
                self.entries.insert(id, entry);
            }
        }
    }

    fn bring_forward(&mut self, id: &str, due: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        match &mut entry.state {
            State::IsVisited { again, .. } => *again = true,
            State::Waits { until, is_costly } => {
                let due = due.min(*until);
                let row = if *is_costly { &mut self.costly } else { &mut self.answering };
                row.waiting.remove(&(*until, id.to_owned()));
                *is_costly = entry.failures.is_failing() || entry.is_slow;
                *until = due;
                let row = if *is_costly { &mut self.costly } else { &mut self.answering };
                row.waiting.insert((due, id.to_owned()));
            }
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(entry) = self.entries.remove(id) else { return };
        match entry.state {
            State::Waits { until, is_costly } => {
                self.row(is_costly).waiting.remove(&(until, id.to_owned()));
            }
            // The visit keeps its place until it ends.
            State::IsVisited { .. } => {}
        }
        if let Some(group) = self.groups.get_mut(&entry.group_uid) {
            group.ids.remove(id);
            group.unlooked = group.unlooked.saturating_sub(usize::from(!entry.is_looked_at));
            group.has_news = true;
        }
    }

    /// The visits that are due and have a place.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Visit> {
        let mut visits = Vec::new();
        for is_costly in [false, true] {
            while let Some(id) = self.row(is_costly).next(now) {
                visits.extend(self.begin(&id, is_costly, now));
            }
        }
        visits
    }

    fn begin(&mut self, id: &str, is_costly: bool, now: Instant) -> Option<Visit> {
        let entry = self.entries.get_mut(id)?;
        let group = self.groups.get(&entry.group_uid)?;
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        entry.state = State::IsVisited { serial, again: false };
        let row = if is_costly { &mut self.costly } else { &mut self.answering };
        row.taken += 1;
        Some(Visit {
            serial,
            began: now,
            is_costly,
            uid: entry.group_uid.clone(),
            group: Arc::clone(&group.group),
            policy: group.policy.as_ref().ok().cloned(),
            target: entry.target.clone(),
        })
    }

    /// A visit has ended; says how many have failed in a row.
    pub(super) fn ended(
        &mut self,
        visit: &Visit,
        report: &PassReport,
        look: Option<Look>,
        went: Went,
        now: Instant,
    ) -> u32 {
        self.row(visit.is_costly).leave();
        if let Some(group) = self.groups.get_mut(&visit.uid) {
            group.removed.add(&report.removals());
            group.has_news |= 0 < report.collected;
        }
        let freshness = Freshness::of(self.interval, self.entries.len());
        let id = visit.target.id();
        let Some(entry) = self.entries.get_mut(id) else { return 0 };
        let State::IsVisited { serial, again } = entry.state else { return 0 };
        if serial != visit.serial {
            // The target went and came back, and this is not the visit it gets now.
            return 0;
        }
        entry.is_slow = LONG < now.saturating_duration_since(visit.began);
        let mut in_a_row = 0;
        let pause = match went {
            Went::Well => {
                entry.failures.answered();
                let look = look.unwrap_or(Look { at: now, first_staleness: None });
                let next = next_look(look.first_staleness, freshness, id, entry.looks);
                next.saturating_sub(now.saturating_duration_since(look.at))
            }
            Went::WellWithMoreToDo => {
                entry.failures.answered();
                entry.failures.pause(id, true)
            }
            Went::Held => {
                entry.failures.answered();
                spread(HELD, id, entry.looks)
            }
            Went::Badly { is_cheap } => {
                in_a_row = entry.failures.failed();
                entry.failures.pause(id, is_cheap || 0 < report.collected)
            }
            Went::Gone => entry.failures.pause(id, false),
            Went::CutShort => SOON,
        };
        entry.looks = entry.looks.saturating_add(1);
        let known = match went {
            Went::Well | Went::WellWithMoreToDo | Went::Held | Went::Badly { .. } => {
                let before = entry.known.take().filter(|_| look.is_none()).unwrap_or_default();
                // A gateway has no end of its own that would be taken for a failure.
                let is_gateway = matches!(entry.target, CollectionTarget::Gateway(_));
                let counts = entry.failures.counts() || (is_gateway && entry.failures.is_failing());
                Some(report.after(before, counts))
            }
            Went::Gone => None,
            Went::CutShort => entry.known.take(),
        };
        entry.known = known;
        if let Some(group) = self.groups.get_mut(&visit.uid) {
            let is_by_this_spec = group.group.metadata.generation == visit.group.metadata.generation;
            group.unlooked = group.unlooked.saturating_sub(usize::from(is_by_this_spec && !entry.is_looked_at));
            entry.is_looked_at |= is_by_this_spec;
            group.has_news = true;
        }
        let until = if again { now } else { now + pause };
        let is_costly = entry.failures.is_failing() || entry.is_slow;
        entry.state = State::Waits { until, is_costly };
        self.row(is_costly).waiting.insert((until, id.to_owned()));
        in_a_row
    }

    /// What is to be told now.
    pub(super) fn news(&mut self, now: Instant, ended: Timestamp) -> Vec<Telling> {
        let is_due = |group: &Group| {
            group.has_news && (group.next_thought <= now || (group.told.is_none() && group.unlooked == 0))
        };
        let uids = self.groups.iter().filter(|(_, group)| is_due(group)).map(|(uid, _)| uid.clone());
        uids.collect::<Vec<_>>().into_iter().filter_map(|uid| self.tell(uid, now, ended)).collect()
    }

    /// All that was removed and not told yet, at the end.
    pub(super) fn last_removals(&mut self) -> Vec<Telling> {
        let told = self.groups.iter_mut().filter(|(_, group)| 0 < group.removed.collected);
        let told = told.map(|(uid, group)| Telling {
            uid: uid.clone(),
            group: Arc::clone(&group.group),
            report: std::mem::take(&mut group.removed),
        });
        told.collect()
    }

    fn tell(&mut self, uid: String, now: Instant, ended: Timestamp) -> Option<Telling> {
        let group = self.groups.get_mut(&uid)?;
        let mut report = PassReport {
            ended,
            generation: group.group.metadata.generation,
            bad_rule: group.policy.as_ref().err().cloned(),
            has_limits: group.policy.as_ref().is_ok_and(|policy| policy.has_limits()),
            dry_run: group.group.spec.dry_run,
            ..PassReport::default()
        };
        for known in group.ids.iter().filter_map(|id| self.entries.get(id)?.known.as_ref()) {
            report.add(known);
        }
        group.has_news = false;
        group.next_thought = now + self.interval;
        let is_same = |(told, last): &(Instant, PassReport)| {
            now < *told + TIMES_EVERY && last.differs_in_times_alone(&report) && group.removed.collected == 0
        };
        if group.told.as_ref().is_some_and(is_same) {
            return None;
        }
        group.told = Some((now, report.clone()));
        report.add(&std::mem::take(&mut group.removed));
        Some(Telling { uid, group: Arc::clone(&group.group), report })
    }

    /// When something is to be done next, if nothing happens until then.
    pub(super) fn next(&self) -> Option<Instant> {
        let visits = [&self.answering, &self.costly].into_iter().filter_map(Row::next_due);
        let news = self.groups.values().filter(|group| group.has_news).map(|group| group.next_thought);
        visits.chain(news).min()
    }

    /// The UIDs of all `PushGroup`s.
    pub(super) fn group_uids(&self) -> HashSet<String> {
        self.groups.keys().cloned().collect()
    }

    fn row(&mut self, is_costly: bool) -> &mut Row {
        if is_costly { &mut self.costly } else { &mut self.answering }
    }
}

#[cfg(test)]
impl Agenda {
    /// Whoever waits is due.
    pub(super) fn everybody_is_due(&mut self, now: Instant) {
        let ids: Vec<_> = self.entries.keys().cloned().collect();
        ids.iter().for_each(|id| self.bring_forward(id, now));
    }

    /// What is known of everybody.
    pub(super) fn all_news(&mut self, now: Instant, ended: Timestamp) -> Vec<Telling> {
        self.groups.values_mut().for_each(|group| group.told = None);
        let uids: Vec<_> = self.groups.keys().cloned().collect();
        uids.into_iter().filter_map(|uid| self.tell(uid, now, ended)).collect()
    }
}

/// The limits of a group.
fn compiled(group: &PushGroup) -> Result<Arc<Policy>, String> {
    Policy::compile(&group.spec).map(Arc::new).map_err(|bad| bad.to_string())
}

// === impl Row ===

impl Row {
    fn of(places: usize) -> Self {
        Self { places, taken: 0, waiting: BTreeSet::new() }
    }

    /// Takes out who is next, if there is a place and somebody is due.
    fn next(&mut self, now: Instant) -> Option<String> {
        self.next_due().filter(|due| *due <= now)?;
        self.waiting.pop_first().map(|(_, id)| id)
    }

    /// When somebody is due, if there is a place.
    fn next_due(&self) -> Option<Instant> {
        let first = self.waiting.first().map(|(due, _)| *due);
        first.filter(|_| self.taken < self.places)
    }

    fn leave(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
