//! `spec.sidecar.limits`: how much the containers of one pod may push. Each field is one flag of the sidecar.
//!
//! The upper bounds are there so that no number is too large for the sidecar to read.
//!
//! *Never:* what becomes of a push that exceeds one.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// The longest durations that the sidecar reads have no days, weeks or years in them.
pub(super) const SHORT: &str = "!self.matches('[ywd]')";

/// What a longer one is answered with.
pub(super) const EXPECTED_SHORT: &str = "expected hours, minutes and seconds, such as 90s or 1h30m";

/// How much the containers of one pod may push; a push beyond a limit is answered with a 4xx or 503 that names it, and
/// counted in `sidegate_pushes_refused_total`. In every field 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Bytes of the body of one push, as it is sent. Default: 16777216 (16 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub body_bytes: Option<i64>,

    /// Bytes of the body of one push once it is decompressed; it holds for a body that is not compressed, too.
    /// Default: 16777216 (16 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub decompressed_bytes: Option<i64>,

    /// By which factor a body may grow when it is decompressed; up to 512 KiB it may by any. Default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub compression_ratio: Option<i64>,

    /// How long the body of a push may take to come: hours, minutes and seconds, such as `30s`; `0s` is no limit.
    /// Default: `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (SHORT, EXPECTED_SHORT))]
    pub body_time: Option<Duration>,

    /// Series in one push; a histogram or a summary is one series. Default: 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub push_series: Option<i64>,

    /// Bytes that one push may take on the page, where each series has its name and all labels of the grouping key.
    /// Default: 33554432 (32 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub push_page_bytes: Option<i64>,

    /// Groups that are kept. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub groups: Option<i64>,

    /// Series that are kept in one group. Default: 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub group_series: Option<i64>,

    /// Series that are kept in all groups together. Default: 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub series: Option<i64>,

    /// Labels on one series, and in a grouping key. Default: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub labels: Option<i64>,

    /// Bytes of a label's name. Default: 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub label_name_bytes: Option<i64>,

    /// Bytes of a label's value. Default: 16384 (16 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub label_value_bytes: Option<i64>,

    /// Bytes of a metric's name. Default: 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub metric_name_bytes: Option<i64>,

    /// Bytes of a metric's help, and of its unit. Default: 16384 (16 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub help_bytes: Option<i64>,

    /// Buckets of one histogram, or quantiles of one summary. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub buckets: Option<i64>,

    /// Pushes that are under way at once; one more is answered 503. Default: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub concurrent_pushes: Option<i64>,

    /// Bytes of all bodies that are under way at once. Default: 33554432 (32 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_099_511_627_776_i64))]
    pub concurrent_bytes: Option<i64>,

    /// Connections that are open at once; those of pushers and those of scrapers are counted apart. Default: 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub connections: Option<i64>,

    /// Bytes of a request's line and headers. Default: 65536 (64 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub header_bytes: Option<i64>,

    /// How long a request's line and headers may take to come: hours, minutes and seconds, such as `30s`; `0s` is no
    /// limit. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (SHORT, EXPECTED_SHORT))]
    pub header_time: Option<Duration>,

    /// How long a connection may be without a request, or with an answer that nobody reads: hours, minutes and seconds,
    /// such as `30s`; `0s` is no limit. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (SHORT, EXPECTED_SHORT))]
    pub idle_time: Option<Duration>,
}
