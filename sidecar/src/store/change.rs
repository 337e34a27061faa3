//! What can be asked of the store, and what it answers.
//!
//! *Never:* how it is carried out.

use protocol::{Excerpt, GroupingKey, LabelSet, label_set};

use crate::{
    clock::UnixSeconds,
    exposition::{Kind, MetricFamily},
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
    Push { families: Vec<MetricFamily>, scope: Scope },
    Remove,
    RemoveIf { push_time: UnixSeconds },
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
    /// The group has another push time than the one it was to be removed at; it stays.
    PushedSince {
        /// The one it has.
        push_time: UnixSeconds,
    },
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
    #[error("expected {:?} to be of type {known}, as other groups have it, found type {pushed}", Excerpt::of(.name))]
    Type {
        /// The family.
        name: String,
        /// Its type elsewhere.
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
    /// Another group shows its push time under the same labels.
    #[error(
        "expected a grouping key that can be told from {}, found {}: \
         a key without `instance` is shown with an empty one",
        Excerpt::of(.known),
        Excerpt::of(.pushed)
    )]
    SameShownKey {
        /// The key that is there.
        known: LabelSet,
        /// The key pushed to.
        pushed: LabelSet,
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

// === impl Change ===

impl Change {
    /// PUT: the families become all that the group has. Of several of one name, the last counts.
    #[must_use]
    pub fn replace(key: GroupingKey, families: Vec<MetricFamily>) -> Self {
        Self { key, action: Action::Push { families, scope: Scope::Group } }
    }

    /// POST: each family takes the place of the one of its name. Of several of one name, the last counts.
    #[must_use]
    pub fn merge(key: GroupingKey, families: Vec<MetricFamily>) -> Self {
        Self { key, action: Action::Push { families, scope: Scope::Families } }
    }

    /// DELETE: the group goes.
    #[must_use]
    pub fn remove(key: GroupingKey) -> Self {
        Self { key, action: Action::Remove }
    }

    /// The group goes if this is its push time still.
    #[must_use]
    pub fn remove_if(key: GroupingKey, push_time: UnixSeconds) -> Self {
        Self { key, action: Action::RemoveIf { push_time } }
    }
}

// === impl Objection ===

impl Objection {
    /// Whether it is about timestamps, which is counted apart.
    #[must_use]
    pub fn is_about_time(&self) -> bool {
        matches!(self, Self::Timestamp { .. })
    }

    pub(super) fn about_labels(name: &str, kind: Kind, labels: &LabelSet) -> Option<Self> {
        if let Some((label, _)) = labels.iter().find(|(label, _)| label_set::is_reserved(label)) {
            return Some(Self::ReservedLabel { name: name.to_owned(), label: label.to_owned() });
        }
        let label = kind.inner_label().filter(|label| labels.contains(label))?;
        Some(Self::InnerLabel { name: name.to_owned(), label, kind })
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
