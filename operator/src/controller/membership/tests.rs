//! Against a fake API server that takes labels, or refuses them.

use axum::{
    body::Body as Answered,
    http::{Method, Request, Response},
};
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use kube::client::Body;
use serde_json::Value;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

const FORBIDDEN: &str = "pods \"a\" is forbidden: User \"system:serviceaccount:sidegate-system:sidegate-operator\" cannot \
                         patch resource \"pods\" in API group \"\" in the namespace \"data\"";

/// What it answers with, and what was asked.
#[derive(Clone, Default)]
struct FakeServer {
    refusal: Arc<Mutex<Option<(u16, &'static str)>>>,
    patches: Arc<Mutex<Vec<(String, Value)>>>,
}

// === impl FakeServer ===

impl FakeServer {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                assert_eq!(parts.method, Method::PATCH);
                assert_eq!(parts.headers["content-type"], "application/merge-patch+json");
                assert_eq!(parts.uri.query(), Some("&fieldManager=sidegate-membership"));
                let name = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
                let patch = serde_json::from_slice(&body).map_err(std::io::Error::other)?;
                server.patches.lock().unwrap().push((name, patch));
                let (status, answer) = match *server.refusal.lock().unwrap() {
                    None => (200, json!({"metadata": {}})),
                    Some((code, message)) => {
                        (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": message}))
                    }
                };
                let answer = Response::builder().status(status).body(Answered::from(answer.to_string()));
                answer.map_err(std::io::Error::other)
            }
        });
        Client::new(service, "default")
    }

    fn refuse(&self, refusal: Option<(u16, &'static str)>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    /// The pods that were to be labelled since the last time.
    fn asked(&self) -> Vec<String> {
        let mut names: Vec<_> =
            std::mem::take(&mut *self.patches.lock().unwrap()).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }
}

fn pod(name: &str, labels: Value, annotations: Value) -> Pod {
    let metadata = json!({
        "namespace": "data", "name": name, "uid": name, "resourceVersion": "7",
        "labels": labels, "annotations": annotations,
    });
    serde_json::from_value(json!({"metadata": metadata, "status": {"phase": "Running"}})).unwrap()
}

fn etl(name: &str) -> Pod {
    pod(name, json!({"app": "etl"}), json!({INJECT: "true"}))
}

fn group(name: &str, created: &str, selector: Value) -> PushGroup {
    serde_json::from_value(json!({
        "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
        "metadata": {"namespace": "data", "name": name, "uid": name, "creationTimestamp": created},
        "spec": {"selector": selector},
    }))
    .unwrap()
}

fn late() -> PushGroup {
    group("late", "2026-01-02T00:00:00Z", json!({"matchLabels": {"app": "etl"}}))
}

fn context(server: &FakeServer, pods: Vec<Pod>, groups: Vec<PushGroup>) -> Context {
    Context { groups: Cache::of(groups), pods: Cache::of(pods), ..Context::of_test(&server.client()) }
}

fn chosen(pod: &Pod, groups: &[PushGroup]) -> Option<String> {
    let groups: Vec<_> = groups.iter().cloned().map(Arc::new).collect();
    group_for(pod, &groups).map(|group| group.name_any())
}

#[test]
fn a_pod_gets_the_group_that_admission_would_have_chosen() {
    let groups = [
        late(),
        group("b", "2026-01-01T00:00:00Z", json!({})),
        group("a", "2026-01-01T00:00:00Z", json!({"matchLabels": {"app": "etl"}})),
        group("other", "2025-01-01T00:00:00Z", json!({"matchLabels": {"app": "web"}})),
    ];
    assert_eq!(chosen(&etl("x"), &groups).as_deref(), Some("a"));
    assert_eq!(chosen(&etl("x"), &groups[..1]).as_deref(), Some("late"));
    assert_eq!(chosen(&etl("x"), &groups[3..]), None);
    let mut going = groups;
    going[2].metadata.deletion_timestamp = going[2].metadata.creation_timestamp.clone();
    assert_eq!(chosen(&etl("x"), &going).as_deref(), Some("b"), "one that is being deleted is as good as gone");
}

#[test]
fn a_pod_that_named_a_group_or_has_one_or_is_done_gets_none() {
    let groups = [late()];
    let with = |labels: Value, annotations: Value| chosen(&pod("x", labels, annotations), &groups);
    assert_eq!(with(json!({"app": "etl"}), json!({})).as_deref(), Some("late"), "however it was opted in");
    assert_eq!(with(json!({"app": "etl"}), json!({INJECT: "another"})), None);
    assert_eq!(with(json!({"app": "etl", INJECT: "another"}), json!({INJECT: "true"})), None);
    assert_eq!(with(json!({"app": "etl", PUSH_GROUP_LABEL: "gone"}), json!({INJECT: "true"})), None);
    let mut done = etl("x");
    done.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    assert_eq!(chosen(&done, &groups), None);
}

#[tokio::test]
async fn pods_that_were_there_before_are_labelled_once_on_top_of_what_was_seen() {
    let server = FakeServer::default();
    let named = pod("named", json!({"app": "etl"}), json!({INJECT: "another"}));
    let other = group("other", "2026-01-03T00:00:00Z", json!({}));
    let pods = vec![etl("one"), etl("two"), named, pod("web", json!({"app": "web"}), json!({}))];
    let ctx = context(&server, pods, vec![late(), other.clone()]);
    assert_eq!(assign(&ctx, &late(), NOW).await, Assigned::default());
    let mut patches = server.patches.lock().unwrap().clone();
    patches.sort_by_key(|(name, _)| name.clone());
    let patch = |uid: &str| json!({"metadata": {"uid": uid, "resourceVersion": "7", "labels": {"sidegate.dev/pushgroup": "late"}}});
    assert_eq!(patches, [("one".to_owned(), patch("one")), ("two".to_owned(), patch("two"))]);
    server.asked();
    // The watch still shows them without.
    assert_eq!(assign(&ctx, &late(), NOW).await, Assigned::default());
    assert_eq!(server.asked(), Vec::<String>::new());
    assert_eq!(assign(&ctx, &other, NOW).await, Assigned::default());
    assert_eq!(server.asked(), ["web"], "an older group has the others");
}

#[tokio::test]
async fn a_pod_that_changed_meanwhile_is_left_to_its_next_event() {
    for code in [404, 409] {
        let server = FakeServer::default();
        server.refuse(Some((code, "no")));
        let ctx = context(&server, vec![etl("one"), etl("two")], vec![late()]);
        assert_eq!(assign(&ctx, &late(), NOW).await, Assigned::default());
        assert_eq!(server.asked(), ["one", "two"]);
    }
}

#[tokio::test]
async fn a_missing_right_is_tried_with_one_pod_each_half_minute_and_heals() {
    let server = FakeServer::default();
    server.refuse(Some((403, FORBIDDEN)));
    let ctx = context(&server, vec![etl("one"), etl("two"), etl("three")], vec![late()]);
    let refused = Assigned { waiting: 3, refused: Some(Refused::Forbidden) };
    for (seconds, tries) in [(0, 1), (1, 0), (29, 0), (30, 1), (59, 0)] {
        let now = NOW + SignedDuration::from_secs(seconds);
        assert_eq!(assign(&ctx, &late(), now).await, refused);
        assert_eq!(server.asked().len(), tries, "after {seconds} s");
    }
    assert_eq!(refused.good_for(), PAUSE);
    server.refuse(None);
    assert_eq!(assign(&ctx, &late(), NOW + SignedDuration::from_secs(60)).await, Assigned::default());
    assert_eq!(server.asked(), ["one", "three", "two"]);
}

#[tokio::test]
async fn another_refusal_is_told_in_the_words_of_the_api_server() {
    let server = FakeServer::default();
    server.refuse(Some((403, "admission webhook \"labels\" denied the request: not here")));
    let ctx = context(&server, vec![etl("one")], vec![late()]);
    let assigned = assign(&ctx, &late(), NOW).await;
    let Some(Refused::Otherwise(why)) = assigned.refused else { panic!("{assigned:?}") };
    assert_eq!(why, "admission webhook \"labels\" denied the request: not here");
    assert_eq!(assigned.waiting, 1);
}
