//! The life of the process: signals, readiness, and how long it stays when it is told to go.
//!
//! On SIGTERM a sidecar holds its pod open until somebody has scraped what was pushed. A push makes its group *unseen*
//! until a complete scrape has shown a page made after it. A refused push, a deleted group and the failure times make nothing
//! unseen: there is no metric in them that only this process has. When that scrape has ended, the process stays for a
//! moment more, since the kubelet takes the network away right after the exit.
//!
//! *Never:* store contents, sockets.

mod linger;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use protocol::last_word;

use crate::store::Store;
use linger::{Situation, Step};

/// How long before the pod's deadline to be gone: its start came before ours, and its end takes a moment.
const BEFORE_POD_DEADLINE: Duration = Duration::from_secs(5);

/// What stands for a duration that the clock has no moment for.
const NEVER: Duration = Duration::from_hours(100 * 365 * 24);

/// How long a sidecar stays, and where it leaves word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldOpen {
    /// Counted from the signal.
    pub(crate) deadline: Duration,
    /// Counted from the start of the process: what the pod may live in all.
    pub(crate) pod_deadline: Option<Duration>,
    pub(crate) termination_message_file: Option<PathBuf>,
}

/// Which state was scraped last.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    seen: watch::Sender<Seen>,
}

/// The newest state that a complete scrape has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    revision: u64,
    /// When the first such scrape ended.
    at: Option<Instant>,
}

/// A receiver of [`Scrapes`].
#[derive(Debug)]
pub(crate) struct SeenRevisions(watch::Receiver<Seen>);

/// Whether all that had to start has started. Once ready, it stays so.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Weak<()>);

/// Held by each part that is starting; dropped when it has.
#[derive(Clone, Debug)]
pub(crate) struct Starting(#[expect(dead_code, reason = "what counts is that it is held")] Arc<()>);

/// What tells the process to end: signals, or a client's wish. The signals are caught from the moment this exists: the first process of a container
/// would otherwise not hear them.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Quit,
}

/// A client's wish that the process ends. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quit(Arc<Notify>);

pub(crate) use linger::Reason;

/// A latch that is ready once every clone of the other half is dropped.
pub(crate) fn latch() -> (Starting, Readiness) {
    let held = Arc::new(());
    let readiness = Readiness(Arc::downgrade(&held));
    (Starting(held), readiness)
}

/// Stays until what was pushed was seen, the deadline, or an interrupt; pushes and scrapes go on meanwhile.
pub(crate) async fn hold_open(
    hold: &HoldOpen,
    deadline: Instant,
    store: &Store,
    seen: &mut SeenRevisions,
    signals: &mut Signals,
) -> Reason {
    let mut announced = 0;
    loop {
        // Before the look, so that no change slips through between it and the wait.
        let changed = store.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let Seen { revision, at } = seen.latest();
        let unseen = store.groups_pushed_after(revision);
        if announced != unseen {
            leave_word(hold, unseen);
            if announced == 0 {
                tracing::info!(unseen, deadline = ?hold.deadline, "holding open for a scrape");
            }
            announced = unseen;
        }
        let step = linger::next(&Situation { unseen, last_scrape: at, deadline }, Instant::now());
        let until = match step {
            Step::Leave(reason) => return reason,
            Step::WaitUntil(until) => until,
        };
        tokio::select! {
            () = seen.changed() => {}
            () = changed => {}
            () = sleep_until(until) => {}
            _ = signals.interrupt.recv() => return Reason::Interrupted { unseen },
        }
    }
}

/// How many groups hold a push that no complete scrape has shown.
pub(crate) fn unseen(store: &Store, seen: &mut SeenRevisions) -> usize {
    store.groups_pushed_after(seen.latest().revision)
}

/// Leaves word of what is unseen once no more requests are answered; a push may have come in while leaving.
pub(crate) fn last_word(hold: &HoldOpen, store: &Store, seen: &mut SeenRevisions) {
    let unseen = unseen(store, seen);
    leave_word(hold, unseen);
    if unseen != 0 {
        tracing::warn!(unseen, "left with groups that no scrape has seen");
    }
}

/// Nothing unseen clears the word.
fn leave_word(hold: &HoldOpen, unseen: usize) {
    let Some(path) = &hold.termination_message_file else {
        return;
    };
    if let Err(error) = fs::write(path, last_word::print(unseen)) {
        tracing::warn!(path = %path.display(), %error, "termination message cannot be written");
    }
}

fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + NEVER)
}

// === impl HoldOpen ===

impl HoldOpen {
    /// When to leave in any case. A pod that outlives its own deadline has failed, whatever its containers say.
    pub(crate) fn until(&self, started: Instant, signalled: Instant) -> Instant {
        let held = later(signalled, self.deadline);
        let pod = self.pod_deadline.map(|deadline| later(started, deadline.saturating_sub(BEFORE_POD_DEADLINE)));
        pod.map_or(held, |pod| held.min(pod))
    }
}

// === impl Scrapes ===

impl Scrapes {
    /// A complete scrape has shown that revision.
    pub(crate) fn seen(&self, revision: u64) {
        self.seen.send_if_modified(|seen| {
            let is_newer = seen.revision < revision;
            if is_newer {
                *seen = Seen { revision, at: Some(Instant::now()) };
            }
            is_newer
        });
    }

    pub(crate) fn subscribe(&self) -> SeenRevisions {
        SeenRevisions(self.seen.subscribe())
    }
}

// === impl SeenRevisions ===

impl SeenRevisions {
    fn latest(&mut self) -> Seen {
        *self.0.borrow_and_update()
    }

    /// The newest revision that a complete scrape has shown; [`Self::changed`] waits for a newer one.
    pub(crate) fn revision(&mut self) -> u64 {
        self.latest().revision
    }

    /// # Cancel safety
    /// Dropped midway, it loses nothing: the change is found by the next call.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody can scrape any more.
            std::future::pending().await
        }
    }
}

// === impl Readiness ===

impl Readiness {
    pub(crate) fn is_ready(&self) -> bool {
        self.0.strong_count() == 0
    }
}

// === impl Signals ===

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, quit: Quit::default() })
    }

    /// What takes a client's wish.
    pub(crate) fn quit(&self) -> Quit {
        self.quit.clone()
    }

    /// Waits for the signal or the wish to go and tells its name.
    ///
    /// # Cancel safety
    /// Dropped midway, it loses nothing.
    pub(crate) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = self.quit.0.notified() => "quit",
        }
    }
}

// === impl Quit ===

impl Quit {
    /// A second wish while leaving changes nothing.
    pub(crate) fn ask(&self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Escaping;

    #[track_caller]
    fn check(pod_deadline: Option<u64>, signalled: u64, expected: u64) {
        let seconds = Duration::from_secs;
        let hold =
            HoldOpen { deadline: seconds(30), pod_deadline: pod_deadline.map(seconds), termination_message_file: None };
        let started = Instant::now();
        assert_eq!(hold.until(started, started + seconds(signalled)), started + seconds(expected));
    }

    #[test]
    fn holding_open_ends_before_the_deadline_of_the_pod() {
        check(None, 590, 620);
        check(Some(600), 100, 130);
        check(Some(600), 590, 595);
        check(Some(600), 599, 595);
        check(Some(3), 1, 0);
        check(Some(u64::MAX), 590, 620);
    }

    #[test]
    fn a_deadline_that_no_clock_reaches_is_one_that_does_not_come() {
        let hold = HoldOpen { deadline: Duration::MAX, pod_deadline: None, termination_message_file: None };
        let now = Instant::now();
        assert_eq!(hold.until(now, now), now + NEVER);
    }

    #[tokio::test]
    async fn a_wish_to_quit_ends_the_wait_even_when_it_came_before() {
        let mut signals = Signals::catch().unwrap();
        let client = signals.quit();
        client.ask();
        client.ask();
        assert_eq!(signals.recv().await, "quit");
        let (reason, ()) = tokio::join!(signals.recv(), async {
            settle().await;
            client.ask();
        });
        assert_eq!(reason, "quit");
    }

    fn changes(store: &Store, body: &[u8], job: &str) {
        let key =
            protocol::GroupingKey::from_path(&format!("/metrics/job/{job}"), protocol::PathNames::Legacy).unwrap();
        let families = crate::exposition::text::decode(body, protocol::NameValidation::Legacy).unwrap();
        store.submit(crate::store::Change::replace(key, families), crate::clock::UnixSeconds(1.0));
    }

    /// Lets everybody else go on until they wait.
    async fn settle() {
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }

    struct Held {
        store: Store,
        scrapes: Scrapes,
        file: PathBuf,
    }

    impl Held {
        /// A store with a push of a group `a`, and a file of its own for the last word.
        fn new(name: &str) -> Self {
            let file = std::env::temp_dir().join(format!("sidegate-word-{}-{name}", std::process::id()));
            let held = Self { store: Store::new(), scrapes: Scrapes::default(), file };
            changes(&held.store, b"x 1\n", "a");
            held
        }

        fn word(&self) -> String {
            fs::read_to_string(&self.file).unwrap_or_default()
        }

        /// Holds open while `meanwhile` happens, and tells why it left.
        async fn open(&self, meanwhile: impl Future<Output = ()>) -> Reason {
            let hold = HoldOpen {
                deadline: Duration::from_secs(30),
                pod_deadline: None,
                termination_message_file: Some(self.file.clone()),
            };
            let (mut seen, mut signals) = (self.scrapes.subscribe(), Signals::catch().unwrap());
            let deadline = Instant::now() + hold.deadline;
            let held = hold_open(&hold, deadline, &self.store, &mut seen, &mut signals);
            tokio::join!(held, meanwhile).0
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.file);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_a_moment_for_a_scrape_that_ended_just_before_the_signal() {
        let held = Held::new("before");
        held.scrapes.seen(held.store.page(Escaping::default()).revision);
        let signalled = Instant::now();
        assert_eq!(held.open(async {}).await, Reason::Seen);
        assert!(Duration::from_millis(200) <= signalled.elapsed() && signalled.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_leaves_when_the_last_unseen_group_is_deleted() {
        let held = Held::new("deleted");
        let signalled = Instant::now();
        let delete = async {
            settle().await;
            assert_eq!(held.word(), "1 groups unseen");
            let key = protocol::GroupingKey::from_path("/metrics/job/a", protocol::PathNames::Legacy).unwrap();
            held.store.submit(crate::store::Change::remove(key), crate::clock::UnixSeconds(2.0));
        };
        assert_eq!(held.open(delete).await, Reason::NothingUnseen);
        assert!(signalled.elapsed() < Duration::from_secs(1));
        assert_eq!(held.word(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn the_word_follows_pushes_and_scrapes() {
        let held = Held::new("word");
        let meanwhile = async {
            settle().await;
            changes(&held.store, b"y 1\n", "b");
            settle().await;
            assert_eq!(held.word(), "2 groups unseen");
            held.scrapes.seen(held.store.page(Escaping::default()).revision);
            settle().await;
            assert_eq!(held.word(), "");
        };
        assert_eq!(held.open(meanwhile).await, Reason::Seen);
    }
}
