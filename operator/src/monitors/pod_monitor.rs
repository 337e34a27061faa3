//! The PodMonitor of a group. Pure.
//!
//! *Never:* the client, ServiceMonitors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{
    Owner,
    api::{PodMonitor, PodMonitorSpec},
};

/// The PodMonitor.
#[must_use]
pub fn build(owner: &Owner<'_>) -> PodMonitor {
    PodMonitor {
        metadata: owner.monitor_metadata(),
        spec: PodMonitorSpec {
            selector: LabelSelector { match_labels: Some(owner.pod_labels()), ..LabelSelector::default() },
            pod_metrics_endpoints: vec![owner.endpoint()],
            limits: owner.limits(),
        },
    }
}
