//! Whole looks at sidecars on loopback addresses, caches filled by hand.

mod cut_short;
mod faults;
mod gateway_faults;
mod history;
mod long_pages;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::channel::mpsc::UnboundedSender;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::runtime::watcher::Event;
use protocol::endpoints::IF_PUSH_TIME_HEADER;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::{
    cache::cache,
    events::tests::{Asked, server},
    leader::{LONGEST_WRITE, Term},
    sidecar::push_times,
    signing::OperatorKey,
    stop,
};

const NOW: i64 = 1_790_000_000;

/// Of the counts.
const INTERVAL: Duration = Duration::from_secs(10);

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
    /// Refuses the removal of one job.
    refuses_one: Option<&'static str>,
    /// Told when it is read.
    read: Arc<Notify>,
    /// Told when a removal is asked for.
    removing: Arc<Notify>,
    /// What a removal waits for.
    gate: Option<Arc<Semaphore>>,
    /// How long a removal takes on the paused clock.
    takes: Duration,
    /// How many seconds its clock is behind.
    behind: i64,
    /// How many seconds have passed there.
    passed: Arc<Mutex<i64>>,
    /// How often it was read.
    reads: Arc<Mutex<u32>>,
}

async fn answer(State(fake): State<Fake>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method == Method::DELETE {
        fake.removing.notify_one();
        if let Some(gate) = &fake.gate {
            gate.acquire().await.unwrap().forget();
        }
        tokio::time::sleep(fake.takes).await;
    } else {
        *fake.reads.lock().unwrap() += 1;
        fake.read.notify_one();
    }
    let date = Timestamp::from_second(NOW - fake.behind + *fake.passed.lock().unwrap()).unwrap();
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
    if fake.refuses_one == Some(job) {
        return StatusCode::IM_A_TEAPOT.into_response();
    }
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

impl Collector {
    /// Makes a visit to everybody, and tells what is known then.
    pub(in crate::gc) async fn visit_all(&self, agenda: &mut Agenda, stop: &Stop) {
        let now = Instant::now();
        self.look_at_objects(&mut RollCall::default(), agenda, now);
        agenda.everybody_is_due(now);
        let mut visits = FuturesUnordered::new();
        loop {
            visits.extend(agenda.due(now).into_iter().map(|visit| self.visit(visit, stop)));
            let Some(found) = visits.next().await else { break };
            self.ended(agenda, found);
        }
        for telling in agenda.all_news(now, self.clock.now()) {
            self.wake.try_send(self.tell(telling)).unwrap();
        }
    }
}

/// A collector that makes a visit to everybody when it is told to.
struct Passes {
    collector: Collector,
    agenda: Agenda,
    woken: mpsc::Receiver<ObjectRef<PushGroup>>,
    stop: stop::Stop,
    sender: stop::StopSender,
    /// The Events written.
    told: Asked,
}

impl Passes {
    fn over(groups: Cache<PushGroup>, pods: Vec<Pod>) -> Self {
        let (wake, woken) = mpsc::channel(64);
        let (client, told) = server();
        let collector = Collector {
            groups,
            hearing: Hearing::always(),
            pods: Cache::of(pods),
            client: SidecarClient::new(OperatorKey::from_seed(&[1; 32])),
            gateways: Gateways::new(client.clone()),
            port: port(),
            reports: Arc::default(),
            wake,
            clock: Clock::from_fn(|| Timestamp::from_second(NOW).unwrap()),
            metrics: Arc::default(),
            events: Events::to(&client),
        };
        let (sender, stop) = stop::channel();
        Self { collector, agenda: Agenda::new(INTERVAL), woken, stop, sender, told }
    }

    fn of(spec: Value, pods: Vec<Pod>) -> Self {
        Self::over(Cache::of(vec![group(spec)]), pods)
    }

    async fn make(&mut self) {
        self.collector.visit_all(&mut self.agenda, &self.stop).await;
    }

    /// One pass; the report of the one group.
    async fn next(&mut self) -> PassReport {
        self.make().await;
        assert_eq!(self.woken.recv().await.unwrap().name, "nightly");
        self.collector.reports.last("uid").unwrap()
    }

    /// The notes of the Events.
    async fn notes(&self) -> Vec<String> {
        self.collector.events.settled().await;
        let told = self.told.lock().unwrap();
        told.iter().map(|(_, _, event)| event["note"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn page_has(&self, line: &str) {
        let page = self.collector.metrics.page().unwrap();
        assert!(page.contains(&format!("{line}\n")), "{line} is not in\n{page}");
    }

    #[track_caller]
    fn counted(&self, reason: &str, times: u64) {
        self.page_has(&format!("sidegate_operator_collection_failures_total{{reason=\"{reason}\"}} {times}"));
    }
}

/// One pass; the report of the one group.
async fn pass(spec: Value, pods: Vec<Pod>) -> (PassReport, Passes) {
    let mut passes = Passes::of(spec, pods);
    (passes.next().await, passes)
}

/// A cache that takes changes from a channel.
fn watched<K>(objects: Vec<K>) -> (Cache<K>, UnboundedSender<Event<K>>)
where
    K: kube::Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (cache, filling) = cache();
    let (sender, events) = futures::channel::mpsc::unbounded();
    let mut filling = Box::pin(filling.fill(events.map(Ok)));
    tokio::spawn(async move { while filling.next().await.is_some() {} });
    for object in objects {
        sender.unbounded_send(Event::Apply(object)).unwrap();
    }
    (cache, sender)
}

#[tokio::test]
async fn stale_groups_are_removed_and_others_stay() {
    let one = serve("127.19.1.1", &[("old", 4000), ("young", 10)], Fake::default()).await;
    let two = serve("127.19.1.2", &[("old", 5000)], Fake::default()).await;
    let spec = json!({"selector": {}, "staleAfter": "1h"});
    let (report, passes) = pass(spec, vec![pod("one", "127.19.1.1"), pod("two", "127.19.1.2")]).await;
    assert_eq!((report.targets, report.failed, report.groups, report.stale, report.collected), (2, 0, 1, 0, 2));
    assert_eq!(report.newest_push, Some((NOW - 10) as f64));
    assert_eq!(one.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["young"]);
    assert!(two.groups.lock().unwrap().is_empty());
    passes.page_has("sidegate_operator_collected_groups_total{limit=\"stale_after\",since=\"push\"} 2");
}

#[tokio::test]
async fn while_the_api_server_does_not_tell_of_push_groups_nothing_is_removed() {
    let fake = serve("127.19.1.3", &[("old", 4000), ("young", 10)], Fake::default()).await;
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.1.3")]);
    passes.collector.hearing.falls_silent();
    for _ in 0..3 {
        let report = passes.next().await;
        assert_eq!((report.groups, report.stale, report.collected, report.failed), (2, 1, 0, 0));
        assert!(report.is_held);
    }
    assert_eq!(fake.groups.lock().unwrap().len(), 2);
    passes.collector.hearing.heard(None);
    let report = passes.next().await;
    assert_eq!((report.groups, report.stale, report.collected, report.is_held), (1, 0, 1, false));
}

#[tokio::test]
async fn a_push_group_that_is_being_deleted_is_not_collected_any_more() {
    let fake = serve("127.19.1.4", &[("old", 4000)], Fake::default()).await;
    let mut going = group(json!({"selector": {}, "staleAfter": "1h"}));
    going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    going.metadata.finalizers = Some(vec!["example.com/slow".to_owned()]);
    let mut passes = Passes::over(Cache::of(vec![going]), vec![pod("one", "127.19.1.4")]);
    passes.make().await;
    assert_eq!((*fake.reads.lock().unwrap(), fake.groups.lock().unwrap().len()), (0, 1));
    assert_eq!(passes.collector.reports.last("uid"), None);
}

#[tokio::test]
async fn a_pod_with_an_ipv6_address_is_visited_there() {
    let fake = serve("::1", &[("old", 4000), ("young", 10)], Fake::default()).await;
    let (report, _) = pass(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "::1")]).await;
    assert_eq!((report.targets, report.failed, report.collected), (1, 0, 1));
    assert_eq!(fake.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["young"]);
}

#[tokio::test]
async fn a_group_that_is_pushed_meanwhile_stays() {
    let fake = serve("127.19.2.1", &[("old", 4000)], Fake::default()).await;
    *fake.pushed_again.lock().unwrap() = Some("old".to_owned());
    let (report, passes) = pass(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.2.1")]).await;
    assert_eq!((report.failed, report.groups, report.stale, report.collected), (0, 1, 0, 0));
    passes.page_has("sidegate_operator_moved_on_groups_total 1");
    assert!(passes.notes().await.is_empty());
    assert_eq!(fake.groups.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_dry_run_reports_and_removes_nothing() {
    let fake = serve("127.19.3.1", &[("old", 4000)], Fake::default()).await;
    let spec = json!({"selector": {}, "staleAfter": "1h", "dryRun": true});
    let (report, passes) = pass(spec, vec![pod("one", "127.19.3.1")]).await;
    assert_eq!((report.stale, report.collected, report.dry_run), (1, 0, true));
    assert_eq!(report.would_go, ["{job=\"old\"} in pod one, older than the 1h allowed"]);
    assert!(passes.notes().await.is_empty(), "nothing was removed");
    assert_eq!(fake.groups.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_sidecar_that_refuses_leaves_its_groups_stale() {
    let _fake = serve("127.19.4.1", &[("a", 4000), ("b", 4000)], Fake { refuses: true, ..Fake::default() }).await;
    let spec = json!({"selector": {}, "staleAfter": "1h"});
    let mut passes = Passes::of(spec, vec![pod("one", "127.19.4.1")]);
    passes.next().await;
    let report = passes.next().await;
    assert_eq!((report.failed, report.stale, report.collected), (1, 2, 0));
    passes.counted("status", 2);
}

#[tokio::test]
async fn a_sidecar_counts_as_failed_at_its_second_failure_in_a_row() {
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.5.1")]);
    let report = passes.next().await;
    assert_eq!((report.targets, report.failed), (1, 0));
    let report = passes.next().await;
    assert_eq!((report.targets, report.failed), (1, 1));
    passes.counted("connect", 2);
}

#[tokio::test]
async fn an_answer_between_two_failures_begins_the_row_anew() {
    let mut passes = Passes::of(json!({"selector": {}}), vec![pod("one", "127.19.9.1")]);
    passes.next().await;
    let address = SocketAddr::new("127.19.9.1".parse().unwrap(), port());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let app = Router::new().fallback(answer).with_state(Fake::default());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(passes.next().await.failed, 0);
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    assert_eq!(passes.next().await.failed, 0);
    passes.counted("connect", 2);
}

#[tokio::test]
async fn what_is_known_of_a_sidecar_that_fails_stands() {
    let address = SocketAddr::new("127.19.5.2".parse().unwrap(), port());
    let fake = Fake::default();
    fake.groups.lock().unwrap().insert("a".to_owned(), NOW.to_string());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let app = Router::new().fallback(answer).with_state(fake);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut passes = Passes::of(json!({"selector": {}}), vec![pod("one", "127.19.5.2")]);
    assert_eq!(passes.next().await.groups, 1);
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    passes.next().await;
    let report = passes.next().await;
    assert_eq!((report.targets, report.failed, report.groups), (1, 1, 1));
}

#[tokio::test]
async fn what_was_removed_is_told_in_one_event_that_names_the_first_few() {
    let jobs: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].into_iter().map(|job| (job, 7200)).collect();
    let _fake = serve("127.19.15.1", &jobs, Fake::default()).await;
    let (_, passes) = pass(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.15.1")]).await;
    let named = ["a", "b", "c", "d", "e"].map(|job| format!("{{job=\"{job}\"}} in pod one, older than the 1h allowed"));
    let expected = format!("Removed 7 stale groups: {}; and 2 more", named.join("; "));
    assert_eq!(passes.notes().await, [expected]);
    let told = passes.told.lock().unwrap();
    assert_eq!((told[0].2["reason"].as_str(), told[0].2["type"].as_str()), (Some("Collected"), Some("Normal")));
    assert_eq!(told[0].2["regarding"]["name"], "nightly");
}

#[tokio::test]
async fn nobody_there_is_no_failure_where_the_pod_is_going() {
    let mut going = pod("one", "127.19.5.3");
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let mut passes = Passes::of(json!({"selector": {}}), vec![going]);
    for _ in 0..3 {
        let report = passes.next().await;
        assert_eq!((report.targets, report.failed), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_with_more_stale_groups_than_there_is_time_for_is_no_failure() {
    let jobs = [("a", 4000), ("b", 4000), ("c", 4000), ("d", 4000), ("e", 4000), ("f", 4000)];
    // Each is within the timeout of a request.
    let _fake = serve("127.19.10.1", &jobs, Fake { takes: Duration::from_secs(4), ..Fake::default() }).await;
    let spec = json!({"selector": {}, "staleAfter": "1h"});
    let mut passes = Passes::of(spec, vec![pod("one", "127.19.10.1")]);
    let report = passes.next().await;
    assert_eq!((report.groups, report.stale, report.collected), (3, 3, 3));
    assert!(report.has_more_to_do);
    let report = passes.next().await;
    assert_eq!((report.groups, report.stale, report.collected, report.failed), (0, 0, 3, 0));
    assert!(!passes.collector.metrics.page().unwrap().contains("visit_timeout"));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_never_answers_fails() {
    let address = SocketAddr::new("127.19.10.2".parse().unwrap(), port());
    let _listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let mut passes = Passes::of(json!({"selector": {}}), vec![pod("one", "127.19.10.2")]);
    passes.next().await;
    assert_eq!(passes.next().await.failed, 1);
    passes.counted("timeout", 2);
}

#[test]
fn a_page_is_read_where_blocking_does_no_harm() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let fake = serve("127.19.11.1", &[("a", 10)], Fake::default()).await;
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holder = tokio::task::spawn_blocking(move || held.recv());
        let mut passes = Passes::of(json!({"selector": {}}), vec![pod("one", "127.19.11.1")]);
        let pass = tokio::spawn(async move { passes.next().await });
        fake.read.notified().await;
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        assert!(!pass.is_finished(), "the page was read on the runtime's own thread");
        release.send(()).unwrap();
        holder.await.unwrap().unwrap();
        assert_eq!(pass.await.unwrap().groups, 1);
    });
}

#[tokio::test(start_paused = true)]
async fn a_page_with_too_many_groups_is_an_incomplete_visit() {
    let fake = serve("127.19.12.1", &[("old", 4000)], Fake::default()).await;
    let more = (0..push_times::MOST_GROUPS).map(|n| (format!("young{n}"), NOW.to_string()));
    fake.groups.lock().unwrap().extend(more);
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.12.1")]);
    let report = passes.next().await;
    assert_eq!((report.groups, report.collected), (push_times::MOST_GROUPS as u64 - 1, 1));
    passes.counted("too_many_groups", 1);
}

#[tokio::test]
async fn a_group_that_cannot_be_asked_for_is_passed_over() {
    let long: &'static str = Box::leak("l".repeat(70_000).into_boxed_str());
    let jobs = [("a", 4000), (long, 4000), ("z", 4000)];
    let fake = serve("127.19.13.1", &jobs, Fake::default()).await;
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.13.1")]);
    let report = passes.next().await;
    assert_eq!((report.stale, report.collected), (1, 2));
    assert_eq!(fake.groups.lock().unwrap().keys().collect::<Vec<_>>(), [long]);
    passes.counted("request", 1);
}

#[tokio::test]
async fn a_group_with_an_odd_answer_is_passed_over() {
    let fake = Fake { refuses_one: Some("a"), ..Fake::default() };
    let fake = serve("127.19.13.2", &[("a", 4000), ("z", 4000)], fake).await;
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.13.2")]);
    let report = passes.next().await;
    assert_eq!((report.stale, report.collected), (1, 1));
    assert_eq!(fake.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["a"]);
    passes.counted("status", 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_removed_when_it_grows_stale_and_nobody_looks_much_oftener() {
    let reads = Arc::new(Mutex::new(0));
    // The fake's clock stands, as ours does; what passes is the time from the read on.
    let fake = Fake { reads: reads.clone(), ..Fake::default() };
    let fake = serve("127.19.16.1", &[("old", 3000)], fake).await;
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.16.1")]);
    passes.agenda = Agenda::new(Duration::from_secs(1_000_000));
    let started = Instant::now();
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let aging = async {
        tokio::time::sleep(Duration::from_secs(599)).await;
        assert_eq!(*reads.lock().unwrap(), 1);
        assert_eq!(fake.groups.lock().unwrap().len(), 1);
        *fake.passed.lock().unwrap() = 601;
        while !fake.groups.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    collector.collect_until(agenda, stop, aging).await;
    let took = started.elapsed();
    assert!(Duration::from_secs(600) <= took && took <= Duration::from_secs(603), "{took:?}");
    assert_eq!(*reads.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_later_is_looked_at_soon() {
    let fake = serve("127.19.17.1", &[("old", 4000)], Fake::default()).await;
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![]);
    let (pods, sender) = watched(vec![]);
    passes.collector.pods = pods;
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let coming = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        let came = Instant::now();
        sender.unbounded_send(Event::Apply(pod("one", "127.19.17.1"))).unwrap();
        while !fake.groups.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(came.elapsed() <= Duration::from_secs(3), "{:?}", came.elapsed());
    };
    collector.collect_until(agenda, stop, coming).await;
}

#[tokio::test]
async fn the_report_of_a_push_group_that_is_gone_is_forgotten() {
    let mut passes = Passes::of(json!({"selector": {}}), vec![]);
    passes.collector.reports.record("gone", PassReport::default());
    passes.next().await;
    assert_eq!(passes.collector.reports.last("gone"), None);
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
