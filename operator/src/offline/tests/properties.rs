//! Whatever the manifests say, offline is what the webhook does.

use std::sync::Arc;

use crds::PushGroup;
use k8s_openapi::api::core::v1::LimitRange;
use proptest::prelude::*;

use super::*;

/// A pod, or a template, that asks or does not.
fn template() -> impl Strategy<Value = Json> {
    let env = prop::option::of(prop::sample::subsequence(
        vec![json!({"name": "OWN", "value": "$(PUSHGATEWAY_URL)"}), json!({"name": "PUSHGATEWAY_URL", "value": "on"})],
        0..=2,
    ));
    let ports = prop::option::of(prop::sample::select(vec![
        json!([]),
        json!([{"containerPort": 9091}]),
        json!([{"containerPort": 80}]),
    ]));
    let resources = prop::option::of(prop::sample::select(vec![
        json!({"limits": {"cpu": 1, "memory": "1Gi"}}),
        json!({"requests": {"cpu": "100m"}}),
    ]));
    let container = (env, ports, resources, "[a-z]{1,5}").prop_map(|(env, ports, resources, name)| {
        let mut container = json!({"name": name, "image": "busybox"});
        for (field, value) in [("env", env.map(Json::from)), ("ports", ports), ("resources", resources)] {
            if let Some(value) = value {
                container[field] = value;
            }
        }
        container
    });
    let metadata = (
        prop::option::of(prop::sample::select(vec!["true", "false", "nightly", "other", "True", "on", ""])),
        any::<bool>(),
        any::<bool>(),
    );
    let spec = (
        prop::collection::vec(container.clone(), 1..4),
        prop::option::of(prop::collection::vec(container, 0..3)),
        prop::option::of(0..90_i64),
        prop::option::weighted(0.1, Just(true)),
        prop::option::of(prop::sample::select(vec![
            json!([]),
            json!([{"name": "sidegate-storage", "emptyDir": {}}]),
            json!(null),
        ])),
        prop::option::of(1..900_i64),
    );
    (metadata, spec).prop_map(|((value, on_label, labelled), (containers, init, grace, host, volumes, deadline))| {
        let mut template = json!({"spec": {"containers": containers}});
        if labelled {
            template["metadata"]["labels"]["app"] = json!("etl");
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
        ] {
            if let Some(value) = value {
                template["spec"][field] = value;
            }
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
    (inject, webhook).prop_map(|(inject, webhook)| json!({names::INJECT: inject, names::WEBHOOK_LABEL: webhook}))
}

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
        let ranges: Vec<_> = limits.iter().map(|item| json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": namespace}, "spec": {"limits": [item]}})).collect();
        let mut around = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}), group()];
        around.extend(ranges.iter().cloned());
        let mut known = Known::default();
        learn(&mut known, &json!({"apiVersion": "v1", "kind": "List", "items": around}).to_string(), given).unwrap();

        // The webhook's way, as far as the API server sends it anything.
        let is_sent = namespace != "kube-public" && labels[names::WEBHOOK_LABEL] != "disabled";
        let ranges: Vec<LimitRange> = ranges.into_iter().map(|range| serde_json::from_value(range).unwrap()).collect();
        let groups = [Arc::new(serde_json::from_value::<PushGroup>(group()).unwrap())];
        let around = Surroundings { image: &image, namespace_value: labels[names::INJECT].as_str(), groups: &groups, limit_ranges: &ranges };
        let pod = made(&template, owner, &limits);
        let outcome = is_sent.then(|| inject(RawPod::new(&pod), &around).unwrap());
        let mut expected = pod.clone();
        if let Some(Outcome::Injected(injected)) = &outcome {
            json_patch::patch(&mut expected, &injected.patch).unwrap();
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
            prop_assert_eq!(done.manifests == text, !matches!(outcome, Some(Outcome::Injected(_))));
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
