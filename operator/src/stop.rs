//! The end of the process, or of what only a leader does: who may ask for it, and how everybody learns of it.
//!
//! *Never:* what is to be finished before it.

use tokio::sync::watch;

use crate::leader::term::{LONGEST_WRITE, Term};

/// Asks everybody to end.
#[derive(Debug)]
pub struct StopSender {
    sender: watch::Sender<bool>,
}

/// Learns that the end was asked for.
#[derive(Clone, Debug)]
pub struct Stop {
    receiver: watch::Receiver<bool>,
    term: Option<Term>,
}

/// A sender and its first receiver.
#[must_use]
pub fn channel() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSender { sender }, Stop { receiver, term: None })
}

// === impl StopSender ===

impl StopSender {
    /// Asks everybody to end.
    pub fn request(&self) {
        self.sender.send_replace(true);
    }
}

// === impl Stop ===

impl Stop {
    /// The same for what only a leader does: it is also requested where the term may end before a write does.
    #[must_use]
    pub fn within(self, term: Term) -> Self {
        Self { term: Some(term), ..self }
    }

    /// Whether the end was asked for. What only a leader does asks this before each of its requests.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow() || self.term.as_ref().is_some_and(|term| !term.has(LONGEST_WRITE))
    }

    /// Waits until the end is asked for, or nobody is left who could.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn requested(mut self) {
        // An error means that the sender is gone, which is the end as well.
        let _ = self.receiver.wait_for(|stop| *stop).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_only_a_leader_does_stops_where_a_write_may_outlast_the_term() {
        let (_sender, stop) = channel();
        let (terms, term) = Term::of_test();
        let stop = stop.within(term);
        assert!(!stop.is_requested());
        let mut held = terms.borrow().unwrap();
        held.until = tokio::time::Instant::now() + LONGEST_WRITE;
        terms.send_replace(Some(held));
        assert!(!stop.is_requested());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(stop.is_requested());
    }
}
