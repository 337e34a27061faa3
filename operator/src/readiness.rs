//! What has to be there before the API server may send pods: each part reports once, and stays reported.
//!
//! *Never:* how a part gets there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Ready when every part is; clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    parts: Arc<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    groups: AtomicBool,
    around: AtomicBool,
    certificate: AtomicBool,
    trust: AtomicBool,
}

// === impl Readiness ===

impl Readiness {
    /// The watch of `PushGroup`s has seen all of them.
    pub fn groups_are_known(&self) {
        self.parts.groups.store(true, Ordering::Relaxed);
    }

    /// What else is around pods has been seen: namespaces and their LimitRanges.
    pub fn surroundings_are_known(&self) {
        self.parts.around.store(true, Ordering::Relaxed);
    }

    /// The webhook serves with a certificate.
    pub fn certificate_is_served(&self) {
        self.parts.certificate.store(true, Ordering::Relaxed);
    }

    /// The API server has accepted the CA bundle.
    pub fn certificate_is_trusted(&self) {
        self.parts.trust.store(true, Ordering::Relaxed);
    }

    /// What is still missing, as sentences.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = [
            (&self.parts.groups, "the PushGroups are not known yet"),
            (&self.parts.around, "the namespaces and their LimitRanges are not known yet"),
            (&self.parts.certificate, "the webhook has no certificate yet"),
            (&self.parts.trust, "the webhook configuration does not have the CA bundle yet"),
        ];
        parts.iter().filter(|(part, _)| !part.load(Ordering::Relaxed)).map(|(_, sentence)| *sentence).collect()
    }
}
