//! The few fields of the Prometheus Operator's resources that we write, as typed resources.
//!
//! *Never:* `PushGroup`s, fields that we do not write.

use crds::scrape::Relabeling;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// `spec` of a ServiceMonitor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    doc = "How Prometheus scrapes what stands behind a Service."
)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceMonitorSpec {
    /// The Services.
    pub selector: LabelSelector,
    /// Their ports.
    pub endpoints: Vec<Endpoint>,
}

/// `spec` of a PodMonitor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PodMonitor",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    doc = "How Prometheus scrapes pods."
)]
#[serde(rename_all = "camelCase", default)]
pub struct PodMonitorSpec {
    /// The pods.
    pub selector: LabelSelector,
    /// Their ports.
    pub pod_metrics_endpoints: Vec<Endpoint>,
}

/// One port, in the fields both kinds share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// The port's name: the Service's, or the container's.
    pub port: String,
    /// The path.
    pub path: String,
    /// How often.
    pub interval: String,
    /// Whether pushed labels win over those of the target.
    pub honor_labels: bool,
    /// Relabelings of every sample.
    pub metric_relabelings: Vec<Relabeling>,
}
