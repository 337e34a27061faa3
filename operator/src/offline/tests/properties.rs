//! Whatever the manifests say, offline is what the webhook does: the whole of it, from review to answer.

use std::sync::LazyLock;

use json_patch::Patch;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::injection::{
    namespaces::tests::namespace as labelled,
    webhook::tests::{admitted, review_of, state_around},
};

/// A container of an app.
fn container() -> impl Strategy<Value = Json> {
    let env = prop::option::of(prop::sample::subsequence(
        vec![
            json!({"name": "OWN", "value": "$(PUSHGATEWAY_URL)"}),
            json!({"name": "PUSHGATEWAY_URL", "value": "on"}),
            json!({"name": "HTTP_PROXY", "value": "http://proxy:3128"}),
            json!({"name": "https_proxy", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}}),
            json!({"name": "NO_PROXY", "value": "intern,127.0.0.1"}),
            json!({"name": "no_proxy", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "none"}}}),
        ],
        0..=3,
    ));
    let env_from = prop::option::weighted(0.2, Just(json!([{"secretRef": {"name": "proxy"}}])));
    let ports = prop::option::of(prop::sample::select(vec![
        json!([]),
        json!([{"containerPort": 9091}]),
        json!([{"containerPort": 80}]),
    ]));
    let resources = prop::option::of(prop::sample::select(vec![
        json!({"limits": {"cpu": 1, "memory": "1Gi"}}),
        json!({"requests": {"cpu": "100m"}}),
    ]));
    (env, env_from, ports, resources, "[a-z]{1,5}").prop_map(|(env, env_from, ports, resources, name)| {
        let mut container = json!({"name": name, "image": "busybox"});
        let fields = [("env", env.map(Json::from)), ("envFrom", env_from), ("ports", ports), ("resources", resources)];
        for (field, value) in fields {
            if let Some(value) = value {
                container[field] = value;
            }
        }
        container
    })
}

/// What a pod says about its sidecar.
fn overrides() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let known = vec![
        (names::IMAGE, "registry/sidegate:2"),
        (names::CPU_REQUEST, "50m"),
        (names::CPU_LIMIT, "200m"),
        (names::MEMORY_REQUEST, "32Mi"),
        (names::MEMORY_LIMIT, "96Mi"),
        (names::PUSH_PORT, "9200"),
        (names::LISTEN_ADDRESSES, ":4318, 127.0.0.1:4319"),
        (names::ROUTE_PREFIX, "/v1/pushgateway"),
        (names::HOLD_OPEN, "90s"),
        (names::RAISE_GRACE_PERIOD, "true"),
        (names::RAISE_GRACE_PERIOD, "false"),
        (names::TIMESTAMPS, "Strip"),
        (names::IDENTITY_LABELS, "Allow"),
        (names::LOG_LEVEL, "debug"),
        (names::ENV, "false"),
        (names::NO_PROXY, "true"),
        (names::NO_PROXY, "false"),
        ("sidegate.dev/unknown", "1"),
        ("example.com/other", "on"),
    ];
    let bad = vec![(names::HOLD_OPEN, "soon"), (names::PUSH_PORT, "80"), (names::MEMORY_LIMIT, "64m")];
    let bad = prop::option::weighted(0.1, prop::sample::select(bad));
    (prop::sample::subsequence(known, 0..=4), bad).prop_map(|(known, bad)| known.into_iter().chain(bad).collect())
}

/// What a pod has as a whole. Requests are given too: what the API server fills in for them is known to the webhook alone.
fn whole() -> impl Strategy<Value = Option<Json>> {
    prop::option::weighted(
        0.2,
        prop::sample::select(vec![
            json!({"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"cpu": "4", "memory": "8Gi"}}),
            json!({"requests": {"cpu": "3100m", "memory": "3Gi"}, "limits": {"memory": "8Gi"}}),
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}),
        ]),
    )
}

/// The proxy of a mesh, and the list that it stands in.
fn mesh() -> impl Strategy<Value = Option<(&'static str, Json)>> {
    let native = |name: &str| ("initContainers", json!({"name": name, "image": "proxy", "restartPolicy": "Always"}));
    let plain = |name: &str| ("containers", json!({"name": name, "image": "proxy"}));
    prop::option::weighted(
        0.3,
        prop::sample::select(vec![native("istio-proxy"), native("linkerd-proxy"), plain("istio-proxy")]),
    )
}

/// A pod, or a template, that asks or does not.
fn template() -> impl Strategy<Value = Json> {
    let metadata = (
        prop::option::of(prop::sample::select(vec!["true", "false", "nightly", "other", "True", "on", ""])),
        any::<bool>(),
        any::<bool>(),
        overrides(),
    );
    let spec = (
        prop::collection::vec(container(), 1..4),
        prop::option::of(prop::collection::vec(container(), 0..3)),
        prop::option::of(0..90_i64),
        prop::option::weighted(0.1, Just(true)),
        prop::option::of(prop::sample::select(vec![
            json!([]),
            json!([{"name": "sidegate-storage", "emptyDir": {}}]),
            json!(null),
        ])),
        prop::option::of(1..900_i64),
        whole(),
        mesh(),
    );
    (metadata, spec).prop_map(|((value, on_label, labelled, overrides), spec)| {
        let (containers, init, grace, host, volumes, deadline, whole, mesh) = spec;
        let mut template = json!({"spec": {"containers": containers}});
        if labelled {
            template["metadata"]["labels"]["app"] = json!("etl");
        }
        for (name, value) in overrides {
            template["metadata"]["annotations"][name] = json!(value);
        }
        if let Some(value) = value {
            template["metadata"][if on_label { "labels" } else { "annotations" }]["sidegate.dev/inject"] = json!(value);
        }
        for (field, value) in [
            ("initContainers", init.map(Json::from)),
            ("terminationGracePeriodSeconds", grace.map(Json::from)),
            ("hostNetwork", host.map(Json::from)),
            ("volumes", volumes),
            ("activeDeadlineSeconds", deadline.map(Json::from)),
            ("resources", whole),
        ] {
            if let Some(value) = value {
                template["spec"][field] = value;
            }
        }
        if let Some((list, proxy)) = mesh {
            let list = &mut template["spec"][list];
            if list.is_null() {
                *list = json!([]);
            }
            list.as_array_mut().unwrap().push(proxy);
        }
        template
    })
}

/// A workload around a template, and the way to the template.
fn workload(kind: usize, template: &Json) -> (Json, &'static str) {
    let around = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": {"template": template}});
    match kind {
        0 => {
            let mut pod = template.clone();
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            (pod, "")
        }
        1 => (json!({"apiVersion": "v1", "kind": "PodTemplate", "template": template}), "/template"),
        2 => (
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}),
            "/spec/jobTemplate/spec/template",
        ),
        3 => (around("batch/v1", "Job"), "/spec/template"),
        4 => (around("v1", "ReplicationController"), "/spec/template"),
        5 => (around("apps/v1", "Deployment"), "/spec/template"),
        6 => (around("apps/v1", "ReplicaSet"), "/spec/template"),
        7 => (around("apps/v1", "DaemonSet"), "/spec/template"),
        _ => (around("apps/v1", "StatefulSet"), "/spec/template"),
    }
}

/// What a controller and the API server make of a template before the webhook sees it.
fn made(template: &Json, owner: Option<(&str, &str)>, limits: &[Json]) -> Json {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata").cloned().unwrap_or(json!({})), "spec": template["spec"]});
    if let Some((version, kind)) = owner {
        pod["metadata"]["generateName"] = json!("w-");
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": version, "kind": kind, "name": "w", "controller": true, "uid": "u"}]);
        pod["metadata"]["labels"]["made-by"] = json!(kind);
    }
    let defaults = |object: &mut Json, fields: &[(&str, Json)]| {
        for (field, value) in fields {
            if object.get(*field).is_none_or(Json::is_null) {
                object[*field] = value.clone();
            }
        }
    };
    let spec = &mut pod["spec"];
    defaults(
        spec,
        &[
            ("terminationGracePeriodSeconds", json!(30)),
            ("restartPolicy", json!("Always")),
            ("dnsPolicy", json!("ClusterFirst")),
            ("securityContext", json!({})),
        ],
    );
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Json::as_array_mut).into_iter().flatten() {
            defaults(
                container,
                &[
                    ("imagePullPolicy", json!("Always")),
                    ("resources", json!({})),
                    ("terminationMessagePolicy", json!("File")),
                ],
            );
            limited(container, limits);
        }
    }
    pod
}

/// The API server's own defaults of resources, then those of its LimitRanger.
fn limited(container: &mut Json, limits: &[Json]) {
    let all = ["cpu", "memory"];
    let said = |from: &Json, resource: &str| from.get(resource).filter(|quantity| !quantity.is_null()).cloned();
    let mut give = |kind: &str, resource: &str, quantity: Option<Json>| {
        if let (None, Some(quantity)) = (said(&container["resources"][kind], resource), quantity) {
            container["resources"][kind][resource] = quantity;
        }
        said(&container["resources"][kind], resource)
    };
    for resource in all {
        let limit = give("limits", resource, None);
        give("requests", resource, limit);
    }
    for item in limits.iter().filter(|item| item["type"] == "Container") {
        for resource in all {
            let first = |kinds: &[&str]| kinds.iter().find_map(|kind| said(item.get(*kind)?, resource));
            give("limits", resource, first(&["default", "max"]));
            give("requests", resource, first(&["defaultRequest", "default", "max", "min"]));
        }
    }
}

/// Items of LimitRanges that let most pods pass.
fn limits() -> impl Strategy<Value = Vec<Json>> {
    let item = prop::sample::select(vec![
        json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}}),
        json!({"type": "Container", "default": {"cpu": "1"}}),
        json!({"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"memory": "1Gi", "cpu": "20m"}}),
        json!({"type": "Container", "max": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "50m"}}),
        json!({"type": "Container", "min": {"cpu": "20m"}, "max": {"memory": "1Gi"}}),
        json!({"type": "Container", "min": {"memory": "2Gi"}, "max": {"memory": "1Gi"}}),
        json!({"type": "Pod", "max": {"cpu": "2050m", "memory": "2100Mi"}}),
    ]);
    prop::collection::vec(item, 0..3)
}

/// The labels of a namespace.
fn labels() -> impl Strategy<Value = Json> {
    let inject = prop::option::of(prop::sample::select(vec!["true", "false", "nightly", "True"]));
    let webhook = prop::option::weighted(0.3, prop::sample::select(vec!["disabled", "enabled"]));
    (inject, webhook).prop_map(|(inject, webhook)| {
        let labels = [(names::INJECT, inject), (names::WEBHOOK_LABEL, webhook)];
        labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
    })
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

proptest! {
    #[test]
    fn offline_is_what_the_webhook_does(
        template in template(),
        kind in 0..9_usize,
        namespace in prop::sample::select(vec![None, Some("data"), Some("kube-public")]),
        labels in labels(),
        limits in limits(),
    ) {
        let (mut manifest, way) = workload(kind, &template);
        if let Some(namespace) = namespace {
            manifest["metadata"]["namespace"] = json!(namespace);
        }
        let owner = match kind {
            0 | 1 => None,
            2 | 3 => Some(("batch/v1", "Job")),
            _ => Some(("apps/v1", "ReplicaSet")),
        };
        let image = image();
        let given = Given { image: &image, namespace: "default" };
        let namespace = namespace.unwrap_or("default");
        let group = || {
            let mut group: Json = serde_json::to_value(serde_yaml::from_str::<Value>(GROUP).unwrap()).unwrap();
            group["metadata"]["namespace"] = json!(namespace);
            group
        };
        let ranges: Vec<_> = limits.iter().enumerate().map(|(place, item)| json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": format!("l{place}"), "namespace": namespace}, "spec": {"limits": [item]}})).collect();
        let mut around = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}), group()];
        around.extend(ranges.iter().cloned());
        let mut known = Known::default();
        learn(&mut known, &json!({"apiVersion": "v1", "kind": "List", "items": around}).to_string(), given).unwrap();

        // The webhook's way, as far as the API server sends it anything.
        let pod = made(&template, owner, &limits);
        let asks = RawPod::new(&pod).label_or_annotation(names::INJECT).is_some()
            || labels[names::INJECT].as_str().is_some_and(|value| value != "false");
        let is_sent = asks && namespace != "kube-public" && labels[names::WEBHOOK_LABEL] != "disabled";
        let (patch, warnings) = if is_sent {
            RUNTIME.block_on(async {
                let ranges = ranges.into_iter().map(|range| serde_json::from_value(range).unwrap()).collect();
                let cached = vec![serde_json::from_value(group()).unwrap()];
                let state = state_around(image.clone(), labelled(namespace, &labels), cached, Some(vec![group()]), ranges);
                let mut review = review_of(&pod);
                review["request"]["namespace"] = json!(namespace);
                admitted(&state, &review).await
            })
        } else {
            (None, Vec::new())
        };
        let is_injected = patch.is_some();
        let mut expected = pod.clone();
        if let Some(patch) = patch {
            json_patch::patch(&mut expected, &serde_json::from_value::<Patch>(patch).unwrap()).unwrap();
        }
        // Whatever was changed is filled in once more.
        let expected = made(&expected, None, &limits);

        let yaml = yaml::write(&serde_yaml::to_value(&manifest).unwrap(), yaml::Form::Yaml).unwrap();
        for text in [yaml, manifest.to_string()] {
            let done = run(&text, known.clone(), given).unwrap();
            let object = objects(&done.manifests).remove(0);
            let printed = object.pointer(way).unwrap();
            let found = made(&made(&without_namespace(printed, kind), owner, &limits), None, &limits);
            prop_assert_eq!(found, expected.clone(), "{}", done.manifests);
            for list in ["initContainers", "containers"] {
                let apps = |pod: &Json| {
                    let all = pod["spec"][list].as_array().cloned().unwrap_or_default();
                    let apps = all.into_iter().filter(|container| container["name"] != names::SIDECAR_CONTAINER);
                    apps.map(|app| app.get("resources").cloned()).collect::<Vec<_>>()
                };
                prop_assert_eq!(apps(printed), apps(&template));
            }
            prop_assert_eq!(done.manifests == text, !is_injected);
            // At most the first says what was done.
            let said: Vec<_> = done.remarks.iter().filter_map(|remark| remark.split_once(": ")).map(|(_, said)| said).collect();
            let warned: Vec<_> = warnings.iter().map(|warning| warning.trim_start_matches("sidegate: ")).collect();
            prop_assert!(said.ends_with(&warned) && said.len() <= warned.len() + 1, "{said:#?} {warned:#?}");
            let again = run(&done.manifests, known.clone(), given).unwrap();
            prop_assert_eq!(again.manifests, done.manifests);
        }
    }
}

/// A pod says its namespace itself, a template does not.
fn without_namespace(pod: &Json, kind: usize) -> Json {
    let mut pod = pod.clone();
    if kind == 0
        && let Some(metadata) = pod.get_mut("metadata").and_then(Json::as_object_mut)
    {
        metadata.remove("namespace");
    }
    pod
}
