//! `spec.sidecar`: what the injector gives to the pods of a group.
//!
//! *Never:* containers, flags, how the sidecar does what is asked.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Duration, secret::SecretReference};

/// What the injected sidecars of a group are like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.limits)", "spec.sidecar.limits: nothing acts on it yet; leave it out"),
    validation = ("!has(self.auth)", "spec.sidecar.auth: nothing acts on it yet; leave it out"),
    validation = ("!has(self.timestamps)", "spec.sidecar.timestamps: nothing acts on it yet; leave it out"),
    validation = ("!has(self.measurement)", "spec.sidecar.measurement: nothing acts on it yet; leave it out"),
    validation = ("!has(self.identityLabels)", "spec.sidecar.identityLabels: nothing acts on it yet; leave it out")
)]
pub struct Sidecar {
    /// Requests and limits of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resources_schema")]
    pub resources: Option<ResourceRequirements>,

    /// How long a pod that ends is kept for the scrape of its last push; by default the scrape interval and 15 s.
    /// `0s`: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_open: Option<Duration>,

    /// Whether the pod's grace period is raised so that `holdOpen` fits in, for pods that no Job owns. Pods of a Job
    /// always get it.
    #[serde(default)]
    pub raise_grace_period: bool,

    /// Limits of what a pod may push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// Tokens that pushes have to carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<SecretReference>,

    /// Addresses to take pushes at besides `127.0.0.1:9091` and `[::1]:9091`: `127.0.0.1:4318`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 64)))]
    #[x_kube(validation = (
        "self.all(a, a.matches('^([0-9.]+|\\\\[[0-9a-fA-F:.]+\\\\])?:[0-9]{1,5}$') \
         && 1 <= int(a.substring(a.lastIndexOf(':') + 1)) \
         && int(a.substring(a.lastIndexOf(':') + 1)) <= 65535 \
         && (a.startsWith(':') || isIP(a.substring(0, a.lastIndexOf(':')).replace('[', '').replace(']', ''))))",
        "expected addresses such as 127.0.0.1:4318 or [::1]:4318",
    ))]
    pub listen_addresses: Vec<String>,

    /// Prefix of all paths that are pushed to: `/v1/pushgateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = ("self.matches('^(/[A-Za-z0-9._~-]+)+$')", "expected a path such as /v1/pushgateway"))]
    pub route_prefix: Option<String>,

    /// What happens to pushed timestamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamps: Option<Timestamps>,

    /// The label `measurement`, as DataKit makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<Measurement>,

    /// What happens to a pushed `pod` or `namespace` that is not the pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_labels: Option<IdentityLabels>,

    /// What the sidecar writes to its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
}

/// Limits of what a pod may push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Bytes of a pushed body, before and after decompression.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub body_bytes: Option<i64>,
    /// Series in all groups together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub series: Option<i64>,
    /// Groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub groups: Option<i64>,
}

/// What happens to pushed timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Timestamps {
    /// A push that has one is refused, as a Pushgateway does.
    #[default]
    Reject,
    /// They are dropped.
    Strip,
    /// They are exposed.
    Honor,
}

/// The label `measurement`, as DataKit makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Measurement {
    /// A fixed value; else the job, else what stands before the first `_` of the metric's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the metric keeps its whole name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_metric_name: Option<bool>,
}

/// What happens to a pushed `pod` or `namespace` that is not the pod's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IdentityLabels {
    /// It is exposed as `exported_pod` or `exported_namespace`.
    #[default]
    Rename,
    /// The push is refused.
    Refuse,
    /// It is exposed as pushed.
    Allow,
}

/// What the sidecar writes to its log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Log {
    /// The least important level that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// How a line is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator of the system wants to know.
    Info,
    /// What may need a look.
    Warn,
    /// What needs one.
    Error,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

// === impl LogLevel ===

impl LogLevel {
    /// As the sidecar's flag spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

// === impl LogFormat ===

impl LogFormat {
    /// As the sidecar's flag spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        }
    }
}

/// Kubernetes' own schema says the same in five thousand characters, and allows claims, which a sidecar has no use for.
/// It takes any text as a quantity; here a wrong one would refuse every pod of the group, so it is refused first.
fn resources_schema(_: &mut SchemaGenerator) -> Schema {
    let quantities = |description: &str| {
        json_schema!({
            "type": "object",
            "description": description,
            "maxProperties": 8,
            "additionalProperties": {"x-kubernetes-int-or-string": true, "maxLength": 32},
            "x-kubernetes-validations": [{
                "rule": "self.all(name, type(self[name]) == int || isQuantity(string(self[name])))",
                "message": "expected quantities such as 100m, 1 or 64Mi as values",
            }],
        })
    };
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "limits": quantities("The most the container may use, by resource: `memory: 64Mi`."),
            "requests": quantities("What the container is given at least, by resource: `cpu: 10m`."),
        },
        "x-kubernetes-validations": [{
            "rule": "!has(self.limits) || !has(self.requests) || self.requests.all(name, !(name in self.limits) || \
                     !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name])) || \
                     !quantity(string(self.requests[name])).isGreaterThan(quantity(string(self.limits[name]))))",
            "message": "expected no request to be greater than its limit",
        }],
    })
}
