//! Labels, annotations and field managers: the names by which our objects and opted-in pods are known.
//!
//! *Never:* what a value means elsewhere.

/// Label or annotation on a pod: `true`, `false`, or the name of a `PushGroup`. The label wins.
pub const INJECT: &str = "sidegate.dev/inject";

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

/// Name of the injected container.
pub const SIDECAR_CONTAINER: &str = "sidegate";

/// Label on the objects the operator makes: who made them.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "sidegate-operator";

/// Field manager of Services and monitors.
pub const MONITORS_MANAGER: &str = "sidegate-monitors";

/// Field manager of a `PushGroup`'s status.
pub const STATUS_MANAGER: &str = "sidegate-status";

/// Field manager of the label that a pod gets after its admission.
pub const MEMBERSHIP_MANAGER: &str = "sidegate-membership";

/// Field manager of the trust ConfigMap; each `PushGroup` adds its name, for its own owner reference.
pub const TRUST_MANAGER: &str = "sidegate-trust";

/// Field manager of the CA bundle in the webhook configuration.
pub const WEBHOOK_MANAGER: &str = "sidegate-webhook-ca";
