//! The groups at one revision, one by one, for whoever shows them as groups and not as a page.
//!
//! It is a copy but for what is large.
//!
//! *Never:* formats, what is done with it.

use std::{sync::Arc, time::Duration};

use protocol::{GroupingKey, LabelSet};

use super::{
    group::{About, Group},
    labels::exposed,
    series::Series,
    slots::Slots,
};
use crate::{
    clock::UnixSeconds,
    exposition::{FamilyHead, MetricRef},
};

/// One group.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its key.
    pub key: Arc<GroupingKey>,
    /// The labels that its push times are shown with.
    pub exposed_key: LabelSet,
    /// When a push was last accepted; [`UnixSeconds::NEVER`] if none was.
    pub push_time: UnixSeconds,
    /// When a push was last refused; [`UnixSeconds::NEVER`] if none was.
    pub failure_time: UnixSeconds,
    /// How old it may grow, where the last accepted push said so.
    pub(super) stale_after: Option<Duration>,
    families: Vec<Family>,
}

/// One family of a group.
#[derive(Clone, Copy, Debug)]
pub struct FamilyView<'a> {
    family: &'a Family,
}

#[derive(Clone, Debug)]
struct Family {
    about: Arc<About>,
    time: UnixSeconds,
    series: Vec<Series>,
}

// === impl GroupView ===

impl GroupView {
    pub(super) fn of(group: &Group, slots: &Slots) -> Self {
        let families = group.families.iter().map(|family| Family {
            about: Arc::clone(&family.about),
            time: family.time,
            series: family.series.as_slice().iter().map(|id| slots.get(*id).series.clone()).collect(),
        });
        Self {
            key: Arc::clone(&group.key),
            exposed_key: exposed(group.shown_key()).collect(),
            push_time: group.push_time,
            failure_time: group.failure_time,
            stale_after: group.stale_after,
            families: families.collect(),
        }
    }

    /// Its families by name, empty ones too; the two push times are not among them.
    pub fn families(&self) -> impl Iterator<Item = FamilyView<'_>> {
        self.families.iter().map(|family| FamilyView { family })
    }

    /// Whether the last push was accepted, as far as is known.
    #[must_use]
    pub fn is_last_push_successful(&self) -> bool {
        self.failure_time <= self.push_time
    }
}

// === impl FamilyView ===

impl<'a> FamilyView<'a> {
    /// What is said before its series.
    #[must_use]
    pub fn head(&self) -> FamilyHead<'a> {
        self.family.about.head()
    }

    /// When it was last pushed.
    #[must_use]
    pub fn pushed_at(&self) -> UnixSeconds {
        self.family.time
    }

    /// Its series in the order pushed, with all their labels.
    pub fn metrics(&self) -> impl Iterator<Item = MetricRef<'a>> + use<'a> {
        self.family.series.iter().map(Series::metric)
    }
}
