//! What can be seen of the play: pods, the groups in their sidecars, what Prometheus has, what was collected.
//!
//! *Never:* how it is shown.

use std::time::{Duration, SystemTime};

use crds::PushGroup;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use protocol::{LabelSet, endpoints, label_set, series};

use super::{
    play::{BACKUP_JOB, BACKUP_SERIES, NAMESPACE, STALE_JOB},
    stage::Stage,
};
use crate::wait;

/// What does not answer in this time is not shown.
const GLANCE: Duration = Duration::from_secs(2);

/// Looks again and again, and remembers what has to have been there once.
pub(super) struct Watch {
    namespace: Api<Pod>,
    groups: Api<PushGroup>,
    backup_seen: bool,
    stale_seen: bool,
    stale_gone: bool,
}

/// One look.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) pods: Vec<SeenPod>,
    pub(super) groups: Vec<SeenGroup>,
    /// Series of the demo that Prometheus has now, and their values.
    pub(super) series: Vec<(String, f64)>,
    pub(super) collected: i64,
    /// Whether Prometheus has the scrape job of the demo.
    pub(super) monitor_known: bool,
    /// Whether the Job's series was in Prometheus.
    pub(super) backup_seen: bool,
    /// Whether the series of the group that goes stale was in Prometheus.
    pub(super) stale_seen: bool,
    /// Whether it is gone from there.
    pub(super) stale_gone: bool,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenPod {
    pub(super) name: String,
    pub(super) state: String,
}

/// A group in the sidecar of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenGroup {
    pub(super) pod: String,
    pub(super) labels: String,
    pub(super) age_seconds: u64,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(stage: &Stage) -> Self {
        Self {
            namespace: Api::namespaced(stage.client.clone(), NAMESPACE),
            groups: Api::namespaced(stage.client.clone(), NAMESPACE),
            backup_seen: false,
            stale_seen: false,
            stale_gone: false,
        }
    }

    /// Asks everybody. What does not answer at the moment is shown as absent.
    pub(super) async fn look(&mut self, stage: &Stage) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        for pod in self.namespace.list(&ListParams::default()).await? {
            let name = pod.name_any();
            let state = state(&pod);
            if state != "Succeeded" {
                let page = page(stage, &name).await.unwrap_or_default();
                seen.groups.extend(groups(&name, &page));
            }
            seen.pods.push(SeenPod { name, state });
        }
        let group = self.groups.get_opt("demo").await?;
        let status = group.and_then(|group| group.status).unwrap_or_default();
        seen.collected = status.collected_total.unwrap_or(0);

        let pools = stage.prometheus.scrape_pools().await.unwrap_or_default();
        seen.monitor_known = pools.iter().any(|pool| pool.starts_with(&format!("serviceMonitor/{NAMESPACE}/")));
        let ours = format!("{{namespace=\"{NAMESPACE}\",__name__=~\"{BACKUP_SERIES}|queue_length|report_rows\"}}");
        if let Ok(series) = stage.prometheus.query(&ours).await {
            let has = |job: &str| series.iter().any(|one| one.label("job") == job);
            self.stale_gone = self.stale_seen && !has(STALE_JOB);
            self.stale_seen |= has(STALE_JOB);
            seen.series = series.into_iter().map(|one| (spelled(one.labels), one.value)).collect();
            seen.series.sort_by(|a, b| a.0.cmp(&b.0));
        }
        // The pod may be gone between two looks; what Prometheus has scraped stays.
        let scraped = format!("last_over_time({BACKUP_SERIES}{{namespace=\"{NAMESPACE}\",job=\"{BACKUP_JOB}\"}}[10m])");
        self.backup_seen |= stage.prometheus.query(&scraped).await.is_ok_and(|series| !series.is_empty());
        (seen.backup_seen, seen.stale_seen, seen.stale_gone) = (self.backup_seen, self.stale_seen, self.stale_gone);
        Ok(seen)
    }
}

// === impl Seen ===

impl Seen {
    /// Whether everything that the demo is to show has been there.
    pub(super) fn complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// What has not been there yet.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let wanted = [
            (self.monitor_known, "Prometheus to know the monitor"),
            (self.backup_seen, "the Job's series in Prometheus"),
            (self.stale_seen, "the series of the group that goes stale in Prometheus"),
            (self.stale_gone, "the stale group's series to be gone from Prometheus"),
            (0 < self.collected, "the operator to collect the stale group"),
        ];
        wanted.into_iter().filter(|(there, _)| !there).map(|(_, what)| what).collect()
    }
}

/// A page of the sidecar in a pod.
async fn page(stage: &Stage, pod: &str) -> anyhow::Result<String> {
    let port = endpoints::SCRAPE_PORT;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy{}", endpoints::METRICS_PATH);
    wait::answer(GLANCE, stage.client.request_text(http::Request::get(path).body(Vec::new())?)).await
}

fn groups(pod: &str, page: &str) -> Vec<SeenGroup> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(series::PUSH_TIME_SECONDS));
    let groups = lines.filter_map(|line| {
        let block = label_set::parse_block(line).ok()?;
        let time: f64 = block.rest.trim().parse().ok()?;
        let mut labels: LabelSet = block.labels.into_iter().collect();
        if labels.get(series::INSTANCE_LABEL) == Some("") {
            labels.remove(series::INSTANCE_LABEL);
        }
        Some(SeenGroup { pod: pod.to_owned(), labels: labels.to_string(), age_seconds: age(time) })
    });
    groups.collect()
}

#[expect(clippy::disallowed_methods, reason = "an age is shown to a person")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age is no longer than a demo")]
fn age(time: f64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    (now - time).max(0.0) as u64
}

/// The phase, and what the containers do where that says more.
fn state(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let ended = status
        .container_statuses
        .unwrap_or_default()
        .iter()
        .any(|container| container.state.as_ref().is_some_and(|state| state.terminated.is_some()));
    if phase == "Running" && ended { "Running, held open for the last scrape".to_owned() } else { phase }
}

fn spelled(labels: std::collections::BTreeMap<String, String>) -> String {
    let name = labels.get("__name__").cloned().unwrap_or_default();
    let shown = ["job", "shard", "pod"];
    let labels: LabelSet = labels.into_iter().filter(|(label, _)| shown.contains(&label.as_str())).collect();
    format!("{name}{labels}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_the_push_times_of_a_page() {
        let page = "# TYPE push_time_seconds gauge\n\
                    push_time_seconds{instance=\"\",job=\"a,b\"} 1.7e+09\n\
                    other{job=\"c\"} 1\n";
        let found = groups("pod", page);
        assert_eq!(found.iter().map(|group| group.labels.as_str()).collect::<Vec<_>>(), ["{job=\"a,b\"}"]);
        assert!(found.iter().all(|group| 1_000_000 < group.age_seconds));
    }

    #[test]
    fn what_was_not_seen_is_named() {
        let all = Seen { monitor_known: true, backup_seen: true, stale_seen: true, collected: 1, ..Seen::default() };
        assert_eq!(all.missing(), ["the stale group's series to be gone from Prometheus"]);
        assert!(Seen { stale_gone: true, ..all }.complete());
    }
}
