//! What clients know of a group, and what may be there of it after a restart.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::page::Found;

/// Something to do to a group. All samples of a push have one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Push {
    Put(BTreeMap<&'static str, f64>),
    Post(BTreeMap<&'static str, f64>),
    Delete,
    /// A push that does not fit, of which the time is kept.
    Refused,
}

/// A group as it is to be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    families: BTreeMap<String, f64>,
    was_accepted: bool,
    is_last_refused: bool,
}

/// A group that one client has for itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) key: String,
    /// After all that was answered; `None` where there is no group.
    group: Option<Group>,
    /// What was sent and not answered.
    pending: Option<Push>,
    /// The push times that the last check found, if nothing was sent since then.
    times: Option<(f64, f64)>,
}

/// A group that several clients push to. The order of what they push is known only where one began after the other was
/// answered.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) key: String,
    sent: Mutex<Vec<Sent>>,
}

/// One push to a shared group.
#[derive(Clone, Debug)]
struct Sent {
    began: u64,
    answered: Option<u64>,
    /// Of all samples; `None` for a deletion.
    value: Option<f64>,
}

/// Only rises: what has the lower number happened first.
static MOMENT: AtomicU64 = AtomicU64::new(1);

fn moment() -> u64 {
    MOMENT.fetch_add(1, Ordering::SeqCst)
}

// === impl Push ===

impl Push {
    fn applied_to(&self, group: Option<&Group>) -> Option<Group> {
        let named = |families: &BTreeMap<&str, f64>| -> BTreeMap<_, _> {
            families.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let mut after = group.cloned().unwrap_or_default();
        match self {
            Self::Put(families) => after.families = named(families),
            Self::Post(families) => after.families.extend(named(families)),
            Self::Delete => return None,
            Self::Refused => return Some(Group { is_last_refused: true, ..after }),
        }
        Some(Group { was_accepted: true, is_last_refused: false, ..after })
    }
}

// === impl Own ===

impl Own {
    pub(super) fn new(key: String) -> Self {
        Self { key, group: None, pending: None, times: None }
    }

    pub(super) fn sent(&mut self, push: Push) {
        (self.pending, self.times) = (Some(push), None);
    }

    pub(super) fn answered(&mut self) {
        if let Some(push) = self.pending.take() {
            self.group = push.applied_to(self.group.as_ref());
        }
    }

    /// Takes what is there, if it is as what was answered leaves it, with or without what was not.
    #[track_caller]
    pub(super) fn check(&mut self, found: Option<Found>) {
        let times = found.as_ref().map(|found| (found.push_time, found.failure_time));
        let group = found.map(|found| Group {
            was_accepted: found.push_time != 0.0,
            is_last_refused: found.push_time < found.failure_time,
            families: found.families,
        });
        let pending = self.pending.take();
        let after = pending.as_ref().map(|push| push.applied_to(self.group.as_ref()));
        assert!(
            group == self.group || Some(&group) == after.as_ref(),
            "{}: expected {:#?}, or that after {pending:#?}; found {group:#?}",
            self.key,
            self.group
        );
        if let Some(before) = self.times {
            assert_eq!(times, Some(before), "{}: the times have changed", self.key);
        }
        (self.group, self.times) = (group, times);
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(number: u64) -> Self {
        let nothing = Sent { began: 0, answered: Some(0), value: None };
        Self { key: format!("shared-{number}"), sent: Mutex::new(vec![nothing]) }
    }

    /// Returns the place to tell [`Shared::answered`].
    pub(super) fn sent(&self, value: Option<f64>) -> usize {
        let mut sent = self.sent.lock().unwrap();
        sent.push(Sent { began: moment(), answered: None, value });
        sent.len() - 1
    }

    pub(super) fn answered(&self, place: usize) {
        self.sent.lock().unwrap()[place].answered = Some(moment());
    }

    /// Takes what is there, if it is what some push left that may have been the last.
    #[track_caller]
    pub(super) fn check(&mut self, found: Option<Found>) {
        let sent = self.sent.get_mut().unwrap();
        let values: Option<Vec<f64>> = found.map(|found| found.families.into_values().collect());
        let value = values.as_ref().map(|values| values.first().copied().unwrap_or(f64::NAN));
        let is_one = values.iter().flatten().all(|other| Some(*other) == value);
        assert!(is_one, "{}: expected one push, found parts of several: {values:?}", self.key);
        let is_superseded = |one: &Sent| {
            sent.iter().any(|other| other.answered.is_some() && one.answered.is_some_and(|at| at < other.began))
        };
        let may_be_last = sent.iter().any(|one| one.value == value && !is_superseded(one));
        assert!(may_be_last, "{}: found {value:?} after {sent:#?}", self.key);
        *sent = vec![Sent { began: 0, answered: Some(0), value }];
    }
}
