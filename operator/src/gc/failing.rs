//! How often a target failed in a row, and how long it is left in peace for that. Pure.
//!
//! One failure alone says nothing: the pod of a Job that has just completed is not being deleted, and its status lags
//! behind its sidecar's end. So the first is only remembered and the target is visited again soon; from the second in a
//! row on the pauses double. Two that fail at the same moment are not visited again at the same moment.
//!
//! *Never:* why a visit failed, the clock.

use std::time::Duration;

use super::schedule::spread;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(2);

/// The longest pause: what heals is noticed within it and a quarter more.
const LONGEST: Duration = Duration::from_secs(120);

/// The failures of one target in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    in_a_row: u32,
}

// === impl Failures ===

impl Failures {
    /// A visit failed; says how many have in a row.
    pub(super) fn failed(&mut self) -> u32 {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.in_a_row
    }

    /// A visit went well.
    pub(super) fn answered(&mut self) {
        self.in_a_row = 0;
    }

    /// Whether the last visit failed.
    pub(super) fn is_failing(self) -> bool {
        0 < self.in_a_row
    }

    /// Whether it is more than bad luck.
    pub(super) fn counts(self) -> bool {
        1 < self.in_a_row
    }

    /// How long to leave it in peace. A visit that did something before it failed is made again soon.
    pub(super) fn pause(self, name: &str, did_something: bool) -> Duration {
        let doubled = if did_something { 0 } else { self.in_a_row.saturating_sub(1) };
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST);
        spread(pause, name, self.in_a_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_goes_on_failing_is_left_in_peace_for_longer() {
        let mut failures = Failures::default();
        let expected = [2, 4, 8, 16, 32, 64, 120, 120];
        for (nth, seconds) in (1..).zip(expected) {
            assert_eq!(failures.failed(), nth);
            assert_eq!(failures.counts(), 1 < nth);
            let (pause, middle) = (failures.pause("uid", false), Duration::from_secs(seconds));
            assert!(middle * 3 / 4 <= pause && pause <= middle * 5 / 4, "{pause:?} {middle:?}");
        }
        failures = Failures { in_a_row: u32::MAX };
        assert!(failures.pause("uid", false) <= LONGEST * 5 / 4);
    }

    #[test]
    fn an_answer_ends_the_row() {
        let mut failures = Failures::default();
        failures.failed();
        assert!(failures.is_failing());
        failures.answered();
        assert!(!failures.is_failing());
        assert_eq!(failures.failed(), 1);
    }

    #[test]
    fn a_visit_that_did_something_is_made_again_soon() {
        let failures = Failures { in_a_row: 9 };
        assert!(failures.pause("uid", true) <= FIRST * 5 / 4);
    }

    #[test]
    fn targets_that_failed_together_come_back_apart() {
        let failures = Failures { in_a_row: 5 };
        let pauses: std::collections::BTreeSet<_> =
            (0..100).map(|nth| failures.pause(&format!("uid-{nth}"), false)).collect();
        assert!(80 < pauses.len(), "{}", pauses.len());
        assert_eq!(failures.pause("uid", false), failures.pause("uid", false));
    }
}
