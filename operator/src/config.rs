//! Flags made ready: every mistake is found before any is reported, and past this point no code sees [`Args`].
//!
//! *Never:* clap, sockets, the cluster.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use jiff::SignedDuration;

use crate::{
    args::Args,
    certs::issue::Lifetimes,
    labels::labels,
    leader::{election::Timings, term::LONGEST_WRITE},
    scope::Scope,
};

/// The user the sidecar runs as: no name in any image, and not the pod's.
pub const SIDECAR_USER: i64 = 65532;

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
    /// Where it works.
    pub scope: Scope,
    /// Labels that every monitor has, but where its `PushGroup` has another of the name.
    pub monitor_labels: BTreeMap<String, String>,
    /// The election.
    pub leader: LeaderConfig,
    /// The log.
    pub log: LogConfig,
}

/// The election of a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// Name of the Lease.
    pub lease: String,
    /// What this replica calls itself.
    pub identity: String,
    /// How long everything takes.
    pub timings: Timings,
}

/// The image of the injected container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarImage {
    /// Its name with tag or digest.
    pub image: String,
    /// When it is pulled.
    pub pull_policy: String,
    /// The user it runs as; `None` leaves it to the platform.
    pub run_as_user: Option<i64>,
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
    /// Where its certificate comes from.
    pub certificates: CertificateSource,
    /// What an admission may take.
    pub limits: WebhookLimits,
    /// How many connections there may be at a time.
    pub most_connections: usize,
}

/// What an admission may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookLimits {
    /// Time of one.
    pub timeout: Duration,
    /// Bytes of one review as sent.
    pub review_bytes: usize,
    /// Bytes of memory of all at a time, by estimate.
    pub memory_bytes: usize,
}

/// Where the webhook's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// The operator makes it.
    Own {
        /// Name of the Secret that keeps it.
        secret: String,
        /// How long it is good for.
        lifetimes: Lifetimes,
    },
    /// Others do: a folder with its files.
    Files(PathBuf),
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
            // Carried out before anything is made ready for the operator itself.
            command: _,
            namespace,
            sidecar_image,
            sidecar_image_pull_policy,
            sidecar_run_as_user,
            webhook_listen_address,
            webhook_configuration,
            webhook_service,
            webhook_secret,
            webhook_timeout,
            webhook_max_review_bytes,
            webhook_max_memory_bytes,
            webhook_max_connections,
            webhook_certificate_lifetime,
            webhook_ca_lifetime,
            webhook_certificate_directory,
            signing_secret,
            admin_listen_address,
            collection_interval,
            namespaces,
            monitor_labels,
            leader_lease,
            leader_identity,
            leader_lease_duration,
            leader_renew_deadline,
            leader_retry_period,
            log_level,
            log_format,
        } = args;
        let mut found = Mistakes(Vec::new());
        let config = Self {
            namespace: found.required("--namespace", namespace),
            sidecar: SidecarImage {
                image: found.required("--sidecar.image", sidecar_image),
                pull_policy: found.pull_policy(sidecar_image_pull_policy),
                run_as_user: found.user("--sidecar.run-as-user", &sidecar_run_as_user),
            },
            webhook: WebhookConfig {
                address: found.address("--webhook.listen-address", &webhook_listen_address),
                configuration: found.required("--webhook.configuration", Some(webhook_configuration)),
                service: found.required("--webhook.service", Some(webhook_service)),
                limits: found.webhook_limits(&webhook_timeout, &webhook_max_review_bytes, &webhook_max_memory_bytes),
                most_connections: found.connections("--webhook.max-connections", &webhook_max_connections),
                certificates: {
                    let own = CertificateSource::Own {
                        secret: found.required("--webhook.secret", Some(webhook_secret)),
                        lifetimes: found.lifetimes(&webhook_certificate_lifetime, &webhook_ca_lifetime),
                    };
                    let directory = Some(webhook_certificate_directory).filter(|path| !path.is_empty());
                    directory.map_or(own, |path| CertificateSource::Files(path.into()))
                },
            },
            signing_secret: found.required("--signing.secret", Some(signing_secret)),
            admin_address: found.address("--admin.listen-address", &admin_listen_address),
            collection_interval: found.interval("--collection.interval", &collection_interval),
            scope: found.scope(&namespaces),
            monitor_labels: found.labels("--monitor.labels", &monitor_labels),
            leader: LeaderConfig {
                lease: found.required("--leader.lease", Some(leader_lease)),
                identity: found.required("--leader.identity", Some(leader_identity)),
                timings: found.timings(&leader_lease_duration, &leader_renew_deadline, &leader_retry_period),
            },
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

// === impl SidecarImage ===

impl SidecarImage {
    /// Makes the sidecar's flags ready where there is no operator, which would need a namespace.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn from_args(args: Args) -> Result<Self, Mistakes> {
        let namespace = Some("default".to_owned());
        Config::from_args(Args { namespace, ..args }).map(|config| config.sidecar)
    }
}

impl Default for SidecarImage {
    fn default() -> Self {
        Self { image: String::new(), pull_policy: "IfNotPresent".to_owned(), run_as_user: Some(SIDECAR_USER) }
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
        self.at_least(Duration::from_secs(1), flag, text)
    }

    fn at_least(&mut self, least: Duration, flag: &str, text: &str) -> Duration {
        let length = text.parse::<crds::Duration>().map(|duration| duration.length());
        match length {
            Ok(length) if least <= length => length,
            Ok(_) | Err(_) => {
                self.0.push(format!(
                    "{flag}: expected a duration of at least {least:?}, such as 10s or 1m, found {text:?}"
                ));
                least
            }
        }
    }

    fn webhook_limits(&mut self, timeout: &str, review: &str, memory: &str) -> WebhookLimits {
        let review_bytes = self.bytes("--webhook.max-review-bytes", review, 64 * 1024);
        // The text of a review, as much again while it comes, and the pod in it.
        let memory_bytes = self.bytes("--webhook.max-memory-bytes", memory, review_bytes.saturating_mul(4));
        // The API server may wait for no longer than a second.
        let timeout = self.at_least(Duration::from_millis(100), "--webhook.timeout", timeout);
        WebhookLimits { timeout, review_bytes, memory_bytes }
    }

    fn connections(&mut self, flag: &str, text: &str) -> usize {
        const LEAST: usize = 8;
        text.parse().ok().filter(|most| LEAST <= *most).unwrap_or_else(|| {
            self.0.push(format!("{flag}: expected a number of connections, at least {LEAST}, found {text:?}"));
            LEAST
        })
    }

    fn bytes(&mut self, flag: &str, text: &str, least: usize) -> usize {
        match text.parse() {
            Ok(bytes) if least <= bytes => bytes,
            Ok(_) | Err(_) => {
                self.0.push(format!("{flag}: expected a number of bytes, at least {least}, found {text:?}"));
                least
            }
        }
    }

    /// Short enough for a test to see some of them, and never so short that a CA ends with what it signs.
    fn lifetimes(&mut self, certificate: &str, authority: &str) -> Lifetimes {
        const SHORTEST: Duration = Duration::from_secs(10);
        const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
        let length = |text: &str| text.parse::<crds::Duration>().ok().map(|duration| duration.length());
        let mut check = |flag: &str, text: &str, least: Duration, said: &str| {
            let found = length(text).filter(|length| (least..=LONGEST).contains(length));
            if found.is_none() {
                self.0.push(format!("{flag}: expected a duration of at least {said} and at most 100y, found {text:?}"));
            }
            found.and_then(|length| SignedDuration::try_from(length).ok())
        };
        let leaf = check("--webhook.certificate-lifetime", certificate, SHORTEST, "10s");
        let least = leaf.map_or(SHORTEST, |leaf| leaf.unsigned_abs()) * 2;
        let authority = check("--webhook.ca-lifetime", authority, least, "twice --webhook.certificate-lifetime");
        let lifetimes = leaf.zip(authority);
        lifetimes.map_or_else(Lifetimes::default, |(certificate, authority)| Lifetimes { certificate, authority })
    }

    /// Whatever is said: nobody leads at the same time as another, and a leader has the time for a write.
    fn timings(&mut self, lease: &str, renew: &str, retry: &str) -> Timings {
        let before = self.0.len();
        let timings = Timings {
            lease: self.interval("--leader.lease-duration", lease),
            renew: self.interval("--leader.renew-deadline", renew),
            retry: self.interval("--leader.retry-period", retry),
        };
        if before < self.0.len() {
            return Timings::default();
        }
        // A clock may be a fifth faster than another.
        if timings.lease < timings.renew * 6 / 5 {
            let least = timings.renew * 6 / 5;
            self.0.push(format!("--leader.lease-duration: expected at least {least:?}, a fifth more than --leader.renew-deadline, found {lease:?}"));
        }
        if timings.lease.subsec_nanos() != 0 {
            self.0.push(format!("--leader.lease-duration: expected whole seconds, found {lease:?}"));
        }
        let least = LONGEST_WRITE + timings.retry * 3 / 2;
        if timings.renew < least {
            self.0.push(format!(
                "--leader.renew-deadline: expected at least {least:?}, for a write after --leader.retry-period, found {renew:?}"
            ));
        }
        timings
    }

    fn scope(&mut self, namespaces: &[String]) -> Scope {
        Scope::of(namespaces.iter().map(|name| name.trim()).filter(|name| !name.is_empty())).unwrap_or_else(|name| {
            self.0.push(format!("--namespaces: expected names of namespaces with commas between them, found {name:?}"));
            Scope::All
        })
    }

    fn labels(&mut self, flag: &str, pairs: &[String]) -> BTreeMap<String, String> {
        let pairs = pairs.iter().map(|pair| pair.trim()).filter(|pair| !pair.is_empty());
        labels(pairs).unwrap_or_else(|pair| {
            self.0.push(format!(
                "{flag}: expected labels such as release=stack with commas between them, found {pair:?}"
            ));
            BTreeMap::new()
        })
    }

    fn pull_policy(&mut self, text: String) -> String {
        if !matches!(text.as_str(), "Always" | "IfNotPresent" | "Never") {
            let flag = "--sidecar.image-pull-policy";
            self.0.push(format!("{flag}: expected Always, IfNotPresent or Never, found {text:?}"));
        }
        text
    }

    fn user(&mut self, flag: &str, text: &str) -> Option<i64> {
        if text.is_empty() {
            return None;
        }
        let user = text.parse().ok().filter(|user| (1..=i64::from(i32::MAX)).contains(user));
        if user.is_none() {
            let expected = "expected a number from 1 to 2147483647, or nothing where the platform assigns users";
            self.0.push(format!("{flag}: {expected}, found {text:?}"));
        }
        user
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
        assert_eq!(config.sidecar.run_as_user, Some(SIDECAR_USER));
        assert_eq!((&config.scope, config.leader.timings), (&Scope::All, Timings::default()));
        assert_eq!(
            config.webhook_names(),
            ["sidegate-operator.sidegate.svc", "sidegate-operator.sidegate.svc.cluster.local"]
        );
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let flags = [
            "--sidecar.image-pull-policy=Sometimes",
            "--sidecar.run-as-user=root",
            "--webhook.listen-address=9443",
            "--webhook.service=",
            "--webhook.timeout=99ms",
            "--webhook.max-review-bytes=1",
            "--webhook.max-memory-bytes=3MiB",
            "--webhook.max-connections=7",
            "--collection.interval=0s",
            "--namespaces=data,/etc",
            "--monitor.labels=release",
            "--leader.lease=",
            "--leader.lease-duration=soon",
            "--log.level=loud",
            "--log.format=xml",
        ];
        assert_eq!(
            config(&flags).unwrap_err(),
            "--namespace: expected a value, found none\n\
             --sidecar.image: expected a value, found none\n\
             --sidecar.image-pull-policy: expected Always, IfNotPresent or Never, found \"Sometimes\"\n\
             --sidecar.run-as-user: expected a number from 1 to 2147483647, or nothing where the platform assigns users, found \"root\"\n\
             --webhook.listen-address: expected an address such as [::]:9443 or 0.0.0.0:9443, found \"9443\"\n\
             --webhook.service: expected a value, found none\n\
             --webhook.max-review-bytes: expected a number of bytes, at least 65536, found \"1\"\n\
             --webhook.max-memory-bytes: expected a number of bytes, at least 262144, found \"3MiB\"\n\
             --webhook.timeout: expected a duration of at least 100ms, such as 10s or 1m, found \"99ms\"\n\
             --webhook.max-connections: expected a number of connections, at least 8, found \"7\"\n\
             --collection.interval: expected a duration of at least 1s, such as 10s or 1m, found \"0s\"\n\
             --namespaces: expected names of namespaces with commas between them, found \"/etc\"\n\
             --monitor.labels: expected labels such as release=stack with commas between them, found \"release\"\n\
             --leader.lease: expected a value, found none\n\
             --leader.lease-duration: expected a duration of at least 1s, such as 10s or 1m, found \"soon\"\n\
             --log.level: expected debug, info, warn or error, found \"loud\"\n\
             --log.format: expected logfmt or json, found \"xml\""
        );
    }

    #[test]
    fn the_sidecars_user_is_a_number_or_the_platforms() {
        let user = |text: &str| {
            let flag = format!("--sidecar.run-as-user={text}");
            config(&["--namespace=sidegate", "--sidecar.image=sidegate:1", &flag])
                .map(|config| config.sidecar.run_as_user)
        };
        assert_eq!(user("1000650000"), Ok(Some(1_000_650_000)));
        assert_eq!(user(""), Ok(None));
        for wrong in ["0", "-1", "2147483648", "65532:65532"] {
            assert!(user(wrong).unwrap_err().starts_with("--sidecar.run-as-user: expected a number"), "{wrong}");
        }
    }

    #[test]
    fn certificates_are_our_own_unless_there_is_a_folder_with_others() {
        let source = |flags: &[&str]| {
            let given = ["--namespace=sidegate", "--sidecar.image=sidegate:1"];
            config(&[&given, flags].concat()).map(|config| config.webhook.certificates)
        };
        let own = |secret: &str, lifetimes| CertificateSource::Own { secret: secret.to_owned(), lifetimes };
        assert_eq!(source(&[]).unwrap(), own("sidegate-webhook-tls", Lifetimes::default()));
        let seconds = SignedDuration::from_secs;
        let short = Lifetimes { certificate: seconds(10), authority: seconds(20) };
        let flags = ["--webhook.secret=tls", "--webhook.certificate-lifetime=10s", "--webhook.ca-lifetime=20s"];
        assert_eq!(source(&flags).unwrap(), own("tls", short));
        assert_eq!(source(&["--webhook.certificate-directory=/tls"]).unwrap(), CertificateSource::Files("/tls".into()));
        assert_eq!(
            source(&["--webhook.certificate-lifetime=9s", "--webhook.ca-lifetime=101y"]).unwrap_err(),
            "--webhook.certificate-lifetime: expected a duration of at least 10s and at most 100y, found \"9s\"\n\
             --webhook.ca-lifetime: expected a duration of at least twice --webhook.certificate-lifetime and at most 100y, found \"101y\""
        );
        assert_eq!(
            source(&["--webhook.ca-lifetime=179d"]).unwrap_err(),
            "--webhook.ca-lifetime: expected a duration of at least twice --webhook.certificate-lifetime and at most 100y, found \"179d\""
        );
    }

    fn timings(lease: &str, renew: &str, retry: &str) -> Result<Timings, String> {
        let flags = [
            "--namespace=sidegate".to_owned(),
            "--sidecar.image=sidegate:1".to_owned(),
            format!("--leader.lease-duration={lease}"),
            format!("--leader.renew-deadline={renew}"),
            format!("--leader.retry-period={retry}"),
        ];
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        config(&flags).map(|config| config.leader.timings)
    }

    #[test]
    fn times_of_an_election_that_would_make_two_leaders_or_none_that_writes_are_mistakes() {
        assert_eq!(timings("60s", "40s", "5s").unwrap().renew, Duration::from_secs(40));
        assert_eq!(
            timings("11s", "10s", "2s").unwrap_err(),
            "--leader.lease-duration: expected at least 12s, a fifth more than --leader.renew-deadline, found \"11s\""
        );
        assert_eq!(
            timings("15500ms", "10s", "2s").unwrap_err(),
            "--leader.lease-duration: expected whole seconds, found \"15500ms\""
        );
        assert_eq!(
            timings("15s", "6s", "2s").unwrap_err(),
            "--leader.renew-deadline: expected at least 8s, for a write after --leader.retry-period, found \"6s\""
        );
    }

    #[test]
    fn namespaces_are_a_list() {
        let scope = |list: &str| {
            config(&["--namespace=sidegate", "--sidecar.image=sidegate:1", &format!("--namespaces={list}")])
                .unwrap()
                .scope
        };
        assert_eq!(scope(""), Scope::All);
        assert_eq!(scope("web, data,web"), Scope::Namespaces(vec!["data".to_owned(), "web".to_owned()]));
    }
}
