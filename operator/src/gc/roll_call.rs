//! Who there is: the `PushGroup`s of the moment, and the targets of those that may have others than at the last look. Of
//! ten thousand pods a few come and go in a second, and the others are not gone through for their sake.
//!
//! *Never:* visits, what a target is.

use std::{collections::HashMap, sync::Arc};

use crds::PushGroup;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::targets::{self, CollectionTarget};
use crate::cache::Cache;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct RollCall {
    /// By the UID of a `PushGroup`, its generation and the version of its pods.
    seen: HashMap<String, (Option<i64>, u64)>,
}

// === impl RollCall ===

impl RollCall {
    /// All there are and that are to stay, each with its targets unless these are as they were.
    pub(super) fn call(
        &mut self,
        groups: &Cache<PushGroup>,
        pods: &Cache<Pod>,
    ) -> Vec<(Arc<PushGroup>, Option<Vec<CollectionTarget>>)> {
        let before = std::mem::take(&mut self.seen);
        let stay = groups.all().into_iter().filter(|group| !group.is_going());
        let called = stay.filter_map(|group| {
            let (uid, namespace, name) = (group.uid()?, group.namespace().unwrap_or_default(), group.name_any());
            // Before the pods: a change that comes meanwhile is then seen as one at the next look.
            let now = (group.metadata.generation, pods.version_of_group(&namespace, Some(&name)));
            let is_news = before.get(&uid) != Some(&now);
            let targets = is_news.then(|| targets::of_group(&group, &pods.of_group(&namespace, Some(&name))));
            self.seen.insert(uid, now);
            Some((group, targets))
        });
        called.collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, channel::mpsc};
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::cache::cache;

    fn group(name: &str, generation: i64) -> PushGroup {
        serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": name, "uid": format!("uid-{name}"), "generation": generation},
            "spec": {"selector": {}},
        }))
        .unwrap()
    }

    fn pod(name: &str, group: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "data", "name": name, "uid": name, "labels": {"sidegate.dev/pushgroup": group}},
            "status": {"podIP": "10.0.0.7", "phase": "Running", "initContainerStatuses": [{
                "name": "sidegate", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": "",
            }]},
        }))
        .unwrap()
    }

    /// The groups whose targets were made anew, with these.
    fn called(roll_call: &mut RollCall, groups: &Cache<PushGroup>, pods: &Cache<Pod>) -> Vec<String> {
        let mut told: Vec<_> = roll_call
            .call(groups, pods)
            .into_iter()
            .filter_map(|(group, targets)| {
                let mut ids: Vec<_> = targets?.iter().map(|target| target.id().to_owned()).collect();
                ids.sort();
                Some(format!("{}: {}", group.name_any(), ids.join(" ")))
            })
            .collect();
        told.sort();
        told
    }

    #[tokio::test]
    async fn the_targets_of_those_alone_are_made_anew_whose_pods_or_spec_have_changed() {
        let ((groups, group_writer), (pods, pod_writer)) = (cache::<PushGroup>(), cache::<Pod>());
        let (group_events, events) = mpsc::unbounded();
        let mut filling_groups = Box::pin(group_writer.fill(events));
        let (pod_events, events) = mpsc::unbounded();
        let mut filling_pods = Box::pin(pod_writer.fill(events));
        let mut of_group = async |event| {
            group_events.unbounded_send(Ok(event)).unwrap();
            filling_groups.next().await.unwrap().unwrap();
        };
        let mut of_pod = async |event| {
            pod_events.unbounded_send(Ok(event)).unwrap();
            filling_pods.next().await.unwrap().unwrap();
        };
        let mut roll_call = RollCall::default();
        of_group(Event::Apply(group("nightly", 1))).await;
        of_group(Event::Apply(group("hourly", 1))).await;
        for name in ["a", "b"] {
            of_pod(Event::Apply(pod(name, "nightly"))).await;
        }
        assert_eq!(called(&mut roll_call, &groups, &pods), ["hourly: ", "nightly: a b"]);
        assert!(called(&mut roll_call, &groups, &pods).is_empty(), "nothing has changed");
        of_pod(Event::Apply(pod("c", "hourly"))).await;
        assert_eq!(called(&mut roll_call, &groups, &pods), ["hourly: c"]);
        of_pod(Event::Apply(pod("b", "hourly"))).await;
        assert_eq!(called(&mut roll_call, &groups, &pods), ["hourly: b c", "nightly: a"]);
        of_pod(Event::Delete(pod("a", "nightly"))).await;
        assert_eq!(called(&mut roll_call, &groups, &pods), ["nightly: "]);
        of_group(Event::Apply(group("hourly", 2))).await;
        assert_eq!(called(&mut roll_call, &groups, &pods), ["hourly: b c"]);
        let mut going = group("nightly", 2);
        going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        of_group(Event::Apply(going)).await;
        let called: Vec<_> = roll_call.call(&groups, &pods).iter().map(|(group, _)| group.name_any()).collect();
        assert_eq!(called, ["hourly"], "who is being deleted is as good as gone");
        of_group(Event::Apply(group("nightly", 3))).await;
        of_group(Event::Delete(group("hourly", 2))).await;
        assert_eq!(roll_call.call(&groups, &pods).len(), 1);
        assert_eq!(roll_call.seen.len(), 1, "who is gone is forgotten");
    }
}
