//! What admissions and their audit keep in memory: nothing of a review that was answered, and of a cluster of 50,000 pods
//! that were not injected nothing but those that ask.
//!
//! Counted is the growth of a process of its own, one test at a time. The API server is a fake, the rest is real.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is right")]

use std::{
    fs, future, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{Request, Response};
use e2e::wait;
use futures::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body, runtime::watcher::Event};
use operator::{
    audit::{Audit, missing::Missing},
    cache::{Cache, cache},
    config::{SidecarImage, WebhookLimits},
    controller::wakes::Wakes,
    events::Events,
    injection::{
        groups::Groups,
        limit_ranges::LimitRanges,
        namespaces::Namespaces,
        webhook::{self, Around, WebhookState},
    },
    scope::Scope,
    stop,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower::ServiceExt as _;

/// Reviews that are answered; `cargo webhook-bench` answers more.
const REVIEWS: usize = 8_000;

/// The most that they may leave behind, in bytes; a kilobyte of each would be more.
const LEFT: usize = 4 * 1024 * 1024;

/// What all reviews at a time may take.
const ROOM: usize = 96 * 1024 * 1024;

/// What is measured is the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How many pods there are; all of them would take some hundred megabytes.
const PODS: usize = 50_000;

/// How many of them ask.
const ASKING: usize = 100;

/// How many have passed by when counting begins: what a page takes while it is read is there by then.
const WARM: usize = 5_000;

/// The most that the others may leave behind, in bytes; their metadata alone is ninety megabytes.
const BYTES: usize = 12 * 1024 * 1024;

/// The metadata of a pod that asks or does not: two kilobytes.
fn metadata(number: usize) -> Value {
    let asks = if number < ASKING { "true" } else { "false" };
    let fields: serde_json::Map<_, _> = (0..60).map(|n| (format!("f:field{n}"), json!({"f:more": {}}))).collect();
    json!({
        "namespace": "data", "name": format!("worker-{number}"), "uid": format!("uid-{number}"), "resourceVersion": "1",
        "labels": {"app": "etl", "pod-template-hash": "5f1d3a6c0a"}, "annotations": {"sidegate.dev/inject": asks},
        "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields}],
    })
}

fn page(query: &str) -> String {
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key));
    if let Some(name) = value("fieldSelector=metadata.name%3Dworker-") {
        let metadata = metadata(name.parse().unwrap());
        let pod = json!({"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "etl:1"}]}});
        return json!({"metadata": {}, "items": [pod]}).to_string();
    }
    let number = |key: &str| value(key).and_then(|number| number.parse::<usize>().ok());
    let Some(limit) = number("limit=") else { return json!({"metadata": {}, "items": []}).to_string() };
    let from = number("continue=").unwrap_or(0);
    let to = PODS.min(from + limit);
    let next = if to < PODS { to.to_string() } else { String::new() };
    let items: Vec<_> = (from..to).map(|number| json!({"metadata": metadata(number)})).collect();
    json!({"metadata": {"resourceVersion": "1", "continue": next}, "items": items}).to_string()
}

/// Answers, and notes how much memory there was once [`WARM`] pods had passed by.
fn api_server(warm: Arc<AtomicUsize>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let warm = Arc::clone(&warm);
        async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            if query.contains("watch=true") {
                future::pending::<()>().await;
            }
            if query.contains(&format!("continue={WARM}")) {
                warm.store(resident(), Ordering::Relaxed);
            }
            Ok::<_, io::Error>(Response::new(axum::body::Body::from(page(&query))))
        }
    });
    Client::new(service, "default")
}

/// A cache that has been told that there is nothing.
async fn empty<K>() -> Cache<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    let (cache, writer) = cache();
    writer.fill(stream::iter([Event::Init, Event::InitDone].map(Ok))).for_each(|_| future::ready(())).await;
    cache
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    of_status("VmRSS:")
}

/// The most that it was since that was set back.
fn highest() -> usize {
    of_status("VmHWM:")
}

fn of_status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// The webhook over an API server that knows of nothing.
async fn answering() -> axum::Router {
    let client = api_server(Arc::default());
    let around = Around {
        groups: Groups::new(empty().await, client.clone()),
        namespaces: Namespaces::new(empty().await, client.clone()),
        limit_ranges: LimitRanges::new(empty().await),
    };
    let image = SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() };
    let limits = WebhookLimits { timeout: Duration::from_secs(4), review_bytes: 3_670_016, memory_bytes: ROOM };
    let state = WebhookState::new(Arc::new(image), &limits, around, Events::to(&client), Arc::default());
    webhook::router(state)
}

#[tokio::test]
async fn reviews_that_were_answered_leave_nothing_behind() {
    let _alone = ALONE.lock().await;
    let router = answering().await;
    let ask = async |reviews: std::ops::Range<usize>| {
        for number in reviews {
            // A name of its own each, injected, skipped and unreadable by turns.
            let mut metadata = metadata(number);
            metadata["annotations"]["sidegate.dev/inject"] = json!(format!("group-{number}"));
            let pod = json!({"metadata": metadata, "spec": {"hostNetwork": number % 3 == 1, "containers": [{"name": "app"}]}});
            let deep = "[".repeat(200) + &"]".repeat(200);
            let pod = if number % 3 == 2 { deep } else { pod.to_string() };
            let review = format!(
                r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u{number}",
                    "namespace": "data", "operation": "CREATE", "resource": {{"resource": "pods"}}, "object": {pod}}}}}"#
            );
            let request = Request::post("/mutate-pods").body(axum::body::Body::from(review)).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let answer = answer.into_body().collect().await.unwrap().to_bytes();
            let has_patch = String::from_utf8_lossy(&answer).contains("JSONPatch");
            assert_eq!(has_patch, number.is_multiple_of(3), "{number}");
        }
    };
    ask(0..REVIEWS / 4).await;
    let before = resident();
    ask(REVIEWS / 4..REVIEWS).await;
    let grown = resident().saturating_sub(before);
    assert!(grown <= LEFT, "expected at most {LEFT} bytes, found {grown}");
}

#[tokio::test]
async fn a_review_of_as_many_containers_as_fit_in_takes_no_more_memory_than_there_is_room_for() {
    let _alone = ALONE.lock().await;
    let router = answering().await;
    // As an API server never sends it: nothing has been defaulted, so very many fit in.
    let containers = vec!["{}"; 90_000].join(",");
    let review = format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u",
            "namespace": "data", "operation": "CREATE", "resource": {{"resource": "pods"}}, "object":
            {{"metadata": {{"annotations": {{"sidegate.dev/inject": "true"}}}}, "spec": {{"containers": [{containers}]}}}}}}}}"#
    );
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = highest();
    let request = Request::post("/mutate-pods").body(axum::body::Body::from(review)).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    let grown = highest().saturating_sub(before);
    assert!(String::from_utf8_lossy(&answer).contains("at most 1000 containers"), "{answer:?}");
    assert!(grown <= ROOM, "expected at most {ROOM} bytes, found {grown}");
}

#[tokio::test]
async fn of_fifty_thousand_pods_those_that_ask_are_kept() {
    let _alone = ALONE.lock().await;
    assert!((1_500..4_000).contains(&metadata(1).to_string().len()), "{}", metadata(1).to_string().len());
    let warm = Arc::<AtomicUsize>::default();
    let (client, groups) = (api_server(Arc::clone(&warm)), empty().await);
    let missing = Missing::default();
    let audit = Audit {
        scope: Scope::All,
        own_namespace: "sidegate".to_owned(),
        image: Arc::new(SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() }),
        namespaces: Namespaces::new(empty().await, client.clone()),
        limit_ranges: LimitRanges::new(empty().await),
        wakes: Wakes::new(groups.clone()),
        groups,
        pods: empty().await,
        missing: missing.clone(),
        events: Events::to(&client),
        client,
    };
    let (_sender, stop) = stop::channel();
    tokio::spawn(audit.run(stop));
    wait::until("all pods to be looked at", Duration::from_secs(300), || async {
        anyhow::ensure!(missing.is_known(), "not yet");
        Ok(Some(()))
    })
    .await
    .unwrap();
    assert_eq!(missing.by_namespace().into_iter().collect::<Vec<_>>(), [("data".to_owned(), ASKING as u64)]);
    let before = warm.load(Ordering::Relaxed);
    assert_ne!(before, 0, "expected a page that begins at {WARM}");
    let grown = resident().saturating_sub(before);
    assert!(grown <= BYTES, "expected at most {BYTES} bytes, found {grown}");
}
