//! `spec.scrape`: which monitor the operator makes for the sidecars of a group, and who is let through to them.
//!
//! *Never:* the monitor's own types, which are the operator's.

pub mod network_policy;
pub mod relabeling;

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{network_policy::ScrapePolicy, relabeling::Relabeling};
use crate::Duration;

/// What Prometheus and CEL both read as a duration, and no longer than a day.
const SHORT: &str = "self.matches('^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$') \
     && duration('0s') < duration(self) && duration(self) <= duration('24h')";

const SHORT_MESSAGE: &str =
    "expected hours, minutes and seconds such as 15s or 1m30s, longer than zero and at most 24h";

/// A malformed one is for the fields' own rules to tell.
const TIMEOUT: &str = "!has(self.scrapeTimeout) || !self.scrapeTimeout.matches('^([0-9]+(h|m|s|ms))+$') \
     || !self.interval.matches('^([0-9]+(h|m|s|ms))+$') || duration(self.scrapeTimeout) <= duration(self.interval)";

/// What comes after a PushGroup's own relabelings is where the target is: whoever may write that, may have Prometheus ask
/// any address in its own name.
const TARGET_STAYS: &str =
    "self.all(r, !has(r.targetLabel) || !r.targetLabel.startsWith('__') || r.targetLabel.startsWith('__tmp_'))";

const NO_LABELMAP: &str = "self.all(r, !has(r.action) || r.action.lowerAscii() != 'labelmap')";

/// How Prometheus finds and scrapes the sidecars, or the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (TIMEOUT, "expected a scrapeTimeout of at most the interval"))]
pub struct Scrape {
    /// The kind of monitor to make: `ServiceMonitor` (with a headless Service), `PodMonitor`, or `None`. Absent: a
    /// `ServiceMonitor`, of the gateway's Service where there is one, and none for a gateway that is given by URL.
    #[serde(default, skip_serializing_if = "MonitorKind::is_default")]
    pub kind: MonitorKind,

    /// How often Prometheus scrapes, such as `15s`; at most `24h`.
    #[x_kube(validation = (SHORT, SHORT_MESSAGE))]
    #[serde(default = "default_interval")]
    pub interval: Duration,

    /// How long a scrape may take, at most the interval; Prometheus' own value if absent.
    #[x_kube(validation = (SHORT, SHORT_MESSAGE))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<Duration>,

    /// Labels of the monitor, for a Prometheus that selects monitors by label: `release: kube-prometheus-stack`.
    /// `app.kubernetes.io/managed-by` and `sidegate.dev/pushgroup`, by which the operator knows its objects, cannot be
    /// overridden.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    pub labels: BTreeMap<String, String>,

    /// Relabelings of each target before it is scraped, as in a ServiceMonitor; what is scraped where cannot be changed,
    /// nor the target's `namespace`.
    #[x_kube(validation = (TARGET_STAYS, "expected no targetLabel that starts with __, but for __tmp_: a target stays where it is"))]
    #[x_kube(validation = (NO_LABELMAP, "labelmap is for metricRelabelings: it may write the labels that say where a target is"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub relabelings: Vec<Relabeling>,

    /// Relabelings of every scraped sample, as in a ServiceMonitor. They run before the one that pins `namespace`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub metric_relabelings: Vec<Relabeling>,

    /// How Prometheus finds the pods of a ServiceMonitor: by `EndpointSlice`, where the installed CRD of ServiceMonitors
    /// has that field, or by `Endpoints`, which end at 1,000 pods, for a Prometheus that may not read EndpointSlices.
    #[serde(default)]
    pub service_discovery_role: DiscoveryRole,

    /// The most samples of one scrape; with more the scrape fails. 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub sample_limit: Option<i64>,

    /// The most targets; with more, all their scrapes fail. 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub target_limit: Option<i64>,

    /// The most labels of a sample; with more the scrape fails. 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub label_limit: Option<i64>,

    /// The most characters of a label's name; with more the scrape fails. 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub label_name_length_limit: Option<i64>,

    /// The most characters of a label's value; with more the scrape fails. 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub label_value_length_limit: Option<i64>,

    /// How many targets that relabelings dropped are remembered. 0: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keep_dropped_targets: Option<i64>,

    /// The most bytes of a page after decompression, such as `10MB`; with more the scrape fails.
    #[x_kube(validation = ("self.matches('^[1-9][0-9]{0,5}((K|M|G)i?)?B$')", "expected a size such as 500KB or 10MB"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub body_size_limit: Option<String>,

    /// A NetworkPolicy for the pods of this PushGroup: these peers, and the operator, are let through to port 19091, the one
    /// that is scraped. A policy isolates the pods that it selects: whatever else has to reach them, at
    /// `sidecar.listenAddresses` too, needs a policy of its own. So this is for namespaces that deny incoming traffic
    /// already. Whether policies are heeded depends on the network plugin. Whoever may write PushGroups can thereby open
    /// that port and close the others. Default: none, and one that was made before is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<ScrapePolicy>,
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

/// By what Prometheus finds the pods behind a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiscoveryRole {
    /// EndpointSlices, as many as it takes.
    #[default]
    EndpointSlice,
    /// One Endpoints object, of which Kubernetes fills in at most 1,000 addresses.
    Endpoints,
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
            scrape_timeout: None,
            labels: BTreeMap::new(),
            relabelings: Vec::new(),
            metric_relabelings: Vec::new(),
            service_discovery_role: DiscoveryRole::default(),
            sample_limit: None,
            target_limit: None,
            label_limit: None,
            label_name_length_limit: None,
            label_value_length_limit: None,
            keep_dropped_targets: None,
            body_size_limit: None,
            network_policy: None,
        }
    }
}

fn default_interval() -> Duration {
    Duration::from_seconds(15)
}

/// The API server's own opinion of labels, so that the monitor that gets them is taken.
fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 63},
        "x-kubernetes-validations": label_rules(),
    })
}

/// The rules of a map of labels.
fn label_rules() -> Value {
    json!([
        {
            "rule": "self.all(key, !format.qualifiedName().validate(key).hasValue())",
            "message": "expected names of labels as keys, such as release or example.com/team",
        },
        {
            "rule": "self.all(key, !format.labelValue().validate(self[key]).hasValue())",
            "message": "expected values of labels: letters, digits, -, _ and ., at most 63, a letter or digit at both ends",
        },
    ])
}
