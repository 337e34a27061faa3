//! Reconciling a `PushGroup`: the objects it asks for, and its status.
//!
//! A reconcile is observe → plan → apply. It is woken by the group itself, by its pods, by its Service, by a collection
//! pass, and by time; most wakes find the objects applied a moment ago and only look at the status, so a wake costs
//! nothing at the API server unless something changed.
//!
//! *Never:* contents of objects, which are `plan`'s; sidecars, which are `gc`'s.

pub mod apply;
pub mod ledger;
pub mod membership;
pub mod memory;
pub mod observe;
pub mod overlap;
pub mod plan;
pub mod readable;
pub mod record;
pub mod status;
pub mod ungrouped;
pub mod wakes;

use std::{future, sync::Arc, time::Duration};

use crds::{
    PushGroup,
    scrape::{MonitorKind, Scrape},
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{
        Controller, WatchStreamExt as _,
        controller::{self, Action},
        reflector::ObjectRef,
        watcher,
    },
};
use protocol::trust::PublicKey;
use tokio::{sync::mpsc, time::Instant};

use self::{
    apply::{Outcome, apply},
    membership::{Assigned, Attempts},
    memory::Memory,
    observe::{observe, running_sidecars},
    overlap::{Overlap, Overlaps},
    plan::plan,
    readable::readable_event,
    record::write_status,
    status::{Facts, Mode},
    ungrouped::Missing,
};
use crate::{
    cache::{Cache, CacheWriter},
    clock::Clock,
    events::Events,
    gc::report::Reports,
    metrics::Metrics,
    monitors::Owner,
    retry,
    stop::Stop,
};

/// How many groups are reconciled at a time.
const AT_A_TIME: u16 = 8;

/// How long one reconcile may take: a handful of API calls.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest wait for the next look at what failed.
const SHORTEST: Duration = Duration::from_millis(100);

/// What reconciling needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// All groups.
    pub groups: Cache<PushGroup>,
    /// The injected pods.
    pub pods: Cache<Pod>,
    /// What collection found.
    pub reports: Arc<Reports>,
    /// What sidecars are to trust.
    pub keys: Vec<PublicKey>,
    /// What was applied when, and with what outcome.
    pub memory: Memory,
    /// What came of labelling pods that were there before their group.
    pub membership: Attempts,
    /// Older groups that have pods which a group matches, too.
    pub overlaps: Overlaps,
    /// Groups that pods name and that do not exist, told once each.
    pub missing: Missing,
    /// Where it is told.
    pub events: Events,
    /// The time.
    pub clock: Clock,
    /// The numbers.
    pub metrics: Arc<Metrics>,
}

/// A reconcile that is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Objects could not be applied; the status says so too.
    #[error("cannot apply: {0}")]
    Apply(String),
    /// The status could not be written.
    #[error("cannot write the status: {0}")]
    Status(#[source] Box<kube::Error>),
    /// The API server did not answer.
    #[error("not done within {PATIENCE:?}")]
    TooSlow,
}

/// The groups that were touched, by a watch that fills a cache while it is polled.
pub struct GroupWatch {
    groups: Cache<PushGroup>,
    touched: BoxStream<'static, Result<PushGroup, watcher::Error>>,
}

/// Reconciles until the end is asked for; what has begun is finished.
pub async fn run(
    ctx: Arc<Context>,
    groups: GroupWatch,
    pods: CacheWriter<Pod>,
    collected: mpsc::Receiver<ObjectRef<PushGroup>>,
    stop: Stop,
) {
    let mut collected = collected;
    let GroupWatch { groups, touched } = groups;
    // Those that were touched before anything could be done about it.
    let known = stream::iter(groups.all()).map(|group| Ok((*group).clone()));
    let ended = Controller::for_stream(known.chain(touched), groups.store())
        .with_config(controller::Config::default().concurrency(AT_A_TIME))
        .reconcile_on(wakes::from_pods(&ctx, pods))
        .reconcile_on(wakes::from_services(&ctx))
        .reconcile_on(futures::stream::poll_fn(move |cx| collected.poll_recv(cx)))
        .graceful_shutdown_on(stop.requested())
        .run(reconcile, |group, _, ctx| error_policy(&group, &ctx), ctx.clone());
    ended
        .for_each(|ended| async {
            match ended {
                Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {} // `reconcile` has told
                Err(controller::Error::ObjectNotFound(gone)) => {
                    let gone = ObjectRef::new(&gone.name).within(&gone.namespace.unwrap_or_default());
                    ctx.memory.forget(&gone);
                    ctx.membership.forget(&gone);
                    ctx.overlaps.forget(&gone);
                    ungrouped::tell_missing(&ctx, &gone);
                }
                Err(error) => tracing::warn!(%error, "the watch of PushGroups broke and is taken up again"),
            }
        })
        .await;
}

/// Writes what was collected and not written yet, before the process ends.
pub async fn flush(ctx: &Context, groups: &Cache<PushGroup>) {
    for group in groups.all() {
        let uid = group.uid().unwrap_or_default();
        let known = ObjectRef::from_obj(&*group);
        let more = ctx.reports.take_collected(&uid);
        ctx.memory.ledger(&known, |ledger| ledger.add(more));
        if ctx.memory.ledger(&known, |ledger| ledger.has_unwritten())
            && let Some(outcome) = ctx.memory.last_outcome(&known)
            && let Err(error) = write_status(ctx, &group, |status, now, collected| {
                let found = (membership::standing(ctx, &group, now), ctx.overlaps.last(&known));
                status::next(status, &facts(ctx, &group, &outcome, &found, collected), now)
            })
            .await
        {
            tracing::warn!(%error, pushgroup = %known, "the count of collected groups falls short");
        }
    }
}

async fn reconcile(group: Arc<PushGroup>, ctx: Arc<Context>) -> Result<Action, ReconcileError> {
    let started = Instant::now();
    let done = tokio::time::timeout(PATIENCE, reconcile_now(&group, &ctx)).await;
    let done = done.unwrap_or(Err(ReconcileError::TooSlow));
    match &done {
        Ok(_) => {
            ctx.memory.succeeded(&ObjectRef::from_obj(&*group));
            ctx.metrics.reconciled(started.elapsed());
        }
        Err(error) => {
            let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
            tracing::warn!(%error, name, namespace, "cannot reconcile a PushGroup");
            ctx.metrics.reconcile_failed(started.elapsed());
        }
    }
    done
}

fn error_policy(group: &PushGroup, ctx: &Context) -> Action {
    let known = ObjectRef::from_obj(group);
    let pause = retry::pause(ctx.memory.failed(&known));
    // What failed to apply is not applied again before that.
    Action::requeue(pause.max(ctx.memory.fresh_for(&known, ctx.clock.now())))
}

/// # Cancel safety
/// Every write is in full or says what it is based on, so that the next reconcile can take up from anywhere.
async fn reconcile_now(group: &Arc<PushGroup>, ctx: &Context) -> Result<Action, ReconcileError> {
    let Some(owner) = Owner::of(group) else { return Ok(Action::await_change()) };
    if group.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let known = ObjectRef::from_obj(&**group);
    ctx.missing.exists(&known);
    // A gateway has no sidecars to scrape; it may have had, before somebody took the selector away.
    let without_monitor = Scrape { kind: MonitorKind::None, ..Scrape::default() };
    let owner = match Mode::of(&group.spec) {
        Mode::Gateway => Owner { scrape: &without_monitor, ..owner },
        Mode::Pod => owner,
    };
    let generation = group.metadata.generation;
    let remembered = ctx.memory.fresh_outcome(&known, owner.uid, generation, ctx.clock.now());
    let is_remembered = remembered.is_some();
    let outcome = match remembered {
        Some(outcome) => outcome,
        None => sync(ctx, &known, &owner, generation).await,
    };
    let now = ctx.clock.now();
    let found = (membership::assign(ctx, group, now).await, overlap::overlaps(ctx, group, now).await);
    let collected = ctx.reports.take_collected(owner.uid);
    ctx.memory.ledger(&known, |ledger| ledger.add(collected));
    let written = write_status(ctx, group, |status, now, collected| {
        status::next(status, &facts(ctx, group, &outcome, &found, collected), now)
    });
    written.await.map_err(|error| ReconcileError::Status(Box::new(error)))?;
    match outcome {
        // The failure was told when it happened.
        Outcome::Failed(_) if is_remembered => {
            Ok(Action::requeue(ctx.memory.fresh_for(&known, ctx.clock.now()).max(SHORTEST)))
        }
        Outcome::Failed(what) => Err(ReconcileError::Apply(what)),
        Outcome::Applied | Outcome::NotWanted | Outcome::ApiAbsent | Outcome::Foreign(_) => {
            Ok(Action::requeue(outcome.good_for(owner.uid).min(found.0.good_for())))
        }
    }
}

/// Makes the objects what they should be.
async fn sync(ctx: &Context, known: &ObjectRef<PushGroup>, owner: &Owner<'_>, generation: Option<i64>) -> Outcome {
    // Before reading: a change that comes meanwhile is then seen as one.
    ctx.memory.begin(known, owner.uid);
    let outcome = match observe(&ctx.client, owner).await {
        Ok(existing) => apply(&ctx.client, owner, plan(owner, &existing, &ctx.keys)).await,
        Err(error) => Outcome::Failed(format!("cannot read the objects there are: {error}")),
    };
    ctx.memory.synced(known, generation, ctx.clock.now(), outcome.clone());
    outcome
}

// === impl GroupWatch ===

impl GroupWatch {
    /// Watches all groups that can be read.
    #[must_use]
    pub fn new(client: &Client, groups: Cache<PushGroup>, writer: CacheWriter<PushGroup>) -> Self {
        let all = Api::<DeserializeGuard<PushGroup>>::all(client.clone());
        let events = watcher(all, watcher::Config::default()).default_backoff();
        let readable = events.filter_map(|event| future::ready(event.map(readable_event).transpose()));
        Self { groups, touched: writer.fill(readable).touched_objects().boxed() }
    }

    /// Fills the cache until something is there; nothing is done about any group meanwhile.
    pub async fn fill_until<T>(&mut self, there: impl Future<Output = T>) -> T {
        let filling = async {
            while let Some(touched) = self.touched.next().await {
                if let Err(error) = touched {
                    tracing::warn!(%error, "the watch of PushGroups broke and is taken up again");
                }
            }
            // A watch does not end.
            future::pending().await
        };
        tokio::select! {
            there = there => there,
            never = filling => never,
        }
    }
}

fn facts<'a>(
    ctx: &Context,
    group: &PushGroup,
    outcome: &'a Outcome,
    (assigned, overlaps): &'a (Assigned, Vec<Overlap>),
    collected: i64,
) -> Facts<'a> {
    Facts {
        mode: Mode::of(&group.spec),
        generation: group.metadata.generation,
        sidecars: running_sidecars(&ctx.pods, group),
        monitors: outcome,
        assigned,
        overlaps,
        pass: ctx.reports.last(&group.uid().unwrap_or_default()),
        collected,
    }
}

#[cfg(test)]
mod tests {
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::cache::cache;

    fn group(name: &str, stale_after: &str) -> Value {
        json!({
            "apiVersion": "sidegate.dev/v1alpha1",
            "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": name, "uid": name},
            "spec": {"selector": {}, "staleAfter": stale_after},
        })
    }

    #[tokio::test]
    async fn groups_are_known_while_nothing_can_be_done_about_them_yet() {
        let list = json!({
            "apiVersion": "sidegate.dev/v1alpha1",
            "kind": "PushGroupList",
            "metadata": {"resourceVersion": "1"},
            "items": [group("broken", "no duration"), group("nightly", "1h")],
        });
        let service = tower::service_fn(move |request: axum::http::Request<Body>| {
            let list = list.to_string();
            async move {
                if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                    future::pending::<()>().await;
                }
                Ok::<_, std::io::Error>(axum::http::Response::new(axum::body::Body::from(list)))
            }
        });
        let (groups, writer) = cache();
        let mut watch = GroupWatch::new(&Client::new(service, "default"), groups.clone(), writer);
        let known = watch.fill_until(groups.until_known());
        assert!(tokio::time::timeout(Duration::from_secs(10), known).await.unwrap());
        let names: Vec<_> = groups.all().iter().map(|group| group.name_any()).collect();
        assert_eq!(names, ["nightly"]);
    }
}
