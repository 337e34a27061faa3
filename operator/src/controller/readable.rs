//! `PushGroup`s that can be read, out of all that the API server sends. One that cannot, because its schema lets pass what
//! we do not understand, is told and left out, and must not hide the others.
//!
//! *Never:* what a group is for.

use crds::{PushGroup, PushGroupSpec};
use kube::{core::DeserializeGuard, runtime::watcher::Event};

/// A group, if it can be read.
#[must_use]
pub fn readable(group: DeserializeGuard<PushGroup>) -> Option<PushGroup> {
    let unreadable = match group.0 {
        Ok(group) => return Some(group),
        Err(unreadable) => unreadable,
    };
    let (namespace, name) = (unreadable.metadata.namespace.as_deref(), unreadable.metadata.name.as_deref());
    tracing::warn!(error = unreadable.error, namespace, name, "left out a PushGroup that cannot be read");
    None
}

/// An event of the groups that can be read. One that becomes unreadable is gone: nothing is done by what it once said.
#[must_use]
pub fn readable_event(event: Event<DeserializeGuard<PushGroup>>) -> Option<Event<PushGroup>> {
    match event {
        Event::Apply(group) => {
            let gone = bare(&group);
            Some(readable(group).map_or(Event::Delete(gone), Event::Apply))
        }
        Event::Delete(group) => Some(Event::Delete(bare(&group))),
        Event::Init => Some(Event::Init),
        Event::InitApply(group) => readable(group).map(Event::InitApply),
        Event::InitDone => Some(Event::InitDone),
    }
}

/// Of a group, what it is called.
fn bare(group: &DeserializeGuard<PushGroup>) -> PushGroup {
    let metadata = match &group.0 {
        Ok(group) => group.metadata.clone(),
        Err(unreadable) => unreadable.metadata.clone(),
    };
    PushGroup { metadata, spec: PushGroupSpec::default(), status: None }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use futures::{StreamExt as _, stream};
    use kube::ResourceExt as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::cache::cache;

    fn group(name: &str, spec: Value) -> DeserializeGuard<PushGroup> {
        serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1",
            "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": name, "uid": name},
            "spec": spec,
        }))
        .unwrap()
    }

    fn good(name: &str) -> DeserializeGuard<PushGroup> {
        group(name, json!({"selector": {}, "staleAfter": "1h"}))
    }

    fn bad(name: &str) -> DeserializeGuard<PushGroup> {
        group(name, json!({"selector": {}, "staleAfter": "no duration"}))
    }

    /// The groups a cache has after some events.
    async fn check(events: Vec<Event<DeserializeGuard<PushGroup>>>, expected: &[&str]) {
        let (cache, writer) = cache();
        let events = stream::iter(events.into_iter().filter_map(readable_event).map(Ok));
        let _seen: Vec<_> = writer.fill(events).collect().await;
        let mut names: Vec<_> = cache.all().iter().map(|group| group.name_any()).collect();
        names.sort();
        assert_eq!(names, expected);
        assert!(cache.is_known());
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_read_does_not_stop_the_others() {
        use Event::{Apply, Init, InitApply, InitDone};
        let events = vec![Init, InitApply(good("a")), InitApply(bad("b")), InitApply(good("c")), InitDone];
        check(events, &["a", "c"]).await;
        check(vec![Init, InitDone, Apply(bad("a")), Apply(good("b"))], &["b"]).await;
    }

    #[tokio::test]
    async fn a_group_that_becomes_unreadable_is_gone_until_it_can_be_read() {
        use Event::{Apply, Delete, Init, InitApply, InitDone};
        check(vec![Init, InitApply(good("a")), InitDone, Apply(bad("a"))], &[]).await;
        check(vec![Init, InitApply(good("a")), InitDone, Apply(bad("a")), Apply(good("a"))], &["a"]).await;
        check(vec![Init, InitApply(good("a")), InitDone, Delete(bad("a"))], &[]).await;
    }
}
