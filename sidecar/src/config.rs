//! `Args` → [`Config`], once, with every mistake in one report.
//!
//! What the store is to be told, [`Rules`], and what the handlers are to be told, [`Settings`], are made here and
//! handed on by `app`.
//!
//! *Never:* clap past this point, defaults (they are written where the help shows them).

mod auth;
mod limits;
mod path;
mod reader;
mod shown;
mod word;

use std::path::PathBuf;

use protocol::{NameValidation, endpoints::METRICS_PATH, flags};
use tracing::level_filters::LevelFilter;

use crate::{
    args::{
        AloneArgs, Args, Command, CommonArgs, HoldOpenArgs, ImportArgs, ListenArgs, MeasurementArgs, PodArgs, PortArgs,
        PushArgs, SidecarArgs, StorageArgs, WebArgs,
    },
    auth::AuthSettings,
    clock::UnixSeconds,
    duration,
    exposition::measurement::Naming,
    http::Settings,
    import::{Endpoint, Import},
    lifecycle::HoldOpen,
    listen::{ConnectionLimits, ListenAddress},
    store::{self, Rules},
    telemetry, web_config,
};
use limits::Limits;
use reader::Reader;
use shown::Shown;

/// What the process is to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    Serve(Box<Config>),
    Import {
        import: Import,
        /// Certificate authorities to trust instead of the public ones.
        ca_file: Option<String>,
    },
}

/// All settings of a process that serves, checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) log_level: LevelFilter,
    pub(crate) log_format: telemetry::Format,
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    /// Absent where nobody is asked for a token.
    pub(crate) auth: Option<AuthSettings>,
    pub(crate) connections: ConnectionLimits,
    pub(crate) role: Role,
}

/// What the process is.
#[derive(Debug, PartialEq)]
pub(crate) enum Role {
    Alone(Alone),
    Sidecar(Box<Sidecar>),
}

/// The settings that only the process alone has.
#[derive(Debug, PartialEq)]
pub(crate) struct Alone {
    pub(crate) sockets: Sockets,
    /// Where TLS and users are described.
    pub(crate) web_config: Option<PathBuf>,
}

/// Where the process alone gets its listeners from.
#[derive(Debug, PartialEq)]
pub(crate) enum Sockets {
    Own(Vec<ListenAddress>),
    /// Those that systemd has opened.
    Systemd,
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

/// The flags of one role.
enum RoleArgs {
    Alone(AloneArgs),
    Sidecar(SidecarArgs),
}

/// What stands before the paths that are served, and before those that are linked to.
struct Paths {
    route_prefix: String,
    link_prefix: String,
}

// === impl Plan ===

impl Plan {
    pub(crate) fn from_args(args: Args, started: UnixSeconds) -> Result<Self, ConfigError> {
        let mut reader = Reader::default();
        let serve = |config| Self::Serve(Box::new(config));
        let plan = match args.command {
            None => Config::read(&mut reader, RoleArgs::Alone(args.alone), started).map(serve),
            Some(Command::Sidecar(sidecar)) => {
                Config::read(&mut reader, RoleArgs::Sidecar(*sidecar), started).map(serve)
            }
            Some(Command::Import(import)) => read_import(&mut reader, *import),
        };
        plan.filter(|_| reader.mistakes.is_empty()).ok_or(ConfigError { mistakes: reader.mistakes })
    }
}

// === impl Config ===

impl Config {
    /// Goes through everything before it gives up, so that no mistake hides another.
    fn read(reader: &mut Reader, args: RoleArgs, started: UnixSeconds) -> Option<Self> {
        let mut shown = Shown::default();
        let is_alone = matches!(args, RoleArgs::Alone(_));
        let (role, telemetry_path, common, log) = match args {
            RoleArgs::Alone(AloneArgs { listen, common, storage, log }) => {
                let (role, telemetry_path) = read_alone(reader, &mut shown, listen);
                read_storage(reader, &mut shown, storage);
                (role, telemetry_path, common, log)
            }
            RoleArgs::Sidecar(SidecarArgs { ports, hold_open, pod, common, log }) => {
                shown.sidecar(&ports.push_listen_address);
                (read_sidecar(reader, ports, hold_open, pod), Some(METRICS_PATH.to_owned()), common, log)
            }
        };
        let CommonArgs { web, push, limits, measurement, auth } = common;
        let auth = auth::read(reader, auth, is_alone);
        let paths = read_paths(reader, &mut shown, &web);
        let has_lifecycle_api = reader.switch("--web.enable-lifecycle", &web.enable_lifecycle);
        let has_admin_api = reader.switch("--web.enable-admin-api", &web.enable_admin_api);
        shown.switch("web.enable-lifecycle", has_lifecycle_api);
        shown.switch("web.enable-admin-api", has_admin_api);
        // Alone there is no end to be held open for, and nobody has to scrape.
        let keeps_unseen = matches!(role, Some(Role::Sidecar(_)));
        let rules = read_rules(reader, &push, keeps_unseen);
        let limits = limits::read(reader, &limits);
        let allows_missing_job = reader.switch("--push.allow-missing-job", &push.allow_missing_job);
        let has_utf8_names = reader.switch("--push.enable-utf8-names", &push.enable_utf8_names);
        let is_unchecked = reader.switch("--push.disable-consistency-check", &push.disable_consistency_check);
        shown.switch("push.enable-utf8-names", has_utf8_names);
        shown.switch("push.disable-consistency-check", is_unchecked);
        let measurement = read_naming(reader, measurement);
        let log_level = reader.read(flags::LOG_LEVEL, &log.log_level, word::level);
        let log_format = reader.read(flags::LOG_FORMAT, &log.log_format, word::format);
        shown.text("log.level", &log.log_level);
        shown.text("log.format", &log.log_format);
        let Paths { route_prefix, link_prefix } = paths?;
        let Limits { connections, bodies, pushes, stored } = limits?;
        let settings = Settings {
            route_prefix: route_prefix.into(),
            telemetry_path: telemetry_path?.into(),
            link_prefix: link_prefix.into(),
            bodies,
            pushes,
            names: if has_utf8_names? { NameValidation::Utf8 } else { NameValidation::Legacy },
            is_unchecked: is_unchecked?,
            allows_missing_job: allows_missing_job?,
            has_admin_api: has_admin_api?,
            has_lifecycle_api: has_lifecycle_api?,
            measurement: measurement?,
            flags: shown.sorted(),
            started,
        };
        let (log_level, log_format) = (log_level?, log_format?);
        let rules = Rules { limits: stored, ..rules? };
        Some(Self { log_level, log_format, settings, rules, connections, auth: auth?, role: role? })
    }
}

fn read_alone(reader: &mut Reader, shown: &mut Shown, listen: ListenArgs) -> (Option<Role>, Option<String>) {
    let ListenArgs { listen_address, systemd_socket, config_file, telemetry_path } = listen;
    let addresses = reader.read_all("--web.listen-address", &listen_address, ListenAddress::parse);
    let is_systemd = reader.switch("--web.systemd-socket", &systemd_socket);
    let web_config = reader::given(config_file).map(PathBuf::from);
    if let Some(error) = web_config.as_deref().and_then(|path| web_config::check(path).err()) {
        reader.mistakes.push(format!("--web.config.file: {error}"));
    }
    let path = reader.read("--web.telemetry-path", &telemetry_path, path::telemetry);
    shown.text("web.listen-address", &listen_address.join(","));
    shown.switch("web.systemd-socket", is_systemd);
    shown.text("web.config.file", &web_config.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    shown.text("web.telemetry-path", path.as_deref().unwrap_or(&telemetry_path));
    let sockets = match is_systemd {
        Some(true) => Some(Sockets::Systemd),
        Some(false) => addresses.map(Sockets::Own),
        None => None,
    };
    (sockets.map(|sockets| Role::Alone(Alone { sockets, web_config })), path)
}

fn read_storage(reader: &mut Reader, shown: &mut Shown, storage: StorageArgs) {
    let StorageArgs { persistence_file, persistence_interval } = storage;
    reader.not_yet("--persistence.file", persistence_file, "keeps metrics in memory only");
    let interval = reader.read("--persistence.interval", &persistence_interval, duration::parse);
    shown.text("persistence.file", "");
    shown.text("persistence.interval", &interval.map(duration::shown).unwrap_or_default());
}

fn read_sidecar(reader: &mut Reader, ports: PortArgs, hold_open: HoldOpenArgs, pod: PodArgs) -> Option<Role> {
    let PortArgs { push_listen_address, scrape_listen_address } = ports;
    let HoldOpenArgs { deadline, pod_deadline, termination_message_file } = hold_open;
    let PodArgs { pod_name, pod_namespace, pod_uid, trust_dir } = pod;
    let push = reader.read_all(flags::PUSH_LISTEN_ADDRESS, &push_listen_address, ListenAddress::parse);
    let scrape = reader.read(flags::SCRAPE_LISTEN_ADDRESS, &scrape_listen_address, ListenAddress::parse);
    let deadline = reader.read(flags::HOLD_OPEN_DEADLINE, &deadline, duration::parse);
    let pod_deadline = reader.read_given(flags::POD_DEADLINE, pod_deadline, duration::parse);
    let termination_message_file = reader::given(termination_message_file).map(PathBuf::from);
    Some(Role::Sidecar(Box::new(Sidecar {
        push: push?,
        scrape: scrape?,
        hold_open: HoldOpen { deadline: deadline?, pod_deadline, termination_message_file },
        trust_dir: reader::given(trust_dir).map(PathBuf::from),
        pod_name: reader::given(pod_name),
        pod_namespace: reader::given(pod_namespace),
        pod_uid: reader::given(pod_uid),
    })))
}

fn read_import(reader: &mut Reader, args: ImportArgs) -> Option<Plan> {
    let ImportArgs { from, telemetry_path, to, ca_file, dry_run } = args;
    let from = reader.read("--from", &from.unwrap_or_default(), Endpoint::parse);
    let telemetry_path = reader.read("--from.telemetry-path", &telemetry_path, path::prefix);
    let to = reader.read("--to", &to, Endpoint::parse);
    let is_dry_run = reader.switch("--dry-run", &dry_run);
    let import = Import { from: from?, telemetry_path: telemetry_path?, to: to?, is_dry_run: is_dry_run? };
    Some(Plan::Import { import, ca_file: reader::given(ca_file) })
}

/// Links start with the path of the external URL, whatever the routes start with; without one, as the routes do.
fn read_paths(reader: &mut Reader, shown: &mut Shown, web: &WebArgs) -> Option<Paths> {
    let external = reader.read_given("--web.external-url", web.external_url.clone(), path::of_external_url);
    let prefix = reader.read_given(flags::ROUTE_PREFIX, web.route_prefix.clone(), path::prefix);
    let route_prefix = prefix.or_else(|| external.clone()).unwrap_or_default();
    shown.text("web.external-url", web.external_url.as_deref().unwrap_or_default());
    shown.text("web.route-prefix", &route_prefix);
    let link_prefix = external.unwrap_or_else(|| route_prefix.clone());
    Some(Paths { route_prefix, link_prefix })
}

fn read_rules(reader: &mut Reader, push: &PushArgs, keeps_unseen: bool) -> Option<Rules> {
    let stale_after = reader.read_given("--push.stale-after", push.stale_after.clone(), duration::stale_after);
    let timestamps = reader.read("--push.timestamps", &push.timestamps, word::timestamps);
    Some(Rules { timestamps: timestamps?, stale_after, keeps_unseen, limits: store::Limits::NONE })
}

/// The inner `None` is the absence of naming. What only makes sense with naming turns it on.
fn read_naming(reader: &mut Reader, measurement: MeasurementArgs) -> Option<Option<Naming>> {
    let MeasurementArgs { measurement_enabled, measurement_name, job_as_measurement, keep_metric_name } = measurement;
    let is_enabled = reader.switch("--measurement.enabled", &measurement_enabled);
    let is_job = reader.switch("--measurement.job-as-measurement", &job_as_measurement);
    let keep = reader.switch("--measurement.keep-metric-name", &keep_metric_name);
    let naming = Naming { name: reader::given(measurement_name), job_as_measurement: is_job?, keep_metric_name: keep? };
    let is_on = is_enabled? || naming.name.is_some() || naming.job_as_measurement || !naming.keep_metric_name;
    Some(is_on.then_some(naming))
}

#[cfg(test)]
mod tests;
