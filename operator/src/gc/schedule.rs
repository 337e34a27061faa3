//! When a target is looked at next. Pure: what was read, and how much else there is to do, in; a length of time out.
//!
//! There is no tick. A look is due when the oldest group there can first be too old, or one that is pushed right after
//! the last look: a limit of an hour makes some look an hour. Beside that, the counts in a status are to be of some
//! use, so each target is looked at once in an interval, and where there are so many targets that this would cost too
//! much, less often.
//!
//! *Never:* which groups are too old, targets, the clock.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

/// How many looks a second all targets together are given for the sake of counts alone.
const LOOKS_A_SECOND: u32 = 20;

/// The least from look to look, however short a limit is.
const SHORTEST: Duration = Duration::from_secs(1);

/// How much later than at the first possible moment a look comes: `Date` has whole seconds, and by the lowest time it
/// may mean the group would not be too old yet.
const SLACK: Duration = Duration::from_secs(1);

/// How long counts may be out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness(Duration);

/// The time from a look to the next one; `first_staleness` is what [`super::policy::first_staleness`] says of it.
pub(super) fn next_look(first_staleness: Option<Duration>, freshness: Freshness, target: &str, turn: u32) -> Duration {
    let fresh = spread(freshness.0, target, turn);
    first_staleness.map_or(fresh, |first| first.saturating_add(SLACK).min(fresh)).max(SHORTEST)
}

/// Spreads what would come at the same moment: a length between three and five quarters of the one given, the same for
/// the same name and turn.
pub(super) fn spread(length: Duration, name: &str, turn: u32) -> Duration {
    let mut place = DefaultHasher::new();
    (name, turn).hash(&mut place);
    // Of 2048: at most a half.
    let place = u32::try_from(place.finish() % 1024).unwrap_or_default();
    length.saturating_mul(3) / 4 + length.saturating_mul(place) / 2048
}

// === impl Freshness ===

impl Freshness {
    /// An interval, or as long as it takes to look at so many targets in peace.
    pub(super) fn of(interval: Duration, targets: usize) -> Self {
        let targets = u32::try_from(targets).unwrap_or(u32::MAX);
        Self(interval.max(Duration::from_secs(1).saturating_mul(targets) / LOOKS_A_SECOND))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_look_comes_when_the_oldest_group_can_first_be_stale() {
        let calm = Freshness::of(MINUTE * 100, 1);
        let check = |first: Option<u64>, expected: u64| {
            let found = next_look(first.map(Duration::from_secs), calm, "uid", 0);
            assert_eq!(found, Duration::from_secs(expected), "{first:?}");
        };
        check(Some(600), 601);
        check(Some(0), 1);
        assert!(MINUTE * 75 <= next_look(None, calm, "uid", 0));
        assert_eq!(next_look(Some(Duration::MAX), calm, "uid", 0), next_look(None, calm, "uid", 0));
    }

    #[test]
    fn counts_are_looked_at_once_an_interval_while_there_are_few_targets() {
        let ten = Duration::from_secs(10);
        assert_eq!(Freshness::of(ten, 1), Freshness(ten));
        assert_eq!(Freshness::of(ten, 200), Freshness(ten));
        assert_eq!(Freshness::of(ten, 10_000), Freshness(Duration::from_secs(500)));
    }

    #[test]
    fn looks_at_many_targets_do_not_come_together() {
        let freshness = Freshness::of(MINUTE, 1);
        let looks: std::collections::BTreeSet<_> =
            (0..100).map(|nth| next_look(None, freshness, &format!("uid-{nth}"), 0).as_secs()).collect();
        assert!(15 < looks.len(), "{looks:?}");
        assert_ne!(next_look(None, freshness, "uid", 0), next_look(None, freshness, "uid", 1));
    }

    proptest! {
        #[test]
        fn a_look_is_never_later_than_staleness_and_freshness_ask_for(
            first in prop::option::of(0_u64..1_000_000), interval in 1_u64..1000, targets in 0_usize..100_000, turn: u32,
        ) {
            let (interval, first) = (Duration::from_secs(interval), first.map(Duration::from_secs));
            let freshness = Freshness::of(interval, targets);
            let next = next_look(first, freshness, "uid", turn);
            prop_assert!(SHORTEST <= next);
            prop_assert!(next <= freshness.0 * 5 / 4);
            if let Some(first) = first { prop_assert!(next <= first + SLACK); }
            // Nobody is looked at oftener than asked for.
            let asked_for = first.map_or(freshness.0, |first| first.min(freshness.0));
            prop_assert!(asked_for * 3 / 4 <= next);
        }
    }

    #[test]
    fn no_length_is_too_long_to_spread() {
        assert!(Duration::ZERO < spread(Duration::MAX, "uid", 1));
        assert_eq!(spread(Duration::ZERO, "uid", 1), Duration::ZERO);
    }
}
