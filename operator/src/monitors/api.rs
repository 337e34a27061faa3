//! The few fields of the Prometheus Operator's resources that we write, as typed resources.
//!
//! Of those fields, [`NEWER_FIELDS`] are not in every CRD that is installed; without them a monitor still works.
//!
//! *Never:* `PushGroup`s, fields that we do not write.

use crds::scrape::{DiscoveryRole, Relabeling};
use k8s_openapi::{api::core::v1::SecretKeySelector, apimachinery::pkg::apis::meta::v1::LabelSelector};
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Fields that older CRDs do not have, by the name they have in an error of the API server.
pub const NEWER_FIELDS: [NewerField; 2] = [NewerField::ServiceDiscoveryRole, NewerField::TrackTimestampsStaleness];

/// A field that older CRDs do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewerField {
    /// `serviceDiscoveryRole` of a ServiceMonitor.
    ServiceDiscoveryRole,
    /// `trackTimestampsStaleness` of an endpoint.
    TrackTimestampsStaleness,
}

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
    /// By what Prometheus finds the pods behind a Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_discovery_role: Option<DiscoveryRole>,
    /// Limits.
    #[serde(flatten)]
    pub limits: Limits,
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
    /// Limits.
    #[serde(flatten)]
    pub limits: Limits,
}

/// Limits of all targets of a monitor, and of what they answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// The most samples of one scrape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<i64>,
    /// The most targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_limit: Option<i64>,
    /// The most labels of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_limit: Option<i64>,
    /// The most characters of a label's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name_length_limit: Option<i64>,
    /// The most characters of a label's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_value_length_limit: Option<i64>,
    /// How many dropped targets are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_dropped_targets: Option<i64>,
    /// The most bytes of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<String>,
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
    /// How long a scrape may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<String>,
    /// Whether pushed labels win over those of the target.
    pub honor_labels: bool,
    /// Whether exposed timestamps are those of the samples.
    pub honor_timestamps: bool,
    /// Whether a series with timestamps ends as soon as it is not exposed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_timestamps_staleness: Option<bool>,
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

// === impl NewerField ===

impl NewerField {
    /// As it is spelled in a monitor.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceDiscoveryRole => "serviceDiscoveryRole",
            Self::TrackTimestampsStaleness => "trackTimestampsStaleness",
        }
    }
}

/// A monitor that can do without what its CRD does not have.
pub trait Monitor {
    /// Takes a field out.
    fn leave_out(&mut self, field: NewerField);
}

// === impl ServiceMonitor ===

impl Monitor for ServiceMonitor {
    fn leave_out(&mut self, field: NewerField) {
        match field {
            NewerField::ServiceDiscoveryRole => self.spec.service_discovery_role = None,
            NewerField::TrackTimestampsStaleness => {
                self.spec.endpoints.iter_mut().for_each(|endpoint| endpoint.track_timestamps_staleness = None);
            }
        }
    }
}

// === impl PodMonitor ===

impl Monitor for PodMonitor {
    fn leave_out(&mut self, field: NewerField) {
        match field {
            NewerField::ServiceDiscoveryRole => {}
            NewerField::TrackTimestampsStaleness => {
                let endpoints = &mut self.spec.pod_metrics_endpoints;
                endpoints.iter_mut().for_each(|endpoint| endpoint.track_timestamps_staleness = None);
            }
        }
    }
}
