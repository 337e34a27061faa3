//! The sidecar container of a group. Pure.
//!
//! It meets the restricted Pod Security standard by itself, has no probe (a native sidecar's probes gate the whole pod)
//! and no CPU limit, except in a pod whose other containers all have one: there its class `Guaranteed` would be lost, or
//! a quota of CPU limits would refuse the pod. What it asks for is not yet what the namespace's bounds allow.
//!
//! *Never:* the pod beyond [`Circumstances`], patches.

use std::collections::BTreeMap;

use crds::{names::SIDECAR_CONTAINER, sidecar::Sidecar};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceRequirements,
        SeccompProfile, SecurityContext,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use protocol::{
    endpoints::{PUSH_PORT, SCRAPE_PORT, SCRAPE_PORT_NAME},
    flags,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    arguments::arguments,
    bad_value::BadValue,
    pod::RawPod,
    resources,
    volumes::{mounts, volumes},
};
use crate::config::{SIDECAR_USER, SidecarImage};

/// As much of a hash as it takes to tell some thousand renderings apart.
const HASH_BYTES: usize = 8;

/// Where the kubelet reads a container's last words.
pub const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";

/// Of the pod, what its sidecar depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Where the containers of the pod push.
    pub push_port: u16,
    /// How long the pod may run, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// Whether every other container asks for exactly what it may use.
    pub guaranteed: bool,
    /// Whether every other container has a CPU limit.
    pub cpu_limited: bool,
    /// Whether resources are given for the pod as a whole.
    pub pod_level_resources: bool,
    /// Whether its containers run as root unless they say otherwise.
    pub root: bool,
}

/// The container, with the resources that the sidecar is left with in the end.
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
        resources: sidecar.resources.clone(),
        security_context: Some(security_context(image, pod)),
        termination_message_path: Some(TERMINATION_MESSAGE_PATH.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts(&volumes(sidecar))),
        ..Container::default()
    }
}

/// A short name for what was rendered, the same for the same.
#[must_use]
pub fn hash(rendered: &Value) -> String {
    Sha256::digest(rendered.to_string()).iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
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

/// Requests and limits as such a pod wants them, and over them as the group does.
///
/// # Errors
/// When the group has a request that is greater than its limit.
pub fn resources(sidecar: &Sidecar, pod: Circumstances) -> Result<ResourceRequirements, BadValue> {
    let (requests, limits) = if pod.guaranteed {
        let same = [("cpu", "100m"), ("memory", "64Mi")];
        (quantities(&same), quantities(&same))
    } else {
        let memory = ("memory", "64Mi");
        let limits = if pod.cpu_limited { quantities(&[("cpu", "100m"), memory]) } else { quantities(&[memory]) };
        (quantities(&[("cpu", "10m"), ("memory", "16Mi")]), limits)
    };
    let usual = ResourceRequirements { requests: Some(requests), limits: Some(limits), claims: None };
    match &sidecar.resources {
        Some(own) => resources::of_group(own, usual),
        None => Ok(usual),
    }
}

fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    pairs.iter().map(|(name, quantity)| ((*name).to_owned(), Quantity((*quantity).to_owned()))).collect()
}

/// A platform that gives each namespace its users does so where none is named. It leaves root to a pod that names it, and
/// there the sidecar would not start.
fn security_context(image: &SidecarImage, pod: Circumstances) -> SecurityContext {
    let user = image.run_as_user.or_else(|| pod.root.then_some(SIDECAR_USER));
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        run_as_group: user,
        run_as_non_root: Some(true),
        run_as_user: user,
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..SecurityContext::default()
    }
}

// === impl Circumstances ===

impl Circumstances {
    /// Those of a pod whose containers push to some port.
    #[must_use]
    pub fn of(pod: RawPod<'_>, push_port: u16) -> Self {
        Self {
            push_port,
            active_deadline_seconds: pod.active_deadline_seconds(),
            guaranteed: pod.is_guaranteed(),
            cpu_limited: pod.is_cpu_limited(),
            pod_level_resources: pod.has_pod_level_resources(),
            root: pod.at("/spec/securityContext/runAsUser").and_then(Value::as_i64) == Some(0),
        }
    }
}

impl Default for Circumstances {
    fn default() -> Self {
        Self {
            push_port: PUSH_PORT,
            active_deadline_seconds: None,
            guaranteed: false,
            cpu_limited: false,
            pod_level_resources: false,
            root: false,
        }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::json;

    use super::*;

    fn sidecar(fields: serde_json::Value) -> Sidecar {
        serde_json::from_value(fields).unwrap()
    }

    fn image() -> SidecarImage {
        SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() }
    }

    #[test]
    fn the_deadline_of_a_pod_is_passed_on_and_does_not_shorten_holding_open() {
        let pod = Circumstances { active_deadline_seconds: Some(20), ..Circumstances::default() };
        let args = build(&image(), &sidecar(json!({})), 30, pod).args.unwrap();
        assert_eq!(args[1..3], ["--hold-open.deadline=30s", "--hold-open.pod-deadline=20s"]);
        let args = build(&image(), &sidecar(json!({})), 30, Circumstances::default()).args.unwrap();
        assert!(!args.iter().any(|arg| arg.starts_with(flags::POD_DEADLINE)), "{args:?}");
    }

    /// What a sidecar wants, if its group says so much.
    #[track_caller]
    fn check_resources(fields: serde_json::Value, pod: Circumstances, expected: serde_json::Value) {
        let found = resources(&sidecar(json!({"resources": fields})), pod).unwrap();
        assert_eq!(serde_json::to_value(found).unwrap(), expected, "{fields}");
    }

    #[test]
    fn each_quantity_is_the_groups_else_the_usual_one() {
        let check = |fields, expected| check_resources(fields, Circumstances::default(), expected);
        let usual = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}});
        check(json!(null), usual.clone());
        check(json!({}), usual);
        check(
            json!({"limits": {"memory": "128Mi"}}),
            json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}}),
        );
        check(
            json!({"requests": {"cpu": "1", "memory": "96Mi"}}),
            json!({"requests": {"cpu": "1", "memory": "96Mi"}, "limits": {"memory": "96Mi"}}),
        );
        check(
            json!({"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "2Gi"}}),
            json!({
                "requests": {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "1Gi"},
                "limits": {"memory": "64Mi", "ephemeral-storage": "2Gi"},
            }),
        );
    }

    #[test]
    fn a_guaranteed_pod_stays_one_whatever_the_group_says() {
        let check = |fields, cpu: &str, memory: &str| {
            let same = json!({"cpu": cpu, "memory": memory});
            let pod = Circumstances { guaranteed: true, ..Circumstances::default() };
            check_resources(fields, pod, json!({"requests": same, "limits": same}));
        };
        check(json!(null), "100m", "64Mi");
        check(json!({"limits": {"memory": "128Mi"}}), "100m", "128Mi");
        check(json!({"requests": {"cpu": "1"}}), "1", "64Mi");
        check(json!({"requests": {"cpu": "20m"}, "limits": {"memory": "32Mi"}}), "20m", "32Mi");
    }

    #[test]
    fn a_group_whose_request_is_greater_than_its_limit_makes_no_sidecar() {
        let own = json!({"resources": {"requests": {"memory": "65Mi"}, "limits": {"memory": "64Mi"}}});
        let bad = resources(&sidecar(own), Circumstances::default()).unwrap_err();
        assert_eq!(
            bad.sentence(""),
            "PushGroup's resources.requests.memory: expected at most the limit, 64Mi, found \"65Mi\""
        );
    }

    #[test]
    fn the_cpu_is_limited_where_every_other_container_is() {
        let pod = Circumstances { cpu_limited: true, ..Circumstances::default() };
        let check = |fields, expected| check_resources(fields, pod, expected);
        check(
            json!(null),
            json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}),
        );
        check(
            json!({"requests": {"cpu": "200m"}}),
            json!({"requests": {"cpu": "200m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}),
        );
    }

    #[test]
    fn the_user_is_the_sidecars_own_unless_the_platform_assigns_one() {
        let check = |own: Option<i64>, root: bool, expected: Option<i64>| {
            let image = SidecarImage { run_as_user: own, ..image() };
            let pod = Circumstances { root, ..Circumstances::default() };
            let context = build(&image, &sidecar(json!({})), 30, pod).security_context.unwrap();
            assert_eq!((context.run_as_user, context.run_as_group), (expected, expected));
            assert_eq!(context.run_as_non_root, Some(true));
        };
        check(Some(1000), false, Some(1000));
        check(Some(1000), true, Some(1000));
        check(None, false, None);
        // It would inherit root, and the kubelet would never start it.
        check(None, true, Some(SIDECAR_USER));
    }

    #[test]
    fn what_a_sidecar_depends_on_is_read_from_the_pod() {
        let raw = json!({"spec": {
            "securityContext": {"runAsUser": 0},
            "activeDeadlineSeconds": 20,
            "resources": {"limits": {"cpu": "1"}},
            "containers": [{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}],
        }});
        let expected = Circumstances {
            push_port: 19092,
            active_deadline_seconds: Some(20),
            guaranteed: true,
            cpu_limited: true,
            pod_level_resources: true,
            root: true,
        };
        assert_eq!(Circumstances::of(RawPod::new(&raw), 19092), expected);
        assert_eq!(Circumstances::of(RawPod::new(&json!({})), 9091), Circumstances::default());
    }
}
