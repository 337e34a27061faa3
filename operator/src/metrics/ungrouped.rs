//! Injected pods that no `PushGroup` takes care of, by namespace: counted when the page is asked for, from what is
//! watched anyway.
//!
//! *Never:* which pods they are.

use std::sync::OnceLock;

use crds::PushGroup;
use k8s_openapi::api::core::v1::Pod;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::add;
use crate::{cache::Cache, controller::ungrouped};

/// The gauges, and where they are counted. Every replica watches pods, and has the same numbers.
pub struct UngroupedPods {
    unassigned: Family<Namespace, Gauge>,
    orphaned: Family<Namespace, Gauge>,
    watched: OnceLock<(Cache<Pod>, Cache<PushGroup>)>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Namespace {
    namespace: String,
}

// === impl UngroupedPods ===

impl UngroupedPods {
    /// Names them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            unassigned: add(
                registry,
                "sidegate_operator_unassigned_pods",
                "Injected pods that belong to no PushGroup, by namespace",
                Family::default(),
            ),
            orphaned: add(
                registry,
                "sidegate_operator_orphaned_pods",
                "Injected pods whose label names a PushGroup that does not exist or has a gateway, by namespace",
                Family::default(),
            ),
            watched: OnceLock::new(),
        }
    }

    /// Counts these from now on.
    pub fn watch(&self, pods: Cache<Pod>, groups: Cache<PushGroup>) {
        // Whoever came first is the one there is.
        let _ = self.watched.set((pods, groups));
    }

    /// Counts.
    pub(super) fn refresh(&self) {
        let Some((pods, groups)) = self.watched.get() else { return };
        if !pods.is_known() || !groups.is_known() {
            return;
        }
        self.unassigned.clear();
        self.orphaned.clear();
        for (namespace, count) in ungrouped::count(&pods.all(), &groups.all()) {
            for (family, pods) in [(&self.unassigned, count.unassigned), (&self.orphaned, count.orphaned)] {
                if 0 < pods {
                    let gauge = family.get_or_create_owned(&Namespace { namespace: namespace.clone() });
                    gauge.set(i64::try_from(pods).unwrap_or(i64::MAX));
                }
            }
        }
    }
}
