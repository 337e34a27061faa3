//! Flags as typed, nothing checked yet.
//!
//! Each flag is also an environment variable: `--sidecar.image` is `SIDEGATE_OPERATOR_SIDECAR_IMAGE`.
//!
//! *Never:* what a value means; [`crate::config`] makes it ready and finds the mistakes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The Sidegate operator.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "sidegate-operator",
    version,
    about = "Injects sidecars, makes monitors, collects stale groups",
    args_conflicts_with_subcommands = true
)]
pub struct Args {
    /// What else it can do; without it, it is the operator.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Namespace the operator runs in; its Secrets are kept there. Required.
    #[arg(long = "namespace", env = "SIDEGATE_OPERATOR_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,

    /// Image of the injected sidecar. Required.
    #[arg(long = "sidecar.image", env = "SIDEGATE_OPERATOR_SIDECAR_IMAGE", value_name = "IMAGE", global = true)]
    pub sidecar_image: Option<String>,

    /// When the kubelet pulls the sidecar's image: Always, IfNotPresent or Never.
    #[arg(
        long = "sidecar.image-pull-policy",
        env = "SIDEGATE_OPERATOR_SIDECAR_IMAGE_PULL_POLICY",
        value_name = "POLICY",
        default_value = "IfNotPresent",
        global = true
    )]
    pub sidecar_image_pull_policy: String,

    /// The user the sidecar runs as, by number; empty where the platform assigns users, as OpenShift does.
    #[arg(
        long = "sidecar.run-as-user",
        env = "SIDEGATE_OPERATOR_SIDECAR_RUN_AS_USER",
        value_name = "USER",
        default_value = "65532",
        global = true
    )]
    pub sidecar_run_as_user: String,

    /// Where the admission webhook listens; `[::]` falls back to 0.0.0.0 where there is no IPv6.
    #[arg(
        long = "webhook.listen-address",
        env = "SIDEGATE_OPERATOR_WEBHOOK_LISTEN_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "[::]:9443"
    )]
    pub webhook_listen_address: String,

    /// Name of the MutatingWebhookConfiguration that gets the CA bundle.
    #[arg(
        long = "webhook.configuration",
        env = "SIDEGATE_OPERATOR_WEBHOOK_CONFIGURATION",
        value_name = "NAME",
        default_value = "sidegate-operator"
    )]
    pub webhook_configuration: String,

    /// Name of the Service in front of the webhook; the certificate is made for it.
    #[arg(
        long = "webhook.service",
        env = "SIDEGATE_OPERATOR_WEBHOOK_SERVICE",
        value_name = "NAME",
        default_value = "sidegate-operator"
    )]
    pub webhook_service: String,

    /// Name of the Secret that keeps the webhook's certificate and its CA.
    #[arg(
        long = "webhook.secret",
        env = "SIDEGATE_OPERATOR_WEBHOOK_SECRET",
        value_name = "NAME",
        default_value = "sidegate-webhook-tls"
    )]
    pub webhook_secret: String,

    /// How long an admission may take, less than the API server waits: the pod is then admitted unchanged.
    #[arg(
        long = "webhook.timeout",
        env = "SIDEGATE_OPERATOR_WEBHOOK_TIMEOUT",
        value_name = "DURATION",
        default_value = "4s"
    )]
    pub webhook_timeout: String,

    /// Refuse admission reviews that are longer; one has a pod of at most 3 MiB, the API server's own limit.
    #[arg(
        long = "webhook.max-review-bytes",
        env = "SIDEGATE_OPERATOR_WEBHOOK_MAX_REVIEW_BYTES",
        value_name = "BYTES",
        default_value = "3670016"
    )]
    pub webhook_max_review_bytes: String,

    /// Memory that all admissions at a time may take, by estimate; others wait. Those of more than a mebibyte have three
    /// quarters of it, and a pod that takes more than that by itself is admitted unchanged.
    #[arg(
        long = "webhook.max-memory-bytes",
        env = "SIDEGATE_OPERATOR_WEBHOOK_MAX_MEMORY_BYTES",
        value_name = "BYTES",
        default_value = "100663296"
    )]
    pub webhook_max_memory_bytes: String,

    /// Connections to the webhook at a time; one more takes the place of the one that was silent longest. An API server has
    /// one or two.
    #[arg(
        long = "webhook.max-connections",
        env = "SIDEGATE_OPERATOR_WEBHOOK_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "128"
    )]
    pub webhook_max_connections: String,

    /// How long a certificate of the webhook is good for; it is replaced when a third of that is left.
    #[arg(
        long = "webhook.certificate-lifetime",
        env = "SIDEGATE_OPERATOR_WEBHOOK_CERTIFICATE_LIFETIME",
        value_name = "DURATION",
        default_value = "90d"
    )]
    pub webhook_certificate_lifetime: String,

    /// How long the CA of these certificates is good for: at least twice as long.
    #[arg(
        long = "webhook.ca-lifetime",
        env = "SIDEGATE_OPERATOR_WEBHOOK_CA_LIFETIME",
        value_name = "DURATION",
        default_value = "1y"
    )]
    pub webhook_ca_lifetime: String,

    /// Folder with `tls.crt`, `tls.key` and perhaps `ca.crt` that others make and renew, in place of certificates of the
    /// operator's own: it then writes neither a Secret nor a CA bundle.
    #[arg(
        long = "webhook.certificate-directory",
        env = "SIDEGATE_OPERATOR_WEBHOOK_CERTIFICATE_DIRECTORY",
        value_name = "DIRECTORY",
        default_value = "",
        hide_default_value = true
    )]
    pub webhook_certificate_directory: String,

    /// Name of the Secret that keeps the key deletions are signed with.
    #[arg(
        long = "signing.secret",
        env = "SIDEGATE_OPERATOR_SIGNING_SECRET",
        value_name = "NAME",
        default_value = "sidegate-signing-key"
    )]
    pub signing_secret: String,

    /// Where health and metrics are served; `[::]` falls back to 0.0.0.0 where there is no IPv6.
    #[arg(
        long = "admin.listen-address",
        env = "SIDEGATE_OPERATOR_ADMIN_LISTEN_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "[::]:8080"
    )]
    pub admin_listen_address: String,

    /// How often a sidecar is looked at for the counts in a status, at most; what is stale is removed when it is due.
    #[arg(
        long = "collection.interval",
        env = "SIDEGATE_OPERATOR_COLLECTION_INTERVAL",
        value_name = "DURATION",
        default_value = "10s"
    )]
    pub collection_interval: String,

    /// Namespaces to work in, with commas between them; all if empty.
    #[arg(
        long = "namespaces",
        env = "SIDEGATE_OPERATOR_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        hide_default_value = true
    )]
    pub namespaces: Vec<String>,

    /// Labels for every monitor, as `name=value` with commas between them; those of a PushGroup come first.
    #[arg(
        long = "monitor.labels",
        env = "SIDEGATE_OPERATOR_MONITOR_LABELS",
        value_name = "LABELS",
        value_delimiter = ',',
        hide_default_value = true
    )]
    pub monitor_labels: Vec<String>,

    /// Name of the Lease by which replicas agree on who leads.
    #[arg(
        long = "leader.lease",
        env = "SIDEGATE_OPERATOR_LEADER_LEASE",
        value_name = "NAME",
        default_value = "sidegate-operator"
    )]
    pub leader_lease: String,

    /// What this replica calls itself in the Lease, before a random suffix: the name of its pod.
    #[arg(
        long = "leader.identity",
        env = "SIDEGATE_OPERATOR_LEADER_IDENTITY",
        value_name = "NAME",
        default_value = "sidegate-operator"
    )]
    pub leader_identity: String,

    /// For how long the Lease of a leader that does not renew it is left alone.
    #[arg(
        long = "leader.lease-duration",
        env = "SIDEGATE_OPERATOR_LEADER_LEASE_DURATION",
        value_name = "DURATION",
        default_value = "15s"
    )]
    pub leader_lease_duration: String,

    /// For how long a leader that cannot renew the Lease goes on.
    #[arg(
        long = "leader.renew-deadline",
        env = "SIDEGATE_OPERATOR_LEADER_RENEW_DEADLINE",
        value_name = "DURATION",
        default_value = "10s"
    )]
    pub leader_renew_deadline: String,

    /// How often the Lease is renewed, or looked at by a standby.
    #[arg(
        long = "leader.retry-period",
        env = "SIDEGATE_OPERATOR_LEADER_RETRY_PERIOD",
        value_name = "DURATION",
        default_value = "2s"
    )]
    pub leader_retry_period: String,

    /// The least important level that is logged: debug, info, warn or error.
    #[arg(long = "log.level", env = "SIDEGATE_OPERATOR_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// How a line is logged: logfmt or json.
    #[arg(long = "log.format", env = "SIDEGATE_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "logfmt")]
    pub log_format: String,
}

/// What the program does without a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Put sidecars into manifests, as the webhook would into their pods.
    #[command(after_long_help = INJECT_HELP)]
    Inject(InjectArgs),
}

/// `inject`.
#[derive(Clone, Debug, clap::Args)]
pub struct InjectArgs {
    /// Manifests in YAML or JSON, or `-` for standard input. Pods and what makes pods get sidecars, alone or in lists.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub filename: PathBuf,

    /// More manifests, or `-`, which are known and do not come out: PushGroups, Namespaces with their labels, LimitRanges. May be
    /// given several times; those among the manifests themselves are known as well.
    #[arg(long = "with", value_name = "FILE")]
    pub with: Vec<PathBuf>,

    /// The namespace of manifests that do not say one.
    #[arg(short = 'n', long = "namespace", value_name = "NAME", default_value = "default")]
    pub namespace: String,
}

const INJECT_HELP: &str = "\
The manifests with their sidecars are written to standard output, a line about each workload to standard error. Where \
anything is wrong nothing is written and the exit code is 1. No cluster is asked.

What does not change is passed on as it came, byte for byte. A document that gets a sidecar is written anew: it means the \
same to kubectl, but loses its comments, other than those before its first value, its anchors are written out, and words \
are quoted otherwise. A tag of YAML or a key that is there twice is a mistake in such a document.

The same once more changes nothing, and the webhook leaves pods alone that have the sidecar.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_is_an_environment_variable_of_the_same_name() {
        let command = Args::command();
        let mut seen = 0;
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long() else { continue };
            let Some(variable) = argument.get_env() else { continue };
            let expected = format!("SIDEGATE_OPERATOR_{}", long.replace(['.', '-'], "_").to_uppercase());
            assert_eq!(variable.to_str(), Some(expected.as_str()), "--{long}");
            seen += 1;
        }
        assert_eq!(seen, 27, "every flag but --help and --version");
    }

    #[test]
    fn inject_takes_the_flags_of_the_sidecar_and_no_others_of_the_operator() {
        let parse = |flags: &[&str]| Args::try_parse_from(["sidegate-operator"].iter().chain(flags));
        let args = parse(&["inject", "-f", "-", "--sidecar.image=sidegate:1", "-n", "data"]).unwrap();
        assert_eq!(args.sidecar_image.as_deref(), Some("sidegate:1"));
        let Some(Command::Inject(inject)) = args.command else { panic!("expected inject") };
        assert_eq!((inject.filename.to_str(), inject.namespace.as_str()), (Some("-"), "data"));
        assert!(parse(&["inject"]).unwrap_err().to_string().contains("--filename <FILE>"));
        assert!(parse(&["inject", "-f", "-", "--log.level=debug"]).is_err());
        assert!(parse(&["--log.level=debug", "inject", "-f", "-"]).is_err());
        assert!(parse(&["--namespace=sidegate"]).unwrap().command.is_none());
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
