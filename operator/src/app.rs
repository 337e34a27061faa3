//! What is started, in which order, and how it ends.
//!
//! Sockets are bound first, so that a taken port shows at once. Every replica serves health and admission, and watches
//! groups and pods; the webhook waits for its certificate, standing for election for the signing key. For as long as this
//! replica leads it also reconciles and collects; when it does not any more, these two end and it stands for election again.
//!
//! When one part ends, by fault or because the end was asked for, all do: the webhook a little later than the others, since
//! the API server goes on sending for a moment. What was collected is written before the process goes, and after that the
//! Lease is released.
//!
//! *Never:* what the parts do.

use std::{future::Future, io, net::TcpListener, pin::pin, sync::Arc, time::Duration};

use crds::PushGroup;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};
use protocol::endpoints::SCRAPE_PORT;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
};

use crate::{
    admin::{self, AdminState},
    api_client::{counted, fenced},
    audit::{Audit, missing::Missing as NotInjected},
    cache::{Cache, cache},
    certs::Certificates,
    clock::Clock,
    config::Config,
    controller::{
        self, Context, membership::Attempts, memory::Memory, overlap::Overlaps, ungrouped::Missing, wakes::Wakes,
    },
    discovery::Discovery,
    events::Events,
    floor,
    gateway::{Gateways, client::REMOVAL_TIMEOUT},
    gc::{Collector, report::Reports},
    hearing::Hearing,
    injection::{
        groups::Groups,
        limit_ranges::{self, LimitRanges},
        namespaces::{self, Namespaces},
        webhook::{self, Around, WebhookState},
    },
    leader::{self, LONGEST_WRITE, Term},
    listen::{self, BindError},
    metrics::Metrics,
    monitors::monitoring::Monitoring,
    readiness::Readiness,
    retry,
    serving::{self, Serving},
    sidecar::client::{SidecarClient, TIMEOUT},
    signing::{NoRandomness, OperatorKey, secret::load_or_create},
    stop::{self, Stop},
};

/// How long all parts may take to end, less than a pod is given by default.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long reconciling and collecting may take to end: longer than a visit to a sidecar that has begun.
const WIND_DOWN: Duration = Duration::from_secs(16);

const _: () = assert!(serving::LONGEST.as_secs() < PATIENCE.as_secs(), "admissions may be cut at the end");

// A deletion is begun only with so much of the term left.
const _: () = assert!(TIMEOUT.as_millis() <= LONGEST_WRITE.as_millis(), "a deletion may outlast its term");
const _: () =
    assert!(REMOVAL_TIMEOUT.as_millis() <= LONGEST_WRITE.as_millis(), "a gateway's removal may outlast its term");

/// How many outcomes of a pass may wait for the controller.
const OUTCOMES: usize = 64;

/// Why the process ends otherwise than on request.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port is taken, or may not be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no cluster to talk to.
    #[error("cannot make a client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// A server or the handling of signals broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A part panicked.
    #[error("a part of the operator broke: {0}")]
    Join(#[from] JoinError),
    /// Replicas cannot be told apart.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// A part ended although nobody asked for it.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// What all parts share.
struct Parts {
    config: Config,
    client: Client,
    clock: Clock,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stop: Stop,
}

/// What a replica has whether it leads or not, and keeps from term to term.
struct Kept {
    groups: Cache<PushGroup>,
    pods: Cache<Pod>,
    hearing: Hearing,
    wakes: Wakes,
    reports: Arc<Reports>,
    memory: Arc<Memory>,
    namespaces: Namespaces,
    limit_ranges: LimitRanges,
    not_injected: NotInjected,
}

/// Runs the operator until it is asked to end.
///
/// # Errors
/// When a part cannot start, breaks, or ends by itself.
pub async fn run(config: Config) -> Result<(), RunError> {
    // A second call finds the provider of the first, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let admin_listener = listen::bind(config.admin_address)?;
    let webhook_listener = listen::bind(config.webhook.address)?;
    let (stop_sender, stop) = stop::channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let metrics = Arc::<Metrics>::default();
    let client = counted(&Client::try_default().await?, metrics.clone());
    let parts =
        Arc::new(Parts { config, client, clock: Clock::system(), metrics, readiness: Readiness::default(), stop });

    let mut running: JoinSet<(&'static str, io::Result<()>)> = JoinSet::new();
    let ((groups, group_writer), (pods, pod_writer)) = (cache(), cache());
    let discovery = Discovery::new(groups.clone(), pods.clone());
    parts.metrics.ungrouped.watch(pods.clone(), groups.clone());
    let state = AdminState { readiness: parts.readiness.clone(), metrics: parts.metrics.clone(), discovery };
    let serving = admin::serve(admin_listener, state, parts.stop.clone());
    running.spawn(async move { ("the admin port", serving.await) });

    let (client, stop_of_floor) = (parts.client.clone(), parts.stop.clone());
    running.spawn(async move { ("the look at the cluster's version", floor::hold(client, stop_of_floor).await) });

    let ((namespaces, namespace_writer), (limit_ranges, limit_range_writer)) = (cache(), cache());
    let kept = Kept {
        wakes: Wakes::new(groups.clone()),
        groups,
        pods,
        hearing: Hearing::default(),
        reports: Arc::default(),
        memory: Arc::default(),
        namespaces: Namespaces::new(namespaces, parts.client.clone()),
        limit_ranges: LimitRanges::new(limit_ranges),
        not_injected: NotInjected::default(),
    };
    parts.metrics.missing.watch(kept.not_injected.clone());
    parts.metrics.silence.watch(kept.hearing.clone());
    let around = Around {
        groups: Groups::new(kept.groups.clone(), parts.client.clone()),
        namespaces: kept.namespaces.clone(),
        limit_ranges: kept.limit_ranges.clone(),
    };
    let serving = serve_webhook(parts.clone(), webhook_listener, around);
    running.spawn(async move { ("the webhook", serving.await) });
    let watched = parts.clone();
    running.spawn(async move {
        let Parts { client, config, stop, .. } = &*watched;
        tokio::select! {
            () = namespaces::watch(client, namespace_writer) => {}
            () = limit_ranges::watch(client, &config.scope, limit_range_writer) => {}
            () = stop.clone().requested() => {}
        }
        ("watching what is around pods", Ok(()))
    });

    let (watched, wakes, memory, hearing) =
        (parts.clone(), kept.wakes.clone(), kept.memory.clone(), kept.hearing.clone());
    running.spawn(async move {
        let Parts { client, config, stop, .. } = &*watched;
        tokio::select! {
            () = wakes.watch(client, &config.scope, &hearing, &memory, group_writer, pod_writer) => {}
            () = stop.clone().requested() => {}
        }
        ("watching", Ok(()))
    });
    let (known, groups) = (parts.readiness.clone(), kept.groups.clone());
    tokio::spawn(async move {
        if groups.until_known().await {
            known.groups_are_known();
        }
    });
    let (known, namespaces, ranges) = (parts.readiness.clone(), kept.namespaces.clone(), kept.limit_ranges.clone());
    tokio::spawn(async move {
        if namespaces.cache().until_known().await && ranges.cache().until_known().await {
            known.surroundings_are_known();
        }
    });

    let (elector, leadership) = leader::elector(
        &parts.client,
        &parts.config.namespace,
        &parts.config.leader,
        parts.clock,
        parts.metrics.clone(),
    )?;
    let leading = lead(parts.clone(), kept, elector, leadership);
    running.spawn(async move { ("standing for election", leading.await) });
    tracing::info!(namespace = parts.config.namespace, image = parts.config.sidecar.image, "started");

    let by_itself = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = running.join_next() => ended,
    };
    tracing::info!("ending");
    stop_sender.request();
    let others = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE, others).await.is_err() {
        tracing::warn!("some part did not end in time");
    }
    match by_itself {
        None => Ok(()),
        Some(ended) => {
            let (part, result) = ended?;
            result?;
            Err(RunError::Ended(part))
        }
    }
}

/// Gets the certificate, then answers admission reviews.
async fn serve_webhook(parts: Arc<Parts>, listener: TcpListener, around: Around) -> io::Result<()> {
    let (ready, certificate) = oneshot::channel();
    let (metrics, readiness) = (parts.metrics.clone(), parts.readiness.clone());
    let certificates = Certificates::new(&parts.client, &parts.config, parts.clock, metrics, readiness);
    let keeping = tokio::spawn(certificates.keep(parts.stop.clone(), ready));
    // Without a certificate by the end there is nothing to serve.
    let Ok(tls) = certificate.await else { return Ok(()) };

    let image = Arc::new(parts.config.sidecar.clone());
    let events = Events::to(&parts.client);
    let limits = &parts.config.webhook.limits;
    let router = webhook::router(WebhookState::new(image, limits, around, events, parts.metrics.clone()));
    let most = parts.config.webhook.most_connections;
    let serving = Serving { tls, router, stop: parts.stop.clone(), most, metrics: parts.metrics.clone() };
    let served = serving.serve(listener).await;
    keeping.abort();
    served
}

/// Stands for election, and works whenever this replica leads. Without the signing key it is no candidate.
async fn lead(
    parts: Arc<Parts>,
    kept: Kept,
    elector: leader::Elector,
    mut leadership: leader::Leadership,
) -> io::Result<()> {
    let Some(key) = signing_key(&parts).await else { return Ok(()) };
    let (done, end) = stop::channel();
    // A task of its own: nothing that a leader does holds up the renewal.
    let electing = tokio::spawn(elector.run(end));
    loop {
        let term = tokio::select! {
            // At the end this replica still leads.
            biased;
            () = parts.stop.clone().requested() => None,
            term = leadership.term() => term,
        };
        let Some(term) = term else { break };
        work(&parts, &kept, &key, term).await;
    }
    // Nothing is written any more.
    done.request();
    electing.await.map_err(io::Error::other)
}

/// Reconciles and collects for a term.
async fn work(parts: &Parts, kept: &Kept, key: &OperatorKey, term: Term) {
    kept.reports.forget_passes();
    kept.memory.forget_outcomes();
    let (wake, outcomes) = mpsc::channel(OUTCOMES);
    let client = fenced(&parts.client, term.clone());
    let events = Events::to(&client);
    let ctx = Arc::new(Context {
        client,
        scope: parts.config.scope.clone(),
        term: term.clone(),
        groups: kept.groups.clone(),
        pods: kept.pods.clone(),
        reports: kept.reports.clone(),
        image: parts.config.sidecar.clone(),
        keys: vec![key.public()],
        memory: kept.memory.clone(),
        monitoring: Monitoring::default(),
        monitor_labels: parts.config.monitor_labels.clone(),
        own_namespace: parts.config.namespace.clone(),
        membership: Attempts::default(),
        overlaps: Overlaps::default(),
        missing: Missing::default(),
        not_injected: kept.not_injected.clone(),
        clock: parts.clock,
        metrics: parts.metrics.clone(),
        events: events.clone(),
    });
    let collector = Collector {
        groups: kept.groups.clone(),
        hearing: kept.hearing.clone(),
        pods: kept.pods.clone(),
        client: SidecarClient::new(key.clone()),
        gateways: Gateways::new(parts.client.clone()),
        port: SCRAPE_PORT,
        reports: kept.reports.clone(),
        wake,
        clock: parts.clock,
        metrics: parts.metrics.clone(),
        events: events.clone(),
    };
    let audit = Audit {
        client: ctx.client.clone(),
        scope: parts.config.scope.clone(),
        own_namespace: parts.config.namespace.clone(),
        image: Arc::new(parts.config.sidecar.clone()),
        namespaces: kept.namespaces.clone(),
        limit_ranges: kept.limit_ranges.clone(),
        groups: kept.groups.clone(),
        pods: kept.pods.clone(),
        missing: kept.not_injected.clone(),
        wakes: kept.wakes.clone(),
        events: events.clone(),
    };
    let (sender, stop) = stop::channel();
    let stop = stop.within(term.clone());
    let working = async {
        tokio::join!(
            controller::run(ctx.clone(), &kept.wakes, outcomes, stop.clone()),
            collector.run(parts.config.collection_interval, stop.clone()),
            audit.run(stop.clone()),
        );
    };
    let ends = async {
        tokio::select! {
            () = term.clone().over() => {}
            () = parts.stop.clone().requested() => {}
        }
        sender.request();
    };
    if until_wound_down(working, ends).await.is_err() {
        tracing::warn!("gave up what took too long to end");
    }
    if term.has(LONGEST_WRITE) {
        controller::flush(&ctx).await;
        events.settled().await;
    }
}

/// Works until the end is asked for, and then for as long as it may take to end.
async fn until_wound_down(
    working: impl Future<Output = ()>,
    ends: impl Future<Output = ()>,
) -> Result<(), tokio::time::error::Elapsed> {
    let mut working = pin!(working);
    tokio::select! {
        () = &mut working => Ok(()),
        () = ends => tokio::time::timeout(WIND_DOWN, working).await,
    }
}

async fn signing_key(parts: &Parts) -> Option<OperatorKey> {
    let secrets = Api::<Secret>::namespaced(parts.client.clone(), &parts.config.namespace);
    let name = &parts.config.signing_secret;
    retry::until_it_works("get the signing key", &parts.stop, || load_or_create(&secrets, name)).await
}
