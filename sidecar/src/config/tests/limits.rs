//! Flags of limits.

use super::*;
use crate::exposition::Limits;

#[test]
fn a_sidecar_takes_less_than_a_process_alone() {
    let config = config(&["sidecar"]).unwrap();
    let connections = ConnectionLimits { connections: 512, header_bytes: 65_536, ..ConnectionLimits::default() };
    assert_eq!(config.connections, connections);
    let megabytes = |count: usize| count * 1024 * 1024;
    let bodies = BodyLimits {
        concurrent: 128,
        bytes_at_once: megabytes(32),
        decompressed_bytes: megabytes(16),
        ..BodyLimits::default()
    };
    assert_eq!(config.settings.bodies, bodies);
    let pushes = Limits { series: 100_000, page_bytes: megabytes(32), ..Limits::default() };
    assert_eq!(config.settings.pushes, pushes);
    let stored = store::Limits { groups: 10_000, group_series: 100_000, series: 100_000 };
    assert_eq!(config.rules.limits, stored);
}

/// Every flag of a limit.
const FLAGS: [&str; 21] = [
    "web.max-connections",
    "web.max-header-bytes",
    "web.header-timeout",
    "web.idle-timeout",
    "push.body-timeout",
    "push.max-concurrent",
    "push.max-bytes-at-once",
    "push.max-body-bytes",
    "push.max-decompressed-bytes",
    "push.max-compression-ratio",
    "push.max-series",
    "push.max-page-bytes",
    "push.max-labels",
    "push.max-label-name-bytes",
    "push.max-label-value-bytes",
    "push.max-metric-name-bytes",
    "push.max-help-bytes",
    "push.max-buckets",
    "storage.max-group-series",
    "storage.max-series",
    "storage.max-groups",
];

/// All limits, each of which another flag sets to the number of its place.
#[test]
fn each_flag_sets_its_limit_and_no_other() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let flags = FLAGS.iter().enumerate().map(|(place, flag)| {
        let unit = if flag.ends_with("timeout") { "s" } else { "" };
        format!("--{flag}={}{unit}", place + 1)
    });
    let flags: Vec<_> = flags.collect();
    for role in [&[][..], &["sidecar"]] {
        let args: Vec<_> = role.iter().copied().chain(flags.iter().map(String::as_str)).collect();
        let found = config(&args).unwrap();
        let connections =
            ConnectionLimits { connections: 1, header_bytes: 2, header_time: seconds(3), idle_time: seconds(4) };
        assert_eq!(found.connections, connections);
        let bodies = BodyLimits {
            time: seconds(5),
            concurrent: 6,
            bytes_at_once: 7,
            bytes: 8,
            decompressed_bytes: 9,
            compression_ratio: 10,
        };
        assert_eq!(found.settings.bodies, bodies);
        let pushes = Limits {
            series: 11,
            page_bytes: 12,
            labels: 13,
            label_name_bytes: 14,
            label_value_bytes: 15,
            metric_name_bytes: 16,
            help_bytes: 17,
            buckets: 18,
        };
        assert_eq!(found.settings.pushes, pushes);
        assert_eq!(found.rules.limits, store::Limits { group_series: 19, series: 20, groups: 21 });
    }
}

#[test]
fn zero_is_no_limit() {
    let flags: Vec<_> = FLAGS.iter().map(|flag| format!("--{flag}=0")).collect();
    let found = config(&flags.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert_eq!(found.connections, ConnectionLimits::NONE);
    assert_eq!(found.settings.pushes, Limits::NONE);
    assert_eq!(found.rules.limits, store::Limits::NONE);
    let BodyLimits { concurrent, bytes_at_once, bytes, decompressed_bytes, compression_ratio, time } =
        found.settings.bodies;
    assert_eq!([concurrent, bytes_at_once, bytes, decompressed_bytes, compression_ratio], [usize::MAX; 5]);
    assert_eq!(time, None);
}

#[test]
fn a_limit_that_is_no_number_or_duration_is_a_mistake() {
    for flag in FLAGS {
        let expected = if flag.ends_with("timeout") {
            "a duration such as 30s or 1h30m"
        } else {
            "a whole number, or 0 for no limit"
        };
        for bad in ["many", "-1", "1.5x"] {
            let mistake = format!("--{flag}: expected {expected}, found {bad:?}");
            assert_eq!(config(&[&format!("--{flag}={bad}")]).unwrap_err(), mistake);
        }
    }
}
