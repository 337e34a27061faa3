//! One family over all groups: what is said of it, and its series in the order of the page.
//!
//! *Never:* which group has which families.

use std::{collections::BTreeMap, sync::Arc};

use protocol::GroupingKey;

use super::{group::GroupFamily, series::ByLabels};
use crate::exposition::Kind;

/// One family over all groups. There is none without series.
#[derive(Debug)]
pub(super) struct Family {
    /// The kind of all series; where they differ, the one that all of them are shown as.
    pub(super) kind: Kind,
    /// How many series are of which kind.
    kinds: Vec<(Kind, usize)>,
    /// The help that is shown, and who gave it: it stays while they keep it, so that it does not flap. When they are
    /// gone, it is that of another.
    pub(super) help: Arc<str>,
    /// Given by the same as the help.
    pub(super) unit: Arc<str>,
    help_from: Option<Arc<GroupingKey>>,
    /// Every series with the group it is of.
    pub(super) series: BTreeMap<ByLabels, Arc<GroupingKey>>,
}

// === impl Family ===

impl Family {
    /// One without series.
    pub(super) fn new(kind: Kind) -> Self {
        let (help, unit, series) = (Arc::from(""), Arc::from(""), BTreeMap::new());
        Self { kind, kinds: Vec::with_capacity(1), help, unit, help_from: None, series }
    }

    /// Takes out the series of those labels.
    pub(super) fn take_out(&mut self, family: &GroupFamily) {
        let taken = family.series.iter().filter(|series| self.series.remove(series).is_some()).count();
        self.count(family.kind, |count| count.saturating_sub(taken));
    }

    /// Puts in what a group has of it, of which there is nothing yet. `theirs` is what another group has.
    pub(super) fn put_in<'a>(
        &mut self,
        key: &Arc<GroupingKey>,
        family: &GroupFamily,
        theirs: impl Fn(&GroupingKey) -> Option<&'a GroupFamily>,
    ) {
        let keeps_it = |giver: &GroupingKey| theirs(giver).is_some_and(|theirs| theirs.help == self.help);
        let is_free = self.help_from.as_ref().is_none_or(|giver| giver == key || !keeps_it(giver));
        let gave = self.help_from.as_ref().is_some_and(|giver| giver == key);
        if is_free {
            self.help = Arc::clone(&family.help);
            self.unit = Arc::clone(&family.unit);
            self.help_from = (!family.help.is_empty()).then(|| Arc::clone(key));
        }
        if gave && self.help_from.is_none() {
            self.take_from_others(theirs);
        }
        self.series.extend(family.series.iter().map(|series| (series.clone(), Arc::clone(key))));
        self.count(family.kind, |count| count + family.series.len());
    }

    /// After a group's series went for good: help and unit that it gave become those of the first group on the page
    /// that gives help, else of the first that gives a unit. `theirs` is what a group has. Costs a look at each series
    /// at most, and only when the giver goes.
    pub(super) fn pass_on<'a>(
        &mut self,
        gone: &GroupFamily,
        key: &GroupingKey,
        theirs: impl Fn(&GroupingKey) -> Option<&'a GroupFamily>,
    ) {
        let is_giver = match &self.help_from {
            Some(giver) => **giver == *key,
            None => !gone.unit.is_empty() && gone.unit == self.unit,
        };
        if !is_giver {
            return;
        }
        (self.help, self.unit, self.help_from) = (Arc::from(""), Arc::from(""), None);
        self.take_from_others(theirs);
    }

    /// Help and unit of the first group on the page that gives help, else the unit of the first that gives one, where
    /// there is none yet.
    fn take_from_others<'a>(&mut self, theirs: impl Fn(&GroupingKey) -> Option<&'a GroupFamily>) {
        let mut before = None;
        for key in self.series.values() {
            if before.replace(key).is_some_and(|before| Arc::ptr_eq(before, key)) {
                continue;
            }
            let Some(theirs) = theirs(key) else { continue };
            if !theirs.help.is_empty() {
                (self.help, self.unit) = (Arc::clone(&theirs.help), Arc::clone(&theirs.unit));
                self.help_from = Some(Arc::clone(key));
                return;
            }
            if self.unit.is_empty() {
                self.unit = Arc::clone(&theirs.unit);
            }
        }
    }

    /// Changes how many series are of that kind, and with it the kind of all, if any are left.
    fn count(&mut self, kind: Kind, change: impl FnOnce(usize) -> usize) {
        let before = self.kinds.iter().find(|(known, _)| *known == kind).map_or(0, |(_, count)| *count);
        self.kinds.retain(|(known, _)| *known != kind);
        let after = change(before);
        if after != 0 {
            self.kinds.push((kind, after));
        }
        match &*self.kinds {
            [] => {}
            [(only, _)] => self.kind = *only,
            [(one, _), ..] => self.kind = one.shown(),
        }
    }
}
