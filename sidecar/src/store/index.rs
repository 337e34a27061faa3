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
};

use protocol::{
    GroupingKey,
    series::{PUSH_FAILURE_TIME_HELP, PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_HELP, PUSH_TIME_SECONDS},
};

use super::{
    change::{Action, Change, Objection, Scope, Verdict},
    consistency,
    group::{Group, GroupFamily, Prepared},
    series::{ByLabels, Series},
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
    /// Raised by every commit that the page can tell.
    pub(super) revision: u64,
}

/// One family over all groups. There is none without series.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: Kind,
    /// The help that is shown, and who gave it: it stays while they keep it, so that it does not flap.
    pub(super) help: Arc<str>,
    /// Given by the same as the help.
    pub(super) unit: Arc<str>,
    help_from: Option<Arc<GroupingKey>>,
    /// Every series with the group it is of.
    pub(super) series: BTreeMap<ByLabels, Arc<GroupingKey>>,
}

/// A change made ready without a look at the index.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) key: Arc<GroupingKey>,
    wish: Wish,
}

#[derive(Debug)]
enum Wish {
    Push { prepared: Prepared, scope: Scope },
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
        time: UnixSeconds,
    },
    /// Without a time, the failure leaves no trace: its group could not be told from another.
    Refuse {
        key: Arc<GroupingKey>,
        time: Option<UnixSeconds>,
        objections: Vec<Objection>,
    },
    Remove {
        key: Arc<GroupingKey>,
    },
    Leave {
        verdict: Verdict,
    },
}

// === impl Request ===

impl From<Change> for Request {
    fn from(change: Change) -> Self {
        let wish = match change.action {
            Action::Push { families, scope } => Wish::Push { prepared: Prepared::new(&change.key, families), scope },
            Action::Remove => Wish::Remove,
            Action::RemoveIf { push_time } => Wish::RemoveIf { push_time },
        };
        Self { key: Arc::new(change.key), wish }
    }
}

// === impl Index ===

impl Index {
    pub(super) fn new(own: &'static [OwnFamily]) -> Self {
        Self { groups: HashMap::new(), families: BTreeMap::new(), own, revision: 0 }
    }

    pub(super) fn decide(&self, request: Request, now: UnixSeconds) -> Decision {
        let Request { key, wish } = request;
        let group = self.groups.get(&key);
        match wish {
            Wish::Push { prepared, scope } => {
                let objections = consistency::objections(self, &key, &prepared, scope);
                if objections.is_empty() {
                    let time = group.map_or(now, |group| group.next_push_time(now));
                    return Decision::Push { key, families: prepared.families, scope, time };
                }
                let can_be_shown = !objections.iter().any(|why| matches!(why, Objection::SameShownKey { .. }));
                let time = group.map_or(now, |group| group.next_failure_time(now));
                Decision::Refuse { key, time: can_be_shown.then_some(time), objections }
            }
            Wish::Remove if group.is_some() => Decision::Remove { key },
            Wish::Remove => Decision::Leave { verdict: Verdict::Done },
            Wish::RemoveIf { push_time } => match group.map(|group| group.push_time) {
                None => Decision::Leave { verdict: Verdict::Done },
                Some(found) if found == push_time => Decision::Remove { key },
                Some(found) => Decision::Leave { verdict: Verdict::PushedSince { push_time: found } },
            },
        }
    }

    pub(super) fn commit(&mut self, decision: Decision) -> Verdict {
        if matches!(decision, Decision::Leave { .. } | Decision::Refuse { time: None, .. }) {
            return decision.verdict();
        }
        self.revision += 1;
        match decision {
            Decision::Push { key, families, scope, time } => {
                self.push(&key, families, scope, time);
                Verdict::Done
            }
            Decision::Refuse { key, time, objections } => {
                self.fail(&key, time.unwrap_or_default());
                Verdict::Refused(objections)
            }
            Decision::Remove { key } => {
                self.remove(&key);
                Verdict::Done
            }
            Decision::Leave { verdict } => verdict,
        }
    }

    /// How many groups had an accepted push after that revision.
    pub(super) fn groups_pushed_after(&self, revision: u64) -> usize {
        self.groups.values().filter(|group| revision < group.pushed_at).count()
    }

    fn push(&mut self, key: &Arc<GroupingKey>, families: Vec<GroupFamily>, scope: Scope, time: UnixSeconds) {
        let (key, mut group) = self.take(key);
        let replaced = match scope {
            Scope::Group => std::mem::take(&mut group.families).into_values().collect::<Vec<_>>(),
            Scope::Families => families.iter().filter_map(|family| group.families.remove(&family.name)).collect(),
        };
        for family in replaced {
            self.take_out(&family);
        }
        for mut family in families {
            family.time = time;
            self.put_in(&key, &family);
            group.families.insert(Arc::clone(&family.name), family);
        }
        group.push_time = time;
        group.pushed_at = self.revision;
        self.show_times(&key, &group);
        self.groups.insert(key, group);
    }

    fn fail(&mut self, key: &Arc<GroupingKey>, time: UnixSeconds) {
        let (key, mut group) = self.take(key);
        group.failure_time = time;
        self.show_times(&key, &group);
        self.groups.insert(key, group);
    }

    fn remove(&mut self, key: &Arc<GroupingKey>) {
        let Some((key, group)) = self.groups.remove_entry(key) else {
            return;
        };
        for family in group.families.values() {
            self.take_out(family);
        }
        for family in times_of(&key, &group) {
            self.take_out(&family);
        }
    }

    /// The group of that key with the key that its series share, or a new one.
    fn take(&mut self, key: &Arc<GroupingKey>) -> (Arc<GroupingKey>, Group) {
        self.groups.remove_entry(key).unwrap_or_else(|| (Arc::clone(key), Group::new()))
    }

    fn show_times(&mut self, key: &Arc<GroupingKey>, group: &Group) {
        for family in times_of(key, group) {
            self.take_out(&family);
            self.put_in(key, &family);
        }
    }

    /// Takes out the series of those labels.
    fn take_out(&mut self, family: &GroupFamily) {
        let Some(stored) = self.families.get_mut(&family.name) else {
            return;
        };
        for series in &family.series {
            stored.series.remove(series);
        }
        if stored.series.is_empty() {
            self.families.remove(&family.name);
        }
    }

    fn put_in(&mut self, key: &Arc<GroupingKey>, family: &GroupFamily) {
        if family.series.is_empty() {
            return;
        }
        let groups = &self.groups;
        let stored = self.families.entry(Arc::clone(&family.name)).or_insert_with(|| Family {
            kind: family.kind,
            help: Arc::from(""),
            unit: Arc::from(""),
            help_from: None,
            series: BTreeMap::new(),
        });
        stored.kind = family.kind;
        let keeps_it = |giver: &GroupingKey| {
            let theirs = groups.get(giver).and_then(|group| group.families.get(&family.name));
            theirs.is_some_and(|theirs| theirs.help == stored.help)
        };
        let is_free = stored.help_from.as_ref().is_none_or(|giver| giver == key || !keeps_it(giver));
        if is_free {
            stored.help = Arc::clone(&family.help);
            stored.unit = Arc::clone(&family.unit);
            stored.help_from = (!family.help.is_empty()).then(|| Arc::clone(key));
        }
        for series in &family.series {
            stored.series.insert(series.clone(), Arc::clone(key));
        }
    }
}

/// The two families that tell when the group was pushed.
fn times_of(key: &GroupingKey, group: &Group) -> [GroupFamily; 2] {
    let family = |name: &str, help: &str, time: UnixSeconds| GroupFamily {
        name: name.into(),
        kind: Kind::Gauge,
        help: help.into(),
        unit: "".into(),
        time,
        series: vec![ByLabels(Arc::new(Series::gauge(name, key.exposed_labels(), time.0)))],
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
            Self::Push { .. } | Self::Remove { .. } => Verdict::Done,
            Self::Refuse { objections, .. } => Verdict::Refused(objections),
            Self::Leave { verdict } => verdict,
        }
    }
}

#[cfg(test)]
mod tests;
