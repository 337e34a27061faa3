//! `spec.scrape`: which monitor the operator makes for the sidecars of a group.
//!
//! *Never:* the monitor's own types, which are the operator's.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// How Prometheus finds and scrapes the sidecars, or the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scrape {
    /// The kind of monitor to make: `ServiceMonitor` (with a headless Service), `PodMonitor`, or `None`. Absent: a
    /// `ServiceMonitor`, of the gateway's Service where there is one, and none for a gateway that is given by URL.
    #[serde(default, skip_serializing_if = "MonitorKind::is_default")]
    pub kind: MonitorKind,

    /// How often Prometheus scrapes, such as `15s`.
    #[x_kube(validation = ("!self.matches('^(0+[a-z]+)+$')", "expected an interval longer than zero"))]
    #[serde(default = "default_interval")]
    pub interval: Duration,

    /// Labels of the monitor, for a Prometheus that selects monitors by label: `release: kube-prometheus-stack`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,

    /// Relabelings of every scraped sample, as in a ServiceMonitor. They run before the one that pins `namespace`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub metric_relabelings: Vec<Relabeling>,
}

/// The monitor to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MonitorKind {
    /// A headless Service and a ServiceMonitor; for a gateway, a ServiceMonitor of its own Service.
    #[default]
    ServiceMonitor,
    /// A PodMonitor.
    PodMonitor,
    /// None: somebody else scrapes the sidecars, or the gateway.
    None,
}

/// A relabeling of the Prometheus Operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Relabeling {
    /// Labels whose values, joined, are matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub source_labels: Vec<String>,
    /// What joins the values; `;` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// The label that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// The regular expression; `(.*)` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Modulus of the hash of the values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub modulus: Option<i64>,
    /// What is written; `$1` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What is done, such as `replace`, `keep`, `drop`, `labeldrop`; `replace` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

// === impl MonitorKind ===

impl MonitorKind {
    /// Whether it is what an absent kind stands for. Such a one is not written, and no default is in the schema: the API
    /// server would fill it in where a gateway has no Service.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Scrape ===

impl Default for Scrape {
    fn default() -> Self {
        Self {
            kind: MonitorKind::default(),
            interval: default_interval(),
            labels: BTreeMap::new(),
            metric_relabelings: Vec::new(),
        }
    }
}

fn default_interval() -> Duration {
    Duration::from_seconds(15)
}
