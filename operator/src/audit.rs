//! The audit: pods that ask for a sidecar and have none, because the webhook did not answer when they were made, or
//! because they were there before anybody asked. Only the leader audits.
//!
//! The webhook tells of all it sees; what it does not see tells nobody, so all pods that were not injected are watched:
//! by their metadata alone, without those that have ended, both of which the API server selects. Annotations cannot be
//! selected, so in a cluster of 50,000 pods all of them pass by once, some hundred megabytes in pages of 500, and then
//! those that change. A listing now and then would cost the first again each time, and tell later. What does not ask is
//! not kept. Of what asks, the whole pod is read once, and the decision of the admission says whether it would have a
//! sidecar now: one that was skipped for a reason was told of at its admission.
//!
//! A pod that says it was injected may have no sidecar either, where its template was copied from a pod that had one. Such
//! pods are looked for now and then among those that every replica keeps: they run, and no sidecar has a state. That misses
//! one whose label is there with another value than `true`.
//!
//! *Never:* giving a pod a sidecar, which only its replacement has.

mod book;
pub mod missing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crds::{
    PushGroup,
    names::{INJECT, INJECTED_LABEL, OPERATOR_POD_LABEL, PUSH_GROUP_LABEL, SIDECAR_CONTAINER, SYSTEM_NAMESPACES},
};
use futures::{
    Stream, StreamExt as _,
    stream::{self, FuturesUnordered},
};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, ObjectMeta},
    core::{DynamicObject, PartialObjectMeta},
    discovery::ApiResource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::time::{Instant, interval, sleep_until};

use self::{
    book::{Book, Candidate},
    missing::Missing,
};
use crate::{
    cache::Cache,
    config::SidecarImage,
    controller::wakes::Wakes,
    events::{Events, Kind},
    injection::{
        inject::{Injected, Outcome, Surroundings, inject},
        limit_ranges::LimitRanges,
        namespaces::Namespaces,
        pod::RawPod,
        webhook::telling::controller_of,
    },
    scope::Scope,
    stop::Stop,
};

/// How many pods are read at a time.
const AT_A_TIME: usize = 4;

/// How long reading one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before a pod that could not be read is tried again, or a namespace that could not be listed.
const PAUSE: Duration = Duration::from_secs(5);

/// How often pods that say they were injected are looked through.
const SWEEP: Duration = Duration::from_secs(60);

/// After so many pods their groups are woken at the latest.
const WAKE_EVERY: usize = 256;

/// The annotation of a pod that stands for a file on a node.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The reason of the Event.
const MISSING: &str = "SidecarMissing";

/// What the audit needs.
#[derive(Clone)]
pub struct Audit {
    /// The API server.
    pub client: Client,
    /// Where it works.
    pub scope: Scope,
    /// The operator's own namespace, where nothing is injected.
    pub own_namespace: String,
    /// What would have been injected.
    pub image: Arc<SidecarImage>,
    /// What namespaces say.
    pub namespaces: Namespaces,
    /// The bounds of namespaces.
    pub limit_ranges: LimitRanges,
    /// All groups.
    pub groups: Cache<PushGroup>,
    /// The pods that say they were injected.
    pub pods: Cache<Pod>,
    /// Where it is written down.
    pub missing: Missing,
    /// Who wants to know.
    pub wakes: Wakes,
    /// What is worth telling about an object.
    pub events: Events,
}

/// What the reading of a pod has shown.
#[derive(Debug)]
enum Examined {
    /// It would have a sidecar, and has none: who is told, and the group that it names.
    Missing { about: Box<ObjectReference>, named: Option<String> },
    /// It would have none either.
    Excused,
    /// It is gone.
    Gone,
    /// The API server did not say.
    Unknown,
}

/// A namespace, whether its pods are looked at, and what it asks for.
type Said = (String, bool, Option<String>);

type Seen = (usize, Result<Event<PartialObjectMeta<Pod>>, watcher::Error>);

// === impl Audit ===

impl Audit {
    /// Audits until the end is asked for.
    pub async fn run(self, stop: Stop) {
        tokio::select! {
            () = self.audit() => {}
            () = stop.requested() => {}
        }
        // Whoever leads next finds it out anew.
        let groups = self.missing.forget(&self.groups);
        self.wake(groups);
    }

    async fn audit(&self) {
        let known = [self.namespaces.cache().until_known().await, self.groups.until_known().await];
        if known.contains(&false) || !self.pods.until_known().await {
            return;
        }
        let mut changes = self.namespaces.cache().changes();
        let mut book = Book::default();
        (0..=self.swept()).for_each(|part| book.begin(part));
        let mut sweep = interval(SWEEP);
        let mut said = self.said();
        let mut seen = self.watch();
        let mut examining = FuturesUnordered::new();
        let (mut woken, mut examined) = (BTreeSet::new(), 0);
        // Namespaces that are to be listed, and when.
        let mut unlisted = BTreeMap::<String, Instant>::new();
        loop {
            while examining.len() < AT_A_TIME
                && let Some(candidate) = book.next()
            {
                examining.push(self.examine(candidate));
            }
            if book.is_complete() && examining.is_empty() && self.missing.set_known() {
                let all = self.groups.all();
                self.wake(all.iter().filter_map(|group| Some((group.namespace()?, group.name_any()))));
            }
            if examining.is_empty() || examined == WAKE_EVERY {
                self.wake(std::mem::take(&mut woken));
                examined = 0;
            }
            tokio::select! {
                Some((part, event)) = seen.next() => woken.extend(self.see(&mut book, part, event)),
                Some((candidate, found)) = examining.next() => {
                    woken.extend(self.note(&mut book, &candidate, found));
                    examined += 1;
                }
                _ = sweep.tick() => woken.extend(self.sweep(&mut book)),
                () = changes.next() => {
                    let now = self.said();
                    woken.extend(self.keep_out(&mut book));
                    let changed = said.symmetric_difference(&now).map(|(namespace, ..)| namespace.clone());
                    unlisted.extend(changed.map(|namespace| (namespace, Instant::now())));
                    said = now;
                }
                namespace = next_of(&unlisted) => {
                    let (groups, is_listed) = self.list(&mut book, &namespace).await;
                    woken.extend(groups);
                    unlisted.remove(&namespace);
                    if !is_listed {
                        unlisted.insert(namespace, Instant::now() + PAUSE);
                    }
                }
                else => return,
            }
        }
    }

    /// Metadata of all pods that run and were not injected.
    fn watch(&self) -> impl Stream<Item = Seen> + Send + Unpin + 'static {
        let apis = self.scope.apis::<PartialObjectMeta<Pod>>(&self.client).into_iter().enumerate();
        let watches =
            apis.map(|(part, api)| watcher(api, selected()).default_backoff().map(move |event| (part, event)).boxed());
        stream::select_all(watches)
    }

    /// Looks through the pods that say they were injected; the groups that this is about.
    fn sweep(&self, book: &mut Book) -> Vec<(String, String)> {
        let part = self.swept();
        book.begin(part);
        for pod in self.pods.all().iter().filter(|pod| runs_without_sidecar(pod)) {
            // Of a pod of a group only that is kept; what it asks itself is read with the rest.
            let own = pod.labels().get(PUSH_GROUP_LABEL).map(String::as_str);
            if let Some(candidate) = self.candidate(&pod.metadata, own) {
                book.add(part, candidate);
            }
        }
        let gone = book.end(part);
        self.missing.remove(&gone, &self.groups)
    }

    /// The part of the book that no watch fills.
    fn swept(&self) -> usize {
        match &self.scope {
            Scope::All => 1,
            Scope::Namespaces(names) => names.len(),
        }
    }

    /// Writes down what the watch says; the groups that this is about.
    fn see(
        &self,
        book: &mut Book,
        part: usize,
        event: Result<Event<PartialObjectMeta<Pod>>, watcher::Error>,
    ) -> Vec<(String, String)> {
        let gone = match event {
            Ok(Event::Init) => {
                book.begin(part);
                Vec::new()
            }
            Ok(Event::InitApply(pod) | Event::Apply(pod)) => match self.candidate(&pod.metadata, None) {
                Some(candidate) => {
                    book.add(part, candidate);
                    Vec::new()
                }
                None => book.remove(&pod.uid().unwrap_or_default()),
            },
            Ok(Event::Delete(pod)) => book.remove(&pod.uid().unwrap_or_default()),
            Ok(Event::InitDone) => book.end(part),
            Err(error) => {
                tracing::warn!(%error, what = "pods of the audit", "a watch broke and is taken up again");
                Vec::new()
            }
        };
        self.missing.remove(&gone, &self.groups)
    }

    /// A pod that asks for a sidecar, by its metadata and by what is known of it besides.
    fn candidate(&self, metadata: &ObjectMeta, known: Option<&str>) -> Option<Candidate> {
        let namespace = metadata.namespace.clone()?;
        let (labels, annotations) = (metadata.labels.as_ref(), metadata.annotations.as_ref());
        let is_mirror = annotations.is_some_and(|annotations| annotations.contains_key(MIRROR));
        if metadata.deletion_timestamp.is_some() || is_mirror || !self.is_looked_at(&namespace) {
            return None;
        }
        let own = [labels, annotations].into_iter().flatten().find_map(|said| said.get(INJECT)).map(String::as_str);
        let own = own.or(known).map(str::to_owned);
        let asked = own.or_else(|| self.namespaces.cached_value(&namespace)).filter(|value| value != "false")?;
        let (uid, name) = (metadata.uid.clone()?, metadata.name.clone()?);
        Some(Candidate { uid, name, namespace, asked, labels: labels.cloned().unwrap_or_default() })
    }

    /// Whether the webhook is sent pods of a namespace.
    fn is_looked_at(&self, namespace: &str) -> bool {
        let is_kept_out = namespace == self.own_namespace || SYSTEM_NAMESPACES.contains(&namespace);
        !is_kept_out && self.scope.has(namespace) && !self.namespaces.is_switched_off(namespace)
    }

    /// What namespaces say about their pods: whether they are kept out, and what they ask for.
    fn said(&self) -> BTreeSet<Said> {
        let all = self.namespaces.cache().all();
        let said = all.iter().map(|namespace| {
            let name = namespace.name_any();
            let (is_looked_at, value) = (self.is_looked_at(&name), self.namespaces.cached_value(&name));
            (name, is_looked_at, value)
        });
        // Most say nothing; one that comes or goes with its pods is no change.
        said.filter(|(name, _, value)| value.is_some() || self.namespaces.is_switched_off(name)).collect()
    }

    /// Pods of namespaces that are kept out now go.
    fn keep_out(&self, book: &mut Book) -> Vec<(String, String)> {
        let gone = book.retain(|namespace| self.is_looked_at(namespace));
        self.missing.remove(&gone, &self.groups)
    }

    /// Looks at the pods of a namespace whose word has changed; the groups that this is about, and whether all were seen.
    async fn list(&self, book: &mut Book, namespace: &str) -> (Vec<(String, String)>, bool) {
        let mut groups = Vec::new();
        if !self.scope.has(namespace) {
            return (groups, true);
        }
        let api = Api::<PartialObjectMeta<Pod>>::namespaced(self.client.clone(), namespace);
        let mut more = Some(String::new());
        while let Some(token) = more.take() {
            let mut page = ListParams::default().labels(&not_injected()).fields(RUNNING).limit(500);
            page.continue_token = Some(token).filter(|token| !token.is_empty());
            match tokio::time::timeout(PATIENCE, api.list(&page)).await {
                Ok(Ok(listed)) => {
                    more = listed.metadata.continue_.clone().filter(|token| !token.is_empty());
                    for pod in listed.items {
                        groups.extend(self.see(book, self.part_of(namespace), Ok(Event::Apply(pod))));
                    }
                }
                // The watch lists again only when it has to, which may be never.
                Ok(Err(error)) => {
                    tracing::warn!(%error, namespace, again_in = ?PAUSE, "cannot list pods for the audit");
                    return (groups, false);
                }
                Err(_) => {
                    tracing::warn!(namespace, again_in = ?PAUSE, "cannot list pods for the audit: no answer in time");
                    return (groups, false);
                }
            }
        }
        (groups, true)
    }

    fn part_of(&self, namespace: &str) -> usize {
        match &self.scope {
            Scope::All => 0,
            Scope::Namespaces(names) => names.iter().position(|name| name == namespace).unwrap_or_default(),
        }
    }

    /// Reads the pod and decides as at its admission.
    async fn examine(&self, mut candidate: Candidate) -> (Candidate, Examined) {
        let found = match tokio::time::timeout(PATIENCE, self.read(&candidate)).await {
            Ok(Ok(Some(pod))) => {
                // What was known of it may have been less.
                candidate.labels = RawPod::new(&pod).labels();
                self.decide(&candidate, &pod)
            }
            Ok(Ok(None)) => Examined::Gone,
            Ok(Err(error)) => {
                tracing::warn!(%error, namespace = candidate.namespace, pod = candidate.name, "cannot audit a pod");
                Examined::Unknown
            }
            Err(_) => Examined::Unknown,
        };
        if matches!(found, Examined::Unknown) {
            tokio::time::sleep(PAUSE).await;
        }
        (candidate, found)
    }

    /// The pod as the API server has it; `None` if it is gone.
    async fn read(&self, candidate: &Candidate) -> Result<Option<serde_json::Value>, kube::Error> {
        // The right to list is there for the watch; one by name would be a right more.
        let pods = ApiResource::erase::<Pod>(&());
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &candidate.namespace, &pods);
        let this = ListParams::default().fields(&format!("metadata.name={}", candidate.name));
        let listed = api.list(&this).await?;
        let pod = listed.items.into_iter().find(|pod| pod.metadata.uid.as_ref() == Some(&candidate.uid));
        pod.map(|pod| serde_json::to_value(pod).map_err(kube::Error::SerdeError)).transpose()
    }

    fn decide(&self, candidate: &Candidate, pod: &serde_json::Value) -> Examined {
        let (pod, namespace) = (RawPod::new(pod), candidate.namespace.as_str());
        let groups = self.groups.in_namespace(namespace);
        let value = self.namespaces.cached_value(namespace);
        let Ok(limit_ranges) = self.limit_ranges.cached(namespace) else { return Examined::Unknown };
        let around = Surroundings {
            image: &self.image,
            namespace_value: value.as_deref(),
            groups: &groups,
            limit_ranges: &limit_ranges,
        };
        match inject(pod, &around) {
            Ok(Outcome::Injected(Injected { group, reason, .. })) => Examined::Missing {
                about: Box::new(controller_of(pod, namespace).unwrap_or_else(|| candidate.reference())),
                named: group.filter(|_| reason == "named"),
            },
            Ok(Outcome::Untouched(_) | Outcome::Skipped(_)) => Examined::Excused,
            Err(error) => {
                tracing::error!(%error, namespace, pod = candidate.name, "cannot audit a pod");
                Examined::Excused
            }
        }
    }

    /// Writes down what was found, unless the pod has gone or changed meanwhile; the groups that this is about.
    fn note(&self, book: &mut Book, candidate: &Candidate, found: Examined) -> Vec<(String, String)> {
        let healed = match found {
            Examined::Missing { about, named } => {
                if book.settle(candidate, true).is_none() {
                    return Vec::new();
                }
                self.tell(candidate, *about);
                return self.missing.add(candidate, named, &self.groups);
            }
            Examined::Excused => book.settle(candidate, false).unwrap_or_default(),
            Examined::Gone => book.remove(&candidate.uid),
            Examined::Unknown => {
                book.again(candidate);
                Vec::new()
            }
        };
        self.missing.remove(&healed, &self.groups)
    }

    fn tell(&self, candidate: &Candidate, about: ObjectReference) {
        let whose = if about.kind.as_deref() == Some("Pod") { "The pod asks" } else { "A pod of it asks" };
        let message = format!(
            "{whose} for a sidecar and has none: the webhook did not answer when it was made, or it was there before \
             anybody asked; delete the pod to have it replaced"
        );
        tracing::warn!(namespace = candidate.namespace, pod = candidate.name, "a pod that asks for a sidecar has none");
        self.events.tell(about, Kind::Warning, MISSING, message);
    }

    fn wake(&self, groups: impl IntoIterator<Item = (String, String)>) {
        for (namespace, name) in groups {
            self.wakes.wake(&namespace, &name);
        }
    }
}

/// Whether a pod runs, by its state, and no sidecar in it ever did.
fn runs_without_sidecar(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let mut states = status.init_container_statuses.iter().flatten();
    status.phase.as_deref() == Some("Running") && !states.any(|state| state.name == SIDECAR_CONTAINER)
}

/// The namespace whose time comes first, when it has come.
async fn next_of(unlisted: &BTreeMap<String, Instant>) -> String {
    let Some((namespace, at)) = unlisted.iter().min_by_key(|(_, at)| **at) else { return std::future::pending().await };
    sleep_until(*at).await;
    namespace.clone()
}

/// Selects pods that have not ended.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Selects pods that were not injected, but for those that the webhook is not asked about.
fn not_injected() -> String {
    let (name, operator) = OPERATOR_POD_LABEL;
    format!("!{INJECTED_LABEL},{name}!={operator}")
}

fn selected() -> watcher::Config {
    watcher::Config::default().labels(&not_injected()).fields(RUNNING)
}

#[cfg(test)]
mod tests;
