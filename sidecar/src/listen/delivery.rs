//! Knowing when an answer has been written to its socket.
//!
//! A body is dropped as soon as the connection has taken its last frame into its own buffer, before a byte of a small page was
//! written. So a connection carries a [`Delivery`]: what is to be told waits there until the connection has flushed,
//! and is forgotten when the peer had closed before the last write, or when the write fails.
//!
//! Not done yet: asking the socket whether the peer's kernel has acknowledged all of it.
//!
//! *Never:* what was answered.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Told = Box<dyn FnOnce() + Send>;

/// What is to be told once the connection has written all that it was given; clones are of the same connection.
#[derive(Clone, Default)]
pub(crate) struct Delivery {
    told: Arc<Mutex<Option<Told>>>,
    peer: Option<SocketAddr>,
}

// === impl Delivery ===

impl Delivery {
    /// On a connection with that peer.
    pub(super) fn to(peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..Self::default() }
    }

    /// Tells it after the next flush.
    pub(crate) fn tell(&self, told: impl FnOnce() + Send + 'static) {
        *self.lock() = Some(Box::new(told));
    }

    /// Who is at the other end, where there is a connection.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.lock().is_some()
    }

    /// What waits, which is nothing from then on.
    pub(super) fn take(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("waiting", &self.is_waiting()).finish()
    }
}
