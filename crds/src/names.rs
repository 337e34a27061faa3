//! Labels, annotations and field managers: the names by which our objects and opted-in pods are known.
//!
//! *Never:* what a value means elsewhere.

/// What stands before all labels and annotations of ours.
pub const PREFIX: &str = "sidegate.dev/";

/// Label or annotation on a pod: `true`, `false`, or the name of a `PushGroup`. The label wins. As a label of a
/// namespace it is for all pods there that do not have it.
pub const INJECT: &str = "sidegate.dev/inject";

/// Annotation on a pod: the image of its sidecar.
pub const IMAGE: &str = "sidegate.dev/image";

/// Annotation on a pod: the CPU its sidecar is given at least.
pub const CPU_REQUEST: &str = "sidegate.dev/cpu-request";

/// Annotation on a pod: the most CPU its sidecar may use.
pub const CPU_LIMIT: &str = "sidegate.dev/cpu-limit";

/// Annotation on a pod: the memory its sidecar is given at least.
pub const MEMORY_REQUEST: &str = "sidegate.dev/memory-request";

/// Annotation on a pod: the most memory its sidecar may use.
pub const MEMORY_LIMIT: &str = "sidegate.dev/memory-limit";

/// Annotation on a pod: the port to push to.
pub const PUSH_PORT: &str = "sidegate.dev/push-port";

/// Annotation on a pod: addresses to take pushes at, besides the usual ones.
pub const LISTEN_ADDRESSES: &str = "sidegate.dev/listen-addresses";

/// Annotation on a pod: what stands before all paths that are pushed to.
pub const ROUTE_PREFIX: &str = "sidegate.dev/route-prefix";

/// Annotation on a pod: how long it is kept running at its end for a last scrape.
pub const HOLD_OPEN: &str = "sidegate.dev/hold-open";

/// Annotation on a pod: whether its grace period is raised for that.
pub const RAISE_GRACE_PERIOD: &str = "sidegate.dev/raise-grace-period";

/// Annotation on a pod: what happens to pushed timestamps.
pub const TIMESTAMPS: &str = "sidegate.dev/timestamps";

/// Annotation on a pod: what happens to a pushed `pod` or `namespace` that is not its own.
pub const IDENTITY_LABELS: &str = "sidegate.dev/identity-labels";

/// Annotation on a pod: the least important level that its sidecar writes to the log.
pub const LOG_LEVEL: &str = "sidegate.dev/log-level";

/// Annotation on a pod: whether its other containers are told where to push.
pub const ENV: &str = "sidegate.dev/env";

/// Annotation on a pod: whether loopback is added to its containers' `NO_PROXY`.
pub const NO_PROXY: &str = "sidegate.dev/no-proxy";
/// Label on a namespace that keeps the webhook out of it, with [`WEBHOOK_DISABLED`]: the switch of whoever runs the cluster.
pub const WEBHOOK_LABEL: &str = "sidegate.dev/webhook";

/// The value of [`WEBHOOK_LABEL`] that does so.
pub const WEBHOOK_DISABLED: &str = "disabled";

/// The entries of the webhook configuration: for pods that ask themselves, and for silent pods of namespaces that ask.
pub const WEBHOOK_ENTRIES: [&str; 2] = ["pods.sidegate.dev", "namespaces.sidegate.dev"];

/// The cluster's own namespaces, in which no pod is looked at.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Label on a pod, written at admission: the `PushGroup` it belongs to.
pub const PUSH_GROUP_LABEL: &str = "sidegate.dev/pushgroup";

/// Label on every injected pod: `true`.
pub const INJECTED_LABEL: &str = "sidegate.dev/injected";

/// Annotation on every injected pod: a hash of what its `PushGroup` and the operator wanted of the sidecar when it was
/// made, by which pods with an older one are known.
pub const SIDECAR_HASH: &str = "sidegate.dev/sidecar-hash";

/// Name of the injected container.
pub const SIDECAR_CONTAINER: &str = "sidegate";

/// Label on the objects the operator makes: who made them.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "sidegate-operator";

/// Label of the operator's own pods, by the chart.
pub const OPERATOR_POD_LABEL: (&str, &str) = ("app.kubernetes.io/name", "sidegate-operator");

/// Field manager of Services, monitors and NetworkPolicies.
pub const MONITORS_MANAGER: &str = "sidegate-monitors";

/// Field manager of a `PushGroup`'s status.
pub const STATUS_MANAGER: &str = "sidegate-status";

/// Field manager of the label that a pod gets after its admission.
pub const MEMBERSHIP_MANAGER: &str = "sidegate-membership";

/// Field manager of the trust ConfigMap; with the name of a `PushGroup`, of that one's owner reference in it.
pub const TRUST_MANAGER: &str = "sidegate-trust";

/// Field manager of the CA bundle in the webhook configuration.
pub const WEBHOOK_MANAGER: &str = "sidegate-webhook-ca";
