//! The few fields of the Prometheus Operator's resources that we write, as typed resources.
//!
//! *Never:* `PushGroup`s, fields that we do not write.

use crds::scrape::Relabeling;
use k8s_openapi::{api::core::v1::SecretKeySelector, apimachinery::pkg::apis::meta::v1::LabelSelector};
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
    /// Relabelings of every target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabelings: Vec<Relabeling>,
    /// Relabelings of every sample.
    pub metric_relabelings: Vec<Relabeling>,
    /// User and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
}

/// Where user and password are, in the monitor's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BasicAuth {
    /// The user.
    pub username: SecretKeySelector,
    /// The password.
    pub password: SecretKeySelector,
}

/// Where a bearer token is, in the monitor's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    /// The token.
    pub credentials: SecretKeySelector,
}
