//! Reviews through the router, without TLS.

use axum::http::{Request, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
use json_patch::Patch;
use kube::Client;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    cache::{Cache, cache},
    events::tests::{Asked as AskedServer, server},
    golden,
    injection::{
        namespaces::{Labels, tests::namespace},
        warning::tests::is_fit,
    },
};

mod hostile;

const LIMITS: WebhookLimits =
    WebhookLimits { timeout: Duration::from_secs(4), review_bytes: 7 * 512 * 1024, memory_bytes: 96 * 1024 * 1024 };

/// A state whose cache knows some groups and whose API server knows others; `None` is an API server that fails.
fn state(cached: Vec<PushGroup>, live: Option<Vec<PushGroup>>) -> WebhookState {
    state_of_raw(cached, live.map(|groups| groups.iter().map(|group| serde_json::to_value(group).unwrap()).collect()))
}

fn state_of_raw(cached: Vec<PushGroup>, live: Option<Vec<Value>>) -> WebhookState {
    let image = SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() };
    state_around(image, namespace("data", &json!({})), cached, live, vec![])
}

/// A state whose cache knows a namespace and what is in it.
pub(crate) fn state_around(
    image: SidecarImage,
    namespace: Labels,
    cached: Vec<PushGroup>,
    live: Option<Vec<Value>>,
    limit_ranges: Vec<LimitRange>,
) -> WebhookState {
    let list = live.map(
        |items| json!({"apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroupList", "metadata": {}, "items": items}),
    );
    let service = tower::service_fn(move |_: axum::http::Request<kube::client::Body>| {
        let answer = match &list {
            Some(list) => axum::http::Response::new(Body::from(list.to_string())),
            None => {
                let mut answer = axum::http::Response::new(Body::from("no"));
                *answer.status_mut() = StatusCode::FORBIDDEN;
                answer
            }
        };
        async move { Ok::<_, std::io::Error>(answer) }
    });
    let client = Client::new(service, "default");
    let around = Around {
        groups: Groups::new(Cache::of(cached), client.clone()),
        namespaces: Namespaces::new(Cache::of(vec![namespace]), client),
        limit_ranges: LimitRanges::new(Cache::of(limit_ranges)),
    };
    WebhookState::new(Arc::new(image), &LIMITS, around, Events::to(&server().0), Arc::default())
}

/// A state of one group that takes every pod, and what its API server is told as Events.
fn told() -> (WebhookState, AskedServer) {
    let (client, asked) = server();
    let state = state(vec![group("nightly", json!({"selector": {}}))], None);
    (WebhookState { events: Events::to(&client), ..state }, asked)
}

/// The Events that were written: about whom, of which type and reason, and what they say.
async fn events(state: &WebhookState, asked: &AskedServer) -> Vec<[String; 4]> {
    state.events.settled().await;
    let asked = asked.lock().unwrap();
    let text =
        |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let print = |event: &Value| ["/regarding/name", "/type", "/reason", "/note"].map(|pointer| text(event, pointer));
    asked.iter().map(|(_, _, event)| print(event)).collect()
}

fn panics(_: RawPod<'_>, _: &Surroundings<'_>) -> Result<Outcome, serde_json::Error> {
    panic!("a defect")
}

fn group(name: &str, spec: Value) -> PushGroup {
    let mut group = PushGroup::new(name, serde_json::from_value(spec).unwrap());
    group.metadata.namespace = Some("data".to_owned());
    group
}

/// A review of a new pod in the namespace `data`.
pub(crate) fn review_of(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0c9a8d74",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "data",
            "operation": "CREATE",
            "userInfo": {"username": "somebody"},
            "object": pod,
        },
    })
}

async fn ask(state: &WebhookState, body: String) -> (u16, Value) {
    let request = Request::post("/mutate-pods").header("content-type", "application/json").body(Body::from(body));
    let answer = router(state.clone()).oneshot(request.unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// The answer to a review: its patch, and its warnings; each answer must admit the pod.
pub(crate) async fn admitted(state: &WebhookState, review: &Value) -> (Option<Value>, Vec<String>) {
    let (status, answer) = ask(state, review.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(answer.pointer("/response/allowed"), Some(&json!(true)));
    assert_eq!(answer.pointer("/response/uid"), Some(&json!("0c9a8d74")));
    assert_eq!(answer.pointer("/apiVersion"), Some(&json!("admission.k8s.io/v1")));
    let patch = answer
        .pointer("/response/patch")
        .map(|patch| serde_json::from_slice(&STANDARD.decode(patch.as_str().unwrap()).unwrap()).unwrap());
    let warnings = answer.pointer("/response/warnings").cloned().unwrap_or(json!([]));
    (patch, serde_json::from_value(warnings).unwrap())
}

fn job_pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "backup-",
            "labels": {"app": "etl"},
            "annotations": {"sidegate.dev/inject": "true"},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "backup", "uid": "1", "controller": true},
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "initContainers": [{"name": "fetch", "image": "fetch:1"}],
            "containers": [{"name": "app", "image": "etl:1", "env": [{"name": "MODE", "value": "full"}]}],
            "fieldOfTheFuture": {"kept": true},
        },
    })
}

#[tokio::test]
async fn a_job_pod_gets_the_golden_patch() {
    let state = state(vec![group("nightly", json!({"selector": {"matchLabels": {"app": "etl"}}}))], None);
    let (patch, warnings) = admitted(&state, &review_of(&job_pod())).await;
    assert!(warnings.is_empty(), "{warnings:?}");
    golden::check("injected-job-pod.patch.yaml", &patch.unwrap());
}

#[tokio::test]
async fn a_second_call_changes_nothing() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], None);
    let mut pod = job_pod();
    let (patch, _) = admitted(&state, &review_of(&pod)).await;
    let patch: Patch = serde_json::from_value(patch.unwrap()).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(pod.pointer("/spec/fieldOfTheFuture"), Some(&json!({"kept": true})));
    assert_eq!(admitted(&state, &review_of(&pod)).await, (None, vec![]));
}

#[tokio::test]
async fn a_pod_that_does_not_ask_is_left_alone() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], Some(vec![]));
    let mut pod = job_pod();
    pod["metadata"]["annotations"] = json!({});
    assert_eq!(admitted(&state, &review_of(&pod)).await, (None, vec![]));
}

#[tokio::test]
async fn a_strange_value_is_a_warning() {
    let state = state(vec![], None);
    let mut pod = job_pod();
    pod["metadata"]["annotations"]["sidegate.dev/inject"] = json!("Yes please");
    let (patch, warnings) = admitted(&state, &review_of(&pod)).await;
    assert_eq!(patch, None);
    assert_eq!(
        warnings,
        ["sidegate: no sidecar: sidegate.dev/inject: expected true, false or a PushGroup's name, found \"Yes please\""]
    );
}

#[tokio::test]
async fn a_group_the_cache_does_not_know_yet_is_looked_up() {
    let state = state(vec![], Some(vec![group("fresh", json!({"selector": {}}))]));
    let (patch, warnings) = admitted(&state, &review_of(&job_pod())).await;
    assert!(patch.unwrap().to_string().contains("\"fresh\""));
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn without_any_group_the_pod_gets_a_sidecar_and_a_warning() {
    for live in [None, Some(vec![])] {
        let (patch, warnings) = admitted(&state(vec![], live), &review_of(&job_pod())).await;
        let patch = patch.unwrap().to_string();
        assert!(patch.contains("injected") && !patch.contains("pushgroup"), "{patch}");
        assert_eq!(warnings, ["sidegate: no PushGroup of the namespace selects this pod: nobody scrapes its sidecar"]);
    }
}

#[tokio::test]
async fn a_named_group_need_not_exist() {
    let mut pod = job_pod();
    pod["metadata"]["annotations"]["sidegate.dev/inject"] = json!("later");
    let (patch, warnings) = admitted(&state(vec![], Some(vec![])), &review_of(&pod)).await;
    assert!(patch.unwrap().to_string().contains("\"later\""));
    assert_eq!(warnings, ["sidegate: no PushGroup later in the namespace yet, nor any other"]);
}

#[tokio::test]
async fn the_grace_period_of_other_pods_is_raised_only_on_request() {
    let raised = |raise: bool| async move {
        let state = state(vec![group("web", json!({"selector": {}, "sidecar": {"raiseGracePeriod": raise}}))], None);
        let mut pod = job_pod();
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet"}]);
        let (patch, _) = admitted(&state, &review_of(&pod)).await;
        patch.unwrap().to_string().contains("terminationGracePeriodSeconds")
    };
    assert!(!raised(false).await);
    assert!(raised(true).await);
}

#[tokio::test]
async fn a_fault_of_ours_admits_with_a_warning() {
    let state = state(vec![], Some(vec![]));
    let mut review = review_of(&job_pod());
    review["request"]["namespace"] = json!(null);
    let (patch, warnings) = admitted(&state, &review).await;
    assert_eq!(patch, None);
    assert_eq!(warnings, ["sidegate: no sidecar, by a fault of the operator: the request has no namespace"]);
}

#[tokio::test]
async fn what_is_hardly_a_pod_is_admitted_unchanged() {
    let state = state(vec![], Some(vec![]));
    let mut review = review_of(&json!({"metadata": {"annotations": {"sidegate.dev/inject": "true"}}}));
    let warning = "sidegate: no sidecar: the pod has no spec";
    assert_eq!(admitted(&state, &review).await, (None, vec![warning.to_owned()]));
    review["request"]["object"] = json!(null);
    assert_eq!(admitted(&state, &review).await, (None, vec![]));
}

#[tokio::test]
async fn updates_are_none_of_our_business() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], None);
    let mut review = review_of(&job_pod());
    review["request"]["operation"] = json!("UPDATE");
    assert_eq!(admitted(&state, &review).await, (None, vec![]));
}

#[tokio::test]
async fn a_dry_run_is_answered_and_not_counted() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], None);
    let mut review = review_of(&job_pod());
    review["request"]["dryRun"] = json!(true);
    assert!(admitted(&state, &review).await.0.is_some());
    assert!(!state.metrics.page().unwrap().contains("injections_total{"));
    review["request"]["dryRun"] = json!(false);
    assert!(admitted(&state, &review).await.0.is_some());
    let counted = "sidegate_operator_injections_total{result=\"injected\",reason=\"selected\"} 1";
    assert!(state.metrics.page().unwrap().contains(counted));
}

#[tokio::test]
async fn a_group_that_cannot_be_read_does_not_hide_the_others() {
    let mut broken = serde_json::to_value(group("broken", json!({"selector": {}}))).unwrap();
    broken["spec"]["staleAfter"] = json!("no duration");
    let fresh = serde_json::to_value(group("fresh", json!({"selector": {}}))).unwrap();
    let state = state_of_raw(vec![], Some(vec![broken, fresh]));
    let (patch, warnings) = admitted(&state, &review_of(&job_pod())).await;
    assert!(patch.unwrap().to_string().contains("\"fresh\""));
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn a_port_that_the_group_adds_must_be_free() {
    let spec = json!({"selector": {}, "sidecar": {"listenAddresses": ["127.0.0.1:4318"]}});
    let state = state(vec![group("nightly", spec)], None);
    let mut pod = job_pod();
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 4318}]);
    let warning = "sidegate: no sidecar: container app declares port 4318, which the sidecar needs";
    assert_eq!(admitted(&state, &review_of(&pod)).await, (None, vec![warning.to_owned()]));
}

#[tokio::test]
async fn what_is_no_address_is_left_out_with_a_warning() {
    let spec = json!({"selector": {}, "sidecar": {"listenAddresses": ["127.0.0.1:99999"]}});
    let state = state(vec![group("nightly", spec)], None);
    let (patch, warnings) = admitted(&state, &review_of(&job_pod())).await;
    assert!(!patch.unwrap().to_string().contains("99999"));
    assert_eq!(warnings, ["sidegate: PushGroup nightly: no address to take pushes at, left out: \"127.0.0.1:99999\""]);
}

#[tokio::test]
async fn the_deadline_of_a_pod_reaches_the_sidecar_and_leaves_the_grace_period() {
    let state = state(vec![group("nightly", json!({"selector": {}, "sidecar": {"holdOpen": "60s"}}))], None);
    let mut pod = job_pod();
    pod["spec"]["activeDeadlineSeconds"] = json!(40);
    let patch = admitted(&state, &review_of(&pod)).await.0.unwrap().to_string();
    assert!(patch.contains("--hold-open.deadline=60s") && patch.contains("--hold-open.pod-deadline=40s"), "{patch}");
    assert!(patch.contains("65"), "{patch}");
}

#[tokio::test(start_paused = true)]
async fn without_room_in_time_the_pod_is_admitted_unchanged() {
    let state = state(vec![], Some(vec![]));
    let free = state.room.free();
    // Room for the text, and not for the pod.
    let all = u32::try_from(free.available_permits()).unwrap();
    let taken = free.clone().acquire_many_owned(all - 67).await.unwrap();
    let warning = "sidegate: no sidecar, by a fault of the operator: not done within 4s";
    assert_eq!(admitted(&state, &review_of(&job_pod())).await, (None, vec![warning.to_owned()]));
    let counted = "sidegate_operator_injections_total{result=\"failed\",reason=\"too_slow\"} 1";
    assert!(state.metrics.page().unwrap().contains(counted));
    drop(taken);
    assert!(admitted(&state, &review_of(&job_pod())).await.0.is_some());
    assert_eq!(free.available_permits(), 96 * 1024, "all of it is free again");
}

#[tokio::test(start_paused = true)]
async fn a_review_waits_for_room() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], None);
    let all = u32::try_from(state.room.free().available_permits()).unwrap();
    let taken = state.room.free().acquire_many_owned(all).await.unwrap();
    let review = review_of(&job_pod());
    let started = Instant::now();
    let free = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(taken);
    };
    let ((patch, _), ()) = tokio::join!(admitted(&state, &review), free);
    assert!(patch.is_some());
    assert_eq!(started.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_panic_admits_the_pod_unchanged_and_the_next_review_is_answered() {
    let (state, asked) = told();
    let broken = WebhookState { centre: panics, ..state.clone() };
    let (patch, warnings) = admitted(&broken, &review_of(&job_pod())).await;
    let warning =
        "sidegate: no sidecar, by a fault of the operator: the operator panicked, which its log has more about";
    assert_eq!((patch, warnings), (None, vec![warning.to_owned()]));
    let counted = "sidegate_operator_injections_total{result=\"failed\",reason=\"panic\"} 1";
    assert!(broken.metrics.page().unwrap().contains(counted));
    assert_eq!(broken.room.free().available_permits(), 96 * 1024);
    assert_eq!(events(&broken, &asked).await, [["backup", "Warning", "InjectionFailed", warning].map(str::to_owned)]);
    assert!(admitted(&state, &review_of(&job_pod())).await.0.is_some());
}

#[tokio::test]
async fn the_owner_of_a_skipped_pod_has_an_event_and_that_of_an_injected_one_none() {
    let (state, asked) = told();
    assert!(admitted(&state, &review_of(&job_pod())).await.0.is_some());
    assert!(events(&state, &asked).await.is_empty());
    let mut pod = job_pod();
    pod["spec"]["hostNetwork"] = json!(true);
    let (_, warnings) = admitted(&state, &review_of(&pod)).await;
    assert_eq!(warnings.len(), 1);
    let expected = ["backup", "Warning", "InjectionSkipped", &warnings[0]].map(str::to_owned);
    assert_eq!(events(&state, &asked).await, std::slice::from_ref(&expected));
    // Without a controller there is somebody who reads the warning.
    pod["metadata"]["ownerReferences"][0]["controller"] = json!(false);
    assert_eq!(admitted(&state, &review_of(&pod)).await.1.len(), 1);
    assert_eq!(events(&state, &asked).await, [expected]);
}

#[tokio::test]
async fn a_container_that_comes_late_to_a_port_of_the_sidecar_is_told_and_counted() {
    let (state, asked) = told();
    let mut pod = job_pod();
    let (patch, _) = admitted(&state, &review_of(&pod)).await;
    let patch: json_patch::Patch = serde_json::from_value(patch.unwrap()).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(admitted(&state, &review_of(&pod)).await, (None, Vec::new()));
    assert!(events(&state, &asked).await.is_empty());
    let late = json!({"name": "late", "ports": [{"containerPort": 9091}]});
    pod["spec"]["containers"].as_array_mut().unwrap().push(late);
    let warning = "sidegate: container late declares port 9091, where the sidecar listens already";
    assert_eq!(admitted(&state, &review_of(&pod)).await, (None, vec![warning.to_owned()]));
    assert_eq!(events(&state, &asked).await, [["backup", "Warning", "SidecarPortTaken", warning].map(str::to_owned)]);
    let page = state.metrics.page().unwrap();
    assert!(page.contains("injections_total{result=\"skipped\",reason=\"late_port\"} 1"), "{page}");
}

#[tokio::test]
async fn a_sidecar_that_lost_its_restart_policy_on_the_way_is_told_and_counted() {
    let (state, asked) = told();
    let mut pod = job_pod();
    let (patch, _) = admitted(&state, &review_of(&pod)).await;
    let patch: Patch = serde_json::from_value(patch.unwrap()).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    let sidecar = &mut pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["name"], "sidegate");
    assert_eq!(sidecar.as_object_mut().unwrap().remove("restartPolicy"), Some(json!("Always")));
    let warning = "sidegate: the sidecar has lost its restartPolicy: Always, maybe to another webhook: the pod will stay in \
                   Init";
    assert_eq!(admitted(&state, &review_of(&pod)).await, (None, vec![warning.to_owned()]));
    assert_eq!(events(&state, &asked).await, [["backup", "Warning", "SidecarNotNative", warning].map(str::to_owned)]);
    let page = state.metrics.page().unwrap();
    assert!(page.contains("injections_total{result=\"skipped\",reason=\"not_native\"} 1"), "{page}");
}

#[tokio::test]
async fn nobody_hears_of_a_dry_run_that_skips_or_fails() {
    let (state, asked) = told();
    let mut pod = job_pod();
    pod["spec"]["hostNetwork"] = json!(true);
    let mut review = review_of(&pod);
    review["request"]["dryRun"] = json!(true);
    assert_eq!(admitted(&state, &review).await.1.len(), 1);
    let broken = WebhookState { centre: panics, ..state.clone() };
    assert_eq!(admitted(&broken, &review).await.1.len(), 1);
    assert!(events(&state, &asked).await.is_empty());
    assert!(!state.metrics.page().unwrap().contains("injections_total{"));
}

#[tokio::test]
async fn where_limit_ranges_are_not_known_the_pod_is_admitted_with_a_warning() {
    let (mut state, _) = told();
    let (unknown, writer) = cache();
    drop(writer);
    state.around.limit_ranges = LimitRanges::new(unknown);
    let (patch, warnings) = admitted(&state, &review_of(&job_pod())).await;
    assert_eq!(patch, None);
    let warning =
        "sidegate: no sidecar, by a fault of the operator: the LimitRanges of the namespace are not known yet";
    assert_eq!(warnings, [warning]);
    assert!(state.metrics.page().unwrap().contains("reason=\"limit_ranges\""));
}

#[tokio::test]
async fn every_fault_is_told_as_short_as_kubernetes_asks_and_in_one_line() {
    let json = || serde_json::from_str::<Value>("{").unwrap_err();
    let refused = |text: String| kube::Error::Service(std::io::Error::other(text).into());
    let faults = [
        Fault::NoNamespace,
        Fault::TooSlow(Duration::MAX),
        Fault::TooHeavy(TooHeavy { room: usize::MAX, found: usize::MAX }),
        Fault::Unreadable(json()),
        Fault::Namespace(NamespacesError::TooSlow(Duration::MAX)),
        Fault::Namespace(NamespacesError::List(refused("no\nand\r\n\u{7}no".repeat(100)))),
        Fault::LimitRanges(NotKnown),
        Fault::Json(json()),
        Fault::Panic,
    ];
    let reasons: std::collections::BTreeSet<_> = faults.iter().map(Fault::reason).collect();
    assert_eq!(reasons.len(), 8, "one of each: {reasons:?}");
    for fault in faults {
        is_fit(&fault.verdict(None).answer.warnings.concat());
    }
}

#[tokio::test]
async fn a_silent_pod_whose_namespace_cannot_be_read_is_admitted_with_a_warning() {
    let (state, _) = told();
    let mut pod = job_pod();
    pod["metadata"]["annotations"] = json!({});
    let (patch, warnings) = admitted(&state, &review_of(&pod)).await;
    assert_eq!(patch, None);
    let warning = "sidegate: no sidecar, by a fault of the operator: cannot read the labels of the namespace: ";
    assert!(warnings.len() == 1 && warnings[0].starts_with(warning), "{warnings:?}");
}
