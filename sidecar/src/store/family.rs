//! One family over all groups: what is said of it, and its series in the order of the page.
//!
//! *Never:* which group has which families.

use std::sync::Arc;

use super::{
    group::{About, GroupFamily},
    groups::Groups,
    labels::Labels,
    series::Series,
    slots::{List, Place, Slots},
    stored::{Stored, has_classic_key},
};
use crate::exposition::{FamilyHead, Kind};

/// One family over all groups. There is none without series.
#[derive(Debug)]
pub(super) struct Family {
    /// What a group said of it, for others that say the same.
    pub(super) about: Arc<About>,
    /// The kind of all series; where they differ, the one that all of them are shown as.
    pub(super) kind: Kind,
    /// How many series are of which kind.
    kinds: Vec<(Kind, usize)>,
    /// The help that is shown, and who gave it: it stays while they keep it, so that it does not flap. When they are
    /// gone, it is that of another.
    pub(super) help: Arc<str>,
    /// Given by the same as the help.
    pub(super) unit: Arc<str>,
    /// The number of a group.
    help_from: Option<u32>,
    pub(super) series: List,
    /// How many series are not written in the same way under every escaping scheme, and of how many that is true of
    /// what comes with the value.
    pub(super) unclassic: [usize; 2],
    /// The revision at which what is said of it changed last.
    pub(super) stamp: u64,
}

// === impl Family ===

impl Family {
    /// One without series.
    pub(super) fn new(about: Arc<About>, stamp: u64) -> Self {
        Self {
            kind: about.kind,
            about,
            kinds: Vec::with_capacity(1),
            help: Arc::from(""),
            unit: Arc::from(""),
            help_from: None,
            series: List::default(),
            unclassic: [0, 0],
            stamp,
        }
    }

    /// What is said before its series.
    pub(super) fn head(&self) -> FamilyHead<'_> {
        FamilyHead { name: &self.about.name, help: &self.help, unit: &self.unit, kind: self.kind }
    }

    /// The number of the series with these labels, or where it would be.
    pub(super) fn find(&self, stored: Stored<'_>, labels: Labels<'_>) -> Result<u32, Place> {
        self.series.find(stored.slots, |id| stored.labels(id).compare(labels))
    }

    /// Takes the series of a group out.
    pub(super) fn take_out(&mut self, slots: &mut Slots, groups: &Groups, family: &GroupFamily, stamp: u64) {
        for id in family.series.as_slice() {
            let slot = self.series.remove(slots, *id, stamp);
            let is_classic = Stored { slots, groups }.is_classic(&slot);
            self.count_unclassic(is_classic, &slot.series, |count| count.saturating_sub(1));
        }
        self.count(family.about.kind, stamp, |count| count.saturating_sub(family.series.len()));
    }

    /// Puts in the series that a group has of it, of which there is nothing yet, and returns their numbers.
    pub(super) fn put_in(
        &mut self,
        slots: &mut Slots,
        groups: &Groups,
        (group, kind): (u32, Kind),
        series: Vec<Series>,
        stamp: u64,
    ) -> Vec<u32> {
        self.count(kind, stamp, |count| count + series.len());
        let mut ids = Vec::with_capacity(series.len());
        for series in series {
            let (is_classic, labels) = match (&series, groups.get(group)) {
                (Series::Plain(text), Some(group)) if text.is_empty() => {
                    (has_classic_key(group), Labels::Key(group.shown_key()))
                }
                (series, _) => (series.is_classic(), series.labels()),
            };
            self.count_unclassic(is_classic, &series, |count| count + 1);
            match self.find(Stored { slots, groups }, labels) {
                Ok(_) => debug_assert!(false, "nobody else has these labels, as the check has shown"),
                Err(place) => ids.push(self.series.insert(slots, place, series, group, stamp)),
            }
        }
        ids
    }

    /// Takes note of the help and the unit that a group gives whose series are about to be put in. `theirs` is what
    /// another group has.
    pub(super) fn take_help<'a>(
        &mut self,
        slots: &Slots,
        group: u32,
        about: &About,
        theirs: impl Fn(u32) -> Option<&'a About>,
        stamp: u64,
    ) {
        let keeps_it = |giver: u32| theirs(giver).is_some_and(|theirs| theirs.help == self.help);
        let is_free = self.help_from.is_none_or(|giver| giver == group || !keeps_it(giver));
        let gave = self.help_from == Some(group);
        if !is_free {
            return;
        }
        let before = (Arc::clone(&self.help), Arc::clone(&self.unit));
        self.help = Arc::clone(&about.help);
        self.unit = Arc::clone(&about.unit);
        self.help_from = (!about.help.is_empty()).then_some(group);
        if gave && self.help_from.is_none() {
            self.take_help_of_others(slots, theirs);
        }
        if before != (Arc::clone(&self.help), Arc::clone(&self.unit)) {
            self.stamp = stamp;
        }
    }

    /// After a group's series went for good: help and unit that it gave become those of the first group on the page
    /// that gives help, else of the first that gives a unit. `theirs` is what a group has. Costs a look at each series
    /// at most, and only when the giver goes.
    pub(super) fn pass_on<'a>(
        &mut self,
        slots: &Slots,
        gone: &About,
        group: u32,
        theirs: impl Fn(u32) -> Option<&'a About>,
        stamp: u64,
    ) {
        let is_giver = match self.help_from {
            Some(giver) => giver == group,
            None => !gone.unit.is_empty() && gone.unit == self.unit,
        };
        if !is_giver {
            return;
        }
        (self.help, self.unit, self.help_from) = (Arc::from(""), Arc::from(""), None);
        self.take_help_of_others(slots, theirs);
        self.stamp = stamp;
    }

    /// Help and unit of the first group on the page that gives help, else the unit of the first that gives one, where
    /// there is none yet.
    fn take_help_of_others<'a>(&mut self, slots: &Slots, theirs: impl Fn(u32) -> Option<&'a About>) {
        let mut before = None;
        for id in self.series.iter(slots) {
            let group = slots.get(id).group;
            if before.replace(group) == Some(group) {
                continue;
            }
            let Some(theirs) = theirs(group) else { continue };
            if !theirs.help.is_empty() {
                (self.help, self.unit) = (Arc::clone(&theirs.help), Arc::clone(&theirs.unit));
                self.help_from = Some(group);
                return;
            }
            if self.unit.is_empty() {
                self.unit = Arc::clone(&theirs.unit);
            }
        }
    }

    fn count_unclassic(&mut self, is_classic: bool, series: &Series, change: impl Fn(usize) -> usize) {
        let [names, extras] = &mut self.unclassic;
        if !is_classic {
            *names = change(*names);
        }
        if !series.has_classic_extra() {
            *extras = change(*extras);
        }
    }

    /// Changes how many series are of that kind, and with it the kind of all, if any are left.
    fn count(&mut self, kind: Kind, stamp: u64, change: impl FnOnce(usize) -> usize) {
        let before = self.kinds.iter().find(|(known, _)| *known == kind).map_or(0, |(_, count)| *count);
        self.kinds.retain(|(known, _)| *known != kind);
        let after = change(before);
        if after != 0 {
            self.kinds.push((kind, after));
        }
        let shown = match &*self.kinds {
            [] => self.kind,
            [(only, _)] => *only,
            [(one, _), ..] => one.shown(),
        };
        if shown != self.kind {
            (self.kind, self.stamp) = (shown, stamp);
        }
    }

    /// For tests of the order.
    #[cfg(test)]
    pub(super) fn is_sorted(&self, stored: Stored<'_>) -> bool {
        let ids: Vec<_> = self.series.iter(stored.slots).collect();
        ids.is_sorted_by(|left, right| stored.labels(*left).compare(stored.labels(*right)).is_lt())
    }
}
