//! How much pushes may take while they are under way: each body, and all of them together.
//!
//! A body is in memory until it is read whole, and many may come slowly at once, so what they hold together has a limit
//! of its own. Beside it stands how many there may be at once.
//!
//! *Never:* what is in a body, flags' values.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::LimitError;

/// Up to here a body may grow by any factor: small ones of equal lines do so honestly.
pub(super) const RATIO_FLOOR: usize = 512 * 1024;

/// The limits; `usize::MAX` is none. The default is that of the process alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Pushes under way at once.
    pub concurrent: usize,
    /// Bytes of bodies under way at once.
    pub bytes_at_once: usize,
    /// Bytes of a body as it is sent.
    pub bytes: usize,
    /// Bytes of a body once it is decompressed.
    pub decompressed_bytes: usize,
    /// How many bytes one byte may become, where the body becomes more than 512 KiB.
    pub compression_ratio: usize,
    /// How long a body may take to come; `None` for any time.
    pub time: Option<Duration>,
}

/// What the pushes under way take together.
#[derive(Debug)]
pub(super) struct Load {
    limits: BodyLimits,
    turns: Arc<Semaphore>,
    bytes: Arc<AtomicUsize>,
}

/// The turn of a push, which ends with the value.
#[derive(Debug)]
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
    /// What its body takes.
    held: usize,
    at_most: usize,
    bytes: Arc<AtomicUsize>,
}

// === impl BodyLimits ===

impl BodyLimits {
    /// How large a body of so many bytes may become, and why no larger.
    pub(super) fn decompressed(&self, sent: usize) -> (usize, LimitError) {
        let by_ratio = sent.saturating_mul(self.compression_ratio).max(RATIO_FLOOR);
        if by_ratio < self.decompressed_bytes {
            (by_ratio, LimitError::Ratio { limit: self.compression_ratio, sent })
        } else {
            (self.decompressed_bytes, LimitError::Decompressed { limit: self.decompressed_bytes })
        }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            concurrent: 2048,
            bytes_at_once: 512 * 1024 * 1024,
            bytes: 16 * 1024 * 1024,
            decompressed_bytes: 64 * 1024 * 1024,
            compression_ratio: 200,
            time: Some(Duration::from_secs(60)),
        }
    }
}

// === impl Load ===

impl Load {
    pub(super) fn new(limits: BodyLimits) -> Self {
        let turns = Semaphore::new(limits.concurrent.min(Semaphore::MAX_PERMITS));
        Self { limits, turns: Arc::new(turns), bytes: Arc::default() }
    }

    /// A turn, unless as many pushes are under way as there may be.
    pub(super) fn turn(&self) -> Result<Turn, LimitError> {
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        let turn = turn.map_err(|_| LimitError::Concurrent { limit: self.limits.concurrent })?;
        let (at_most, bytes) = (self.limits.bytes_at_once, Arc::clone(&self.bytes));
        Ok(Turn { _turn: turn, held: 0, at_most, bytes })
    }
}

// === impl Turn ===

impl Turn {
    /// Takes room for more of the body, if there is some.
    pub(super) fn hold(&mut self, more: usize) -> Result<(), LimitError> {
        let before = self.bytes.fetch_add(more, Relaxed);
        self.held += more;
        if before.saturating_add(more) <= self.at_most {
            return Ok(());
        }
        Err(LimitError::BytesAtOnce { limit: self.at_most, found: before.saturating_add(more) })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.held, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_taken_and_come_back() {
        let load = Load::new(BodyLimits { concurrent: 1, ..BodyLimits::default() });
        let first = load.turn().unwrap();
        assert_eq!(
            load.turn().unwrap_err().to_string(),
            "expected at most 1 pushes at once, found one more; `--push.max-concurrent` sets the limit"
        );
        drop(first);
        assert!(load.turn().is_ok());
    }

    #[test]
    fn bytes_are_held_by_all_turns_together_and_come_back() {
        let load = Load::new(BodyLimits { bytes_at_once: 10, ..BodyLimits::default() });
        let (mut first, mut second) = (load.turn().unwrap(), load.turn().unwrap());
        assert!(first.hold(6).is_ok() && first.hold(1).is_ok());
        assert_eq!(
            second.hold(4).unwrap_err().to_string(),
            "expected at most 10 bytes of bodies at once, found 11; `--push.max-bytes-at-once` sets the limit"
        );
        drop(second);
        assert!(first.hold(3).is_ok());
        drop(first);
        assert!(load.turn().unwrap().hold(10).is_ok());
    }

    #[test]
    fn a_body_may_grow_by_the_ratio_but_a_small_one_by_any() {
        let limits =
            BodyLimits { compression_ratio: 10, decompressed_bytes: 10 * RATIO_FLOOR, ..BodyLimits::default() };
        let most = |sent| limits.decompressed(sent).0;
        assert_eq!(most(1), RATIO_FLOOR);
        assert_eq!(most(RATIO_FLOOR / 5), RATIO_FLOOR / 5 * 10);
        assert_eq!(most(RATIO_FLOOR * 5), 10 * RATIO_FLOOR);
        assert_eq!(
            limits.decompressed(1).1.to_string(),
            "expected a body that decompresses to at most 10 times its 1 bytes, found more; \
             `--push.max-compression-ratio` sets the limit"
        );
    }
}
