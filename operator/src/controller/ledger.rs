//! The account of what goes into the totals of a status: groups that were collected, and pods that ended with groups
//! nobody had seen; each counts once. Pure.
//!
//! A write carries the version of the object it is based on, and the account remembers the attempt. If its answer is
//! lost, the next look at the object tells whether it went through: then the totals are those we wrote, and the version
//! another.
//!
//! A pod stays for a while after its end, and shows its last word to every process that lists it. Which of them an
//! earlier process has counted is told by the status: it has the latest end that was counted, and no pod that ended up
//! to then is counted by a process that was not there yet. So none is counted twice; one that ended earlier than
//! another and was seen later may be missing if the process was replaced just in between.
//!
//! Limit: groups whose removal is in no status when the process is killed are not counted.
//!
//! *Never:* the API server.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use crds::{PushGroupStatus, names::SIDECAR_CONTAINER};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use protocol::last_word;

/// How many pods that are counted, or are not yet, are remembered one by one.
const MOST_PODS: usize = 4096;

/// What is not known to be in the status.
#[derive(Debug, Default)]
pub struct Ledger {
    unwritten: i64,
    /// Pods with a last word, by UID.
    noted: BTreeMap<String, Ending>,
    /// When those ended that are counted, by UID.
    counted: HashMap<String, Timestamp>,
    /// Up to which end all is counted; the outer is none until the object was read.
    counted_until: Option<Option<Timestamp>>,
    attempt: Option<Attempt>,
}

/// A pod ended with groups that no scrape had seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The pod's name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// How many groups.
    pub groups: u32,
    /// When its sidecar ended.
    pub finished: Timestamp,
}

/// What is to be added to the totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Collected groups.
    pub collected: i64,
    /// Pods that ended with unseen groups.
    pub endings: Vec<Ending>,
}

/// A write whose answer is not known.
#[derive(Debug)]
struct Attempt {
    based_on: String,
    due: Due,
    totals: [i64; 2],
}

// === impl Ledger ===

impl Ledger {
    /// Groups were collected.
    pub fn add(&mut self, groups: u64) {
        self.unwritten = self.unwritten.saturating_add(i64::try_from(groups).unwrap_or(i64::MAX));
    }

    /// A pod shows a last word; it may do so any number of times.
    pub fn ended(&mut self, ending: Ending) {
        if !self.counted.contains_key(&ending.uid) {
            self.noted.insert(ending.uid.clone(), ending);
        }
        // Nobody takes them while another process leads, which counts them.
        if MOST_PODS < self.noted.len() {
            self.drop_the_earliest();
        }
    }

    /// How many pods are remembered one by one.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.noted.len() + self.counted.len()
    }

    /// Remembers fewer pods: of those that are counted or are to be, whichever are more, and of these the earliest.
    pub fn give_way(&mut self) {
        if self.noted.len() < self.counted.len() {
            self.forget_the_older_half();
        } else {
            self.drop_the_earliest();
        }
    }

    /// Another process may have counted since: what the object says is to be learned anew.
    pub fn may_be_behind(&mut self) {
        self.counted_until = None;
    }

    /// Whether something is not in the status yet.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        0 < self.unwritten
    }

    /// What the status is short of, for an object that was created at a time.
    #[must_use]
    pub fn due(&self, status: &PushGroupStatus, created: Option<Timestamp>) -> Due {
        let in_status = status.last_unseen_time.as_ref().map(|time| time.0);
        let until = self.counted_until.unwrap_or(in_status);
        // An end has whole seconds, as the creation has.
        let counts = |ending: &&Ending| until < Some(ending.finished) && created <= Some(ending.finished);
        Due { collected: self.unwritten, endings: self.noted.values().filter(counts).cloned().collect() }
    }

    /// Looks at the object as it is now, and learns what became of an attempt without answer: the pods that are counted
    /// by it after all.
    #[must_use]
    pub fn settle(&mut self, status: &PushGroupStatus, version: &str) -> Vec<Ending> {
        let last = status.last_unseen_time.as_ref().map(|time| time.0);
        self.counted_until.get_or_insert(last);
        match self.attempt.take() {
            Some(attempt) if attempt.totals == totals(status) && attempt.based_on != version => self.count(attempt.due),
            Some(_) | None => Vec::new(),
        }
    }

    /// A status with all that is due is about to be written on top of a version of the object.
    pub fn begin(&mut self, status: &PushGroupStatus, due: Due, version: &str) {
        self.attempt = Some(Attempt { based_on: version.to_owned(), due, totals: totals(status) });
    }

    /// The write went through; the pods that are counted by it.
    #[must_use]
    pub fn written(&mut self) -> Vec<Ending> {
        self.attempt.take().map(|attempt| self.count(attempt.due)).unwrap_or_default()
    }

    /// The API server refused the write.
    pub fn refused(&mut self) {
        self.attempt = None;
    }

    fn count(&mut self, due: Due) -> Vec<Ending> {
        self.unwritten -= due.collected;
        for ending in &due.endings {
            self.noted.remove(&ending.uid);
            self.counted.insert(ending.uid.clone(), ending.finished);
        }
        if MOST_PODS < self.counted.len() {
            self.forget_the_older_half();
        }
        due.endings
    }

    fn drop_the_earliest(&mut self) {
        let earliest = self.noted.values().min_by_key(|ending| ending.finished).map(|ending| ending.uid.clone());
        earliest.and_then(|uid| self.noted.remove(&uid));
    }

    /// From then on they count as counted by their time.
    fn forget_the_older_half(&mut self) {
        let mut times: Vec<_> = self.counted.values().copied().collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied();
        self.counted.retain(|_, finished| middle < Some(*finished));
        self.counted_until = self.counted_until.map(|until| until.max(middle));
    }
}

fn totals(status: &PushGroupStatus) -> [i64; 2] {
    [status.collected_total.unwrap_or_default(), status.unseen_total.unwrap_or_default()]
}

// === impl Ending ===

impl Ending {
    /// What a pod's status says of the end of its sidecar, if it ended with unseen groups.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let sidecars = pod.status.as_ref()?.init_container_statuses.as_ref()?;
        let sidecar = sidecars.iter().find(|container| container.name == SIDECAR_CONTAINER)?;
        let end = sidecar.state.as_ref()?.terminated.as_ref()?;
        let groups = last_word::parse(end.message.as_deref()?)?;
        Some(Self { pod: pod.name_any(), uid: pod.uid()?, groups, finished: end.finished_at.as_ref()?.0 })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = if self.groups == 1 { "group" } else { "groups" };
        write!(f, "Pod {} ended with {} {groups} that no scrape had seen", self.pod, self.groups)
    }
}

// === impl Due ===

impl Due {
    /// How many groups nobody has seen.
    #[must_use]
    pub fn unseen(&self) -> i64 {
        self.endings.iter().map(|ending| i64::from(ending.groups)).sum()
    }
}

#[cfg(test)]
mod tests;
