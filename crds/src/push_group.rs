//! `PushGroup`: which pods belong together, how old their pushed groups may get, and who scrapes them.
//!
//! Limits: the name is a DNS label of at most 50 characters, so that every object made from it has a legal name too.
//! Fields that nothing acts on yet are refused by [`NOT_YET`], never silently ignored.
//!
//! *Never:* controllers, how a rule is carried out.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    Duration, PushGroupStatus,
    scrape::{MonitorKind, Scrape},
    secret::SecretReference,
    sidecar::Sidecar,
};

/// The most characters a `PushGroup`'s name may have.
pub const NAME_MAX: usize = 50;

/// What a `gateway` beside a `selector` is answered with.
pub const NOT_YET: &str = "spec.gateway cannot stand beside spec.selector yet: forwarding from sidecars to a gateway \
                           is not built; give one of the two";

/// A host that is a name or an address, a port, and a path of what may stand in one; no user, which would be a secret in
/// the open, no query, no fragment, and no step up.
const GATEWAY_URL: &str = "self.matches('^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])\
     (:[0-9]{1,5})?(/[-A-Za-z0-9._~!$&()*+,;=:%]*)*$') && !self.matches('/[.][.]?(/|$)') && isURL(self) \
     && (url(self).getPort() == '' || (1 <= int(url(self).getPort()) && int(url(self).getPort()) <= 65535))";

/// A zero is not "off" here: everything would be stale at once.
const ABOVE_ZERO: &str = "self.matches('[1-9]')";

const ABOVE_ZERO_MESSAGE: &str = "expected a length above zero; leave it out for none";

const GATEWAY_URL_MESSAGE: &str = "expected an http or https URL of a host, with a port and a prefix where needed, and \
     without user, query or fragment: https://pushgateway.example:9091/prefix";

/// What is asked for.
///
/// A PushGroup has a `selector`, for sidecars in pods, or a `gateway`, for a Pushgateway that exists already. With no
/// other field, pods that the selector matches are scraped every 15 s and nothing is ever removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "sidegate.dev",
    version = "v1alpha1",
    kind = "PushGroup",
    namespaced,
    shortname = "pg",
    category = "sidegate",
    status = "PushGroupStatus",
    doc = "Says what becomes of the metrics that the pods of a namespace push: how old a pushed group may get, who \
           scrapes it, and what the sidecars are like that take the pushes.",
    derive = "PartialEq",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Sidecars", type_ = "integer", json_path = ".status.sidecars"),
    printcolumn(name = "Groups", type_ = "integer", json_path = ".status.groups"),
    printcolumn(name = "Stale", type_ = "integer", json_path = ".status.staleGroups"),
    printcolumn(name = "Last push", type_ = "date", json_path = ".status.newestPushTime"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Stale after", type_ = "string", json_path = ".spec.staleAfter", priority = 1),
    printcolumn(name = "Outdated", type_ = "integer", json_path = ".status.outdatedSidecars", priority = 1),
    printcolumn(name = "Collected", type_ = "integer", json_path = ".status.collectedTotal", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    validation = (
        "size(self.metadata.name) <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name: expected a DNS label that starts with a letter and has at most 50 characters",
    ),
    validation = (
        "!(self.metadata.name in ['true', 'false'])",
        "metadata.name: true and false are values of the annotation sidegate.dev/inject; choose another name",
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "has(self.selector) || has(self.gateway)",
        "spec.selector: expected a selector of pods, or spec.gateway, found neither",
    ),
    validation = ("!(has(self.selector) && has(self.gateway))", NOT_YET),
    validation = (
        "has(self.selector) || !has(self.gateway) || !has(self.scrape) || !has(self.scrape.kind) \
         || self.scrape.kind != 'PodMonitor'",
        "spec.scrape.kind: a gateway has no pods of ours to monitor, expected ServiceMonitor or None, found PodMonitor",
    ),
    validation = (
        "has(self.selector) || !has(self.gateway) || !has(self.gateway.url) || !has(self.scrape) \
         || !has(self.scrape.kind) || self.scrape.kind != 'ServiceMonitor'",
        "spec.scrape.kind: a ServiceMonitor needs a Service, expected spec.gateway.service, found spec.gateway.url; \
         leave the kind out and tell Prometheus yourself, with honor_labels",
    ),
    validation = (
        "has(self.selector) || !has(self.gateway) || !has(self.scrape) || !has(self.scrape.networkPolicy)",
        "spec.scrape.networkPolicy: a gateway has no pods of ours to select, expected none",
    )
)]
pub struct PushGroupSpec {
    /// Which of the opted-in pods of this namespace belong to this PushGroup: `matchLabels: {app: etl}`; `{}` is all of
    /// them. Where several match a pod, the oldest has it. A pod that names a PushGroup in its annotation
    /// `sidegate.dev/inject` belongs to that one, whatever any selector says. The label `sidegate.dev/pushgroup` of a
    /// pod tells which it is, and stays: a pod keeps its PushGroup when a selector is changed, until it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,

    /// A Pushgateway that exists already, whose groups are collected by the rules of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,

    /// How old a pushed group may get before it is removed, counted from its last accepted push: `90s`, `1h30m`, `7d`. A
    /// group of which no push was ever accepted counts from the last that was refused. Default: nothing is removed,
    /// except by a rule.
    #[x_kube(validation = (ABOVE_ZERO, ABOVE_ZERO_MESSAGE))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after: Option<Duration>,

    /// Exceptions from `staleAfter`, at most 32: the first rule that matches a pushed group decides how old it may get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub rules: Vec<StalenessRule>,

    /// Whether stale groups are only counted, in `status.staleGroups`, and none is removed. Default: false.
    #[serde(default)]
    pub dry_run: bool,

    /// How Prometheus finds and scrapes the sidecars, or the gateway.
    #[serde(default)]
    pub scrape: Scrape,

    /// What the injected sidecars of these pods are like. A change counts for pods that are created after it;
    /// `status.outdatedSidecars` counts the others.
    #[serde(default)]
    pub sidecar: Sidecar,
}

/// Pushed groups by their labels, and how old they may get.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StalenessRule {
    /// Regular expressions (RE2) by label of the grouping key, 1 to 8: `{job: "backup-.*", instance: "db[0-9]+"}`. Each
    /// has to match the whole value; a label that the group does not have counts as empty. `\w`, `\d`, `\s` and `\b`
    /// go by Unicode, not by ASCII alone.
    #[serde(rename = "match")]
    #[schemars(schema_with = "expressions_schema")]
    #[x_kube(validation = (
        "self.all(label, label.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,127}$') && !label.startsWith('__'))",
        "expected label names as keys: a letter or _, then letters, digits and _, and no __ at the start",
    ))]
    #[x_kube(validation = (
        "self.all(label, type(''.matches(self[label])) == bool)",
        "expected regular expressions as values",
    ))]
    pub matches: BTreeMap<String, String>,

    /// How old such a group may get: `90s`, `25h`, `7d`. Default: it is never removed.
    #[x_kube(validation = (ABOVE_ZERO, ABOVE_ZERO_MESSAGE))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after: Option<Duration>,
}

/// A Pushgateway that exists already, by Service or by URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.service) != has(self.url)",
    "expected either service or url, found both or neither",
))]
pub struct Gateway {
    /// A Service of this namespace, asked over plain HTTP without prefix; for others give the url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<GatewayService>,

    /// Where the gateway answers: `https://pushgateway.example:9091/prefix`, without `/metrics`. Redirects are not
    /// followed. How far its clock is off is measured by the `Date` of its answers: behind a proxy that sets one, that is
    /// the proxy's. Whoever may write PushGroups can thereby have the operator ask, and delete, at any address that it
    /// reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = (GATEWAY_URL, GATEWAY_URL_MESSAGE))]
    pub url: Option<String>,

    /// What the operator shows to the gateway: a Secret with the key `token`, or with `username` and `password`, and
    /// where wanted with `ca.crt`, which is what the certificate of a gateway is then verified by. The operator may read
    /// it only where you grant it that one Secret; until then the condition `GatewayReachable` has the Role to copy.
    /// Whoever may write PushGroups here says where it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<SecretReference>,
}

/// A Service and its port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayService {
    /// The Service's name.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = (
        "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "expected the name of a Service: small letters, digits and -, a letter first",
    ))]
    pub name: String,

    /// The Service's port.
    #[serde(default = "default_gateway_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

// === impl PushGroup ===

impl PushGroup {
    /// Whether it was deleted and only waits for whoever has a finalizer on it: nothing is done by what it says.
    #[must_use]
    pub fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

// === impl PushGroupSpec ===

impl PushGroupSpec {
    /// The kind of monitor that is wanted, whether it is written down or not.
    #[must_use]
    pub fn monitor_kind(&self) -> MonitorKind {
        let by_url = self.gateway.as_ref().is_some_and(|gateway| gateway.url.is_some());
        if self.selector.is_none() && by_url { MonitorKind::None } else { self.scrape.kind }
    }
}

fn default_gateway_port() -> i32 {
    9091
}

/// The limits are what lets the API server estimate the rules of the field.
fn expressions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 8,
        "additionalProperties": {"type": "string", "maxLength": 256},
    })
}
