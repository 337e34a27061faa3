//! Jobs push the very groups that are being collected, thousands of times, over real HTTP to the sidecar's own router:
//! no group goes before its time, whatever the moment. With sidecars that do not mind what the operator has seen, groups do.

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
    body::Body,
    http::{Method, Request, StatusCode},
    middleware::{Next, from_fn},
};
use bytes::Bytes;
use crds::PushGroup;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::Pod;
use operator::{metrics::Metrics, signing::OperatorKey};
use protocol::{endpoints::OPERATOR_READ_HEADER, trust};
use serde_json::json;
use sidecar::{
    http::{AppState, Settings, router, scrape_router},
    store::Store,
};
use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tower::ServiceExt as _;

use crate::collecting::{Collecting, collect};

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

/// What a sidecar makes of the push time that the operator has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// It removes what has not been pushed since.
    Kept,
    /// It removes, as a classic Pushgateway does.
    Ignored,
}

/// A sidecar's two addresses, and when the operator has just read it.
#[derive(Clone)]
struct Sidecar {
    push: SocketAddr,
    page: SocketAddr,
    read: Arc<Notify>,
}

/// Sidecars at addresses of their own, with jobs that push to them.
struct Race {
    folder: PathBuf,
    pushes: Arc<AtomicU64>,
    /// Each ends when a fresh group is gone.
    jobs: JoinSet<String>,
}

fn key() -> OperatorKey {
    OperatorKey::from_seed(&[1; 32])
}

/// The nth sidecar's address.
fn address(condition: Condition, nth: u64) -> String {
    match condition {
        Condition::Kept => format!("127.24.1.{nth}"),
        Condition::Ignored => format!("127.24.2.{nth}"),
    }
}

async fn sidecar(condition: Condition, nth: u64, scrape_port: u16, trusted: PathBuf) -> Sidecar {
    let state = AppState::trusting(Store::new(), Settings::default(), trusted, format!("uid-{nth}"));
    let push = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = tokio::net::TcpListener::bind((address(condition, nth), scrape_port)).await.unwrap();
    let read = Arc::<Notify>::default();
    let sidecar = Sidecar { push: push.local_addr().unwrap(), page: page.local_addr().unwrap(), read: read.clone() };
    let pushes = router(state.clone());
    let anyone = pushes.clone();
    let telling = from_fn(move |request: axum::extract::Request, next: Next| {
        let (is_operators, read) = (request.headers().contains_key(OPERATOR_READ_HEADER), read.clone());
        let anyone = anyone.clone();
        async move {
            if condition == Condition::Ignored && request.method() == Method::DELETE {
                let bare = Request::delete(request.uri().clone()).body(Body::empty()).unwrap();
                return anyone.oneshot(bare).await.unwrap();
            }
            let page = next.run(request).await;
            if is_operators {
                read.notify_waiters();
            }
            page
        }
    });
    let scrapes = scrape_router(state).layer(telling);
    tokio::spawn(async move { axum::serve(push, pushes).await });
    tokio::spawn(async move { axum::serve(page, scrapes).await });
    sidecar
}

fn pod(condition: Condition, nth: u64) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "data", "name": format!("pod-{nth}"), "uid": format!("uid-{nth}"),
                     "labels": {"sidegate.dev/pushgroup": "nightly"}},
        "status": {"podIP": address(condition, nth), "phase": "Running", "initContainerStatuses": [
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

/// Pushes to one group again and again, at about the time it is collected, until it is not there for as long as it has to
/// be; what was missed, and where.
async fn job(name: u64, sidecar: Sidecar, http: Http, pushes: Arc<AtomicU64>) -> String {
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
            if !page.contains(&line) {
                return format!("a fresh group is gone: {line}{page}");
            }
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

// === impl Race ===

impl Race {
    /// Starts the sidecars, the jobs and the collector.
    async fn begin(condition: Condition) -> (Self, Collecting) {
        let folder = std::env::temp_dir().join(format!("sidegate-race-{condition:?}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(trust::OPERATOR_KEYS_FILE), trust::print_operator_keys(&[key().public()])).unwrap();
        // Free on every loopback address, most probably.
        let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let http: Http = Client::builder(TokioExecutor::new()).build_http();
        let mut race = Self { folder, pushes: Arc::default(), jobs: JoinSet::new() };
        for nth in 1..=SIDECARS {
            let sidecar = sidecar(condition, nth, port, race.folder.clone()).await;
            for name in 0..JOBS_OF_EACH {
                race.jobs.spawn(job(nth * 1000 + name, sidecar.clone(), http.clone(), race.pushes.clone()));
            }
        }
        let pods = (1..=SIDECARS).map(|nth| pod(condition, nth)).collect();
        let collecting = collect(vec![push_group()], pods, port, key()).await;
        (race, collecting)
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const REMOVED: &str = "sidegate_operator_collected_groups_total{limit=\"stale_after\",since=\"push\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fresh_group_is_lost_while_jobs_push_what_is_being_collected() {
    let (mut race, mut collecting) = Race::begin(Condition::Kept).await;
    let started = Instant::now();
    loop {
        let [removed, moved_on] =
            [REMOVED, "sidegate_operator_moved_on_groups_total"].map(|series| counter(&collecting.metrics, series));
        let pushed = race.pushes.load(Ordering::Relaxed);
        if PUSHES <= pushed && REMOVALS <= removed && MOVED_ON <= moved_on {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "only {pushed} pushes, {removed} removals, {moved_on} moved on");
        tokio::select! {
            missed = race.jobs.join_next() => panic!("{missed:?}"),
            _ = collecting.news.recv() => {}
        }
    }
    let (metrics, reports) = (collecting.metrics.clone(), collecting.reports.clone());
    collecting.end().await;
    assert_eq!(reports.last("uid").unwrap().targets, SIDECARS);
    assert_eq!(reports.take_collected("uid"), counter(&metrics, REMOVED), "each removal is counted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_group_is_lost_where_a_sidecar_ignores_what_the_operator_has_seen() {
    let (mut race, mut collecting) = Race::begin(Condition::Ignored).await;
    let lost = async {
        loop {
            tokio::select! {
                missed = race.jobs.join_next() => break missed.unwrap().unwrap(),
                _ = collecting.news.recv() => {}
            }
        }
    };
    let missed = tokio::time::timeout(PATIENCE, lost).await.unwrap();
    assert!(missed.starts_with("a fresh group is gone: "), "{missed}");
    assert!(0 < counter(&collecting.metrics, REMOVED));
    collecting.end().await;
}
