//! Prometheus and PrometheusAgent: the few of their fields that say which monitors they take, and what they do to what
//! they scrape.
//!
//! *Never:* `PushGroup`s, what follows from a field.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, Resource as _, ResourceExt as _};
use serde::{Deserialize, Serialize};

/// `spec` of a Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "Prometheus",
    plural = "prometheuses",
    namespaced,
    schema = "disabled",
    doc = "A Prometheus of the Prometheus Operator."
)]
pub struct PrometheusSpec {
    /// What both kinds have.
    #[serde(flatten)]
    pub common: Common,
}

/// `spec` of a PrometheusAgent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1alpha1",
    kind = "PrometheusAgent",
    plural = "prometheusagents",
    namespaced,
    schema = "disabled",
    doc = "A Prometheus of the Prometheus Operator that forwards what it scrapes."
)]
pub struct PrometheusAgentSpec {
    /// What both kinds have.
    #[serde(flatten)]
    pub common: Common,
}

/// What both kinds have. A selector that is absent selects nothing, one of namespaces the object's own; an empty one
/// selects all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Common {
    /// ServiceMonitors, by their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_monitor_selector: Option<LabelSelector>,
    /// Namespaces of ServiceMonitors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_monitor_namespace_selector: Option<LabelSelector>,
    /// PodMonitors, by their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_monitor_selector: Option<LabelSelector>,
    /// Namespaces of PodMonitors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_monitor_namespace_selector: Option<LabelSelector>,
    /// Whether `honorLabels` of monitors is ignored.
    pub override_honor_labels: bool,
    /// Whether `honorTimestamps` of monitors is ignored.
    pub override_honor_timestamps: bool,
    /// A label that gets the monitor's namespace as its value, whatever is scraped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_namespace_label: Option<String>,
    /// Monitors that do not get it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_from_enforcement: Vec<Excluded>,
}

/// A monitor, or all monitors of a kind in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Excluded {
    /// The API group; that of monitors if empty.
    pub group: String,
    /// The kind, as the API server has it in paths.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
    /// The name; empty for all.
    pub name: String,
}

/// A Prometheus of either kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Scraper {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it takes.
    pub common: Common,
}

// === impl Scraper ===

impl From<Prometheus> for Scraper {
    fn from(object: Prometheus) -> Self {
        let kind = Prometheus::kind(&()).into_owned();
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            common: object.spec.common,
        }
    }
}

impl From<PrometheusAgent> for Scraper {
    fn from(object: PrometheusAgent) -> Self {
        let kind = PrometheusAgent::kind(&()).into_owned();
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            common: object.spec.common,
        }
    }
}
