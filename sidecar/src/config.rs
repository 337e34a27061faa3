//! `Args` → [`Config`], once, with every mistake in one report.
//!
//! *Never:* clap past this point, defaults (they are written where the help shows them).

mod duration;
mod listen_address;

use std::path::PathBuf;

use protocol::flags;
use tracing::level_filters::LevelFilter;

use crate::{
    args::{AloneArgs, Args, Command, CommonArgs, SidecarArgs},
    http::Settings,
    lifecycle::HoldOpen,
    telemetry,
};
pub(crate) use duration::stale_after;
pub(crate) use listen_address::ListenAddress;

/// What `--push.max-body-bytes` is by default.
pub(crate) const DEFAULT_MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// All settings, checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) log_level: LevelFilter,
    pub(crate) log_format: telemetry::Format,
    pub(crate) settings: Settings,
    pub(crate) role: Role,
}

/// What the process is.
#[derive(Debug, PartialEq)]
pub(crate) enum Role {
    Alone { listen: Vec<ListenAddress> },
    Sidecar(Box<Sidecar>),
}

/// The settings that only a sidecar has.
#[derive(Debug, PartialEq)]
pub(crate) struct Sidecar {
    pub(crate) push: Vec<ListenAddress>,
    pub(crate) scrape: ListenAddress,
    pub(crate) hold_open: HoldOpen,
    pub(crate) trust_dir: Option<PathBuf>,
    pub(crate) pod_name: Option<String>,
    pub(crate) pod_namespace: Option<String>,
    pub(crate) pod_uid: Option<String>,
}

/// Every mistake, a line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .mistakes.join("\n"))]
pub(crate) struct ConfigError {
    mistakes: Vec<String>,
}

#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

// === impl Config ===

impl Config {
    pub(crate) fn from_args(args: Args) -> Result<Self, ConfigError> {
        let mut reader = Reader::default();
        let Args { alone, common, command } = args;
        let (role, common) = match command {
            None => (reader.alone(alone), common),
            Some(Command::Sidecar(sidecar)) => reader.sidecar(*sidecar),
        };
        let CommonArgs { route_prefix, max_body_bytes, log_level, log_format } = common;
        let log_level = reader.read(flags::LOG_LEVEL, &log_level, parse_level);
        let log_format = reader.read(flags::LOG_FORMAT, &log_format, parse_format);
        let route_prefix = reader.read(flags::ROUTE_PREFIX, &route_prefix, parse_route_prefix);
        let max_body_bytes = reader.read("--push.max-body-bytes", &max_body_bytes, parse_bytes);
        match (role, log_level, log_format, route_prefix, max_body_bytes) {
            (Some(role), Some(log_level), Some(log_format), Some(route_prefix), Some(max_body_bytes)) => {
                let settings = Settings { route_prefix: route_prefix.into(), max_body_bytes, ..Settings::default() };
                Ok(Self { log_level, log_format, settings, role })
            }
            _ => Err(ConfigError { mistakes: reader.mistakes }),
        }
    }
}

// === impl Reader ===

impl Reader {
    fn alone(&mut self, AloneArgs { listen_address }: AloneArgs) -> Option<Role> {
        let listen = self.read_all("--web.listen-address", &listen_address, ListenAddress::parse)?;
        Some(Role::Alone { listen })
    }

    fn sidecar(&mut self, args: SidecarArgs) -> (Option<Role>, CommonArgs) {
        let SidecarArgs {
            push_listen_address,
            scrape_listen_address,
            hold_open_deadline,
            pod_deadline,
            termination_message_file,
            trust_dir,
            pod_name,
            pod_namespace,
            pod_uid,
            common,
        } = args;
        let push = self.read_all(flags::PUSH_LISTEN_ADDRESS, &push_listen_address, ListenAddress::parse);
        let scrape = self.read(flags::SCRAPE_LISTEN_ADDRESS, &scrape_listen_address, ListenAddress::parse);
        let deadline = self.read(flags::HOLD_OPEN_DEADLINE, &hold_open_deadline, duration::parse);
        let pod_deadline = given(pod_deadline);
        let pod_deadline = pod_deadline.map(|value| self.read(flags::POD_DEADLINE, &value, duration::parse));
        let (Some(push), Some(scrape), Some(deadline)) = (push, scrape, deadline) else {
            return (None, common);
        };
        let pod_deadline = pod_deadline.flatten();
        let termination_message_file = given(termination_message_file).map(PathBuf::from);
        let sidecar = Sidecar {
            push,
            scrape,
            hold_open: HoldOpen { deadline, pod_deadline, termination_message_file },
            trust_dir: given(trust_dir).map(PathBuf::from),
            pod_name: given(pod_name),
            pod_namespace: given(pod_namespace),
            pod_uid: given(pod_uid),
        };
        (Some(Role::Sidecar(Box::new(sidecar))), common)
    }

    fn read<T>(&mut self, flag: &str, value: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(value) {
            Ok(read) => Some(read),
            Err(expected) => {
                self.mistakes.push(format!("{flag}: expected {expected}, found {value:?}"));
                None
            }
        }
    }

    fn read_all<T>(
        &mut self,
        flag: &str,
        values: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let read: Vec<_> = values.iter().map(|value| self.read(flag, value, &parse)).collect();
        read.into_iter().collect()
    }
}

/// The downward API and templates give empty texts for what is not there.
fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

fn parse_level(word: &str) -> Result<LevelFilter, String> {
    match word {
        "debug" => Ok(LevelFilter::DEBUG),
        "info" => Ok(LevelFilter::INFO),
        "warn" => Ok(LevelFilter::WARN),
        "error" => Ok(LevelFilter::ERROR),
        _ => Err("debug, info, warn or error".to_owned()),
    }
}

fn parse_format(word: &str) -> Result<telemetry::Format, String> {
    match word {
        "logfmt" => Ok(telemetry::Format::Logfmt),
        "json" => Ok(telemetry::Format::Json),
        _ => Err("logfmt or json".to_owned()),
    }
}

/// A slash is added in front and removed at the end; `/` means none.
fn parse_route_prefix(path: &str) -> Result<String, String> {
    let inner = path.trim_matches('/');
    let is_plain = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    match inner {
        "" => Ok(String::new()),
        inner if inner.split('/').all(is_plain) => Ok(format!("/{inner}")),
        _ => Err("a path of letters, digits, `-`, `.`, `_` and `~` between single slashes".to_owned()),
    }
}

fn parse_bytes(number: &str) -> Result<usize, String> {
    number.parse().ok().filter(|bytes| *bytes != 0).ok_or_else(|| "a number of bytes, 1 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        let args = Args::try_parse_from([&["sidegate"], args].concat()).map_err(|error| error.to_string())?;
        Config::from_args(args).map_err(|error| error.to_string())
    }

    fn sidecar(args: &[&str]) -> Sidecar {
        match config(&[&["sidecar"], args].concat()).unwrap().role {
            Role::Sidecar(sidecar) => *sidecar,
            Role::Alone { .. } => panic!("expected a sidecar"),
        }
    }

    #[test]
    fn alone_it_has_upstreams_defaults() {
        let config = config(&[]).unwrap();
        assert_eq!(config.role, Role::Alone { listen: vec![ListenAddress::All(9091)] });
        assert_eq!(&*config.settings.route_prefix, "");
        assert_eq!(config.settings.max_body_bytes, DEFAULT_MAX_BODY_BYTES);
        assert_eq!((config.log_level, config.log_format), (LevelFilter::INFO, telemetry::Format::Logfmt));
    }

    #[test]
    fn a_sidecar_pushes_on_loopback_and_is_scraped_everywhere() {
        let found = sidecar(&[]);
        let push = ["127.0.0.1:9091", "[::1]:9091"].map(|address| ListenAddress::At(address.parse().unwrap()));
        assert_eq!(found.push, push);
        assert_eq!(found.scrape, ListenAddress::All(19091));
        let hold_open =
            HoldOpen { deadline: Duration::from_secs(30), pod_deadline: None, termination_message_file: None };
        assert_eq!(found.hold_open, hold_open);
        assert_eq!((found.trust_dir, found.pod_uid), (None, None));
    }

    #[test]
    fn an_empty_value_counts_as_not_given() {
        let found = sidecar(&["--pod.uid=", "--trust.dir=", "--hold-open.termination-message-file="]);
        assert_eq!((found.pod_uid, found.trust_dir, found.hold_open.termination_message_file), (None, None, None));
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let found = config(&[
            "sidecar",
            "--push.listen-address=9091",
            "--push.listen-address=example.com:1",
            "--hold-open.deadline=soon",
            "--hold-open.pod-deadline=never",
            "--log.level=loud",
            "--log.format=xml",
            "--web.route-prefix=/a//b",
            "--push.max-body-bytes=1k",
        ]);
        let expected = "\
--push.listen-address: expected an IP address and a port, such as 127.0.0.1:9091, [::1]:9091 or :9091, found \"9091\"
--push.listen-address: expected an IP address and a port, such as 127.0.0.1:9091, [::1]:9091 or :9091, found \"example.com:1\"
--hold-open.deadline: expected a duration such as 30s or 1h30m, found \"soon\"
--hold-open.pod-deadline: expected a duration such as 30s or 1h30m, found \"never\"
--log.level: expected debug, info, warn or error, found \"loud\"
--log.format: expected logfmt or json, found \"xml\"
--web.route-prefix: expected a path of letters, digits, `-`, `.`, `_` and `~` between single slashes, found \"/a//b\"
--push.max-body-bytes: expected a number of bytes, 1 or more, found \"1k\"";
        assert_eq!(found, Err(expected.to_owned()));
    }

    #[test]
    fn a_route_prefix_has_a_slash_in_front_and_none_behind() {
        for (written, expected) in [("/", ""), ("", ""), ("a", "/a"), ("/a/b/", "/a/b")] {
            assert_eq!(parse_route_prefix(written).unwrap(), expected);
        }
    }
}
