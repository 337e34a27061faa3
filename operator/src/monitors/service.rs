//! The headless Service of a group. Pure.
//!
//! It publishes pods that are not ready, which is what a pod held open for its last scrape is, and names its target port
//! by number: ports of native sidecars cannot be named everywhere yet.
//!
//! *Never:* the client, monitors.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use protocol::endpoints::{SCRAPE_PORT, SCRAPE_PORT_NAME};

use super::Owner;

/// The Service.
#[must_use]
pub fn build(owner: &Owner<'_>) -> Service {
    let port = i32::from(SCRAPE_PORT);
    Service {
        metadata: owner.metadata(std::collections::BTreeMap::new()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(owner.pod_labels()),
            ports: Some(vec![ServicePort {
                name: Some(SCRAPE_PORT_NAME.to_owned()),
                port,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::Int(port)),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
