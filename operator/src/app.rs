//! What is started, in which order, and how it ends.
//!
//! Sockets are bound first, so that a taken port shows at once. Health is served from the start, and the groups are
//! watched from the start, for the webhook; the rest waits for what it needs: collection and reconciling for the signing
//! key, the webhook for its certificate. When one part ends, by fault or because the end was asked for, all do: the
//! webhook a little later than the others, since the API server goes on sending for a moment, and what was collected is
//! written before the process goes.
//!
//! *Never:* what the parts do.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use axum_server::{Handle, tls_rustls::RustlsConfig};
use crds::PushGroup;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use protocol::endpoints::SCRAPE_PORT;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
};

use crate::{
    admin::{self, AdminState},
    cache::{Cache, CacheWriter, cache},
    certs::Certificates,
    clock::Clock,
    config::Config,
    controller::{self, Context, GroupWatch},
    events::Events,
    gc::{Collector, report::Reports},
    injection::{
        groups::Groups,
        webhook::{self, WebhookState},
    },
    listen::{self, BindError},
    metrics::Metrics,
    readiness::Readiness,
    retry,
    sidecar::client::SidecarClient,
    signing::{OperatorKey, secret::load_or_create},
    stop::{self, Stop},
};

/// How long the webhook goes on after the end was asked for: until the API server has learned of it.
const LAST_ADMISSIONS: Duration = Duration::from_secs(3);

/// How long open requests of the webhook may take after that.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long all parts may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let client = Client::try_default().await?;
    let parts = Arc::new(Parts {
        config,
        client,
        clock: Clock::system(),
        metrics: Arc::default(),
        readiness: Readiness::default(),
        stop,
    });

    let mut running: JoinSet<(&'static str, io::Result<()>)> = JoinSet::new();
    let state = AdminState { readiness: parts.readiness.clone(), metrics: parts.metrics.clone() };
    let serving = admin::serve(admin_listener, state, parts.stop.clone());
    running.spawn(async move { ("the admin port", serving.await) });

    let (groups, writer) = cache();
    let serving = serve_webhook(parts.clone(), webhook_listener, Groups::new(groups.clone(), parts.client.clone()));
    running.spawn(async move { ("the webhook", serving.await) });

    let working = reconcile_and_collect(parts.clone(), groups, writer);
    running.spawn(async move {
        working.await;
        ("reconciling and collecting", Ok(()))
    });
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
async fn serve_webhook(parts: Arc<Parts>, listener: TcpListener, groups: Groups) -> io::Result<()> {
    let (ready, certificate) = oneshot::channel::<RustlsConfig>();
    let certificates = Certificates::new(&parts.client, &parts.config, parts.clock, parts.readiness.clone());
    let keeping = tokio::spawn(certificates.keep(parts.stop.clone(), ready));
    // Without a certificate by the end there is nothing to serve.
    let Ok(tls) = certificate.await else { return Ok(()) };

    let image = Arc::new(parts.config.sidecar.clone());
    let router = webhook::router(WebhookState::new(image, groups, parts.metrics.clone()));
    let handle = Handle::new();
    let (ending, stop) = (handle.clone(), parts.stop.clone());
    tokio::spawn(async move {
        stop.requested().await;
        tokio::time::sleep(LAST_ADMISSIONS).await;
        ending.graceful_shutdown(Some(LAST_ANSWERS));
    });
    let mut server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle);
    listen::limit_headers(&mut server);
    let served = server.serve(router.into_make_service()).await;
    keeping.abort();
    served
}

/// Gets the signing key, then reconciles and collects; both share the caches.
async fn reconcile_and_collect(parts: Arc<Parts>, groups: Cache<PushGroup>, group_writer: CacheWriter<PushGroup>) {
    let mut watch = GroupWatch::new(&parts.client, groups.clone(), group_writer);
    let known = async {
        if groups.until_known().await {
            parts.readiness.groups_are_known();
        }
    };
    let working = async {
        // Admission needs the groups and no key: a damaged Secret is not to stop it.
        if let Some(key) = watch.fill_until(signing_key(&parts)).await {
            work_with(&parts, key, &groups, watch).await;
        }
    };
    tokio::join!(known, working);
}

async fn work_with(parts: &Parts, key: OperatorKey, groups: &Cache<PushGroup>, watch: GroupWatch) {
    let (pods, pod_writer) = cache();
    let reports = Arc::<Reports>::default();
    let (wake, outcomes) = mpsc::channel(OUTCOMES);
    parts.metrics.ungrouped.watch(pods.clone(), groups.clone());
    let ctx = Arc::new(Context {
        client: parts.client.clone(),
        groups: groups.clone(),
        pods: pods.clone(),
        reports: reports.clone(),
        keys: vec![key.public()],
        memory: controller::memory::Memory::default(),
        membership: controller::membership::Attempts::default(),
        overlaps: controller::overlap::Overlaps::default(),
        missing: controller::ungrouped::Missing::default(),
        events: Events::to(&parts.client),
        clock: parts.clock,
        metrics: parts.metrics.clone(),
    });
    let collector = Collector {
        groups: groups.clone(),
        pods,
        client: SidecarClient::new(key),
        port: SCRAPE_PORT,
        reports,
        wake,
        clock: parts.clock,
        metrics: parts.metrics.clone(),
    };
    tokio::join!(
        controller::run(ctx.clone(), watch, pod_writer, outcomes, parts.stop.clone()),
        collector.run(parts.config.collection_interval, parts.stop.clone()),
    );
    controller::flush(&ctx, groups).await;
}

async fn signing_key(parts: &Parts) -> Option<OperatorKey> {
    let secrets = Api::<Secret>::namespaced(parts.client.clone(), &parts.config.namespace);
    let name = &parts.config.signing_secret;
    retry::until_it_works("get the signing key", &parts.stop, || load_or_create(&secrets, name)).await
}
