//! Flags of every role.
//!
//! *Never:* what a value means.

use super::{AuthArgs, LimitArgs};

/// Flags of every role but those of the log, which are shown last.
#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(crate) web: WebArgs,
    #[command(flatten)]
    pub(crate) push: PushArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) measurement: MeasurementArgs,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
}

/// Which paths there are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Web")]
pub(crate) struct WebArgs {
    /// URL under which others reach this process; its path stands before links, and before all paths unless the route
    /// prefix says otherwise.
    #[arg(long = "web.external-url", env = "SIDEGATE_WEB_EXTERNAL_URL", value_name = "URL")]
    pub(crate) external_url: Option<String>,

    /// Put this before all paths, in a sidecar of the push listener only; `/` means nothing.
    #[arg(long = "web.route-prefix", env = "SIDEGATE_WEB_ROUTE_PREFIX", value_name = "PATH")]
    pub(crate) route_prefix: Option<String>,

    /// Let `/-/quit` end the process.
    #[arg(long = "web.enable-lifecycle", env = "SIDEGATE_WEB_ENABLE_LIFECYCLE", default_value = "false")]
    pub(crate) enable_lifecycle: String,

    /// Let the admin API wipe everything, remove groups by matchers and push with times of the past.
    #[arg(long = "web.enable-admin-api", env = "SIDEGATE_WEB_ENABLE_ADMIN_API", default_value = "false")]
    pub(crate) enable_admin_api: String,
}

/// What is done with a push.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Push")]
pub(crate) struct PushArgs {
    /// Remove a group when its last push is older than this, such as `1h30m` or `7d`; a wall clock set forward ages all
    /// groups, a sidecar keeps each until a scrape has seen that push, and without this flag groups stay.
    #[arg(long = "push.stale-after", env = "SIDEGATE_PUSH_STALE_AFTER", value_name = "DURATION")]
    pub(crate) stale_after: Option<String>,

    /// What to do with timestamps in a push: reject (the push), strip (them) or honor (and show them).
    #[arg(long = "push.timestamps", env = "SIDEGATE_PUSH_TIMESTAMPS", value_name = "RULE", default_value = "reject")]
    pub(crate) timestamps: String,

    /// Take pushes without a job: to `/metrics`, and to `/metrics/LABEL/VALUE`.
    #[arg(long = "push.allow-missing-job", env = "SIDEGATE_PUSH_ALLOW_MISSING_JOB", default_value = "false")]
    pub(crate) allow_missing_job: String,

    /// Allow any UTF-8 in the names of metrics and labels.
    #[arg(long = "push.enable-utf8-names", env = "SIDEGATE_PUSH_ENABLE_UTF8_NAMES", default_value = "false")]
    pub(crate) enable_utf8_names: String,

    /// Answer every push that can be read with 202, and keep only the failure time of one that does not fit.
    #[arg(
        long = "push.disable-consistency-check",
        env = "SIDEGATE_PUSH_DISABLE_CONSISTENCY_CHECK",
        default_value = "false"
    )]
    pub(crate) disable_consistency_check: String,
}

/// `DataKit`'s naming.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Measurement")]
pub(crate) struct MeasurementArgs {
    /// Give every series a label `measurement`: the fixed name, else the job if it is to be, else what
    /// precedes the first `_`.
    #[arg(long = "measurement.enabled", env = "SIDEGATE_MEASUREMENT_ENABLED", default_value = "false")]
    pub(crate) measurement_enabled: String,

    /// The measurement of all series; turns measurements on.
    #[arg(long = "measurement.name", env = "SIDEGATE_MEASUREMENT_NAME", value_name = "NAME")]
    pub(crate) measurement_name: Option<String>,

    /// Take the job as the measurement; turns measurements on.
    #[arg(
        long = "measurement.job-as-measurement",
        env = "SIDEGATE_MEASUREMENT_JOB_AS_MEASUREMENT",
        default_value = "false"
    )]
    pub(crate) job_as_measurement: String,

    /// Keep the whole metric name where the measurement is a part of it; false turns measurements on.
    #[arg(
        long = "measurement.keep-metric-name",
        env = "SIDEGATE_MEASUREMENT_KEEP_METRIC_NAME",
        default_value = "true"
    )]
    pub(crate) keep_metric_name: String,
}

/// What is logged, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArgs {
    /// Log from this level on: debug, info, warn or error.
    #[arg(long = "log.level", env = "SIDEGATE_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,

    /// How to write the log: logfmt or json.
    #[arg(long = "log.format", env = "SIDEGATE_LOG_FORMAT", value_name = "FORMAT", default_value = "logfmt")]
    pub(crate) log_format: String,
}
