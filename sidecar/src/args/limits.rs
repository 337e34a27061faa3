//! Flags that limit what clients may take. Each has a default that suits a process alone, and some a smaller one in the
//! sidecar: it runs in every pod, with little memory.
//!
//! *Never:* what a value means.

use clap::Arg;

/// The defaults that differ in the sidecar.
const IN_SIDECAR: [(&str, &str); 10] = [
    ("web.max-connections", "512"),
    ("web.max-header-bytes", "65536"),
    ("push.max-concurrent", "128"),
    ("push.max-bytes-at-once", "33554432"),
    ("push.max-decompressed-bytes", "16777216"),
    ("push.max-series", "100000"),
    ("push.max-page-bytes", "33554432"),
    ("storage.max-series", "100000"),
    ("storage.max-group-series", "100000"),
    ("storage.max-groups", "10000"),
];

/// What clients may take; 0 is no limit.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits (0 for none)")]
pub(crate) struct LimitArgs {
    /// Refuse connections while there are so many; in a sidecar, those of pushers and of scrapers are counted apart.
    #[arg(
        long = "web.max-connections",
        env = "SIDEGATE_WEB_MAX_CONNECTIONS",
        value_name = "COUNT",
        default_value = "4096"
    )]
    pub(crate) max_connections: String,

    /// Refuse requests with a larger head: request line and headers.
    #[arg(
        long = "web.max-header-bytes",
        env = "SIDEGATE_WEB_MAX_HEADER_BYTES",
        value_name = "BYTES",
        default_value = "1048576"
    )]
    pub(crate) max_header_bytes: String,

    /// Close a connection whose request takes longer than this to send its head.
    #[arg(
        long = "web.header-timeout",
        env = "SIDEGATE_WEB_HEADER_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    pub(crate) header_timeout: String,

    /// Close a connection that has been without a request, or whose answer nobody has read, for this long.
    #[arg(long = "web.idle-timeout", env = "SIDEGATE_WEB_IDLE_TIMEOUT", value_name = "DURATION", default_value = "5m")]
    pub(crate) idle_timeout: String,

    /// Refuse a push whose body takes longer than this to come.
    #[arg(
        long = "push.body-timeout",
        env = "SIDEGATE_PUSH_BODY_TIMEOUT",
        value_name = "DURATION",
        default_value = "1m"
    )]
    pub(crate) body_timeout: String,

    /// Refuse pushes while so many are under way.
    #[arg(
        long = "push.max-concurrent",
        env = "SIDEGATE_PUSH_MAX_CONCURRENT",
        value_name = "COUNT",
        default_value = "2048"
    )]
    pub(crate) max_concurrent: String,

    /// Refuse a push when the bodies that are under way would be larger than this together.
    #[arg(
        long = "push.max-bytes-at-once",
        env = "SIDEGATE_PUSH_MAX_BYTES_AT_ONCE",
        value_name = "BYTES",
        default_value = "536870912"
    )]
    pub(crate) max_bytes_at_once: String,

    /// Refuse larger bodies, as they are sent.
    #[arg(
        long = "push.max-body-bytes",
        env = "SIDEGATE_PUSH_MAX_BODY_BYTES",
        value_name = "BYTES",
        default_value = "16777216"
    )]
    pub(crate) max_body_bytes: String,

    /// Refuse bodies that are larger than this once decompressed.
    #[arg(
        long = "push.max-decompressed-bytes",
        env = "SIDEGATE_PUSH_MAX_DECOMPRESSED_BYTES",
        value_name = "BYTES",
        default_value = "67108864"
    )]
    pub(crate) max_decompressed_bytes: String,

    /// Refuse bodies that grow by more than this factor, and to more than 512 KiB, once decompressed.
    #[arg(
        long = "push.max-compression-ratio",
        env = "SIDEGATE_PUSH_MAX_COMPRESSION_RATIO",
        value_name = "FACTOR",
        default_value = "200"
    )]
    pub(crate) max_compression_ratio: String,

    /// Refuse pushes of more series; a histogram or a summary is one.
    #[arg(long = "push.max-series", env = "SIDEGATE_PUSH_MAX_SERIES", value_name = "COUNT", default_value = "1000000")]
    pub(crate) max_series: String,

    /// Refuse pushes that would take more than this on the page, where each series has its name and all labels of the
    /// key.
    #[arg(
        long = "push.max-page-bytes",
        env = "SIDEGATE_PUSH_MAX_PAGE_BYTES",
        value_name = "BYTES",
        default_value = "268435456"
    )]
    pub(crate) max_page_bytes: String,

    /// Refuse pushes with more labels on a series, or in the grouping key.
    #[arg(long = "push.max-labels", env = "SIDEGATE_PUSH_MAX_LABELS", value_name = "COUNT", default_value = "128")]
    pub(crate) max_labels: String,

    /// Refuse pushes with a longer label name.
    #[arg(
        long = "push.max-label-name-bytes",
        env = "SIDEGATE_PUSH_MAX_LABEL_NAME_BYTES",
        value_name = "BYTES",
        default_value = "1024"
    )]
    pub(crate) max_label_name_bytes: String,

    /// Refuse pushes with a longer label value.
    #[arg(
        long = "push.max-label-value-bytes",
        env = "SIDEGATE_PUSH_MAX_LABEL_VALUE_BYTES",
        value_name = "BYTES",
        default_value = "16384"
    )]
    pub(crate) max_label_value_bytes: String,

    /// Refuse pushes with a longer metric name.
    #[arg(
        long = "push.max-metric-name-bytes",
        env = "SIDEGATE_PUSH_MAX_METRIC_NAME_BYTES",
        value_name = "BYTES",
        default_value = "1024"
    )]
    pub(crate) max_metric_name_bytes: String,

    /// Refuse pushes with a longer help or unit.
    #[arg(
        long = "push.max-help-bytes",
        env = "SIDEGATE_PUSH_MAX_HELP_BYTES",
        value_name = "BYTES",
        default_value = "16384"
    )]
    pub(crate) max_help_bytes: String,

    /// Refuse pushes with more buckets, quantiles or the like in one histogram or summary.
    #[arg(long = "push.max-buckets", env = "SIDEGATE_PUSH_MAX_BUCKETS", value_name = "COUNT", default_value = "10000")]
    pub(crate) max_buckets: String,

    /// Refuse pushes that would make a group larger than this; what they replace does not count.
    #[arg(
        long = "storage.max-group-series",
        env = "SIDEGATE_STORAGE_MAX_GROUP_SERIES",
        value_name = "COUNT",
        default_value = "1000000"
    )]
    pub(crate) max_group_series: String,

    /// Refuse pushes that would make more series than this in all groups together.
    #[arg(
        long = "storage.max-series",
        env = "SIDEGATE_STORAGE_MAX_SERIES",
        value_name = "COUNT",
        default_value = "10000000"
    )]
    pub(crate) max_stored_series: String,

    /// Refuse pushes that would make more groups.
    #[arg(
        long = "storage.max-groups",
        env = "SIDEGATE_STORAGE_MAX_GROUPS",
        value_name = "COUNT",
        default_value = "1000000"
    )]
    pub(crate) max_groups: String,
}

/// With the default that it has in the sidecar.
pub(super) fn in_sidecar(arg: Arg) -> Arg {
    match IN_SIDECAR.iter().find(|(flag, _)| arg.get_long() == Some(flag)) {
        Some((_, default)) => arg.default_value(*default),
        None => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::tests::roles;

    #[test]
    fn each_default_of_the_sidecar_is_smaller_than_that_of_the_process_alone() {
        let [alone, sidecar] = roles();
        for (flag, _) in IN_SIDECAR {
            let default = |command: &clap::Command| -> u64 {
                let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).unwrap();
                arg.get_default_values()[0].to_str().unwrap().parse().unwrap()
            };
            assert!(default(&sidecar) < default(&alone), "{flag}");
        }
    }
}
