//! The one place that changes state: decide, log, commit, publish, in a short critical section.
//!
//! A push renders its lines and its record before it takes the lock. Readers take the lock too, see [`super::reading`].
//!
//! *Never:* HTTP, what a decision is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::GroupingKey;
use tokio::sync::{Notify, futures::Notified};

use super::{
    change::{Change, Verdict},
    index::{Decision, Index, OwnFamily, Request},
    logged::{draft_of, record_of},
    page::Pages,
    repeat::{Numbers, Repeat},
    rules::Rules,
};
use crate::{
    clock::UnixSeconds,
    metrics,
    persist::{Draft, Log, NotStored, Syncer, Tail},
};

/// How many stale groups go at a time, so that nobody waits long.
const MOST_AT_A_TIME: usize = 100;

/// Everything that was pushed. Clones are handles of the same store.
#[derive(Clone, Debug)]
pub struct Store {
    state: Arc<Mutex<State>>,
    pages: Arc<Mutex<Pages>>,
    /// Held by whoever puts a page together.
    pub(super) making: Arc<Mutex<()>>,
    pub(super) rules: Rules,
    /// Where it is waited for the disk itself.
    pub(super) syncer: Option<Arc<Syncer>>,
    pub(super) is_logged: bool,
    changed: Arc<Notify>,
    /// Told when some group grows stale sooner than all others did so far.
    sooner: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Index,
    /// `None` for memory only.
    pub(super) log: Option<Log>,
}

// === impl Store ===

impl Store {
    /// A store with nothing in it and upstream's rules.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Rules::default())
    }

    /// A store with nothing in it.
    #[must_use]
    pub fn with(rules: Rules) -> Self {
        Self::guarding(metrics::OWN_FAMILIES, rules)
    }

    pub(super) fn guarding(own: &'static [OwnFamily], rules: Rules) -> Self {
        let state = State { index: Index::new(own, rules.clone()), log: None };
        Self {
            state: Arc::new(Mutex::new(state)),
            pages: Arc::default(),
            making: Arc::default(),
            rules,
            syncer: None,
            is_logged: false,
            changed: Arc::default(),
            sooner: Arc::default(),
        }
    }

    /// Carries out a change. After it returns, every page shows it; it is written to the storage too, and
    /// [`Store::settled`] waits until it is on the disk itself, where that is asked for.
    pub fn submit(&self, change: Change, now: UnixSeconds) -> Verdict {
        let draft = if self.is_logged { draft_of(&change, self.rules.timestamps) } else { None };
        let request = Request::new(change, &self.rules);
        let state = self.lock();
        let decision = state.index.decide(request, now);
        self.carry_out(state, decision, draft, now)
    }

    /// The same for a push that repeats the one before it; `None` if it does not, and has to be read and submitted.
    pub fn repeat(&self, repeat: &Repeat<'_>, now: UnixSeconds) -> Option<Verdict> {
        // The numbers of a push that has to be read are not written here, and none are under the lock.
        if !self.lock().index.repeats(repeat) {
            return None;
        }
        let numbers = Numbers::new(repeat.numbers.to_vec());
        let state = self.lock();
        let decision = state.index.decide_repeat(repeat, numbers, now)?;
        Some(self.carry_out(state, decision, None, now))
    }

    fn carry_out(
        &self,
        mut state: MutexGuard<'_, State>,
        decision: Decision,
        draft: Option<Draft>,
        now: UnixSeconds,
    ) -> Verdict {
        let before = state.index.next_staleness();
        let logged = state.write(&decision, draft);
        let is_due = state.log.as_mut().is_some_and(|log| log.take_due(now));
        let verdict = match logged {
            Ok(()) => state.index.commit(decision),
            Err(reason) => Verdict::NotStored(reason),
        };
        let after = state.index.next_staleness();
        drop(state);
        if is_due {
            self.start_checkpoint();
        }
        self.changed.notify_waiters();
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        verdict
    }

    /// Waits until all that was submitted so far is on the disk itself; at once where nobody asked for that.
    ///
    /// # Errors
    /// The disk did not take it.
    ///
    /// # Cancel safety
    /// Dropped midway, it changes nothing.
    pub async fn settled(&self) -> Result<(), NotStored> {
        match &self.syncer {
            Some(syncer) => syncer.settled().await,
            None => Ok(()),
        }
    }

    /// The first moment at which some group is stale, unless it is pushed until then.
    #[must_use]
    pub fn next_staleness(&self) -> Option<UnixSeconds> {
        self.lock().index.next_staleness()
    }

    /// Waits until [`Store::next_staleness`] is sooner than it was. For one task only: what happens while it does not
    /// wait is told at its next call.
    ///
    /// # Cancel safety
    /// Dropped midway, it loses nothing.
    pub(crate) async fn stale_sooner(&self) {
        self.sooner.notified().await;
    }

    /// Says that a complete scrape has shown that revision: where unseen groups are kept, those that were last pushed
    /// up to it may grow stale from now on. It does not end a wait for the next staleness.
    pub fn scraped(&self, revision: u64) {
        self.lock().index.scraped(revision);
    }

    /// Removes stale groups, the one that was so first comes first: all, or a hundred if there are more. After it
    /// returns, no page shows them.
    ///
    /// # Errors
    /// The storage did not take it, and they stay.
    pub fn remove_stale(&self, now: UnixSeconds) -> Result<Vec<Arc<GroupingKey>>, NotStored> {
        let mut state = self.lock();
        let keys: Vec<_> = state.index.stale(now).take(MOST_AT_A_TIME).cloned().collect();
        self.remove(&mut state, &keys)?;
        Ok(keys)
    }

    /// Waits for the next change that is carried out after this future was polled or enabled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Removes the groups whose key is wanted, at once, and returns their keys, sorted. After it returns, no page
    /// shows them.
    ///
    /// # Errors
    /// The storage did not take it, and they stay.
    pub fn remove_where(&self, wanted: impl Fn(&GroupingKey) -> bool) -> Result<Vec<Arc<GroupingKey>>, NotStored> {
        let mut state = self.lock();
        let keys = state.index.groups.keys().filter(|key| wanted(key)).cloned();
        let mut keys: Vec<_> = keys.collect();
        self.remove(&mut state, &keys)?;
        drop(state);
        keys.sort();
        Ok(keys)
    }

    /// All of them go in one record.
    fn remove(&self, state: &mut State, keys: &[Arc<GroupingKey>]) -> Result<(), NotStored> {
        if let Some(log) = state.log.as_mut().filter(|_| !keys.is_empty()) {
            log.append(Draft::remove(keys.iter().map(|key| &**key)), &Tail::default())?;
        }
        for key in keys {
            state.index.commit(Decision::Remove { key: Arc::clone(key) });
        }
        self.changed.notify_waiters();
        Ok(())
    }

    /// A panic while the lock was held leaves a state that may lack a push, and is better served than nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Writes what a decision changes to the log, if there is one.
    fn write(&mut self, decision: &Decision, draft: Option<Draft>) -> Result<(), NotStored> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        match record_of(decision, draft, &self.index) {
            Some((draft, tail)) => log.append(draft, &tail),
            None => Ok(()),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}
