//! The laws of admission: whatever is sent is answered at once and in short; a request that can be answered is, and admits
//! its pod; a patch fits the pod it is for, keeps everything in it, and a second call adds nothing.
//!
//! *Never:* which pods get a sidecar.

use std::{future, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::PushGroup;
use futures::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, Resource, runtime::watcher::Event};
use operator::{
    cache::{Cache, cache},
    config::{SidecarImage, WebhookLimits},
    events::Events,
    injection::{
        groups::Groups,
        limit_ranges::LimitRanges,
        namespaces::Namespaces,
        webhook::{self, Around, WebhookState},
    },
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

/// Where every pod goes.
const NAMESPACE: &str = "data";

/// The groups there are: all pods belong to the first, and a pod may name the second, which has all there is.
const GROUPS: [(&str, &str); 2] = [
    ("all", r#"{"selector": {}}"#),
    (
        "full",
        r#"{"selector": {"matchLabels": {"a": "b"}}, "sidecar": {"holdOpen": "60s", "raiseGracePeriod": true, "routePrefix":
            "/p", "storage": "Disk", "auth": {"secretName": "s"}, "listenAddresses": ["127.0.0.1:4318", "[::1]:4318"]}}"#,
    ),
];

/// The fields whose value may change: the two exceptions of the README.
const EXCEPTIONS: [&str; 3] = ["terminationGracePeriodSeconds", "NO_PROXY", "no_proxy"];

/// One for all inputs.
struct Operator {
    runtime: Runtime,
    router: Router,
}

/// The input is a review; or the pod in one, in a namespace that asks for it.
pub fn review(input: &[u8]) {
    thread_local! {
        static OPERATOR: Operator = Operator::new();
    }
    OPERATOR.with(|operator| {
        operator.ask(input.to_vec());
        let pod = String::from_utf8_lossy(input);
        let patch = operator.ask(review_of(&pod).into_bytes());
        // The API server sends no other.
        let is_pod = serde_json::from_str::<Pod>(&pod).is_ok();
        if let Some(patch) = patch.filter(|_| is_pod) {
            let before: Value = serde_json::from_str(&pod).unwrap();
            let mut after = before.clone();
            json_patch::patch(&mut after, &patch).unwrap();
            keeps(&before, &after, "");
            assert_eq!(operator.ask(review_of(&after.to_string()).into_bytes()), None, "{after}");
        }
    });
}

/// A review of a pod, whatever that is.
pub fn review_of(pod: &str) -> String {
    format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u", "namespace":
            "{NAMESPACE}", "operation": "CREATE", "resource": {{"group": "", "resource": "pods"}}, "object": {pod}}}}}"#
    )
}

/// Whatever was there is there still, in its order; more may be beside it.
fn keeps(before: &Value, after: &Value, path: &str) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                let path = format!("{path}/{name}");
                if !EXCEPTIONS.contains(&name.as_str()) {
                    keeps(value, after.get(name).unwrap_or_else(|| panic!("{path} is gone")), &path);
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            for value in before {
                // What is put before it is told apart by its name.
                let same =
                    |other: &&Value| value.get("name") == other.get("name") && value.is_object() == other.is_object();
                let found = rest.find(same).unwrap_or_else(|| panic!("{path}: {value} is gone"));
                let is_exception =
                    value.get("name").and_then(Value::as_str).is_some_and(|name| EXCEPTIONS.contains(&name));
                if !is_exception {
                    keeps(value, found, path);
                }
            }
        }
        // An absent list may be `null`, and becomes one.
        (Value::Null, _) => {}
        (before, after) => assert_eq!(before, after, "{path}"),
    }
}

fn known<K>(runtime: &Runtime, objects: Vec<K>) -> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (cache, writer) = cache();
    let objects = objects.into_iter().map(Event::InitApply);
    let events = [Event::Init].into_iter().chain(objects).chain([Event::InitDone]).map(Ok);
    runtime.block_on(writer.fill(stream::iter(events)).for_each(|_| future::ready(())));
    cache
}

// === impl Operator ===

impl Operator {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let _guard = runtime.enter();
        let service = tower::service_fn(|_: Request<kube::client::Body>| async {
            let list = r#"{"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []}"#;
            Ok::<_, std::io::Error>(axum::http::Response::new(Body::from(list)))
        });
        let client = Client::new(service, "default");
        let groups = GROUPS.map(|(name, spec)| {
            let mut group = PushGroup::new(name, serde_json::from_str(spec).unwrap());
            group.metadata.namespace = Some(NAMESPACE.to_owned());
            group
        });
        let labels = json!({"sidegate.dev/inject": "true"});
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE, "labels": labels}})).unwrap();
        let range = json!({
            "metadata": {"name": "r", "namespace": NAMESPACE},
            "spec": {"limits": [{"type": "Container", "min": {"memory": "32Mi"}, "max": {"cpu": "1"}}]},
        });
        let around = Around {
            groups: Groups::new(known(&runtime, groups.into()), client.clone()),
            namespaces: Namespaces::new(known(&runtime, vec![namespace]), client.clone()),
            limit_ranges: LimitRanges::new(known(&runtime, vec![serde_json::from_value(range).unwrap()])),
        };
        let image = SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() };
        let limits =
            WebhookLimits { timeout: Duration::from_secs(4), review_bytes: 128 * 1024, memory_bytes: 4 * 1024 * 1024 };
        let events = Events::to(&client);
        let state = WebhookState::new(Arc::new(image), &limits, around, events, Arc::default());
        Self { router: webhook::router(state), runtime }
    }

    /// Sends a body; the patch of the answer, if there is one.
    fn ask(&self, body: Vec<u8>) -> Option<json_patch::Patch> {
        let request = Request::post("/mutate-pods").body(Body::from(body)).unwrap();
        let (status, text) = self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await.unwrap();
            (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
        });
        let text = String::from_utf8(text.to_vec()).unwrap();
        if status != 200 {
            assert!(
                [400, 413].contains(&status) && text.len() < 1000 && text.lines().count() == 1,
                "{status}: {text:.2000}"
            );
            return None;
        }
        let answer: Value = serde_json::from_str(&text).unwrap();
        let response = &answer["response"];
        assert_eq!(response["allowed"], true, "{text:.2000}");
        assert!(response["uid"].as_str().is_some_and(|uid| !uid.is_empty()), "{text:.2000}");
        for warning in response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(!warning.contains("panicked") && !warning.contains("cannot write"), "{warning}");
            assert!(warning.len() < 1000 && !warning.contains(char::is_control), "{warning:?}");
        }
        let patch = STANDARD.decode(response["patch"].as_str()?).unwrap();
        Some(serde_json::from_slice(&patch).unwrap())
    }
}
