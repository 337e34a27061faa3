//! The last answer, for whoever asks for the same right after: several replicas of Prometheus do.
//!
//! What is stored and what is counted shows in the very next answer. Only what scrapes themselves count and what the
//! kernel knows of the process may be a tenth of a second old.
//!
//! *Never:* how an answer is made.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Coding, Made};
use crate::exposition::negotiate::Choice;

/// How old an answer may get.
const OLDEST: Duration = Duration::from_millis(100);

/// A larger one costs more to hand over than to make, and would keep a page in memory that is there no more.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) choice: Choice,
    pub(super) coding: Option<Coding>,
    /// That of the store.
    pub(super) stored: u64,
    /// That of the metrics.
    pub(super) counted: u64,
}

/// The last answer, if it is good for more than one reader.
#[derive(Debug, Default)]
pub(in crate::http) struct Kept(Mutex<Option<Answer>>);

#[derive(Debug)]
struct Answer {
    asked: Asked,
    made_at: Instant,
    made: Made,
}

// === impl Kept ===

impl Kept {
    /// The answer to that, if it is the last one.
    pub(super) fn find(&self, asked: &Asked, now: Instant) -> Option<Made> {
        let kept = self.lock();
        let answer = kept.as_ref().filter(|answer| answer.asked == *asked)?;
        (now.duration_since(answer.made_at) < OLDEST).then(|| answer.made.clone())
    }

    /// Keeps an answer to what was asked for before it was made.
    pub(super) fn keep(&self, asked: Asked, made: &Made, now: Instant) {
        let bytes: usize = made.pieces.iter().map(Bytes::len).sum();
        let is_whole = made.hidden == 0 && bytes <= MOST_BYTES;
        *self.lock() = is_whole.then(|| Answer { asked, made_at: now, made: made.clone() });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::negotiate;

    fn asked(accept: &str, stored: u64, counted: u64) -> Asked {
        Asked { choice: negotiate::accepted(accept), coding: None, stored, counted }
    }

    fn made(bytes: usize, hidden: usize) -> Made {
        Made { revision: 7, hidden, pieces: vec![vec![b'x'; bytes].into()], coding: None }
    }

    #[test]
    fn an_answer_is_kept_until_something_changes_or_it_is_old() {
        let (kept, now, first) = (Kept::default(), Instant::now(), asked("text/plain", 1, 1));
        assert!(kept.find(&first, now).is_none());
        kept.keep(first, &made(1, 0), now);
        let found = |asked: Asked, now| kept.find(&asked, now).map(|made| made.revision);
        assert_eq!(found(first, now), Some(7));
        assert_eq!(found(asked("text/plain", 2, 1), now), None, "a push");
        assert_eq!(found(asked("text/plain", 1, 2), now), None, "a refusal");
        assert_eq!(found(asked("application/openmetrics-text", 1, 1), now), None);
        assert_eq!(found(Asked { coding: Some(Coding::Gzip), ..first }, now), None);
        assert_eq!(found(first, now + OLDEST), None);
    }

    #[test]
    fn an_answer_that_is_large_or_lacks_series_is_for_its_reader_alone() {
        let (kept, now, asked) = (Kept::default(), Instant::now(), asked("text/plain", 1, 1));
        for (bytes, hidden, is_kept) in [(MOST_BYTES, 0, true), (MOST_BYTES + 1, 0, false), (1, 1, false)] {
            kept.keep(asked, &made(bytes, hidden), now);
            assert_eq!(kept.find(&asked, now).is_some(), is_kept, "{bytes} bytes, {hidden} hidden");
        }
    }
}
