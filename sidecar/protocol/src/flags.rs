//! Names of the flags and of the sub-command that the injector writes into a sidecar container.
//!
//! The sidecar has a test that its command line knows every one of them.
//!
//! *Never:* the command-line parser, defaults, how a value is checked.

/// The sub-command of the injected process.
pub const SIDECAR_COMMAND: &str = "sidecar";

/// `IP:port` of the push listener; may be repeated.
pub const PUSH_LISTEN_ADDRESS: &str = "--push.listen-address";

/// `IP:port` of the read-only scrape listener.
pub const SCRAPE_LISTEN_ADDRESS: &str = "--scrape.listen-address";

/// Prefix of all paths of the push listener.
pub const ROUTE_PREFIX: &str = "--web.route-prefix";

/// How long to stay after SIGTERM for a scrape that has seen the last push; a duration such as `30s`, `0s` for never.
pub const HOLD_OPEN_DEADLINE: &str = "--hold-open.deadline";

/// How long the pod may live in all, counted from the start of the process; a duration. Holding open ends before it.
pub const POD_DEADLINE: &str = "--hold-open.pod-deadline";

/// The file that tells how many groups nobody has seen when the process ends.
pub const TERMINATION_MESSAGE_FILE: &str = "--hold-open.termination-message-file";

/// The folder that `sidegate-trust` is mounted at.
pub const TRUST_DIR: &str = "--trust.dir";

/// Name of the pod, from the downward API.
pub const POD_NAME: &str = "--pod.name";

/// Namespace of the pod, from the downward API.
pub const POD_NAMESPACE: &str = "--pod.namespace";

/// UID of the pod, from the downward API: what signed requests are bound to.
pub const POD_UID: &str = "--pod.uid";

/// What becomes of a pushed label `pod` or `namespace` that is not true: `rename`, `refuse` or `allow`.
pub const IDENTITY_LABELS: &str = "--push.identity-labels";

/// The folder to keep in what is pushed; without one it is in memory only.
pub const STORAGE_DIR: &str = "--storage.dir";

/// `never`, so that an answered push survives the end of the process, or `always`, so that it survives the machine's.
pub const STORAGE_SYNC: &str = "--storage.sync";

/// The file with the tokens that pushes and administration need.
pub const TOKEN_FILE: &str = "--auth.token-file";

/// Whether reading at the push listener needs a token too.
pub const AUTH_READS: &str = "--auth.reads";

/// What becomes of timestamps in a push: `reject`, `strip` or `honor`.
pub const TIMESTAMPS: &str = "--push.timestamps";

/// Whether every series gets a label `measurement`.
pub const MEASUREMENT_ENABLED: &str = "--measurement.enabled";

/// The measurement of all series.
pub const MEASUREMENT_NAME: &str = "--measurement.name";

/// Whether the job is the measurement.
pub const JOB_AS_MEASUREMENT: &str = "--measurement.job-as-measurement";

/// Whether a metric keeps its whole name where the measurement is a part of it.
pub const KEEP_METRIC_NAME: &str = "--measurement.keep-metric-name";

/// `debug`, `info`, `warn` or `error`.
pub const LOG_LEVEL: &str = "--log.level";

/// `logfmt` or `json`.
pub const LOG_FORMAT: &str = "--log.format";

/// Largest body of a push as it is sent, in bytes; 0 for no limit, as in all limits.
pub const MAX_BODY_BYTES: &str = "--push.max-body-bytes";

/// Largest body of a push once it is decompressed, in bytes.
pub const MAX_DECOMPRESSED_BYTES: &str = "--push.max-decompressed-bytes";

/// Largest factor that a body may grow by when it is decompressed.
pub const MAX_COMPRESSION_RATIO: &str = "--push.max-compression-ratio";

/// How long the body of a push may take; a duration.
pub const BODY_TIMEOUT: &str = "--push.body-timeout";

/// Most series in one push.
pub const MAX_PUSH_SERIES: &str = "--push.max-series";

/// Most bytes that one push takes on the page.
pub const MAX_PUSH_PAGE_BYTES: &str = "--push.max-page-bytes";

/// Most groups.
pub const MAX_GROUPS: &str = "--storage.max-groups";

/// Most series in one group.
pub const MAX_GROUP_SERIES: &str = "--storage.max-group-series";

/// Most series in all groups together.
pub const MAX_SERIES: &str = "--storage.max-series";

/// Most labels on a series and in a grouping key.
pub const MAX_LABELS: &str = "--push.max-labels";

/// Longest name of a label, in bytes.
pub const MAX_LABEL_NAME_BYTES: &str = "--push.max-label-name-bytes";

/// Longest value of a label, in bytes.
pub const MAX_LABEL_VALUE_BYTES: &str = "--push.max-label-value-bytes";

/// Longest name of a metric, in bytes.
pub const MAX_METRIC_NAME_BYTES: &str = "--push.max-metric-name-bytes";

/// Longest help and unit, in bytes.
pub const MAX_HELP_BYTES: &str = "--push.max-help-bytes";

/// Most buckets of a histogram or quantiles of a summary.
pub const MAX_BUCKETS: &str = "--push.max-buckets";

/// Most pushes under way at once.
pub const MAX_CONCURRENT: &str = "--push.max-concurrent";

/// Most bytes of bodies under way at once.
pub const MAX_BYTES_AT_ONCE: &str = "--push.max-bytes-at-once";

/// Most connections.
pub const MAX_CONNECTIONS: &str = "--web.max-connections";

/// Largest head of a request, in bytes.
pub const MAX_HEADER_BYTES: &str = "--web.max-header-bytes";

/// How long the head of a request may take; a duration.
pub const HEADER_TIMEOUT: &str = "--web.header-timeout";

/// How long a connection may be idle; a duration.
pub const IDLE_TIMEOUT: &str = "--web.idle-timeout";

/// Every flag the injector may write.
pub const ALL: [&str; 43] = [
    PUSH_LISTEN_ADDRESS,
    SCRAPE_LISTEN_ADDRESS,
    ROUTE_PREFIX,
    HOLD_OPEN_DEADLINE,
    POD_DEADLINE,
    TERMINATION_MESSAGE_FILE,
    TRUST_DIR,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    IDENTITY_LABELS,
    STORAGE_DIR,
    STORAGE_SYNC,
    TOKEN_FILE,
    AUTH_READS,
    TIMESTAMPS,
    MEASUREMENT_ENABLED,
    MEASUREMENT_NAME,
    JOB_AS_MEASUREMENT,
    KEEP_METRIC_NAME,
    LOG_LEVEL,
    LOG_FORMAT,
    MAX_BODY_BYTES,
    MAX_DECOMPRESSED_BYTES,
    MAX_COMPRESSION_RATIO,
    BODY_TIMEOUT,
    MAX_PUSH_SERIES,
    MAX_PUSH_PAGE_BYTES,
    MAX_GROUPS,
    MAX_GROUP_SERIES,
    MAX_SERIES,
    MAX_LABELS,
    MAX_LABEL_NAME_BYTES,
    MAX_LABEL_VALUE_BYTES,
    MAX_METRIC_NAME_BYTES,
    MAX_HELP_BYTES,
    MAX_BUCKETS,
    MAX_CONCURRENT,
    MAX_BYTES_AT_ONCE,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    HEADER_TIMEOUT,
    IDLE_TIMEOUT,
];

/// The environment variable that sets a flag: `--pod.uid` is `SIDEGATE_POD_UID`.
#[must_use]
pub fn environment_variable(flag: &str) -> String {
    let name = flag.trim_start_matches('-').replace(['.', '-'], "_");
    format!("SIDEGATE_{}", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_names_its_environment_variable() {
        assert_eq!(environment_variable(PUSH_LISTEN_ADDRESS), "SIDEGATE_PUSH_LISTEN_ADDRESS");
        assert_eq!(environment_variable(POD_UID), "SIDEGATE_POD_UID");
    }
}
