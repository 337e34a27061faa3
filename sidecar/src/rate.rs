//! How often something may happen: so many times a second, and so many at once after a rest.
//!
//! *Never:* whose rate it is, the clock.

use std::time::Duration;

use tokio::time::Instant;

/// Requests a second that a rate may have.
const PER_SECOND: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Requests at once that a rate may have.
const MOST_AT_ONCE: u32 = 1_000_000;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// How long it takes until one more may come.
    interval: Duration,
    /// At least 1.
    burst: u32,
}

/// What has been used of a rate: the moment at which all of it will be there again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    up_to: Option<Instant>,
}

// === impl Rate ===

impl Rate {
    /// Without a burst, a second's worth at once and at least one.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn new(per_second: f64, burst: Option<u32>) -> Result<Self, String> {
        if !PER_SECOND.contains(&per_second) {
            return Err(format!("expected `perSecond` from {} to {}", PER_SECOND.start(), PER_SECOND.end()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is at most a million")]
        let second = per_second.ceil() as u32;
        let burst = burst.unwrap_or(second);
        if burst == 0 || MOST_AT_ONCE < burst {
            return Err(format!("expected `burst` from 1 to {MOST_AT_ONCE}"));
        }
        Ok(Self::every(Duration::from_secs_f64(per_second.recip()), burst))
    }

    /// One in so much time, and so many at once, at least one.
    pub(crate) fn every(interval: Duration, burst: u32) -> Self {
        Self { interval, burst: burst.max(1) }
    }
}

// === impl Used ===

impl Used {
    /// Uses one request up, or says how long to wait for the next.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let up_to = self.up_to.map_or(now, |up_to| up_to.max(now));
        let room = rate.interval.saturating_mul(rate.burst - 1);
        let wait = up_to.saturating_duration_since(now).saturating_sub(room);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.up_to = up_to.checked_add(rate.interval);
        Ok(())
    }
}

/// Rounded up, so that who waits so long is let in.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_by_one() {
        let (rate, now) = (Rate::new(4.0, Some(3)).unwrap(), Instant::now());
        let mut used = Used::default();
        for _ in 0..3 {
            assert_eq!(used.take(rate, now), Ok(()));
        }
        assert_eq!(used.take(rate, now), Err(Duration::from_millis(250)));
        assert_eq!(used.take(rate, now + Duration::from_millis(100)), Err(Duration::from_millis(150)));
        let later = now + Duration::from_millis(250);
        assert_eq!(used.take(rate, later), Ok(()));
        assert_eq!(used.take(rate, later), Err(Duration::from_millis(250)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_brings_no_more_than_the_burst() {
        let (rate, now) = (Rate::new(4.0, Some(3)).unwrap(), Instant::now());
        let mut used = Used::default();
        assert_eq!(used.take(rate, now), Ok(()));
        let later = now + Duration::from_hours(1000);
        let taken = std::iter::repeat_with(|| used.take(rate, later)).take_while(Result::is_ok).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn without_a_burst_a_seconds_worth_comes_at_once() {
        for (per_second, burst) in [(0.01, 1), (1.0, 1), (2.5, 3), (1000.0, 1000)] {
            assert_eq!(Rate::new(per_second, None).unwrap().burst, burst, "{per_second}");
        }
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        for per_second in [0.0, -1.0, 1e-9, 1e9, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::new(per_second, None).unwrap_err(), "expected `perSecond` from 0.001 to 1000000");
        }
        for burst in [0, u32::MAX] {
            assert_eq!(Rate::new(1.0, Some(burst)).unwrap_err(), "expected `burst` from 1 to 1000000");
        }
    }
}
