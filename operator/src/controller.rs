//! Reconciling a `PushGroup`: the objects it asks for, and its status.
//!
//! A reconcile is observe → plan → apply. It is woken by the group itself, by its pods, by its Service, by a collection
//! pass, and by time; most wakes find the objects applied a moment ago and only look at the status, so a wake costs
//! nothing at the API server unless something changed.
//!
//! *Never:* contents of objects, which are `plan`'s; sidecars, which are `gc`'s.

pub mod apply;
pub mod gateway;
mod gathering;
pub mod ledger;
pub mod membership;
pub mod memory;
pub mod monitor_wakes;
pub mod observe;
pub mod overlap;
pub mod plan;
pub mod readable;
pub mod record;
pub mod status;
pub mod ungrouped;
pub mod wakes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crds::PushGroup;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client, ResourceExt as _,
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::ObjectRef,
    },
};
use protocol::trust::PublicKey;
use tokio::{sync::mpsc, time::Instant};

use self::{
    apply::{Applying, Outcome, apply},
    gateway::GatewayMonitor,
    ledger::Due,
    membership::{Assigned, Attempts},
    memory::Memory,
    observe::{observe, running_sidecars},
    overlap::{Overlap, Overlaps},
    plan::{plan, plan_for_gateway},
    record::write_status,
    status::{Facts, Mode},
    ungrouped::Missing,
    wakes::Wakes,
};
use crate::{
    api_client::said,
    audit,
    cache::Cache,
    clock::Clock,
    config::SidecarImage,
    events::Events,
    gc::report::Reports,
    leader::Term,
    metrics::Metrics,
    monitors::{
        Owner,
        api::{PodMonitor, ServiceMonitor},
        monitoring::Monitoring,
    },
    retry,
    scope::Scope,
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
    /// The API server; writes only within the term.
    pub client: Client,
    /// Where it works.
    pub scope: Scope,
    /// For how long this replica leads.
    pub term: Term,
    /// All groups.
    pub groups: Cache<PushGroup>,
    /// The injected pods.
    pub pods: Cache<Pod>,
    /// What collection found.
    pub reports: Arc<Reports>,
    /// What is injected.
    pub image: SidecarImage,
    /// What sidecars are to trust.
    pub keys: Vec<PublicKey>,
    /// What was applied when, and with what outcome.
    pub memory: Arc<Memory>,
    /// What is known of monitoring in the cluster.
    pub monitoring: Monitoring,
    /// Labels of every monitor.
    pub monitor_labels: BTreeMap<String, String>,
    /// The operator's own namespace.
    pub own_namespace: String,
    /// What came of labelling pods that were there before their group.
    pub membership: Attempts,
    /// Older groups that have pods which a group matches, too.
    pub overlaps: Overlaps,
    /// Groups that pods name and that do not exist, told once each.
    pub missing: Missing,
    /// Pods that ask for a sidecar and have none.
    pub not_injected: audit::missing::Missing,
    /// The time.
    pub clock: Clock,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// What is worth telling about an object.
    pub events: Events,
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

/// Reconciles until the end is asked for; what has begun is finished.
pub async fn run(ctx: Arc<Context>, wakes: &Wakes, collected: mpsc::Receiver<ObjectRef<PushGroup>>, stop: Stop) {
    let mut collected = collected;
    ctx.metrics.runtime.may_reconcile(AT_A_TIME);
    let ended = Controller::for_stream(stream::pending(), ctx.groups.store())
        .with_config(controller::Config::default().concurrency(AT_A_TIME))
        .reconcile_on(wakes.listen())
        .reconcile_on(overlap::from_groups(&ctx))
        .reconcile_on(wakes::from_services(&ctx))
        .reconcile_on(monitor_wakes::from_monitors::<ServiceMonitor>(&ctx, "servicemonitors"))
        .reconcile_on(monitor_wakes::from_monitors::<PodMonitor>(&ctx, "podmonitors"))
        .reconcile_on(monitor_wakes::from_network_policies(&ctx))
        .reconcile_on(monitor_wakes::from_trust(&ctx))
        .reconcile_on(monitor_wakes::from_prometheuses(&ctx))
        .reconcile_on(monitor_wakes::from_prometheus_agents(&ctx))
        .reconcile_on(monitor_wakes::from_namespaces(&ctx))
        .reconcile_on(stream::poll_fn(move |cx| collected.poll_recv(cx)))
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
                Err(error) => tracing::warn!(%error, "the controller stumbled and goes on"),
            }
        })
        .await;
    ctx.metrics.runtime.may_reconcile(0);
}

/// Writes what was collected and not written yet, before the process ends.
pub async fn flush(ctx: &Context) {
    for group in ctx.groups.all() {
        let uid = group.uid().unwrap_or_default();
        let known = ObjectRef::from_obj(&*group);
        let more = ctx.reports.take_collected(&uid);
        ctx.memory.ledger(&known, |ledger| ledger.add(more));
        if ctx.memory.ledger(&known, |ledger| ledger.has_unwritten())
            && let Some(outcome) = ctx.memory.last_outcome(&known)
            && let Err(error) = write_status(ctx, &group, |status, now, due| {
                let found = (membership::standing(ctx, &group, now), ctx.overlaps.last(&known));
                status::next(status, &facts(ctx, &group, &outcome, &found, due), now)
            })
            .await
        {
            tracing::warn!(%error, pushgroup = %known, "the count of collected groups falls short");
        }
    }
}

async fn reconcile(group: Arc<PushGroup>, ctx: Arc<Context>) -> Result<Action, ReconcileError> {
    let started = Instant::now();
    let _running = ctx.metrics.runtime.reconciling();
    let done = tokio::time::timeout(PATIENCE, reconcile_now(&group, &ctx)).await;
    let done = done.unwrap_or(Err(ReconcileError::TooSlow));
    match &done {
        Ok(_) => {
            ctx.memory.succeeded(&ObjectRef::from_obj(&*group));
            ctx.metrics.runtime.reconciled(started.elapsed());
        }
        // Another reconciles it.
        Err(error) if !ctx.term.has(Duration::ZERO) => tracing::debug!(%error, "the term ended in a reconcile"),
        Err(error) => {
            let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
            tracing::warn!(%error, name, namespace, "cannot reconcile a PushGroup");
            ctx.metrics.runtime.reconcile_failed(started.elapsed());
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
    let Some(owner) = ctx.owner(group) else { return Ok(Action::await_change()) };
    if group.is_going() {
        return Ok(Action::await_change());
    }
    let known = ObjectRef::from_obj(&**group);
    ctx.missing.exists(&known);
    let generation = group.metadata.generation;
    let remembered = ctx.memory.fresh_outcome(&known, owner.uid, generation, ctx.clock.now());
    let is_remembered = remembered.is_some();
    let outcome = match remembered {
        Some(outcome) => outcome,
        None => sync(ctx, &known, &owner, group).await,
    };
    let now = ctx.clock.now();
    let found = (membership::assign(ctx, group, now).await, overlap::overlaps(ctx, group, now).await);
    let collected = ctx.reports.take_collected(owner.uid);
    ctx.memory.ledger(&known, |ledger| ledger.add(collected));
    let written = write_status(ctx, group, |status, now, due| {
        status::next(status, &facts(ctx, group, &outcome, &found, due), now)
    });
    let good_for = written.await.map_err(|error| ReconcileError::Status(Box::new(error)))?;
    match outcome {
        // The failure was told when it happened.
        Outcome::Failed(_) if is_remembered => {
            Ok(Action::requeue(ctx.memory.fresh_for(&known, ctx.clock.now()).max(SHORTEST).min(good_for)))
        }
        Outcome::Failed(what) => Err(ReconcileError::Apply(what)),
        Outcome::Applied
        | Outcome::AppliedByEndpoints
        | Outcome::NotWanted
        | Outcome::ApiAbsent
        | Outcome::ServiceUnfit(_)
        | Outcome::Foreign(_) => {
            // Sooner where somebody touched the objects.
            let fresh_for = ctx.memory.fresh_for(&known, ctx.clock.now()).max(SHORTEST);
            Ok(Action::requeue(fresh_for.min(found.0.good_for()).min(good_for)))
        }
    }
}

/// Makes the objects what they should be.
async fn sync(ctx: &Context, known: &ObjectRef<PushGroup>, owner: &Owner<'_>, group: &PushGroup) -> Outcome {
    // Before reading: a change that comes meanwhile is then seen as one.
    ctx.memory.begin(known, owner.uid, ctx.clock.now());
    let outcome = match make(ctx, owner, group).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(format!("cannot read the objects there are: {}", said(&error))),
    };
    ctx.memory.synced(known, group.metadata.generation, ctx.clock.now(), outcome.clone());
    outcome
}

async fn make(ctx: &Context, owner: &Owner<'_>, group: &PushGroup) -> Result<Outcome, kube::Error> {
    let existing = observe(&ctx.client, owner).await?;
    let plan = match Mode::of(&group.spec) {
        Mode::Pod => plan(owner, &existing, &ctx.keys),
        Mode::Gateway => match gateway::monitor(&ctx.client, owner, group).await? {
            GatewayMonitor::NotWanted => plan_for_gateway(owner, &existing, &ctx.keys, None),
            GatewayMonitor::Wanted(monitor) => plan_for_gateway(owner, &existing, &ctx.keys, Some(*monitor)),
            GatewayMonitor::Unfit(what) => return Ok(Outcome::ServiceUnfit(what)),
        },
    };
    let with = Applying { client: &ctx.client, undeclared: &ctx.monitoring.undeclared, now: ctx.clock.now() };
    Ok(apply(with, owner, plan).await)
}

fn facts<'a>(
    ctx: &Context,
    group: &PushGroup,
    outcome: &'a Outcome,
    (assigned, overlaps): &'a (Assigned, Vec<Overlap>),
    due: &'a Due,
) -> Facts<'a> {
    let owner = ctx.owner(group);
    let monitored = owner.and_then(|owner| owner.monitored(group.spec.monitor_kind()));
    Facts {
        mode: Mode::of(&group.spec),
        generation: group.metadata.generation,
        sidecars: running_sidecars(&ctx.pods, group, &ctx.image),
        monitors: outcome,
        takers: monitored.map(|monitor| ctx.monitoring.takers(&monitor)),
        has_timestamps: owner.is_some_and(|owner| owner.has_timestamps),
        assigned,
        overlaps,
        not_injected: ctx.not_injected.of_group(group, &ctx.groups),
        pass: ctx.reports.last(&group.uid().unwrap_or_default()),
        due,
        by_url: group.spec.gateway.as_ref().is_some_and(|gateway| gateway.url.is_some()),
    }
}

// === impl Context ===

impl Context {
    /// What the objects of a group are made from.
    fn owner<'a>(&'a self, group: &'a PushGroup) -> Option<Owner<'a>> {
        let owner = Owner::of(group)?.with_monitor_labels(&self.monitor_labels);
        Some(owner.with_operator_namespace(&self.own_namespace))
    }
}

#[cfg(test)]
impl Context {
    /// For a test that has nothing but an API server.
    pub(crate) fn of_test(client: &Client) -> Self {
        Self {
            client: client.clone(),
            scope: Scope::All,
            term: Term::of_test().1,
            groups: Cache::of(Vec::new()),
            pods: Cache::of(Vec::new()),
            reports: Arc::default(),
            image: SidecarImage::default(),
            keys: Vec::new(),
            memory: Arc::default(),
            monitoring: Monitoring::default(),
            monitor_labels: BTreeMap::new(),
            own_namespace: "sidegate-system".to_owned(),
            membership: Attempts::default(),
            overlaps: Overlaps::default(),
            missing: Missing::default(),
            not_injected: audit::missing::Missing::default(),
            clock: Clock::system(),
            metrics: Arc::default(),
            events: Events::to(client),
        }
    }
}
