//! The real collector, over `PushGroup`s and pods that are known, with an API server that takes every Event.
//!
//! *Never:* what is collected, when that is enough.

use std::{sync::Arc, time::Duration};

use axum::http::{Request, Response};
use crds::PushGroup;
use futures::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Resource,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use operator::{
    cache::{Cache, cache},
    clock::Clock,
    events::Events,
    gateway::Gateways,
    gc::{Collector, report::Reports},
    hearing::Hearing,
    metrics::Metrics,
    sidecar::client::SidecarClient,
    signing::OperatorKey,
    stop::{self, StopSender},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// A collector at work.
pub(crate) struct Collecting {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reports: Arc<Reports>,
    /// The `PushGroup`s that there is something new of.
    pub(crate) news: mpsc::Receiver<ObjectRef<PushGroup>>,
    stop: StopSender,
    task: JoinHandle<()>,
}

/// Has a collector begin: sidecars listen at this port and trust this key.
pub(crate) async fn collect(groups: Vec<PushGroup>, pods: Vec<Pod>, port: u16, key: OperatorKey) -> Collecting {
    let (wake, news) = mpsc::channel(64);
    let (sender, stop) = stop::channel();
    let (metrics, reports) = (Arc::<Metrics>::default(), Arc::<Reports>::default());
    let collector = Collector {
        groups: known(groups).await,
        hearing: Hearing::always(),
        pods: known(pods).await,
        client: SidecarClient::new(key),
        gateways: Gateways::new(api_server()),
        port,
        reports: reports.clone(),
        wake,
        clock: Clock::system(),
        metrics: metrics.clone(),
        events: Events::to(&api_server()),
    };
    let task = tokio::spawn(collector.run(Duration::from_secs(1), stop));
    Collecting { metrics, reports, news, stop: sender, task }
}

async fn known<K>(objects: Vec<K>) -> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (cache, writer) = cache();
    let events = objects.into_iter().map(Event::InitApply);
    let events = std::iter::once(Event::Init).chain(events).chain([Event::InitDone]);
    writer.fill(stream::iter(events.map(Ok))).for_each(|_| std::future::ready(())).await;
    assert!(cache.is_known());
    cache
}

fn api_server() -> kube::Client {
    let service = tower::service_fn(|request: Request<kube::client::Body>| async move {
        let object = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, std::io::Error>(Response::new(axum::body::Body::from(object)))
    });
    kube::Client::new(service, "default")
}

// === impl Collecting ===

impl Collecting {
    /// Ends it, and waits until it has ended.
    pub(crate) async fn end(self) {
        self.stop.request();
        self.task.await.unwrap();
    }
}
