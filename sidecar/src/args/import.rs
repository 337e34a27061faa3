//! Flags of the import.
//!
//! *Never:* what a value means.

use super::{completed, help_flag, version_flag};

/// Flags of the import.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, disable_version_flag = true, arg = help_flag(), arg = version_flag(), version)]
#[command(mut_args = completed, next_line_help = true, next_help_heading = "Import")]
pub(crate) struct ImportArgs {
    /// The Pushgateway to take over from, as `http://[USER:PASSWORD@]HOST:PORT[/PREFIX]`, or the same with `https`.
    #[arg(long = "from", env = "SIDEGATE_FROM", value_name = "URL")]
    pub(crate) from: Option<String>,

    /// Where that one has its page, behind the prefix.
    #[arg(
        long = "from.telemetry-path",
        env = "SIDEGATE_FROM_TELEMETRY_PATH",
        value_name = "PATH",
        default_value = "/metrics"
    )]
    pub(crate) telemetry_path: String,

    /// The Sidegate that takes over, which has to run with `--web.enable-admin-api`.
    #[arg(long = "to", env = "SIDEGATE_TO", value_name = "URL", default_value = "http://127.0.0.1:9091")]
    pub(crate) to: String,

    /// Certificate authorities in PEM to trust instead of the public ones.
    #[arg(long = "ca-file", env = "SIDEGATE_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<String>,

    /// Say what would be taken over, and leave the target alone.
    #[arg(long = "dry-run", env = "SIDEGATE_DRY_RUN", default_value = "false")]
    pub(crate) dry_run: String,
}
