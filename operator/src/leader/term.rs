//! Whether this replica leads, for those who work only then.
//!
//! *Never:* how that came about, what they do.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::election::Held;

/// The longest that a write of a leader may take: it is begun only with that much of the term left, and given up after it.
pub const LONGEST_WRITE: Duration = Duration::from_secs(5);

/// Waits for the terms of this replica.
#[derive(Debug)]
pub struct Leadership {
    receiver: watch::Receiver<Option<Held>>,
}

/// One term: from when this replica came to lead until it does not, however briefly.
#[derive(Clone, Debug)]
pub struct Term {
    number: u64,
    receiver: watch::Receiver<Option<Held>>,
}

// === impl Leadership ===

impl Leadership {
    pub(super) fn new(receiver: watch::Receiver<Option<Held>>) -> Self {
        Self { receiver }
    }

    /// Waits until this replica leads; `None` if nobody stands for election any more.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn term(&mut self) -> Option<Term> {
        let leads = |held: &Option<Held>| held.is_some_and(|held| Instant::now() < held.until);
        let held = *self.receiver.wait_for(leads).await.ok()?;
        held.map(|held| Term { number: held.term, receiver: self.receiver.clone() })
    }
}

// === impl Term ===

impl Term {
    /// Whether so much is left of the term, even if it is never renewed.
    #[must_use]
    pub fn has(&self, time: Duration) -> bool {
        self.until().is_some_and(|until| Instant::now() + time <= until)
    }

    /// Waits until the term is over.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn over(mut self) {
        let mut is_renewable = true;
        while let Some(until) = self.until().filter(|until| Instant::now() < *until) {
            tokio::select! {
                () = sleep_until(until) => {}
                changed = self.receiver.changed(), if is_renewable => is_renewable = changed.is_ok(),
            }
        }
    }

    /// Until when, as far as is known.
    fn until(&self) -> Option<Instant> {
        self.receiver.borrow().filter(|held| held.term == self.number).map(|held| held.until)
    }
}

#[cfg(test)]
impl Term {
    /// A term for as long as a test sends nothing else.
    pub(crate) fn of_test() -> (watch::Sender<Option<Held>>, Self) {
        let until = Instant::now() + Duration::from_secs(1_000_000);
        let (sender, receiver) = watch::channel(Some(Held { term: 1, until }));
        (sender, Self { number: 1, receiver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn held(term: u64, seconds: u32) -> Option<Held> {
        Some(Held { term, until: Instant::now() + seconds * SECOND })
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_by_itself_where_nobody_renews_it() {
        let (sender, receiver) = watch::channel(None);
        let mut leadership = Leadership::new(receiver);
        sender.send_replace(held(1, 10));
        let term = leadership.term().await.unwrap();
        assert!(term.has(10 * SECOND) && !term.has(11 * SECOND));
        let start = Instant::now();
        tokio::time::advance(6 * SECOND).await;
        assert!(term.has(4 * SECOND) && !term.has(5 * SECOND));
        term.clone().over().await;
        assert_eq!(start.elapsed().as_secs(), 10);
        assert!(!term.has(SECOND));
        // Nobody has said so yet, but it is no term to begin with.
        let next = tokio::time::timeout(SECOND, leadership.term()).await;
        assert!(next.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_term_goes_on_and_a_new_one_is_another() {
        let (sender, receiver) = watch::channel(held(1, 10));
        let term = Leadership::new(receiver).term().await.unwrap();
        let start = Instant::now();
        let over = tokio::spawn(term.clone().over());
        tokio::time::sleep(8 * SECOND).await;
        sender.send_replace(held(1, 10));
        tokio::time::sleep(8 * SECOND).await;
        assert!(term.has(2 * SECOND) && !over.is_finished());
        sender.send_replace(held(2, 10));
        assert!(!term.has(Duration::ZERO));
        over.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_elector_a_term_runs_out_and_none_follows() {
        let (sender, receiver) = watch::channel(held(1, 10));
        let mut leadership = Leadership::new(receiver);
        let term = leadership.term().await.unwrap();
        drop(sender);
        let start = Instant::now();
        term.over().await;
        assert_eq!(start.elapsed().as_secs(), 10);
        let (sender, receiver) = watch::channel(None);
        drop(sender);
        assert!(Leadership::new(receiver).term().await.is_none());
    }
}
