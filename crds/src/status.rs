//! `status`: what the operator saw and did; condition types and reasons.
//!
//! *Never:* how conditions and counts are computed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushGroupStatus {
    /// The generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What it takes care of: `Pod` stands for sidecars in pods, `Gateway` for a Pushgateway that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,

    /// What holds and what does not, one of each type. `Ready` sums up the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Sidecars that run in pods of this PushGroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecars: Option<i64>,

    /// Pushed groups that were there at the last collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<i64>,

    /// Pushed groups that were stale at the last collection and are still there: with `dryRun`, or where a sidecar could
    /// not be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_groups: Option<i64>,

    /// Pushed groups that were removed since this object was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_total: Option<i64>,

    /// Pushed groups that no scrape had seen when their pod ended, since this object was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_total: Option<i64>,

    /// Pushes that the gateway refused, since this object was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_total: Option<i64>,

    /// When the pushed groups were last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_collection_time: Option<Time>,

    /// When something was last pushed, as far as collection has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_push_time: Option<Time>,
}

/// Types of conditions.
pub mod condition {
    /// The summary: everything this object asks for is in place.
    pub const READY: &str = "Ready";
    /// The Service and the monitor are as they should be.
    pub const MONITORS_SYNCED: &str = "MonitorsSynced";
    /// Every pod that the selector matches has the label that makes it a member.
    pub const PODS_ASSIGNED: &str = "PodsAssigned";
    /// Older PushGroups have pods that the selector matches, too; there only while it is so.
    pub const OVERLAPPING: &str = "Overlapping";
    /// Every sidecar could be asked, and every stale group removed.
    pub const COLLECTED: &str = "Collected";
}

/// Reasons of conditions.
pub mod reason {
    /// All is as asked for.
    pub const AS_ASKED: &str = "AsAsked";
    /// Objects were applied.
    pub const APPLIED: &str = "Applied";
    /// `scrape.kind` is `None`.
    pub const NOT_WANTED: &str = "NotWanted";
    /// The API server does not know the monitoring kinds: the Prometheus Operator's CRDs are missing.
    pub const MONITORING_API_ABSENT: &str = "MonitoringApiAbsent";
    /// An object of that name exists and is not ours.
    pub const FOREIGN_OBJECT: &str = "ForeignObject";
    /// The API server refused an object.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// No pod that the selector matches is without its label.
    pub const ALL_ASSIGNED: &str = "AllAssigned";
    /// The operator may not patch pods, and so cannot label those that were there before the group.
    pub const PATCH_FORBIDDEN: &str = "PatchForbidden";
    /// The API server refused the label for another reason.
    pub const PATCH_REFUSED: &str = "PatchRefused";
    /// An older PushGroup has pods that the selector matches, too.
    pub const OLDER_PUSH_GROUP: &str = "OlderPushGroup";
    /// The last pass looked at every sidecar.
    pub const PASS_COMPLETE: &str = "PassComplete";
    /// No pass has ended yet.
    pub const NO_PASS_YET: &str = "NoPassYet";
    /// Some sidecars did not answer, or did not delete.
    pub const PASS_INCOMPLETE: &str = "PassIncomplete";
    /// Nothing is collected: neither `staleAfter` nor `rules`.
    pub const NO_LIMIT: &str = "NoLimit";
    /// A regular expression of a rule does not compile.
    pub const BAD_RULE: &str = "BadRule";
    /// Collecting an existing gateway is not built yet.
    pub const GATEWAY_NOT_BUILT: &str = "GatewayNotBuilt";
}
