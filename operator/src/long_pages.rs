//! The few places for long pages: a target's page may take ten times its length while it is worked on, and targets are
//! anybody's.
//!
//! A short page anybody may have at any time. Those whose last visit failed or took long have places of their own, since a
//! page may be sent as slowly as a request may take.
//!
//! *Never:* whose pages, what is in them.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest page that anybody may have at any time: that of a thousand groups.
pub(crate) const SHORT_PAGE: usize = 128 * 1024;

/// Places that all who share them wait for.
#[derive(Clone, Debug)]
pub struct LongPages {
    usual: Places,
    of_costly: Places,
}

/// What a long page has to hold on to while it, or all that was made of it, is there.
pub type Place = OwnedSemaphorePermit;

/// A long page found no place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a place for a page of more than {SHORT_PAGE} bytes, others had all {0}")]
pub struct NoRoom(pub usize);

#[derive(Clone, Debug)]
struct Places {
    free: Arc<Semaphore>,
    in_all: usize,
}

// === impl LongPages ===

impl LongPages {
    /// So many places, and so many for those whose last visit failed or took long.
    pub(crate) fn of(usual: usize, of_costly: usize) -> Self {
        let [usual, of_costly] =
            [usual, of_costly].map(|in_all| Places { free: Arc::new(Semaphore::new(in_all)), in_all });
        Self { usual, of_costly }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// When there is none for so long.
    pub(crate) async fn place(&self, is_costly: bool, patience: Duration) -> Result<Place, NoRoom> {
        let places = if is_costly { &self.of_costly } else { &self.usual };
        let found = tokio::time::timeout(patience, Arc::clone(&places.free).acquire_owned()).await;
        found.ok().and_then(Result::ok).ok_or(NoRoom(places.in_all))
    }
}
