//! What is stored at one revision, as values, for whoever writes them down in another form than the page's.
//!
//! It shares the series with the store, so that taking it costs a pointer a series.
//!
//! *Never:* formats, the process's own families.

use std::sync::Arc;

use super::{index::Index, series::Series};
use crate::exposition::{FamilyHead, Kind, MetricRef};

/// All families, sorted by name.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state it shows.
    pub revision: u64,
    /// None is empty.
    pub families: Vec<StoredFamily>,
}

/// A family over all groups.
#[derive(Clone, Debug)]
pub struct StoredFamily {
    /// Its name.
    pub name: Arc<str>,
    /// What it means; empty when nobody said.
    pub help: Arc<str>,
    /// What it is measured in; empty when nobody said.
    pub unit: Arc<str>,
    /// The type of every series.
    pub kind: Kind,
    /// In the order of the page.
    series: Vec<Arc<Series>>,
}

// === impl Snapshot ===

impl Snapshot {
    pub(super) fn of(index: &Index, wanted: impl Fn(&str) -> bool) -> Self {
        let families = index.families.iter().filter(|(name, _)| wanted(name)).map(|(name, family)| StoredFamily {
            name: Arc::clone(name),
            help: Arc::clone(&family.help),
            unit: Arc::clone(&family.unit),
            kind: family.kind,
            series: family.series.keys().map(|series| Arc::clone(&series.0)).collect(),
        });
        Self { revision: index.revision, families: families.collect() }
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
        self.series.iter().map(|series| series.metric())
    }
}
