//! How long ago the API server last told of `PushGroup`s: looked up when the page is asked for.
//!
//! *Never:* what is not done meanwhile.

use std::sync::{OnceLock, atomic::AtomicU64};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use super::add;
use crate::hearing::Hearing;

/// The gauge, and where it is looked up. Every replica watches groups, and has a number of its own.
pub struct Silence {
    seconds: Gauge<f64, AtomicU64>,
    hearing: OnceLock<Hearing>,
}

// === impl Silence ===

impl Silence {
    /// Names it.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let help = "How long ago the API server last told of PushGroups; from 45 on no stale group is removed";
        let seconds = add(registry, "sidegate_operator_pushgroups_silence_seconds", help, Gauge::default());
        Self { seconds, hearing: OnceLock::new() }
    }

    /// Looks it up here from now on.
    pub fn watch(&self, hearing: Hearing) {
        // Whoever came first is the one there is.
        let _ = self.hearing.set(hearing);
    }

    /// Looks it up.
    pub(super) fn refresh(&self) {
        if let Some(hearing) = self.hearing.get() {
            self.seconds.set(hearing.silence().as_secs_f64());
        }
    }
}
