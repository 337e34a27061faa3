//! What wakes a `PushGroup`'s reconcile besides the group itself and a collection pass.
//!
//! Pods are trimmed on arrival to what collection and counting use: ten thousand of them are kept in memory. Of Services
//! only the metadata is watched, to notice that somebody changed one.
//!
//! *Never:* what a reconcile does.

use std::{future, sync::Arc};

use crds::{
    PushGroup,
    names::{INJECT, INJECTED_LABEL, MANAGED_BY, MANAGED_BY_LABEL, PUSH_GROUP_LABEL, SIDECAR_CONTAINER},
};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Resource as _, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, reflector::ObjectRef, watcher},
};

use super::{Context, membership::group_for};
use crate::{
    cache::{Cache, CacheWriter},
    gc::targets::group_of,
};

/// Watches injected pods, keeps them in a store, and names the group of each that changes, or the one that it ought to
/// have.
pub fn from_pods(
    ctx: &Arc<Context>,
    pods: CacheWriter<Pod>,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let (client, groups) = (&ctx.client, ctx.groups.clone());
    let config = watcher::Config::default().labels(&format!("{INJECTED_LABEL}=true"));
    let events = watcher(Api::<Pod>::all(client.clone()), config).default_backoff().modify(trim);
    pods.fill(events)
        .touched_objects()
        .filter_map(move |pod| future::ready(told("pods", pod).and_then(|pod| group_of_pod(&pod, &groups))))
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

fn group_of_pod(pod: &Pod, groups: &Cache<PushGroup>) -> Option<ObjectRef<PushGroup>> {
    if let Some((namespace, name)) = group_of(pod) {
        return Some(ObjectRef::new(&name).within(&namespace));
    }
    let beside = groups.filter(|group| group.namespace() == pod.namespace());
    group_for(pod, &beside).map(|group| ObjectRef::from_obj(&*group))
}

fn owner_of(service: &PartialObjectMeta<Service>) -> Option<ObjectRef<PushGroup>> {
    let owners = service.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.kind == PushGroup::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&service.namespace()?))
}

/// Drops all of a pod but its identity, its group or what it takes to find one, and the state of its sidecar.
fn trim(pod: &mut Pod) {
    let metadata = std::mem::take(&mut pod.metadata);
    pod.metadata.name = metadata.name;
    pod.metadata.namespace = metadata.namespace;
    pod.metadata.uid = metadata.uid;
    pod.metadata.resource_version = metadata.resource_version;
    pod.metadata.deletion_timestamp = metadata.deletion_timestamp;
    let is_member = metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(PUSH_GROUP_LABEL));
    pod.metadata.labels = metadata.labels.map(|mut labels| {
        labels.retain(|name, _| !is_member || name == PUSH_GROUP_LABEL);
        labels
    });
    pod.metadata.annotations = metadata.annotations.filter(|_| !is_member).map(|mut annotations| {
        annotations.retain(|name, _| name == INJECT);
        annotations
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
        let groups = Cache::of(Vec::new());
        assert_eq!(group_of_pod(&trimmed, &groups), group_of_pod(&whole, &groups));
        assert_eq!((trimmed.labels().len(), trimmed.metadata.annotations), (1, None));
        assert!(trimmed.spec.is_none() && trimmed.metadata.managed_fields.is_none());
        assert_eq!(trimmed.status.unwrap().init_container_statuses.unwrap().len(), 1);
    }

    #[test]
    fn a_trimmed_pod_without_a_group_still_finds_one() {
        let group: PushGroup = serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": "late"}, "spec": {"selector": {"matchLabels": {"app": "etl"}}},
        }))
        .unwrap();
        let groups = Cache::of(vec![group]);
        let found = |annotation: &str| {
            let mut pod = pod();
            pod.labels_mut().remove(PUSH_GROUP_LABEL);
            pod.annotations_mut().insert(INJECT.to_owned(), annotation.to_owned());
            trim(&mut pod);
            assert_eq!(pod.annotations().len(), 1);
            group_of_pod(&pod, &groups).map(|group| group.name)
        };
        assert_eq!(found("true").as_deref(), Some("late"));
        assert_eq!(found("another"), None, "it named its group");
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
