//! Injected pods that no `PushGroup` takes care of: those without a group, and those whose label names one that does not
//! exist. Nobody scrapes them and nothing is collected there, so they are counted by namespace, and a missing group is
//! told once, in the log and by an Event at one of its pods.
//!
//! *Never:* giving a pod a group, which is [`super::membership`]'s.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crds::{PushGroup, names::PUSH_GROUP_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource as _, ResourceExt as _, runtime::reflector::ObjectRef};

use super::{Context, membership::is_unassigned};
use crate::{
    events::Kind,
    gc::targets::{GroupName, group_of},
};

/// Pods of a namespace that no group takes care of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ungrouped {
    /// Those without a group.
    pub unassigned: u64,
    /// Those of a group that does not exist.
    pub orphaned: u64,
}

/// The missing groups that were told.
#[derive(Debug, Default)]
pub struct Missing {
    told: Mutex<HashSet<ObjectRef<PushGroup>>>,
}

/// Counts by namespace; one without such pods is left out.
#[must_use]
pub fn count(pods: &[Arc<Pod>], groups: &[Arc<PushGroup>]) -> BTreeMap<String, Ungrouped> {
    let there: HashSet<GroupName> =
        groups.iter().filter_map(|group| Some((group.namespace()?, group.name_any()))).collect();
    let mut counts = BTreeMap::<String, Ungrouped>::new();
    for pod in pods {
        let namespace = || pod.namespace().unwrap_or_default();
        if is_unassigned(pod) {
            counts.entry(namespace()).or_default().unassigned += 1;
        } else if is_running(pod) && group_of(pod).is_some_and(|group| !there.contains(&group)) {
            counts.entry(namespace()).or_default().orphaned += 1;
        }
    }
    counts
}

/// Tells that a group is missing, if pods name it and it was not told yet.
pub fn tell_missing(ctx: &Context, group: &ObjectRef<PushGroup>) {
    if !ctx.groups.is_known() || ctx.groups.get(group).is_some() {
        return;
    }
    let mut pods = ctx.pods.of_group(group.namespace.as_deref().unwrap_or_default(), Some(&group.name));
    pods.retain(|pod| is_running(pod));
    let Some(pod) = pods.first() else {
        ctx.missing.exists(group);
        return;
    };
    if !ctx.missing.is_news(group) {
        return;
    }
    let message = format!(
        "expected PushGroup {} of label {PUSH_GROUP_LABEL} to exist, found none: nobody scrapes or collects the sidecars \
         of its {} pods",
        group.name,
        pods.len()
    );
    tracing::warn!(pushgroup = %group, pods = pods.len(), "{message}");
    ctx.events.tell(pod.object_ref(&()), Kind::Warning, "PushGroupMissing", message);
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

// === impl Missing ===

impl Missing {
    /// The group is there, or no pod names it any more: its next absence is news.
    pub fn exists(&self, group: &ObjectRef<PushGroup>) {
        self.told().remove(group);
    }

    fn is_news(&self, group: &ObjectRef<PushGroup>) -> bool {
        self.told().insert(group.clone())
    }

    fn told(&self) -> MutexGuard<'_, HashSet<ObjectRef<PushGroup>>> {
        // Whoever panicked with the lock held left a whole set behind.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, group: Option<&str>, phase: &str) -> Arc<Pod> {
        let labels = group.map_or(json!({}), |group| json!({PUSH_GROUP_LABEL: group}));
        let metadata = json!({"namespace": namespace, "name": "a", "labels": labels});
        Arc::new(serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap())
    }

    #[test]
    fn pods_without_a_group_and_with_one_that_is_missing_are_counted_by_namespace() {
        let mut nightly = PushGroup::new("nightly", crds::PushGroupSpec::default());
        nightly.metadata.namespace = Some("data".to_owned());
        let pods = [
            pod("data", Some("nightly"), "Running"),
            pod("data", Some("other"), "Running"),
            pod("data", Some("other"), "Succeeded"),
            pod("data", None, "Pending"),
            pod("data", None, "Failed"),
            pod("web", Some("nightly"), "Running"),
            pod("idle", None, "Succeeded"),
        ];
        let expected = BTreeMap::from([
            ("data".to_owned(), Ungrouped { unassigned: 1, orphaned: 1 }),
            ("web".to_owned(), Ungrouped { unassigned: 0, orphaned: 1 }),
        ]);
        assert_eq!(count(&pods, &[Arc::new(nightly)]), expected);
    }

    #[test]
    fn a_missing_group_is_news_once_until_it_existed() {
        let (missing, group) = (Missing::default(), ObjectRef::new("late").within("data"));
        assert!(missing.is_news(&group) && !missing.is_news(&group));
        missing.exists(&group);
        assert!(missing.is_news(&group));
    }
}
