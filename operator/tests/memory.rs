//! What an injected pod costs the operator, in bytes of resident memory: ten thousand may be kept.
//!
//! Counted is the growth of a process of its own while the real watch lists whole pods, page by page, from a fake API
//! server. A first listing takes what pages need in passing, which is used again.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is right")]

use std::{fs, future, io, sync::Arc};

use axum::http::{Request, Response};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, client::Body};
use operator::{
    cache::{Cache, cache},
    controller::wakes::from_pods,
    scope::Scope,
};
use serde_json::{Value, json};

/// How many pods there are.
const PODS: usize = 2_000;

/// The most that one may take.
const BYTES: usize = 8192;

/// The most that one may take which has no group and seventeen labels.
const BYTES_WITH_LABELS: usize = 12_288;

/// Stands for the number of a pod, which has five digits.
const NUMBER: &str = "#####";

/// A pod as a Job of somebody has it, once injected: seven kilobytes of JSON. Without a group, it is one with many labels,
/// all of which are kept, since any group may choose it by them.
fn pod(has_group: bool) -> Value {
    let name = format!("nightly-backup-of-everything-{NUMBER}");
    let id = "5f1d3a6c0a4b8e7f9c2d1e0b3a495867788990aabbccddeeff00112233445566";
    let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let status = |name: &str| {
        json!({
            "name": name, "state": state, "lastState": {}, "ready": true, "restartCount": 0, "started": true,
            "image": format!("registry.example/somewhere/{name}:1.2.3"),
            "imageID": format!("registry.example/somewhere/{name}@sha256:{id}"),
            "containerID": format!("containerd://{id}"),
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": true}],
        })
    };
    let container = |name: &str| {
        let variable = |n: usize| json!({"name": format!("VARIABLE_{n}"), "value": "a value of some length"});
        json!({
            "name": name, "image": format!("registry.example/somewhere/{name}:1.2.3"), "command": ["run", "--all"],
            "env": (0..12).map(variable).collect::<Vec<_>>(),
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": true}],
        })
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let fields: serde_json::Map<_, _> = (0..40).map(|n| (format!("f:field{n}"), json!({"f:more": {}}))).collect();
    let mut pod = json!({
        "metadata": {
            "namespace": "data", "name": name, "uid": format!("11111111-2222-3333-4444-0000000{NUMBER}"),
            "resourceVersion": format!("1{NUMBER}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "sidegate.dev/pushgroup": "nightly", "sidegate.dev/injected": "true", "app": "etl",
                "batch.kubernetes.io/job-name": name, "controller-uid": format!("11111111-2222-3333-4444-0000000{NUMBER}"),
            },
            "annotations": {
                "sidegate.dev/inject": "true", "sidegate.dev/sidecar-hash": "0123456789abcdef", "checksum": id,
            },
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": id, "controller": true}],
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields},
                {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields},
            ],
        },
        "spec": {
            "nodeName": "node-1", "serviceAccountName": "default",
            "initContainers": [container("sidegate")],
            "containers": [container("app"), container("helper")],
            "volumes": [{"name": "token", "emptyDir": {}}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.12.107", "hostIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}], "startTime": "2026-01-01T00:00:00Z", "qosClass": "Burstable",
            "conditions": conditions,
            "initContainerStatuses": [status("sidegate")],
            "containerStatuses": [status("app"), status("helper")],
        },
    });
    if !has_group {
        let labels = pod.pointer_mut("/metadata/labels").unwrap().as_object_mut().unwrap();
        labels.remove("sidegate.dev/pushgroup");
        labels.extend((0..15).map(|n| (format!("company.example/label-{n}"), json!("a value of some length"))));
    }
    pod
}

/// One page of the list, by where it begins.
fn page(query: &str, pods: usize, pod: &str) -> String {
    let number = |key: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse::<usize>().ok())
    };
    let (from, limit) = (number("continue").unwrap_or(0), number("limit").unwrap());
    let to = pods.min(from + limit);
    let next = if to < pods { to.to_string() } else { String::new() };
    let items: Vec<_> = (from..to).map(|n| pod.replace(NUMBER, &format!("{n:05}"))).collect();
    let metadata = json!({"resourceVersion": "1", "continue": next});
    format!(r#"{{"apiVersion": "v1", "kind": "PodList", "metadata": {metadata}, "items": [{}]}}"#, items.join(","))
}

fn api_server(pods: usize, pod: &Value) -> Client {
    let pod: Arc<str> = pod.to_string().into();
    let service = tower::service_fn(move |request: Request<Body>| {
        let pod = pod.clone();
        async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            if query.contains("watch=true") {
                future::pending::<()>().await;
            }
            Ok::<_, io::Error>(Response::new(axum::body::Body::from(page(&query, pods, &pod))))
        }
    });
    Client::new(service, "default")
}

/// The cache of a watch that has seen so many pods. The watch is over then, and the cache stays.
async fn watched(pods: usize, pod: &Value) -> Cache<Pod> {
    let ((cached, writer), (groups, _)) = (cache(), cache());
    let mut wakes = Box::pin(from_pods(&api_server(pods, pod), &Scope::All, &Arc::default(), &groups, writer));
    let known = cached.clone();
    tokio::select! {
        known = known.until_known() => assert!(known),
        () = async { while wakes.next().await.is_some() {} } => panic!("a watch does not end"),
    }
    assert_eq!(cached.all().len(), pods);
    cached
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn an_injected_pod_is_kept_in_eight_kilobytes_and_without_a_group_in_twelve() {
    // All caches stay, or one would take the place of another.
    let mut caches = Vec::new();
    for (pod, bytes) in [(pod(true), BYTES), (pod(false), BYTES_WITH_LABELS)] {
        assert!(6_000 < pod.to_string().len(), "{}", pod.to_string().len());
        caches.push(watched(500, &pod).await);
        let before = resident();
        caches.push(watched(PODS, &pod).await);
        let each = resident().saturating_sub(before) / PODS;
        // Less than a kilobyte would mean that something else was measured.
        assert!((1000..=bytes).contains(&each), "expected at most {bytes} bytes a pod, found {each}: {pod}");
    }
    drop(caches);
}
