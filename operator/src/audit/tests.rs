//! The audit over an API server that has some pods.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Body as Answered;
use e2e::wait;
use futures::channel::mpsc;
use k8s_openapi::api::core::v1::LimitRange;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::{
    cache::cache,
    events::tests::server as events_server,
    injection::namespaces::{Labels, tests::namespace},
    stop::{self, StopSender},
};

const LIMIT: Duration = Duration::from_secs(20);

/// An audit that runs, what it is told, and what it tells.
struct World {
    missing: Missing,
    /// What namespaces say from now on.
    said: mpsc::UnboundedSender<Result<Event<Labels>, watcher::Error>>,
    /// How many listings of the pods of a namespace fail.
    failing: Arc<AtomicUsize>,
    groups: Cache<PushGroup>,
    /// What is kept of pods that say they were injected.
    injected: mpsc::UnboundedSender<Result<Event<Pod>, watcher::Error>>,
    changes: mpsc::UnboundedSender<Result<String, std::io::Error>>,
    pods: Arc<Mutex<Vec<Value>>>,
    reads: Arc<AtomicUsize>,
    events: (Events, crate::events::tests::Asked),
    _stop: StopSender,
}

#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
fn pod(namespace: &str, name: &str, annotations: Value, spec: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": namespace, "name": name, "uid": name, "resourceVersion": "1",
            "labels": {"app": "etl"}, "annotations": annotations,
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": format!("job-{name}"), "uid": "1", "controller": true},
            ],
        },
        "spec": spec,
    })
}

fn containers() -> Value {
    json!({"containers": [{"name": "app", "image": "etl:1"}]})
}

/// Less than a sidecar needs, in a namespace.
fn too_little() -> LimitRange {
    let limits = json!([{"type": "Container", "max": {"memory": "8Mi"}}]);
    let range = json!({"metadata": {"namespace": "crowded", "name": "a"}, "spec": {"limits": limits}});
    serde_json::from_value(range).unwrap()
}

fn asking(name: &str) -> Value {
    pod("data", name, json!({"sidegate.dev/inject": "true"}), containers())
}

/// An API server with these pods. Whatever is asked for with a name comes in full; all that is not injected, as metadata.
fn api_server(
    pods: &Arc<Mutex<Vec<Value>>>,
    reads: &Arc<AtomicUsize>,
    failing: &Arc<AtomicUsize>,
    changes: mpsc::UnboundedReceiver<Result<String, std::io::Error>>,
) -> Client {
    let (pods, reads, failing) = (pods.clone(), reads.clone(), failing.clone());
    let changes = Arc::new(Mutex::new(Some(changes)));
    let service = tower::service_fn(move |request: axum::http::Request<Body>| {
        let (pods, reads, failing, changes) = (pods.clone(), reads.clone(), failing.clone(), changes.clone());
        async move {
            let is_of_a_namespace = request.uri().path().starts_with("/api/v1/namespaces/");
            let query = request.uri().query().unwrap_or_default().to_owned();
            let accepts = request.headers().get("accept").map(|accept| accept.to_str().unwrap().to_owned());
            let is_metadata = accepts.is_some_and(|accept| accept.contains("PartialObjectMetadata"));
            let answer = |body| Ok::<_, std::io::Error>(axum::http::Response::new(body));
            if query.contains("watch=true") {
                assert!(is_metadata && query.contains("labelSelector=%21sidegate.dev%2Finjected"), "{query}");
                let taken = changes.lock().unwrap().take();
                return match taken {
                    Some(changes) => answer(Answered::from_stream(changes)),
                    None => std::future::pending().await,
                };
            }
            let named = query.split("metadata.name%3D").nth(1).map(|rest| rest.split('&').next().unwrap().to_owned());
            assert_eq!(is_metadata, named.is_none(), "{query}");
            let fails = |left: usize| left.checked_sub(1);
            if is_of_a_namespace
                && is_metadata
                && failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok()
            {
                return Err(std::io::Error::other("the connection broke"));
            }
            if named.is_some() {
                reads.fetch_add(1, Ordering::Relaxed);
            }
            let fits = |pod: &&Value| named.as_ref().is_none_or(|name| pod["metadata"]["name"] == name.as_str());
            let items: Vec<_> = pods.lock().unwrap().iter().filter(fits).cloned().collect();
            let list = json!({
                "apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items,
            });
            answer(Answered::from(list.to_string()))
        }
    });
    Client::new(service, "default")
}

/// An audit of some pods in the namespaces `data`, which is silent, `asking`, and `off`, which is switched off.
fn audit(found: Vec<Value>) -> World {
    let (changes, receiver) = mpsc::unbounded();
    let (pods, reads, failing) = (Arc::new(Mutex::new(found)), Arc::default(), Arc::default());
    let client = api_server(&pods, &reads, &failing, receiver);
    let (events_client, asked) = events_server();
    let asks = json!({"sidegate.dev/inject": "true"});
    let off = json!({"sidegate.dev/inject": "true", "sidegate.dev/webhook": "disabled"});
    let namespaces = [("data", json!({})), ("asking", asks), ("off", off), ("kube-system", json!({}))];
    let (namespace_cache, filling) = cache();
    let (said, events) = mpsc::unbounded();
    tokio::spawn(filling.fill(events).for_each(|_| async {}));
    let known = namespaces.iter().map(|(name, labels)| Event::InitApply(namespace(name, labels)));
    for event in [Event::Init].into_iter().chain(known).chain([Event::InitDone]) {
        said.unbounded_send(Ok(event)).unwrap();
    }
    let groups = ["nightly", "weekly"].map(|name| {
        let selector = if name == "nightly" { json!({"selector": {}}) } else { json!({}) };
        let mut group = PushGroup::new(name, serde_json::from_value(selector).unwrap());
        group.metadata.namespace = Some("data".to_owned());
        group
    });
    let groups = Cache::of(groups.into());
    let (pod_cache, filling) = cache();
    let (injected, events) = mpsc::unbounded();
    tokio::spawn(filling.fill(events).for_each(|_| async {}));
    for event in [Event::Init, Event::InitDone] {
        injected.unbounded_send(Ok(event)).unwrap();
    }
    let (sender, stop) = stop::channel();
    let audit = Audit {
        scope: Scope::All,
        own_namespace: "sidegate".to_owned(),
        image: Arc::new(SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() }),
        namespaces: Namespaces::new(namespace_cache, client.clone()),
        limit_ranges: LimitRanges::new(Cache::of(vec![too_little()])),
        groups: groups.clone(),
        pods: pod_cache,
        missing: Missing::default(),
        wakes: Wakes::new(groups.clone()),
        events: Events::to(&events_client),
        client,
    };
    let world = World {
        missing: audit.missing.clone(),
        said,
        failing,
        groups,
        injected,
        changes,
        pods,
        reads,
        events: (audit.events.clone(), asked),
        _stop: sender,
    };
    tokio::spawn(audit.run(stop));
    world
}

// === impl World ===

impl World {
    /// Waits until the pods of the group that selects all are these.
    async fn until_missing(&self, expected: &[&str]) {
        self.until_missing_of("nightly", expected).await;
    }

    async fn until_missing_of(&self, group: &str, expected: &[&str]) {
        let group = self.groups.all().into_iter().find(|known| known.name_any() == group).unwrap();
        wait::until("the pods without a sidecar", LIMIT, || async {
            let found = self.missing.of_group(&group, &self.groups).map(|found| found.named);
            anyhow::ensure!(found.as_deref().is_some_and(|found| found == expected), "found {found:?}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }

    /// The label of a namespace is set.
    fn say(&self, name: &str, value: &str) {
        let labelled = namespace(name, &json!({"sidegate.dev/inject": value}));
        self.said.unbounded_send(Ok(Event::Apply(labelled))).unwrap();
    }

    fn change(&self, kind: &str, pod: &Value) {
        let line = json!({"type": kind, "object": pod}).to_string() + "\n";
        self.changes.unbounded_send(Ok(line)).unwrap();
    }

    /// Whom Events were written about.
    async fn told(&self) -> Vec<String> {
        self.events.0.settled().await;
        let asked = self.events.1.lock().unwrap();
        let mut told: Vec<_> = asked
            .iter()
            .map(|(_, _, event)| {
                assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("SidecarMissing")));
                format!("{} {}", event["regarding"]["kind"], event["regarding"]["name"]).replace('"', "")
            })
            .collect();
        told.sort();
        told
    }
}

#[tokio::test]
async fn a_pod_that_asks_and_has_no_sidecar_is_told_and_one_that_was_skipped_for_a_reason_is_not() {
    let asks = || json!({"sidegate.dev/inject": "true"});
    let mut alone = pod("asking", "silent", json!({}), containers());
    alone["metadata"]["ownerReferences"] = json!([]);
    let mut leaving = asking("leaving");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let world = audit(vec![
        asking("missed"),
        pod("data", "on-the-node", asks(), json!({"hostNetwork": true, "containers": [{"name": "app"}]})),
        pod("crowded", "no-room", asks(), containers()),
        pod("data", "silent-too", json!({}), containers()),
        pod("data", "refusing", json!({"sidegate.dev/inject": "false"}), containers()),
        pod("data", "mirror", json!({"sidegate.dev/inject": "true", "kubernetes.io/config.mirror": "x"}), containers()),
        pod("kube-system", "system", asks(), containers()),
        pod("off", "off", asks(), containers()),
        pod("asking", "refusing-too", json!({"sidegate.dev/inject": "false"}), containers()),
        alone,
        leaving,
    ]);
    world.until_missing(&["missed"]).await;
    let expected = [("asking".to_owned(), 1), ("data".to_owned(), 1)];
    assert_eq!(world.missing.by_namespace().into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(world.told().await, ["Job job-missed", "Pod silent"]);
    assert_eq!(world.reads.load(Ordering::Relaxed), 4, "what does not ask is not read");
}

#[tokio::test]
async fn what_was_missing_is_healed_when_the_pod_is_gone_and_nothing_is_read_twice() {
    let world = audit(vec![asking("missed")]);
    world.until_missing(&["missed"]).await;
    let another = asking("another");
    world.pods.lock().unwrap().push(another.clone());
    world.change("ADDED", &another);
    world.until_missing(&["another", "missed"]).await;
    for _ in 0..5 {
        world.change("MODIFIED", &another);
    }
    world.change("DELETED", &asking("missed"));
    world.until_missing(&["another"]).await;
    // It asks no more.
    world.change("MODIFIED", &pod("data", "another", json!({"sidegate.dev/inject": "false"}), containers()));
    world.until_missing(&[]).await;
    assert_eq!(world.reads.load(Ordering::Relaxed), 2);
    assert!(world.missing.by_namespace().is_empty());
    assert_eq!(world.told().await, ["Job job-another", "Job job-missed"]);
}

#[tokio::test]
async fn one_that_is_gone_when_it_is_read_is_not_missed() {
    let world = audit(vec![asking("missed")]);
    world.until_missing(&["missed"]).await;
    world.change("ADDED", &asking("gone"));
    let another = asking("another");
    world.pods.lock().unwrap().push(another.clone());
    world.change("ADDED", &another);
    world.until_missing(&["another", "missed"]).await;
    assert_eq!(world.reads.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn one_that_asks_for_something_else_and_goes_before_it_is_read_again_is_forgotten() {
    let world = audit(vec![asking("missed"), asking("other")]);
    world.until_missing(&["missed", "other"]).await;
    // It is gone when it is read.
    world.pods.lock().unwrap().retain(|pod| pod["metadata"]["name"] != "missed");
    world.change("MODIFIED", &pod("data", "missed", json!({"sidegate.dev/inject": "True"}), containers()));
    world.until_missing(&["other"]).await;
    // It is deleted while nobody has read it yet.
    world.change("MODIFIED", &pod("data", "other", json!({"sidegate.dev/inject": "weekly"}), containers()));
    world.change("DELETED", &asking("other"));
    world.until_missing(&[]).await;
    assert!(world.missing.by_namespace().is_empty());
}

#[tokio::test]
async fn one_that_asks_for_what_nobody_knows_is_missed_no_more() {
    let world = audit(vec![asking("missed")]);
    world.until_missing(&["missed"]).await;
    let typo = pod("data", "missed", json!({"sidegate.dev/inject": "True"}), containers());
    *world.pods.lock().unwrap() = vec![typo.clone()];
    world.change("MODIFIED", &typo);
    world.until_missing(&[]).await;
    let named = pod("data", "missed", json!({"sidegate.dev/inject": "weekly"}), containers());
    *world.pods.lock().unwrap() = vec![named.clone()];
    world.change("MODIFIED", &named);
    world.until_missing_of("weekly", &["missed"]).await;
    world.until_missing(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_could_not_be_listed_is_listed_again() {
    let world = audit(vec![pod("data", "silent", json!({}), containers())]);
    world.until_missing(&[]).await;
    world.failing.store(2, Ordering::Relaxed);
    world.say("data", "true");
    world.until_missing(&["silent"]).await;
    assert_eq!(world.failing.load(Ordering::Relaxed), 0);
    world.say("data", "weekly");
    world.until_missing_of("weekly", &["silent"]).await;
    world.until_missing(&[]).await;
}

/// What every replica keeps of a pod that says it was injected.
fn kept(name: &str, phase: &str, sidecars: &[&str]) -> Pod {
    let states: Vec<_> = sidecars
        .iter()
        .map(|name| json!({"name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0}))
        .collect();
    let kept = json!({
        "metadata": {
            "namespace": "data", "name": name, "uid": name, "labels": {"sidegate.dev/pushgroup": "nightly"},
            "annotations": {"sidegate.dev/sidecar-hash": "1"},
        },
        "status": {"phase": phase, "initContainerStatuses": states},
    });
    serde_json::from_value(kept).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_says_it_was_injected_and_runs_without_sidecar_is_missed() {
    let says = |name: &str| {
        let mut pod = asking(name);
        pod["metadata"]["labels"]["sidegate.dev/injected"] = json!("true");
        pod["metadata"]["labels"]["sidegate.dev/pushgroup"] = json!("nightly");
        pod
    };
    let mut by_hand = says("by-hand");
    by_hand["spec"]["containers"][0]["name"] = json!("sidegate");
    let world = audit(vec![]);
    world.until_missing(&[]).await;
    *world.pods.lock().unwrap() = vec![says("copied"), says("injected"), says("pending"), by_hand];
    let pods =
        [kept("copied", "Running", &[]), kept("injected", "Running", &["sidegate"]), kept("pending", "Pending", &[])];
    for pod in pods.into_iter().chain([kept("by-hand", "Running", &[])]) {
        world.injected.unbounded_send(Ok(Event::Apply(pod))).unwrap();
    }
    tokio::time::sleep(SWEEP).await;
    world.until_missing(&["copied"]).await;
    assert_eq!(world.told().await, ["Job job-copied"]);
    assert_eq!(world.reads.load(Ordering::Relaxed), 2, "one with a sidecar that runs is not read");
    world.injected.unbounded_send(Ok(Event::Delete(kept("copied", "Running", &[])))).unwrap();
    tokio::time::sleep(SWEEP).await;
    world.until_missing(&[]).await;
}
