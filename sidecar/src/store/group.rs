//! One group: its families, its times, and the labels its key forces on each of its series.
//!
//! *Never:* other groups.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protocol::{
    GroupingKey, LabelSet,
    series::{INSTANCE_LABEL, is_push_time},
};

use super::{
    change::Times,
    rules::Timestamps,
    series::{ByLabels, Series},
};
use crate::{
    clock::UnixSeconds,
    exposition::{Kind, Metric, MetricFamily, family::last_of_each_name},
};

/// Everything stored under one grouping key.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) families: BTreeMap<Arc<str>, GroupFamily>,
    pub(super) push_time: UnixSeconds,
    pub(super) failure_time: UnixSeconds,
    /// The revision of the last accepted push; 0 if there was none.
    pub(super) pushed_at: u64,
    /// How old it may grow, where the last accepted push said so.
    pub(super) stale_after: Option<Duration>,
}

/// What one group has of a family.
#[derive(Clone, Debug)]
pub(super) struct GroupFamily {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) help: Arc<str>,
    pub(super) unit: Arc<str>,
    /// When it was pushed; set when the push is committed.
    pub(super) time: UnixSeconds,
    /// In the order pushed.
    pub(super) series: Vec<ByLabels>,
}

/// The families of a push as they would be stored.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) families: Vec<GroupFamily>,
    /// The first family with a timestamp, where there must be none.
    pub(super) timestamped: Option<String>,
}

// === impl Prepared ===

impl Prepared {
    /// Forces the key's labels on each series and writes its lines. Families of the two push times are left out: the
    /// gateway's own take their place, whatever was pushed under their names.
    pub(super) fn new(key: &GroupingKey, families: Vec<MetricFamily>, timestamps: Timestamps) -> Self {
        let mut prepared = Self { families: Vec::with_capacity(families.len()), timestamped: None };
        for family in last_of_each_name(families) {
            let is_rejected = timestamps == Timestamps::Reject && prepared.timestamped.is_none();
            if is_rejected && family.metrics.iter().any(|metric| metric.timestamp.is_some()) {
                prepared.timestamped = Some(family.name.clone());
            }
            if is_push_time(&family.name) {
                continue;
            }
            let series = family.metrics.into_iter().map(|Metric { labels, value, extra, timestamp }| {
                let timestamp = timestamp.filter(|_| timestamps == Timestamps::Honor);
                let metric = Metric { labels: forced(key, labels), value, timestamp, extra };
                ByLabels(Arc::new(Series::new(&family.name, metric)))
            });
            let series = series.collect();
            let (name, help, unit) = (family.name.into(), family.help.into(), family.unit.into());
            let time = UnixSeconds::NEVER;
            prepared.families.push(GroupFamily { name, kind: family.kind, help, unit, time, series });
        }
        prepared
    }
}

fn forced(key: &GroupingKey, mut labels: LabelSet) -> LabelSet {
    labels.extend(key.labels().iter());
    if !labels.contains(INSTANCE_LABEL) {
        labels.insert(INSTANCE_LABEL, "");
    }
    labels
}

// === impl Group ===

impl Group {
    /// A group that nothing was pushed to.
    pub(super) fn new() -> Self {
        let never = UnixSeconds::NEVER;
        Self { families: BTreeMap::new(), push_time: never, failure_time: never, pushed_at: 0, stale_after: None }
    }

    /// When it was pushed.
    pub(super) fn times(&self) -> Times {
        Times { push_time: self.push_time, failure_time: self.failure_time }
    }

    /// How many series it has.
    pub(super) fn series(&self) -> usize {
        self.families.values().map(|family| family.series.len()).sum()
    }

    /// How many series it has in the family of that name.
    pub(super) fn series_of(&self, name: &str) -> usize {
        self.families.get(name).map_or(0, |family| family.series.len())
    }

    /// The time of a push that is accepted now: later than all before, so that it names this push and no other.
    pub(super) fn next_push_time(&self, now: UnixSeconds) -> UnixSeconds {
        now.max(self.push_time.next()).max(self.failure_time)
    }

    /// The time of a push that is refused now: later than the last accepted one.
    pub(super) fn next_failure_time(&self, now: UnixSeconds) -> UnixSeconds {
        now.max(self.push_time.next()).max(self.failure_time)
    }
}
