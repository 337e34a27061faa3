//! Which sidecars there are to ask, and at which address. Pure: pods in, targets out.
//!
//! *Never:* ports, sending anything, what a page holds.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use crds::names::{PUSH_GROUP_LABEL, SIDECAR_CONTAINER};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// A running sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pod's name, for the log.
    pub pod: String,
    /// The pod's UID, which signatures are bound to.
    pub uid: String,
    /// The pod's address.
    pub address: IpAddr,
}

/// Namespace and name of a `PushGroup`.
pub type GroupName = (String, String);

/// The `PushGroup` a pod belongs to.
#[must_use]
pub fn group_of(pod: &Pod) -> Option<GroupName> {
    Some((pod.namespace()?, pod.labels().get(PUSH_GROUP_LABEL)?.clone()))
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
    Some(Target { pod: pod.name_any(), uid: pod.uid()?, address })
}

/// The running sidecars of all groups.
#[must_use]
pub fn by_group(pods: &[Arc<Pod>]) -> HashMap<GroupName, Vec<Target>> {
    let mut groups: HashMap<_, Vec<_>> = HashMap::new();
    for pod in pods {
        if let (Some(group), Some(target)) = (group_of(pod), target(pod)) {
            groups.entry(group).or_default().push(target);
        }
    }
    groups
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

    #[test]
    fn targets_are_put_together_by_group() {
        let mut other = pod(running("Running", "10.0.0.8"));
        other.metadata.namespace = Some("web".to_owned());
        let mut none = pod(running("Running", "10.0.0.9"));
        none.metadata.labels = None;
        let pods = [pod(running("Running", "10.0.0.7")), other, none].map(Arc::new);
        let groups = by_group(&pods);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[&("data".to_owned(), "nightly".to_owned())].len(), 1);
    }
}
