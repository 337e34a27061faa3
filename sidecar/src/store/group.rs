//! One group: its families, its times, and the labels its key forces on each of its series.
//!
//! *Never:* other groups.

use std::{sync::Arc, time::Duration};

use protocol::{GroupingKey, series::is_push_time};

use super::{
    change::{Objection, Times},
    labels::forced,
    rules::Timestamps,
    series::{Maker, Series},
    slots::Ids,
};
use crate::{
    clock::UnixSeconds,
    exposition::{FamilyHead, Kind, Metric, MetricFamily, family::last_of_each_name},
};

/// Everything stored under one grouping key.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Arc<GroupingKey>,
    /// Sorted by name.
    pub(super) families: Box<[GroupFamily]>,
    pub(super) push_time: UnixSeconds,
    pub(super) failure_time: UnixSeconds,
    /// The series that show the two times.
    pub(super) times_shown: [u32; 2],
    /// The revision of the last accepted push; 0 if there was none.
    pub(super) pushed_at: u64,
    /// How old it may grow, where the last accepted push said so.
    pub(super) stale_after: Option<Duration>,
}

/// What one group has of a family.
#[derive(Clone, Debug)]
pub(super) struct GroupFamily {
    pub(super) about: Arc<About>,
    /// When it was pushed.
    pub(super) time: UnixSeconds,
    /// The numbers of its series, in the order pushed.
    pub(super) series: Ids,
}

/// What a group says of a family. Groups that say the same share it.
#[derive(Debug, PartialEq)]
pub(super) struct About {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) help: Arc<str>,
    pub(super) unit: Arc<str>,
}

/// The families of a push as they would be stored.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) families: Vec<PreparedFamily>,
    /// The first family with a timestamp, where there must be none.
    pub(super) timestamped: Option<String>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct PreparedFamily {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) unit: String,
    /// In the order pushed.
    pub(super) series: Vec<Series>,
    /// What is wrong with the labels of a series, by its place.
    pub(super) faults: Vec<(usize, Objection)>,
    /// The place of the group's own family that says the same of series with the same labels.
    pub(super) known: Option<usize>,
}

// === impl Prepared ===

impl Prepared {
    /// Forces the key's labels on each series and writes it down. Families of the two push times are left out: the
    /// gateway's own take their place, whatever was pushed under their names.
    pub(super) fn new(key: &GroupingKey, families: Vec<MetricFamily>, timestamps: Timestamps) -> Self {
        let mut prepared = Self { families: Vec::with_capacity(families.len()), timestamped: None };
        for family in last_of_each_name(families) {
            let is_rejected = timestamps == Timestamps::Reject && prepared.timestamped.is_none();
            if is_rejected && family.metrics.iter().any(|metric| metric.timestamp.is_some()) {
                prepared.timestamped = Some(family.name.clone());
            }
            if !is_push_time(&family.name) {
                prepared.families.push(PreparedFamily::new(key, family, timestamps));
            }
        }
        prepared
    }
}

// === impl PreparedFamily ===

impl PreparedFamily {
    fn new(key: &GroupingKey, family: MetricFamily, timestamps: Timestamps) -> Self {
        let MetricFamily { name, help, unit, kind, metrics } = family;
        let (mut series, mut faults) = (Vec::with_capacity(metrics.len()), Vec::new());
        let mut maker = Maker::new(&name);
        for (place, Metric { labels, value, extra, timestamp }) in metrics.into_iter().enumerate() {
            let labels = || forced(key, &labels);
            faults.extend(Objection::about_labels(&name, kind, labels()).map(|fault| (place, fault)));
            let timestamp = timestamp.filter(|_| timestamps == Timestamps::Honor);
            series.push(maker.series(labels, value, timestamp, extra));
        }
        Self { name, kind, help, unit, series, faults, known: None }
    }

    /// What it says, shared with whoever said the same before.
    pub(super) fn about(&self, known: &Arc<About>) -> Arc<About> {
        if self.says(known) {
            return Arc::clone(known);
        }
        let shared = |text: &str, known: &Arc<str>| if text == &**known { Arc::clone(known) } else { text.into() };
        Arc::new(About {
            name: shared(&self.name, &known.name),
            kind: self.kind,
            help: shared(&self.help, &known.help),
            unit: shared(&self.unit, &known.unit),
        })
    }

    pub(super) fn says(&self, about: &About) -> bool {
        let About { name, kind, help, unit } = about;
        self.kind == *kind && self.name == **name && self.help == **help && self.unit == **unit
    }
}

// === impl About ===

impl About {
    pub(super) fn head(&self) -> FamilyHead<'_> {
        let Self { name, kind, help, unit } = self;
        FamilyHead { name, help, unit, kind: *kind }
    }
}

// === impl Group ===

impl Group {
    /// A group that nothing was pushed to.
    pub(super) fn new(key: Arc<GroupingKey>) -> Self {
        let never = UnixSeconds::NEVER;
        Self {
            key,
            families: Box::default(),
            push_time: never,
            failure_time: never,
            times_shown: [0, 0],
            pushed_at: 0,
            stale_after: None,
        }
    }

    /// What it has under a name.
    pub(super) fn family(&self, name: &str) -> Option<&GroupFamily> {
        self.place_of(name).and_then(|place| self.families.get(place))
    }

    pub(super) fn place_of(&self, name: &str) -> Option<usize> {
        self.families.binary_search_by(|family| (*family.about.name).cmp(name)).ok()
    }

    /// When it was pushed.
    pub(super) fn times(&self) -> Times {
        Times { push_time: self.push_time, failure_time: self.failure_time }
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
