//! The sidecars of all pods as one server: whom a request is for, the address it came to says.
//!
//! It answers what the operator asks: its marked reads of the push times, and conditional deletes, whose signature has
//! to be there and is not looked into. A group is pushed every five minutes, each at a time of its own, until it is
//! abandoned; push times are worked out when they are asked for, so that nothing happens while nobody asks.
//!
//! Not supported: pushes, scrapes, and anything else of a sidecar.
//!
//! *Never:* pods, the operator's rules.

use std::{
    convert::Infallible,
    fmt::Write as _,
    net::{IpAddr, TcpListener},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use protocol::{
    GroupingKey,
    endpoints::{IF_PUSH_TIME_HEADER, METRICS_PATH, OPERATOR_READ_HEADER, SIGNATURE_HEADER},
    grouping_key::PathNames,
    series::{PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_SECONDS},
};
use tokio::task::JoinHandle;

use crate::control_plane::pod_address;

/// How often a group is pushed, in seconds.
const PUSHED_EVERY: u64 = 300;

/// The server; it ends with this value.
#[derive(Debug)]
pub struct Sidecars {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// What all of them were asked, and what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sidecars that were read at least once.
    pub asked: usize,
    /// Reads.
    pub reads: u64,
    /// Groups that were removed on request.
    pub removed: u64,
    /// Removals refused, since the group had been pushed again.
    pub moved_on: u64,
    /// Requests that no operator should make.
    pub refused: u64,
    /// Groups there are that somebody pushes.
    pub fresh: usize,
    /// Groups there are that nobody pushes any more.
    pub abandoned: usize,
}

#[derive(Debug)]
struct Shared {
    /// By number.
    sidecars: Mutex<Vec<Sidecar>>,
    reads: AtomicU64,
    removed: AtomicU64,
    moved_on: AtomicU64,
    refused: AtomicU64,
}

#[derive(Clone, Debug)]
struct Sidecar {
    is_asked: bool,
    groups: Vec<Group>,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    number: usize,
    /// When it was pushed last, if it is not pushed any more.
    abandoned: Option<u64>,
}

// === impl Sidecars ===

impl Sidecars {
    /// As many sidecars as that, with so many groups each, behind a listener.
    ///
    /// # Errors
    /// When the listener is of no use.
    pub fn serve(listener: TcpListener, sidecars: usize, groups: usize) -> anyhow::Result<Self> {
        let groups = (0..groups).map(|number| Group { number, abandoned: None }).collect();
        let shared = Arc::new(Shared {
            sidecars: Mutex::new(vec![Sidecar { is_asked: false, groups }; sidecars]),
            reads: AtomicU64::default(),
            removed: AtomicU64::default(),
            moved_on: AtomicU64::default(),
            refused: AtomicU64::default(),
        });
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener).context("the listener of the sidecars")?;
        let serving = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self { shared, serving })
    }

    /// Nobody pushes the groups any more that `which` names by sidecar and number; so it has been for a time.
    pub fn abandon(&self, seconds: u64, which: impl Fn(usize, usize) -> bool) {
        let since = now().saturating_sub(seconds);
        for (sidecar, held) in self.shared.sidecars().iter_mut().enumerate() {
            for group in held.groups.iter_mut().filter(|group| which(sidecar, group.number)) {
                group.abandoned.get_or_insert(since);
            }
        }
    }

    /// Forgets that any of them was asked.
    pub fn forget_reads(&self) {
        self.shared.sidecars().iter_mut().for_each(|sidecar| sidecar.is_asked = false);
    }

    /// Whether the one of a number was read.
    #[must_use]
    pub fn is_asked(&self, number: usize) -> bool {
        self.shared.sidecars().get(number).is_some_and(|sidecar| sidecar.is_asked)
    }

    /// How things are with some of them; what counts requests counts those to all.
    #[must_use]
    pub fn tally(&self, which: Range<usize>) -> Tally {
        let shared = &self.shared;
        let mut tally = Tally {
            reads: shared.reads.load(Ordering::Relaxed),
            removed: shared.removed.load(Ordering::Relaxed),
            moved_on: shared.moved_on.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            ..Tally::default()
        };
        for sidecar in shared.sidecars().get(which).unwrap_or_default() {
            tally.asked += usize::from(sidecar.is_asked);
            let abandoned = sidecar.groups.iter().filter(|group| group.abandoned.is_some()).count();
            tally.abandoned += abandoned;
            tally.fresh += sidecar.groups.len() - abandoned;
        }
        tally
    }
}

impl Drop for Sidecars {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        // A connection that failed before it was taken is its client's affair.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(address) = stream.local_addr() else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let answering = service_fn(|request| {
                let answer = shared.answer(address.ip(), &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            // Whether a client stays to the end is its own affair too.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await;
        });
    }
}

// === impl Shared ===

impl Shared {
    fn answer(&self, to: IpAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let path = request.uri().path();
        let is_read = request.method() == Method::GET && path == METRICS_PATH && header(OPERATOR_READ_HEADER).is_some();
        let is_removal = request.method() == Method::DELETE && header(SIGNATURE_HEADER).is_some();
        let seen = header(IF_PUSH_TIME_HEADER);
        let (status, body) = match (number_of(to), seen) {
            (Some(number), _) if is_read => self.page(number),
            (Some(number), Some(seen)) if is_removal => self.remove(number, path, seen),
            _ => None,
        }
        .unwrap_or_else(|| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            (StatusCode::BAD_REQUEST, String::new())
        });
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status;
        let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
        answer
    }

    fn page(&self, number: usize) -> Option<(StatusCode, String)> {
        let mut sidecars = self.sidecars();
        let sidecar = sidecars.get_mut(number)?;
        sidecar.is_asked = true;
        self.reads.fetch_add(1, Ordering::Relaxed);
        let (mut pushed, mut failed, now) = (String::new(), String::new(), now());
        for group in &sidecar.groups {
            let key = key(number, group.number)?;
            writeln!(pushed, "{PUSH_TIME_SECONDS}{key} {}", group.pushed(number, now)).ok()?;
            writeln!(failed, "{PUSH_FAILURE_TIME_SECONDS}{key} 0").ok()?;
        }
        let page =
            format!("# TYPE {PUSH_FAILURE_TIME_SECONDS} gauge\n{failed}# TYPE {PUSH_TIME_SECONDS} gauge\n{pushed}");
        Some((StatusCode::OK, page))
    }

    fn remove(&self, number: usize, path: &str, seen: &str) -> Option<(StatusCode, String)> {
        let wanted = GroupingKey::from_path(path, PathNames::Literal).ok()?;
        let mut sidecars = self.sidecars();
        let sidecar = sidecars.get_mut(number)?;
        let at = sidecar.groups.iter().position(|group| key(number, group.number).as_ref() == Some(&wanted))?;
        if sidecar.groups.get(at)?.pushed(number, now()).to_string() != seen {
            self.moved_on.fetch_add(1, Ordering::Relaxed);
            return Some((StatusCode::PRECONDITION_FAILED, String::new()));
        }
        sidecar.groups.remove(at);
        self.removed.fetch_add(1, Ordering::Relaxed);
        Some((StatusCode::ACCEPTED, String::new()))
    }

    fn sidecars(&self) -> MutexGuard<'_, Vec<Sidecar>> {
        self.sidecars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Group ===

impl Group {
    /// When it was pushed last, in Unix seconds.
    fn pushed(self, sidecar: usize, now: u64) -> u64 {
        let phase = (sidecar as u64 * 7 + self.number as u64 * 31) % PUSHED_EVERY;
        self.abandoned.unwrap_or(now - (now + phase) % PUSHED_EVERY)
    }
}

/// The number of the sidecar at an address.
fn number_of(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(address) = address else { return None };
    let [_, _, high, low] = address.octets();
    let number = usize::from(u16::from_be_bytes([high, low])).checked_sub(1)?;
    (pod_address(number).ok()? == address).then_some(number)
}

/// The key of a group, as it would be pushed.
fn key(sidecar: usize, number: usize) -> Option<GroupingKey> {
    let path = format!("{METRICS_PATH}/job/step-{number}/shard/{sidecar}");
    GroupingKey::from_path(&path, PathNames::Legacy).ok()
}

#[expect(clippy::disallowed_methods, reason = "sidecars have clocks")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|time| time.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    #[test]
    fn an_address_has_the_number_it_was_made_from() {
        for number in [0, 255, 9_999] {
            assert_eq!(number_of(pod_address(number).unwrap().into()), Some(number));
        }
        assert_eq!(number_of([127, 0, 0, 1].into()), None);
    }

    #[test]
    fn a_group_is_pushed_in_turn_until_it_is_abandoned() {
        let group = Group { number: 3, abandoned: None };
        let pushed = |second| group.pushed(5, second);
        assert!((1000..2000).all(|now| pushed(now) <= now && now < pushed(now) + PUSHED_EVERY));
        assert_eq!((1000..1000 + PUSHED_EVERY).filter(|now| pushed(*now) == *now).count(), 1);
        assert_eq!(Group { abandoned: Some(7), ..group }.pushed(5, 1000), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn whoever_is_nobody_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sidecars = Sidecars::serve(listener, 1, 1).unwrap();
        let answer = client::call(address, "GET", "/metrics", &[(OPERATOR_READ_HEADER, "1")], b"").unwrap();
        assert_eq!((answer.status, sidecars.tally(0..1).refused), (400, 1));
        assert_eq!(answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("date")).count(), 1);
    }

    #[tokio::test]
    async fn a_group_is_removed_by_the_push_time_it_has() {
        let sidecars = Sidecars::serve(TcpListener::bind("127.0.0.1:0").unwrap(), 2, 2).unwrap();
        sidecars.abandon(7200, |sidecar, group| (sidecar, group) == (1, 0));
        let (status, page) = sidecars.shared.page(1).unwrap();
        let line = page.lines().find(|line| line.starts_with("push_time_seconds{job=\"step-0\",shard=\"1\"}"));
        let seen = line.unwrap().rsplit(' ').next().unwrap().to_owned();
        assert_eq!((status, sidecars.tally(0..2).abandoned, sidecars.tally(0..2).fresh), (StatusCode::OK, 1, 3));

        let remove = |seen| sidecars.shared.remove(1, "/metrics/job/step-0/shard/1", seen).map(|(status, _)| status);
        assert_eq!(remove("1"), Some(StatusCode::PRECONDITION_FAILED));
        assert_eq!(remove(&seen), Some(StatusCode::ACCEPTED));
        assert_eq!(remove(&seen), None, "it is gone");
        let Tally { asked, reads, removed, moved_on, abandoned, .. } = sidecars.tally(0..2);
        assert_eq!((asked, reads, removed, moved_on, abandoned), (1, 1, 1, 1, 0));
    }
}
