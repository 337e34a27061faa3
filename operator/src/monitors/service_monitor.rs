//! The ServiceMonitor of a group. Pure.
//!
//! *Never:* the client, PodMonitors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{
    Owner,
    api::{ServiceMonitor, ServiceMonitorSpec},
};

/// The ServiceMonitor.
#[must_use]
pub fn build(owner: &Owner<'_>) -> ServiceMonitor {
    ServiceMonitor {
        metadata: owner.monitor_metadata(),
        spec: ServiceMonitorSpec {
            selector: LabelSelector { match_labels: Some(owner.labels()), ..LabelSelector::default() },
            endpoints: vec![owner.endpoint()],
            service_discovery_role: Some(owner.scrape.service_discovery_role),
            limits: owner.limits(),
        },
    }
}
