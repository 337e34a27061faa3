//! Against a fake API server.

mod gateway;
mod gone;
mod network_policy;
mod server;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use crds::{PushGroup, PushGroupStatus, scrape::ScrapePolicy};
use jiff::{SignedDuration, Timestamp};
use kube::runtime::{controller::Action, reflector::ObjectRef};
use serde_json::{Value, json};

use self::server::{FakeServer, merge};
use super::*;
use crate::{
    clock::Clock,
    controller::{
        Context,
        ledger::{Due, Ending},
        observe::observe,
        plan::plan,
        record::write_status,
    },
    monitors::tests::group,
};

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

const GROUP: &str = "/apis/sidegate.dev/v1alpha1/namespaces/data/pushgroups/nightly";
const SERVICE: &str = "/api/v1/namespaces/data/services/sidegate-nightly";
const SERVICE_MONITOR: &str = "/apis/monitoring.coreos.com/v1/namespaces/data/servicemonitors/sidegate-nightly";
const POD_MONITOR: &str = "/apis/monitoring.coreos.com/v1/namespaces/data/podmonitors/sidegate-nightly";
const NETWORK_POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/data/networkpolicies/sidegate-nightly";
const TRUST: &str = "/api/v1/namespaces/data/configmaps/sidegate-trust";

/// The path of the kind of an object, where one is made.
fn kind(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

async fn sync(server: &FakeServer, group: &PushGroup) -> Outcome {
    let (client, owner) = (server.client(), Owner::of(group).unwrap());
    let existing = observe(&client, &owner).await.unwrap();
    let undeclared = Undeclared::default();
    let with = Applying { client: &client, undeclared: &undeclared, now: NOW };
    apply(with, &owner, plan(&owner, &existing, &[[7; 32]])).await
}

#[tokio::test]
async fn a_plan_is_applied_in_order_each_by_its_manager() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    assert_eq!(
        server.calls(),
        [
            format!("GET {TRUST} -"),
            format!("GET {SERVICE} -"),
            format!("GET {SERVICE_MONITOR} -"),
            format!("GET {POD_MONITOR} -"),
            format!("GET {NETWORK_POLICY} -"),
            format!("POST {} sidegate-trust", kind(TRUST)),
            format!("PATCH {TRUST} sidegate-trust force"),
            format!("PATCH {TRUST} sidegate-trust%2Fnightly force"),
            format!("POST {} sidegate-monitors", kind(SERVICE)),
            format!("PATCH {SERVICE} sidegate-monitors force"),
            format!("POST {} sidegate-monitors", kind(SERVICE_MONITOR)),
            format!("PATCH {SERVICE_MONITOR} sidegate-monitors force"),
        ]
    );
    let monitor = server.object(SERVICE_MONITOR).unwrap();
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(monitor["kind"], "ServiceMonitor");
    for path in [SERVICE, SERVICE_MONITOR, TRUST] {
        assert!(!server.object(path).unwrap().to_string().contains("null"), "{path}");
    }
}

#[tokio::test]
async fn without_the_monitoring_kinds_the_service_is_there_and_it_heals() {
    let server = FakeServer::default();
    assert_eq!(sync(&server, &group()).await, Outcome::ApiAbsent);
    assert!(server.object(SERVICE).is_some() && server.object(TRUST).is_some());
    server.0.lock().unwrap().knows_monitors = true;
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    assert!(server.object(SERVICE_MONITOR).is_some());
}

#[tokio::test]
async fn a_foreign_service_is_not_overwritten() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    let theirs = json!({"metadata": {"name": "sidegate-nightly", "uid": "1"}, "spec": {"clusterIP": "10.0.0.1"}});
    server.put(SERVICE, theirs.clone());
    assert_eq!(sync(&server, &group()).await, Outcome::foreign(Kind::Service, "sidegate-nightly"));
    assert_eq!(server.object(SERVICE), Some(theirs));
}

#[tokio::test]
async fn a_foreign_config_map_is_not_overwritten_and_hinders_nothing_else() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    let theirs = json!({"metadata": {"name": "sidegate-trust", "uid": "1"}, "data": {"mine": "yes"}});
    server.put(TRUST, theirs.clone());
    assert_eq!(sync(&server, &group()).await, Outcome::foreign(Kind::ConfigMap, "sidegate-trust"));
    assert_eq!(server.object(TRUST), Some(theirs));
    assert!(server.object(SERVICE).is_some() && server.object(SERVICE_MONITOR).is_some());
}

#[tokio::test]
async fn what_somebody_makes_at_the_same_moment_is_left_alone() {
    for (path, kind, name) in [
        (TRUST, Kind::ConfigMap, "sidegate-trust"),
        (SERVICE, Kind::Service, "sidegate-nightly"),
        (NETWORK_POLICY, Kind::NetworkPolicy, "sidegate-nightly"),
    ] {
        let server = FakeServer::default();
        server.0.lock().unwrap().knows_monitors = true;
        let mut group = group();
        group.spec.scrape.network_policy = Some(ScrapePolicy::default());
        // Nothing of it is what we want otherwise.
        let theirs = json!({"metadata": {"name": "theirs", "uid": "1"}, "data": {"mine": "yes"}});
        server.0.lock().unwrap().made_before = Some((path, theirs.clone()));
        assert_eq!(sync(&server, &group).await, Outcome::foreign(kind, name));
        assert_eq!(server.object(path), Some(theirs));
    }
}

#[tokio::test]
async fn a_config_map_that_another_group_makes_at_the_same_moment_is_taken_over() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    let labels = json!({"app.kubernetes.io/managed-by": "sidegate-operator"});
    let of_another = json!({"metadata": {"name": "sidegate-trust", "uid": "1", "labels": labels}});
    server.0.lock().unwrap().made_before = Some((TRUST, of_another));
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    let owners = &server.object(TRUST).unwrap()["metadata"]["ownerReferences"];
    assert_eq!(owners[0]["name"], "nightly");
}

#[tokio::test]
async fn of_the_config_map_a_group_says_only_that_it_is_an_owner_and_all_say_the_rest() {
    let server = FakeServer::default();
    sync(&server, &group()).await;
    let uid = server.object(TRUST).unwrap()["metadata"]["uid"].clone();
    let applied = std::mem::take(&mut server.0.lock().unwrap().applied);
    let applied: Vec<_> = applied.into_iter().filter(|(call, _)| call.contains(TRUST)).collect();
    let [(shared_by, shared), (own_by, own)] = applied.as_slice() else { panic!("{applied:?}") };
    assert_eq!(*shared_by, format!("PATCH {TRUST} sidegate-trust force"));
    assert_eq!((&shared["metadata"]["uid"], shared["metadata"].get("ownerReferences")), (&uid, None));
    assert!(shared["data"]["operator-keys"].is_string() && shared["metadata"]["labels"].is_object(), "{shared}");
    assert_eq!(*own_by, format!("PATCH {TRUST} sidegate-trust%2Fnightly force"));
    assert_eq!(own["metadata"]["ownerReferences"][0]["name"], "nightly");
    let said = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(said(own), ["apiVersion", "kind", "metadata"]);
    assert_eq!(said(&own["metadata"]), ["name", "ownerReferences", "uid"]);
}

#[tokio::test]
async fn what_is_there_is_applied_as_it_was_seen_and_by_force_and_not_made_again() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    sync(&server, &group()).await;
    let uid = server.object(SERVICE).unwrap()["metadata"]["uid"].clone();
    server.calls();
    sync(&server, &group()).await;
    let calls = server.calls();
    assert_eq!(calls.iter().filter(|call| call.contains("force")).count(), 4);
    assert!(!calls.iter().any(|call| call.starts_with("POST")), "{calls:?}");
    assert_eq!(server.object(SERVICE).unwrap()["metadata"]["uid"], uid);
}

#[tokio::test]
async fn what_the_crd_does_not_have_is_left_out_and_remembered() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    server.0.lock().unwrap().lacks = Some("serviceDiscoveryRole");
    let (client, group, undeclared) = (server.client(), group(), Undeclared::default());
    let owner = Owner::of(&group).unwrap();
    let sync = async || {
        let existing = observe(&client, &owner).await.unwrap();
        let with = Applying { client: &client, undeclared: &undeclared, now: NOW };
        let outcome = apply(with, &owner, plan(&owner, &existing, &[])).await;
        (outcome, server.calls().iter().filter(|call| call.starts_with(&format!("PATCH {SERVICE_MONITOR}"))).count())
    };
    assert_eq!(sync().await, (Outcome::AppliedByEndpoints, 2));
    assert_eq!(server.object(SERVICE_MONITOR).unwrap()["spec"].get("serviceDiscoveryRole"), None);
    assert_eq!(sync().await, (Outcome::AppliedByEndpoints, 1));
    server.0.lock().unwrap().lacks = None;
    undeclared.forget();
    assert_eq!(sync().await, (Outcome::Applied, 1));
}

#[test]
fn what_others_added_to_a_spec_is_taken_out() {
    let wanted = json!({"spec": {"endpoints": [], "sampleLimit": 5}});
    let live = json!({"spec": {"endpoints": [1], "sampleLimit": 6, "jobLabel": "x", "a/b": 1}});
    let patch = serde_json::to_value(additions(&wanted, &live, &[LABELS, SPEC])).unwrap();
    assert_eq!(patch, json!([{"op": "remove", "path": "/spec/a~1b"}, {"op": "remove", "path": "/spec/jobLabel"}]));
    assert!(additions(&wanted, &wanted, &[LABELS, SPEC]).is_empty());
}

#[tokio::test]
async fn what_others_added_to_an_object_is_taken_out() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    sync(&server, &group()).await;
    let objects = || {
        [TRUST, SERVICE, SERVICE_MONITOR].map(|path| {
            let mut object = server.object(path).unwrap();
            object["metadata"]["resourceVersion"] = Value::Null;
            // Empty is as good as none.
            object["binaryData"] = json!(object["binaryData"].as_object().is_some_and(|data| !data.is_empty()));
            object
        })
    };
    let before = objects();
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "TCP"});
    let name = before[1]["spec"]["ports"][0]["name"].as_str().unwrap().to_owned();
    for (path, change) in [
        (TRUST, json!({"data": {"more": "keys"}})),
        (TRUST, json!({"binaryData": {"other": "AA=="}})),
        (TRUST, json!({"metadata": {"labels": {"their/own": "label"}}})),
        (SERVICE, json!({"spec": {"ports": [port("other", 80)]}})),
        (SERVICE, json!({"metadata": {"labels": {"job": "nightly"}}})),
        (SERVICE_MONITOR, json!({"metadata": {"labels": {"prometheus": "other"}}})),
    ] {
        let mut object = server.object(path).unwrap();
        merge(&mut object, change.clone());
        server.put(path, object);
        assert_ne!(objects(), before, "{change}");
        assert_eq!(sync(&server, &group()).await, Outcome::Applied);
        assert_eq!(objects(), before, "{change}");
    }
    // Our port has another number, and its name.
    let mut object = server.object(SERVICE).unwrap();
    object["spec"]["ports"] = json!([port(&name, 80)]);
    server.put(SERVICE, object);
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    assert_eq!(objects(), before);
}

#[tokio::test]
async fn a_change_of_kind_removes_what_is_not_wanted() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    let mut group = group();
    sync(&server, &group).await;
    group.spec.scrape.kind = crds::scrape::MonitorKind::PodMonitor;
    assert_eq!(sync(&server, &group).await, Outcome::Applied);
    assert_eq!((server.object(SERVICE), server.object(SERVICE_MONITOR)), (None, None));
    group.spec.scrape.kind = crds::scrape::MonitorKind::None;
    assert_eq!(sync(&server, &group).await, Outcome::NotWanted);
    assert_eq!(server.object(POD_MONITOR), None);
}

#[test]
fn an_unknown_kind_is_told_from_a_namespace_that_is_gone() {
    let status = |details: Value| {
        let status =
            json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "details": details});
        kube::Error::Api(serde_json::from_value(status).unwrap())
    };
    assert!(is_unknown_kind(&status(json!(null))));
    assert!(!is_unknown_kind(&status(json!({"kind": "namespaces", "name": "data"}))));
}

fn context(server: &FakeServer) -> Context {
    Context { clock: Clock::from_fn(|| NOW), ..Context::of_test(&server.client()) }
}

/// A server with the group in it, and the group as a watch has seen it.
fn with_group(status: Value) -> (FakeServer, PushGroup) {
    let server = FakeServer::default();
    let mut object = serde_json::to_value(group()).unwrap();
    object["metadata"]["resourceVersion"] = json!("first");
    object["status"] = status;
    server.put(GROUP, object.clone());
    (server, serde_json::from_value(object).unwrap())
}

/// Writes the collected groups into the status, and nothing else.
async fn write(ctx: &Context, group: &PushGroup) -> Result<Duration, kube::Error> {
    let next = |status: &PushGroupStatus, _: Timestamp, due: &Due| {
        let total = status.collected_total.unwrap_or_default() + due.collected;
        let unseen = status.unseen_total.map(|total| total + due.unseen());
        PushGroupStatus { collected_total: Some(total), unseen_total: unseen, ..status.clone() }
    };
    write_status(ctx, group, next).await
}

fn total(server: &FakeServer) -> Option<i64> {
    server.object(GROUP)?.pointer("/status/collectedTotal")?.as_i64()
}

fn collect(ctx: &Context, group: &PushGroup, groups: u64) {
    ctx.memory.ledger(&ObjectRef::from_obj(group), |ledger| ledger.add(groups));
}

#[tokio::test]
async fn collected_groups_are_added_to_the_status_once() {
    let (server, group) = with_group(json!({"collectedTotal": 5}));
    let ctx = context(&server);
    collect(&ctx, &group, 2);
    write(&ctx, &group).await.unwrap();
    assert_eq!(total(&server), Some(7));
    assert_eq!(server.calls().last().unwrap(), &format!("PATCH {GROUP}/status sidegate-status force"));
    // The watch still shows the old object.
    write(&ctx, &group).await.unwrap();
    assert_eq!(total(&server), Some(7));
    assert_eq!(server.calls(), Vec::<String>::new(), "nothing to write, nothing to ask");
}

#[tokio::test]
async fn counts_that_go_on_changing_are_written_together_and_what_is_more_at_once() {
    static SECOND: AtomicI64 = AtomicI64::new(0);
    let (server, group) = with_group(json!({"sidecars": 1}));
    let clock = Clock::from_fn(|| NOW + SignedDuration::from_secs(SECOND.load(Ordering::Relaxed)));
    let ctx = Context { clock, ..Context::of_test(&server.client()) };
    // At a second there are so many sidecars; how long that has to wait, and how many the status has.
    let check = async |second: i64, sidecars: i64| {
        SECOND.store(second, Ordering::Relaxed);
        let group = serde_json::from_value(server.object(GROUP).unwrap()).unwrap();
        let next = |status: &PushGroupStatus, _: Timestamp, due: &Due| PushGroupStatus {
            sidecars: Some(sidecars),
            collected_total: (0 < due.collected).then_some(due.collected).or(status.collected_total),
            ..status.clone()
        };
        let wait = write_status(&ctx, &group, next).await.unwrap();
        let written = server.object(GROUP).unwrap()["status"]["sidecars"].clone();
        (wait != Duration::MAX, wait.as_secs().min(60), written.as_i64().unwrap())
    };
    assert_eq!(check(0, 2).await, (false, 60, 2));
    assert_eq!(check(0, 3).await, (true, 1, 2));
    server.calls();
    assert_eq!(check(0, 2).await, (false, 60, 2), "as it was");
    assert_eq!(server.calls(), Vec::<String>::new(), "nobody asks the API server meanwhile");
    assert_eq!(check(1, 4).await, (false, 60, 4));
    assert_eq!(check(2, 5).await, (true, 1, 4));
    collect(&ctx, &group, 1);
    assert_eq!(check(2, 5).await, (false, 60, 5), "a collected group waits for nothing");
    assert_eq!(total(&server), Some(1));
}

#[tokio::test]
async fn a_lost_answer_is_not_counted_twice() {
    let (server, group) = with_group(json!({"collectedTotal": 5}));
    let ctx = context(&server);
    collect(&ctx, &group, 2);
    server.0.lock().unwrap().lose = 1;
    write(&ctx, &group).await.unwrap_err();
    assert_eq!(total(&server), Some(7), "it arrived all the same");
    collect(&ctx, &group, 1);
    write(&ctx, &group).await.unwrap();
    assert_eq!(total(&server), Some(8));
}

#[tokio::test]
async fn a_stale_cache_does_not_turn_the_total_back() {
    let (server, group) = with_group(json!({"collectedTotal": 5}));
    let ctx = context(&server);
    let mut newer = server.object(GROUP).unwrap();
    newer["status"]["collectedTotal"] = json!(9);
    newer["metadata"]["resourceVersion"] = json!("second");
    server.put(GROUP, newer);
    collect(&ctx, &group, 1);
    write(&ctx, &group).await.unwrap();
    assert_eq!(total(&server), Some(10));
}

#[tokio::test]
async fn a_group_that_is_gone_or_new_gets_no_status() {
    let (server, mut group) = with_group(json!({}));
    let ctx = context(&server);
    collect(&ctx, &group, 1);
    group.metadata.uid = Some("another".to_owned());
    write(&ctx, &group).await.unwrap();
    server.0.lock().unwrap().objects.clear();
    write(&ctx, &group).await.unwrap();
    assert!(server.calls().iter().all(|call| call.starts_with("GET")));
}

#[tokio::test]
async fn a_pod_with_unseen_groups_is_counted_and_told_once() {
    let (server, group) = with_group(json!({"unseenTotal": 5}));
    let ctx = context(&server);
    let end = || Ending { pod: "etl-1".to_owned(), uid: "etl-1".to_owned(), groups: 2, finished: NOW };
    let events = async || {
        ctx.events.settled().await;
        server.calls().into_iter().filter(|call| call.contains("events.k8s.io")).count()
    };
    ctx.memory.ledger(&ObjectRef::from_obj(&group), |ledger| ledger.ended(end()));
    server.0.lock().unwrap().lose = 1;
    write(&ctx, &group).await.unwrap_err();
    assert_eq!(events().await, 0, "nobody knows yet");
    for _ in 0..2 {
        ctx.memory.ledger(&ObjectRef::from_obj(&group), |ledger| ledger.ended(end()));
        write(&ctx, &group).await.unwrap();
        let status = server.object(GROUP).unwrap()["status"].clone();
        assert_eq!(status["unseenTotal"], 7);
    }
    assert_eq!(events().await, 1);
}

const NOTHING: [Option<Value>; 3] = [None, None, None];

#[tokio::test]
async fn a_group_that_lost_its_selector_loses_its_monitor() {
    let (server, mut group) = with_group(json!({}));
    server.0.lock().unwrap().knows_monitors = true;
    let ctx = context(&server);
    let reconcile = async |group: &PushGroup| crate::controller::reconcile_now(&Arc::new(group.clone()), &ctx).await;
    let objects = || [SERVICE, SERVICE_MONITOR, POD_MONITOR].map(|path| server.object(path));
    reconcile(&group).await.unwrap();
    assert!(objects()[0].is_some() && objects()[1].is_some());
    group.spec.selector = None;
    group.metadata.generation = Some(4);
    reconcile(&group).await.unwrap();
    assert_eq!(objects(), NOTHING);
    let status = server.object(GROUP).unwrap()["status"].clone();
    assert_eq!(status["mode"], json!("Gateway"));
    let types: Vec<_> = status["conditions"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect();
    let about_prometheus = ["SelectedByPrometheus", "HonorLabelsOverridden"];
    assert_eq!(types, [&["Ready", "MonitorsSynced", "GatewayReachable", "Collected"][..], &about_prometheus].concat());
}

#[tokio::test]
async fn a_reconcile_that_finds_nothing_new_writes_no_status() {
    static LOOKS: AtomicI64 = AtomicI64::new(0);
    let (server, group) = with_group(json!({}));
    server.0.lock().unwrap().knows_monitors = true;
    // Each look at it is five seconds on.
    let clock = Clock::from_fn(|| NOW + SignedDuration::from_secs(5 * LOOKS.fetch_add(1, Ordering::Relaxed)));
    let ctx = Context { clock, ..Context::of_test(&server.client()) };
    let count = |calls: &[String], what: &str| calls.iter().filter(|call| call.starts_with(what)).count();
    let write = format!("PATCH {GROUP}/status ");
    crate::controller::reconcile_now(&Arc::new(group), &ctx).await.unwrap();
    assert_eq!(count(&server.calls(), &write), 1);
    let group: PushGroup = serde_json::from_value(server.object(GROUP).unwrap()).unwrap();
    let group = Arc::new(group);
    for _ in 0..3 {
        // The objects are read and applied again.
        ctx.memory.touch(&ObjectRef::from_obj(&*group));
        crate::controller::reconcile_now(&group, &ctx).await.unwrap();
    }
    let calls = server.calls();
    assert_eq!((count(&calls, &format!("GET {SERVICE} ")), count(&calls, &write)), (3, 0));
}

#[tokio::test]
async fn objects_that_were_touched_right_after_an_apply_are_applied_again_in_a_second() {
    let (server, group) = with_group(json!({}));
    server.0.lock().unwrap().knows_monitors = true;
    let (ctx, group) = (context(&server), Arc::new(group));
    let objects = |calls: Vec<String>| calls.iter().filter(|call| !call.contains(GROUP)).count();
    crate::controller::reconcile_now(&group, &ctx).await.unwrap();
    assert_ne!(objects(server.calls()), 0);
    ctx.memory.touch(&ObjectRef::from_obj(&*group));
    let next = crate::controller::reconcile_now(&group, &ctx).await.unwrap();
    assert_eq!((next, objects(server.calls())), (Action::requeue(Duration::from_secs(1)), 0));
}

#[tokio::test]
async fn a_failed_apply_is_not_repeated_at_each_wake() {
    let (server, group) = with_group(json!({}));
    let ctx = context(&server);
    // Everything but the status is refused.
    server.0.lock().unwrap().refuses_objects = true;
    let group = Arc::new(group);
    crate::controller::reconcile_now(&group, &ctx).await.unwrap_err();
    let count = |calls: Vec<String>| calls.iter().filter(|call| !call.contains(GROUP)).count();
    assert_ne!(count(server.calls()), 0);
    for _ in 0..3 {
        ctx.memory.touch(&ObjectRef::from_obj(&*group));
        crate::controller::reconcile_now(&group, &ctx).await.unwrap();
    }
    assert_eq!(count(server.calls()), 0);
}
