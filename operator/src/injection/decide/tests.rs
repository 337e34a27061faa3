//! The truth table, the obstacles, and the sentences about both.

use crds::PushGroupSpec;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::injection::{limit_range::tests::no_rooms, warning::tests::is_fit};

const NAME_TAKEN: &str = "sidegate: no sidecar: a container of the pod has the sidecar's name, sidegate";

fn pod(value: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "etl"}, "annotations": {"sidegate.dev/inject": value}},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
    })
}

/// Changes a pod that asks.
fn asking(change: impl FnOnce(&mut Value)) -> Value {
    let mut raw = pod("true");
    change(&mut raw);
    raw
}

#[track_caller]
fn check(raw: &Value, expected: Wish) {
    assert_eq!(wish(RawPod::new(raw), None, &[]), expected, "{raw}");
}

#[track_caller]
fn check_skip(raw: &Value, reason: &str, warning: &str) {
    let Wish::Skip(skip) = wish(RawPod::new(raw), None, &[]) else { panic!("{raw} is not skipped") };
    assert_eq!((skip.reason(), skip.warning().unwrap_or_default().as_str()), (reason, warning));
}

fn group(name: &str, created: &str, selector: Value) -> Arc<PushGroup> {
    let spec: PushGroupSpec = serde_json::from_value(json!({"selector": selector})).unwrap();
    let mut group = PushGroup::new(name, spec);
    group.metadata.creation_timestamp = serde_json::from_value(json!(created)).unwrap();
    Arc::new(group)
}

fn chosen(pick: &Pick, groups: &[Arc<PushGroup>]) -> Option<String> {
    choose(pick, RawPod::new(&pod("true")), groups).map(|group| group.name_any())
}

/// What is decided, in a word: of a named group its name.
fn decided(pod_value: Option<&str>, namespace_value: Option<&str>) -> String {
    let mut raw = pod("");
    match pod_value {
        Some(value) => raw["metadata"]["annotations"]["sidegate.dev/inject"] = json!(value),
        None => raw["metadata"]["annotations"] = json!(null),
    }
    match wish(RawPod::new(&raw), namespace_value, &[]) {
        Wish::Nothing(Reason::NotAsked) => "not asked".to_owned(),
        Wish::Nothing(Reason::Declined) => "declined".to_owned(),
        Wish::Sidecar(Pick::Matching) => "matching".to_owned(),
        Wish::Sidecar(Pick::Named(name)) => format!("group {name}"),
        Wish::Skip(Skip::BadValue(bad)) => format!("bad {} in {}", bad.found, bad.name),
        Wish::Skip(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_pod_decides_and_its_namespace_where_the_pod_leaves_it_to_it() {
    let values = [None, Some("false"), Some("true"), Some("weekly"), Some("On")];
    let (bad, bad_there) = ("bad Yes in sidegate.dev/inject", "bad On in namespace's sidegate.dev/inject");
    // A row for each value of the pod, a column for each of its namespace.
    for (pod_value, row) in [
        (None, ["not asked", "not asked", "matching", "group weekly", bad_there]),
        (Some("false"), ["declined"; 5]),
        (Some("true"), ["matching", "matching", "matching", "group weekly", "matching"]),
        (Some("nightly"), ["group nightly"; 5]),
        (Some("Yes"), [bad; 5]),
    ] {
        for (namespace_value, expected) in values.into_iter().zip(row) {
            assert_eq!(decided(pod_value, namespace_value), expected, "{pod_value:?} in {namespace_value:?}");
        }
    }
}

#[test]
fn a_value_is_a_word_or_a_name_of_a_group() {
    for bad in ["", "True", "a b", "-a", "a-", "1a", "no.dots", "true ", &"a".repeat(NAME_MAX + 1)] {
        assert_eq!(decided(Some(bad), None), format!("bad {bad} in sidegate.dev/inject"));
    }
    let longest = "a".repeat(NAME_MAX);
    assert_eq!(decided(Some(&longest), None), format!("group {longest}"));
}

#[test]
fn the_label_beats_the_annotation() {
    let mut raw = pod("true");
    raw["metadata"]["labels"]["sidegate.dev/inject"] = json!("false");
    check(&raw, Wish::Nothing(Reason::Declined));
    raw["metadata"]["labels"]["sidegate.dev/inject"] = json!("nightly");
    raw["metadata"]["annotations"]["sidegate.dev/inject"] = json!("false");
    check(&raw, Wish::Sidecar(Pick::Named("nightly".to_owned())));
}

#[test]
fn a_bad_value_is_told_with_those_that_are_known() {
    let sentence = |pod_value: Option<&str>, namespace_value: Option<&str>, groups: &[&str]| {
        let raw = pod_value.map_or_else(|| json!({"spec": {}}), pod);
        let groups: Vec<_> = groups.iter().map(|name| group(name, "2026-01-01T00:00:00Z", json!({}))).collect();
        match wish(RawPod::new(&raw), namespace_value, &groups) {
            Wish::Skip(skip) => skip.warning().unwrap(),
            other @ (Wish::Nothing(_) | Wish::Sidecar(_)) => panic!("{other:?}"),
        }
    };
    let expected = "expected true, false or a PushGroup's name";
    assert_eq!(
        sentence(Some("True"), None, &[]),
        format!("sidegate: no sidecar: sidegate.dev/inject: {expected}, found \"True\"")
    );
    assert_eq!(
        sentence(Some("True"), None, &["weekly", "nightly"]),
        format!(
            "sidegate: no sidecar: sidegate.dev/inject: expected true, false or a PushGroup (nightly, weekly), found \"True\""
        )
    );
    assert_eq!(
        sentence(None, Some("on!"), &[]),
        format!("sidegate: no sidecar: namespace's sidegate.dev/inject: {expected}, found \"on!\"")
    );
    let many: Vec<_> = (0..100).map(|number| format!("group-{number:03}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let long = sentence(Some(&"A".repeat(300)), None, &many);
    assert!(long.ends_with("or a PushGroup (group-000, gr…), found \"AAAAAAAAAAAAA…\""), "{long}");
    let in_namespace = sentence(None, Some("on!"), &many);
    assert!(in_namespace.ends_with("or a PushGroup (group-000, gr…), found \"on!\""), "{in_namespace}");
    let value = "A".repeat(300);
    for groups in [&[][..], &many] {
        is_fit(&sentence(Some(&value), None, groups));
        is_fit(&sentence(None, Some(&value), groups));
    }
}

#[test]
fn every_reason_is_told_as_short_as_kubernetes_asks_whatever_there_is_to_tell() {
    for long in ["a".repeat(1000), "\u{200b}".repeat(1000), "a\n\"b\"".repeat(300)] {
        let container = || long.clone();
        let bad = |such_as: bool| BadValue {
            name: format!("namespace's {}", names::INJECT),
            expected: "true, false or a PushGroup".to_owned(),
            such_as: such_as.then(|| long.clone()),
            found: long.clone(),
        };
        let mut skips = vec![
            Skip::AlreadyThere,
            Skip::LatePort { container: container(), port: u16::MAX },
            Skip::NotNative { is_init: true },
            Skip::NotNative { is_init: false },
            Skip::NameTaken,
            Skip::NoSpec,
            Skip::BadValue(bad(false)),
            Skip::BadValue(bad(true)),
            Skip::MirrorPod,
            Skip::HostNetwork,
            Skip::Windows,
            Skip::ExistingPushgateway { container: container() },
            Skip::TooManyContainers { found: usize::MAX },
            Skip::PortTaken { container: container(), port: u16::MAX },
            Skip::Malformed(Malformed::new("env", "an object", &Value::Null).within("spec.initContainers[1000]")),
        ];
        skips.extend(no_rooms(&long).into_iter().map(Skip::NoRoom));
        let reasons: std::collections::BTreeSet<_> = skips.iter().map(Skip::reason).collect();
        assert_eq!(reasons.len(), 14, "one of each: {reasons:?}");
        skips.iter().filter_map(Skip::warning).for_each(|warning| is_fit(&warning));
    }
    let what_helps = |skip: Skip, end: &str| assert!(skip.warning().unwrap().ends_with(end), "{skip:?}");
    let container = "a".repeat(63);
    what_helps(Skip::PortTaken { container, port: 9091 }, "aaa… declares port 9091, which the sidecar needs");
}

#[test]
fn a_sidecar_that_is_there_is_enough() {
    let mut raw =
        asking(|raw| raw["spec"]["initContainers"] = json!([{"name": "sidegate", "restartPolicy": "Always"}]));
    check_skip(&raw, "name_taken", NAME_TAKEN);
    raw["metadata"]["labels"]["sidegate.dev/injected"] = json!("true");
    check(&raw, Wish::Skip(Skip::AlreadyThere));
    check_skip(&raw, "already_there", "");
}

#[test]
fn a_sidecar_that_another_webhook_made_an_ordinary_container_is_told() {
    let stays_in_init = "sidegate: the sidecar has lost its restartPolicy: Always, maybe to another webhook: the pod will \
                         stay in Init";
    let never_ends = "sidegate: the sidecar stands in containers, not in initContainers, maybe by another webhook: a Job \
                      will not end";
    let always = json!({"name": "sidegate", "restartPolicy": "Always"});
    for (list, sidecar, told) in [
        ("initContainers", json!({"name": "sidegate"}), stays_in_init),
        ("initContainers", json!({"name": "sidegate", "restartPolicy": null}), stays_in_init),
        ("initContainers", json!({"name": "sidegate", "restartPolicy": "OnFailure"}), stays_in_init),
        ("containers", json!({"name": "sidegate"}), never_ends),
        ("containers", always, never_ends),
    ] {
        let late = json!({"name": "late", "ports": [{"containerPort": 9091}]});
        let mut raw = asking(|raw| raw["spec"][list] = json!([late, sidecar]));
        check_skip(&raw, "name_taken", NAME_TAKEN);
        raw["metadata"]["labels"]["sidegate.dev/injected"] = json!("true");
        check_skip(&raw, "not_native", told);
        raw["metadata"]["annotations"]["sidegate.dev/inject"] = json!("false");
        check(&raw, Wish::Nothing(Reason::Declined));
    }
}

#[test]
fn obstacles_skip_with_a_sentence() {
    let check = |change: fn(&mut Value), reason: &str, why: &str| {
        check_skip(&asking(change), reason, &format!("sidegate: no sidecar: {why}"));
    };
    check(|raw| raw["spec"] = json!(null), "no_spec", "the pod has no spec");
    let host_network = "the pod uses the node's network";
    check(|raw| raw["spec"]["hostNetwork"] = json!(true), "host_network", host_network);
    let windows = "the pod runs on Windows";
    check(|raw| raw["spec"]["os"] = json!({"name": "windows"}), "windows", windows);
    check(|raw| raw["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"}), "windows", windows);
    check(
        |raw| raw["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("1f2e"),
        "mirror_pod",
        "the pod stands for a file on its node and cannot be changed",
    );
    check(
        |raw| raw["spec"]["initContainers"] = json!([{"name": "gateway", "image": "prom/pushgateway"}]),
        "existing_pushgateway",
        "container gateway is a Pushgateway already; spec.gateway of a PushGroup has it scraped",
    );
    check(
        |raw| raw["spec"]["containers"] = vec![json!({"name": "app"}); 1_001].into(),
        "too_many_containers",
        "expected at most 1000 containers in the pod, found 1001",
    );
    let taken = Skip::PortTaken { container: "app".to_owned(), port: 19091 };
    assert_eq!(taken.reason(), "port_taken");
    assert_eq!(
        taken.warning().unwrap(),
        "sidegate: no sidecar: container app declares port 19091, which the sidecar needs"
    );
}

#[test]
fn an_obstacle_stands_in_the_way_of_a_whole_namespace_too() {
    let raw = json!({"metadata": {}, "spec": {"hostNetwork": true, "containers": []}});
    let in_namespace = |value| wish(RawPod::new(&raw), value, &[]);
    assert_eq!(in_namespace(Some("true")), Wish::Skip(Skip::HostNetwork));
    assert_eq!(in_namespace(None), Wish::Nothing(Reason::NotAsked));
}

#[test]
fn a_pushgateway_is_known_by_its_image() {
    let with = |image: &str| {
        asking(|raw| {
            raw["spec"]["containers"] = json!([{"name": "app", "image": "etl:1"}, {"name": "gateway", "image": image}]);
        })
    };
    for image in [
        "pushgateway",
        "prom/pushgateway:v1.11.1",
        "registry:5000/prom-pushgateway",
        "registry:5000/prometheus-pushgateway:1",
        "quay.io/prometheus/pushgateway:v1@sha256:0123",
        "registry:5000/sidegate:0.1.0",
    ] {
        check(&with(image), Wish::Skip(Skip::ExistingPushgateway { container: "gateway".to_owned() }));
    }
    for image in [
        "pushgateway/client:1",
        "pushgateway-client",
        "kafka-to-pushgateway:2",
        "registry:5000/metrics-pushgateway",
        "etl:pushgateway",
        "registry:5000/etl",
        "sidegate/etl",
    ] {
        check(&with(image), Wish::Sidecar(Pick::Matching));
    }
}

#[test]
fn an_obstacle_does_not_matter_to_a_pod_that_does_not_ask() {
    let mut raw = pod("false");
    raw["spec"]["hostNetwork"] = json!(true);
    check(&raw, Wish::Nothing(Reason::Declined));
}

#[test]
fn the_oldest_matching_group_is_chosen_and_ties_go_by_name() {
    let all = json!({});
    let groups = [
        group("young", "2026-01-02T00:00:00Z", all.clone()),
        group("other", "2025-01-01T00:00:00Z", json!({"matchLabels": {"app": "web"}})),
        group("b", "2026-01-01T00:00:00Z", json!({"matchLabels": {"app": "etl"}})),
        group("a", "2026-01-01T00:00:00Z", json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
    ];
    assert_eq!(chosen(&Pick::Matching, &groups), Some("a".to_owned()));
    assert_eq!(chosen(&Pick::Matching, &groups[..2]), Some("young".to_owned()));
    assert_eq!(chosen(&Pick::Matching, &groups[1..2]), None);
}

#[test]
fn a_named_group_is_chosen_whatever_its_selector() {
    let groups = [group("other", "2025-01-01T00:00:00Z", json!({"matchLabels": {"app": "web"}}))];
    assert_eq!(chosen(&Pick::Named("other".to_owned()), &groups), Some("other".to_owned()));
    assert_eq!(chosen(&Pick::Named("absent".to_owned()), &groups), None);
}

#[test]
fn a_group_that_is_being_deleted_is_as_good_as_gone() {
    let mut going = Arc::unwrap_or_clone(group("a", "2026-01-01T00:00:00Z", json!({})));
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    let groups = [Arc::new(going), group("b", "2026-01-02T00:00:00Z", json!({}))];
    assert_eq!(chosen(&Pick::Matching, &groups), Some("b".to_owned()));
    assert_eq!(chosen(&Pick::Matching, &groups[..1]), None);
    assert_eq!(chosen(&Pick::Named("a".to_owned()), &groups), None, "as one that may come later");
}

#[test]
fn a_group_without_selector_matches_no_pod() {
    let gateway = Arc::new(PushGroup::new("gateway", PushGroupSpec::default()));
    assert_eq!(chosen(&Pick::Matching, &[gateway]), None);
}

proptest! {
    #[test]
    fn only_a_word_or_a_name_gets_a_sidecar(pod_value in prop::option::of(".{0,60}"), namespace_value in prop::option::of(".{0,60}")) {
        let (pod_value, namespace_value) = (pod_value.as_deref(), namespace_value.as_deref());
        let mut raw = json!({"spec": {"containers": []}});
        if let Some(value) = pod_value {
            raw["metadata"]["labels"] = json!({"sidegate.dev/inject": value});
        }
        let asked = pod_value.or(namespace_value).unwrap_or_default();
        match wish(RawPod::new(&raw), namespace_value, &[]) {
            Wish::Sidecar(_) => prop_assert!(asked != "false" && (asked == "true" || is_group_name(asked))),
            Wish::Nothing(_) => prop_assert!(asked.is_empty() || asked == "false"),
            Wish::Skip(skip) => prop_assert!(matches!(skip, Skip::BadValue(bad) if bad.found == asked)),
        }
    }
}
