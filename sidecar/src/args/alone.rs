//! Flags that only the process alone has.
//!
//! *Never:* what a value means.

use super::{CommonArgs, LogArgs, PersistenceArgs, StorageArgs};

/// All of them.
#[derive(Debug, clap::Args)]
pub(crate) struct AloneArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) persistence: PersistenceArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Where it listens, what it reads and where the page is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Web")]
pub(crate) struct ListenArgs {
    /// Where to listen, as `IP:port`; `:9091` means all addresses; may be repeated.
    #[arg(
        long = "web.listen-address",
        env = "SIDEGATE_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = ":9091"
    )]
    pub(crate) listen_address: Vec<String>,

    /// Serve the sockets passed by systemd, and listen nowhere else.
    #[arg(long = "web.systemd-socket", env = "SIDEGATE_WEB_SYSTEMD_SOCKET", default_value = "false")]
    pub(crate) systemd_socket: String,

    /// File with settings for TLS, users, headers and a rate, as the Pushgateway has it; read again when it has changed.
    #[arg(long = "web.config.file", env = "SIDEGATE_WEB_CONFIG_FILE", value_name = "FILE")]
    pub(crate) config_file: Option<String>,

    /// Where the page of all metrics is, behind the route prefix.
    #[arg(
        long = "web.telemetry-path",
        env = "SIDEGATE_WEB_TELEMETRY_PATH",
        value_name = "PATH",
        default_value = "/metrics"
    )]
    pub(crate) telemetry_path: String,
}
