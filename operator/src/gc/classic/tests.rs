//! Whole passes over a classic Pushgateway on loopback, as far as a real one does not serve: old ones, odd ones, and
//! pushes at the worst moment.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, Request, Response, StatusCode, Uri},
    response::IntoResponse as _,
};
use crds::PushGroup;
use jiff::{Timestamp, fmt::rfc2822};
use kube::client::Body as ApiBody;
use protocol::{GroupingKey, grouping_key::PathNames};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    cache::Cache,
    clock::Clock,
    events::{Events, tests::server},
    gateway::Gateways,
    gc::{
        Collector,
        agenda::Agenda,
        report::{GatewayState, PassReport},
    },
    hearing::Hearing,
    sidecar::client::SidecarClient,
    signing::OperatorKey,
    stop,
};

const NOW: i64 = 1_790_000_000;

/// A Pushgateway: grouping keys and push times.
#[derive(Clone, Default)]
struct Classic {
    groups: Arc<Mutex<BTreeMap<GroupingKey, String>>>,
    /// What was asked, in turn.
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether it is too old to have the JSON API.
    is_old: bool,
    /// Push times that change after the nth page.
    pushed_after: Option<(usize, GroupingKey)>,
    /// The header it wants to see.
    wants: Option<&'static str>,
    /// How long a removal takes on the paused clock.
    takes: Duration,
    /// How long each other answer takes there.
    pages_take: Duration,
}

// === impl Classic ===

impl Classic {
    fn with(ages: &[(&[(&str, &str)], i64)]) -> Self {
        let groups = ages.iter().map(|(labels, age)| (key(labels), (NOW - age).to_string())).collect();
        Self { groups: Arc::new(Mutex::new(groups)), ..Self::default() }
    }

    /// Serves it; the URL.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn left(&self) -> Vec<String> {
        self.groups.lock().unwrap().keys().map(ToString::to_string).collect()
    }
}

async fn answer(State(classic): State<Classic>, method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let date = Timestamp::from_second(NOW).unwrap();
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
    if method == Method::DELETE {
        tokio::time::sleep(classic.takes).await;
    } else {
        tokio::time::sleep(classic.pages_take).await;
    }
    ([("date", date)], act(&classic, &method, &uri, &headers)).into_response()
}

fn act(classic: &Classic, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    let shown = headers.get("authorization").map(|shown| shown.to_str().unwrap());
    if shown != classic.wants {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    classic.asked.lock().unwrap().push(format!("{method} {}", uri.path()));
    let mut groups = classic.groups.lock().unwrap();
    match (method.as_str(), uri.path()) {
        ("GET", "/metrics") => {
            let mut page = "pushgateway_build_info 1\n# TYPE push_time_seconds gauge\n".to_owned();
            for (key, time) in groups.iter() {
                page += &format!("push_time_seconds{} {time}\n", key.exposed_labels());
            }
            let pages = classic.asked.lock().unwrap().iter().filter(|asked| *asked == "GET /metrics").count();
            if let Some((after, key)) = &classic.pushed_after
                && *after == pages
            {
                groups.insert(key.clone(), NOW.to_string());
            }
            page.into_response()
        }
        ("GET", "/api/v1/metrics") if !classic.is_old => {
            let labels = |key: &GroupingKey| -> serde_json::Map<String, Value> {
                key.labels().iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
            };
            let groups: Vec<_> = groups.keys().map(|key| json!({"labels": labels(key)})).collect();
            json!({"status": "success", "data": groups}).to_string().into_response()
        }
        ("DELETE", path) => {
            groups.remove(&GroupingKey::from_path(path, PathNames::Legacy).unwrap());
            StatusCode::ACCEPTED.into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn key(labels: &[(&str, &str)]) -> GroupingKey {
    GroupingKey::from_labels(labels.iter().copied().collect()).unwrap()
}

/// Passes over the gateway of one `PushGroup`, with an API server that has one Secret, or says why not.
struct Passes {
    collector: Collector,
    agenda: Agenda,
    _woken: mpsc::Receiver<kube::runtime::reflector::ObjectRef<PushGroup>>,
    stop: stop::Stop,
    _sender: stop::StopSender,
    secret: Arc<Mutex<(u16, Value)>>,
}

// === impl Passes ===

impl Passes {
    fn of(spec: Value) -> Self {
        let mut group = PushGroup::new("central", serde_json::from_value(spec).unwrap());
        group.metadata.namespace = Some("data".to_owned());
        group.metadata.uid = Some("uid".to_owned());
        let secret = Arc::new(Mutex::new((404, not_found())));
        let (wake, woken) = mpsc::channel(64);
        let collector = Collector {
            groups: Cache::of(vec![group]),
            hearing: Hearing::always(),
            pods: Cache::of(vec![]),
            client: SidecarClient::new(OperatorKey::from_seed(&[1; 32])),
            gateways: Gateways::new(api_server(secret.clone())),
            port: 1,
            reports: Arc::default(),
            wake,
            clock: Clock::from_fn(|| Timestamp::from_second(NOW).unwrap()),
            metrics: Arc::default(),
            events: Events::to(&server().0),
        };
        let (sender, stop) = stop::channel();
        Self { collector, agenda: Agenda::new(Duration::from_secs(10)), _woken: woken, stop, _sender: sender, secret }
    }

    /// One pass; the report of the one group.
    async fn next(&mut self) -> PassReport {
        self.collector.visit_all(&mut self.agenda, &self.stop).await;
        self.collector.reports.last("uid").unwrap()
    }

    /// The reason of a pass that did not reach its gateway, and the sentence.
    async fn unreachable(&mut self) -> (&'static str, String) {
        match self.next().await.gateway {
            Some(GatewayState::Unreachable { reason, message }) => (reason, message),
            other => panic!("expected an unreachable gateway, found {other:?}"),
        }
    }
}

fn not_found() -> Value {
    json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "no", "code": 404})
}

fn api_server(secret: Arc<Mutex<(u16, Value)>>) -> kube::Client {
    let service = tower::service_fn(move |request: Request<ApiBody>| {
        let (status, body) = match request.uri().path() {
            "/api/v1/namespaces/data/secrets/pg" => secret.lock().unwrap().clone(),
            "/apis/authentication.k8s.io/v1/selfsubjectreviews" => {
                let user = json!({"username": "system:serviceaccount:sidegate-system:sidegate-operator"});
                (201, json!({"metadata": {}, "status": {"userInfo": user}}))
            }
            other => panic!("expected a request for the Secret, found {other}"),
        };
        let answer = Response::builder().status(status).body(Body::from(body.to_string()));
        async { answer.map_err(std::io::Error::other) }
    });
    kube::Client::new(service, "default")
}

async fn pass(classic: &Classic, more: Value) -> PassReport {
    let mut spec = json!({"gateway": {"url": classic.serve().await}, "staleAfter": "1h"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Passes::of(spec).next().await
}

#[tokio::test]
async fn each_stale_group_is_read_again_right_before_it_is_removed() {
    let classic = Classic::with(&[
        (&[("job", "old"), ("instance", "1")], 4000),
        (&[("job", "old"), ("instance", "2")], 5000),
        (&[("job", "young"), ("instance", "1")], 10),
    ]);
    let report = pass(&classic, json!({})).await;
    assert_eq!((report.targets, report.failed, report.groups, report.stale, report.collected), (1, 0, 1, 0, 2));
    assert_eq!((report.gateway, report.newest_push), (Some(GatewayState::Done), Some((NOW - 10) as f64)));
    assert_eq!(classic.left(), [r#"{instance="1",job="young"}"#]);
    // Keys with an instance tell themselves apart.
    let expected = [
        "GET /metrics",
        "GET /metrics",
        "DELETE /metrics/job/old/instance/1",
        "GET /metrics",
        "DELETE /metrics/job/old/instance/2",
    ];
    assert_eq!(classic.asked(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_with_more_stale_groups_than_there_is_time_for_is_no_failure() {
    let names: Vec<_> = (0..10).map(|nth| nth.to_string()).collect();
    let classic = Classic { takes: Duration::from_secs(3), ..Classic::default() };
    for name in &names {
        classic.groups.lock().unwrap().insert(key(&[("job", name)]), (NOW - 4000).to_string());
    }
    let mut passes = Passes::of(json!({"gateway": {"url": classic.serve().await}, "staleAfter": "1h"}));
    for left in [7, 4, 1] {
        let report = passes.next().await;
        assert_eq!((report.stale, report.failed, report.has_more_to_do), (left, 0, true));
        assert_eq!(report.gateway, Some(GatewayState::Done));
    }
    let report = passes.next().await;
    assert_eq!((report.stale, report.failed, report.has_more_to_do), (0, 0, false));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_takes_long_for_its_page_is_read_and_collected() {
    // How long a page takes, and the keys of the API; how many groups are left after each visit.
    for (seconds, left) in [(3, [0, 0]), (4, [2, 0]), (7, [2, 0])] {
        let mut classic = Classic::with(&[(&[("job", "a")], 4000), (&[("job", "b")], 4000)]);
        classic.pages_take = Duration::from_secs(seconds);
        let mut passes = Passes::of(json!({"gateway": {"url": classic.serve().await}, "staleAfter": "1h"}));
        for left in left {
            let report = passes.next().await;
            let expected = (left, 0, Some(GatewayState::Done));
            assert_eq!((report.stale, report.failed, report.gateway), expected, "{seconds} s a page");
            assert_eq!(classic.left().len() as u64, left);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_read_is_not_told_unreachable_whatever_comes_after() {
    // The keys are asked for, too, and then it is too late.
    let mut classic = Classic::with(&[(&[("job", "a"), ("instance", "")], 4000), (&[("job", "b")], 10)]);
    classic.pages_take = Duration::from_secs(9);
    let mut passes = Passes::of(json!({"gateway": {"url": classic.serve().await}, "staleAfter": "1h"}));
    let report = passes.next().await;
    assert_eq!((report.groups, report.stale), (2, 1));
    let expected = GatewayState::Unfinished("expected a visit to be over within 15s".to_owned());
    assert_eq!(report.gateway, Some(expected));
    assert!(passes.collector.metrics.page().unwrap().contains("visit_timeout"));
    let report = passes.next().await;
    assert_eq!((report.groups, report.stale, report.gateway), (1, 0, Some(GatewayState::Done)));
}

#[tokio::test]
async fn a_gateway_loses_nothing_while_the_api_server_does_not_tell_of_push_groups() {
    let classic = Classic::with(&[(&[("job", "old")], 4000)]);
    let mut passes = Passes::of(json!({"gateway": {"url": classic.serve().await}, "staleAfter": "1h"}));
    passes.collector.hearing.falls_silent();
    let report = passes.next().await;
    assert_eq!((report.stale, report.collected, report.is_held), (1, 0, true));
    assert_eq!((report.gateway, classic.left().len()), (Some(GatewayState::Done), 1));
}

#[tokio::test]
async fn where_nothing_is_stale_the_page_is_read_once() {
    let classic = Classic::with(&[(&[("job", "young")], 10)]);
    pass(&classic, json!({})).await;
    assert_eq!(classic.asked(), ["GET /metrics"]);
}

#[tokio::test]
async fn a_group_that_is_pushed_between_two_looks_stays() {
    let old = key(&[("job", "old")]);
    let classic = Classic { pushed_after: Some((1, old)), ..Classic::with(&[(&[("job", "old")], 4000)]) };
    let report = pass(&classic, json!({})).await;
    assert_eq!((report.groups, report.stale, report.collected), (1, 0, 0));
    assert_eq!(classic.asked(), ["GET /metrics", "GET /api/v1/metrics", "GET /metrics"]);
}

#[tokio::test]
async fn a_dry_run_reports_and_removes_nothing() {
    let classic = Classic::with(&[(&[("job", "old")], 4000)]);
    let report = pass(&classic, json!({"dryRun": true})).await;
    assert_eq!((report.stale, report.collected, report.dry_run), (1, 0, true));
    assert_eq!(classic.asked(), ["GET /metrics"]);
}

#[tokio::test]
async fn rules_hold_for_a_gateway_too() {
    let classic = Classic::with(&[(&[("job", "backup-a")], 4000), (&[("job", "other")], 4000)]);
    let rules = json!({"rules": [{"match": {"job": "backup-.*"}, "staleAfter": "25h"}]});
    assert_eq!(pass(&classic, rules).await.collected, 1);
    assert_eq!(classic.left(), [r#"{job="backup-a"}"#]);
}

#[tokio::test]
async fn an_empty_instance_and_none_are_told_apart_by_the_api() {
    let classic = Classic::with(&[(&[("job", "none")], 4000), (&[("job", "empty"), ("instance", "")], 4000)]);
    let report = pass(&classic, json!({})).await;
    assert_eq!((report.collected, classic.left().len()), (2, 0));
    let removals: Vec<_> = classic.asked().into_iter().filter(|asked| asked.starts_with("DELETE")).collect();
    assert_eq!(removals, ["DELETE /metrics/job/empty/instance@base64/=", "DELETE /metrics/job/none"]);
}

#[tokio::test]
async fn without_the_api_both_are_tried_until_the_group_is_gone() {
    let ages: [(&[(&str, &str)], i64); 2] = [(&[("job", "none")], 4000), (&[("job", "empty"), ("instance", "")], 4000)];
    let classic = Classic { is_old: true, ..Classic::with(&ages) };
    let report = pass(&classic, json!({})).await;
    assert_eq!((report.collected, classic.left().len()), (2, 0));
    let removals: Vec<_> = classic.asked().into_iter().filter(|asked| asked.starts_with("DELETE")).collect();
    let expected =
        ["DELETE /metrics/job/empty", "DELETE /metrics/job/empty/instance@base64/=", "DELETE /metrics/job/none"];
    assert_eq!(removals, expected, "of a group that is gone nothing more is asked");
}

#[tokio::test]
async fn without_the_api_a_group_that_is_pushed_meanwhile_stays_and_is_not_counted() {
    let empty = key(&[("job", "empty"), ("instance", "")]);
    let ages: [(&[(&str, &str)], i64); 1] = [(&[("job", "empty"), ("instance", "")], 4000)];
    // Between the removal that hit nothing and the second try.
    let classic = Classic { is_old: true, pushed_after: Some((2, empty)), ..Classic::with(&ages) };
    let report = pass(&classic, json!({})).await;
    assert_eq!((report.groups, report.stale, report.collected), (1, 0, 0));
    assert_eq!(classic.left(), [r#"{instance="",job="empty"}"#]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_told_and_heals() {
    let classic = Classic { wants: Some("Bearer t0k"), ..Classic::with(&[(&[("job", "old")], 4000)]) };
    let gateway = json!({"url": classic.serve().await, "auth": {"secretName": "pg"}});
    let mut passes = Passes::of(json!({"gateway": gateway, "staleAfter": "1h"}));
    let missing = ("SecretMissing", "expected the Secret pg in namespace data, found none".to_owned());
    assert_eq!(passes.unreachable().await, missing);

    *passes.secret.lock().unwrap() =
        (403, json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403}));
    let (reason, message) = passes.unreachable().await;
    assert_eq!(reason, "SecretForbidden");
    let (sentence, manifest) = message.split_once('\n').unwrap();
    assert_eq!(sentence, "the operator may not read the Secret pg; apply this to let it read that one:");
    assert!(manifest.contains(r#""resourceNames":["pg"]"#), "{manifest}");
    assert!(manifest.contains(r#""name":"sidegate-operator","namespace":"sidegate-system""#), "{manifest}");

    let secret = |key: &str, value: &str| (200, json!({"metadata": {"name": "pg"}, "data": {key: value}}));
    *passes.secret.lock().unwrap() = secret("pass", "eA==");
    let unfit = "the Secret pg: expected the key token, or the keys username and password, found none of them";
    assert_eq!(passes.unreachable().await, ("SecretUnfit", unfit.to_owned()));

    // `wrong`, then `t0k`: another Secret counts at the next look.
    *passes.secret.lock().unwrap() = secret("token", "d3Jvbmc=");
    let (reason, message) = passes.unreachable().await;
    assert_eq!(reason, "Unauthorized");
    assert!(message.ends_with("to accept the Secret's credentials, found status 401"), "{message}");
    assert!(!message.contains("wrong"), "{message}");

    *passes.secret.lock().unwrap() = secret("token", "dDBr");
    let mut report = passes.next().await;
    for _ in 0..10 {
        if report.gateway == Some(GatewayState::Done) {
            break;
        }
        report = passes.next().await;
    }
    assert_eq!((report.gateway, report.collected, classic.left().len()), (Some(GatewayState::Done), 1, 0));
}

#[tokio::test]
async fn an_address_that_is_none_is_told() {
    // The API server refuses such a one; an older object may still have it.
    let mut passes = Passes::of(json!({"gateway": {"url": "http://me:secret@pg"}}));
    let (reason, message) = passes.unreachable().await;
    assert_eq!(reason, "BadAddress");
    assert!(message.ends_with("found \"pg\": it has an @"), "{message}");
}

#[tokio::test]
async fn a_gateway_that_is_left_out_stands_as_it_was() {
    let mut passes = Passes::of(json!({"gateway": {"url": "http://127.0.0.1:1"}}));
    for _ in 0..5 {
        let (reason, message) = passes.unreachable().await;
        assert_eq!(reason, "Unreachable");
        assert!(message.starts_with("cannot connect to http://127.0.0.1:1: "), "{message}");
        let report = passes.collector.reports.last("uid").unwrap();
        assert_eq!((report.targets, report.failed), (1, 1));
    }
}
