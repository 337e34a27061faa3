//! Whether a push fits what is stored.
//!
//! The question is whether everything, with this push applied, could be scraped. What is stored fits together, so
//! only the names and series that the push touches have to be looked at. What the group itself has under those names
//! is about to be replaced and is no rival. Families of the process itself are rivals like those of another group.
//!
//! A push of families and series that its group has already changes no name, no type and no labels: nothing is asked.
//!
//! *Never:* where the change came from, what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{GroupingKey, series::PUSH_TIME_SECONDS};

use super::{
    change::{Objection, Place, Scope},
    group::{Group, Prepared, PreparedFamily},
    index::Index,
    labels::Labels,
};
use crate::exposition::Kind;

/// More than this many nobody reads, so that there may be more where there are so many.
pub(crate) const MOST_OBJECTIONS: usize = 10;

/// Every suffix that some kind puts behind a name.
pub(super) const SUFFIXES: [&str; 3] = ["_sum", "_count", "_bucket"];

struct Check<'a> {
    index: &'a Index,
    key: &'a GroupingKey,
    number: Option<u32>,
    group: Option<&'a Group>,
    scope: Scope,
    pushed: BTreeMap<&'a str, Kind>,
    objections: Vec<Objection>,
}

/// Why the push does not fit; empty if it does.
pub(super) fn objections(index: &Index, key: &GroupingKey, push: &Prepared, scope: Scope) -> Vec<Objection> {
    let number = index.groups.number(key);
    let group = number.and_then(|number| index.groups.get(number));
    let is_known = group.is_some() && push.families.iter().all(|family| family.known.is_some());
    if is_known && push.timestamped.is_none() {
        return Vec::new();
    }
    let pushed = push.families.iter().map(|family| (&*family.name, family.kind)).collect();
    let mut check = Check { index, key, number, group, scope, pushed, objections: Vec::new() };
    if let Some(name) = &push.timestamped {
        check.objections.push(Objection::Timestamp { name: name.clone() });
    }
    check.objections.extend(push.misnamed.as_deref().cloned());
    check.shown_key();
    for family in &push.families {
        check.kind(family);
        check.suffixes(family);
        check.series(family);
    }
    check.objections.truncate(MOST_OBJECTIONS);
    check.objections
}

// === impl Check ===

impl Check<'_> {
    /// A new group needs labels of its own to show its push time under.
    fn shown_key(&mut self) {
        if self.group.is_some() {
            return;
        }
        let shown = self.index.identity.exposed_key(self.key);
        let stored = self.index.stored();
        let times = self.index.families.get(PUSH_TIME_SECONDS);
        let found = times.and_then(|times| times.find(stored, Labels::Key(&shown)).ok());
        if let Some(known) = found.and_then(|known| stored.groups.get(stored.slot(known).group)) {
            let (known, pushed) = (known.key.labels().clone(), self.key.labels().clone());
            // First, so that it is never cut off: it decides whether the failure leaves a trace.
            self.objections.insert(0, Objection::SameShownKey { known, pushed, shown });
        }
    }

    fn kind(&mut self, family: &PreparedFamily) {
        if let Some(known) = self.rival(&family.name).filter(|known| known.shown() != family.kind.shown()) {
            self.objections.push(Objection::Type { name: family.name.clone(), known, pushed: family.kind });
        }
    }

    fn suffixes(&mut self, family: &PreparedFamily) {
        let name = &*family.name;
        for suffix in family.kind.suffixes() {
            let part = format!("{name}{suffix}");
            if self.kind_after(&part).is_some() {
                self.objections.push(Objection::Suffix { whole: name.to_owned(), kind: family.kind, part });
            }
        }
        for suffix in SUFFIXES {
            let Some(whole) = name.strip_suffix(suffix) else { continue };
            // A whole that is pushed as well has been asked about its parts above.
            let kind = self.kind_after(whole).filter(|_| !self.pushed.contains_key(whole));
            if let Some(kind) = kind.filter(|kind| kind.suffixes().contains(&suffix)) {
                self.objections.push(Objection::Suffix { whole: whole.to_owned(), kind, part: name.to_owned() });
            }
        }
    }

    fn series(&mut self, family: &PreparedFamily) {
        let stored = self.index.stored();
        let known = self.index.families.get(&*family.name);
        let mut seen = BTreeSet::new();
        let mut faults = family.faults.iter().peekable();
        for (place, series) in family.series.iter().enumerate() {
            if MOST_OBJECTIONS <= self.objections.len() {
                return;
            }
            if let Some((_, fault)) = faults.next_if(|(at, _)| *at == place) {
                self.objections.push(fault.clone());
            }
            let labels = series.labels();
            // What is known stands where it stood.
            let owner = || Some(stored.slot(known?.find(stored, labels).ok()?).group);
            let is_alone = family.series.len() == 1;
            let place = if !is_alone && !seen.insert(labels) {
                Place::Push
            } else if family.known.is_none() && owner().is_some_and(|owner| Some(owner) != self.number) {
                Place::OtherGroup
            } else {
                continue;
            };
            let (name, labels) = (family.name.clone(), labels.to_set().into_owned());
            self.objections.push(Objection::Duplicate { name, labels, place });
        }
    }

    /// The type that somebody else has for a name: another group, or the process itself.
    fn rival(&self, name: &str) -> Option<Kind> {
        let own = self.index.own.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        own.or_else(|| {
            let family = self.index.families.get(name)?;
            let mine = self.group.and_then(|group| group.family(name)).map_or(0, |mine| mine.series.len());
            (mine < family.series.len()).then_some(family.kind)
        })
    }

    /// The type of a name once the push is applied; `None` if the name is free then.
    fn kind_after(&self, name: &str) -> Option<Kind> {
        let kept = || match self.scope {
            Scope::Group => None,
            Scope::Families => self.group.and_then(|group| group.family(name)).map(|mine| mine.about.kind),
        };
        self.pushed.get(name).copied().or_else(|| self.rival(name)).or_else(kept)
    }
}
