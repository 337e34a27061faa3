//! What time it is at a target, as far as can be told for sure.
//!
//! An answer's `Date` is what the clock there showed when the answer was made, cut to whole seconds: by the time the
//! answer is here, that clock shows this much or more. So it is the lowest time it may be there, and who counts ages by
//! it calls nothing too old that is not; from then on time passes as fast there as here. Our own clock, right or wrong,
//! then plays no part in an age.
//!
//! A target may say what it likes, which is of effect for its own groups alone; one that is out of all proportion is a
//! fault, and nothing is removed by it.
//!
//! *Never:* ages, limits, HTTP.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How far the clock of a target may be from ours.
const FARTHEST: SignedDuration = SignedDuration::from_hours(24);

/// The clock of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TargetClock {
    showed: Timestamp,
    at: Instant,
}

/// A clock that nothing is to be decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a `Date` within a day of {ours}, which is our time, found {found}: nothing is removed by it")]
pub(super) struct WrongClock {
    ours: Timestamp,
    found: Timestamp,
}

// === impl TargetClock ===

impl TargetClock {
    /// The clock of who sent a date just now; of one that sends none, it is taken to be ours.
    ///
    /// # Errors
    /// When it differs by more than a day.
    pub(super) fn of(date: Option<Timestamp>, ours: Timestamp, at: Instant) -> Result<Self, WrongClock> {
        let showed = date.unwrap_or(ours);
        if FARTHEST < showed.duration_since(ours).abs() {
            return Err(WrongClock { ours, found: showed });
        }
        Ok(Self { showed, at })
    }

    /// When it was read.
    pub(super) fn read_at(&self) -> Instant {
        self.at
    }

    /// What it showed then.
    pub(super) fn showed(&self) -> Timestamp {
        self.showed
    }

    /// The lowest that it may show at a moment.
    pub(super) fn shows(&self, at: Instant) -> Timestamp {
        let passed = at.checked_duration_since(self.at).unwrap_or(Duration::ZERO);
        self.showed.checked_add(passed).unwrap_or(self.showed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Timestamp = Timestamp::constant(1_790_000_000, 700_000_000);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn time_passes_there_as_it_does_here() {
        let read = Instant::now();
        let clock = TargetClock::of(Some(at(1_789_996_400)), OURS, read).unwrap();
        assert_eq!(clock.showed(), at(1_789_996_400), "an hour behind");
        assert_eq!(clock.shows(read + Duration::from_secs(90)), at(1_789_996_490));
        assert_eq!(clock.shows(read), clock.showed());
    }

    #[test]
    fn without_a_date_the_clock_is_ours() {
        assert_eq!(TargetClock::of(None, OURS, Instant::now()).unwrap().showed(), OURS);
    }

    #[test]
    fn a_clock_out_of_all_proportion_is_a_fault() {
        let day = 24 * 3600;
        for (off, is_good) in [(day - 1, true), (1 - day, true), (day + 1, false), (-day - 1, false)] {
            let clock = TargetClock::of(Some(at(1_790_000_000 + off)), OURS, Instant::now());
            assert_eq!(clock.is_ok(), is_good, "{off}");
        }
        let error = TargetClock::of(Some(at(0)), OURS, Instant::now()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a `Date` within a day of 2026-09-21T14:13:20.7Z, which is our time, found 1970-01-01T00:00:00Z: \
             nothing is removed by it"
        );
    }
}
