//! The limits, from flags to the values that hold them: those of connections, of bodies, of what is in a push, of what
//! is stored.
//!
//! *Never:* defaults, what becomes of who exceeds one.

use std::time::Duration;

use protocol::flags;

use super::{reader::Reader, word};
use crate::{
    args::LimitArgs,
    duration,
    exposition::{self, Limit},
    http::BodyLimits,
    listen::ConnectionLimits,
    store,
};

/// All of them.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) connections: ConnectionLimits,
    pub(super) bodies: BodyLimits,
    pub(super) pushes: exposition::Limits,
    pub(super) stored: store::Limits,
}

/// Goes through everything before it gives up.
pub(super) fn read(reader: &mut Reader, args: &LimitArgs) -> Option<Limits> {
    let mut count = |flag: &str, value: &str| reader.read(flag, value, word::limit);
    let connections = count("--web.max-connections", &args.max_connections);
    let header_bytes = count("--web.max-header-bytes", &args.max_header_bytes);
    let concurrent = count("--push.max-concurrent", &args.max_concurrent);
    let bytes_at_once = count("--push.max-bytes-at-once", &args.max_bytes_at_once);
    let body_bytes = count(flags::MAX_BODY_BYTES, &args.max_body_bytes);
    let decompressed_bytes = count(flags::MAX_DECOMPRESSED_BYTES, &args.max_decompressed_bytes);
    let compression_ratio = count("--push.max-compression-ratio", &args.max_compression_ratio);
    let series = count(Limit::Series.flag(), &args.max_series);
    let page_bytes = count(Limit::Page.flag(), &args.max_page_bytes);
    let labels = count(Limit::Labels.flag(), &args.max_labels);
    let label_name_bytes = count(Limit::LabelName.flag(), &args.max_label_name_bytes);
    let label_value_bytes = count(Limit::LabelValue.flag(), &args.max_label_value_bytes);
    let metric_name_bytes = count(Limit::MetricName.flag(), &args.max_metric_name_bytes);
    let help_bytes = count(Limit::Help.flag(), &args.max_help_bytes);
    let buckets = count(Limit::Buckets.flag(), &args.max_buckets);
    let group_series = count(store::Limit::GroupSeries.flag(), &args.max_group_series);
    let stored_series = count(store::Limit::Series.flag(), &args.max_stored_series);
    let groups = count(store::Limit::Groups.flag(), &args.max_groups);
    let mut time = |flag: &str, value: &str| reader.read(flag, value, limit_of_time);
    let header_time = time("--web.header-timeout", &args.header_timeout);
    let idle_time = time("--web.idle-timeout", &args.idle_timeout);
    let body_time = time("--push.body-timeout", &args.body_timeout);
    let connections = ConnectionLimits {
        connections: connections?,
        header_time: header_time?,
        idle_time: idle_time?,
        header_bytes: header_bytes?,
    };
    let bodies = BodyLimits {
        concurrent: concurrent?,
        bytes_at_once: bytes_at_once?,
        bytes: body_bytes?,
        decompressed_bytes: decompressed_bytes?,
        compression_ratio: compression_ratio?,
        time: body_time?,
    };
    let pushes = exposition::Limits {
        series: series?,
        labels: labels?,
        label_name_bytes: label_name_bytes?,
        label_value_bytes: label_value_bytes?,
        metric_name_bytes: metric_name_bytes?,
        help_bytes: help_bytes?,
        buckets: buckets?,
        page_bytes: page_bytes?,
    };
    let stored = store::Limits { groups: groups?, group_series: group_series?, series: stored_series? };
    Some(Limits { connections, bodies, pushes, stored })
}

fn limit_of_time(text: &str) -> Result<Option<Duration>, String> {
    duration::parse(text).map(|limit| Some(limit).filter(|limit| !limit.is_zero()))
}
