//! What a pass found and did in the sidecars of one `PushGroup`, kept for the controller, which writes it into the status.
//!
//! *Never:* status fields, the API server.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::visit::FEW;

/// What is known of the targets of one `PushGroup`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassReport {
    /// When it was put together.
    pub ended: Timestamp,
    /// The generation of the `PushGroup` whose spec was looked by.
    pub generation: Option<i64>,
    /// Sidecars that were to be looked at.
    pub targets: u64,
    /// Those that did not answer, not wholly, or did not delete, now and when they were last visited, and run on.
    pub failed: u64,
    /// Groups seen.
    pub groups: u64,
    /// Groups that are too old and still there.
    pub stale: u64,
    /// Whether somewhere there are more stale groups than are removed at a time.
    pub has_more_to_do: bool,
    /// Whether stale groups are left since the API server does not tell of `PushGroup`s any more.
    pub is_held: bool,
    /// Groups removed since the last report.
    pub collected: u64,
    /// The newest push seen, Unix seconds.
    pub newest_push: Option<f64>,
    /// The rule that does not compile, in which case nothing was removed.
    pub bad_rule: Option<String>,
    /// Whether any group can ever be too old.
    pub has_limits: bool,
    /// Whether stale groups are only reported.
    pub dry_run: bool,
    /// How the gateway answered, where there is one.
    pub gateway: Option<GatewayState>,
    /// A few of the groups that would be removed, were it not for that, in words.
    pub would_go: Vec<String>,
    /// A few of the groups removed, in words.
    pub removed: Vec<String>,
}

/// How a gateway answered when it was last visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayState {
    /// It was read, and all was done there.
    Done,
    /// It was read, and not all could be done; why.
    Unfinished(String),
    /// It could not be read.
    Unreachable {
        /// The reason of the condition.
        reason: &'static str,
        /// What was expected and found, and what helps.
        message: String,
    },
}

/// The reports of all `PushGroup`s, by UID.
#[derive(Debug, Default)]
pub struct Reports {
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    last: Option<PassReport>,
    collected: u64,
}

// === impl PassReport ===

impl PassReport {
    /// Adds what was found in one target.
    pub fn add(&mut self, other: &Self) {
        self.targets += other.targets;
        self.failed += other.failed;
        self.groups += other.groups;
        self.stale += other.stale;
        self.has_more_to_do |= other.has_more_to_do;
        self.is_held |= other.is_held;
        self.collected += other.collected;
        self.newest_push = match (self.newest_push, other.newest_push) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.gateway = other.gateway.clone().or_else(|| self.gateway.take());
        for (few, others) in [(&mut self.would_go, &other.would_go), (&mut self.removed, &other.removed)] {
            few.extend(others.iter().take(FEW.saturating_sub(few.len())).cloned());
        }
    }

    /// What was removed, and nothing else.
    #[must_use]
    pub fn removals(&self) -> Self {
        Self { collected: self.collected, removed: self.removed.clone(), ..Self::default() }
    }

    /// What is known of one target after a visit: what the visit says, and of what it does not say, what was known
    /// before. What was removed is not among it.
    #[must_use]
    pub fn after(&self, before: Self, is_failing: bool) -> Self {
        let mut known = before;
        known.add(self);
        Self { targets: 1, failed: u64::from(is_failing), collected: 0, removed: Vec::new(), ..known }
    }

    /// Whether it says the same but for times.
    #[must_use]
    pub fn differs_in_times_alone(&self, other: &Self) -> bool {
        let without_times = |report: &Self| Self { ended: Timestamp::default(), newest_push: None, ..report.clone() };
        without_times(self) == without_times(other)
    }
}

// === impl Reports ===

impl Reports {
    /// Keeps a report; what was collected adds up until it is taken.
    pub fn record(&self, uid: &str, report: PassReport) {
        let mut entries = self.entries();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.collected += report.collected;
        entry.last = Some(report);
    }

    /// Keeps only what was collected in a pass that did not get to its end; the last report stands.
    pub fn record_collected(&self, uid: &str, collected: u64) {
        self.entries().entry(uid.to_owned()).or_default().collected += collected;
    }

    /// The last report.
    #[must_use]
    pub fn last(&self, uid: &str) -> Option<PassReport> {
        self.entries().get(uid).and_then(|entry| entry.last.clone())
    }

    /// Takes the number of groups collected since it was taken last.
    #[must_use]
    pub fn take_collected(&self, uid: &str) -> u64 {
        self.entries().get_mut(uid).map(|entry| std::mem::take(&mut entry.collected)).unwrap_or_default()
    }

    /// Another may have made passes since: only what was collected and not taken yet stays.
    pub fn forget_passes(&self) {
        for entry in self.entries().values_mut() {
            entry.last = None;
        }
    }

    /// Forgets all `PushGroup`s but some.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.entries().retain(|uid, _| uids.contains(uid));
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Whoever panicked with the lock held left whole entries behind.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collected_groups_add_up_until_they_are_taken() {
        let reports = Reports::default();
        let report = |collected| PassReport { collected, ..PassReport::default() };
        reports.record("uid", report(2));
        reports.record("uid", report(3));
        assert_eq!(reports.last("uid").unwrap().collected, 3);
        reports.forget_passes();
        assert_eq!(reports.last("uid"), None);
        assert_eq!(reports.take_collected("uid"), 5);
        assert_eq!(reports.take_collected("uid"), 0);
        reports.keep_only(&HashSet::new());
        assert_eq!(reports.last("uid"), None);
    }

    #[test]
    fn sidecars_add_up() {
        let mut sum = PassReport::default();
        let one = PassReport { targets: 1, groups: 2, newest_push: Some(3.0), ..PassReport::default() };
        sum.add(&one);
        sum.add(&PassReport { newest_push: Some(2.0), failed: 1, ..one.clone() });
        sum.add(&PassReport { newest_push: None, ..one });
        assert_eq!((sum.targets, sum.failed, sum.groups, sum.newest_push), (3, 1, 6, Some(3.0)));
    }
}
