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
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::store::Store;
use linger::{Situation, Step};

/// How long a sidecar stays, and where it leaves word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldOpen {
    pub(crate) deadline: Duration,
    pub(crate) termination_message_file: Option<PathBuf>,
}

/// Which state was scraped last.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    seen: watch::Sender<u64>,
}

/// A receiver of [`Scrapes`].
#[derive(Debug)]
pub(crate) struct SeenRevisions(watch::Receiver<u64>);

/// Whether all that had to start has started. Once ready, it stays so.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Weak<()>);

/// Held by each part that is starting; dropped when it has.
#[derive(Clone, Debug)]
pub(crate) struct Starting(#[expect(dead_code, reason = "what counts is that it is held")] Arc<()>);

/// The signals that end the process. They are caught from the moment this exists: the first process of a container
/// would otherwise not hear them.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

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
    store: &Store,
    seen: &mut SeenRevisions,
    signals: &mut Signals,
) -> Reason {
    let deadline = Instant::now() + hold.deadline;
    let mut last_scrape = None;
    let mut announced = 0;
    loop {
        let unseen = store.groups_pushed_after(seen.latest());
        let step = linger::next(&Situation { unseen, last_scrape, deadline }, Instant::now());
        let until = match step {
            Step::Leave(reason) => return reason,
            Step::WaitUntil(until) => until,
        };
        if announced < unseen {
            announced = unseen;
            leave_word(hold, unseen);
            tracing::info!(unseen, deadline = ?hold.deadline, "holding open for a scrape");
        }
        tokio::select! {
            () = seen.changed() => last_scrape = Some(Instant::now()),
            () = sleep_until(until) => {}
            _ = signals.interrupt.recv() => return Reason::Interrupted { unseen },
        }
    }
}

/// Leaves word of what is unseen once no more requests are answered; a push may have come in while leaving.
pub(crate) fn last_word(hold: &HoldOpen, store: &Store, seen: &mut SeenRevisions) {
    let unseen = store.groups_pushed_after(seen.latest());
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
    let word = if unseen == 0 { String::new() } else { format!("{unseen} groups unseen") };
    if let Err(error) = fs::write(path, word) {
        tracing::warn!(path = %path.display(), %error, "termination message cannot be written");
    }
}

// === impl Scrapes ===

impl Scrapes {
    /// A complete scrape has shown that revision.
    pub(crate) fn seen(&self, revision: u64) {
        self.seen.send_if_modified(|seen| {
            let is_newer = *seen < revision;
            *seen = (*seen).max(revision);
            is_newer
        });
    }

    pub(crate) fn subscribe(&self) -> SeenRevisions {
        SeenRevisions(self.seen.subscribe())
    }
}

// === impl SeenRevisions ===

impl SeenRevisions {
    fn latest(&mut self) -> u64 {
        *self.0.borrow_and_update()
    }

    /// # Cancel safety
    /// Dropped midway, it loses nothing: the change is found by the next call.
    async fn changed(&mut self) {
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
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the signal to go and tells its name.
    ///
    /// # Cancel safety
    /// Dropped midway, it loses nothing.
    pub(crate) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
