//! One group: its families, its times, and the labels its key forces on each of its series.
//!
//! *Never:* other groups.

use std::{sync::Arc, time::Duration};

use protocol::{GroupingKey, LabelSet, series::is_push_time};

use super::{
    change::{Objection, Times},
    identity::{Identity, IdentityRule},
    labels::{exposed, forced, merged},
    rules::{Rules, Timestamps},
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
    /// The labels that its push times are shown with, where they are not those of the key.
    shown: Option<Box<LabelSet>>,
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
    /// The first label that names another pod, where there must be none.
    pub(super) misnamed: Option<Box<Objection>>,
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
    /// A push: forces the key's labels on each series, sees to those that name the pod, and writes it down. Families of
    /// the two push times are left out: the gateway's own take their place, whatever was pushed under their names.
    pub(super) fn new(key: &GroupingKey, families: Vec<MetricFamily>, rules: &Rules) -> Self {
        let &Rules { timestamps, ref identity, .. } = rules;
        let misnamed = identity.objection(None, key.labels()).map(Box::new);
        let mut prepared = Self { families: Vec::with_capacity(families.len()), timestamped: None, misnamed };
        let renamed = |labels: &LabelSet| identity.renamed(|| forced(key.labels(), labels));
        for family in last_of_each_name(families) {
            let is_rejected = timestamps == Timestamps::Reject && prepared.timestamped.is_none();
            if is_rejected && family.metrics.iter().any(|metric| metric.timestamp.is_some()) {
                prepared.timestamped = Some(family.name.clone());
            }
            if is_push_time(&family.name) {
                continue;
            }
            if identity.rule == IdentityRule::Refuse && prepared.misnamed.is_none() {
                let mut labels = family.metrics.iter().map(|metric| forced(key.labels(), &metric.labels).collect());
                let misnamed = labels.find_map(|labels| identity.objection(Some(&family.name), &labels));
                prepared.misnamed = misnamed.map(Box::new);
            }
            prepared.families.push(PreparedFamily::new(key, family, timestamps, renamed));
        }
        prepared
    }

    /// What a group had already, labels and all; those that its key gives may be missing.
    pub(super) fn stored(key: &GroupingKey, families: Vec<MetricFamily>, identity: &Identity) -> Self {
        let given = identity.exposed_key(key);
        let all = |labels: &LabelSet| Some(merged(labels.iter(), given.iter()).collect());
        let families = last_of_each_name(families).into_iter().filter(|family| !is_push_time(&family.name));
        let families = families.map(|family| PreparedFamily::new(key, family, Timestamps::Honor, all));
        Self { families: families.collect(), timestamped: None, misnamed: None }
    }
}

// === impl PreparedFamily ===

impl PreparedFamily {
    /// `other` makes the labels of a series where they are not those that the key forces on it.
    fn new(
        key: &GroupingKey,
        family: MetricFamily,
        timestamps: Timestamps,
        other: impl Fn(&LabelSet) -> Option<LabelSet>,
    ) -> Self {
        let MetricFamily { name, help, unit, kind, metrics } = family;
        let (mut series, mut faults) = (Vec::with_capacity(metrics.len()), Vec::new());
        let (mut maker, nothing) = (Maker::new(&name), LabelSet::new());
        for (place, Metric { labels, value, extra, timestamp }) in metrics.into_iter().enumerate() {
            let (given, labels) = match other(&labels) {
                Some(all) => (&nothing, all),
                None => (key.labels(), labels),
            };
            let labels = || forced(given, &labels);
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
    pub(super) fn new(key: Arc<GroupingKey>, identity: &Identity) -> Self {
        let never = UnixSeconds::NEVER;
        let shown = identity.renamed(|| exposed(key.labels())).map(Box::new);
        Self {
            key,
            shown,
            families: Box::default(),
            push_time: never,
            failure_time: never,
            times_shown: [0, 0],
            pushed_at: 0,
            stale_after: None,
        }
    }

    /// The labels that its push times are shown with, but for an empty `instance`.
    pub(super) fn shown_key(&self) -> &LabelSet {
        self.shown.as_deref().unwrap_or(self.key.labels())
    }

    /// How many series it has.
    pub(super) fn series(&self) -> usize {
        self.families.iter().map(|family| family.series.len()).sum()
    }

    /// How many series it has in the family of that name.
    pub(super) fn series_of(&self, name: &str) -> usize {
        self.family(name).map_or(0, |family| family.series.len())
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

    /// The time of a push that is refused now: later than all before, so that it names this refusal and no other.
    pub(super) fn next_failure_time(&self, now: UnixSeconds) -> UnixSeconds {
        now.max(self.push_time.next()).max(self.failure_time.next())
    }
}
