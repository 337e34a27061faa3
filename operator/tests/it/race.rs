//! Jobs push the very groups that are being collected, thousands of times, over real HTTP to the sidecar's own router:
//! no group goes before its time, whatever the moment.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    http::{Method, Request, Response, StatusCode},
    middleware::{Next, from_fn},
};
use bytes::Bytes;
use crds::PushGroup;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, runtime::watcher::Event};
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
    stop,
};
use protocol::{endpoints::OPERATOR_READ_HEADER, trust};
use serde_json::json;
use sidecar::{
    http::{AppState, Settings, router, scrape_router},
    store::Store,
};
use tokio::{sync::Notify, time::Instant};

/// How old a group may get.
const LIMIT: Duration = Duration::from_secs(1);

const SIDECARS: u64 = 3;

const JOBS_OF_EACH: u64 = 40;

/// When enough has happened.
const PUSHES: u64 = 2000;
const REMOVALS: u64 = 200;
const MOVED_ON: u64 = 20;

/// By when it has to.
const PATIENCE: Duration = Duration::from_secs(300);

type Http = Client<HttpConnector, Full<Bytes>>;

/// A sidecar's two addresses, and when the operator has just read it.
#[derive(Clone)]
struct Sidecar {
    push: SocketAddr,
    page: SocketAddr,
    read: Arc<Notify>,
}

async fn sidecar(number: u64, scrape_port: u16, trusted: PathBuf) -> Sidecar {
    let state = AppState::trusting(Store::new(), Settings::default(), trusted, format!("uid-{number}"));
    let push = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = tokio::net::TcpListener::bind((format!("127.24.1.{number}"), scrape_port)).await.unwrap();
    let read = Arc::<Notify>::default();
    let sidecar = Sidecar { push: push.local_addr().unwrap(), page: page.local_addr().unwrap(), read: read.clone() };
    let telling = from_fn(move |request: axum::extract::Request, next: Next| {
        let (is_operators, read) = (request.headers().contains_key(OPERATOR_READ_HEADER), read.clone());
        async move {
            let page = next.run(request).await;
            if is_operators {
                read.notify_waiters();
            }
            page
        }
    });
    let (pushes, scrapes) = (router(state.clone()), scrape_router(state).layer(telling));
    tokio::spawn(async move { axum::serve(push, pushes).await });
    tokio::spawn(async move { axum::serve(page, scrapes).await });
    sidecar
}

fn pod(number: u64) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "data", "name": format!("pod-{number}"), "uid": format!("uid-{number}"),
                     "labels": {"sidegate.dev/pushgroup": "nightly"}},
        "status": {"podIP": format!("127.24.1.{number}"), "phase": "Running", "initContainerStatuses": [
            {"name": "sidegate", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": ""},
        ]},
    }))
    .unwrap()
}

fn push_group() -> PushGroup {
    serde_json::from_value(json!({
        "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
        "metadata": {"namespace": "data", "name": "nightly", "uid": "uid", "generation": 1},
        "spec": {"selector": {}, "staleAfter": "1s"},
    }))
    .unwrap()
}

async fn known<K>(objects: Vec<K>) -> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (cache, writer) = cache();
    let events = objects.into_iter().map(Event::InitApply);
    let events = std::iter::once(Event::Init).chain(events).chain([Event::InitDone]);
    let filled = writer.fill(stream::iter(events.map(Ok))).count().await;
    assert!(2 < filled);
    cache
}

/// An API server that takes every Event.
fn api_server() -> kube::Client {
    let service = tower::service_fn(|request: Request<kube::client::Body>| async move {
        let object = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, std::io::Error>(Response::new(axum::body::Body::from(object)))
    });
    kube::Client::new(service, "default")
}

async fn ask(http: &Http, method: Method, uri: String, body: String) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(uri).body(Full::from(body)).unwrap();
    let answer = http.request(request).await.unwrap();
    let status = answer.status();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap())
}

/// A number between 0 and 1 that looks like chance.
fn chance(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    f64::from(u32::try_from(*state >> 33).unwrap()) / f64::from(1_u32 << 31)
}

/// Pushes to one group again and again, at about the time it is collected, and sees that it is there for as long as it
/// has to be.
async fn job(name: u64, sidecar: Sidecar, http: Http, pushes: Arc<AtomicU64>) {
    let (mut seed, mut round) = (name, 0);
    loop {
        round += 1;
        // By the sidecar's clock the push is later, so the group has until then and longer.
        let fresh_until = Instant::now() + LIMIT;
        let uri = format!("http://{}/metrics/job/j{name}", sidecar.push);
        let (status, said) = ask(&http, Method::PUT, uri, format!("race {round}\n")).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        pushes.fetch_add(1, Ordering::Relaxed);
        loop {
            tokio::time::sleep(LIMIT.mul_f64(0.8 * chance(&mut seed))).await;
            let uri = format!("http://{}/metrics?name[]=race", sidecar.page);
            let (_, page) = ask(&http, Method::GET, uri, String::new()).await;
            if fresh_until <= Instant::now() {
                break;
            }
            let line = format!("race{{instance=\"\",job=\"j{name}\"}} {round}\n");
            assert!(page.contains(&line), "a fresh group is gone: {line}{page}");
        }
        // Every other one pushes right when the operator has seen what it is about to remove.
        let waits_for_a_read = chance(&mut seed) < 0.5;
        tokio::select! {
            () = tokio::time::sleep(LIMIT.mul_f64(3.0 * chance(&mut seed))) => {}
            () = sidecar.read.notified(), if waits_for_a_read => {}
        }
    }
}

fn counter(metrics: &Metrics, series: &str) -> u64 {
    let page = metrics.page().unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fresh_group_is_lost_while_jobs_push_what_is_being_collected() {
    let folder = std::env::temp_dir().join(format!("sidegate-race-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = OperatorKey::from_seed(&[1; 32]);
    std::fs::write(folder.join(trust::OPERATOR_KEYS_FILE), trust::print_operator_keys(&[key.public()])).unwrap();
    // Free on every loopback address, most probably.
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let pushes = Arc::<AtomicU64>::default();
    let mut jobs = tokio::task::JoinSet::new();
    for number in 1..=SIDECARS {
        let sidecar = sidecar(number, port, folder.clone()).await;
        for name in 0..JOBS_OF_EACH {
            jobs.spawn(job(number * 1000 + name, sidecar.clone(), http.clone(), pushes.clone()));
        }
    }
    let (wake, mut woken) = tokio::sync::mpsc::channel(64);
    let (sender, stop) = stop::channel();
    let (metrics, reports) = (Arc::<Metrics>::default(), Arc::<Reports>::default());
    let collector = Collector {
        groups: known(vec![push_group()]).await,
        hearing: Hearing::always(),
        pods: known((1..=SIDECARS).map(pod).collect()).await,
        client: SidecarClient::new(key),
        gateways: Gateways::new(api_server()),
        port,
        reports: reports.clone(),
        wake,
        clock: Clock::system(),
        metrics: metrics.clone(),
        events: Events::to(&api_server()),
    };
    let collecting = tokio::spawn(collector.run(Duration::from_secs(1), stop));

    let started = Instant::now();
    let removed = "sidegate_operator_collected_groups_total{limit=\"stale_after\",since=\"push\"}";
    let counts = || {
        let moved_on = counter(&metrics, "sidegate_operator_moved_on_groups_total");
        (pushes.load(Ordering::Relaxed), counter(&metrics, removed), moved_on)
    };
    loop {
        let (pushed, removed, moved_on) = counts();
        if PUSHES <= pushed && REMOVALS <= removed && MOVED_ON <= moved_on {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "only {pushed} pushes, {removed} removals, {moved_on} moved on");
        tokio::select! {
            failed = jobs.join_next() => panic!("a job failed: {failed:?}"),
            _ = woken.recv() => {}
        }
    }
    sender.request();
    collecting.await.unwrap();
    assert_eq!(reports.last("uid").unwrap().targets, SIDECARS);
    assert_eq!(reports.take_collected("uid"), counter(&metrics, removed), "each removal is counted once");
    drop(jobs);
    std::fs::remove_dir_all(&folder).unwrap();
}
