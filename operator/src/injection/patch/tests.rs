//! Where each part of an insertion goes.

use crds::sidecar::Sidecar;
use json_patch::patch as apply;

use super::*;
use crate::injection::environment::AppSide;

fn insertion() -> Insertion {
    Insertion {
        container: json!({"name": "sidegate", "image": "sidegate:1"}),
        volumes: vec![
            json!({"name": "sidegate-trust", "configMap": {"name": "sidegate-trust"}}),
            json!({"name": "sidegate-storage", "emptyDir": {}}),
        ],
        annotations: vec![("evictable", "sidegate-storage".to_owned())],
        group: Some("nightly".to_owned()),
        environment: Environment::new(AppSide::default(), &Sidecar::default(), 9091),
        grace_period_seconds: Some(35),
    }
}

fn patched(raw: &Value, insertion: &Insertion) -> Value {
    let mut result = raw.clone();
    apply(&mut result, &build(RawPod::new(raw), insertion).unwrap()).unwrap();
    result
}

#[track_caller]
fn check(raw: Value, pointer: &str, expected: Value) {
    let result = patched(&raw, &insertion());
    assert_eq!(result.pointer(pointer), Some(&expected), "{result:#}");
}

#[test]
fn the_sidecar_comes_first_or_right_after_a_mesh_proxy() {
    let names = |containers: Value| -> Vec<String> {
        let raw = json!({"spec": {"initContainers": containers}});
        let result = patched(&raw, &insertion());
        RawPod::new(&result).containers("initContainers").filter_map(|c| text(c, "name")).map(str::to_owned).collect()
    };
    assert_eq!(names(json!(null)), ["sidegate"]);
    assert_eq!(names(json!([])), ["sidegate"]);
    assert_eq!(names(json!([{"name": "init"}])), ["sidegate", "init"]);
    assert_eq!(
        names(json!([{"name": "linkerd-init"}, {"name": "linkerd-proxy"}, {"name": "init"}])),
        ["linkerd-init", "linkerd-proxy", "sidegate", "init"]
    );
}

#[test]
fn parents_are_made_only_where_there_are_none() {
    let labels = json!({"sidegate.dev/injected": "true", "sidegate.dev/pushgroup": "nightly"});
    check(json!({"spec": {}}), "/metadata/labels", labels.clone());
    check(json!({"metadata": {"labels": null}, "spec": {}}), "/metadata/labels", labels);
    check(json!({"metadata": {"labels": {"app": "etl"}}, "spec": {}}), "/metadata/labels/app", json!("etl"));
    check(json!({"spec": {"volumes": [{"name": "data"}]}}), "/spec/volumes/0/name", json!("data"));
    check(json!({"spec": {"volumes": null}}), "/spec/volumes/0/name", json!("sidegate-trust"));
    let annotations = json!({"evictable": "sidegate-storage"});
    check(json!({"spec": {}}), "/metadata/annotations", annotations.clone());
    check(json!({"metadata": {"annotations": null}, "spec": {}}), "/metadata/annotations", annotations);
}

#[test]
fn what_the_pod_has_under_a_name_of_ours_is_used_instead() {
    let volumes = json!([{"name": "sidegate-storage", "persistentVolumeClaim": {"claimName": "kept"}}]);
    let raw = json!({"metadata": {"annotations": {"evictable": "other", "a": "b"}}, "spec": {"volumes": volumes}});
    check(raw.clone(), "/metadata/annotations", json!({"evictable": "other", "a": "b"}));
    check(raw.clone(), "/spec/volumes/0", volumes[0].clone());
    check(raw.clone(), "/spec/volumes/1/name", json!("sidegate-trust"));
    assert_eq!(patched(&raw, &insertion()).pointer("/spec/volumes/2"), None);
}

#[test]
fn variables_come_first_and_leave_those_of_the_container_alone() {
    let names = |env: Value| -> Vec<String> {
        let result = patched(&json!({"spec": {"containers": [{"name": "app", "env": env}]}}), &insertion());
        let env = result.pointer("/spec/containers/0/env").and_then(Value::as_array).unwrap().clone();
        env.iter()
            .map(|variable| format!("{}={}", text(variable, "name").unwrap(), text(variable, "value").unwrap_or("?")))
            .collect()
    };
    let url = "PUSHGATEWAY_URL=http://127.0.0.1:9091";
    let address = "PUSHGATEWAY_ADDRESS=127.0.0.1:9091";
    assert_eq!(names(json!(null)), [url, address]);
    assert_eq!(names(json!([])), [url, address]);
    assert_eq!(names(json!([{"name": "A", "value": "$(PUSHGATEWAY_URL)"}])), [url, address, "A=$(PUSHGATEWAY_URL)"]);
    assert_eq!(names(json!([{"name": "PUSHGATEWAY_URL", "value": "own"}])), [address, "PUSHGATEWAY_URL=own"]);
}

#[test]
fn ordinary_init_containers_get_the_variables_too() {
    let raw = json!({"spec": {"initContainers": [{"name": "init"}], "containers": [{"name": "app"}]}});
    let result = patched(&raw, &insertion());
    assert_eq!(result.pointer("/spec/initContainers/1/env/0/name"), Some(&json!("PUSHGATEWAY_URL")));
    assert_eq!(result.pointer("/spec/initContainers/0/env"), None, "the sidecar has none of them");
}

#[test]
fn the_grace_period_only_grows() {
    let check = |given: Value, expected: Value| {
        let result = patched(&json!({"spec": {"terminationGracePeriodSeconds": given}}), &insertion());
        assert_eq!(result.pointer("/spec/terminationGracePeriodSeconds"), Some(&expected), "{given}");
    };
    check(json!(30), json!(35));
    check(json!(0), json!(35));
    check(json!(60), json!(60));
    check(json!(null), json!(35));
    let alone = Insertion { grace_period_seconds: None, ..insertion() };
    let raw = json!({"spec": {"terminationGracePeriodSeconds": 1}});
    assert_eq!(patched(&raw, &alone).pointer("/spec/terminationGracePeriodSeconds"), Some(&json!(1)));
}

#[test]
fn without_a_group_the_pod_is_only_marked_as_injected() {
    let alone = Insertion { group: None, ..insertion() };
    let result = patched(&json!({"spec": {}}), &alone);
    assert_eq!(result.pointer("/metadata/labels"), Some(&json!({"sidegate.dev/injected": "true"})));
}
