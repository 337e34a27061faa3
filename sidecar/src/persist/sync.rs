//! Puts what was written onto the disk itself, for all who wait for it at once.
//!
//! A thread sleeps until somebody waits. What is written while it works is put down at its next turn, so that the more
//! wait, the fewer turns there are for each.
//!
//! Where a turn fails, nobody knows what of the file is on the disk, and a later success would not say so either: the
//! file is given up, and whoever waits for something in it is told so.
//!
//! *Never:* records, when to begin a new file.

use std::{
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::watch;

use super::{NotStored, counts::Counts};

/// How a file is put onto the disk.
type SyncFile = dyn Fn(&File) -> io::Result<()> + Send + Sync;

/// The writer's and the waiters' end. The thread ends with it.
#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    done: watch::Sender<Done>,
}

#[derive(Debug, Default)]
struct State {
    /// Files with something that may not be on the disk, the oldest first.
    files: Vec<Arc<File>>,
    /// How many records were written.
    written: u64,
    /// Up to which record somebody wants to know.
    wanted: u64,
    /// The file that is given up.
    lost: Option<Arc<File>>,
    is_closed: bool,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
struct Done {
    /// All records up to this one have had their turn.
    up_to: u64,
    /// Some of those up to this one are lost, and why.
    lost: Option<(u64, Arc<str>)>,
}

// === impl Syncer ===

impl Syncer {
    pub(super) fn start(counts: Arc<Counts>) -> io::Result<Self> {
        Self::with(counts, Box::new(File::sync_data))
    }

    fn with(counts: Arc<Counts>, sync: Box<SyncFile>) -> io::Result<Self> {
        let shared = Shared { state: Mutex::default(), wake: Condvar::new(), done: watch::Sender::default() };
        let shared = Arc::new(shared);
        let worker = Arc::clone(&shared);
        thread::Builder::new().name("sync".to_owned()).spawn(move || worker.run(&sync, &counts))?;
        Ok(Self { shared })
    }

    /// One more record was written to that file.
    pub(super) fn written(&self, file: &Arc<File>) {
        let mut state = self.shared.lock();
        state.written += 1;
        let written = state.written;
        if state.lost.as_ref().is_some_and(|lost| Arc::ptr_eq(lost, file)) {
            self.shared.done.send_modify(|done| {
                if let Some((up_to, _)) = &mut done.lost {
                    *up_to = written;
                }
            });
            return;
        }
        if !state.files.last().is_some_and(|last| Arc::ptr_eq(last, file)) {
            state.files.push(Arc::clone(file));
        }
    }

    /// Whether that file is given up: nothing is to be written to it any more.
    pub(super) fn has_lost(&self, file: &Arc<File>) -> bool {
        self.shared.lock().lost.as_ref().is_some_and(|lost| Arc::ptr_eq(lost, file))
    }

    /// Waits until all that was written so far is on the disk.
    ///
    /// # Cancel safety
    /// Dropped midway, it changes nothing.
    pub(crate) async fn settled(&self) -> Result<(), NotStored> {
        let mut done = self.shared.done.subscribe();
        let position = self.want();
        let found = done.wait_for(|done| position <= done.up_to || is_lost(done, position).is_some()).await;
        match found.ok().as_deref().and_then(|done| is_lost(done, position)) {
            Some(reason) => Err(NotStored::Sync(reason)),
            None => Ok(()),
        }
    }

    fn want(&self) -> u64 {
        let mut state = self.shared.lock();
        state.wanted = state.written;
        self.shared.wake.notify_one();
        state.written
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.wake.notify_one();
    }
}

/// Why a record that is waited for is lost, if it is. Those that had their turn before are not asked for any more.
fn is_lost(done: &Done, position: u64) -> Option<Arc<str>> {
    let (up_to, reason) = done.lost.as_ref()?;
    (position <= *up_to).then(|| Arc::clone(reason))
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, sync: &SyncFile, counts: &Counts) {
        let mut turn = 0;
        loop {
            let state = self.lock();
            let woken = self.wake.wait_while(state, |state| state.wanted <= turn && !state.is_closed);
            let mut state = woken.unwrap_or_else(PoisonError::into_inner);
            if state.is_closed {
                return;
            }
            turn = state.written;
            // Only the last one is written to any more.
            let files = std::mem::take(&mut state.files);
            drop(state);
            let failed = files.iter().find_map(|file| sync(file).err().map(|error| (file, error)));
            match failed {
                None => self.done.send_modify(|done| done.up_to = turn),
                Some((_, error)) => {
                    counts.sync_failures.add_one();
                    tracing::error!(%error, "the log cannot be synced; going on in a new file");
                    let mut state = self.lock();
                    // What was written meanwhile is in that file too.
                    state.lost = files.last().cloned();
                    state.files.clear();
                    turn = state.written;
                    self.done.send_modify(|done| done.lost = Some((turn, error.to_string().into())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn file() -> Arc<File> {
        Arc::new(File::open("/dev/null").unwrap())
    }

    #[tokio::test]
    async fn many_who_wait_share_a_turn() {
        let turns = Arc::new(AtomicUsize::new(0));
        let (enter, entered) = std::sync::mpsc::channel::<()>();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let (counted, gone) = (Arc::clone(&turns), Mutex::new(gone));
        let sync = move |_: &File| {
            counted.fetch_add(1, Ordering::SeqCst);
            enter.send(()).unwrap();
            gone.lock().unwrap().recv().map_err(io::Error::other)
        };
        let syncer = Arc::new(Syncer::with(Arc::default(), Box::new(sync)).unwrap());
        let file = file();
        let wait = || {
            syncer.written(&file);
            let syncer = Arc::clone(&syncer);
            tokio::spawn(async move { syncer.settled().await })
        };
        let first = wait();
        tokio::task::yield_now().await;
        entered.recv().unwrap();
        // The first turn is under way: all of these wait for the second one.
        let others: Vec<_> = (0..100).map(|_| wait()).collect();
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(()));
        for other in others {
            assert_eq!(other.await.unwrap(), Ok(()));
        }
        assert_eq!(turns.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_file_whose_turn_failed_is_given_up_and_the_next_one_is_not() {
        let is_bad = Arc::new(AtomicBool::new(true));
        let bad = Arc::clone(&is_bad);
        let counts = Arc::<Counts>::default();
        let sync = move |_: &File| if bad.load(Ordering::SeqCst) { Err(io::Error::other("bad disk")) } else { Ok(()) };
        let syncer = Syncer::with(Arc::clone(&counts), Box::new(sync)).unwrap();
        let (old, new) = (file(), file());
        syncer.written(&old);
        let lost = Err(NotStored::Sync("bad disk".into()));
        assert_eq!(syncer.settled().await, lost);
        let sentence = "expected to have the change on disk, found: bad disk; it was made, and may be gone after a crash of \
                        the machine";
        assert_eq!(syncer.settled().await.unwrap_err().to_string(), sentence);
        assert!(syncer.has_lost(&old) && !syncer.has_lost(&new));
        // A later success would say nothing about what was lost.
        is_bad.store(false, Ordering::SeqCst);
        syncer.written(&old);
        assert_eq!(syncer.settled().await, lost);
        syncer.written(&new);
        assert_eq!(syncer.settled().await, Ok(()));
        assert_eq!(counts.sync_failures.get(), 1);
    }

    #[tokio::test]
    async fn nobody_waits_where_nothing_was_written() {
        let syncer = Syncer::with(Arc::default(), Box::new(|_: &File| Err(io::Error::other("never asked")))).unwrap();
        assert_eq!(syncer.settled().await, Ok(()));
    }
}
