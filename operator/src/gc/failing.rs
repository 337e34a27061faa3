//! Which sidecars failed when they were last visited, and which of those are left in peace for some ticks. Pure.
//!
//! One failure alone says nothing: the pod of a Job that has just completed is not being deleted, and its status lags
//! behind its sidecar's end. So the first is only remembered and the sidecar is visited at the next tick; from the
//! second in a row on it is left out for 2, 4, then 8 ticks, for as long as nothing at all could be done there.
//!
//! *Never:* why a visit failed, the clock.

use std::collections::{HashMap, HashSet};

/// The most ticks that a sidecar is left out.
const LONGEST_REST: u32 = 8;

/// The sidecars that failed when they were last visited, by their pods' UIDs.
#[derive(Debug, Default)]
pub(super) struct Failing {
    rows: HashMap<String, Row>,
}

#[derive(Debug, Default)]
struct Row {
    failures: u32,
    /// Ticks to leave out still.
    rest: u32,
}

// === impl Failing ===

impl Failing {
    /// Whether a sidecar is left out at this tick. To be asked once a tick.
    pub(super) fn rests(&mut self, pod_uid: &str) -> bool {
        let Some(row) = self.rows.get_mut(pod_uid) else { return false };
        let rests = 0 < row.rest;
        row.rest = row.rest.saturating_sub(1);
        rests
    }

    /// A visit failed; says how many have in a row. One that did something before it failed is made again soon.
    pub(super) fn failed(&mut self, pod_uid: &str, did_something: bool) -> u32 {
        let row = self.rows.entry(pod_uid.to_owned()).or_default();
        row.failures = row.failures.saturating_add(1);
        if 1 < row.failures && !did_something {
            row.rest = 1_u32.checked_shl(row.failures - 1).unwrap_or(LONGEST_REST).clamp(1, LONGEST_REST);
        }
        row.failures
    }

    /// A visit went well.
    pub(super) fn answered(&mut self, pod_uid: &str) {
        self.rows.remove(pod_uid);
    }

    /// Forgets all sidecars but some.
    pub(super) fn keep_only(&mut self, pod_uids: &HashSet<String>) {
        self.rows.retain(|pod_uid, _| pod_uids.contains(pod_uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many ticks in a row a sidecar is left out.
    fn rest(failing: &mut Failing) -> u32 {
        (0..100).take_while(|_| failing.rests("uid")).count().try_into().unwrap()
    }

    #[test]
    fn a_sidecar_that_goes_on_failing_is_left_out_for_longer() {
        let mut failing = Failing::default();
        assert_eq!(rest(&mut failing), 0);
        let mut rests = Vec::new();
        for nth in 1..=40 {
            assert_eq!(failing.failed("uid", false), nth);
            rests.push(rest(&mut failing));
        }
        assert_eq!(rests[..5], [0, 2, 4, 8, 8]);
        assert!(rests[5..].iter().all(|rest| *rest == 8), "{rests:?}");
    }

    #[test]
    fn an_answer_ends_the_row() {
        let mut failing = Failing::default();
        failing.failed("uid", false);
        failing.answered("uid");
        assert_eq!(failing.failed("uid", false), 1);
        failing.keep_only(&HashSet::new());
        assert_eq!(failing.failed("uid", false), 1);
    }

    #[test]
    fn a_visit_that_did_something_is_made_again_soon() {
        let mut failing = Failing::default();
        failing.failed("uid", true);
        failing.failed("uid", true);
        assert_eq!(rest(&mut failing), 0);
    }
}
