//! Injected pods that no `PushGroup` takes care of: those without a group, and those whose label names one that does not
//! exist, or that has a gateway instead of pods. Nobody scrapes them and nothing is collected there, so they are counted
//! by namespace, and such a group is told once, in the log and by an Event at one of its pods.
//!
//! *Never:* giving a pod a group, which is [`super::membership`]'s.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crds::{PushGroup, names::PUSH_GROUP_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource as _, ResourceExt as _, runtime::reflector::ObjectRef};

use super::{Context, membership::is_unassigned, status::Mode};
use crate::{
    events::Kind,
    gc::targets::{GroupName, group_of},
};

/// Pods of a namespace that no group takes care of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ungrouped {
    /// Those without a group.
    pub unassigned: u64,
    /// Those of a group that does not exist, or has no pods.
    pub orphaned: u64,
}

/// The groups that pods name and that do not take them, as far as they were told.
#[derive(Debug, Default)]
pub struct Missing {
    told: Mutex<HashMap<ObjectRef<PushGroup>, Why>>,
}

/// Why a group takes no pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It does not exist.
    Absent,
    /// It has a gateway.
    HasGateway,
}

/// Counts by namespace; one without such pods is left out.
#[must_use]
pub fn count(pods: &[Arc<Pod>], groups: &[Arc<PushGroup>]) -> BTreeMap<String, Ungrouped> {
    let there: HashSet<GroupName> = groups
        .iter()
        .filter(|group| takes_pods(group))
        .filter_map(|group| Some((group.namespace()?, group.name_any())))
        .collect();
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

/// Tells that a group takes no pods, if pods name it and it was not told yet.
pub fn tell(ctx: &Context, group: &ObjectRef<PushGroup>) {
    if !ctx.groups.is_known() {
        return;
    }
    let why = match ctx.groups.get(group) {
        Some(there) if takes_pods(&there) => {
            ctx.missing.is_well(group);
            return;
        }
        Some(_) => Why::HasGateway,
        None => Why::Absent,
    };
    let mut pods = ctx.pods.of_group(group.namespace.as_deref().unwrap_or_default(), Some(&group.name));
    pods.retain(|pod| is_running(pod));
    let Some(pod) = pods.first() else {
        ctx.missing.is_well(group);
        return;
    };
    if !ctx.missing.is_news(group, why) {
        return;
    }
    let message = format!(
        "expected PushGroup {} of label {PUSH_GROUP_LABEL} to {}: nobody scrapes or collects the sidecars of its {} pods",
        group.name,
        why.expected(),
        pods.len()
    );
    tracing::warn!(pushgroup = %group, pods = pods.len(), "{message}");
    ctx.events.tell(pod.object_ref(&()), Kind::Warning, why.reason(), message);
}

/// Whether sidecars are scraped and collected for it.
fn takes_pods(group: &PushGroup) -> bool {
    match Mode::of(&group.spec) {
        Mode::Pod => true,
        Mode::Gateway => false,
    }
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

// === impl Why ===

impl Why {
    fn expected(self) -> &'static str {
        match self {
            Self::Absent => "exist, found none",
            Self::HasGateway => "have a selector, found a gateway",
        }
    }

    /// That of the Event.
    fn reason(self) -> &'static str {
        match self {
            Self::Absent => "PushGroupMissing",
            Self::HasGateway => "PushGroupHasGateway",
        }
    }
}

// === impl Missing ===

impl Missing {
    /// The group takes pods, or no pod names it any more: that it does not is news the next time.
    fn is_well(&self, group: &ObjectRef<PushGroup>) {
        self.told().remove(group);
    }

    fn is_news(&self, group: &ObjectRef<PushGroup>, why: Why) -> bool {
        self.told().insert(group.clone(), why) != Some(why)
    }

    fn told(&self) -> MutexGuard<'_, HashMap<ObjectRef<PushGroup>, Why>> {
        // Whoever panicked with the lock held left a whole map behind.
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
        let group = |name: &str, spec: serde_json::Value| {
            let mut group = PushGroup::new(name, serde_json::from_value(spec).unwrap());
            group.metadata.namespace = Some("data".to_owned());
            Arc::new(group)
        };
        let nightly = group("nightly", json!({"selector": {}}));
        let central = group("central", json!({"gateway": {"url": "http://pg"}}));
        let pods = [
            pod("data", Some("nightly"), "Running"),
            pod("data", Some("other"), "Running"),
            pod("data", Some("other"), "Succeeded"),
            pod("data", Some("central"), "Running"),
            pod("data", None, "Pending"),
            pod("data", None, "Failed"),
            pod("web", Some("nightly"), "Running"),
            pod("idle", None, "Succeeded"),
        ];
        let expected = BTreeMap::from([
            ("data".to_owned(), Ungrouped { unassigned: 1, orphaned: 2 }),
            ("web".to_owned(), Ungrouped { unassigned: 0, orphaned: 1 }),
        ]);
        assert_eq!(count(&pods, &[nightly, central]), expected);
    }

    #[test]
    fn a_group_that_takes_no_pods_is_news_once_until_it_did() {
        let (missing, group) = (Missing::default(), ObjectRef::new("late").within("data"));
        assert!(missing.is_news(&group, Why::Absent) && !missing.is_news(&group, Why::Absent));
        assert!(missing.is_news(&group, Why::HasGateway), "another reason is news");
        missing.is_well(&group);
        assert!(missing.is_news(&group, Why::HasGateway));
    }
}
