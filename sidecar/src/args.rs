//! The command line as typed: which flags there are, what they are for, and how they default.
//!
//! Values stay text here; [`crate::config`] reads them and reports all mistakes at once. Every flag has an environment
//! variable, named by `protocol::flags::environment_variable`; an empty one counts as not given, as the downward API
//! and templates give empty texts for what is not there. A few flags have a second variable, which `DataKit` has for the same.
//!
//! A flag whose default is `true` or `false` is a switch: `--flag`, `--flag=true`, `--flag=false` and `--no-flag` set it.
//!
//! *Never:* what a value means, defaults that depend on the machine.

mod alone;
mod auth;
mod common;
mod import;
mod limits;
mod sidecar;

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand, builder::Resettable};

pub(crate) use alone::{AloneArgs, ListenArgs, StorageArgs};
pub(crate) use auth::AuthArgs;
pub(crate) use common::{CommonArgs, LogArgs, MeasurementArgs, PushArgs, WebArgs};
pub(crate) use import::ImportArgs;
pub(crate) use limits::LimitArgs;
pub(crate) use sidecar::{HoldOpenArgs, PodArgs, PortArgs, SidecarArgs};

const TRUE: &str = "true";
const FALSE: &str = "false";

/// `DataKit`'s variables, for whoever comes from there.
const ALIASES: [(&str, &str); 4] = [
    ("web.route-prefix", "ENV_INPUT_PUSHGATEWAY_ROUTE_PREFIX"),
    ("measurement.name", "ENV_INPUT_PUSHGATEWAY_MEASUREMENT_NAME"),
    ("measurement.job-as-measurement", "ENV_INPUT_PUSHGATEWAY_JOB_AS_MEASUREMENT"),
    ("measurement.keep-metric-name", "ENV_INPUT_PUSHGATEWAY_KEEP_EXIST_METRIC_NAME"),
];

const ABOUT: &str = "\
A Prometheus Pushgateway for localhost: a sidecar for pods, or a drop-in gateway on its own.

Alone, it has one listener that takes pushes and is scraped. As a sidecar, it takes pushes on loopback, is scraped on \
a read-only port, and holds its pod open until what was pushed has been scraped.";

/// What holds for all flags and would be noise at each.
const AFTER_HELP: &str = "\
Every flag is an environment variable too: --push.stale-after is SIDEGATE_PUSH_STALE_AFTER. The flag wins over the \
variable; an empty variable counts as not set. Of DataKit's variables, ENV_INPUT_PUSHGATEWAY_ROUTE_PREFIX, \
_MEASUREMENT_NAME, _JOB_AS_MEASUREMENT and _KEEP_EXIST_METRIC_NAME are understood where ours are not set.

A flag that shows [=<BOOL>] is set by --flag or --flag=true, unset by --no-flag or --flag=false.";

/// The command line, of both roles.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(disable_help_flag = true, disable_version_flag = true, arg = help_flag(), arg = version_flag())]
#[command(mut_args = completed, about = ABOUT, after_help = AFTER_HELP, next_line_help = true, max_term_width = 120)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) alone: AloneArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run beside the containers of a pod: pushes on loopback, scrapes on a read-only port.
    Sidecar(Box<SidecarArgs>),
    /// Take over everything that a running Pushgateway holds, push times included.
    Import(Box<ImportArgs>),
}

// === impl Args ===

impl Args {
    /// Reads the command line, the first word of which is the name of the process, and the environment.
    pub(crate) fn read(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let words: Vec<_> = words.into_iter().map(|word| positive(&command, word.into())).collect();
        let mut matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches_mut(&mut matches)
    }
}

fn help_flag() -> Arg {
    Arg::new("help").long("help").short('h').action(ArgAction::HelpShort).help("Print this help").help_heading("Other")
}

fn version_flag() -> Arg {
    Arg::new("version").long("version").action(ArgAction::Version).help("Print the version").help_heading("Other")
}

/// `--no-flag` as `--flag=false`, if it is a switch.
fn positive(command: &clap::Command, word: OsString) -> OsString {
    let is_known = |command: &clap::Command, flag: &str| {
        command.get_arguments().any(|arg| arg.get_long() == Some(flag) && is_switch(arg))
    };
    let flag = word.to_str().and_then(|word| word.strip_prefix("--no-"));
    match flag.filter(|flag| is_known(command, flag) || command.get_subcommands().any(|sub| is_known(sub, flag))) {
        Some(flag) => format!("--{flag}={FALSE}").into(),
        None => word,
    }
}

fn is_switch(arg: &Arg) -> bool {
    arg.get_default_values().iter().any(|value| value == TRUE || value == FALSE)
}

/// What is the same for all flags.
fn completed(arg: Arg) -> Arg {
    let arg = with_its_variable(arg).hide_env(true);
    if !is_switch(&arg) {
        return arg;
    }
    let is_off = arg.get_default_values().iter().any(|value| value == FALSE);
    arg.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value(TRUE).hide_default_value(is_off)
}

/// To clap, an empty variable is a value, and one that hides the default.
fn with_its_variable(arg: Arg) -> Arg {
    let is_set = |variable: &OsStr| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let Some(own) = arg.get_env() else { return arg };
    if is_set(own) {
        return arg;
    }
    let alias = ALIASES.iter().find(|(flag, _)| arg.get_long() == Some(flag)).map(|(_, alias)| *alias);
    match alias.filter(|alias| is_set(OsStr::new(alias))) {
        Some(alias) => arg.env(alias),
        None if std::env::var_os(own).is_some() => arg.env(Resettable::Reset),
        None => arg,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use protocol::flags;

    use super::*;

    pub(crate) fn roles() -> [clap::Command; 2] {
        let command = Args::command();
        let sidecar = command.find_subcommand(flags::SIDECAR_COMMAND).unwrap().clone();
        [command, sidecar]
    }

    fn commands() -> [clap::Command; 3] {
        let [command, sidecar] = roles();
        let import = command.find_subcommand("import").unwrap().clone();
        [command, sidecar, import]
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_sidecar_knows_every_flag_of_the_injector_and_its_variable() {
        let [_, sidecar] = roles();
        for flag in flags::ALL {
            let found = sidecar.get_arguments().find(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(found.is_some(), "{flag}");
        }
    }

    #[test]
    fn every_flag_has_its_environment_variable() {
        let own = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
        for command in commands() {
            for arg in command.get_arguments().filter(own) {
                let long = arg.get_long().unwrap();
                let variable = flags::environment_variable(long);
                assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(variable.as_str()), "{long}");
            }
        }
    }

    #[test]
    fn every_flag_is_in_the_help_under_a_heading_with_one_sentence() {
        for mut command in commands() {
            let text = command.render_help().to_string();
            for arg in command.get_arguments() {
                let long = arg.get_long().unwrap();
                let help = arg.get_help().unwrap().to_string();
                assert!(arg.get_help_heading().is_some(), "{long}");
                assert!(arg.get_long_help().is_none(), "{long}");
                assert!(!help.is_empty() && !help.contains(". "), "{long}: {help}");
                assert!(text.contains(&format!("--{long}")), "{long}");
            }
        }
    }

    #[test]
    fn every_alias_is_of_a_flag_that_both_roles_have() {
        for (flag, _) in ALIASES {
            assert!(roles().iter().all(|command| command.get_arguments().any(|arg| arg.get_long() == Some(flag))));
        }
    }

    #[test]
    fn only_a_switch_has_a_negative_form() {
        let command = Args::command();
        let positive = |word: &str| positive(&command, word.into()).into_string().unwrap();
        assert_eq!(positive("--no-web.enable-lifecycle"), "--web.enable-lifecycle=false");
        assert_eq!(positive("--no-measurement.keep-metric-name"), "--measurement.keep-metric-name=false");
        for unchanged in ["--no-log.level", "--no-", "--no-such", "--no-web.enable-lifecycle=true", "--log.level"] {
            assert_eq!(positive(unchanged), unchanged);
        }
    }
}
