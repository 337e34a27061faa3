//! What is stored at one revision, as values, for whoever writes them down in another form than the page's.
//!
//! It is a copy but for what is large. It is taken for an escaping scheme: families have the names that are shown, labels
//! their real ones, and no two are the same once they are escaped.
//!
//! *Never:* formats, the process's own families.

use std::sync::Arc;

use super::{index::Index, series::Series, shown::Shown};
use crate::exposition::{Escaping, FamilyHead, Kind, MetricRef};

/// All families, sorted by the name shown.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state it shows.
    pub revision: u64,
    /// None is empty.
    pub families: Vec<StoredFamily>,
    /// How many series are left out, because escaping made them like others.
    pub hidden: usize,
}

/// A family over all groups.
#[derive(Clone, Debug)]
pub struct StoredFamily {
    /// Its name, as it is shown.
    pub name: Arc<str>,
    /// What it means; empty when nobody said.
    pub help: Arc<str>,
    /// What it is measured in; empty when nobody said.
    pub unit: Arc<str>,
    /// The type of every series.
    pub kind: Kind,
    /// In the order of the page.
    series: Vec<Series>,
}

// === impl Snapshot ===

impl Snapshot {
    pub(super) fn of(index: &Index, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Self {
        let (shown, stored) = (Shown::of(index, escaping, wanted), index.stored());
        let families = shown.families.iter().map(|family| StoredFamily {
            name: Arc::clone(&family.name),
            help: Arc::clone(&family.first.help),
            unit: Arc::clone(&family.first.unit),
            kind: family.first.kind,
            series: family.series(stored).map(|id| stored.series(&family.name, id)).collect(),
        });
        Self { revision: index.revision, families: families.collect(), hidden: shown.hidden }
    }
}

// === impl StoredFamily ===

impl StoredFamily {
    /// What is said before its series.
    #[must_use]
    pub fn head(&self) -> FamilyHead<'_> {
        FamilyHead { name: &self.name, help: &self.help, unit: &self.unit, kind: self.kind }
    }

    /// Its series, as metrics.
    pub fn metrics(&self) -> impl Iterator<Item = MetricRef<'_>> {
        self.series.iter().map(Series::metric)
    }
}
