//! Electors against a fake API server with one Lease, on a paused clock.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use hyper::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::stop::{self, StopSender};

#[derive(Default)]
struct Server {
    lease: Mutex<Option<Value>>,
    is_silent: AtomicBool,
}

impl Server {
    fn client(self: &Arc<Self>) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let method = request.method().clone();
                let body = request.into_body().collect_bytes().await?;
                if server.is_silent.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                let (code, answer) = server.answer(&method, serde_json::from_slice(&body).unwrap_or_default());
                Ok::<_, kube::Error>(Response::builder().status(code).body(answer.to_string()).unwrap())
            }
        });
        Client::new(service, "system")
    }

    fn answer(&self, method: &Method, mut written: Value) -> (StatusCode, Value) {
        let refused = |code: u16| {
            let reason = if code == 404 { "NotFound" } else { "Conflict" };
            let status = json!({"kind": "Status", "status": "Failure", "reason": reason, "code": code});
            (StatusCode::from_u16(code).unwrap(), status)
        };
        let mut lease = self.lease.lock().unwrap();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        match (method, lease.as_ref()) {
            (&Method::GET, None) | (&Method::PUT, None) => return refused(404),
            (&Method::GET, Some(lease)) => return (StatusCode::OK, lease.clone()),
            (&Method::POST, Some(_)) => return refused(409),
            (_, Some(lease)) if version(lease) != version(&written) => return refused(409),
            (_, _) => {}
        }
        let next = lease.as_ref().map_or(1, |lease| version(lease).as_str().unwrap().parse::<u64>().unwrap() + 1);
        written["metadata"]["resourceVersion"] = json!(next.to_string());
        *lease = Some(written.clone());
        (StatusCode::OK, written)
    }

    fn holder(&self) -> String {
        let lease = self.lease.lock().unwrap();
        lease.as_ref().unwrap()["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }
}

struct Replica {
    leadership: Leadership,
    stop: StopSender,
    running: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Replica {
    fn start(server: &Arc<Server>, identity: &str) -> Self {
        let config =
            LeaderConfig { lease: "lease".to_owned(), identity: identity.to_owned(), timings: Timings::default() };
        let metrics = Arc::<Metrics>::default();
        let made = elector(&server.client(), "system", &config, Clock::system(), metrics.clone());
        let (elector, leadership) = made.unwrap();
        let (sender, stop) = stop::channel();
        Self { leadership, stop: sender, running: tokio::spawn(elector.run(stop)), metrics }
    }

    #[track_caller]
    fn tells(&self, status: u8) {
        let page = self.metrics.page().unwrap();
        let line = format!("leader_election_master_status{{name=\"lease\"}} {status}\n");
        assert!(page.contains(&line), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_the_other_follows_when_it_releases() {
    let server = Arc::<Server>::default();
    let mut one = Replica::start(&server, "one");
    let term = one.leadership.term().await.unwrap();
    assert!(term.has(LONGEST_WRITE) && server.holder().starts_with("one_"));
    let mut two = Replica::start(&server, "two");
    // For much longer than a term without renewal.
    assert!(timeout(Duration::from_secs(100), two.leadership.term()).await.is_err());
    assert!(term.has(LONGEST_WRITE));
    one.tells(1);
    two.tells(0);

    let released = Instant::now();
    one.stop.request();
    one.running.await.unwrap();
    assert!(!term.has(Duration::ZERO));
    let term = two.leadership.term().await.unwrap();
    assert!(term.has(LONGEST_WRITE) && released.elapsed() < Duration::from_secs(3), "{:?}", released.elapsed());
    two.tells(1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_vanishes_is_followed_when_its_lease_has_run_out() {
    let server = Arc::<Server>::default();
    let mut one = Replica::start(&server, "one");
    one.leadership.term().await.unwrap();
    let mut two = Replica::start(&server, "two");
    tokio::time::sleep(Duration::from_secs(10)).await;
    one.running.abort();
    let vanished = Instant::now();
    two.leadership.term().await.unwrap();
    let took = vanished.elapsed().as_secs();
    assert!((13..=18).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_answers_steps_down_in_time_and_leads_again_in_another_term() {
    let server = Arc::<Server>::default();
    let mut one = Replica::start(&server, "one");
    let term = one.leadership.term().await.unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    server.is_silent.store(true, Ordering::Relaxed);
    let silent = Instant::now();
    term.clone().over().await;
    let took = silent.elapsed().as_secs();
    assert!((7..=10).contains(&took), "{took} s");
    server.is_silent.store(false, Ordering::Relaxed);
    let again = one.leadership.term().await.unwrap();
    assert!(again.has(LONGEST_WRITE) && !term.has(Duration::ZERO));
}
