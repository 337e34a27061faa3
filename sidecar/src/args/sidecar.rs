//! Flags of the sidecar.
//!
//! *Never:* what a value means.

use super::{AFTER_HELP, CommonArgs, LogArgs, completed, help_flag, limits::in_sidecar, version_flag};

/// All of them.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, disable_version_flag = true, arg = help_flag(), arg = version_flag())]
#[command(mut_args = |arg| completed(in_sidecar(arg)), after_help = AFTER_HELP, next_line_help = true, version)]
pub(crate) struct SidecarArgs {
    #[command(flatten)]
    pub(crate) ports: PortArgs,
    #[command(flatten)]
    pub(crate) hold_open: HoldOpenArgs,
    #[command(flatten)]
    pub(crate) pod: PodArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Where it listens.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Ports")]
pub(crate) struct PortArgs {
    /// Where to take pushes, as `IP:port`; may be repeated.
    #[arg(
        long = "push.listen-address",
        env = "SIDEGATE_PUSH_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_values = ["127.0.0.1:9091", "[::1]:9091"]
    )]
    pub(crate) push_listen_address: Vec<String>,

    /// Where to be scraped, as `IP:port`: read-only, except for deletions signed by the operator.
    #[arg(
        long = "scrape.listen-address",
        env = "SIDEGATE_SCRAPE_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = "[::]:19091"
    )]
    pub(crate) scrape_listen_address: String,
}

/// How long it stays.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Hold open")]
pub(crate) struct HoldOpenArgs {
    /// After SIGTERM, stay at most this long for a scrape that has seen the last push; 0s to leave at once.
    #[arg(
        long = "hold-open.deadline",
        env = "SIDEGATE_HOLD_OPEN_DEADLINE",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub(crate) deadline: String,

    /// How long the pod may live in all, from the start of this process on; holding open ends 5 s before that.
    #[arg(long = "hold-open.pod-deadline", env = "SIDEGATE_HOLD_OPEN_POD_DEADLINE", value_name = "DURATION")]
    pub(crate) pod_deadline: Option<String>,

    /// Where to say how many groups nobody has seen when the process ends.
    #[arg(
        long = "hold-open.termination-message-file",
        env = "SIDEGATE_HOLD_OPEN_TERMINATION_MESSAGE_FILE",
        value_name = "FILE"
    )]
    pub(crate) termination_message_file: Option<String>,
}

/// Which pod it is in, and whom it trusts.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pod")]
pub(crate) struct PodArgs {
    /// Name of the pod.
    #[arg(long = "pod.name", env = "SIDEGATE_POD_NAME", value_name = "NAME")]
    pub(crate) pod_name: Option<String>,

    /// Namespace of the pod.
    #[arg(long = "pod.namespace", env = "SIDEGATE_POD_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) pod_namespace: Option<String>,

    /// UID of the pod; the operator signs for it, and without it nothing signed is accepted.
    #[arg(long = "pod.uid", env = "SIDEGATE_POD_UID", value_name = "UID")]
    pub(crate) pod_uid: Option<String>,

    /// The folder with the operator's public keys.
    #[arg(long = "trust.dir", env = "SIDEGATE_TRUST_DIR", value_name = "FOLDER")]
    pub(crate) trust_dir: Option<String>,
}
