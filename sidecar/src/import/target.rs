//! The gateway that takes over: a push for each step of a group, and a look at what became of it.
//!
//! *Never:* the source.

use std::collections::HashMap;

use protocol::{
    LabelSet,
    endpoints::{METRICS_PATH, PUSH_FAILURE_TIME_HEADER, PUSH_TIME_HEADER},
};

use super::{
    Client, Endpoint, ImportError, Left, SourceGroup, Step,
    client::{Answer, Method},
    source,
};
use crate::{
    clock::UnixSeconds,
    exposition::{Metric, MetricFamily, protobuf},
};

const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Pushes one group; the inner error is why the target does not take it.
pub(super) fn send(client: &Client, to: &Endpoint, group: &SourceGroup) -> Result<Result<(), String>, ImportError> {
    let mut method = Method::Put;
    for step in &group.steps {
        let answer = push(client, to, group, method, step)?;
        match answer.status {
            200 | 202 => method = Method::Post,
            403 | 404 => return Err(ImportError::NoAdminApi { url: to.url(""), sentence: answer.sentence() }),
            // What is there may be older than the group and yet newer than its oldest family.
            412 if method == Method::Put && 1 < group.steps.len() => return send_at_once(client, to, group),
            412 => return Ok(Err(format!("the target has a newer push: {}", answer.sentence()))),
            400..500 => return Ok(Err(format!("the target refuses it: {}", answer.sentence()))),
            _ => return Err(ImportError::Target(answer.unexpected(to.url(&group.key.to_path())))),
        }
    }
    Ok(Ok(()))
}

/// As one push at the time of the last, which is what a page shows.
fn send_at_once(client: &Client, to: &Endpoint, group: &SourceGroup) -> Result<Result<(), String>, ImportError> {
    let families = group.steps.iter().flat_map(|step| step.families.iter().cloned()).collect();
    let step = Step { time: group.push_time, families };
    let answer = push(client, to, group, Method::Put, &step)?;
    Ok(match answer.status {
        200 | 202 => Ok(()),
        412 => Err(format!("the target has a newer push: {}", answer.sentence())),
        _ => Err(format!("the target refuses it: {}", answer.sentence())),
    })
}

fn push(
    client: &Client,
    to: &Endpoint,
    group: &SourceGroup,
    method: Method,
    step: &Step,
) -> Result<Answer, ImportError> {
    let headers = [
        ("content-type", CONTENT_TYPE.to_owned()),
        (PUSH_TIME_HEADER, seconds(step.time)),
        (PUSH_FAILURE_TIME_HEADER, seconds(group.failure_time)),
    ];
    let body = protobuf::encode(&step.families);
    client.push(to, method, &group.key.to_path(), &headers, &body).map_err(ImportError::Target)
}

/// What was sent and is not on the target's page as it was sent.
pub(super) fn missing(client: &Client, to: &Endpoint, sent: &[SourceGroup]) -> Result<Vec<Left>, ImportError> {
    let found = source::families(client, to, METRICS_PATH)?;
    let metrics =
        found.iter().flat_map(|family| family.metrics.iter().map(|metric| ((&*family.name, &metric.labels), metric)));
    let found: HashMap<(&str, &LabelSet), &Metric> = metrics.collect();
    let mut left = Vec::new();
    for group in sent {
        for family in group.steps.iter().flat_map(|step| &step.families) {
            for metric in &family.metrics {
                let there = found.get(&(&*family.name, &metric.labels));
                if !there.is_some_and(|there| is_same(family, metric, there)) {
                    let why = format!("{}{} is not on the target's page as it was sent", family.name, metric.labels);
                    left.push(Left { group: group.key.to_string(), why });
                }
            }
        }
    }
    Ok(left)
}

/// As bytes, since a number that is none equals nothing.
fn is_same(family: &MetricFamily, sent: &Metric, found: &Metric) -> bool {
    let bytes = |metric: &Metric| {
        let metrics = vec![metric.clone()];
        protobuf::encode(&[MetricFamily { metrics, help: String::new(), unit: String::new(), ..family.clone() }])
    };
    bytes(sent) == bytes(found)
}

fn seconds(time: UnixSeconds) -> String {
    time.0.to_string()
}
