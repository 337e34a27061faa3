//! Whom there is to ask, and at which address: the sidecars of a `PushGroup`'s pods, or the gateway it names. Pure: pods
//! and groups in, targets out.
//!
//! *Never:* the port of sidecars, sending anything, what a page holds.

use std::{fmt, net::IpAddr, sync::Arc};

use crds::{
    PushGroup,
    names::{PUSH_GROUP_LABEL, SIDECAR_CONTAINER},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// Whom a visit goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectionTarget {
    /// A sidecar.
    Sidecar(Target),
    /// A Pushgateway that exists already.
    Gateway(GatewayTarget),
}

/// A Pushgateway that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayTarget {
    /// What failures in a row are counted by: another one for each generation of the `PushGroup`, so that a spec that
    /// was put right is tried at once.
    pub id: String,
    /// The `PushGroup`'s name, by which its objects are called.
    pub group: String,
    /// The namespace of the `PushGroup` and of the Secret.
    pub namespace: String,
    /// Where it answers, as the user wrote it or as its Service is called.
    pub url: String,
    /// The Secret with what it wants to see.
    pub secret: Option<String>,
}

/// A running sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pod's name, for the log.
    pub pod: String,
    /// The pod's UID, which signatures are bound to.
    pub uid: String,
    /// The pod's address.
    pub address: IpAddr,
    /// How often its container was restarted: with each, what it holds may be another.
    pub restarts: i32,
}

/// Namespace and name of a `PushGroup`.
pub type GroupName = (String, String);

/// The `PushGroup` a pod belongs to.
#[must_use]
pub fn group_of(pod: &Pod) -> Option<GroupName> {
    Some((pod.namespace()?, pod.labels().get(PUSH_GROUP_LABEL)?.clone()))
}

/// Whether a pod belongs to a `PushGroup`.
#[must_use]
pub fn is_in(pod: &Pod, group: &PushGroup) -> bool {
    let named = pod.labels().get(PUSH_GROUP_LABEL);
    named.is_some() && named == group.metadata.name.as_ref() && pod.metadata.namespace == group.metadata.namespace
}

/// The sidecar of a pod, if it runs and can be reached.
#[must_use]
pub fn target(pod: &Pod) -> Option<Target> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let sidecar = status.init_container_statuses.iter().flatten().find(|status| status.name == SIDECAR_CONTAINER)?;
    sidecar.state.as_ref()?.running.as_ref()?;
    let address: IpAddr = status.pod_ip.as_deref()?.parse().ok()?;
    Some(Target { pod: pod.name_any(), uid: pod.uid()?, address, restarts: sidecar.restart_count })
}

/// The gateway a `PushGroup` names, unless it has sidecars.
#[must_use]
pub fn gateway(group: &PushGroup) -> Option<GatewayTarget> {
    let gateway = group.spec.gateway.as_ref().filter(|_| group.spec.selector.is_none())?;
    let namespace = group.namespace()?;
    let url = match (&gateway.url, &gateway.service) {
        (Some(url), _) => url.clone(),
        (None, Some(service)) => format!("http://{}.{namespace}.svc:{}", service.name, service.port),
        (None, None) => return None,
    };
    Some(GatewayTarget {
        id: format!("gateway {} {}", group.uid()?, group.metadata.generation.unwrap_or_default()),
        group: group.name_any(),
        secret: gateway.auth.as_ref().map(|auth| auth.secret_name.clone()),
        namespace,
        url,
    })
}

/// The targets of a `PushGroup`: its gateway, or those sidecars of its pods that run.
#[must_use]
pub fn of_group(group: &PushGroup, pods: &[Arc<Pod>]) -> Vec<CollectionTarget> {
    if group.spec.selector.is_none() {
        return gateway(group).map(CollectionTarget::Gateway).into_iter().collect();
    }
    pods.iter().filter_map(|pod| target(pod)).map(CollectionTarget::Sidecar).collect()
}

// === impl CollectionTarget ===

impl CollectionTarget {
    /// What failures in a row are counted by.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Sidecar(target) => &target.uid,
            Self::Gateway(target) => &target.id,
        }
    }
}

/// For the log.
impl fmt::Display for CollectionTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sidecar(target) => write!(f, "sidecar of {} at {}", target.pod, target.address),
            Self::Gateway(target) => write!(f, "gateway at {}", target.url),
        }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        let labels = json!({"sidegate.dev/pushgroup": "nightly"});
        let metadata = json!({"namespace": "data", "name": "etl-1", "uid": "uid-1", "labels": labels});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    fn running(phase: &str, ip: &str) -> Value {
        json!({"phase": phase, "podIP": ip, "initContainerStatuses": [
            {"name": "sidegate", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": ""},
        ]})
    }

    #[track_caller]
    fn check(status: Value, expected: Option<&str>) {
        let found = target(&pod(status.clone())).map(|target| target.address.to_string());
        assert_eq!(found.as_deref(), expected, "{status}");
    }

    #[test]
    fn a_running_sidecar_is_asked_at_the_pods_address() {
        check(running("Running", "10.0.0.7"), Some("10.0.0.7"));
        check(running("Pending", "10.0.0.7"), Some("10.0.0.7"));
        check(running("Running", "fd00::7"), Some("fd00::7"));
    }

    #[test]
    fn other_pods_are_not_asked() {
        check(json!({}), None);
        check(running("Succeeded", "10.0.0.7"), None);
        check(running("Failed", "10.0.0.7"), None);
        let mut waiting = running("Pending", "10.0.0.7");
        waiting["initContainerStatuses"][0]["state"] = json!({"waiting": {"reason": "PodInitializing"}});
        check(waiting, None);
        let mut nowhere = running("Running", "10.0.0.7");
        nowhere["podIP"] = json!(null);
        check(nowhere, None);
    }

    fn push_group(spec: Value) -> PushGroup {
        let metadata = json!({"namespace": "data", "name": "nightly", "uid": "uid-7", "generation": 3});
        let group =
            json!({"apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup", "metadata": metadata, "spec": spec});
        serde_json::from_value(group).unwrap()
    }

    #[test]
    fn a_gateway_is_asked_by_its_services_name_or_its_url() {
        let url = |spec: Value| gateway(&push_group(spec)).map(|target| target.url);
        let service = json!({"gateway": {"service": {"name": "pg", "port": 80}}});
        assert_eq!(url(service).as_deref(), Some("http://pg.data.svc:80"));
        assert_eq!(url(json!({"gateway": {"url": "https://pg/a"}})).as_deref(), Some("https://pg/a"));
        assert_eq!(url(json!({"selector": {}})), None);
        assert_eq!(url(json!({"selector": {}, "gateway": {"url": "http://pg"}})), None, "sidecars go before");
    }

    #[test]
    fn a_group_has_sidecars_or_a_gateway() {
        let pods =
            [running("Running", "10.0.0.7"), running("Succeeded", "10.0.0.8")].map(|status| Arc::new(pod(status)));
        let of = |spec: Value| of_group(&push_group(spec), &pods);
        assert!(matches!(of(json!({"selector": {}}))[..], [CollectionTarget::Sidecar(_)]));
        let targets = of(json!({"gateway": {"url": "http://pg", "auth": {"secretName": "s"}}}));
        let [CollectionTarget::Gateway(target)] = &targets[..] else { panic!("expected a gateway, found {targets:?}") };
        assert_eq!((target.secret.as_deref(), target.id.as_str()), (Some("s"), "gateway uid-7 3"));
        assert_eq!(targets[0].to_string(), "gateway at http://pg");
    }

    #[test]
    fn a_pod_is_in_the_group_that_its_label_names_in_its_namespace() {
        let group = |namespace: &str, name: &str| -> PushGroup {
            let metadata = json!({"namespace": namespace, "name": name});
            serde_json::from_value(json!({
                "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup", "metadata": metadata, "spec": {"selector": {}},
            }))
            .unwrap()
        };
        let pod = pod(running("Running", "10.0.0.7"));
        let check = |namespace, name| is_in(&pod, &group(namespace, name));
        assert_eq!([check("data", "nightly"), check("web", "nightly"), check("data", "daily")], [true, false, false]);
        let mut none = pod.clone();
        none.metadata.labels = None;
        assert!(!is_in(&none, &group("data", "nightly")));
    }
}
