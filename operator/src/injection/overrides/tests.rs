//! Each annotation with what it changes, what it refuses, and the sentences about both.

use serde_json::{Value, json};

use super::*;
use crate::injection::warning::tests::is_fit;

/// What is wanted of a pod with an annotation, over what a group says.
fn wanted(name: &str, value: &str, group: Value) -> Result<Wanted, BadValue> {
    let raw = json!({"metadata": {"annotations": {name: value}}});
    Wanted::of(RawPod::new(&raw), &serde_json::from_value(group).unwrap())
}

/// An annotation and the field of `spec.sidecar` that it stands for, in a group that says something else.
#[track_caller]
fn check_field(name: &str, value: &str, field: &str, expected: Value) {
    let group = json!({
        "image": "other:1", "pushPort": 9100, "listenAddresses": [":1"], "routePrefix": "/other", "holdOpen": "1s",
        "timestamps": "Strip", "identityLabels": "Allow", "log": {"level": "error", "format": "json"},
    });
    let before = serde_json::to_value(wanted("other", "", group.clone()).unwrap().sidecar).unwrap();
    let after = serde_json::to_value(wanted(name, value, group).unwrap().sidecar).unwrap();
    assert_eq!(after.pointer(field).unwrap_or(&Value::Null), &expected, "{name}={value}");
    // And nothing else has changed.
    let mut restored = after;
    let mut with_field = before.clone();
    for sidecar in [&mut restored, &mut with_field] {
        let top = field.split('/').nth(1).unwrap();
        sidecar.as_object_mut().unwrap().remove(top);
    }
    assert_eq!(restored, with_field, "{name}={value}");
    assert_ne!(before.pointer(field), Some(&expected), "{name}={value} says what the group says");
}

#[test]
fn an_annotation_stands_over_the_field_of_the_group() {
    check_field(names::IMAGE, "registry:5000/sidegate:1", "/image", json!("registry:5000/sidegate:1"));
    check_field(names::PUSH_PORT, "9200", "/pushPort", json!(9200));
    check_field(names::LISTEN_ADDRESSES, "127.0.0.1:4318, :80", "/listenAddresses", json!(["127.0.0.1:4318", ":80"]));
    check_field(names::LISTEN_ADDRESSES, "", "/listenAddresses", Value::Null);
    check_field(names::ROUTE_PREFIX, "/v1/pushgateway", "/routePrefix", json!("/v1/pushgateway"));
    check_field(names::ROUTE_PREFIX, "/", "/routePrefix", Value::Null);
    check_field(names::HOLD_OPEN, "1h30m", "/holdOpen", json!("1h30m"));
    check_field(names::HOLD_OPEN, "0s", "/holdOpen", json!("0s"));
    check_field(names::TIMESTAMPS, "Honor", "/timestamps", json!("Honor"));
    check_field(names::TIMESTAMPS, "reject", "/timestamps", json!("Reject"));
    check_field(names::IDENTITY_LABELS, "refuse", "/identityLabels", json!("Refuse"));
    check_field(names::LOG_LEVEL, "debug", "/log/level", json!("debug"));
}

#[test]
fn an_image_is_what_a_kubelet_reads_as_one() {
    let is_taken = |image: &str| wanted(names::IMAGE, image, json!({})).is_ok();
    let digest = format!("sha256:{}", "0a".repeat(32));
    for image in [
        "sidegate",
        "sidegate:1",
        "sidegate:1_A.b-c",
        "tools/a--b/c__d/e.f_g",
        "registry.example:5000/tools/sidegate:0.1.0",
        "Registry/sidegate",
        "localhost/sidegate:dev",
        "10.0.0.1:5000/sidegate",
        "[fd00::1]:5000/sidegate",
        &format!("sidegate@{digest}"),
        &format!("registry.example/sidegate:1@{digest}"),
    ] {
        assert!(is_taken(image), "{image}");
    }
    for image in [
        "registry/Sidegate:1",
        "Sidegate",
        "a:b:c",
        "x@y",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a..b",
        "a.",
        "a___b",
        "-a/b",
        "registry:/a",
        "registry:port/a",
        "a:.1",
        "a\n",
        "sidegate@sha256:01",
        &format!("sidegate@{}", digest.to_uppercase()),
        &format!("sidegate@{digest}:1"),
        &format!("a:{}", "1".repeat(129)),
        &"a".repeat(256),
        // An ID.
        &"0a".repeat(32),
    ] {
        assert!(!is_taken(image), "{image}");
    }
}

#[test]
fn an_image_of_the_group_that_is_none_skips_the_pod_unless_it_has_its_own() {
    let group = json!({"image": "registry/Sidegate:1"});
    let bad = wanted("other", "", group.clone()).unwrap_err().sentence("");
    let expected =
        "PushGroup's image: expected an image such as registry/sidegate:0.1.0, found \"registry/Sidegate:1\"";
    assert_eq!(bad, expected);
    assert!(wanted(names::IMAGE, "sidegate:1", group).is_ok());
}

#[test]
fn what_is_no_field_of_a_group_is_kept_apart() {
    let of = |name: &str, value: &str| wanted(name, value, json!({})).unwrap();
    assert_eq!(of("other", ""), Wanted::default());
    for (value, is_on) in [("true", true), ("false", false)] {
        assert_eq!(of(names::RAISE_GRACE_PERIOD, value).raise_grace_period, Some(is_on));
        assert_eq!(of(names::ENV, value).app, AppSide { address: is_on, no_proxy: None });
        assert_eq!(of(names::NO_PROXY, value).app, AppSide { address: true, no_proxy: Some(is_on) });
    }
    assert!(of(names::LISTEN_ADDRESSES, ":80").has_own_addresses);
    assert!(!of(names::CPU_LIMIT, "1").quantities.is_empty());
}

#[test]
fn a_value_that_is_not_known_is_told_with_what_is() {
    let check = |name: &str, value: &str, sentence: &str| {
        let found = wanted(name, value, json!({})).map_err(|bad| bad.sentence(""));
        assert_eq!(found, Err(format!("{name}: expected {sentence}, found {value:?}")));
    };
    for value in ["", "a b", "-a"] {
        check(names::IMAGE, value, "an image such as registry/sidegate:0.1.0");
    }
    for name in [names::CPU_REQUEST, names::CPU_LIMIT] {
        for value in ["", "0", "-1", "half", "1 "] {
            check(name, value, "CPU such as 50m");
        }
    }
    for value in ["64m", "0", "1Ki"] {
        check(names::MEMORY_REQUEST, value, "1Mi of memory or more, such as 32Mi");
    }
    check(names::MEMORY_LIMIT, "15Mi", "16Mi of memory or more, such as 64Mi");
    for value in ["", "80", "1023", "19091", "65536", "9091.0", "http"] {
        check(names::PUSH_PORT, value, "a port from 1024 to 65535 but 19091");
    }
    for value in ["4318", "127.0.0.1:99999", ":80,:19091", ":1,:2,:3,:4,:5,:6,:7,:8,:9"] {
        check(names::LISTEN_ADDRESSES, value, "addresses such as :4318, not :19091");
    }
    for value in ["", "v1", "/a/", "/a/../b", "/./a", "/a b"] {
        check(names::ROUTE_PREFIX, value, "a path such as /v1/pushgateway, or /");
    }
    for value in ["", "90", "1d", "soon"] {
        check(names::HOLD_OPEN, value, "a duration such as 90s or 1h30m");
    }
    for name in [names::RAISE_GRACE_PERIOD, names::ENV, names::NO_PROXY] {
        for value in ["", "True", "yes", "1"] {
            check(name, value, "true or false");
        }
    }
    check(names::TIMESTAMPS, "drop", "Reject, Strip or Honor");
    check(names::IDENTITY_LABELS, "keep", "Rename, Refuse or Allow");
    check(names::LOG_LEVEL, "trace", "debug, info, warn or error");
}

#[test]
fn a_sentence_about_a_value_is_as_short_as_kubectl_wants_it() {
    for annotation in ANNOTATIONS.iter().filter(|annotation| annotation.name != names::INJECT) {
        let value = "?".repeat(1000);
        let bad = wanted(annotation.name, &value, json!({})).unwrap_err();
        is_fit(&bad.sentence("sidegate: no sidecar: "));
    }
}

#[test]
fn a_name_that_nobody_reads_is_told_with_those_that_are_read() {
    let warnings = |labels: Value, annotations: Value| {
        unread(RawPod::new(&json!({"metadata": {"labels": labels, "annotations": annotations}})))
    };
    let known = [
        "sidegate: known under sidegate.dev/: inject, image, cpu-request, cpu-limit, memory-request, memory-limit, push-port",
        "sidegate: known under sidegate.dev/: listen-addresses, route-prefix, hold-open, raise-grace-period, timestamps",
        "sidegate: known under sidegate.dev/: identity-labels, log-level, env, no-proxy",
    ];
    assert_eq!(
        warnings(json!({"app": "etl"}), json!({"sidegate.dev/hold_open": "1s", "sidegate.dev/holdOpen": "1s"})),
        [&["sidegate: not known: sidegate.dev/holdOpen, sidegate.dev/hold_open"], &known[..]].concat()
    );
    assert_eq!(
        warnings(json!({"sidegate.dev/hold-open": "1s", "sidegate.dev/team": "a"}), json!(null)),
        [
            &[
                "sidegate: expected as an annotation, found as a label: sidegate.dev/hold-open",
                "sidegate: not known: sidegate.dev/team",
            ],
            &known[..]
        ]
        .concat()
    );
    let ours = json!({"sidegate.dev/inject": "true", "sidegate.dev/injected": "true", "sidegate.dev/pushgroup": "a"});
    let others = json!({"sidegate.dev/inject": "true", "sidegate.dev/env": "false", "example.com/sidegate.dev/x": ""});
    assert_eq!(warnings(ours, others), Vec::<String>::new());
    let many: Value =
        (0..100).map(|number| (format!("sidegate.dev/{number}"), json!(""))).collect::<serde_json::Map<_, _>>().into();
    warnings(many.clone(), many).iter().for_each(|warning| is_fit(warning));
}

#[test]
fn every_annotation_is_described_once() {
    for (index, annotation) in ANNOTATIONS.iter().enumerate() {
        let Annotation { name, values, default, effect, .. } = annotation;
        assert!(name.starts_with(names::PREFIX), "{name}");
        assert!(!values.is_empty() && !default.is_empty() && effect.ends_with('.'), "{name}");
        assert!(ANNOTATIONS.iter().skip(index + 1).all(|other| other.name != *name), "{name}");
    }
}
