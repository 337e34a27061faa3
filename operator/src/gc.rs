//! Collection: each running sidecar, and each gateway, is read when something there can first be too old, what is too old is removed if it
//! has not been pushed since, and what was found and done goes to the controller.
//!
//! There is no tick: `agenda` knows who is due when, and this waits for that, for the ends of visits, and for changes of
//! the objects. Visits are made many at a time, each request has a timeout, each visit a deadline and each page a limit, so
//! that a slow or lying target costs its own place in the row for that long and nothing else; those that fail or take long
//! wait for places of their own. A target that fails once, or because its pod is just ending, is no failure. A visit stops before
//! its next removal when the process is to end or the `PushGroup` has changed; the counts of such a visit are not told,
//! only what it removed. Nothing is removed by a `PushGroup` that is being deleted, nor while the API server does not say
//! what is asked for: see `hearing`.
//!
//! *Never:* the API server's objects; there is one writer of status, and it is the controller.

mod agenda;
mod classic;
mod dialect;
mod failing;
pub mod policy;
mod portion;
pub mod report;
mod roll_call;
mod schedule;
mod target_clock;
pub mod targets;
mod visit;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crds::PushGroup;
use futures::{StreamExt as _, stream::FuturesUnordered};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource as _, ResourceExt as _, runtime::reflector::ObjectRef};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::{
    agenda::{Agenda, Telling, Went},
    report::{PassReport, Reports},
    roll_call::RollCall,
    targets::CollectionTarget,
    visit::{End, Found, Visit},
};
use crate::{
    cache::Cache,
    clock::Clock,
    events::{Events, Kind},
    gateway::Gateways,
    hearing::Hearing,
    metrics::Metrics,
    sidecar::client::SidecarClient,
    stop::Stop,
};

/// The least between two looks at which objects there are: pods come and go in crowds.
const CHANGES_EVERY: Duration = Duration::from_secs(1);

/// Reason of the Event that says what was removed.
const COLLECTED: &str = "Collected";

/// Collects.
pub struct Collector {
    /// The `PushGroup`s.
    pub groups: Cache<PushGroup>,
    /// When the API server has last told of them.
    pub hearing: Hearing,
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
    /// Where removals are told.
    pub events: Events,
}

// === impl Collector ===

impl Collector {
    /// Collects until the end is asked for; visits that have begun are cut short between requests. The interval is that
    /// in which counts are to be renewed.
    pub async fn run(self, interval: Duration, stop: Stop) {
        // Before both caches are full, sidecars and groups would be reported as gone.
        let known = async { self.groups.until_known().await && self.pods.until_known().await };
        let known = tokio::select! {
            known = known => known,
            () = stop.clone().requested() => false,
        };
        if known {
            self.collect_until(&mut Agenda::new(interval), &stop, std::future::pending()).await;
        }
    }

    /// Collects until the end is asked for, or enough is done.
    async fn collect_until(&self, agenda: &mut Agenda, stop: &Stop, enough: impl Future<Output = ()>) {
        let (mut group_changes, mut pod_changes) = (self.groups.changes(), self.pods.changes());
        let mut visits = FuturesUnordered::new();
        let mut roll_call = RollCall::default();
        let (mut wakes, mut objects_due) = (VecDeque::new(), Some(Instant::now()));
        let ending = async {
            tokio::select! {
                () = stop.clone().requested() => {}
                () = enough => {}
            }
        };
        tokio::pin!(ending);
        loop {
            let now = Instant::now();
            if objects_due.is_some_and(|due| due <= now) {
                objects_due = None;
                self.look_at_objects(&mut roll_call, agenda, now);
            }
            visits.extend(agenda.due(now).into_iter().map(|visit| self.visit(visit, stop)));
            for telling in agenda.news(now, self.clock.now()) {
                wakes.push_back(self.tell(telling));
            }
            let next = [agenda.next(), objects_due].into_iter().flatten().min();
            let looked_at = now;
            tokio::select! {
                () = &mut ending => break,
                Some(found) = visits.next() => self.ended(agenda, found),
                place = self.wake.reserve(), if !wakes.is_empty() => match (place, wakes.pop_front()) {
                    (Ok(place), Some(group)) => place.send(group),
                    // Nobody listens any more when the process ends, and the controller takes what is left then.
                    (Ok(_) | Err(_), _) => wakes.clear(),
                },
                () = sleep_until_some(next) => {}
                () = group_changes.next() => objects_due = objects_due.or(Some(looked_at + CHANGES_EVERY)),
                () = pod_changes.next() => objects_due = objects_due.or(Some(looked_at + CHANGES_EVERY)),
            }
        }
        while let Some(found) = visits.next().await {
            self.ended(agenda, found);
        }
        for Telling { uid, group, report } in agenda.last_removals() {
            self.tell_removals(&group, &report);
            self.reports.record_collected(&uid, report.collected);
        }
    }

    /// Sees which objects there are.
    fn look_at_objects(&self, roll_call: &mut RollCall, agenda: &mut Agenda, now: Instant) {
        agenda.take_over(roll_call.call(&self.groups, &self.pods), now);
        self.reports.keep_only(&agenda.group_uids());
    }

    /// Takes the end of a visit down.
    fn ended(&self, agenda: &mut Agenda, found: Found) {
        let Found { visit, report, look, end } = found;
        let now = Instant::now();
        match end {
            End::Whole => {
                agenda.ended(&visit, &report, look, Went::Well, now);
            }
            End::MoreToDo => {
                agenda.ended(&visit, &report, look, Went::WellWithMoreToDo, now);
            }
            End::Held => {
                agenda.ended(&visit, &report, look, Went::Held, now);
            }
            End::CutShort => {
                agenda.ended(&visit, &report, look, Went::CutShort, now);
            }
            // Nobody was there to ask.
            End::Failed(_) if !self.is_there(&visit) => {
                agenda.ended(&visit, &report, look, Went::Gone, now);
            }
            End::Failed(error) => {
                let in_a_row = agenda.ended(&visit, &report, look, Went::Badly { is_cheap: error.is_cheap() }, now);
                self.metrics.collection_failed(error.reason());
                tracing::warn!(target = %visit.target, %error, in_a_row, "cannot collect");
            }
        }
    }

    /// Hands on what is known of a `PushGroup`, for which the controller is to be woken then.
    fn tell(&self, telling: Telling) -> ObjectRef<PushGroup> {
        let Telling { uid, group, report } = telling;
        self.tell_removals(&group, &report);
        self.reports.record(&uid, report);
        ObjectRef::from_obj(&*group)
    }

    fn tell_removals(&self, group: &PushGroup, report: &PassReport) {
        if let Some(message) = removals_in_words(report) {
            self.events.tell(group.object_ref(&()), Kind::Normal, COLLECTED, message);
        }
    }

    /// Whether the target is still the one that was to be visited, and not about to go.
    fn is_there(&self, visit: &Visit) -> bool {
        let CollectionTarget::Sidecar(target) = &visit.target else { return self.is_asked_for(visit) };
        let pod = ObjectRef::new(&target.pod).within(&visit.group.namespace().unwrap_or_default());
        let still = self.pods.get(&pod).filter(|pod| pod.metadata.deletion_timestamp.is_none());
        still.and_then(|pod| targets::target(&pod)).as_ref() == Some(target)
    }
}

/// `Removed 2 stale groups: {job="a"} in pod etl-1, older than the 1h allowed; …`
fn removals_in_words(report: &PassReport) -> Option<String> {
    let some = report.removed.len() as u64;
    let (groups, more) = match (report.collected, report.collected.saturating_sub(some)) {
        (0, _) => return None,
        (1, _) => ("1 stale group".to_owned(), String::new()),
        (several, 0) => (format!("{several} stale groups"), String::new()),
        (several, more) => (format!("{several} stale groups"), format!("; and {more} more")),
    };
    Some(format!("Removed {groups}: {}{more}", report.removed.join("; ")))
}

async fn sleep_until_some(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
