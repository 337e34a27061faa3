//! What the audit has found, for the status of groups and for the metrics. Clones share it.
//!
//! *Never:* how it was found out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crds::PushGroup;
use kube::ResourceExt as _;

use super::book::{Candidate, Known};
use crate::{cache::Cache, injection::decide::oldest_matching};

/// The pods of a group that are named.
const SHOWN: usize = 3;

/// Pods that ask for a sidecar and have none.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    found: Arc<Mutex<Found>>,
}

/// Those that are one group's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingPods {
    /// How many there are.
    pub pods: u64,
    /// The names of some, sorted.
    pub named: Vec<String>,
}

#[derive(Debug, Default)]
struct Found {
    is_known: bool,
    /// By namespace and UID.
    pods: BTreeMap<String, HashMap<String, MissingPod>>,
}

#[derive(Debug)]
struct MissingPod {
    name: String,
    /// The group it names.
    named: Option<String>,
    labels: BTreeMap<String, String>,
}

// === impl Missing ===

impl Missing {
    /// How many there are, by namespace; one without such pods is left out.
    #[must_use]
    pub fn by_namespace(&self) -> BTreeMap<String, u64> {
        let found = self.found();
        found.pods.iter().map(|(namespace, pods)| (namespace.clone(), pods.len() as u64)).collect()
    }

    /// Whether all pods were looked at.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.found().is_known
    }

    /// Those of a group; `None` until all pods were looked at.
    #[must_use]
    pub fn of_group(&self, group: &PushGroup, groups: &Cache<PushGroup>) -> Option<MissingPods> {
        let found = self.found();
        if !found.is_known {
            return None;
        }
        let (namespace, name) = (group.namespace().unwrap_or_default(), group.name_any());
        let Some(pods) = found.pods.get(&namespace) else { return Some(MissingPods::default()) };
        let beside = groups_of(groups, &namespace);
        let mut names: Vec<_> = pods
            .values()
            .filter(|pod| pod.group(&beside).as_deref() == Some(&name))
            .map(|pod| pod.name.clone())
            .collect();
        let count = names.len() as u64;
        names.sort();
        names.truncate(SHOWN);
        Some(MissingPods { pods: count, named: names })
    }

    /// All pods were looked at; the next ones are told as they come. Whether this is news.
    pub(super) fn set_known(&self) -> bool {
        !std::mem::replace(&mut self.found().is_known, true)
    }

    /// One more, or one that was there with something else that it asked; its group, and the one that it had.
    pub(super) fn add(
        &self,
        pod: &Candidate,
        named: Option<String>,
        groups: &Cache<PushGroup>,
    ) -> Vec<(String, String)> {
        let missing = MissingPod { name: pod.name.clone(), named, labels: pod.labels.clone() };
        let beside = groups_of(groups, &pod.namespace);
        let group = missing.group(&beside);
        let before = self.found().pods.entry(pod.namespace.clone()).or_default().insert(pod.uid.clone(), missing);
        let group_before =
            before.and_then(|before| before.group(&beside)).filter(|before| group.as_ref() != Some(before));
        group.into_iter().chain(group_before).map(|group| (pod.namespace.clone(), group)).collect()
    }

    /// These are gone; their groups.
    pub(super) fn remove(&self, gone: &[Known], groups: &Cache<PushGroup>) -> Vec<(String, String)> {
        let mut found = self.found();
        let mut whose = Vec::new();
        for (namespace, uid) in gone {
            let Some(pods) = found.pods.get_mut(namespace) else { continue };
            let group = pods.remove(uid).and_then(|pod| pod.group(&groups_of(groups, namespace)));
            if pods.is_empty() {
                found.pods.remove(namespace);
            }
            whose.extend(group.map(|group| (namespace.clone(), group)));
        }
        whose
    }

    /// This replica does not audit any more; the groups that had such pods.
    pub(super) fn forget(&self, groups: &Cache<PushGroup>) -> Vec<(String, String)> {
        let all = std::mem::take(&mut *self.found()).pods;
        let whose = all.into_iter().flat_map(|(namespace, pods)| {
            let beside = groups_of(groups, &namespace);
            let names: Vec<_> = pods.into_values().filter_map(|pod| pod.group(&beside)).collect();
            names.into_iter().map(move |name| (namespace.clone(), name))
        });
        whose.collect()
    }

    /// One in a namespace.
    #[cfg(test)]
    pub(crate) fn of_test(namespace: &str) -> Self {
        let missing = Self::default();
        let pod = Candidate {
            uid: "uid".to_owned(),
            namespace: namespace.to_owned(),
            name: "a".to_owned(),
            asked: "true".to_owned(),
            labels: BTreeMap::new(),
        };
        missing.add(&pod, None, &Cache::of(Vec::new()));
        missing
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Whoever panicked with the lock held left whole entries behind.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl MissingPod ===

impl MissingPod {
    fn group(&self, beside: &[Arc<PushGroup>]) -> Option<String> {
        self.named.clone().or_else(|| oldest_matching(&self.labels, beside).map(|group| group.name_any()))
    }
}

fn groups_of(groups: &Cache<PushGroup>, namespace: &str) -> Vec<Arc<PushGroup>> {
    groups.in_namespace(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_groups_are_told_of_a_pod_that_goes_from_one_to_the_other() {
        let (missing, groups) = (Missing::default(), Cache::of(Vec::new()));
        let pod = Candidate {
            uid: "uid".to_owned(),
            namespace: "data".to_owned(),
            name: "a".to_owned(),
            asked: "nightly".to_owned(),
            labels: BTreeMap::new(),
        };
        let add = |group: &str| missing.add(&pod, Some(group.to_owned()), &groups);
        let whose = |name: &str| ("data".to_owned(), name.to_owned());
        assert_eq!(add("nightly"), [whose("nightly")]);
        assert_eq!(add("nightly"), [whose("nightly")]);
        assert_eq!(add("weekly"), [whose("weekly"), whose("nightly")]);
        assert_eq!(missing.by_namespace(), BTreeMap::from([("data".to_owned(), 1)]));
        assert_eq!(missing.remove(&[("data".to_owned(), "uid".to_owned())], &groups), [whose("weekly")]);
    }
}
