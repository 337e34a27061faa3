//! Older groups of the namespace whose selectors match the same pods: those pods are theirs, which may surprise whoever
//! made the younger one.
//!
//! Which pods two selectors match is the API server's to say, since labels of pods are not kept here. It is asked only
//! where an older group's selector does not exclude ours by itself, of the oldest of these, which have the pods if
//! several match; once a minute for each of them at the most, whatever it answers; and for no more pods than are told.
//!
//! *Never:* which pods a group gets, conditions.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::{PushGroup, names::INJECTED_LABEL, push_group::Gateway};
use futures::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::Pod,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, Time},
};
use kube::{
    Api, ResourceExt as _,
    api::ListParams,
    core::{Expression, Selector},
    runtime::reflector::ObjectRef,
};

use super::{Context, sharing::wants_monitor};
use crate::cache::{Cache, Changes};

/// For how long the answer about one older group is good.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Of how many older groups it is asked.
const MOST_ASKED: usize = 8;

/// How many pods are told; of more it is told that they are more.
pub const MOST_PODS: u32 = 100;

/// Of the pods that a selector matches, those that an older group has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The older group.
    pub older: String,
    /// The pods that both match; at most one more than [`MOST_PODS`].
    pub pods: u32,
}

/// By group, its UID and what it has a claim to.
type Claims = HashMap<ObjectRef<PushGroup>, (Option<String>, Claim)>;

/// What others of the namespace may have a claim to, too.
#[derive(Clone, Debug, PartialEq)]
enum Claim {
    /// To pods.
    Pods(LabelSelector),
    /// To a gateway, and whether to its monitor.
    Gateway(Gateway, bool),
}

/// What is remembered of each group between reconciles.
#[derive(Debug, Default)]
pub struct Overlaps {
    entries: Mutex<HashMap<ObjectRef<PushGroup>, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    /// The older groups and the selectors that were asked for.
    question: Vec<(String, String)>,
    at: Timestamp,
    overlaps: Vec<Overlap>,
}

/// The older groups that have pods which this group's selector matches, too.
pub async fn overlaps(ctx: &Context, group: &PushGroup, now: Timestamp) -> Vec<Overlap> {
    let known = ObjectRef::from_obj(group);
    let namespace = group.namespace().unwrap_or_default();
    let beside = ctx.groups.in_namespace(&namespace);
    let question = question(group, &beside);
    if question.is_empty() {
        ctx.overlaps.forget(&known);
        return Vec::new();
    }
    if let Some(overlaps) = ctx.overlaps.fresh(&known, &question, now) {
        return overlaps;
    }
    let pods = Api::<Pod>::namespaced(ctx.client.clone(), &namespace);
    let there = ctx.pods.in_namespace(&namespace);
    let are_few = ctx.pods.is_known() && u32::try_from(there.len()).is_ok_and(|pods| pods <= MOST_PODS);
    let mut overlaps = Vec::new();
    for (older, selector) in &question {
        match pods.list_metadata(&list(selector, are_few)).await {
            Ok(found) if found.items.is_empty() => {}
            Ok(found) => {
                let pods = u32::try_from(found.items.len()).unwrap_or(u32::MAX).min(MOST_PODS + 1);
                overlaps.push(Overlap { older: older.clone(), pods });
            }
            Err(error) => {
                tracing::debug!(%error, pushgroup = %known, older, "cannot ask which pods both match");
                // Not at each wake again.
                overlaps = ctx.overlaps.last(&known);
                break;
            }
        }
    }
    ctx.overlaps.keep(&known, Answer { question, at: now, overlaps: overlaps.clone() });
    overlaps
}

/// What makes an answer of another group untrue: groups that come and go, their selectors and gateways. Names the groups
/// of the namespace that have one of the kind themselves; of gateways, whose monitor it is may be another now.
pub fn from_groups(ctx: &Context) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let (groups, changes, memory) = (ctx.groups.clone(), ctx.groups.changes(), ctx.memory.clone());
    let before = claims(&groups);
    let woken = stream::unfold((groups, changes, before), after_a_change).flat_map(stream::iter);
    woken.map(move |(group, claim)| {
        match claim {
            Claim::Pods(_) => {}
            Claim::Gateway(..) => memory.touch(&group),
        }
        group
    })
}

async fn after_a_change(
    (groups, mut changes, before): (Cache<PushGroup>, Changes, Claims),
) -> Option<(Vec<(ObjectRef<PushGroup>, Claim)>, (Cache<PushGroup>, Changes, Claims))> {
    changes.next().await;
    let now = claims(&groups);
    let place = |group: &ObjectRef<PushGroup>, claim: &Claim| (group.namespace.clone(), claim.is_to_pods());
    let differ = |one: &Claims, other: &Claims| {
        let differ = one.iter().filter(|(group, known)| other.get(*group) != Some(*known));
        differ.map(|(group, (_, claim))| place(group, claim)).collect::<Vec<_>>()
    };
    let places: HashSet<_> = differ(&before, &now).into_iter().chain(differ(&now, &before)).collect();
    let woken = now.iter().filter(|(group, (_, claim))| places.contains(&place(group, claim)));
    let woken = woken.map(|(group, (_, claim))| (group.clone(), claim.clone())).collect();
    Some((woken, (groups, changes, now)))
}

/// The groups that have a claim and are to stay, and of each its UID and that.
fn claims(groups: &Cache<PushGroup>) -> Claims {
    let groups = groups.all();
    let known = |group: &Arc<PushGroup>| {
        let claim = match (&group.spec.selector, &group.spec.gateway) {
            (Some(selector), _) => Claim::Pods(selector.clone()),
            (None, Some(gateway)) => Claim::Gateway(gateway.clone(), wants_monitor(group)),
            (None, None) => return None,
        };
        Some((ObjectRef::from_obj(&**group), (group.uid(), claim)))
    };
    groups.iter().filter(|group| !group.is_going()).filter_map(known).collect()
}

/// Few pods are listed from the API server's cache, which knows no limit; of many, only as many as are told.
fn list(selector: &str, are_few: bool) -> ListParams {
    let params = ListParams::default().labels(selector).fields("status.phase!=Succeeded,status.phase!=Failed");
    if are_few { params.match_any() } else { params.limit(MOST_PODS + 1) }
}

/// The oldest groups whose selector does not exclude this group's by itself, each with the selector of both.
fn question(group: &PushGroup, beside: &[Arc<PushGroup>]) -> Vec<(String, String)> {
    let Some(own) = selector(group) else { return Vec::new() };
    let mut older: Vec<_> = beside.iter().filter(|one| !one.is_going() && age(one) < age(group)).collect();
    older.sort_by_key(|one| age(one));
    let question = older.into_iter().filter_map(|one| {
        let theirs = selector(one).filter(|theirs| !exclude_each_other(&own, theirs))?;
        let mut both = Selector::from(Expression::Equal(INJECTED_LABEL.to_owned(), "true".to_owned()));
        both.extend(own.clone()).extend(theirs);
        Some((one.name_any(), both.to_string()))
    });
    question.take(MOST_ASKED).collect()
}

/// By which groups are told apart that want the same: the older one comes first.
#[must_use]
pub fn age(group: &PushGroup) -> (Option<Time>, String) {
    (group.creation_timestamp(), group.name_any())
}

/// A selector the API server took and we cannot read matches nothing.
fn selector(group: &PushGroup) -> Option<Selector> {
    group.spec.selector.clone().and_then(|selector| Selector::try_from(selector).ok())
}

/// Whether no pod can match both: they want different values of one label.
fn exclude_each_other(one: &Selector, other: &Selector) -> bool {
    let values = |expression: Expression| match expression {
        Expression::Equal(key, value) => Some((key, vec![value])),
        Expression::In(key, values) => Some((key, values.into_iter().collect())),
        Expression::NotIn(..) | Expression::NotEqual(..) | Expression::Exists(_) | Expression::DoesNotExist(_) => None,
    };
    let wanted = |selector: &Selector| selector.clone().into_iter().filter_map(values).collect::<Vec<_>>();
    let theirs = wanted(other);
    wanted(one).into_iter().any(|(key, values)| {
        theirs.iter().any(|(other, others)| *other == key && !values.iter().any(|value| others.contains(value)))
    })
}

// === impl Claim ===

impl Claim {
    fn is_to_pods(&self) -> bool {
        match self {
            Self::Pods(_) => true,
            Self::Gateway(..) => false,
        }
    }
}

// === impl Overlaps ===

impl Overlaps {
    fn fresh(
        &self,
        group: &ObjectRef<PushGroup>,
        question: &[(String, String)],
        now: Timestamp,
    ) -> Option<Vec<Overlap>> {
        let entries = self.entries();
        let answer = entries.get(group).filter(|answer| answer.question == question)?;
        // A clock that was set back makes all of it old.
        let age = Duration::try_from(now.duration_since(answer.at)).ok()?;
        let good_for = GOOD_FOR.saturating_mul(u32::try_from(question.len()).unwrap_or(u32::MAX));
        (age < good_for).then(|| answer.overlaps.clone())
    }

    /// What was found when it was last asked for, however long ago.
    #[must_use]
    pub fn last(&self, group: &ObjectRef<PushGroup>) -> Vec<Overlap> {
        self.entries().get(group).map(|answer| answer.overlaps.clone()).unwrap_or_default()
    }

    fn keep(&self, group: &ObjectRef<PushGroup>, answer: Answer) {
        self.entries().insert(group.clone(), answer);
    }

    /// The group is gone, or nothing is older.
    pub fn forget(&self, group: &ObjectRef<PushGroup>) {
        self.entries().remove(group);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ObjectRef<PushGroup>, Answer>> {
        // Whoever panicked with the lock held left whole entries behind.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use axum::http::{Request, Response};
    use kube::{Client, client::Body, runtime::watcher::Event};
    use serde_json::{Value, json};

    use super::*;
    use crate::{cache::cache, controller::apply::Outcome};

    fn group(name: &str, created: &str, selector: &Value) -> PushGroup {
        serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": name, "creationTimestamp": created},
            "spec": {"selector": selector},
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(older: &Value, own: &Value, expected: Option<&str>) {
        let older = group("older", "2026-01-01T00:00:00Z", older);
        let own = group("own", "2026-01-02T00:00:00Z", own);
        let beside = [Arc::new(older.clone()), Arc::new(own.clone())];
        let asked = question(&own, &beside).into_iter().next().map(|(_, selector)| selector);
        assert_eq!(asked.as_deref(), expected);
        assert_eq!(question(&older, &beside), [], "of the younger one nothing is asked");
    }

    #[test]
    fn only_selectors_that_may_match_the_same_pods_are_asked_about() {
        let (etl, web) = (json!({"matchLabels": {"app": "etl"}}), json!({"matchLabels": {"app": "web"}}));
        let one_of =
            |values: &[&str]| json!({"matchExpressions": [{"key": "app", "operator": "In", "values": values}]});
        check(&json!({}), &etl, Some("sidegate.dev/injected=true,app=etl"));
        check(&etl, &web, None);
        check(&etl, &etl, Some("sidegate.dev/injected=true,app=etl,app=etl"));
        check(&one_of(&["a", "b"]), &one_of(&["c"]), None);
        check(&one_of(&["a", "b"]), &one_of(&["b"]), Some("sidegate.dev/injected=true,app in (b),app in (a,b)"));
        check(&json!({"matchLabels": {"tier": "batch"}}), &etl, Some("sidegate.dev/injected=true,app=etl,tier=batch"));
        check(
            &json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["etl"]}]}),
            &etl,
            Some("sidegate.dev/injected=true,app=etl,app notin (etl)"),
        );
    }

    #[test]
    fn an_answer_is_good_for_a_minute_and_for_its_question() {
        let (overlaps, group) = (Overlaps::default(), ObjectRef::new("own").within("data"));
        let question = vec![("older".to_owned(), "app=etl".to_owned())];
        let found = vec![Overlap { older: "older".to_owned(), pods: 2 }];
        overlaps.keep(&group, Answer { question: question.clone(), at: at(100), overlaps: found.clone() });
        assert_eq!(overlaps.fresh(&group, &question, at(159)), Some(found.clone()));
        assert_eq!(overlaps.fresh(&group, &question, at(160)), None);
        assert_eq!(overlaps.fresh(&group, &question, at(99)), None, "a clock that was set back");
        assert_eq!(overlaps.fresh(&group, &[], at(101)), None);
        assert_eq!(overlaps.last(&group), found);
        let twice = [question.clone(), question].concat();
        overlaps.keep(&group, Answer { question: twice.clone(), at: at(100), overlaps: found.clone() });
        assert_eq!(overlaps.fresh(&group, &twice, at(219)), Some(found), "one question a minute");
        assert_eq!(overlaps.fresh(&group, &twice, at(220)), None);
    }

    #[test]
    fn of_many_older_groups_the_oldest_are_asked_about() {
        let all =
            |n: u32| Arc::new(group(&format!("group-{n}"), &format!("2026-01-{:02}T00:00:00Z", 30 - n), &json!({})));
        let groups: Vec<_> = (1..30).map(all).collect();
        let asked: Vec<_> = question(&groups[0], &groups).into_iter().map(|(older, _)| older).collect();
        let oldest: Vec<_> = (22..30).rev().map(|n| format!("group-{n}")).collect();
        assert_eq!(asked, oldest);
    }

    /// An API server that has so many pods of any selector, or none that it would tell; and what it was asked.
    fn api_server(pods: Option<usize>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let calls = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            calls.lock().unwrap().push(request.uri().query().unwrap_or_default().to_owned());
            let limit =
                request.uri().query().and_then(|query| query.split_once("limit=")?.1.split('&').next()?.parse().ok());
            let pod = |n: usize| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": n.to_string()}});
            let (status, answer) = match pods {
                Some(pods) => {
                    let items: Vec<_> = (0..pods.min(limit.unwrap_or(usize::MAX))).map(pod).collect();
                    (200, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}))
                }
                None => (403, json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403})),
            };
            let answer = Response::builder().status(status).body(axum::body::Body::from(answer.to_string()));
            async { answer.map_err(std::io::Error::other) }
        });
        (Client::new(service, "default"), asked)
    }

    fn two_groups() -> [PushGroup; 2] {
        [("older", 1), ("own", 2)].map(|(name, day)| group(name, &format!("2026-01-0{day}T00:00:00Z"), &json!({})))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test]
    async fn of_many_pods_no_more_are_listed_than_are_told() {
        let (client, asked) = api_server(Some(10_000));
        let [older, own] = two_groups();
        let pod = |n: u32| {
            let metadata = json!({"namespace": "data", "name": n.to_string()});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let groups = Cache::of(vec![older, own.clone()]);
        let pods = Cache::of((0..=MOST_PODS).map(pod).collect());
        let ctx = Context { groups, pods, ..Context::of_test(&client) };
        let expected = [Overlap { older: "older".to_owned(), pods: MOST_PODS + 1 }];
        assert_eq!(overlaps(&ctx, &own, at(0)).await, expected);
        assert!(asked.lock().unwrap()[0].contains("limit=101"), "{asked:?}");
        assert!(!asked.lock().unwrap()[0].contains("resourceVersion"), "a limit is not heeded then: {asked:?}");
    }

    #[tokio::test]
    async fn few_pods_are_listed_from_the_api_servers_cache() {
        let (client, asked) = api_server(Some(3));
        let [older, own] = two_groups();
        let ctx = Context { groups: Cache::of(vec![older, own.clone()]), ..Context::of_test(&client) };
        assert_eq!(overlaps(&ctx, &own, at(0)).await, [Overlap { older: "older".to_owned(), pods: 3 }]);
        assert!(asked.lock().unwrap()[0].contains("resourceVersion=0"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_refusal_is_not_asked_for_at_each_wake() {
        let (client, asked) = api_server(None);
        let [older, own] = two_groups();
        let ctx = Context { groups: Cache::of(vec![older, own.clone()]), ..Context::of_test(&client) };
        for second in [0, 1, 59, 60] {
            assert_eq!(overlaps(&ctx, &own, at(second)).await, []);
        }
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_group_that_comes_goes_or_selects_otherwise_wakes_those_of_its_namespace() {
        let (client, _) = api_server(None);
        let ((groups, writer), (sender, events)) = (cache(), futures::channel::mpsc::unbounded());
        let mut filling = Box::pin(writer.fill(events));
        let ctx = Context { groups, ..Context::of_test(&client) };
        let mut woken = Box::pin(from_groups(&ctx));
        let mut after = async |event: Event<PushGroup>| {
            sender.unbounded_send(Ok(event)).unwrap();
            filling.next().await.unwrap().unwrap();
            let mut names = Vec::new();
            while let Poll::Ready(group) = futures::poll!(woken.next()) {
                names.push(group.unwrap().name);
            }
            names.sort();
            names
        };
        let [older, own] = two_groups();
        let mut gateway = group("gateway", "2026-01-01T00:00:00Z", &json!({}));
        gateway.spec.selector = None;
        let mut elsewhere = group("elsewhere", "2026-01-01T00:00:00Z", &json!({}));
        elsewhere.metadata.namespace = Some("web".to_owned());
        assert_eq!(after(Event::Apply(own)).await, ["own"]);
        assert_eq!(after(Event::Apply(gateway.clone())).await, Vec::<String>::new());
        assert_eq!(after(Event::Apply(elsewhere)).await, ["elsewhere"]);
        assert_eq!(after(Event::Apply(older.clone())).await, ["older", "own"]);
        let mut written = older.clone();
        written.metadata.resource_version = Some("2".to_owned());
        assert_eq!(after(Event::Apply(written)).await, Vec::<String>::new(), "a status says nothing of it");
        let narrowed = group("older", "2026-01-01T00:00:00Z", &json!({"matchLabels": {"app": "etl"}}));
        assert_eq!(after(Event::Apply(narrowed)).await, ["older", "own"]);
        assert_eq!(after(Event::Delete(older)).await, ["own"]);
        gateway.spec.gateway = serde_json::from_value(json!({"url": "http://pg"})).unwrap();
        assert_eq!(after(Event::Apply(gateway.clone())).await, ["gateway"], "who has a selector is not concerned");
        let mut same = gateway.clone();
        same.metadata.name = Some("same".to_owned());
        assert_eq!(after(Event::Apply(same.clone())).await, ["gateway", "same"]);
        let own = ObjectRef::from_obj(&gateway);
        ctx.memory.synced(&own, Some(1), at(0), Outcome::Applied);
        assert_eq!(ctx.memory.fresh_outcome(&own, "", Some(1), at(5)), Some(Outcome::Applied));
        assert_eq!(after(Event::Delete(same)).await, ["gateway"]);
        assert_eq!(ctx.memory.fresh_outcome(&own, "", Some(1), at(5)), None, "the monitor may be another's now");
    }
}
