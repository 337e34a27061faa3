//! Whole passes over sidecars on loopback addresses, caches filled by hand.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{LazyLock, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use jiff::fmt::rfc2822;
use protocol::endpoints::IF_PUSH_TIME_HEADER;
use serde_json::{Value, json};

use super::*;
use crate::{signing::OperatorKey, stop};

const NOW: i64 = 1_790_000_000;

/// A port that was free a moment ago, for the sidecars of all tests.
fn port() -> u16 {
    static PORT: LazyLock<u16> = LazyLock::new(|| {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        listener.local_addr().unwrap().port()
    });
    *PORT
}

/// A sidecar's groups: job and push time.
#[derive(Clone, Default)]
struct Fake {
    groups: Arc<Mutex<BTreeMap<String, String>>>,
    /// Pushed between the read and the delete.
    pushed_again: Arc<Mutex<Option<String>>>,
    refuses: bool,
    /// How many seconds its clock is behind.
    behind: i64,
}

async fn answer(State(fake): State<Fake>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let date = Timestamp::from_second(NOW - fake.behind).unwrap();
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
    ([("date", date)], act(&fake, &method, &uri, &headers)).into_response()
}

fn act(fake: &Fake, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let mut groups = fake.groups.lock().unwrap();
    if *method == Method::GET {
        let mut page = "# TYPE push_time_seconds gauge\n".to_owned();
        for (job, time) in groups.iter() {
            page += &format!("push_time_seconds{{job=\"{job}\"}} {time}\n");
        }
        if let Some(job) = fake.pushed_again.lock().unwrap().take() {
            groups.insert(job, NOW.to_string());
        }
        return page.into_response();
    }
    if fake.refuses {
        return StatusCode::FORBIDDEN.into_response();
    }
    let job = uri.path().strip_prefix("/metrics/job/").unwrap();
    if groups.get(job).map(String::as_str) != headers.get(IF_PUSH_TIME_HEADER).map(|time| time.to_str().unwrap()) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    groups.remove(job);
    StatusCode::ACCEPTED.into_response()
}

/// Serves a fake sidecar on a loopback address of its own, since all share one port.
async fn serve(address: &str, jobs: &[(&str, i64)], fake: Fake) -> Fake {
    let groups = jobs.iter().map(|(job, age)| ((*job).to_owned(), (NOW - age).to_string())).collect();
    *fake.groups.lock().unwrap() = groups;
    let address = SocketAddr::new(address.parse().unwrap(), port());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let app = Router::new().fallback(answer).with_state(fake.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    fake
}

fn pod(name: &str, ip: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "data", "name": name, "uid": name, "labels": {"sidegate.dev/pushgroup": "nightly"}},
        "status": {"podIP": ip, "phase": "Running", "initContainerStatuses": [
            {"name": "sidegate", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": ""},
        ]},
    }))
    .unwrap()
}

fn group(spec: Value) -> PushGroup {
    let mut group = PushGroup::new("nightly", serde_json::from_value(spec).unwrap());
    group.metadata.namespace = Some("data".to_owned());
    group.metadata.uid = Some("uid".to_owned());
    group
}

/// One pass; the report of the one group.
async fn pass(spec: Value, pods: Vec<Pod>) -> (PassReport, Arc<Metrics>) {
    let (wake, mut woken) = mpsc::channel(4);
    let collector = Collector {
        groups: Cache::of(vec![group(spec)]),
        pods: Cache::of(pods),
        client: SidecarClient::new(OperatorKey::from_seed(&[1; 32])),
        port: port(),
        reports: Arc::default(),
        wake,
        clock: Clock::from_fn(|| Timestamp::from_second(NOW).unwrap()),
        metrics: Arc::default(),
    };
    let (_sender, stop) = stop::channel();
    collector.pass(&mut Policies::new(), &stop).await;
    assert_eq!(woken.recv().await.unwrap().name, "nightly");
    (collector.reports.last("uid").unwrap(), collector.metrics)
}

#[tokio::test]
async fn stale_groups_are_removed_and_others_stay() {
    let one = serve("127.19.1.1", &[("old", 4000), ("young", 10)], Fake::default()).await;
    let two = serve("127.19.1.2", &[("old", 5000)], Fake::default()).await;
    let spec = json!({"selector": {}, "staleAfter": "1h"});
    let (report, metrics) = pass(spec, vec![pod("one", "127.19.1.1"), pod("two", "127.19.1.2")]).await;
    assert_eq!((report.targets, report.failed, report.groups, report.stale, report.collected), (2, 0, 1, 0, 2));
    assert_eq!(report.newest_push, Some((NOW - 10) as f64));
    assert_eq!(one.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["young"]);
    assert!(two.groups.lock().unwrap().is_empty());
    assert!(metrics.page().unwrap().contains("sidegate_operator_collected_groups_total 2"));
}

#[tokio::test]
async fn a_group_that_is_pushed_meanwhile_stays() {
    let fake = serve("127.19.2.1", &[("old", 4000)], Fake::default()).await;
    *fake.pushed_again.lock().unwrap() = Some("old".to_owned());
    let (report, _) = pass(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.2.1")]).await;
    assert_eq!((report.failed, report.groups, report.stale, report.collected), (0, 1, 0, 0));
    assert_eq!(fake.groups.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_dry_run_reports_and_removes_nothing() {
    let fake = serve("127.19.3.1", &[("old", 4000)], Fake::default()).await;
    let spec = json!({"selector": {}, "staleAfter": "1h", "dryRun": true});
    let (report, _) = pass(spec, vec![pod("one", "127.19.3.1")]).await;
    assert_eq!((report.stale, report.collected, report.dry_run), (1, 0, true));
    assert_eq!(fake.groups.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_sidecar_that_refuses_leaves_its_groups_stale() {
    let _fake = serve("127.19.4.1", &[("a", 4000), ("b", 4000)], Fake { refuses: true, ..Fake::default() }).await;
    let spec = json!({"selector": {}, "staleAfter": "1h"});
    let (report, metrics) = pass(spec, vec![pod("one", "127.19.4.1")]).await;
    assert_eq!((report.failed, report.stale, report.collected), (1, 2, 0));
    assert!(metrics.page().unwrap().contains("sidegate_operator_collection_failures_total{reason=\"status\"} 1"));
}

#[tokio::test]
async fn nobody_there_is_a_failure_unless_the_pod_is_going() {
    let spec = json!({"selector": {}, "staleAfter": "1h"});
    let (report, _) = pass(spec.clone(), vec![pod("one", "127.19.5.1")]).await;
    assert_eq!((report.targets, report.failed), (1, 1));
    let mut going = pod("one", "127.19.5.1");
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let (report, _) = pass(spec, vec![going]).await;
    assert_eq!((report.targets, report.failed), (0, 0));
}

#[tokio::test]
async fn age_counts_by_the_sidecars_clock() {
    let jobs = [("half-an-hour", 5400), ("two-hours", 10_800)];
    let fake = serve("127.19.7.1", &jobs, Fake { behind: 3600, ..Fake::default() }).await;
    let (report, _) = pass(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.7.1")]).await;
    assert_eq!(report.collected, 1);
    assert_eq!(fake.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["half-an-hour"]);
}

#[tokio::test]
async fn a_bad_rule_removes_nothing() {
    let fake = serve("127.19.6.1", &[("old", 4000)], Fake::default()).await;
    let spec = json!({"selector": {}, "staleAfter": "1h", "rules": [{"match": {"job": "("}}]});
    let (report, _) = pass(spec, vec![pod("one", "127.19.6.1")]).await;
    assert!(report.bad_rule.is_some_and(|rule| rule.starts_with("spec.rules[0].match.job")));
    assert_eq!((report.groups, report.collected), (1, 0));
    assert_eq!(fake.groups.lock().unwrap().len(), 1);
}

#[test]
fn the_sidecars_clock_is_used_only_where_it_differs() {
    let now = Timestamp::from_second(NOW).unwrap();
    let check = |seconds: i64, expected: i64| {
        let date = Some(Timestamp::from_second(NOW + seconds).unwrap());
        assert_eq!(skew(date, now), SignedDuration::from_secs(expected));
    };
    check(0, 0);
    check(-2, 0);
    check(3, 3);
    check(-3600, -3600);
    assert_eq!(skew(None, now), SignedDuration::ZERO);
}
