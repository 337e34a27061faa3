//! The only place that asks for the current time.
//!
//! *Never:* who asks, or what for.

use jiff::Timestamp;

/// Tells the time; a test can make one that tells what it likes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: fn() -> Timestamp,
}

// === impl Clock ===

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { now: system_now }
    }

    /// A clock that tells what a function says.
    #[must_use]
    pub fn from_fn(now: fn() -> Timestamp) -> Self {
        Self { now }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's one place to ask the system for the time")]
fn system_now() -> Timestamp {
    Timestamp::now()
}
