//! What holds for any pod: the patch fits, only adds, can be taken back to the byte, and is not made twice.
//!
//! The pod is a text here, with numbers that no type of ours holds, and the patch goes into that text as the API server
//! puts it into its own. A number that is too large for a float of 64 bits (`1e400`) is refused by our reader, so the pod
//! is admitted as it is; one that merely loses digits there never goes back out, since a patch has none of the pod's own
//! values but a longer `NO_PROXY`.

use std::sync::Arc;

use crds::PushGroup;
use json_patch::PatchOperation;
use proptest::prelude::*;
use serde_json::Value;

use super::{
    decide::Skip,
    inject::{Outcome, Surroundings, inject},
    pod::RawPod,
    raw_json::Raw,
};
use crate::config::SidecarImage;

fn group(spec: &str) -> Arc<PushGroup> {
    Arc::new(PushGroup::new("nightly", serde_json::from_str(spec).unwrap()))
}

fn outcome(pod: &Value, group: &Arc<PushGroup>) -> Outcome {
    let image = SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() };
    let groups = [group.clone()];
    let around = Surroundings { image: &image, namespace_value: None, groups: &groups, limit_ranges: &[] };
    inject(RawPod::new(pod), &around).unwrap()
}

/// Whether a value may be another afterwards: the two exceptions.
fn may_change(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    matches!(path[..], ["spec", "terminationGracePeriodSeconds"] | ["spec", _, _, "env", _, "value"])
}

/// Whether something of ours belongs there.
fn is_ours(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["metadata"] | ["metadata", "labels" | "annotations"] | ["spec", "volumes" | "initContainers"] => true,
        ["metadata", "labels", name] => ["sidegate.dev/injected", "sidegate.dev/pushgroup"].contains(&name),
        ["metadata", "annotations", name] => {
            ["sidegate.dev/sidecar-hash", "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"]
                .contains(&name)
        }
        ["spec", "volumes" | "initContainers", _] => true,
        ["spec", "initContainers" | "containers", _, "env"]
        | ["spec", "initContainers" | "containers", _, "env", _] => true,
        _ => false,
    }
}

/// Injects into a text, and back. `None` is a pod that got no patch.
#[track_caller]
fn there_and_back(text: &str, group: &Arc<PushGroup>) -> Option<Raw> {
    let before: Value = serde_json::from_str(text).unwrap();
    let Outcome::Injected(injected) = outcome(&before, group) else { return None };
    let mut raw = Raw::parse(text);
    let written = raw.to_string();
    let mut undone = Vec::new();
    for operation in &injected.patch.0 {
        let undo = raw.apply(operation);
        let was = undo.before.as_ref().map(Raw::to_string);
        let is_added = was.as_deref().is_none_or(|was| was == "null") && is_ours(&undo.path);
        assert!(is_added || may_change(&undo.path), "{:?}: {was:?} is lost", undo.path);
        let is_replace = matches!(operation, PatchOperation::Replace(_));
        assert_eq!(is_replace, was.is_some_and(|was| was != "null"), "{operation:?}");
        undone.push(undo);
    }
    // The two readers agree on what the patch does.
    let mut after = before;
    json_patch::patch(&mut after, &injected.patch).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&raw.to_string()).unwrap(), after);
    assert_eq!(outcome(&after, group), Outcome::Skipped(Skip::AlreadyThere));
    let injected = raw.clone();
    for undo in undone.into_iter().rev() {
        raw.undo(undo);
    }
    assert_eq!(raw.to_string(), written);
    Some(injected)
}

#[test]
fn numbers_that_no_type_holds_stay_as_they_are() {
    let number = "123456789012345678901234567890.10e-3";
    let text = format!(
        r#"{{"spec":{{"future":{number},"containers":[{{"name":"app","big":{number}}}]}},"metadata":{{"annotations":{{"sidegate.dev/inject":"true"}}}}}}"#
    );
    let injected = there_and_back(&text, &group(r#"{"selector":{}}"#)).unwrap().to_string();
    assert_eq!(injected.matches(number).count(), 2, "{injected}");
    assert!(serde_json::from_str::<Value>(&text.replace(number, "1e400")).is_err());
}

#[test]
fn a_pod_of_a_hundred_containers_is_injected() {
    let containers: Vec<_> = (0..100).map(|n| format!(r#"{{"name":"c{n}","env":[]}}"#)).collect();
    let text = format!(
        r#"{{"metadata":{{"labels":{{"sidegate.dev/inject":"true"}}}},"spec":{{"containers":[{}]}}}}"#,
        containers.join(",")
    );
    let injected = there_and_back(&text, &group(r#"{"selector":{}}"#)).unwrap().to_string();
    assert_eq!(injected.matches(r#""PUSHGATEWAY_URL""#).count(), 100);
}

#[test]
fn a_pod_that_is_none_gets_a_sentence_and_no_patch() {
    let nightly = group(r#"{"selector":{}}"#);
    let check = |field: &str, value: &str, expected: &str| {
        let mut pod: Value = serde_json::from_str(
            r#"{"metadata":{"labels":{"sidegate.dev/inject":"true"},"annotations":null,"ownerReferences":[{"kind":"Job","apiVersion":"batch/v1"}]},
                "spec":{"containers":[{"name":"app"}],"initContainers":null,"volumes":null}}"#,
        )
        .unwrap();
        let value = serde_json::from_str(value).unwrap();
        let (parent, member) = field.rsplit_once('/').unwrap();
        match pod.pointer_mut(field) {
            Some(known) => *known = value,
            None => pod.pointer_mut(parent).unwrap()[member] = value,
        }
        let Outcome::Skipped(skip) = outcome(&pod, &nightly) else { panic!("{pod}") };
        assert_eq!(skip.reason(), "malformed");
        assert_eq!(skip.warning().unwrap(), format!("sidegate: no sidecar: {expected}"));
    };
    check("/metadata/annotations", "3", "metadata.annotations: expected an object, found a number");
    check("/spec/volumes", "{}", "spec.volumes: expected a list, found an object");
    check("/spec/initContainers", "true", "spec.initContainers: expected a list, found a boolean");
    check("/spec/containers", "[null]", "spec.containers[0]: expected an object, found nothing");
    check("/spec/containers/0", r#"{"env":{}}"#, "spec.containers[0].env: expected a list, found an object");
    let grace = "/spec/terminationGracePeriodSeconds";
    check(grace, "\"30\"", "spec.terminationGracePeriodSeconds: expected a whole number, found a text");
}

/// An object of members in any order, some of them not there.
fn object(members: Vec<BoxedStrategy<Option<String>>>) -> BoxedStrategy<String> {
    let members =
        members.prop_flat_map(|members| Just(members.into_iter().flatten().collect::<Vec<_>>()).prop_shuffle());
    members.prop_map(|members| format!("{{{}}}", members.join(","))).boxed()
}

fn list(items: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(items, 0..=most).prop_map(|items| format!("[{}]", items.join(",")))
}

/// A member that is there, is not, or is `null`; in one of fifty it is of an odd type.
fn member(key: &'static str, value: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Option<String>> {
    let odd = prop_oneof![Just("3".to_owned()), Just("\"text\"".to_owned()), Just("[7]".to_owned())];
    let value = prop_oneof![40 => value, 5 => Just("null".to_owned()), 1 => odd];
    prop::option::weighted(0.7, value).prop_map(move |value| value.map(|value| format!("\"{key}\":{value}"))).boxed()
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

/// Any JSON, as somebody may write it.
fn unknown() -> impl Strategy<Value = String> {
    let leaf = one_of(&[
        "null",
        "true",
        "0",
        "-0",
        "1.0",
        "1e3",
        "1E-7",
        "0.10",
        "18446744073709551616",
        "123456789012345678901234567890",
        r#""\u00e9\n\"\\""#,
        r#""é/~""#,
        r#""""#,
    ]);
    leaf.prop_recursive(2, 8, 3, |inner| {
        let keys = prop::collection::btree_map("[a-zé/~ ]{0,5}", inner.clone(), 0..3);
        let object = keys.prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![list(inner, 3), object]
    })
}

fn variable() -> impl Strategy<Value = String> {
    let names = &[
        "\"A\"",
        "\"PUSHGATEWAY_URL\"",
        "\"PUSHGATEWAY_ADDRESS\"",
        "\"HTTP_PROXY\"",
        "\"https_proxy\"",
        "\"NO_PROXY\"",
        "\"no_proxy\"",
    ];
    let name = one_of(names).prop_map(|name| Some(format!("\"name\":{name}"))).boxed();
    let value = one_of(&[r#""http:\/\/proxy""#, r#"".svc,""#, r#""*""#, r#""localhost, 127.0.0.1""#, r#""""#]);
    let from = Just(r#"{"fieldRef":{"fieldPath":"metadata.name"}}"#.to_owned());
    let from =
        prop::option::weighted(0.1, from).prop_map(|from| from.map(|from| format!("\"valueFrom\":{from}"))).boxed();
    object(vec![name, member("value", value), from, member("future", unknown())])
}

fn container() -> impl Strategy<Value = String> {
    let name = one_of(&["\"app\"", "\"init\"", "\"istio-proxy\"", "\"linkerd-proxy\"", "\"log\""]);
    let resources = one_of(&[r#"{"limits":{"cpu":"1","memory":"1Gi"}}"#, r#"{"requests":{"cpu":1.50}}"#, "{}"]);
    let from = one_of(&["[]", r#"[{"configMapRef":{"name":"a"}}]"#]);
    let from =
        prop::option::weighted(0.2, from).prop_map(|from| from.map(|from| format!("\"envFrom\":{from}"))).boxed();
    object(vec![
        member("name", name),
        member("env", list(variable(), 5)),
        from,
        member("resources", resources),
        member("restartPolicy", Just("\"Always\"".to_owned())),
        member("fieldOfTheFuture", unknown()),
    ])
}

fn pod() -> impl Strategy<Value = String> {
    let labels = one_of(&[
        r#"{"sidegate.dev/inject":"true"}"#,
        r#"{"a~b/c":"d","sidegate.dev/inject":"nightly","sidegate.dev/pushgroup":"other"}"#,
        r#"{"sidegate.dev/inject":"true","sidegate.dev/injected":"no"}"#,
    ]);
    let annotations = one_of(&[
        r#"{"sidegate.dev/inject":"true","b":"\u0000"}"#,
        r#"{"sidegate.dev/inject":"true","sidegate.dev/sidecar-hash":"","sidegate.dev/no-proxy":"true"}"#,
        r#"{"sidegate.dev/inject":"true","cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes":"a,b"}"#,
    ]);
    let owners = Just(r#"[{"apiVersion":"batch/v1","kind":"Job","name":"backup","uid":"1"}]"#.to_owned());
    let volume = one_of(&[r#"{"name":"data"}"#, r#"{"name":"sidegate-storage","hostPath":{"path":"\/a"}}"#]);
    let metadata = object(vec![
        member("generateName", Just("\"backup-\"".to_owned())),
        member("labels", labels),
        member("annotations", annotations),
        member("ownerReferences", owners),
        member("future", unknown()),
    ]);
    let spec = object(vec![
        member("containers", list(container(), 4)),
        member("initContainers", list(container(), 4)),
        member("ephemeralContainers", list(container(), 2)),
        member("volumes", list(volume, 2)),
        member("terminationGracePeriodSeconds", one_of(&["0", "30", "3600"])),
        member("securityContext", Just(r#"{"runAsUser":0}"#.to_owned())),
        member("resources", Just(r#"{"limits":{"cpu":"1"}}"#.to_owned())),
        member("future", unknown()),
    ]);
    let spec = spec.prop_map(|spec| Some(format!("\"spec\":{spec}"))).boxed();
    object(vec![
        member("metadata", metadata),
        spec,
        member("status", unknown()),
        member("kind", Just("\"Pod\"".to_owned())),
    ])
}

const GROUPS: [&str; 3] = [
    r#"{"selector":{}}"#,
    r#"{"selector":{},"sidecar":{"storage":"None","routePrefix":"/a","raiseGracePeriod":true}}"#,
    r#"{"selector":{},"sidecar":{"auth":{"secretName":"push"},"listenAddresses":["127.0.0.1:4318"],"holdOpen":"0s"}}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_patch_fits_only_adds_comes_out_to_the_byte_and_is_made_once(text in pod(), spec in prop::sample::select(&GROUPS[..])) {
        there_and_back(&text, &group(spec));
    }
}

/// Otherwise the property above would hold for nothing.
#[test]
fn most_of_the_pods_that_are_tried_get_a_sidecar() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let nightly = group(GROUPS[0]);
    let injected = (0..200).filter(|_| {
        let text = proptest::strategy::ValueTree::current(&pod().new_tree(&mut runner).unwrap());
        there_and_back(&text, &nightly).is_some()
    });
    assert!(60 < injected.count());
}
