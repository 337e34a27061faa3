//! Jobs push the very groups that are being removed, thousands of times: how many fresh groups are lost by that.
//!
//! A fresh group that is not there is lost, whoever looks: so pages are read all the time, and a group whose last
//! answered push is younger than the limit has to be on each.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{binaries, connection::Connection, wait};
use operator::gateway::{address::GatewayAddress, client::GatewaySession};
use serde_json::json;
use tokio::time::Instant;

use crate::world::{Collecting, Gateway, key};

/// How old a group may get.
const LIMIT: Duration = Duration::from_millis(300);

/// How many groups are pushed, each by its own job.
const JOBS: u64 = 60;

/// How many pushes there are at least, and how many removals.
const PUSHES: u64 = 2_000;
const REMOVALS: u64 = 400;

/// The most that this may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// What came of it.
struct Outcome {
    pushes: u64,
    removals: u64,
    pages: u64,
    /// Fresh groups that were not there.
    lost: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pushes, removals, pages, lost } = self;
        write!(f, "{lost} fresh groups lost of {removals} removed, at {pushes} pushes, seen on {pages} pages")
    }
}

/// The last push of each job: its number, and when it was begun.
type Pushed = Mutex<HashMap<u64, (u64, Instant)>>;

pub(crate) fn few_fresh_groups_are_lost_on_a_classic_gateway(program: &Path) -> anyhow::Result<()> {
    let outcome = race(&Gateway::start(program, &[])?)?;
    println!("race on a classic gateway: {outcome}");
    // The window is a few milliseconds of the seconds in which a job may push.
    ensure!(outcome.lost * 50 <= outcome.removals, "{outcome}");
    Ok(())
}

pub(crate) fn no_fresh_group_is_lost_on_a_gateway_of_ours(_: &Path) -> anyhow::Result<()> {
    let outcome = race(&Gateway::start(&binaries::sidegate()?, &["--log.level=info"])?)?;
    println!("race on a gateway of ours: {outcome}");
    ensure!(outcome.lost == 0, "{outcome}");
    Ok(())
}

/// The time from asking for the page to the answer to the removal, with little and with much that is stored. What is
/// pushed within it is lost if the gateway takes it in after its answer and before the removal.
pub(crate) fn the_window_of_a_classic_gateway_is_measured(program: &Path) -> anyhow::Result<()> {
    for series in [100, 10_000] {
        let (whole, after) = window(program, series)?;
        println!(
            "window on a classic gateway with {series} series: median {whole:?} from asking for the page to the \
             removal, {after:?} of it after the push times were in"
        );
        ensure!(after <= whole && whole < Duration::from_secs(5), "{whole:?}");
    }
    Ok(())
}

fn window(program: &Path, series: usize) -> anyhow::Result<(Duration, Duration)> {
    let mut gateway = Gateway::start(program, &[])?;
    let body: String =
        (0..series / 2).map(|nth| format!("a_metric{{nth=\"{nth}\"}} 1\nz_metric{{nth=\"{nth}\"}} 1\n")).collect();
    let (status, text) = gateway.call("PUT", "/metrics/job/stays", &body)?;
    ensure!(status == 200, "{status} {text}");
    let key = key(&[("job", "goes")])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut session = GatewaySession::new(GatewayAddress::parse(&gateway.url())?, None, None);
    let mut times = Vec::new();
    for _ in 0..41 {
        gateway.push(&key)?;
        times.push(runtime.block_on(async {
            session.prepare().await?;
            let asked = Instant::now();
            let page = session.read().await?;
            let read = Instant::now();
            ensure!(page.text.contains("job=\"goes\""), "{}", page.text);
            session.remove(&key, "1").await?;
            Ok((asked.elapsed(), read.elapsed()))
        })?);
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().context("no times")
    };
    let (whole, after) = times.into_iter().unzip();
    Ok((median(whole)?, median(after)?))
}

fn race(gateway: &Gateway) -> anyhow::Result<Outcome> {
    let (address, pushed, end) = (gateway.address, Pushed::default(), AtomicBool::new(false));
    let (pushes, lost, pages) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let spec = json!({"gateway": {"url": gateway.url()}, "staleAfter": format!("{}ms", LIMIT.as_millis())});
    let collecting = Collecting::start(spec, &json!({}))?;
    let removals = || {
        let page = collecting.metrics.page().unwrap_or_default();
        let sums = page.lines().filter(|line| line.starts_with("sidegate_operator_collected_groups_total"));
        sums.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    thread::scope(|scope| {
        let jobs = (0..JOBS).map(|job| {
            let (pushed, pushes, end) = (&pushed, &pushes, &end);
            scope.spawn(move || push_on(job, address, pushed, pushes, end))
        });
        let jobs: Vec<_> = jobs.collect();
        let looking = scope.spawn(|| look(address, &pushed, &end, &lost, &pages));
        let enough = wait::blocking("enough pushes and removals", PATIENCE, || {
            let is_enough = PUSHES <= pushes.load(Ordering::Relaxed) && REMOVALS <= removals();
            Ok((is_enough || jobs.iter().any(thread::ScopedJoinHandle::is_finished)).then_some(()))
        });
        end.store(true, Ordering::Relaxed);
        for work in jobs.into_iter().chain([looking]) {
            work.join().map_err(|_| anyhow::anyhow!("a job panicked"))??;
        }
        enough
    })?;
    let [pushes, lost, pages] = [&pushes, &lost, &pages].map(|number| number.load(Ordering::Relaxed));
    Ok(Outcome { pushes, removals: removals(), pages, lost })
}

/// A job that pushes its group anew at some time after it became stale, when it is just being removed or soon will be.
fn push_on(job: u64, address: SocketAddr, pushed: &Pushed, pushes: &AtomicU64, end: &AtomicBool) -> anyhow::Result<()> {
    let mut connection = Connection::of(address);
    let (mut number, mut random) = (0, job + 1);
    while !end.load(Ordering::Relaxed) {
        number += 1;
        let body = format!("race {number}\n");
        let length = body.len();
        let head = format!("PUT /metrics/job/race-{job} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {length}\r\n\r\n");
        let begun = Instant::now();
        // On a busy machine an answer may be too late; such a push is not known to be taken.
        let Ok(answer) = connection.call(format!("{head}{body}").into_bytes()) else { continue };
        ensure!(answer.status == 200, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        locked(pushed)?.insert(job, (number, begun));
        pushes.fetch_add(1, Ordering::Relaxed);
        // Xorshift: any spread will do.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep((LIMIT + Duration::from_millis(random % 3000)).saturating_sub(begun.elapsed()));
    }
    Ok(())
}

/// Reads pages, and counts each push that is missing while it is fresh.
fn look(
    address: SocketAddr,
    pushed: &Pushed,
    end: &AtomicBool,
    lost: &AtomicU64,
    pages: &AtomicU64,
) -> anyhow::Result<()> {
    let mut connection = Connection::of(address);
    let mut missing = BTreeSet::new();
    while !end.load(Ordering::Relaxed) {
        let known = locked(pushed)?.clone();
        let request = "GET /metrics?name[]=race HTTP/1.1\r\nHost: gateway\r\n\r\n";
        let Ok(answer) = connection.call(request.as_bytes().to_vec()) else { continue };
        let seen = Instant::now();
        ensure!(answer.status == 200, "{}", answer.status);
        let page = String::from_utf8(answer.body)?;
        let there: BTreeSet<u64> = page.lines().filter_map(job_of).collect();
        for (job, (number, begun)) in known {
            if !there.contains(&job) && seen.duration_since(begun) < LIMIT && missing.insert((job, number)) {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        pages.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The job of a line such as `race{instance="",job="race-7"} 12`.
fn job_of(line: &str) -> Option<u64> {
    line.strip_prefix("race{instance=\"\",job=\"race-")?.split_once('"')?.0.parse().ok()
}

fn locked<T>(lock: &Mutex<T>) -> anyhow::Result<std::sync::MutexGuard<'_, T>> {
    lock.lock().map_err(|_| anyhow::anyhow!("a job panicked"))
}
