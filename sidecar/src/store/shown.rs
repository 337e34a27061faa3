//! What readers see of the families under an escaping scheme: which are one family there, and which series are left out.
//!
//! A scheme may give two names the same letters. Upstream then prints the name twice, which no scraper accepts. Here
//! families of one shown name are one family, and what does not fit beside what is there already is left out and
//! counted: a family of another type, one whose name is that of a part of another, or of a push time; a series that
//! would come twice, or have a label twice. Who needed escaping loses against who did not; else the order of the names
//! decides.
//!
//! Where all names are classic, which is nearly always, nothing is sorted or compared.
//!
//! *Never:* formats, readers.

use std::{collections::BTreeMap, sync::Arc};

use protocol::{LabelSet, series::is_push_time};

use super::{consistency::SUFFIXES, family::Family, index::Index, stored::Stored};
use crate::exposition::{
    Escaping, Kind,
    family::{compare_labels, is_metric_name},
};

/// Everything that is stored, under one scheme.
pub(super) struct Shown<'a> {
    /// Sorted by the name shown.
    pub(super) families: Vec<ShownFamily<'a>>,
    /// How many series are left out.
    pub(super) hidden: usize,
    /// Whether every other scheme shows the same.
    pub(super) is_classic: bool,
}

/// One family, of which there may be several in the store.
pub(super) struct ShownFamily<'a> {
    /// As it is shown.
    pub(super) name: Arc<str>,
    /// The one that gives it type, help and unit.
    pub(super) first: &'a Family,
    pub(super) series: ShownSeries,
}

/// Series by number.
pub(super) enum ShownSeries {
    /// Those of the first.
    All,
    /// These.
    Picked(Vec<u32>),
}

struct Merge<'a, W> {
    index: &'a Index,
    escaping: Escaping,
    wanted: W,
    /// By the name shown, the one that gives the type first.
    families: BTreeMap<Arc<str>, Vec<&'a Family>>,
    hidden: usize,
}

// === impl Shown ===

impl<'a> Shown<'a> {
    /// The families whose real names are wanted.
    pub(super) fn of(index: &'a Index, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Self {
        let wanted_families: Vec<_> = index.families.iter().filter(|(name, _)| wanted(name)).collect();
        let families = || wanted_families.iter().copied();
        let is_classic = families().all(|(_, family)| has_classic_names(family));
        if is_classic || escaping == Escaping::AllowUtf8 {
            let families =
                families().map(|(name, first)| ShownFamily { name: Arc::clone(name), first, series: ShownSeries::All });
            return Self { families: families.collect(), hidden: 0, is_classic };
        }
        let mut merge = Merge { index, escaping, wanted: &wanted, families: BTreeMap::new(), hidden: 0 };
        let (classic, other): (Vec<_>, Vec<_>) = families().partition(|(name, _)| is_metric_name(name));
        for (name, family) in classic {
            merge.families.insert(Arc::clone(name), vec![family]);
        }
        for (name, family) in other {
            merge.add(name, family);
        }
        merge.finish()
    }
}

// === impl ShownFamily ===

impl<'a> ShownFamily<'a> {
    /// In the order of the page.
    pub(super) fn series(&self, stored: Stored<'a>) -> impl Iterator<Item = u32> {
        let (all, picked) = match &self.series {
            ShownSeries::All => (Some(self.first.series.iter(stored.slots)), [].as_slice()),
            ShownSeries::Picked(picked) => (None, picked.as_slice()),
        };
        all.into_iter().flatten().chain(picked.iter().copied())
    }
}

// === impl Merge ===

impl<'a, W: Fn(&str) -> bool> Merge<'a, W> {
    /// Takes a family whose name has to be escaped, if it fits beside those that are there.
    fn add(&mut self, name: &str, family: &'a Family) {
        let shown = self.escaping.metric_name(name);
        let is_other_type = self.kind_of(&shown).is_some_and(|known| known.shown() != family.kind.shown());
        let has_part = |suffix: &&str| self.kind_of(&format!("{shown}{suffix}")).is_some();
        let is_part = |suffix: &&str| {
            let whole = shown.strip_suffix(*suffix).and_then(|whole| self.kind_of(whole));
            whole.is_some_and(|whole| whole.suffixes().contains(suffix))
        };
        if is_other_type
            || is_push_time(&shown)
            || family.kind.suffixes().iter().any(has_part)
            || SUFFIXES.iter().any(is_part)
        {
            self.hidden += family.series.len();
        } else {
            self.families.entry(Arc::from(&*shown)).or_default().push(family);
        }
    }

    /// The type of what is there under a shown name, the process's own families included.
    fn kind_of(&self, shown: &str) -> Option<Kind> {
        let own = self.index.own.iter().find(|(name, _)| *name == shown).map(|(_, kind)| *kind);
        let own = own.filter(|_| (self.wanted)(shown));
        own.or_else(|| self.families.get(shown)?.first().map(|family| family.kind))
    }

    fn finish(mut self) -> Shown<'a> {
        let families = std::mem::take(&mut self.families).into_iter().filter_map(|(name, families)| {
            let first = *families.first()?;
            let is_whole = families.len() == 1 && has_classic_names(first);
            let series = if is_whole { ShownSeries::All } else { ShownSeries::Picked(self.pick(&families)) };
            let is_empty = matches!(&series, ShownSeries::Picked(picked) if picked.is_empty());
            (!is_empty).then_some(ShownFamily { name, first, series })
        });
        let families = families.collect();
        Shown { families, hidden: self.hidden, is_classic: false }
    }

    /// The series of the families that can be told apart, in the order of the page.
    fn pick(&mut self, families: &[&'a Family]) -> Vec<u32> {
        let stored = self.index.stored();
        let ids = families.iter().flat_map(|family| family.series.iter(stored.slots));
        let (classic, other): (Vec<_>, Vec<_>) = ids.partition(|id| stored.is_classic(stored.slot(*id)));
        let all = classic.len() + other.len();
        let ids = classic.into_iter().chain(other);
        let mut shown: Vec<_> =
            ids.filter_map(|id| Some((shown_labels(&stored.labels(id).to_set(), self.escaping)?, id))).collect();
        // The sort is stable: of equal ones, the first stays.
        shown.sort_by(|(left, _), (right, _)| compare_labels(left, right));
        shown.dedup_by(|(later, _), (kept, _)| later == kept);
        self.hidden += all - shown.len();
        shown.into_iter().map(|(_, id)| id).collect()
    }
}

fn has_classic_names(family: &Family) -> bool {
    let [names, _] = family.unclassic;
    names == 0
}

/// `None` where two labels get one name, or one gets that of the metric.
fn shown_labels(labels: &LabelSet, escaping: Escaping) -> Option<LabelSet> {
    let escaped = labels.iter().map(|(name, value)| (escaping.label_name(name).into_owned(), value.to_owned()));
    LabelSet::from_pairs(escaped.collect()).ok().filter(|labels| !labels.contains("__name__"))
}

#[cfg(test)]
mod tests;
