//! Whatever a `PushGroup` may say about its sidecars, the sidecar's own parser takes the command line made from it.
//!
//! Values are made from the patterns and bounds of the schema, so that what is tried is what the API server lets pass;
//! the end-to-end tests hold the schema itself.

use std::ffi::OsString;

use crds::{
    Duration, duration,
    scrape::Scrape,
    sidecar::{LISTEN_ADDRESS_PATTERN, ROUTE_PREFIX_PATTERN, Sidecar},
};
use operator::injection::{
    arguments::{arguments, hold_open_seconds},
    container::Circumstances,
    overrides::{ANNOTATIONS, Wanted},
    pod::RawPod,
};
use proptest::{prelude::*, string::string_regex};
use serde_json::{Map, Value, json};

/// What a container runs, its dollars as the kubelet leaves them.
fn command_line(sidecar: &Sidecar, scrape: &Scrape, deadline: Option<i64>) -> Vec<OsString> {
    let pod = Circumstances { active_deadline_seconds: deadline, ..Circumstances::default() };
    let arguments = arguments(sidecar, hold_open_seconds(sidecar, scrape), pod);
    let arguments = arguments.into_iter().map(|argument| argument.replace("$$", "$").into());
    std::iter::once("sidegate".into()).chain(arguments).collect()
}

fn text(pattern: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).unwrap()
}

fn any_duration() -> impl Strategy<Value = String> {
    text(duration::PATTERN).prop_filter("a duration", |text| !text.is_empty() && text.len() <= 32)
}

fn short_duration() -> impl Strategy<Value = Value> {
    any_duration().prop_filter("hours at most", |text| !text.contains(['y', 'w', 'd'])).prop_map(Value::from)
}

fn address() -> impl Strategy<Value = String> {
    let port = prop_oneof![0_u32..70_000, Just(9091), Just(19091)];
    let host = prop_oneof![
        Just(String::new()),
        any::<[u8; 4]>().prop_map(|octets| octets.map(|octet| octet.to_string()).join(".")),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
        prop_oneof![Just("0.0.0.0"), Just("127.0.0.1"), Just("[::]"), Just("[::1]")].prop_map(str::to_owned),
    ];
    // What only looks like an address, too: the schema's second half, `isIP`, is not tried here.
    prop_oneof![(host, port).prop_map(|(host, port)| format!("{host}:{port}")), text(LISTEN_ADDRESS_PATTERN)]
}

fn route_prefix() -> impl Strategy<Value = Value> {
    let plain = |path: &String| !path.split('/').any(|segment| matches!(segment, "." | "..")) && path.len() <= 256;
    text(ROUTE_PREFIX_PATTERN).prop_filter("a plain path", plain).prop_map(Value::from)
}

/// Every limit there is, by the schema, at its bounds and between.
fn limits() -> impl Strategy<Value = Value> {
    let crd: Value = serde_yaml::from_str(&crds::custom_resource_definition_yaml().unwrap()).unwrap();
    let limits =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/sidecar/properties/limits/properties";
    let fields = crd.pointer(limits).and_then(Value::as_object).unwrap().clone();
    assert_eq!(fields.len(), 21);
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, schema)| {
            let value = if schema.get("type") == Some(&json!("integer")) {
                let bound = |name: &str| {
                    schema
                        .get(name)
                        .and_then(Value::as_f64)
                        .map(|bound| format!("{bound}").parse::<i64>().unwrap())
                        .unwrap()
                };
                let (least, most) = (bound("minimum"), bound("maximum"));
                prop_oneof![Just(least), Just(most), least..=most].prop_map(Value::from).boxed()
            } else {
                short_duration().boxed()
            };
            prop::option::of(value).prop_map(move |value| (name.clone(), value.unwrap_or(Value::Null)))
        })
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

fn measurement() -> impl Strategy<Value = Value> {
    let name = "[^\\x00-\\x1f]{1,128}";
    (prop::option::of(name), any::<Option<bool>>(), any::<Option<bool>>())
        .prop_map(|(name, job, keep)| json!({"name": name, "jobAsMeasurement": job, "keepMetricName": keep}))
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::sample::select(values).prop_map(Value::from)
}

fn sidecar() -> impl Strategy<Value = Value> {
    let optional = |name: &'static str, value: BoxedStrategy<Value>| {
        prop::option::of(value).prop_map(move |value| (name.to_owned(), value.unwrap_or(Value::Null)))
    };
    let auth = any::<bool>().prop_map(|reads| json!({"secretName": "push-tokens", "reads": reads}));
    let log = (one_of(&["debug", "info", "warn", "error"]), one_of(&["logfmt", "json"]))
        .prop_map(|(level, format)| json!({"level": level, "format": format}));
    let fields = vec![
        optional("holdOpen", short_duration().boxed()),
        optional("storage", one_of(&["Disk", "Memory", "None"]).boxed()),
        optional("limits", limits().boxed()),
        optional("auth", auth.boxed()),
        optional("routePrefix", route_prefix().boxed()),
        optional("timestamps", one_of(&["Reject", "Strip", "Honor"]).boxed()),
        optional("measurement", measurement().boxed()),
        optional("identityLabels", one_of(&["Rename", "Refuse", "Allow"]).boxed()),
        optional("log", log.boxed()),
    ];
    (fields, prop::collection::vec(address(), 0..8)).prop_map(|(fields, addresses)| {
        let addresses = ("listenAddresses".to_owned(), json!(addresses));
        Value::Object(fields.into_iter().chain([addresses]).collect::<Map<_, _>>())
    })
}

proptest! {
    #[test]
    fn every_accepted_sidecar_is_a_command_line_that_the_sidecar_starts_with(
        fields in sidecar(),
        interval in any_duration(),
        deadline in prop::option::of(1_i64..=i64::from(i32::MAX)),
    ) {
        let sidecar: Sidecar = serde_json::from_value(fields).unwrap();
        let scrape = Scrape { interval: interval.parse::<Duration>().unwrap(), ..Scrape::default() };
        let found = sidecar::check_arguments(command_line(&sidecar, &scrape, deadline));
        prop_assert!(found.is_ok(), "{:?}", found);
    }
}

/// Values of annotations, most of them of one that knows them.
fn annotation() -> impl Strategy<Value = (&'static str, String)> {
    let addresses = prop::collection::vec(address(), 0..4).prop_map(|addresses| addresses.join(", "));
    let route_prefix = route_prefix().prop_map(|path| path.as_str().unwrap_or_default().to_owned());
    let word = prop::sample::select(vec!["true", "honor", "Strip", "refuse", "Allow", "warn", "debug", "/", "$(HOME)"]);
    let value = prop_oneof![
        any_duration(),
        addresses,
        route_prefix,
        (0_u32..70_000).prop_map(|number| number.to_string()),
        word.prop_map(str::to_owned),
        ".{0,20}",
    ];
    (prop::sample::select(ANNOTATIONS.map(|annotation| annotation.name).to_vec()), value)
}

proptest! {
    #[test]
    fn every_annotation_that_is_known_is_a_command_line_that_the_sidecar_starts_with(
        annotations in prop::collection::vec(annotation(), 1..6),
        fields in sidecar(),
    ) {
        let annotations: Map<_, _> =
            annotations.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        let raw = json!({"metadata": {"annotations": annotations}});
        let group: Sidecar = serde_json::from_value(fields).unwrap();
        // A value that is not known skips the pod.
        if let Ok(wanted) = Wanted::of(RawPod::new(&raw), &group) {
            let found = sidecar::check_arguments(command_line(&wanted.sidecar, &Scrape::default(), None));
            prop_assert!(found.is_ok(), "{:?}", found);
        }
    }
}

/// Otherwise the properties above would hold for nothing.
#[test]
fn the_parser_refuses_what_no_sidecar_starts_with() {
    let check = |flag: &str, sentence: &str| {
        let found = sidecar::check_arguments(["sidegate", "sidecar", flag].map(OsString::from)).unwrap_err();
        assert!(found.contains(sentence), "{flag}: {found}");
    };
    check("--push.timestamps=Honor", "--push.timestamps: expected reject, strip or honor, found \"Honor\"");
    check("--web.route-prefix=/a/../b", "--web.route-prefix: expected a path of letters");
    check("--hold-open.deadline=99999999999s", "--hold-open.deadline: expected a duration of at most 292 years");
    check("--no-such-flag=1", "--no-such-flag");
}
