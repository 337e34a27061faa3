//! The passes over all sidecars: at each tick, every running sidecar of every `PushGroup` is read, what is too old is
//! removed if it has not been pushed since, and the outcome goes to the controller.
//!
//! Sidecars are asked a few at a time and each request has a timeout, so a slow or lying one costs its own place in the
//! row and nothing else. A sidecar that fails because its pod is just ending is no failure.
//!
//! *Never:* the API server's objects; there is one writer of status, and it is the controller.

pub mod policy;
pub mod report;
pub mod targets;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use crds::PushGroup;
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use self::{
    policy::{Policy, expired},
    report::{PassReport, Reports},
    targets::Target,
};
use crate::{
    cache::Cache,
    clock::Clock,
    metrics::Metrics,
    sidecar::{
        client::{Removal, SidecarClient, SidecarError},
        push_times::{self, GroupAge},
    },
    stop::Stop,
};

/// How many sidecars are asked at a time.
const AT_A_TIME: usize = 16;

/// How far a sidecar's clock may be from ours before its own is used. `Date` has whole seconds.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// Makes the passes.
pub struct Collector {
    /// The `PushGroup`s.
    pub groups: Cache<PushGroup>,
    /// The injected pods.
    pub pods: Cache<Pod>,
    /// Asks sidecars.
    pub client: SidecarClient,
    /// The port sidecars listen at.
    pub port: u16,
    /// Where outcomes go.
    pub reports: Arc<Reports>,
    /// Wakes the controller.
    pub wake: mpsc::Sender<ObjectRef<PushGroup>>,
    /// The time.
    pub clock: Clock,
    /// The numbers.
    pub metrics: Arc<Metrics>,
}

/// The limits of a `PushGroup` by UID, with the generation they are made from.
type Policies = HashMap<String, (Option<i64>, Result<Arc<Policy>, String>)>;

/// What is to be done at one sidecar.
struct Visit {
    uid: String,
    group: Arc<PushGroup>,
    policy: Option<Arc<Policy>>,
    target: Target,
}

// === impl Collector ===

impl Collector {
    /// Makes a pass at each tick until the end is asked for; a pass that has begun is cut short between requests.
    pub async fn run(self, every: Duration, stop: Stop) {
        // Before both caches are full, a pass would report sidecars and groups as gone.
        let known = async { self.groups.until_known().await && self.pods.until_known().await };
        let known = tokio::select! {
            known = known => known,
            () = stop.clone().requested() => false,
        };
        if !known {
            return;
        }
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut policies = Policies::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.pass(&mut policies, &stop).await,
                () = stop.clone().requested() => return,
            }
        }
    }

    async fn pass(&self, policies: &mut Policies, stop: &Stop) {
        let groups: Vec<_> = self.groups.filter(|group| group.spec.selector.is_some());
        let mut targets = targets::by_group(&self.pods.all());
        let mut reports = HashMap::new();
        let mut visits = Vec::new();
        for group in groups {
            let (Some(uid), Some(namespace)) = (group.uid(), group.namespace()) else { continue };
            let policy = compiled(policies, &uid, &group);
            let report = PassReport {
                bad_rule: policy.as_ref().err().cloned(),
                has_limits: policy.as_ref().is_ok_and(|policy| policy.has_limits()),
                dry_run: group.spec.dry_run,
                ..PassReport::default()
            };
            let policy = policy.ok();
            for target in targets.remove(&(namespace, group.name_any())).unwrap_or_default() {
                visits.push(Visit { uid: uid.clone(), group: group.clone(), policy: policy.clone(), target });
            }
            reports.insert(uid, (group, report));
        }
        let known: HashSet<_> = reports.keys().cloned().collect();
        policies.retain(|uid, _| known.contains(uid));

        let mut found = stream::iter(visits).map(|visit| self.visit(visit, stop)).buffer_unordered(AT_A_TIME);
        while let Some((uid, one)) = found.next().await {
            if let Some((_, report)) = reports.get_mut(&uid) {
                report.add(&one);
            }
        }
        for (uid, (group, mut report)) in reports {
            report.ended = self.clock.now();
            self.reports.record(&uid, report);
            // Nobody listens any more when the process ends, and the controller takes what is left then.
            let _ = self.wake.send(ObjectRef::from_obj(&*group)).await;
        }
    }

    async fn visit(&self, visit: Visit, stop: &Stop) -> (String, PassReport) {
        let mut report = PassReport::default();
        if !stop.is_requested() {
            report.targets = 1;
            if let Err(error) = self.collect(&visit, stop, &mut report).await {
                self.failed(&visit, &error, &mut report);
            }
        }
        (visit.uid, report)
    }

    /// Reads a sidecar and removes what is too old there.
    async fn collect(&self, visit: &Visit, stop: &Stop, report: &mut PassReport) -> Result<(), SidecarError> {
        let Visit { target, policy, group, .. } = visit;
        let address = SocketAddr::new(target.address, self.port);
        let page = self.client.read(address).await?;
        let skew = skew(page.date, self.clock.now());
        let reading = push_times::read(&page.text);
        if 0 < reading.unreadable {
            tracing::warn!(
                pod = target.pod,
                samples = reading.unreadable,
                "skipped push times that do not read exactly"
            );
            self.metrics.unreadable(reading.unreadable);
        }
        report.groups = reading.groups.len() as u64;
        report.newest_push = newest(&reading.groups);

        let Some(policy) = policy else { return Ok(()) };
        let stale = expired(&reading.groups, policy, self.at_the_target(skew));
        report.stale = stale.len() as u64;
        if group.spec.dry_run {
            return Ok(());
        }
        for expired in stale {
            if stop.is_requested() {
                break;
            }
            let GroupAge { key, push_time_text, .. } = expired.group;
            let now = self.at_the_target(skew);
            // The first failure ends the visit: a sidecar that hangs would hold its place for as long as it has groups.
            let removal = self.client.remove(address, &target.uid, key, push_time_text, now).await?;
            report.stale -= 1;
            match removal {
                Removal::Removed => {
                    report.collected += 1;
                    report.groups -= 1;
                    self.metrics.collected(1);
                    tracing::info!(pod = target.pod, group = %key, age = expired.age, limit = expired.limit, "removed a stale group");
                }
                Removal::MovedOn => tracing::debug!(pod = target.pod, group = %key, "a stale group was pushed again"),
            }
        }
        Ok(())
    }

    /// Counts a failure, unless the pod has gone or is going: then there was nobody to ask.
    fn failed(&self, visit: &Visit, error: &SidecarError, report: &mut PassReport) {
        let pod = ObjectRef::new(&visit.target.pod).within(&visit.group.namespace().unwrap_or_default());
        let still = self.pods.get(&pod).filter(|pod| pod.metadata.deletion_timestamp.is_none());
        if still.and_then(|pod| targets::target(&pod)).as_ref() != Some(&visit.target) {
            report.targets = 0;
            return;
        }
        report.failed = 1;
        self.metrics.collection_failed(error.reason());
        tracing::warn!(pod = visit.target.pod, address = %visit.target.address, %error, "cannot collect from a sidecar");
    }

    fn at_the_target(&self, skew: SignedDuration) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(skew).unwrap_or(now)
    }
}

/// What to add to our time for the sidecar's; nothing while they agree as well as can be told.
fn skew(date: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let skew = date.map(|date| date.duration_since(now)).unwrap_or_default();
    if skew.abs() <= SKEW { SignedDuration::ZERO } else { skew }
}

fn newest(groups: &[GroupAge]) -> Option<f64> {
    groups.iter().map(|group| group.push_time).filter(|time| 0.0 < *time).reduce(f64::max)
}

/// The limits of a group, compiled once for each of its generations.
fn compiled(policies: &mut Policies, uid: &str, group: &PushGroup) -> Result<Arc<Policy>, String> {
    let generation = group.metadata.generation;
    if let Some((known, policy)) = policies.get(uid)
        && *known == generation
    {
        return policy.clone();
    }
    let policy = Policy::compile(&group.spec).map(Arc::new).map_err(|bad| bad.to_string());
    policies.insert(uid.to_owned(), (generation, policy.clone()));
    policy
}

#[cfg(test)]
mod tests;
