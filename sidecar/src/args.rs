//! The command line as typed: which flags there are, what they are for, and how they default.
//!
//! Values stay text here; [`crate::config`] reads them and reports all mistakes at once. Every flag has an environment
//! variable, named by `protocol::flags::environment_variable`; an empty one counts as not given, as the downward API
//! and templates give empty texts for what is not there.
//!
//! *Never:* what a value means, defaults that depend on the machine.

use clap::{Arg, Parser, Subcommand, builder::Resettable};

/// A Prometheus Pushgateway for localhost: a sidecar for pods, or a drop-in gateway on its own.
///
/// Alone, it has one listener that takes pushes and is scraped. As a sidecar (`sidegate sidecar`), it takes pushes on
/// loopback, is scraped on a read-only port, and holds its pod open until what was pushed has been scraped.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(mut_args = without_empty_variable)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) alone: AloneArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run beside the containers of a pod: pushes on loopback, scrapes on a read-only port.
    Sidecar(Box<SidecarArgs>),
}

/// Flags of the process alone.
#[derive(Debug, clap::Args)]
pub(crate) struct AloneArgs {
    /// Where to listen, as `host:port`; `:9091` means all addresses. May be repeated.
    #[arg(
        long = "web.listen-address",
        env = "SIDEGATE_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = ":9091"
    )]
    pub(crate) listen_address: Vec<String>,
}

/// Flags of every role.
#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// Put this before all paths; in a sidecar, of the push listener only.
    #[arg(long = "web.route-prefix", env = "SIDEGATE_WEB_ROUTE_PREFIX", value_name = "PATH", default_value = "/")]
    pub(crate) route_prefix: String,

    /// Refuse pushed bodies larger than this, before or after decompression.
    #[arg(
        long = "push.max-body-bytes",
        env = "SIDEGATE_PUSH_MAX_BODY_BYTES",
        value_name = "BYTES",
        default_value = "16777216"
    )]
    pub(crate) max_body_bytes: String,

    /// Log from this level on: debug, info, warn or error.
    #[arg(long = "log.level", env = "SIDEGATE_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,

    /// How to write the log: logfmt or json.
    #[arg(long = "log.format", env = "SIDEGATE_LOG_FORMAT", value_name = "FORMAT", default_value = "logfmt")]
    pub(crate) log_format: String,
}

/// Flags of the sidecar.
#[derive(Debug, clap::Args)]
#[command(mut_args = without_empty_variable)]
pub(crate) struct SidecarArgs {
    /// Where to take pushes, as `host:port`. May be repeated.
    #[arg(
        long = "push.listen-address",
        env = "SIDEGATE_PUSH_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_values = ["127.0.0.1:9091", "[::1]:9091"]
    )]
    pub(crate) push_listen_address: Vec<String>,

    /// Where to be scraped, as `host:port`: read-only, except for deletions signed by the operator.
    #[arg(
        long = "scrape.listen-address",
        env = "SIDEGATE_SCRAPE_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = "[::]:19091"
    )]
    pub(crate) scrape_listen_address: String,

    /// After SIGTERM, stay at most this long for a scrape that has seen the last push; 0s to leave at once.
    #[arg(
        long = "hold-open.deadline",
        env = "SIDEGATE_HOLD_OPEN_DEADLINE",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub(crate) hold_open_deadline: String,

    /// How long the pod may live in all, counted from the start of this process. Holding open ends 5 s before that.
    #[arg(long = "hold-open.pod-deadline", env = "SIDEGATE_HOLD_OPEN_POD_DEADLINE", value_name = "DURATION")]
    pub(crate) pod_deadline: Option<String>,

    /// Where to say how many groups nobody has seen when the process ends.
    #[arg(
        long = "hold-open.termination-message-file",
        env = "SIDEGATE_HOLD_OPEN_TERMINATION_MESSAGE_FILE",
        value_name = "FILE"
    )]
    pub(crate) termination_message_file: Option<String>,

    /// The folder with the operator's public keys.
    #[arg(long = "trust.dir", env = "SIDEGATE_TRUST_DIR", value_name = "FOLDER")]
    pub(crate) trust_dir: Option<String>,

    /// Name of the pod.
    #[arg(long = "pod.name", env = "SIDEGATE_POD_NAME", value_name = "NAME")]
    pub(crate) pod_name: Option<String>,

    /// Namespace of the pod.
    #[arg(long = "pod.namespace", env = "SIDEGATE_POD_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) pod_namespace: Option<String>,

    /// UID of the pod; the operator signs for it, and without it nothing signed is accepted.
    #[arg(long = "pod.uid", env = "SIDEGATE_POD_UID", value_name = "UID")]
    pub(crate) pod_uid: Option<String>,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// To clap, an empty variable is a value, and one that hides the default.
fn without_empty_variable(arg: Arg) -> Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(Resettable::Reset) } else { arg }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use protocol::flags;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_sidecar_knows_every_flag_of_the_injector_and_its_variable() {
        let command = Args::command();
        let sidecar = command.find_subcommand(flags::SIDECAR_COMMAND).unwrap();
        for flag in flags::ALL {
            let found = sidecar.get_arguments().find(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(found.is_some(), "{flag}");
        }
    }

    #[test]
    fn every_flag_has_its_environment_variable_and_a_help() {
        let command = Args::command();
        let sidecar = command.find_subcommand(flags::SIDECAR_COMMAND).unwrap();
        let own = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
        for arg in command.get_arguments().chain(sidecar.get_arguments()).filter(own) {
            let long = arg.get_long().unwrap();
            let variable = flags::environment_variable(long);
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(variable.as_str()), "{long}");
            assert!(arg.get_help().is_some(), "{long}");
        }
    }
}
