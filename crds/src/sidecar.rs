//! `spec.sidecar`: what the injector gives to the pods of a group.
//!
//! Of an optional field that is an enum, the schema has the description of the enum.
//!
//! Whatever the schema lets pass is a command line that the sidecar starts with; a test of the operator holds the two
//! together, by the patterns that are public here.
//!
//! *Never:* containers, flags, how the sidecar does what is asked.

mod limits;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    Duration,
    secret::{EXPECTED_SECRET_NAME, SECRET_NAME},
};
pub use limits::Limits;
use limits::{EXPECTED_SHORT, SHORT};

/// What the name of an image looks like to a kubelet: a host and its port, a path in lower case, a tag, a digest. It never
/// starts a container with another, nor the pod behind it.
pub const IMAGE_PATTERN: &str = concat!(
    r"^((\[[0-9a-fA-F:]+\]|[A-Za-z0-9]+(-+[A-Za-z0-9]+)*([.][A-Za-z0-9]+(-+[A-Za-z0-9]+)*)*)(:[0-9]+)?/)?",
    "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*",
    "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$",
);

/// An image's ID, which looks like a name and is none to a kubelet.
pub const IMAGE_ID_PATTERN: &str = "^[0-9a-f]{64}$";

/// The most characters of an image's name: a kubelet takes no longer path.
pub const IMAGE_MAX: usize = 255;

/// The least memory that a sidecar may be asked to be given: what catches a `64m` that was meant to be `64Mi`.
pub const LEAST_REQUEST: &str = "1Mi";

/// The least that a sidecar may be limited to, of memory and of ephemeral storage: it does not start with less memory, and
/// with less storage its own log would have the pod evicted.
pub const LEAST_LIMIT: &str = "16Mi";

/// What an additional address looks like, beside being one.
pub const LISTEN_ADDRESS_PATTERN: &str = r"^([0-9.]+|\[[0-9a-fA-F:.]+\])?:[0-9]{1,5}$";

/// The most additional addresses.
pub const LISTEN_ADDRESSES_MAX: usize = 8;

/// The least port to push to: those below are root's.
pub const PUSH_PORT_MIN: u16 = 1024;

/// The most characters of a route prefix.
pub const ROUTE_PREFIX_MAX: usize = 256;

/// What a route prefix looks like; besides, no segment may be `.` or `..`.
pub const ROUTE_PREFIX_PATTERN: &str = "^(/[A-Za-z0-9._~-]+)+$";

/// What a Secret's name looks like.
pub const SECRET_NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// What the injected sidecars of a group are like. A change counts for pods that are created after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// Image of the container, in place of the one that the operator was installed with. Whoever may write PushGroups
    /// can thereby have any image run in the opted-in pods of the namespace. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = IMAGE_MAX))]
    #[x_kube(validation = (
        "self.matches('^((\\\\[[0-9a-fA-F:]+\\\\]|[A-Za-z0-9]+(-+[A-Za-z0-9]+)*([.][A-Za-z0-9]+(-+[A-Za-z0-9]+)*)*)(:[0-9]+)?/)?\
         [a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*\
         (:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$') \
         && !self.matches('^[0-9a-f]{64}$')",
        "expected the name of an image, such as registry.example/sidegate:0.1.0",
    ))]
    pub image: Option<String>,

    /// Requests and limits of the container, in place of the usual ones: requests of 10m CPU and 16Mi memory and a limit
    /// of 64Mi memory; where every other container has a CPU limit, one of 100m; in a pod of class Guaranteed 100m CPU and
    /// 64Mi memory. What is not given stays, but the other side of what is: it follows where it was the same, or where the
    /// request would be greater than the limit. A pod with resources for the pod as a whole gets none of CPU and memory or,
    /// where a LimitRange bounds containers or fills something in, the least that passes. Where a container of the pod has a
    /// limit of ephemeral-storage, a request of 16Mi and a limit of three times the memory limit and 64Mi, or 64Mi where
    /// `storage` is not `Disk`; where none has, no limit of it, since that would be the whole pod's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resources_schema")]
    pub resources: Option<ResourceRequirements>,

    /// How long a pod that ends is kept running at most, so that Prometheus can scrape what was pushed last; it ends as
    /// soon as that has happened. Hours, minutes and seconds, such as `90s` or `1h30m`; `0s` is not at all. Default:
    /// `scrape.interval` and 15 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (SHORT, EXPECTED_SHORT))]
    pub hold_open: Option<Duration>,

    /// Whether the grace period of every pod is raised so that `holdOpen` fits in. Without it, that is done for the pods
    /// of Jobs only.
    #[serde(default)]
    pub raise_grace_period: bool,

    /// Where what was pushed is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// How much the containers of one pod may push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// Tokens that pushes and deletions have to carry. Without it, every container of the pod may push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<SidecarAuth>,

    /// Port to push to on the pod's loopback, `127.0.0.1` and `::1`; the variables `PUSHGATEWAY_URL` and
    /// `PUSHGATEWAY_ADDRESS` of the pod's containers say so. A pod with a container that declares this very port gets no
    /// sidecar. Default: 9091 or, where a container declares that, the first from 19092 to 19099 that none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = PUSH_PORT_MIN, max = u16::MAX))]
    #[x_kube(validation = ("self != 19091", "expected another port than 19091, which is the one that is scraped"))]
    pub push_port: Option<i32>,

    /// Addresses to take pushes at, besides `127.0.0.1` and `::1` at the port to push to: `127.0.0.1:4318`, or `:9091`
    /// for all addresses of the pod. Port 19091 is the one that is scraped. A pod with a container that declares one of
    /// their ports gets no sidecar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LISTEN_ADDRESSES_MAX), inner(length(max = 64)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(
        validation = (
            "self.all(a, a.matches('^([0-9.]+|\\\\[[0-9a-fA-F:.]+\\\\])?:[0-9]{1,5}$') \
             && 1 <= int(a.substring(a.lastIndexOf(':') + 1)) \
             && int(a.substring(a.lastIndexOf(':') + 1)) <= 65535 \
             && (a.startsWith(':') || isIP(a.substring(0, a.lastIndexOf(':')).replace('[', '').replace(']', ''))))",
            "expected addresses such as 127.0.0.1:4318 or [::1]:4318",
        ),
        validation = (
            "self.all(a, !a.endsWith(':19091'))",
            "expected another port than 19091, which is the one that is scraped",
        ),
    )]
    pub listen_addresses: Vec<String>,

    /// What stands before all paths that are pushed to: with `/v1/pushgateway`, clients push to
    /// `http://127.0.0.1:9091/v1/pushgateway/metrics/job/…`, and the variable `PUSHGATEWAY_URL` of the pod's containers
    /// says so. Prometheus scrapes `/metrics` all the same. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = ROUTE_PREFIX_MAX))]
    #[x_kube(validation = (
        "self.matches('^(/[A-Za-z0-9._~-]+)+$') && !(self + '/').matches('/[.]{1,2}/')",
        "expected a path such as /v1/pushgateway",
    ))]
    pub route_prefix: Option<String>,

    /// What happens to pushed timestamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamps: Option<Timestamps>,

    /// Gives every series a label `measurement`, as DataKit does; `{}` takes what stands before the first `_` of the
    /// metric's name. Default: no such label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<Measurement>,

    /// What happens to a pushed `pod` or `namespace` that is not the pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_labels: Option<IdentityLabels>,

    /// What the sidecar writes to its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
}

/// Where what was pushed is kept, so that a restart of the container loses nothing: `Disk` is an emptyDir of the
/// pod, `Memory` one in memory that counts as the container's, `None` is nowhere. Default: `Disk`; `Memory`, with a warning,
/// where containers have a limit of ephemeral-storage and LimitRanges leave too little of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Storage {
    /// An emptyDir of the pod.
    #[default]
    Disk,
    /// An emptyDir in memory.
    Memory,
    /// Nowhere.
    None,
}

/// Tokens that pushes and deletions have to carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SidecarAuth {
    /// Name of a Secret of this namespace. Its key `tokens` has one token a line, or the YAML of a token file, with jobs
    /// and rates. While the Secret is not there, every push is answered 503; a change counts within a minute or two.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = (SECRET_NAME, EXPECTED_SECRET_NAME))]
    pub secret_name: String,

    /// Whether reading what was pushed at the push port needs a token, too. The port that is scraped never does: it is
    /// Prometheus' and the operator's. Default: false.
    #[serde(default)]
    pub reads: bool,
}

/// What happens to a push with timestamps: `Reject` refuses it, as a Pushgateway does; `Strip` drops them; `Honor`
/// keeps them, and the monitor tells Prometheus to use them. Default: `Reject`.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// The value of the label, for all series: `batch`. Default: see the other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = ("!self.matches('[\\\\x00-\\\\x1f]')", "expected a name without control characters"))]
    pub name: Option<String>,

    /// Whether the job is the value where `name` is not given; else it is what stands before the first `_` of the
    /// metric's name. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_as_measurement: Option<bool>,

    /// Whether a metric keeps its whole name where the value is a part of it: with false, `nginx_requests` becomes
    /// `requests` with `measurement="nginx"`, and a push in which two metrics get one name that way is refused.
    /// Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_metric_name: Option<bool>,
}

/// What happens to a pushed label `pod` or `namespace` that is not the pod's own: `Rename` shows it as
/// `exported_pod` or `exported_namespace`, as Prometheus would; `Refuse` refuses the push; `Allow` shows it as it
/// is. Whatever this says, the monitor pins `namespace`. Default: `Rename`.
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

/// The least important level that is written: `debug`, `info`, `warn` or `error`. Default: `info`.
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

/// How a line is written: `logfmt`, pairs of `key=value`, or `json`, an object a line. Default: `logfmt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

// === impl Timestamps ===

impl Timestamps {
    /// As the sidecar's flag spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Strip => "strip",
            Self::Honor => "honor",
        }
    }
}

// === impl IdentityLabels ===

impl IdentityLabels {
    /// As the sidecar's flag spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
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
/// It takes any text as a quantity, and any name; here a wrong one would refuse every pod of the group, or have it wait for
/// ever behind a sidecar that does not start, so it is refused first.
fn resources_schema(_: &mut SchemaGenerator) -> Schema {
    let quantities = |description: &str, least: &str, of: &[&str]| {
        let fits = |name: &str| {
            format!(
                "(!('{name}' in self) || !isQuantity(string(self['{name}'])) || \
                 quantity(string(self['{name}'])).compareTo(quantity('{least}')) >= 0)"
            )
        };
        json_schema!({
            "type": "object",
            "description": description,
            "maxProperties": 3,
            "additionalProperties": {"x-kubernetes-int-or-string": true, "maxLength": 32},
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'])",
                    "message": "expected cpu, memory and ephemeral-storage as names",
                },
                {
                    "rule": "self.all(name, type(self[name]) == int || isQuantity(string(self[name])))",
                    "message": "expected quantities such as 100m, 1 or 64Mi as values",
                },
                {
                    "rule": "self.all(name, !string(self[name]).startsWith('-'))",
                    "message": "expected no negative quantities",
                },
                {
                    "rule": of.iter().map(|name| fits(name)).collect::<Vec<_>>().join(" && "),
                    "message": format!("expected {} of at least {least}", of.join(" and ")),
                },
            ],
        })
    };
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "limits": quantities(
                "The most the container may use, by resource: `memory: 64Mi`. Of memory and ephemeral-storage, 16Mi or more.",
                LEAST_LIMIT,
                &["memory", "ephemeral-storage"],
            ),
            "requests": quantities(
                "What the container is given at least, by resource: `cpu: 10m`. Of memory, 1Mi or more.",
                LEAST_REQUEST,
                &["memory"],
            ),
        },
        "x-kubernetes-validations": [{
            "rule": "!has(self.limits) || !has(self.requests) || ['cpu', 'memory', 'ephemeral-storage'].all(name, \
                     !(name in self.requests) || !(name in self.limits) || \
                     !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name])) || \
                     !quantity(string(self.requests[name])).isGreaterThan(quantity(string(self.limits[name]))))",
            "message": "expected no request to be greater than its limit",
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_patterns_are_those_of_the_rules() {
        let yaml = crate::custom_resource_definition_yaml().unwrap();
        let unquoted = yaml.replace("''", "'");
        for pattern in
            [IMAGE_PATTERN, IMAGE_ID_PATTERN, LISTEN_ADDRESS_PATTERN, ROUTE_PREFIX_PATTERN, SECRET_NAME_PATTERN]
        {
            // As a text of CEL.
            let rule = format!(".matches('{}')", pattern.replace('\\', "\\\\"));
            assert!(unquoted.contains(&rule), "{rule}");
        }
    }
}
