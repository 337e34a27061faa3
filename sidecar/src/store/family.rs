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
    /// The help that is shown, and who gave it: it stays while they keep it, so that it does not flap.
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
        if is_free {
            self.help = Arc::clone(&family.help);
            self.unit = Arc::clone(&family.unit);
            self.help_from = (!family.help.is_empty()).then(|| Arc::clone(key));
        }
        self.series.extend(family.series.iter().map(|series| (series.clone(), Arc::clone(key))));
        self.count(family.kind, |count| count + family.series.len());
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
