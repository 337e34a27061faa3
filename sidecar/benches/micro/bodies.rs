//! Bodies of so many series in every format, as a batch job pushes them: ten to a family, two labels of their own.
//!
//! *Never:* what is measured.

use std::fmt::Write as _;

use protocol::{LabelSet, NameValidation};
use sidecar::exposition::{MetricFamily, openmetrics, protobuf, text};

/// The body in text. The values are those of a round.
pub(crate) fn text(series: usize, round: usize) -> Vec<u8> {
    let mut body = String::new();
    // Few series are a family each.
    let to_a_family = if series < 100 { 1 } else { 10 };
    for family in 0..series / to_a_family {
        writeln!(body, "# HELP backup_step_{family}_seconds How long step {family} took.").unwrap();
        writeln!(body, "# TYPE backup_step_{family}_seconds gauge").unwrap();
        for one in 0..to_a_family {
            let value = 3.5 + round as f64;
            let labels = format!("database=\"orders-{one}\",target=\"s3-eu-central-1\"");
            writeln!(body, "backup_step_{family}_seconds{{{labels}}} {value}").unwrap();
        }
    }
    body.into_bytes()
}

pub(crate) fn families(series: usize, round: usize) -> Vec<MetricFamily> {
    text::decode(&text(series, round), NameValidation::Legacy).unwrap()
}

pub(crate) fn openmetrics(series: usize) -> Vec<u8> {
    openmetrics::encode(&families(series, 0)).into_bytes()
}

pub(crate) fn protobuf(series: usize) -> Vec<u8> {
    protobuf::encode(&families(series, 0))
}

/// The labels of a group's key.
pub(crate) fn key(group: usize) -> LabelSet {
    [("job", "nightly-backup"), ("instance", &format!("worker-{group}"))].into_iter().collect()
}
