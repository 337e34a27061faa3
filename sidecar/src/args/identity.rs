//! The flag of labels that name a pod.
//!
//! *Never:* what a value means, which pod it is.

/// What becomes of labels that name another pod.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pod")]
pub(crate) struct IdentityArgs {
    /// What to do with a pushed label `pod` or `namespace` that names another than the pod's own: rename (it to
    /// `exported_pod` or `exported_namespace`), refuse (the push) or allow (it).
    #[arg(
        long = "push.identity-labels",
        env = "SIDEGATE_PUSH_IDENTITY_LABELS",
        value_name = "RULE",
        default_value = "rename"
    )]
    pub(crate) identity_labels: String,
}
