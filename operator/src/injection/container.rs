//! The sidecar container of a group, and how long it may hold a pod open. Pure.
//!
//! It meets the restricted Pod Security standard by itself, has no probe (a native sidecar's probes gate the whole pod)
//! and no CPU limit, except in a pod whose other containers all have one: there its class `Guaranteed` would be lost, or
//! a quota of CPU limits would refuse the pod.
//!
//! *Never:* the pod beyond [`Circumstances`], patches.

use std::{collections::BTreeMap, net::SocketAddr};

use crds::{names::SIDECAR_CONTAINER, scrape::Scrape, sidecar::Sidecar};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector,
        ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use protocol::{
    endpoints::{PUSH_PORT, SCRAPE_PORT, SCRAPE_PORT_NAME},
    flags,
    trust::CONFIG_MAP_NAME,
};

use crate::config::SidecarImage;

/// The user the sidecar runs as: no name in any image, and not the pod's.
const USER: i64 = 65532;

/// Where `sidegate-trust` is mounted.
const TRUST_DIR: &str = "/etc/sidegate/trust";

/// Where the kubelet reads a container's last words.
const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";

/// What a scrape may need beyond its interval: discovery backs off up to 7.5 s, a reload comes up to 5 s later.
const BEYOND_THE_INTERVAL: u64 = 15;

/// Seconds to spare before the end of the grace period.
const MARGIN: u64 = 5;

/// Of the pod, what its sidecar depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// How long the pod may run, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// Whether every other container asks for exactly what it may use.
    pub guaranteed: bool,
    /// Whether every other container has a CPU limit.
    pub cpu_limited: bool,
    /// Whether resources are given for the pod as a whole.
    pub pod_level_resources: bool,
}

/// The addresses a group wants besides the usual ones, those that make sense apart from those that do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenAddresses<'a> {
    /// Addresses, with their ports.
    pub good: Vec<(&'a str, u16)>,
    /// What is no address.
    pub bad: Vec<&'a str>,
}

/// Reads the addresses of a group; the schema lets pass what only looks like one.
#[must_use]
pub fn listen_addresses(sidecar: &Sidecar) -> ListenAddresses<'_> {
    let mut addresses = ListenAddresses::default();
    for address in &sidecar.listen_addresses {
        match listen_port(address) {
            Some(port) => addresses.good.push((address, port)),
            None => addresses.bad.push(address),
        }
    }
    addresses
}

/// How many seconds the sidecar may hold a pod open; 0 is not at all. A deadline of the pod counts from its start and not
/// from its end, so it is for the sidecar to observe.
#[must_use]
pub fn hold_open_seconds(sidecar: &Sidecar, scrape: &Scrape) -> u64 {
    let whole = |length: std::time::Duration| length.as_secs() + u64::from(0 < length.subsec_nanos());
    match &sidecar.hold_open {
        Some(hold_open) => whole(hold_open.length()),
        None => whole(scrape.interval.length()).saturating_add(BEYOND_THE_INTERVAL),
    }
}

/// The grace period in seconds that lets the sidecar hold a pod open for so long.
#[must_use]
pub fn grace_period_for(hold_open_seconds: u64) -> i64 {
    i64::try_from(hold_open_seconds.saturating_add(MARGIN)).unwrap_or(i64::MAX)
}

/// The container.
#[must_use]
pub fn build(image: &SidecarImage, sidecar: &Sidecar, hold_open_seconds: u64, pod: Circumstances) -> Container {
    Container {
        name: SIDECAR_CONTAINER.to_owned(),
        image: Some(image.image.clone()),
        image_pull_policy: Some(image.pull_policy.clone()),
        restart_policy: Some("Always".to_owned()),
        args: Some(arguments(sidecar, hold_open_seconds, pod)),
        env: Some(vec![
            from_the_pod(flags::POD_NAME, "metadata.name"),
            from_the_pod(flags::POD_NAMESPACE, "metadata.namespace"),
            from_the_pod(flags::POD_UID, "metadata.uid"),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some(SCRAPE_PORT_NAME.to_owned()),
            container_port: i32::from(SCRAPE_PORT),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: resources(sidecar, pod),
        security_context: Some(security_context()),
        termination_message_path: Some(TERMINATION_MESSAGE_PATH.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(vec![VolumeMount {
            name: CONFIG_MAP_NAME.to_owned(),
            mount_path: TRUST_DIR.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// The volume with `sidegate-trust`. Optional: a pod starts whether or not the operator has been there.
#[must_use]
pub fn trust_volume() -> Volume {
    Volume {
        name: CONFIG_MAP_NAME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: CONFIG_MAP_NAME.to_owned(),
            optional: Some(true),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// What the pod's other containers are told.
#[must_use]
pub fn environment(sidecar: &Sidecar) -> [(&'static str, String); 2] {
    let address = format!("127.0.0.1:{PUSH_PORT}");
    let prefix = sidecar.route_prefix.as_deref().unwrap_or_default();
    [("PUSHGATEWAY_URL", format!("http://{address}{prefix}")), ("PUSHGATEWAY_ADDRESS", address)]
}

fn listen_port(address: &str) -> Option<u16> {
    match address.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
        Some(_) => None,
        None => address.parse().ok().map(|address: SocketAddr| address.port()),
    }
}

fn arguments(sidecar: &Sidecar, hold_open_seconds: u64, pod: Circumstances) -> Vec<String> {
    let mut arguments = vec![flags::SIDECAR_COMMAND.to_owned()];
    let mut set = |flag: &str, value: &str| arguments.push(format!("{flag}={value}"));
    set(flags::HOLD_OPEN_DEADLINE, &format!("{hold_open_seconds}s"));
    if let Some(deadline) = pod.active_deadline_seconds {
        set(flags::POD_DEADLINE, &format!("{deadline}s"));
    }
    set(flags::TERMINATION_MESSAGE_FILE, TERMINATION_MESSAGE_PATH);
    set(flags::TRUST_DIR, TRUST_DIR);
    let more = listen_addresses(sidecar).good;
    if !more.is_empty() {
        // Giving any address replaces the defaults, so they are given too.
        set(flags::PUSH_LISTEN_ADDRESS, &format!("127.0.0.1:{PUSH_PORT}"));
        set(flags::PUSH_LISTEN_ADDRESS, &format!("[::1]:{PUSH_PORT}"));
        for (address, _) in more {
            set(flags::PUSH_LISTEN_ADDRESS, address);
        }
    }
    if let Some(prefix) = &sidecar.route_prefix {
        set(flags::ROUTE_PREFIX, prefix);
    }
    if let Some(level) = sidecar.log.as_ref().and_then(|log| log.level) {
        set(flags::LOG_LEVEL, level.as_str());
    }
    if let Some(format) = sidecar.log.as_ref().and_then(|log| log.format) {
        set(flags::LOG_FORMAT, format.as_str());
    }
    arguments
}

fn from_the_pod(flag: &str, field: &str) -> EnvVar {
    EnvVar {
        name: flags::environment_variable(flag),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: field.to_owned(), ..ObjectFieldSelector::default() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn resources(sidecar: &Sidecar, pod: Circumstances) -> Option<ResourceRequirements> {
    // What the pod is given as a whole is for its containers to share; more of ours might not fit in.
    if pod.pod_level_resources {
        return None;
    }
    if sidecar.resources.is_some() {
        return sidecar.resources.clone();
    }
    let (requests, limits) = if pod.guaranteed {
        let same = [("cpu", "100m"), ("memory", "64Mi")];
        (quantities(&same), quantities(&same))
    } else {
        let memory = ("memory", "64Mi");
        let limits = if pod.cpu_limited { quantities(&[("cpu", "100m"), memory]) } else { quantities(&[memory]) };
        (quantities(&[("cpu", "10m"), ("memory", "16Mi")]), limits)
    };
    Some(ResourceRequirements { requests: Some(requests), limits: Some(limits), ..ResourceRequirements::default() })
}

fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    pairs.iter().map(|(name, quantity)| ((*name).to_owned(), Quantity((*quantity).to_owned()))).collect()
}

fn security_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        run_as_group: Some(USER),
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..SecurityContext::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sidecar(fields: serde_json::Value) -> Sidecar {
        serde_json::from_value(fields).unwrap()
    }

    fn image() -> SidecarImage {
        SidecarImage { image: "sidegate:1".to_owned(), pull_policy: "IfNotPresent".to_owned() }
    }

    #[test]
    fn the_pod_is_held_open_for_an_interval_and_the_slowness_of_discovery() {
        let check = |fields: serde_json::Value, expected: u64| {
            assert_eq!(hold_open_seconds(&sidecar(fields.clone()), &Scrape::default()), expected, "{fields}");
        };
        check(json!({}), 30);
        check(json!({"holdOpen": "90s"}), 90);
        check(json!({"holdOpen": "1s500ms"}), 2);
        check(json!({"holdOpen": "0s"}), 0);
    }

    #[test]
    fn the_deadline_of_a_pod_is_passed_on_and_does_not_shorten_holding_open() {
        let pod = Circumstances { active_deadline_seconds: Some(20), ..Circumstances::default() };
        let args = build(&image(), &sidecar(json!({})), 30, pod).args.unwrap();
        assert_eq!(args[1..3], ["--hold-open.deadline=30s", "--hold-open.pod-deadline=20s"]);
        let args = build(&image(), &sidecar(json!({})), 30, Circumstances::default()).args.unwrap();
        assert!(!args.iter().any(|arg| arg.starts_with(flags::POD_DEADLINE)), "{args:?}");
    }

    #[test]
    fn what_is_no_address_is_not_passed_on() {
        let fields =
            json!({"listenAddresses": [":4318", "127.0.0.1:99999", "999.0.0.1:80", ":65536", ":", "[::1]:80"]});
        let sidecar = sidecar(fields);
        let expected = ListenAddresses {
            good: vec![(":4318", 4318), ("[::1]:80", 80)],
            bad: vec!["127.0.0.1:99999", "999.0.0.1:80", ":65536", ":"],
        };
        assert_eq!(listen_addresses(&sidecar), expected);
        let passed = arguments(&sidecar, 30, Circumstances::default());
        let passed = passed.iter().filter(|arg| arg.starts_with(flags::PUSH_LISTEN_ADDRESS)).count();
        assert_eq!(passed, 4, "two of the group, two of ours");
    }

    #[test]
    fn arguments_are_flags_the_sidecar_knows() {
        let fields = json!({
            "listenAddresses": ["127.0.0.1:4318"],
            "routePrefix": "/v1/pushgateway",
            "log": {"level": "debug", "format": "json"},
        });
        let pod = Circumstances { active_deadline_seconds: Some(600), ..Circumstances::default() };
        let arguments = arguments(&sidecar(fields), 30, pod);
        assert_eq!(
            arguments,
            [
                "sidecar",
                "--hold-open.deadline=30s",
                "--hold-open.pod-deadline=600s",
                "--hold-open.termination-message-file=/dev/termination-log",
                "--trust.dir=/etc/sidegate/trust",
                "--push.listen-address=127.0.0.1:9091",
                "--push.listen-address=[::1]:9091",
                "--push.listen-address=127.0.0.1:4318",
                "--web.route-prefix=/v1/pushgateway",
                "--log.level=debug",
                "--log.format=json",
            ]
        );
        for flag in arguments.iter().skip(1) {
            let name = flag.split('=').next().unwrap();
            assert!(flags::ALL.contains(&name), "{name}");
        }
    }

    #[test]
    fn resources_follow_the_group_then_the_pod() {
        let check = |fields: serde_json::Value, pod: Circumstances, expected: serde_json::Value| {
            let container = build(&image(), &sidecar(fields), 30, pod);
            assert_eq!(serde_json::to_value(container.resources).unwrap(), expected);
        };
        let usual = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}});
        check(json!({}), Circumstances::default(), usual);
        let own = json!({"requests": {"cpu": "1"}});
        let guaranteed = Circumstances { guaranteed: true, ..Circumstances::default() };
        check(json!({"resources": own}), guaranteed, own.clone());
        let same = json!({"cpu": "100m", "memory": "64Mi"});
        check(json!({}), guaranteed, json!({"requests": same, "limits": same}));
    }

    #[test]
    fn a_pod_with_resources_of_its_own_gets_no_more_whatever_the_group_says() {
        let pod = Circumstances { guaranteed: true, pod_level_resources: true, ..Circumstances::default() };
        for fields in [json!({}), json!({"resources": {"requests": {"cpu": "1"}}})] {
            assert_eq!(build(&image(), &sidecar(fields), 30, pod).resources, None);
        }
    }

    #[test]
    fn the_cpu_is_limited_where_every_other_container_is() {
        let pod = Circumstances { cpu_limited: true, ..Circumstances::default() };
        let resources = build(&image(), &sidecar(json!({})), 30, pod).resources;
        assert_eq!(
            serde_json::to_value(resources).unwrap(),
            json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}})
        );
    }

    #[test]
    fn the_route_prefix_is_part_of_the_url() {
        let [url, address] = environment(&sidecar(json!({"routePrefix": "/v1/pushgateway"})));
        assert_eq!(url, ("PUSHGATEWAY_URL", "http://127.0.0.1:9091/v1/pushgateway".to_owned()));
        assert_eq!(address, ("PUSHGATEWAY_ADDRESS", "127.0.0.1:9091".to_owned()));
    }
}
