//! What wakes a `PushGroup`'s reconcile: the group itself, its pods, its Service; besides these a collection pass and time.
//! A pod that is a member changes no more than counts, which may wait a moment; but its last word is told at once, and so
//! is a pod that has no group, or one that does not exist.
//!
//! Groups and pods are watched by every replica, into caches that admission and service discovery read too, so that who
//! comes to lead has them: they are told to whoever reconciles at the moment, if anybody does. Pods are trimmed on arrival
//! to what is used of them: ten thousand are kept in memory. Services are watched while leading only, and of them the
//! metadata, to notice that somebody changed one.
//!
//! *Never:* what a reconcile does.

use std::{
    collections::{BTreeMap, VecDeque},
    future,
    sync::Arc,
};

use crds::{
    PushGroup,
    names::{INJECT, INJECTED_LABEL, MANAGED_BY, MANAGED_BY_LABEL, PUSH_GROUP_LABEL, SIDECAR_CONTAINER, SIDECAR_HASH},
};
use futures::{
    Stream, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, Service};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        reflector::ObjectRef,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{
    Context,
    gathering::{Wake, gathered},
    ledger::Ending,
    membership::group_for,
    memory::Memory,
    readable::readable_event,
};
use crate::{
    cache::{Cache, CacheWriter, watch_scope},
    gc::targets::group_of,
    hearing::{self, Hearing},
    scope::Scope,
};

/// How many wakes may wait for the controller; who falls behind wakes every group instead.
const WAKES: usize = 1024;

/// Groups that something happened to, for whoever reconciles at the moment.
#[derive(Clone)]
pub struct Wakes {
    groups: Cache<PushGroup>,
    sender: broadcast::Sender<ObjectRef<PushGroup>>,
}

/// Watches the groups that can be read, listening to what is told of them, keeps them in a store, and names each that
/// changes.
fn from_groups(
    client: &Client,
    scope: &Scope,
    hearing: &Hearing,
    known: &Cache<PushGroup>,
    groups: CacheWriter<PushGroup>,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let client = hearing.listening(client);
    let events = watch_scope(scope, &client, groups.store(), |api: Api<DeserializeGuard<PushGroup>>| {
        let (hearing, namespace) = (hearing.clone(), api.namespace().map(str::to_owned));
        let events = watcher(api, watcher::Config::default().timeout(hearing::WATCH)).default_backoff();
        let events = events.inspect_ok(move |event| {
            if matches!(event, Event::InitDone) {
                hearing.heard(namespace.as_deref());
            }
        });
        events.filter_map(|event| future::ready(event.map(readable_event).transpose()))
    });
    let known = known.clone();
    let seen = groups.fill(events).filter_map(|event| future::ready(told("pushgroups", event)));
    seen.flat_map(move |event| stream::iter(touched(event, &known, |group| Some(ObjectRef::from_obj(group)))))
}

/// Watches injected pods, keeps them in a store, and names the group of each that changes, or the one that it ought to
/// have.
pub fn from_pods(
    client: &Client,
    scope: &Scope,
    memory: &Arc<Memory>,
    groups: &Cache<PushGroup>,
    pods: CacheWriter<Pod>,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let (memory, groups) = (memory.clone(), groups.clone());
    let config = watcher::Config::default().labels(&format!("{INJECTED_LABEL}=true"));
    let events =
        watch_scope(scope, client, pods.store(), |api| watcher(api, config.clone()).default_backoff().modify(trim));
    let seen = pods.fill(events).filter_map(|event| future::ready(told("pods", event)));
    let wakes = seen.flat_map(move |event| {
        // Right now: a pod that is deleted is gone a moment after its last word.
        if let Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod) = &event
            && let (Some(group), Some(ending)) = (labelled_group(pod), Ending::of(pod))
        {
            memory.ended(&group, ending, |one| !groups.is_known() || groups.get(one).is_some());
        }
        stream::iter(wakes(event, &groups))
    });
    gathered(wakes)
}

/// Watches our Services; a change of one makes its group's objects due.
pub fn from_services(ctx: &Arc<Context>) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let config = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let ctx_of_stream = ctx.clone();
    let apis = ctx.scope.apis::<PartialObjectMeta<Service>>(&ctx.client);
    let watches = apis.into_iter().map(|api| watcher(api, config.clone()).default_backoff().touched_objects().boxed());
    stream::select_all(watches).filter_map(move |service| {
        let owner = told("services", service).and_then(|service| owner_of(&service));
        if let Some(owner) = &owner {
            ctx_of_stream.memory.touch(owner);
        }
        future::ready(owner)
    })
}

// === impl Wakes ===

impl Wakes {
    /// Wakes of the groups of a cache.
    #[must_use]
    pub fn new(groups: Cache<PushGroup>) -> Self {
        Self { groups, sender: broadcast::Sender::new(WAKES) }
    }

    /// Watches groups and pods for as long as it is polled, whether anybody listens or not.
    pub async fn watch(
        &self,
        client: &Client,
        scope: &Scope,
        hearing: &Hearing,
        memory: &Arc<Memory>,
        groups: CacheWriter<PushGroup>,
        pods: CacheWriter<Pod>,
    ) {
        let pods = from_pods(client, scope, memory, &self.groups, pods);
        let touched = stream::select(from_groups(client, scope, hearing, &self.groups, groups), pods);
        touched
            .for_each(|group| {
                // An error means that nobody listens.
                let _ = self.sender.send(group);
                future::ready(())
            })
            .await;
    }

    /// Something happened to a group, or to what it has pods for.
    pub fn wake(&self, namespace: &str, name: &str) {
        // An error means that nobody listens.
        let _ = self.sender.send(ObjectRef::new(name).within(namespace));
    }

    /// All groups there are, then each that something happens to.
    #[must_use]
    pub fn listen(&self) -> BoxStream<'static, ObjectRef<PushGroup>> {
        let (receiver, groups) = (self.sender.subscribe(), self.groups.clone());
        let all = move || groups.all().iter().map(|group| ObjectRef::from_obj(&**group)).collect::<VecDeque<_>>();
        let state = (receiver, all(), all);
        stream::unfold(state, |(mut receiver, mut waiting, all)| async move {
            loop {
                if let Some(group) = waiting.pop_front() {
                    return Some((group, (receiver, waiting, all)));
                }
                match receiver.recv().await {
                    Ok(group) => waiting.push_back(group),
                    Err(RecvError::Lagged(_)) => waiting = all(),
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}

/// The groups that something watched is about. A listing is in the store only once it is done, and does not say what is
/// gone: then it may be any.
fn touched<K>(
    event: Event<K>,
    groups: &Cache<PushGroup>,
    group_of: impl Fn(&K) -> Option<ObjectRef<PushGroup>>,
) -> Vec<ObjectRef<PushGroup>> {
    match event {
        Event::Apply(object) | Event::Delete(object) => group_of(&object).into_iter().collect(),
        Event::Init | Event::InitApply(_) => Vec::new(),
        Event::InitDone => groups.all().iter().map(|group| ObjectRef::from_obj(&**group)).collect(),
    }
}

/// The groups that an event of a pod is about, and how soon they want to know.
fn wakes(event: Event<Pod>, groups: &Cache<PushGroup>) -> Vec<Wake> {
    let may_wait = match &event {
        Event::Apply(pod) | Event::Delete(pod) => {
            labelled_group(pod).is_some_and(|group| groups.get(&group).is_some()) && Ending::of(pod).is_none()
        }
        Event::Init | Event::InitApply(_) | Event::InitDone => false,
    };
    let wake = if may_wait { Wake::Soon } else { Wake::Now };
    touched(event, groups, |pod| group_of_pod(pod, groups)).into_iter().map(wake).collect()
}

fn told<T>(what: &'static str, seen: Result<T, watcher::Error>) -> Option<T> {
    seen.inspect_err(|error| tracing::warn!(%error, what, "a watch broke and is taken up again")).ok()
}

fn labelled_group(pod: &Pod) -> Option<ObjectRef<PushGroup>> {
    group_of(pod).map(|(namespace, name)| ObjectRef::new(&name).within(&namespace))
}

fn group_of_pod(pod: &Pod, groups: &Cache<PushGroup>) -> Option<ObjectRef<PushGroup>> {
    labelled_group(pod).or_else(|| {
        let beside = groups.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default());
        group_for(pod, &beside).map(|group| ObjectRef::from_obj(&*group))
    })
}

fn owner_of(service: &PartialObjectMeta<Service>) -> Option<ObjectRef<PushGroup>> {
    let owners = service.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.kind == PushGroup::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&service.namespace()?))
}

/// Drops all of a pod but its identity, its group with the version of its sidecar or what it takes to find a group, and the
/// state of its sidecar.
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
    let kept = if is_member { SIDECAR_HASH } else { INJECT };
    let annotation = metadata.annotations.and_then(|mut annotations| annotations.remove_entry(kept));
    pod.metadata.annotations = annotation.map(|annotation| BTreeMap::from([annotation]));
    pod.spec = None;
    let Some(status) = pod.status.take() else { return };
    let mut sidecars = status.init_container_statuses.unwrap_or_default();
    sidecars.retain(|container| container.name == SIDECAR_CONTAINER);
    sidecars.shrink_to_fit();
    for sidecar in &mut sidecars {
        // Identifiers of images are longer than all the rest.
        *sidecar = ContainerStatus {
            name: std::mem::take(&mut sidecar.name),
            state: sidecar.state.take(),
            last_state: sidecar.last_state.take(),
            restart_count: sidecar.restart_count,
            ready: sidecar.ready,
            ..ContainerStatus::default()
        };
    }
    let kept = pod.status.get_or_insert_default();
    kept.phase = status.phase;
    kept.pod_ip = status.pod_ip;
    kept.init_container_statuses = Some(sidecars);
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, pin::pin, time::Duration};

    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::{cache::cache, gc::targets::target};

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "data", "name": "etl-1", "uid": "uid-1", "resourceVersion": "7",
                "labels": {"sidegate.dev/pushgroup": "nightly", "app": "etl"},
                "annotations": {"long": "text", "sidegate.dev/inject": "true", "sidegate.dev/sidecar-hash": "0123456789abcdef"},
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
        let version = BTreeMap::from([(SIDECAR_HASH.to_owned(), "0123456789abcdef".to_owned())]);
        assert_eq!((trimmed.labels().len(), trimmed.metadata.annotations), (1, Some(version)));
        assert!(trimmed.spec.is_none() && trimmed.metadata.managed_fields.is_none());
        assert_eq!(trimmed.status.unwrap().init_container_statuses.unwrap().len(), 1);
    }

    #[test]
    fn a_trimmed_pod_keeps_its_last_word() {
        let mut ended = pod();
        let sidecars = ended.status.as_mut().unwrap().init_container_statuses.as_mut().unwrap();
        let sidecar = sidecars.iter_mut().find(|container| container.name == SIDECAR_CONTAINER).unwrap();
        sidecar.state = serde_json::from_value(json!({"terminated": {
            "exitCode": 0, "message": "3 groups unseen", "finishedAt": "2026-01-01T00:00:00Z",
        }}))
        .unwrap();
        trim(&mut ended);
        let ending = Ending::of(&ended).unwrap();
        assert_eq!(ending.to_string(), "Pod etl-1 ended with 3 groups that no scrape had seen");
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
    fn only_what_changes_counts_alone_may_wait() {
        let known: PushGroup = serde_json::from_value(group("nightly", "1h")).unwrap();
        let groups = Cache::of(vec![known]);
        let (now, soon) = (Wake::Now, Wake::Soon);
        let named = |name: &str| ObjectRef::new(name).within("data");
        for event in [Event::Apply(pod()), Event::Delete(pod())] {
            assert_eq!(wakes(event, &groups), [soon(named("nightly"))]);
        }
        let mut ended = pod();
        let sidecars = ended.status.as_mut().unwrap().init_container_statuses.as_mut().unwrap();
        sidecars[1].state = serde_json::from_value(json!({"terminated": {
            "exitCode": 0, "message": "3 groups unseen", "finishedAt": "2026-01-01T00:00:00Z",
        }}))
        .unwrap();
        assert_eq!(wakes(Event::Apply(ended), &groups), [now(named("nightly"))]);
        let mut missing = pod();
        missing.labels_mut().insert(PUSH_GROUP_LABEL.to_owned(), "missing".to_owned());
        assert_eq!(wakes(Event::Apply(missing), &groups), [now(named("missing"))]);
        let mut unassigned = pod();
        unassigned.labels_mut().remove(PUSH_GROUP_LABEL);
        assert_eq!(wakes(Event::Apply(unassigned), &groups), [now(named("nightly"))]);
        assert_eq!(wakes(Event::InitDone, &groups), [now(named("nightly"))]);
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

    #[tokio::test]
    async fn a_listing_wakes_once_all_of_it_is_known() {
        let group = |name: &str, stale_after: &str| serde_json::from_value(group(name, stale_after)).unwrap();
        let (groups, writer) = cache::<PushGroup>();
        let listing = |all: Vec<PushGroup>| {
            let all = all.into_iter().map(Event::InitApply);
            [Event::Init].into_iter().chain(all).chain([Event::InitDone]).map(Ok).collect::<Vec<_>>()
        };
        let first = listing(vec![group("gone", "1h"), group("changed", "1h")]);
        let second = listing(vec![group("new", "1h"), group("changed", "2h")]);
        let mut filling = pin!(writer.fill(stream::iter(first.into_iter().chain(second))));
        let mut woken = Vec::new();
        while let Some(event) = filling.next().await {
            for name in touched(event.unwrap(), &groups, |group| Some(ObjectRef::from_obj(group))) {
                let stale_after = groups.get(&name).unwrap().spec.stale_after.as_ref().unwrap().to_string();
                woken.push(format!("{} {stale_after}", name.name));
            }
        }
        woken[..2].sort();
        woken[2..].sort();
        assert_eq!(woken, ["changed 1h", "gone 1h", "changed 2h", "new 1h"]);
    }

    fn group(name: &str, stale_after: &str) -> Value {
        json!({
            "apiVersion": "sidegate.dev/v1alpha1",
            "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": name, "uid": name},
            "spec": {"selector": {}, "staleAfter": stale_after},
        })
    }

    #[tokio::test]
    async fn who_comes_to_listen_hears_of_all_groups_and_then_of_each_that_changes() {
        let groups = ["one", "two"].map(|name| serde_json::from_value(group(name, "1h")).unwrap());
        let wakes = Wakes::new(Cache::of(groups.into()));
        // Nobody hears it.
        assert!(wakes.sender.send(ObjectRef::new("lost")).is_err());
        let listen = wakes.listen();
        wakes.sender.send(ObjectRef::new("three").within("data")).unwrap();
        let heard: BTreeSet<_> = listen.take(3).map(|group| group.name).collect().await;
        assert_eq!(heard.into_iter().collect::<Vec<_>>(), ["one", "three", "two"]);
    }

    #[tokio::test]
    async fn who_falls_behind_hears_of_all_groups_again() {
        let wakes = Wakes::new(Cache::of(vec![serde_json::from_value(group("one", "1h")).unwrap()]));
        let mut listen = wakes.listen();
        assert_eq!(listen.next().await.unwrap().name, "one");
        for _ in 0..=WAKES {
            wakes.sender.send(ObjectRef::new("two")).unwrap();
        }
        assert_eq!(listen.next().await.unwrap().name, "one");
        assert_eq!(listen.next().await.unwrap().name, "two");
    }

    #[tokio::test]
    async fn groups_that_can_be_read_are_known_whether_anybody_listens_or_not() {
        let answer = |kind: &str, items: Value| {
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items}).to_string()
        };
        let groups_there = answer("PushGroupList", json!([group("broken", "no duration"), group("nightly", "1h")]));
        let no_pods = answer("PodList", json!([]));
        let (asked, watches) = futures::channel::mpsc::unbounded();
        let service = tower::service_fn(move |request: axum::http::Request<Body>| {
            asked.unbounded_send(request.uri().to_string()).unwrap();
            let list = if request.uri().path().ends_with("/pods") { no_pods.clone() } else { groups_there.clone() };
            async move {
                if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                    future::pending::<()>().await;
                }
                Ok::<_, std::io::Error>(axum::http::Response::new(axum::body::Body::from(list)))
            }
        });
        let ((groups, group_writer), (pods, pod_writer)) = (cache(), cache());
        let (client, wakes) = (Client::new(service, "default"), Wakes::new(groups.clone()));
        let (memory, hearing) = (Arc::<Memory>::default(), Hearing::default());
        assert!(hearing.is_silent("data"));
        let watching = wakes.watch(&client, &Scope::All, &hearing, &memory, group_writer, pod_writer);
        // What was listed is watched for as short as it takes to hear of it.
        let short = format!("timeoutSeconds={}", hearing::WATCH);
        let is_watch =
            |uri: &String| uri.contains("/pushgroups?") && uri.contains("watch=true") && uri.contains(&short);
        let known = async {
            groups.until_known().await
                && pods.until_known().await
                && watches.any(|uri| future::ready(is_watch(&uri))).await
        };
        tokio::select! {
            () = watching => panic!("a watch does not end"),
            known = tokio::time::timeout(Duration::from_secs(10), known) => assert!(known.unwrap()),
        }
        let names: Vec<_> = groups.all().iter().map(|group| group.name_any()).collect();
        assert_eq!(names, ["nightly"]);
        assert!(!hearing.is_silent("data"));
    }
}
