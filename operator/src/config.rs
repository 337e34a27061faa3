//! Flags made ready: every mistake is found before any is reported, and past this point no code sees [`Args`].
//!
//! *Never:* clap, sockets, the cluster.

use std::{fmt, net::SocketAddr, time::Duration};

use crate::args::Args;

/// Everything the operator needs to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The operator's own namespace.
    pub namespace: String,
    /// What is injected.
    pub sidecar: SidecarImage,
    /// The admission webhook.
    pub webhook: WebhookConfig,
    /// Name of the Secret with the signing key.
    pub signing_secret: String,
    /// Where health and metrics are served.
    pub admin_address: SocketAddr,
    /// How often all sidecars are looked at.
    pub collection_interval: Duration,
    /// The log.
    pub log: LogConfig,
}

/// The image of the injected container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarImage {
    /// Its name with tag or digest.
    pub image: String,
    /// When it is pulled.
    pub pull_policy: String,
}

/// The admission webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// Name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// Name of the Service in front of it.
    pub service: String,
    /// Name of the Secret with its certificate.
    pub secret: String,
}

/// The log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least important level that is written.
    pub level: LogLevel,
    /// How a line is written.
    pub format: LogFormat,
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator of the system wants to know.
    Info,
    /// What may need a look.
    Warn,
    /// What needs one.
    Error,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Every mistake in the flags, in the order of the flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

// === impl Config ===

impl Config {
    /// Makes flags ready.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn from_args(args: Args) -> Result<Self, Mistakes> {
        // Taken apart by name, so that a flag nobody reads does not compile unnoticed.
        let Args {
            namespace,
            sidecar_image,
            sidecar_image_pull_policy,
            webhook_listen_address,
            webhook_configuration,
            webhook_service,
            webhook_secret,
            signing_secret,
            admin_listen_address,
            collection_interval,
            log_level,
            log_format,
        } = args;
        let mut found = Mistakes(Vec::new());
        let config = Self {
            namespace: found.required("--namespace", namespace),
            sidecar: SidecarImage {
                image: found.required("--sidecar.image", sidecar_image),
                pull_policy: found.pull_policy(sidecar_image_pull_policy),
            },
            webhook: WebhookConfig {
                address: found.address("--webhook.listen-address", &webhook_listen_address),
                configuration: found.required("--webhook.configuration", Some(webhook_configuration)),
                service: found.required("--webhook.service", Some(webhook_service)),
                secret: found.required("--webhook.secret", Some(webhook_secret)),
            },
            signing_secret: found.required("--signing.secret", Some(signing_secret)),
            admin_address: found.address("--admin.listen-address", &admin_listen_address),
            collection_interval: found.interval("--collection.interval", &collection_interval),
            log: LogConfig { level: found.level(&log_level), format: found.format(&log_format) },
        };
        if found.0.is_empty() { Ok(config) } else { Err(found) }
    }

    /// The DNS names the API server may call the webhook by.
    #[must_use]
    pub fn webhook_names(&self) -> Vec<String> {
        let service = format!("{}.{}.svc", self.webhook.service, self.namespace);
        vec![service.clone(), format!("{service}.cluster.local")]
    }
}

// === impl Mistakes ===

/// Each check returns something usable, so that the next one can run.
impl Mistakes {
    fn required(&mut self, flag: &str, value: Option<String>) -> String {
        let value = value.unwrap_or_default();
        if value.is_empty() {
            self.0.push(format!("{flag}: expected a value, found none"));
        }
        value
    }

    fn address(&mut self, flag: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.0.push(format!("{flag}: expected an address such as [::]:9443 or 0.0.0.0:9443, found {text:?}"));
            SocketAddr::from(([0, 0, 0, 0], 0))
        })
    }

    fn interval(&mut self, flag: &str, text: &str) -> Duration {
        let length = text.parse::<crds::Duration>().map(|duration| duration.length());
        match length {
            Ok(length) if Duration::from_secs(1) <= length => length,
            Ok(_) | Err(_) => {
                self.0.push(format!("{flag}: expected a duration of at least 1s, such as 10s or 1m, found {text:?}"));
                Duration::from_secs(1)
            }
        }
    }

    fn pull_policy(&mut self, text: String) -> String {
        if !matches!(text.as_str(), "Always" | "IfNotPresent" | "Never") {
            let flag = "--sidecar.image-pull-policy";
            self.0.push(format!("{flag}: expected Always, IfNotPresent or Never, found {text:?}"));
        }
        text
    }

    fn level(&mut self, text: &str) -> LogLevel {
        match text {
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => {
                self.0.push(format!("--log.level: expected debug, info, warn or error, found {text:?}"));
                LogLevel::Info
            }
        }
    }

    fn format(&mut self, text: &str) -> LogFormat {
        match text {
            "logfmt" => LogFormat::Logfmt,
            "json" => LogFormat::Json,
            _ => {
                self.0.push(format!("--log.format: expected logfmt or json, found {text:?}"));
                LogFormat::Logfmt
            }
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = Args::parse_from(std::iter::once("sidegate-operator").chain(flags.iter().copied()));
        Config::from_args(args).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn two_flags_are_enough() {
        let config = config(&["--namespace=sidegate", "--sidecar.image=sidegate:1"]).unwrap();
        assert_eq!(config.webhook.address, "[::]:9443".parse().unwrap());
        assert_eq!(config.collection_interval, Duration::from_secs(10));
        assert_eq!(config.sidecar.pull_policy, "IfNotPresent");
        assert_eq!(
            config.webhook_names(),
            ["sidegate-operator.sidegate.svc", "sidegate-operator.sidegate.svc.cluster.local"]
        );
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let flags = [
            "--sidecar.image-pull-policy=Sometimes",
            "--webhook.listen-address=9443",
            "--webhook.service=",
            "--collection.interval=0s",
            "--log.level=loud",
            "--log.format=xml",
        ];
        assert_eq!(
            config(&flags).unwrap_err(),
            "--namespace: expected a value, found none\n\
             --sidecar.image: expected a value, found none\n\
             --sidecar.image-pull-policy: expected Always, IfNotPresent or Never, found \"Sometimes\"\n\
             --webhook.listen-address: expected an address such as [::]:9443 or 0.0.0.0:9443, found \"9443\"\n\
             --webhook.service: expected a value, found none\n\
             --collection.interval: expected a duration of at least 1s, such as 10s or 1m, found \"0s\"\n\
             --log.level: expected debug, info, warn or error, found \"loud\"\n\
             --log.format: expected logfmt or json, found \"xml\""
        );
    }
}
