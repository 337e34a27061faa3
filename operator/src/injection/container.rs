//! The sidecar container of a group, and how long it may hold a pod open. Pure.
//!
//! It meets the restricted Pod Security standard by itself, has no probe (a native sidecar's probes gate the whole pod)
//! and no CPU limit, except in a pod whose class `Guaranteed` would be lost without one.
//!
//! *Never:* the pod beyond [`Circumstances`], patches.

use std::collections::BTreeMap;

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

/// Seconds to spare before a deadline that kills the pod.
const MARGIN: u64 = 5;

/// Of the pod, what its sidecar depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// How long the pod may run, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// Whether every other container asks for exactly what it may use.
    pub guaranteed: bool,
    /// Whether resources are given for the pod as a whole.
    pub pod_level_resources: bool,
}

/// How many seconds the sidecar may hold a pod open; 0 is not at all.
#[must_use]
pub fn hold_open_seconds(sidecar: &Sidecar, scrape: &Scrape, active_deadline_seconds: Option<i64>) -> u64 {
    let whole = |length: std::time::Duration| length.as_secs() + u64::from(0 < length.subsec_nanos());
    let wanted = match &sidecar.hold_open {
        Some(hold_open) => whole(hold_open.length()),
        None => whole(scrape.interval.length()).saturating_add(BEYOND_THE_INTERVAL),
    };
    match active_deadline_seconds {
        Some(deadline) => wanted.min(u64::try_from(deadline).unwrap_or_default().saturating_sub(MARGIN)),
        None => wanted,
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
        args: Some(arguments(sidecar, hold_open_seconds)),
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

fn arguments(sidecar: &Sidecar, hold_open_seconds: u64) -> Vec<String> {
    let mut arguments = vec![flags::SIDECAR_COMMAND.to_owned()];
    let mut set = |flag: &str, value: &str| arguments.push(format!("{flag}={value}"));
    set(flags::HOLD_OPEN_DEADLINE, &format!("{hold_open_seconds}s"));
    set(flags::TERMINATION_MESSAGE_FILE, TERMINATION_MESSAGE_PATH);
    set(flags::TRUST_DIR, TRUST_DIR);
    if !sidecar.listen_addresses.is_empty() {
        // Giving any address replaces the defaults, so they are given too.
        set(flags::PUSH_LISTEN_ADDRESS, &format!("127.0.0.1:{PUSH_PORT}"));
        set(flags::PUSH_LISTEN_ADDRESS, &format!("[::1]:{PUSH_PORT}"));
        for address in &sidecar.listen_addresses {
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
    if sidecar.resources.is_some() {
        return sidecar.resources.clone();
    }
    if pod.pod_level_resources {
        return None;
    }
    let (requests, limits) = if pod.guaranteed {
        let same = [("cpu", "100m"), ("memory", "64Mi")];
        (quantities(&same), quantities(&same))
    } else {
        (quantities(&[("cpu", "10m"), ("memory", "16Mi")]), quantities(&[("memory", "64Mi")]))
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
        let check = |fields: serde_json::Value, deadline: Option<i64>, expected: u64| {
            assert_eq!(hold_open_seconds(&sidecar(fields.clone()), &Scrape::default(), deadline), expected, "{fields}");
        };
        check(json!({}), None, 30);
        check(json!({"holdOpen": "90s"}), None, 90);
        check(json!({"holdOpen": "1s500ms"}), None, 2);
        check(json!({"holdOpen": "0s"}), None, 0);
        check(json!({}), Some(20), 15);
        check(json!({}), Some(3), 0);
        check(json!({}), Some(600), 30);
    }

    #[test]
    fn arguments_are_flags_the_sidecar_knows() {
        let fields = json!({
            "listenAddresses": ["127.0.0.1:4318"],
            "routePrefix": "/v1/pushgateway",
            "log": {"level": "debug", "format": "json"},
        });
        let arguments = arguments(&sidecar(fields), 30);
        assert_eq!(
            arguments,
            [
                "sidecar",
                "--hold-open.deadline=30s",
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
        check(json!({}), Circumstances { pod_level_resources: true, ..guaranteed }, json!(null));
    }

    #[test]
    fn the_route_prefix_is_part_of_the_url() {
        let [url, address] = environment(&sidecar(json!({"routePrefix": "/v1/pushgateway"})));
        assert_eq!(url, ("PUSHGATEWAY_URL", "http://127.0.0.1:9091/v1/pushgateway".to_owned()));
        assert_eq!(address, ("PUSHGATEWAY_ADDRESS", "127.0.0.1:9091".to_owned()));
    }
}
