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

    /// What holds and what does not, one of each type. `Ready` is false while `MonitorsSynced`, `PodsAssigned`,
    /// `GatewayReachable` or `Collected` is, with the reason and message of the first of them; one that is unknown does not
    /// stand in its way, and the others say nothing about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Sidecars that run in pods of this PushGroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecars: Option<i64>,

    /// Of the sidecars, those that run as an older version of this PushGroup, or of the operator, wanted them: a pod keeps
    /// the one that it was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated_sidecars: Option<i64>,

    /// Pushed groups that were there at the last collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<i64>,

    /// Pushed groups that were stale at the last collection and are still there: with `dryRun`, or where a sidecar could
    /// not be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_groups: Option<i64>,

    /// Pushed groups that were removed since this object was made. One whose removal was never answered for, or of the last moment before the operator was killed, is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_total: Option<i64>,

    /// Pushed groups that no scrape had seen when their pod ended, since this object was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_total: Option<i64>,

    /// When the last pod ended that is counted in `unseenTotal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_unseen_time: Option<Time>,

    /// When the pushed groups were last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_collection_time: Option<Time>,

    /// When something was last pushed, as far as collection has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_push_time: Option<Time>,
}

/// Writes words down, each with what it means, and makes a table of all.
macro_rules! words {
    ($($(#[doc = $line:literal])+ pub const $name:ident: &str = $word:literal;)+) => {
        $($(#[doc = $line])+ pub const $name: &str = $word;)+

        /// All of them, each with what it means.
        pub const ALL: &[(&str, &str)] = &[$(($word, concat!($($line),+))),+];
    };
}

/// Types of conditions.
pub mod condition {
    words! {
        /// The summary: none of `MonitorsSynced`, `PodsAssigned`, `GatewayReachable` and `Collected` is false; if one is, its
        /// reason and message are here, too. One that is unknown yet does not stand in the way, and the other conditions do not
        /// count.
        pub const READY: &str = "Ready";
        /// The Service, the monitor, the NetworkPolicy and the ConfigMap `sidegate-trust` are as they should be.
        pub const MONITORS_SYNCED: &str = "MonitorsSynced";
        /// Some Prometheus takes the monitor, as far as Prometheus and PrometheusAgent objects tell. Not there where there is to be
        /// no monitor.
        pub const SELECTED_BY_PROMETHEUS: &str = "SelectedByPrometheus";
        /// A Prometheus that takes the monitor changes what was pushed: labels, or timestamps. Not there where there is to be no
        /// monitor.
        pub const HONOR_LABELS_OVERRIDDEN: &str = "HonorLabelsOverridden";
        /// Every injected pod that the selector matches has the label that makes it a member, also those that were there before
        /// the PushGroup.
        pub const PODS_ASSIGNED: &str = "PodsAssigned";
        /// Every pod that asks for a sidecar of this PushGroup has one.
        pub const PODS_INJECTED: &str = "PodsInjected";
        /// Older PushGroups have pods that the selector matches, too, or others of the namespace name the same gateway. There only
        /// while it is so.
        pub const OVERLAPPING: &str = "Overlapping";
        /// Every sidecar, or the gateway, could be asked at the last look, and every stale group was removed. What a look has found
        /// has the `observedGeneration` of the spec that was looked by, here, in `GatewayReachable` and in `Ready`.
        pub const COLLECTED: &str = "Collected";
        /// No pod has ended within the last hour with pushed groups that no scrape had seen.
        pub const ALL_SEEN: &str = "AllSeen";
        /// The gateway of `spec.gateway` could be read at the last look.
        pub const GATEWAY_REACHABLE: &str = "GatewayReachable";
    }
}

/// Reasons of conditions.
pub mod reason {
    words! {
        /// None of the conditions that count is false.
        pub const AS_ASKED: &str = "AsAsked";
        /// Objects were applied.
        pub const APPLIED: &str = "Applied";
        /// `scrape.kind` is `None`: no monitor is asked for.
        pub const NOT_WANTED: &str = "NotWanted";
        /// The API server does not know the monitoring kinds: the Prometheus Operator's CRDs are missing.
        pub const MONITORING_API_ABSENT: &str = "MonitoringApiAbsent";
        /// An object that the operator would make exists and is not its own; it is left alone.
        pub const FOREIGN_OBJECT: &str = "ForeignObject";
        /// The API server refused an object.
        pub const APPLY_FAILED: &str = "ApplyFailed";
        /// No pod that the selector matches is without a PushGroup.
        pub const ALL_ASSIGNED: &str = "AllAssigned";
        /// The operator may not patch pods, and so cannot label those that were there before the group.
        pub const PATCH_FORBIDDEN: &str = "PatchForbidden";
        /// The API server refused the label for another reason.
        pub const PATCH_REFUSED: &str = "PatchRefused";
        /// An older PushGroup has pods that the selector matches, too, or has the monitor of the same gateway.
        pub const OLDER_PUSH_GROUP: &str = "OlderPushGroup";
        /// Every pod that asks for a sidecar has one.
        pub const ALL_INJECTED: &str = "AllInjected";
        /// Pods that ask for a sidecar have none: the webhook did not answer when they were made.
        pub const SIDECARS_MISSING: &str = "SidecarsMissing";
        /// The last pass looked at every sidecar, or at the gateway.
        pub const PASS_COMPLETE: &str = "PassComplete";
        /// The last pass looked at every sidecar, or at the gateway, and removes the rest at the next looks.
        pub const MORE_TO_DO: &str = "MoreToDo";
        /// Nothing is removed: the API server has not told of PushGroups for too long.
        pub const NOT_HEARD: &str = "NotHeard";
        /// No pass has ended yet.
        pub const NO_PASS_YET: &str = "NoPassYet";
        /// Some sidecars, or the gateway, did not answer, or did not delete.
        pub const PASS_INCOMPLETE: &str = "PassIncomplete";
        /// Nothing is collected: neither `staleAfter` nor `rules`.
        pub const NO_LIMIT: &str = "NoLimit";
        /// A regular expression of a rule does not compile.
        pub const BAD_RULE: &str = "BadRule";
        /// No pod has ended of late with unseen groups.
        pub const NOTHING_UNSEEN: &str = "NothingUnseen";
        /// A pod has ended with groups that no scrape had seen.
        pub const GROUPS_UNSEEN: &str = "GroupsUnseen";
        /// Other PushGroups of the namespace name the same gateway.
        pub const SHARED_GATEWAY: &str = "SharedGateway";
        /// The gateway could be read.
        pub const GATEWAY_REACHED: &str = "Reached";
        /// There is no connection to the gateway, no answer in time, or no trust in its certificate.
        pub const GATEWAY_UNREACHABLE: &str = "Unreachable";
        /// What answers is no Pushgateway.
        pub const NO_PUSHGATEWAY: &str = "NoPushgateway";
        /// The gateway does not accept the credentials, or wants some.
        pub const UNAUTHORIZED: &str = "Unauthorized";
        /// `spec.gateway.url` cannot be used.
        pub const BAD_ADDRESS: &str = "BadAddress";
        /// The Secret of `spec.gateway.auth` is not there.
        pub const SECRET_MISSING: &str = "SecretMissing";
        /// The operator may not read the Secret of `spec.gateway.auth`; the message has the rights to copy.
        pub const SECRET_FORBIDDEN: &str = "SecretForbidden";
        /// The keys of the Secret of `spec.gateway.auth` do not fit.
        pub const SECRET_UNFIT: &str = "SecretUnfit";
        /// The gateway is given by URL: only the user can tell Prometheus.
        pub const GIVEN_BY_URL: &str = "GivenByUrl";
        /// The Service of `spec.gateway.service` does not fit a ServiceMonitor, or the Secret of `spec.gateway.auth` cannot be read
        /// or does not fit. A monitor that was made before stands.
        pub const SERVICE_UNFIT: &str = "ServiceUnfit";
        /// There are more pods than Prometheus finds by Endpoints.
        pub const TOO_MANY_MEMBERS: &str = "TooManyMembers";
        /// Some Prometheus takes the monitor.
        pub const SELECTED: &str = "Selected";
        /// No Prometheus takes the monitor.
        pub const NOT_SELECTED: &str = "NotSelected";
        /// There is no Prometheus object.
        pub const NO_PROMETHEUS: &str = "NoPrometheus";
        /// There is no monitor of the operator's that could be taken.
        pub const NO_MONITOR: &str = "NoMonitor";
        /// The API server does not know Prometheus objects.
        pub const PROMETHEUS_API_ABSENT: &str = "PrometheusApiAbsent";
        /// The operator may not look at Prometheus objects, or at namespaces.
        pub const PROMETHEUS_NOT_READABLE: &str = "PrometheusNotReadable";
        /// Prometheus objects, or the pods without a sidecar, were not looked at yet.
        pub const NOT_LOOKED_AT_YET: &str = "NotLookedAtYet";
        /// What was pushed arrives as pushed.
        pub const AS_PUSHED: &str = "AsPushed";
        /// A Prometheus has `overrideHonorLabels`.
        pub const OVERRIDE_HONOR_LABELS: &str = "OverrideHonorLabels";
        /// A Prometheus has `overrideHonorTimestamps`.
        pub const OVERRIDE_HONOR_TIMESTAMPS: &str = "OverrideHonorTimestamps";
        /// A Prometheus has an `enforcedNamespaceLabel` other than `namespace` and does not exclude the monitor.
        pub const ENFORCED_NAMESPACE_LABEL: &str = "EnforcedNamespaceLabel";
    }
}

/// The conditions that make `Ready` false, in the order in which they do.
pub const READY_BY: [&str; 4] =
    [condition::MONITORS_SYNCED, condition::PODS_ASSIGNED, condition::GATEWAY_REACHABLE, condition::COLLECTED];

/// The reasons of each condition, by its status. `Ready` has those of [`READY_BY`] besides, where they are false.
pub const REASONS: &[(&str, &str, &[&str])] = &[
    (condition::READY, "True", &[reason::AS_ASKED]),
    (
        condition::MONITORS_SYNCED,
        "True",
        &[reason::APPLIED, reason::NOT_WANTED, reason::GIVEN_BY_URL, reason::OLDER_PUSH_GROUP],
    ),
    (
        condition::MONITORS_SYNCED,
        "False",
        &[
            reason::MONITORING_API_ABSENT,
            reason::FOREIGN_OBJECT,
            reason::SERVICE_UNFIT,
            reason::TOO_MANY_MEMBERS,
            reason::APPLY_FAILED,
        ],
    ),
    (condition::PODS_ASSIGNED, "True", &[reason::ALL_ASSIGNED]),
    (condition::PODS_ASSIGNED, "False", &[reason::PATCH_FORBIDDEN, reason::PATCH_REFUSED]),
    (condition::GATEWAY_REACHABLE, "True", &[reason::GATEWAY_REACHED]),
    (
        condition::GATEWAY_REACHABLE,
        "False",
        &[
            reason::GATEWAY_UNREACHABLE,
            reason::NO_PUSHGATEWAY,
            reason::UNAUTHORIZED,
            reason::BAD_ADDRESS,
            reason::SECRET_MISSING,
            reason::SECRET_FORBIDDEN,
            reason::SECRET_UNFIT,
        ],
    ),
    (condition::GATEWAY_REACHABLE, "Unknown", &[reason::NO_PASS_YET]),
    (condition::COLLECTED, "True", &[reason::PASS_COMPLETE, reason::MORE_TO_DO, reason::NO_LIMIT]),
    (condition::COLLECTED, "False", &[reason::PASS_INCOMPLETE, reason::NOT_HEARD, reason::BAD_RULE]),
    (condition::COLLECTED, "Unknown", &[reason::NO_PASS_YET]),
    (condition::OVERLAPPING, "True", &[reason::OLDER_PUSH_GROUP, reason::SHARED_GATEWAY]),
    (condition::PODS_INJECTED, "True", &[reason::ALL_INJECTED]),
    (condition::PODS_INJECTED, "False", &[reason::SIDECARS_MISSING]),
    (condition::PODS_INJECTED, "Unknown", &[reason::NOT_LOOKED_AT_YET]),
    (condition::ALL_SEEN, "True", &[reason::NOTHING_UNSEEN]),
    (condition::ALL_SEEN, "False", &[reason::GROUPS_UNSEEN]),
    (condition::SELECTED_BY_PROMETHEUS, "True", &[reason::SELECTED]),
    (condition::SELECTED_BY_PROMETHEUS, "False", &[reason::NOT_SELECTED, reason::NO_PROMETHEUS]),
    (
        condition::SELECTED_BY_PROMETHEUS,
        "Unknown",
        &[
            reason::NO_MONITOR,
            reason::PROMETHEUS_API_ABSENT,
            reason::PROMETHEUS_NOT_READABLE,
            reason::NOT_LOOKED_AT_YET,
        ],
    ),
    (
        condition::HONOR_LABELS_OVERRIDDEN,
        "True",
        &[reason::OVERRIDE_HONOR_LABELS, reason::OVERRIDE_HONOR_TIMESTAMPS, reason::ENFORCED_NAMESPACE_LABEL],
    ),
    (condition::HONOR_LABELS_OVERRIDDEN, "False", &[reason::AS_PUSHED]),
    (condition::HONOR_LABELS_OVERRIDDEN, "Unknown", &[reason::NOT_SELECTED, reason::NOT_LOOKED_AT_YET]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_and_reason_has_its_place_in_the_table() {
        for (condition, _) in condition::ALL {
            assert!(REASONS.iter().any(|(known, ..)| known == condition), "{condition}");
        }
        for (reason, _) in reason::ALL {
            assert!(REASONS.iter().any(|(.., reasons)| reasons.contains(reason)), "{reason}");
        }
    }
}
