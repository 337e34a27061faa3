//! The passes over all sidecars and gateways: at each tick, every running sidecar of every `PushGroup`, or the gateway it
//! names, is read, what is too old is removed if it has not been pushed since, and the outcome goes to the controller.
//!
//! Sidecars are asked a few at a time, each request has a timeout and each visit a deadline, so that a slow or lying one
//! costs its own place in the row for that long and nothing else; one that goes on failing is left out for some ticks. A
//! sidecar that fails once, or because its pod is just ending, is no failure. A visit stops before its next removal when
//! the process is to end or the `PushGroup` has changed; the counts of such a pass are not told, only what it removed.
//!
//! Limit: what a page is kept as may take some 30 MB for a hostile one, and as many are kept as sidecars are asked at a
//! time.
//!
//! *Never:* the API server's objects; there is one writer of status, and it is the controller.

mod classic;
mod failing;
pub mod policy;
pub mod report;
pub mod targets;
mod visit;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crds::PushGroup;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use self::targets::CollectionTarget;
use self::{
    failing::Failing,
    policy::Policy,
    report::{PassReport, Reports},
    visit::{End, Found, Visit, VisitError},
};
use crate::{
    cache::Cache, clock::Clock, gateway::Gateways, metrics::Metrics, sidecar::client::SidecarClient, stop::Stop,
};

/// How many sidecars are asked at a time.
const AT_A_TIME: usize = 16;

/// Makes the passes.
pub struct Collector {
    /// The `PushGroup`s.
    pub groups: Cache<PushGroup>,
    /// The injected pods.
    pub pods: Cache<Pod>,
    /// Asks sidecars.
    pub client: SidecarClient,
    /// Asks gateways.
    pub gateways: Gateways,
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

/// What is remembered from pass to pass.
#[derive(Default)]
struct Memory {
    policies: Policies,
    failing: Failing,
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
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.pass(&mut memory, &stop).await,
                () = stop.clone().requested() => return,
            }
        }
    }

    async fn pass(&self, memory: &mut Memory, stop: &Stop) {
        let groups: Vec<_> = self.groups.all();
        let mut targets = targets::by_group(&self.pods.all());
        let mut reports = HashMap::new();
        let mut visits = Vec::new();
        let mut pods = HashSet::new();
        for group in groups {
            let (Some(uid), Some(_)) = (group.uid(), group.namespace()) else { continue };
            let policy = compiled(&mut memory.policies, &uid, &group);
            let mut report = PassReport {
                bad_rule: policy.as_ref().err().cloned(),
                has_limits: policy.as_ref().is_ok_and(|policy| policy.has_limits()),
                dry_run: group.spec.dry_run,
                ..PassReport::default()
            };
            let policy = policy.ok();
            for target in targets::of_group(&group, &mut targets) {
                let rests = memory.failing.rests(target.id());
                let visit = Visit { uid: uid.clone(), group: group.clone(), policy: policy.clone(), target };
                pods.insert(visit.target.id().to_owned());
                if !rests {
                    visits.push(visit);
                } else if let CollectionTarget::Gateway(_) = visit.target {
                    report.stands(self.reports.last(&uid));
                } else if self.is_there(&visit) {
                    report.targets += 1;
                    report.failed += 1;
                }
            }
            reports.insert(uid, (group, report));
        }
        let known: HashSet<_> = reports.keys().cloned().collect();
        memory.policies.retain(|uid, _| known.contains(uid));
        memory.failing.keep_only(&pods);
        self.reports.keep_only(&known);

        let mut cut_short = HashSet::new();
        let mut found = stream::iter(visits).map(|visit| self.visit(visit, stop)).buffer_unordered(AT_A_TIME);
        while let Some(Found { visit, report: mut one, end }) = found.next().await {
            match end {
                End::Whole => memory.failing.answered(visit.target.id()),
                End::Failed(error) => self.failed(&visit, &error, &mut memory.failing, &mut one),
                End::CutShort => {
                    cut_short.insert(visit.uid.clone());
                }
            }
            if let Some((_, report)) = reports.get_mut(&visit.uid) {
                report.add(&one);
            }
        }
        for (uid, (group, mut report)) in reports {
            if cut_short.contains(&uid) {
                self.reports.record_collected(&uid, report.collected);
            } else {
                report.ended = self.clock.now();
                self.reports.record(&uid, report);
            }
            // Nobody listens any more when the process ends, and the controller takes what is left then.
            let _ = self.wake.send(ObjectRef::from_obj(&*group)).await;
        }
    }

    /// Takes a failure down, unless the pod has gone or is going: then there was nobody to ask. It counts once it is the
    /// second in a row.
    fn failed(&self, visit: &Visit, error: &VisitError, failing: &mut Failing, report: &mut PassReport) {
        if !self.is_there(visit) {
            report.targets = 0;
            return;
        }
        let in_a_row = failing.failed(visit.target.id(), 0 < report.collected || error.is_cheap());
        // A gateway has no end of its own that would be taken for a failure.
        let is_gateway = matches!(visit.target, CollectionTarget::Gateway(_));
        report.failed = u64::from(is_gateway || 1 < in_a_row);
        self.metrics.collection_failed(error.reason());
        tracing::warn!(target = %visit.target, %error, in_a_row, "cannot collect");
    }

    /// Whether the pod is still the one that was to be visited, and not about to go.
    fn is_there(&self, visit: &Visit) -> bool {
        let CollectionTarget::Sidecar(target) = &visit.target else { return self.is_asked_for(visit) };
        let pod = ObjectRef::new(&target.pod).within(&visit.group.namespace().unwrap_or_default());
        let still = self.pods.get(&pod).filter(|pod| pod.metadata.deletion_timestamp.is_none());
        still.and_then(|pod| targets::target(&pod)).as_ref() == Some(target)
    }
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
