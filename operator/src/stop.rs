//! The end of the process: who may ask for it, and how everybody learns of it.
//!
//! *Never:* what is to be finished before it.

use tokio::sync::watch;

/// Asks everybody to end.
#[derive(Debug)]
pub struct StopSender {
    sender: watch::Sender<bool>,
}

/// Learns that the end was asked for.
#[derive(Clone, Debug)]
pub struct Stop {
    receiver: watch::Receiver<bool>,
}

/// A sender and its first receiver.
#[must_use]
pub fn channel() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSender { sender }, Stop { receiver })
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
    /// Whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow()
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
