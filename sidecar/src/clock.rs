//! The wall clock: the only place that asks for the current time.
//!
//! Waiting is another matter: it goes by `tokio::time`, which a test can pause.
//!
//! *Never:* who asks, and what for.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as Unix seconds, the way push times are exposed. Zero stands for "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct UnixSeconds(pub f64);

/// The current time.
#[must_use]
pub fn now() -> UnixSeconds {
    #[expect(clippy::disallowed_methods, reason = "this is the edge that everybody else is to ask")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds(since_1970.map_or(0.0, |duration| duration.as_secs_f64()))
}

// === impl UnixSeconds ===

impl UnixSeconds {
    /// What stands for "never".
    pub const NEVER: Self = Self(0.0);

    /// Reads Unix seconds as the page prints them; `None` for what is no moment since 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().filter(|seconds: &f64| seconds.is_finite() && 0.0 <= *seconds).map(Self)
    }

    /// The later of two moments.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.0 < self.0 { self } else { other }
    }

    /// The first moment after this one that reads differently.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.next_up())
    }

    /// Whole seconds; 0 before 1970.
    #[must_use]
    pub fn whole(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the fraction is meant to go; the cast saturates")]
        let whole = self.0 as u64;
        whole
    }
}
