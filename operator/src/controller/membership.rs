//! Pods that were injected before there was a group for them, and the label that makes them its members.
//!
//! A Helm release applies a `PushGroup` after its workloads, so at admission no group matched. What would have decided
//! then decides now: of the groups of the namespace, the oldest whose selector matches. A pod that names a group in its
//! annotation is left alone, whatever becomes of its label.
//!
//! A write carries the UID and the version of the pod it is based on, so that a pod that changed meanwhile is looked at
//! again instead of overwritten. Where the right to patch pods is missing, one pod is tried every half minute, and the
//! group has a condition until that goes through.
//!
//! *Never:* what the label is good for, conditions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::{
    PushGroup,
    names::{INJECT, MEMBERSHIP_MANAGER, PUSH_GROUP_LABEL},
};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};
use serde_json::json;

use super::Context;
use crate::{
    api_client::said,
    cache::Cache,
    injection::decide::{names_a_group, oldest_matching},
};

/// How many pods are labelled at a time.
const AT_A_TIME: usize = 8;

/// For how long a refusal stands before one pod is tried again.
const PAUSE: Duration = Duration::from_secs(30);

/// How labelling went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Pods that are the group's and have no label.
    pub waiting: u64,
    /// Why not, if the API server has said so.
    pub refused: Option<Refused>,
}

/// Why the API server does not take a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The operator may not patch pods.
    Forbidden,
    /// Something else; what the API server says.
    Otherwise(String),
}

/// What is remembered of each group between reconciles.
#[derive(Debug, Default)]
pub struct Attempts {
    entries: Mutex<HashMap<ObjectRef<PushGroup>, Attempted>>,
}

#[derive(Debug, Default)]
struct Attempted {
    refused: Option<(Refused, Timestamp)>,
    /// Versions by UID of pods that are labelled and that the watch still shows without.
    labelled: HashMap<String, Option<String>>,
}

/// What became of one pod.
enum Labelled {
    Done,
    /// It changed or went; the watch will tell.
    MovedOn,
    Refused(Refused),
}

/// The group whose member an injected pod without a label ought to be.
#[must_use]
pub fn group_for(pod: &Pod, groups: &[Arc<PushGroup>]) -> Option<Arc<PushGroup>> {
    let annotations = pod.annotations();
    let wish = pod.labels().get(INJECT).or_else(|| annotations.get(INJECT));
    if !is_unassigned(pod) || wish.is_some_and(|wish| names_a_group(wish)) {
        return None;
    }
    oldest_matching(pod.labels(), groups)
}

/// Whether a pod that still runs belongs to no group.
#[must_use]
pub fn is_unassigned(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !pod.labels().contains_key(PUSH_GROUP_LABEL) && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Labels the pods that are this group's and have no label yet.
///
/// # Cancel safety
/// Each pod is written by itself; those that were not are found again.
pub async fn assign(ctx: &Context, group: &PushGroup, now: Timestamp) -> Assigned {
    let known = ObjectRef::from_obj(group);
    let (waiting, refused) = ctx.membership.to_do(&known, waiting(&ctx.pods, &ctx.groups, group), now);
    if waiting.is_empty() || refused.is_some() {
        return Assigned { waiting: waiting.len() as u64, refused };
    }
    let name = group.name_any();
    let label = |pod: Arc<Pod>| async { (label(&ctx.client, &pod, &name).await, pod) };
    let (mut left, mut refused) = (waiting.len(), None);
    // The first alone: what refuses it refuses all.
    let mut rest = waiting.into_iter();
    let first = stream::iter(rest.next()).then(label);
    let mut labelling = first.chain(stream::iter(rest).map(label).buffer_unordered(AT_A_TIME)).boxed();
    while let Some((labelled, pod)) = labelling.next().await {
        match labelled {
            Labelled::Done => {
                left -= 1;
                ctx.membership.labelled(&known, &pod);
                tracing::info!(pod = pod.name_any(), pushgroup = %known, "a pod that was there before belongs to it now");
            }
            Labelled::MovedOn => left -= 1,
            Labelled::Refused(why) => {
                refused = Some(why);
                break;
            }
        }
    }
    drop(labelling);
    if let Some(refused) = &refused {
        tracing::warn!(?refused, pods = left, pushgroup = %known, "cannot label pods that were there before");
        ctx.membership.refused(&known, refused.clone(), now);
    }
    Assigned { waiting: left as u64, refused }
}

/// How things stand, without trying anything.
#[must_use]
pub fn standing(ctx: &Context, group: &PushGroup, now: Timestamp) -> Assigned {
    let known = ObjectRef::from_obj(group);
    let (waiting, refused) = ctx.membership.to_do(&known, waiting(&ctx.pods, &ctx.groups, group), now);
    Assigned { waiting: waiting.len() as u64, refused }
}

/// The pods of a group that have no label; none while not all pods and groups are known.
fn waiting(pods: &Cache<Pod>, groups: &Cache<PushGroup>, group: &PushGroup) -> Vec<Arc<Pod>> {
    let namespace = group.namespace().unwrap_or_default();
    if !pods.is_known() || !groups.is_known() {
        return Vec::new();
    }
    let mut waiting = pods.of_group(&namespace, None);
    if !waiting.is_empty() {
        let beside = groups.in_namespace(&namespace);
        waiting.retain(|pod| group_for(pod, &beside).is_some_and(|chosen| chosen.metadata.uid == group.metadata.uid));
    }
    waiting
}

/// Writes the label on top of the pod that was seen.
async fn label(client: &Client, pod: &Pod, group: &str) -> Labelled {
    let api = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let patch = json!({"metadata": {
        "uid": pod.uid(),
        "resourceVersion": pod.resource_version(),
        "labels": {PUSH_GROUP_LABEL: group},
    }});
    let params = PatchParams { field_manager: Some(MEMBERSHIP_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_metadata(&pod.name_any(), &params, &Patch::Merge(&patch)).await {
        Ok(_) => Labelled::Done,
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Labelled::MovedOn,
        // What RBAC says; an admission policy that refuses is a 403 too.
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("cannot patch resource") => {
            Labelled::Refused(Refused::Forbidden)
        }
        Err(error) => Labelled::Refused(Refused::Otherwise(said(&error))),
    }
}

// === impl Assigned ===

impl Assigned {
    /// When to look again, whatever happens.
    #[must_use]
    pub fn good_for(&self) -> Duration {
        if self.refused.is_some() { PAUSE } else { Duration::MAX }
    }
}

// === impl Attempts ===

impl Attempts {
    /// Of the pods that have no label, those that were not labelled a moment ago; and the refusal that still stands.
    fn to_do(
        &self,
        group: &ObjectRef<PushGroup>,
        mut found: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> (Vec<Arc<Pod>>, Option<Refused>) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(group) else { return (found, None) };
        let seen: HashMap<_, _> = found.iter().filter_map(|pod| Some((pod.uid()?, pod.resource_version()))).collect();
        entry.labelled.retain(|uid, version| seen.get(uid) == Some(version));
        found.retain(|pod| pod.uid().is_none_or(|uid| !entry.labelled.contains_key(&uid)));
        let age = |since: Timestamp| Duration::try_from(now.duration_since(since)).unwrap_or(Duration::MAX);
        entry.refused = entry.refused.take().filter(|(_, since)| !found.is_empty() && age(*since) < PAUSE);
        let refused = entry.refused.as_ref().map(|(refused, _)| refused.clone());
        if entry.refused.is_none() && entry.labelled.is_empty() {
            entries.remove(group);
        }
        (found, refused)
    }

    fn labelled(&self, group: &ObjectRef<PushGroup>, pod: &Pod) {
        let mut entries = self.entries();
        let entry = entries.entry(group.clone()).or_default();
        entry.labelled.extend(pod.uid().map(|uid| (uid, pod.resource_version())));
    }

    fn refused(&self, group: &ObjectRef<PushGroup>, refused: Refused, now: Timestamp) {
        self.entries().entry(group.clone()).or_default().refused = Some((refused, now));
    }

    /// The group is gone.
    pub fn forget(&self, group: &ObjectRef<PushGroup>) {
        self.entries().remove(group);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ObjectRef<PushGroup>, Attempted>> {
        // Whoever panicked with the lock held left whole entries behind.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
