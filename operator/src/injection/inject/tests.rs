//! From a pod and what is around it to the pod with its sidecar, and what is said about it.

use crds::names;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::injection::warning::tests::is_fit;

fn image() -> SidecarImage {
    SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() }
}

fn group(name: &str, spec: Value) -> Arc<PushGroup> {
    Arc::new(PushGroup::new(name, serde_json::from_value(spec).unwrap()))
}

/// A pod that asks, with some annotations more.
fn pod(annotations: Value) -> Value {
    let mut raw = json!({
        "metadata": {"labels": {"app": "etl"}, "annotations": {names::INJECT: "true"}},
        "spec": {"containers": [{"name": "app", "image": "etl:1"}]},
    });
    for (name, value) in annotations.as_object().unwrap() {
        raw["metadata"]["annotations"][name] = value.clone();
    }
    raw
}

fn outcome(raw: &Value, namespace_value: Option<&str>, groups: &[Arc<PushGroup>]) -> Outcome {
    let image = image();
    inject(RawPod::new(raw), &Surroundings { image: &image, namespace_value, groups, limit_ranges: &[] }).unwrap()
}

/// The pod with its sidecar, and the warnings.
#[track_caller]
fn injected(raw: &Value, groups: &[Arc<PushGroup>]) -> (Value, Vec<String>) {
    match outcome(raw, None, groups) {
        Outcome::Injected(injected) => {
            let mut result = raw.clone();
            json_patch::patch(&mut result, &injected.patch).unwrap();
            (result, injected.warnings)
        }
        other @ (Outcome::Untouched(_) | Outcome::Skipped(_)) => panic!("{raw} is not injected: {other:?}"),
    }
}

/// The sidecar of a pod with annotations, in a group of every pod that says something.
#[track_caller]
fn sidecar(annotations: Value, fields: Value) -> Value {
    let (result, warnings) =
        injected(&pod(annotations), &[group("nightly", json!({"selector": {}, "sidecar": fields}))]);
    assert_eq!(warnings, Vec::<String>::new());
    result.pointer("/spec/initContainers/0").unwrap().clone()
}

fn has_flag(sidecar: &Value, flag: &str) -> bool {
    sidecar.pointer("/args").and_then(Value::as_array).unwrap().contains(&json!(flag))
}

/// The variables of the app.
fn variable(result: &Value, name: &str) -> Option<String> {
    let variables = result.pointer("/spec/containers/0/env").and_then(Value::as_array)?;
    let variable = variables.iter().find(|variable| variable.get("name") == Some(&json!(name)))?;
    variable.get("value").and_then(Value::as_str).map(str::to_owned)
}

fn warnings_of_skip(raw: &Value, groups: &[Arc<PushGroup>]) -> Vec<String> {
    match outcome(raw, None, groups) {
        Outcome::Skipped(skip) => skip.warning().into_iter().collect(),
        other @ (Outcome::Untouched(_) | Outcome::Injected(_)) => panic!("{raw} is not skipped: {other:?}"),
    }
}

#[test]
fn the_group_is_that_of_the_pod_or_of_its_namespace() {
    let groups = [
        group("nightly", json!({"selector": {"matchLabels": {"app": "etl"}}})),
        group("weekly", json!({"selector": {"matchLabels": {"app": "web"}}})),
    ];
    let check = |pod_value: Option<&str>, namespace_value: Option<&str>, expected: (Option<&str>, bool, &str)| {
        let mut raw = pod(json!({}));
        raw["metadata"]["annotations"] = pod_value.map_or(Value::Null, |value| json!({names::INJECT: value}));
        let found = outcome(&raw, namespace_value, &groups);
        let Outcome::Injected(Injected { group, group_is_known, reason, .. }) = &found else { panic!("{found:?}") };
        assert_eq!((group.as_deref(), *group_is_known, *reason), expected, "{pod_value:?} in {namespace_value:?}");
        assert_eq!((found.result(), found.reason()), ("injected", *reason));
    };
    check(Some("true"), None, (Some("nightly"), true, "selected"));
    check(Some("weekly"), None, (Some("weekly"), true, "named"));
    check(Some("later"), None, (Some("later"), false, "named"));
    check(None, Some("true"), (Some("nightly"), true, "selected"));
    check(None, Some("weekly"), (Some("weekly"), true, "named"));
    check(Some("true"), Some("weekly"), (Some("weekly"), true, "named"));
    check(Some("nightly"), Some("weekly"), (Some("nightly"), true, "named"));
}

#[test]
fn a_group_that_stands_for_a_pushgateway_is_told() {
    let gateway = group("old", json!({"gateway": {"service": {"name": "pushgateway", "port": 9091}}}));
    let (_, warnings) = injected(&pod(json!({names::INJECT: "old"})), &[gateway]);
    assert_eq!(warnings, ["sidegate: PushGroup old is a Pushgateway's: nobody scrapes this sidecar"]);
}

#[test]
fn a_group_that_is_not_there_is_told_with_those_that_are() {
    let warnings = |value: &str, groups: &[Arc<PushGroup>]| injected(&pod(json!({names::INJECT: value})), groups).1;
    let others = [group("nightly", json!({"selector": {}})), group("weekly", json!({"selector": {}}))];
    assert_eq!(
        warnings("nigthly", &others),
        ["sidegate: no PushGroup nigthly in the namespace yet; there is nightly, weekly"]
    );
    assert_eq!(warnings("nightly", &[]), ["sidegate: no PushGroup nightly in the namespace yet, nor any other"]);
    assert_eq!(
        warnings("true", &[]),
        ["sidegate: no PushGroup of the namespace selects this pod: nobody scrapes its sidecar"]
    );
    assert_eq!(warnings("nightly", &others), Vec::<String>::new());
}

#[test]
fn a_pod_says_what_its_group_wanted_whatever_the_pod_makes_of_it() {
    let hash = |result: &Value| result["metadata"]["annotations"][names::SIDECAR_HASH].clone();
    let with = |raw: &Value, spec: Value| injected(raw, &[group("nightly", spec)]).0;
    let usual = with(&pod(json!({})), json!({"selector": {}}));
    assert_eq!(hash(&usual), version::hash(&image(), &PushGroupSpec::default()).unwrap());
    let mut other = pod(json!({names::LOG_LEVEL: "debug", names::IMAGE: "other:2"}));
    other["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9091}]);
    other["spec"]["activeDeadlineSeconds"] = json!(20);
    let other = with(&other, json!({"selector": {}}));
    assert_ne!(other.pointer("/spec/initContainers/0/args"), usual.pointer("/spec/initContainers/0/args"));
    assert_eq!(hash(&other), hash(&usual));
    assert_eq!(hash(&injected(&pod(json!({})), &[]).0), hash(&usual), "without a group it is as by default");
    let changed = with(&pod(json!({})), json!({"selector": {}, "sidecar": {"log": {"level": "debug"}}}));
    assert_ne!(hash(&changed), hash(&usual));
}

#[test]
fn annotations_reach_the_sidecar() {
    let with = |name: &str, value: &str| sidecar(json!({name: value}), json!({}));
    assert_eq!(with(names::IMAGE, "other:2").pointer("/image"), Some(&json!("other:2")));
    assert!(has_flag(&with(names::ROUTE_PREFIX, "/v1"), "--web.route-prefix=/v1"));
    assert!(has_flag(&with(names::HOLD_OPEN, "90s"), "--hold-open.deadline=90s"));
    assert!(has_flag(&with(names::TIMESTAMPS, "Strip"), "--push.timestamps=strip"));
    assert!(has_flag(&with(names::IDENTITY_LABELS, "Allow"), "--push.identity-labels=allow"));
    assert!(has_flag(&with(names::LOG_LEVEL, "debug"), "--log.level=debug"));
    assert!(has_flag(&with(names::LISTEN_ADDRESSES, ":4318"), "--push.listen-address=:4318"));
    let limited = with(names::MEMORY_LIMIT, "128Mi");
    assert_eq!(
        limited.pointer("/resources"),
        Some(&json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}}))
    );
}

#[test]
fn a_pod_whose_resources_as_a_whole_are_empty_is_like_one_without() {
    let resources = |whole: &Value| {
        let mut raw = pod(json!({}));
        raw["spec"]["resources"] = whole.clone();
        injected(&raw, &[group("nightly", json!({"selector": {}}))])
            .0
            .pointer("/spec/initContainers/0/resources")
            .cloned()
    };
    for empty in [json!(null), json!({}), json!({"requests": {}}), json!({"requests": {}, "limits": {}})] {
        assert!(resources(&empty).is_some(), "{empty}");
    }
    for whole in [json!({"requests": {"cpu": "1"}}), json!({"limits": {"memory": "1Gi"}})] {
        assert_eq!(resources(&whole), None, "{whole}");
    }
}

#[test]
fn a_pod_with_resources_as_a_whole_is_told_which_quantities_are_not_used() {
    let groups = [group("nightly", json!({"selector": {}, "sidecar": {"resources": {"requests": {"cpu": "1"}}}}))];
    let of_whole = |annotations: Value| {
        let mut raw = pod(annotations);
        raw["spec"]["resources"] = json!({"limits": {"memory": "1Gi"}});
        let (result, warnings) = injected(&raw, &groups);
        assert_eq!(result.pointer("/spec/initContainers/0/resources"), None);
        warnings
    };
    assert_eq!(of_whole(json!({})), Vec::<String>::new());
    let start = "sidegate: not used, since the pod has resources as a whole";
    assert_eq!(of_whole(json!({names::CPU_LIMIT: "1"})), [format!("{start}: cpu-limit")]);
    let all = json!({names::CPU_REQUEST: "1", names::CPU_LIMIT: "1", names::MEMORY_REQUEST: "1Gi", names::MEMORY_LIMIT: "1Gi"});
    let warnings = of_whole(all);
    assert_eq!(warnings, [format!("{start}: cpu-request, cpu-limit, memory-request, memory-limit")]);
    warnings.iter().for_each(|warning| is_fit(warning));
}

#[test]
fn the_group_has_an_image_and_a_port_too() {
    let made = sidecar(json!({}), json!({"image": "other:2", "pushPort": 9200}));
    assert_eq!(made.pointer("/image"), Some(&json!("other:2")));
    assert!(has_flag(&made, "--push.listen-address=127.0.0.1:9200"), "{made}");
    let (result, _) = injected(&pod(json!({names::PUSH_PORT: "9300"})), &[group("nightly", json!({"selector": {}}))]);
    assert_eq!(variable(&result, "PUSHGATEWAY_ADDRESS").as_deref(), Some("127.0.0.1:9300"));
}

#[test]
fn a_taken_port_is_told_and_the_app_is_told_the_other() {
    let groups = [group("nightly", json!({"selector": {}}))];
    let mut raw = pod(json!({}));
    raw["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9091}]);
    let (result, warnings) = injected(&raw, &groups);
    assert_eq!(warnings, ["sidegate: container app declares port 9091: push to PUSHGATEWAY_URL, at 19092"]);
    assert_eq!(variable(&result, "PUSHGATEWAY_URL").as_deref(), Some("http://127.0.0.1:19092"));
    let sidecar = result.pointer("/spec/initContainers/0").unwrap();
    for flag in ["--push.listen-address=127.0.0.1:19092", "--push.listen-address=[::1]:19092"] {
        assert!(has_flag(sidecar, flag), "{sidecar}");
    }
    raw["spec"]["containers"][0]["ports"] = json!([{"containerPort": 19091}]);
    assert_eq!(
        warnings_of_skip(&raw, &groups),
        ["sidegate: no sidecar: container app declares port 19091, which the sidecar needs"]
    );
}

#[test]
fn the_app_is_left_alone_where_it_asks_for_that() {
    let groups = [group("nightly", json!({"selector": {}}))];
    let env = |value: &str| variable(&injected(&pod(json!({names::ENV: value})), &groups).0, "PUSHGATEWAY_URL");
    assert_eq!((env("true").is_some(), env("false")), (true, None));
}

#[test]
fn the_grace_period_is_raised_as_the_pod_says() {
    let raised = |annotations: Value, job: bool, fields: Value| {
        let mut raw = pod(annotations);
        if job {
            raw["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job"}]);
        }
        let groups = [group("nightly", json!({"selector": {}, "sidecar": fields}))];
        let (result, _) = injected(&raw, &groups);
        result.pointer("/spec/terminationGracePeriodSeconds").is_some()
    };
    let says = |value: &str| json!({names::RAISE_GRACE_PERIOD: value});
    assert!(!raised(json!({}), false, json!({})));
    assert!(raised(json!({}), true, json!({})));
    assert!(raised(says("true"), false, json!({})));
    assert!(!raised(says("false"), true, json!({"raiseGracePeriod": true})));
    assert!(!raised(json!({names::HOLD_OPEN: "0s"}), true, json!({})));
}

#[test]
fn a_value_that_is_not_known_skips_the_pod() {
    let groups = [group("nightly", json!({"selector": {}}))];
    let check = |annotations: Value, warning: &str| {
        assert_eq!(warnings_of_skip(&pod(annotations), &groups), [format!("sidegate: no sidecar: {warning}")]);
    };
    check(
        json!({names::INJECT: "Yes"}),
        "sidegate.dev/inject: expected true, false or a PushGroup (nightly), found \"Yes\"",
    );
    check(
        json!({names::HOLD_OPEN: "soon"}),
        "sidegate.dev/hold-open: expected a duration such as 90s or 1h30m, found \"soon\"",
    );
    check(
        json!({names::CPU_REQUEST: "2", names::CPU_LIMIT: "1"}),
        "sidegate.dev/cpu-request: expected at most the limit, 1, found \"2\"",
    );
}

#[test]
fn a_name_that_is_not_known_is_only_told() {
    let groups = [group("nightly", json!({"selector": {}}))];
    let (_, warnings) = injected(&pod(json!({"sidegate.dev/holdopen": "1s"})), &groups);
    assert_eq!(warnings.first().map(String::as_str), Some("sidegate: not known: sidegate.dev/holdopen"));
    assert!(warnings.iter().any(|warning| warning.contains("hold-open")), "{warnings:?}");
}

#[test]
fn addresses_of_a_group_that_only_look_like_some_are_left_out() {
    let fields = json!({"listenAddresses": ["127.0.0.1:99999"]});
    let groups = [group("nightly", json!({"selector": {}, "sidecar": fields}))];
    let (_, warnings) = injected(&pod(json!({})), &groups);
    assert_eq!(warnings, ["sidegate: PushGroup nightly: no address to take pushes at, left out: \"127.0.0.1:99999\""]);
    let (_, warnings) = injected(&pod(json!({names::LISTEN_ADDRESSES: ":4318"})), &groups);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn warnings_are_as_short_as_kubernetes_asks_however_long_names_are() {
    let name = "a".repeat(crds::push_group::NAME_MAX);
    let mut raw = pod(json!({names::INJECT: name, names::CPU_LIMIT: "1", "sidegate.dev/line\nbreak": ""}));
    raw["metadata"]["labels"] = json!({
        names::PUSH_GROUP_LABEL: "b".repeat(63), names::ENV: "", "sidegate.dev/long": "",
    });
    raw["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9091}]);
    raw["spec"]["containers"][0]["name"] = json!("c".repeat(63));
    raw["spec"]["resources"] = json!({"limits": {"memory": "1Gi"}});
    let address = "x".repeat(200);
    let spec =
        || json!({"sidecar": {"listenAddresses": [address, "a\nb"]}, "gateway": {"service": {"name": "a", "port": 1}}});
    let other = group(&"d".repeat(crds::push_group::NAME_MAX), json!({"selector": {}}));
    let mut told = Vec::new();
    for groups in [vec![group(&name, spec()), other.clone()], vec![other], vec![]] {
        told.extend(injected(&raw, &groups).1);
    }
    told.iter().for_each(|warning| is_fit(warning));
    let has = |part: &str| assert!(told.iter().any(|warning| warning.contains(part)), "{part} is not in {told:#?}");
    has("ccc… declares port 9091: push to PUSHGATEWAY_URL, at 19092");
    has("aaa…, found bbb");
    has("bbb…, which the pod keeps");
    has("left out: \"a\\nb\"");
    has("xxx…\"");
    has("in the namespace yet; there is ddd");
    has("in the namespace yet, nor any other");
    has("is a Pushgateway's: nobody scrapes this sidecar");
    has("not used, since the pod has resources as a whole: cpu-limit");
    has("found as a label: sidegate.dev/env");
    has("line\\nbreak");
}

/// JSON that often looks like a pod.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(9091_i64), Just(19091), any::<i64>()].prop_map(Value::from),
        prop_oneof![".{0,12}", "(true|false|nightly|9091|64Mi|1s|:80|/v1)"].prop_map(Value::from),
    ];
    let names: Vec<String> = [
        "metadata",
        "labels",
        "annotations",
        "ownerReferences",
        "spec",
        "containers",
        "initContainers",
        "volumes",
        "ports",
        "containerPort",
        "protocol",
        "env",
        "envFrom",
        "name",
        "value",
        "image",
        "resources",
        "limits",
        "requests",
        "cpu",
        "memory",
        "hostNetwork",
        "os",
        "nodeSelector",
        "terminationGracePeriodSeconds",
        "activeDeadlineSeconds",
        "securityContext",
    ]
    .into_iter()
    .chain(overrides::ANNOTATIONS.iter().map(|annotation| annotation.name))
    .map(str::to_owned)
    .collect();
    leaf.prop_recursive(6, 96, 8, move |inner| {
        let object = prop::collection::vec((prop::sample::select(names.clone()), inner.clone()), 0..8);
        prop_oneof![
            2 => object.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_that_says_false_is_injected_and_nothing_panics(
        metadata in hostile(),
        spec in hostile(),
        value in prop::option::of("(true|false|nightly|.{0,8})"),
        namespace_value in prop::option::of("(true|false|nightly|.{0,8})"),
    ) {
        let mut raw = json!({"metadata": metadata, "spec": spec});
        if let (Some(value), Some(metadata)) = (&value, raw["metadata"].as_object_mut()) {
            metadata.insert("labels".to_owned(), json!({names::INJECT: value}));
        }
        let groups = [group("nightly", json!({"selector": {}}))];
        let image = image();
        let around =
            Surroundings { image: &image, namespace_value: namespace_value.as_deref(), groups: &groups, limit_ranges: &[] };
        let pod = RawPod::new(&raw);
        let found = inject(pod, &around);
        found.iter().flat_map(Outcome::warnings).for_each(|warning| is_fit(&warning));
        if pod.label_or_annotation(names::INJECT) == Some("false") {
            prop_assert_eq!(found.ok(), Some(Outcome::Untouched(Reason::Declined)));
        }
    }
}
