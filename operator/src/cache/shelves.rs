//! The objects of a cache by namespace, and there by the `PushGroup` that their label names, so that a look at some of
//! them costs what these are and not what all are. Pure.
//!
//! A shelf has a version that never comes back, so that who has looked at it knows whether to look again.
//!
//! *Never:* the watch, what an object is.

use std::{collections::HashMap, sync::Arc};

use crds::names::PUSH_GROUP_LABEL;
use kube::Resource;

/// All of them.
#[derive(Debug)]
pub(super) struct Shelves<K> {
    namespaces: HashMap<String, HashMap<String, Shelf<K>>>,
    /// Of the last change.
    version: u64,
}

/// The objects of a namespace that name the same `PushGroup`, or none, which is a name of no letters. None is empty.
#[derive(Debug)]
struct Shelf<K> {
    objects: Vec<Arc<K>>,
    version: u64,
}

// === impl Shelves ===

impl<K> Shelves<K> {
    pub(super) fn new() -> Self {
        Self { namespaces: HashMap::new(), version: 0 }
    }

    /// The objects of a namespace.
    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let groups = self.namespaces.get(namespace).into_iter().flat_map(HashMap::values);
        groups.flat_map(|shelf| &shelf.objects).cloned().collect()
    }

    /// Those that name a `PushGroup`, or none.
    pub(super) fn of_group(&self, namespace: &str, group: Option<&str>) -> Vec<Arc<K>> {
        self.shelf(namespace, group).map(|shelf| shelf.objects.clone()).unwrap_or_default()
    }

    /// Another one after each change of those.
    pub(super) fn version_of(&self, namespace: &str, group: Option<&str>) -> u64 {
        self.shelf(namespace, group).map(|shelf| shelf.version).unwrap_or_default()
    }

    fn shelf(&self, namespace: &str, group: Option<&str>) -> Option<&Shelf<K>> {
        self.namespaces.get(namespace)?.get(group.unwrap_or_default())
    }
}

impl<K> Shelves<K>
where
    K: Resource<DynamicType = ()>,
{
    /// An object has come, has gone, or is in another state.
    pub(super) fn change(&mut self, before: Option<&Arc<K>>, after: Option<Arc<K>>) {
        if let Some(before) = before {
            self.take(before);
        }
        if let Some(after) = after {
            self.put(after);
        }
    }

    /// There are these objects and no others.
    pub(super) fn replace(&mut self, all: Vec<Arc<K>>) {
        self.namespaces.clear();
        for object in all {
            self.put(object);
        }
    }

    fn put(&mut self, object: Arc<K>) {
        self.version += 1;
        let (namespace, group) = place(&*object);
        let groups = self.namespaces.entry(namespace.to_owned()).or_default();
        let shelf = groups.entry(group.to_owned()).or_insert_with(|| Shelf { objects: Vec::new(), version: 0 });
        shelf.version = self.version;
        shelf.objects.push(object);
    }

    fn take(&mut self, object: &Arc<K>) {
        self.version += 1;
        let (namespace, group) = place(&**object);
        let Some(groups) = self.namespaces.get_mut(namespace) else { return };
        let Some(shelf) = groups.get_mut(group) else { return };
        shelf.version = self.version;
        if let Some(at) = shelf.objects.iter().position(|one| Arc::ptr_eq(one, object)) {
            shelf.objects.swap_remove(at);
        }
        if shelf.objects.is_empty() {
            groups.remove(group);
        }
        if groups.is_empty() {
            self.namespaces.remove(namespace);
        }
    }
}

fn place<K>(object: &K) -> (&str, &str)
where
    K: Resource<DynamicType = ()>,
{
    let metadata = object.meta();
    let group = metadata.labels.as_ref().and_then(|labels| labels.get(PUSH_GROUP_LABEL));
    (metadata.namespace.as_deref().unwrap_or_default(), group.map(String::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, name: &str, group: Option<&str>) -> Arc<Pod> {
        let labels = group.map(|group| json!({PUSH_GROUP_LABEL: group}));
        let metadata = json!({"namespace": namespace, "name": name, "labels": labels});
        Arc::new(serde_json::from_value(json!({"metadata": metadata})).unwrap())
    }

    fn names(pods: &[Arc<Pod>]) -> String {
        let mut names: Vec<_> = pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        names.sort();
        names.join(" ")
    }

    fn filled() -> Shelves<Pod> {
        let mut shelves = Shelves::new();
        shelves.replace(vec![
            pod("data", "a", Some("nightly")),
            pod("data", "b", Some("hourly")),
            pod("data", "c", None),
            pod("web", "d", Some("nightly")),
        ]);
        shelves
    }

    #[test]
    fn objects_are_found_by_namespace_and_by_the_group_they_name() {
        let shelves = filled();
        assert_eq!(names(&shelves.in_namespace("data")), "a b c");
        assert_eq!(names(&shelves.of_group("data", Some("nightly"))), "a");
        assert_eq!(names(&shelves.of_group("data", None)), "c");
        assert_eq!(names(&shelves.of_group("web", None)), "");
        assert_eq!(names(&shelves.in_namespace("other")), "");
    }

    #[test]
    fn one_that_names_another_group_is_found_there_alone() {
        let (mut shelves, before) = (filled(), pod("data", "e", None));
        shelves.change(None, Some(before.clone()));
        assert_eq!(names(&shelves.of_group("data", None)), "c e");
        shelves.change(Some(&before), Some(pod("data", "e", Some("hourly"))));
        assert_eq!(
            [names(&shelves.of_group("data", None)), names(&shelves.of_group("data", Some("hourly")))],
            ["c", "b e"]
        );
    }

    #[test]
    fn what_is_gone_is_found_no_more_and_leaves_nothing_behind() {
        let mut shelves = filled();
        let gone = shelves.of_group("web", Some("nightly"));
        shelves.change(Some(&gone[0]), None);
        assert_eq!((names(&shelves.in_namespace("web")), shelves.namespaces.len()), (String::new(), 1));
        shelves.replace(vec![pod("data", "c", None)]);
        assert_eq!(names(&shelves.in_namespace("data")), "c");
        assert_eq!(shelves.namespaces["data"].len(), 1);
    }

    #[test]
    fn a_version_stays_while_nothing_changes_there_and_never_comes_back() {
        let mut shelves = filled();
        let versions = |shelves: &Shelves<Pod>| {
            [("data", "nightly"), ("data", "hourly"), ("web", "nightly")]
                .map(|(namespace, group)| shelves.version_of(namespace, Some(group)))
        };
        let first = versions(&shelves);
        let one = shelves.of_group("data", Some("nightly")).remove(0);
        shelves.change(Some(&one), None);
        let second = versions(&shelves);
        assert_eq!((second[0], &second[1..]), (0, &first[1..]), "there are none");
        shelves.change(None, Some(one.clone()));
        let third = versions(&shelves);
        assert_eq!(&third[1..], &first[1..]);
        shelves.change(Some(&one), Some(pod("data", "a", Some("nightly"))));
        let fourth = versions(&shelves);
        shelves.replace(vec![one]);
        let all = [first[0], second[0], third[0], fourth[0], shelves.version_of("data", Some("nightly"))];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 5, "{all:?}");
    }
}
