//! What wakes a `PushGroup`'s reconcile besides the group itself and a collection pass.
//!
//! Pods are trimmed on arrival to what collection and counting use: ten thousand of them are kept in memory. Of Services
//! only the metadata is watched, to notice that somebody changed one.
//!
//! *Never:* what a reconcile does.

use std::{future, sync::Arc};

use crds::{
    PushGroup,
    names::{INJECTED_LABEL, MANAGED_BY, MANAGED_BY_LABEL, PUSH_GROUP_LABEL, SIDECAR_CONTAINER},
};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Resource as _, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, reflector::ObjectRef, watcher},
};

use super::{Context, ledger::Ending};
use crate::{cache::CacheWriter, gc::targets::group_of};

/// Watches injected pods, keeps them in a store, and names the group of each that changes.
pub fn from_pods(
    ctx: &Arc<Context>,
    pods: CacheWriter<Pod>,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let ctx_of_stream = ctx.clone();
    let config = watcher::Config::default().labels(&format!("{INJECTED_LABEL}=true"));
    let events = watcher(Api::<Pod>::all(ctx.client.clone()), config).default_backoff().modify(trim);
    pods.fill(events)
        .touched_objects()
        .filter_map(move |pod| {
            let pod = told("pods", pod);
            let group = pod.as_ref().and_then(group_of_pod);
            // Right now: a pod that is deleted is gone a moment after its last word.
            if let (Some(group), Some(ending)) = (&group, pod.as_ref().and_then(Ending::of)) {
                ctx_of_stream.memory.ledger(group, |ledger| ledger.ended(ending));
            }
            future::ready(group)
        })
}

/// Watches our Services; a change of one makes its group's objects due.
pub fn from_services(ctx: &Arc<Context>) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let config = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let ctx_of_stream = ctx.clone();
    watcher(Api::<PartialObjectMeta<Service>>::all(ctx.client.clone()), config)
        .default_backoff()
        .touched_objects()
        .filter_map(move |service| {
            let owner = told("services", service).and_then(|service| owner_of(&service));
            if let Some(owner) = &owner {
                ctx_of_stream.memory.touch(owner);
            }
            future::ready(owner)
        })
}

fn told<T>(what: &'static str, seen: Result<T, watcher::Error>) -> Option<T> {
    seen.inspect_err(|error| tracing::warn!(%error, what, "a watch broke and is taken up again")).ok()
}

fn group_of_pod(pod: &Pod) -> Option<ObjectRef<PushGroup>> {
    group_of(pod).map(|(namespace, name)| ObjectRef::new(&name).within(&namespace))
}

fn owner_of(service: &PartialObjectMeta<Service>) -> Option<ObjectRef<PushGroup>> {
    let owners = service.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.kind == PushGroup::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&service.namespace()?))
}

/// Drops all of a pod but its identity, its group, and the state of its sidecar.
fn trim(pod: &mut Pod) {
    let metadata = std::mem::take(&mut pod.metadata);
    pod.metadata.name = metadata.name;
    pod.metadata.namespace = metadata.namespace;
    pod.metadata.uid = metadata.uid;
    pod.metadata.resource_version = metadata.resource_version;
    pod.metadata.deletion_timestamp = metadata.deletion_timestamp;
    pod.metadata.labels = metadata.labels.map(|mut labels| {
        labels.retain(|name, _| name == PUSH_GROUP_LABEL);
        labels
    });
    pod.spec = None;
    let Some(status) = pod.status.take() else { return };
    let mut sidecars = status.init_container_statuses.unwrap_or_default();
    sidecars.retain(|container| container.name == SIDECAR_CONTAINER);
    let kept = pod.status.get_or_insert_default();
    kept.phase = status.phase;
    kept.pod_ip = status.pod_ip;
    kept.init_container_statuses = Some(sidecars);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gc::targets::target;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "data", "name": "etl-1", "uid": "uid-1", "resourceVersion": "7",
                "labels": {"sidegate.dev/pushgroup": "nightly", "app": "etl"},
                "annotations": {"long": "text"},
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {"containers": [{"name": "app"}]},
            "status": {"podIP": "10.0.0.7", "phase": "Running", "conditions": [], "initContainerStatuses": [
                {"name": "other", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": ""},
                {"name": "sidegate", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": ""},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn a_trimmed_pod_is_the_same_target_of_the_same_group() {
        let (whole, mut trimmed) = (pod(), pod());
        trim(&mut trimmed);
        assert_eq!(target(&trimmed), target(&whole));
        assert!(target(&trimmed).is_some());
        assert_eq!(group_of_pod(&trimmed), group_of_pod(&whole));
        assert_eq!(Ending::of(&trimmed), None);
        assert_eq!(trimmed.labels().len(), 1);
        assert!(trimmed.spec.is_none() && trimmed.metadata.managed_fields.is_none());
        assert_eq!(trimmed.status.unwrap().init_container_statuses.unwrap().len(), 1);
    }

    #[test]
    fn a_trimmed_pod_keeps_its_last_word() {
        let mut ended = pod();
        let sidecars = ended.status.as_mut().unwrap().init_container_statuses.as_mut().unwrap();
        sidecars[1].state = serde_json::from_value(json!({"terminated": {
            "exitCode": 0, "message": "3 groups unseen", "finishedAt": "2026-01-01T00:00:00Z",
        }}))
        .unwrap();
        trim(&mut ended);
        let ending = Ending::of(&ended).unwrap();
        assert_eq!(ending.to_string(), "Pod etl-1 ended with 3 groups that no scrape had seen");
    }

    #[test]
    fn a_service_names_its_owner() {
        let service: PartialObjectMeta<Service> = serde_json::from_value(json!({
            "metadata": {"namespace": "data", "name": "sidegate-nightly", "ownerReferences": [
                {"apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup", "name": "nightly", "uid": "uid-1"},
            ]},
        }))
        .unwrap();
        assert_eq!(owner_of(&service), Some(ObjectRef::new("nightly").within("data")));
    }
}
