//! The gateway that is read: its groups and the values of their series, joined.
//!
//! *Never:* the target.

use std::collections::{BTreeMap, HashMap};

use protocol::{
    GroupingKey, LabelSet,
    series::{PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_SECONDS},
};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Client, Endpoint, ImportError, Left, MOST_READINGS, Reading, SourceGroup, Step};
use crate::{
    clock::UnixSeconds,
    exposition::{Kind, Metric, MetricFamily, protobuf},
    rfc3339,
};

const GROUPS_PATH: &str = "/api/v1/metrics";

/// The page with exact values, and names as they are.
const ACCEPT_PAGE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
                           escaping=allow-utf-8";

/// How far two writings of one moment lie apart at most: the one is a float, the other has nanoseconds.
const SAME_MOMENT: f64 = 1e-6;

/// The series of the page, by family and labels.
type Page = HashMap<String, (Kind, HashMap<LabelSet, Metric>)>;

#[derive(Deserialize)]
struct Groups {
    data: Vec<Json>,
}

#[derive(Deserialize)]
struct Group {
    labels: BTreeMap<String, String>,
    #[serde(flatten)]
    others: BTreeMap<String, Json>,
}

#[derive(Deserialize)]
struct Family {
    time_stamp: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    unit: String,
    metrics: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of gauges, counters and what is untyped.
    value: Option<String>,
}

/// Reads until page and groups fit together, or it was tried often enough.
pub(super) fn read(client: &Client, from: &Endpoint, telemetry_path: &str) -> Result<Reading, ImportError> {
    let mut reading = Reading::default();
    for _ in 0..MOST_READINGS {
        // The groups last: what was removed since is then not asked for.
        let page = page(client, from, telemetry_path)?;
        let groups = client.get(from, GROUPS_PATH, "application/json").map_err(ImportError::Source)?;
        let unreadable =
            |fault: serde_json::Error| ImportError::Groups { url: from.url(GROUPS_PATH), fault: fault.to_string() };
        let groups: Groups = serde_json::from_slice(&groups).map_err(unreadable)?;
        reading = join(groups.data, &page);
        if reading.left.is_empty() {
            break;
        }
    }
    reading.groups.sort_by(|left, right| left.key.cmp(&right.key));
    Ok(reading)
}

/// The page as families, or why it cannot be had.
pub(super) fn families(client: &Client, at: &Endpoint, path: &str) -> Result<Vec<MetricFamily>, ImportError> {
    let body = client.get(at, path, ACCEPT_PAGE).map_err(ImportError::Source)?;
    protobuf::decode(&body).map_err(|fault| ImportError::Page { url: at.url(path), fault: fault.to_string() })
}

fn page(client: &Client, from: &Endpoint, path: &str) -> Result<Page, ImportError> {
    let families = families(client, from, path)?.into_iter();
    let by_labels = |metrics: Vec<Metric>| metrics.into_iter().map(|metric| (metric.labels.clone(), metric)).collect();
    Ok(families.map(|family| (family.name, (family.kind, by_labels(family.metrics)))).collect())
}

/// Gives each group its series from the page.
fn join(groups: Vec<Json>, page: &Page) -> Reading {
    let mut reading = Reading::default();
    for found in groups {
        let shown = found.get("labels").map(ToString::to_string).unwrap_or_default();
        match group(found, page) {
            Ok(group) => reading.groups.push(group),
            Err(why) => reading.left.push(Left { group: shown, why }),
        }
    }
    reading
}

fn group(found: Json, page: &Page) -> Result<SourceGroup, String> {
    let Group { labels, others } = serde_json::from_value(found).map_err(|error| unreadable("group", &error))?;
    let key = GroupingKey::from_labels(labels.into_iter().collect()).map_err(|error| error.to_string())?;
    let (mut push_time, mut failure_time) = (UnixSeconds::NEVER, UnixSeconds::NEVER);
    let mut pushed = Vec::new();
    for (name, family) in others {
        // Not a family: whether the last push was accepted.
        if family.is_boolean() {
            continue;
        }
        let family: Family = serde_json::from_value(family).map_err(|error| unreadable(&name, &error))?;
        match name.as_str() {
            PUSH_TIME_SECONDS => push_time = number(&name, &family)?,
            PUSH_FAILURE_TIME_SECONDS => failure_time = number(&name, &family)?,
            // Nothing in it, nothing to see of it.
            _ if family.metrics.is_empty() => {}
            _ => pushed.push((time(&name, &family)?, values(name, family, page)?)),
        }
    }
    Ok(SourceGroup { key, push_time, failure_time, steps: steps(pushed, push_time) })
}

/// Families pushed at the same time, the earliest first; the last of them at the group's push time, even if there is
/// nothing in it.
fn steps(pushed: Vec<(UnixSeconds, MetricFamily)>, push_time: UnixSeconds) -> Vec<Step> {
    let mut pushed: Vec<_> = pushed
        .into_iter()
        .map(
            |(time, family)| {
                if (time.0 - push_time.0).abs() < SAME_MOMENT { (push_time, family) } else { (time, family) }
            },
        )
        .collect();
    pushed.sort_by(|(left, _), (right, _)| left.0.total_cmp(&right.0));
    let mut steps: Vec<Step> = Vec::new();
    for (time, family) in pushed {
        match steps.last_mut().filter(|step| step.time == time) {
            Some(step) => step.families.push(family),
            None => steps.push(Step { time, families: vec![family] }),
        }
    }
    if steps.last().is_none_or(|last| last.time < push_time) {
        steps.push(Step { time: push_time, families: Vec::new() });
    }
    steps
}

fn values(name: String, found: Family, page: &Page) -> Result<MetricFamily, String> {
    let Family { help, unit, metrics, .. } = found;
    let changed = || format!("{name:?} was changed while it was read");
    let (kind, series) = page.get(&name).ok_or_else(changed)?;
    let metrics = metrics.into_iter().map(|metric| {
        let labels: LabelSet = metric.labels.into_iter().collect();
        series.get(&labels).cloned().ok_or_else(changed)
    });
    let (metrics, kind) = (metrics.collect::<Result<_, _>>()?, *kind);
    Ok(MetricFamily { name, help, unit, kind, metrics })
}

/// The one value of a push time.
fn number(name: &str, family: &Family) -> Result<UnixSeconds, String> {
    let value = family.metrics.first().and_then(|metric| metric.value.as_deref());
    let seconds = value.and_then(|value| value.parse().ok()).filter(|seconds: &f64| seconds.is_finite());
    seconds.map(UnixSeconds).ok_or_else(|| format!("expected Unix seconds as value of {name:?}, found {value:?}"))
}

fn time(name: &str, family: &Family) -> Result<UnixSeconds, String> {
    let found = &family.time_stamp;
    rfc3339::parse(found).ok_or_else(|| format!("expected a time as time_stamp of {name:?}, found {found:?}"))
}

fn unreadable(what: &str, error: &serde_json::Error) -> String {
    format!("expected {what:?} as a Pushgateway writes it, found something else: {error}")
}
