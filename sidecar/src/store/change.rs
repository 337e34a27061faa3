//! What can be asked of the store, and what it answers.
//!
//! *Never:* how it is carried out.

use std::time::Duration;

use protocol::{Excerpt, GroupingKey, LabelSet, label_set};

use super::limits::Limit;
use crate::{
    clock::UnixSeconds,
    exposition::{Kind, MetricFamily},
    persist::NotStored,
};

/// Something to be done to one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub(super) key: GroupingKey,
    pub(super) action: Action,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Push {
        families: Vec<MetricFamily>,
        scope: Scope,
        terms: Terms,
    },
    /// A push failed before it came here.
    Fail,
    Remove,
    RemoveIf {
        push_time: UnixSeconds,
        failure_time: Option<UnixSeconds>,
    },
}

/// What a push brings beside its families.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Terms {
    pub(super) stale_after: Option<Duration>,
    pub(super) times: Option<Times>,
}

/// When a group was pushed, as somebody knows who had it before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// When a push was last accepted; [`UnixSeconds::NEVER`] if none was.
    pub push_time: UnixSeconds,
    /// When a push was last refused; [`UnixSeconds::NEVER`] if none was.
    pub failure_time: UnixSeconds,
}

/// Which families of the group a push takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of them: PUT.
    Group,
    /// Those it names: POST.
    Families,
}

/// How a change went.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is as the change wants it to be, even if nothing had to be done for that.
    Done,
    /// The push does not fit; only the failure time of its group has changed.
    Refused(Vec<Objection>),
    /// The group has moved on and stays as it is: it has another push time than the one it was to be removed at, or
    /// times as late as those that were to become its own.
    PushedSince {
        /// The one it has.
        push_time: UnixSeconds,
    },
    /// The group was refused a push at another time than the one it was to be removed at, and stays as it is.
    FailedSince {
        /// The one it has.
        failure_time: UnixSeconds,
    },
    /// The storage did not take it; nothing has changed.
    NotStored(NotStored),
}

/// Why a push does not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Objection {
    /// Some sample has a timestamp, which would hide the push time.
    #[error("expected no timestamps, found one on a sample of {:?}", Excerpt::of(.name))]
    Timestamp {
        /// The family.
        name: String,
    },
    /// The name is taken by another type.
    #[error("expected {:?} to be of type {known}, as it is known already, found type {pushed}", Excerpt::of(.name))]
    Type {
        /// The family.
        name: String,
        /// Its type in other groups, or among the process's own families.
        known: Kind,
        /// Its type in the push.
        pushed: Kind,
    },
    /// Two metrics would be one.
    #[error("expected each series once, found {}{} {place}", Excerpt::of(.name), Excerpt::of(.labels))]
    Duplicate {
        /// The family.
        name: String,
        /// All labels, those of the key included.
        labels: LabelSet,
        /// Where the other one is.
        place: Place,
    },
    /// A label name that Prometheus keeps for itself.
    #[error("expected no label name that starts with `__`, found {:?} on {:?}", Excerpt::of(.label), Excerpt::of(.name))]
    ReservedLabel {
        /// The family.
        name: String,
        /// The label.
        label: String,
    },
    /// A label that says the series is of another pod or namespace.
    #[error("expected no label {label:?} but this pod's own, {truth:?}, found {:?} {}", Excerpt::of(.found), place(.name))]
    Identity {
        /// The family; without one, it is the grouping key that says so.
        name: Option<String>,
        /// `pod` or `namespace`.
        label: &'static str,
        /// What is true.
        truth: String,
        /// What was pushed.
        found: String,
    },
    /// A label that is part of the value.
    #[error("expected no label {label:?} on the {kind} {:?}, found one, maybe in the grouping key", Excerpt::of(.name))]
    InnerLabel {
        /// The family.
        name: String,
        /// `le` or `quantile`.
        label: &'static str,
        /// The family's type.
        kind: Kind,
    },
    /// A family has the name of a part of another.
    #[error(
        "expected no family {:?} beside the {kind} {:?}, which has a series of that name, found both",
        Excerpt::of(.part),
        Excerpt::of(.whole)
    )]
    Suffix {
        /// The histogram or summary.
        whole: String,
        /// Its type.
        kind: Kind,
        /// The other family.
        part: String,
    },
    /// There is no room for it.
    #[error(
        "expected at most {at_most} {}, found {found} with this push; `{}` sets the limit",
        .limit.of_what(),
        .limit.flag()
    )]
    Full {
        /// Which limit it is.
        limit: Limit,
        /// What it is.
        at_most: usize,
        /// What there would be.
        found: usize,
    },
    /// Another group shows its push time under the same labels.
    #[error(
        "expected a grouping key that can be told from {}, found {}: both are shown as {}",
        Excerpt::of(.known),
        Excerpt::of(.pushed),
        Excerpt::of(.shown)
    )]
    SameShownKey {
        /// The key that is there.
        known: LabelSet,
        /// The key pushed to.
        pushed: LabelSet,
        /// What both look like on the page.
        shown: LabelSet,
    },
}

/// Where the second of two equal series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the same push.
    Push,
    /// In a group that is there.
    OtherGroup,
}

fn place(name: &Option<String>) -> String {
    name.as_ref().map_or_else(|| "in the grouping key".to_owned(), |name| format!("on {:?}", Excerpt::of(name)))
}

// === impl Change ===

impl Change {
    /// PUT: the families become all that the group has. Of several of one name, the last counts.
    #[must_use]
    pub fn replace(key: GroupingKey, families: Vec<MetricFamily>) -> Self {
        Self { key, action: Action::Push { families, scope: Scope::Group, terms: Terms::default() } }
    }

    /// POST: each family takes the place of the one of its name. Of several of one name, the last counts.
    #[must_use]
    pub fn merge(key: GroupingKey, families: Vec<MetricFamily>) -> Self {
        Self { key, action: Action::Push { families, scope: Scope::Families, terms: Terms::default() } }
    }

    /// Of a push: once accepted, it lets its group grow that old, whatever the rule of the store. The next push says
    /// it again or leaves it to the store.
    #[must_use]
    pub fn stale_after(self, limit: Duration) -> Self {
        self.on_terms(|terms| terms.stale_after = Some(limit))
    }

    /// Of a push: it takes place in the past. Its push time has to be later than the group's own, the failure time
    /// counts where it is later. With no push time it leaves the metrics aside and sets the failure time alone, for a
    /// group that has seen no accepted push.
    #[must_use]
    pub fn with_times(self, times: Times) -> Self {
        self.on_terms(|terms| terms.times = Some(times))
    }

    /// A push that was refused before it came here: the group gets its failure time, if it is there.
    #[must_use]
    pub fn fail(key: GroupingKey) -> Self {
        Self { key, action: Action::Fail }
    }

    /// DELETE: the group goes.
    #[must_use]
    pub fn remove(key: GroupingKey) -> Self {
        Self { key, action: Action::Remove }
    }

    /// The group goes if this is its push time still.
    #[must_use]
    pub fn remove_if(key: GroupingKey, push_time: UnixSeconds) -> Self {
        Self { key, action: Action::RemoveIf { push_time, failure_time: None } }
    }

    /// Of a removal on the condition of a push time: and if this is its failure time still.
    #[must_use]
    pub fn and_failure_time(mut self, seen: UnixSeconds) -> Self {
        match &mut self.action {
            Action::RemoveIf { failure_time, .. } => *failure_time = Some(seen),
            Action::Push { .. } | Action::Fail | Action::Remove => {}
        }
        self
    }

    fn on_terms(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        match &mut self.action {
            Action::Push { terms, .. } => change(terms),
            Action::Fail | Action::Remove | Action::RemoveIf { .. } => {}
        }
        self
    }
}

// === impl Times ===

impl Times {
    /// Whether a group with these times may take over those.
    pub(super) fn is_before(self, later: Self) -> bool {
        if later.push_time == UnixSeconds::NEVER {
            self.push_time == UnixSeconds::NEVER && self.failure_time < later.failure_time
        } else {
            self.push_time < later.push_time
        }
    }
}

// === impl Objection ===

impl Objection {
    /// Whether it is about timestamps, which is counted apart.
    #[must_use]
    pub fn is_about_time(&self) -> bool {
        matches!(self, Self::Timestamp { .. })
    }

    /// Whether it is about labels that name another pod, which is counted apart.
    #[must_use]
    pub fn is_about_identity(&self) -> bool {
        matches!(self, Self::Identity { .. })
    }

    /// What is wrong with the labels of a series, if anything.
    pub(super) fn about_labels<'a>(
        name: &str,
        kind: Kind,
        mut labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Self> {
        let inner = kind.inner_label();
        let mut found_inner = None;
        let reserved = labels.find(|(label, _)| {
            found_inner = found_inner.or(inner.filter(|inner| inner == label));
            label_set::is_reserved(label)
        });
        if let Some((label, _)) = reserved {
            return Some(Self::ReservedLabel { name: name.to_owned(), label: label.to_owned() });
        }
        found_inner.map(|label| Self::InnerLabel { name: name.to_owned(), label, kind })
    }
}

// === impl Place ===

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Push => "twice in the push, once the labels of the grouping key are set",
            Self::OtherGroup => "in another group already",
        })
    }
}
