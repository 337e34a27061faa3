//! Pods that ask for a sidecar and have none, by namespace: counted when the page is asked for, from what the audit found.
//!
//! *Never:* which pods they are.

use std::sync::OnceLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::add;
use crate::audit::missing::Missing;

/// The gauge, and where it is counted. Only the replica that leads has numbers.
pub struct MissingSidecars {
    pods: Family<Namespace, Gauge>,
    found: OnceLock<Missing>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Namespace {
    namespace: String,
}

// === impl MissingSidecars ===

impl MissingSidecars {
    /// Names it.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let help = "Pods that ask for a sidecar and have none, by namespace";
        let pods = add(registry, "sidegate_operator_missing_sidecars", help, Family::default());
        Self { pods, found: OnceLock::new() }
    }

    /// Counts these from now on.
    pub fn watch(&self, found: Missing) {
        // Whoever came first is the one there is.
        let _ = self.found.set(found);
    }

    /// Counts.
    pub(super) fn refresh(&self) {
        let Some(found) = self.found.get() else { return };
        self.pods.clear();
        for (namespace, pods) in found.by_namespace() {
            let gauge = self.pods.get_or_create_owned(&Namespace { namespace });
            gauge.set(i64::try_from(pods).unwrap_or(i64::MAX));
        }
    }
}
