//! The one place that changes state: decide, log, commit, publish, in a short critical section.
//!
//! A push renders its lines and its record before it takes the lock. Readers take the lock too: whoever asks first for the page of a
//! revision puts it together under the lock, everybody after that only gets hold of it. The page in OpenMetrics is
//! written without the lock, from a snapshot.
//!
//! *Never:* HTTP, what a decision is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::GroupingKey;
use tokio::sync::{Notify, futures::Notified};

use super::{
    change::{Change, Verdict},
    index::{Counts, Decision, Index, OwnFamily, Request},
    logged::{draft_of, record_of},
    page::{Form, KeyLabels, Page, Pages},
    rules::Rules,
    snapshot::Snapshot,
    view::GroupView,
};
use crate::{
    clock::UnixSeconds,
    exposition::Escaping,
    metrics,
    persist::{Draft, Log, NotStored, Syncer, Tail},
};

/// How many stale groups go at a time, so that nobody waits long.
const MOST_AT_A_TIME: usize = 100;

/// Everything that was pushed. Clones are handles of the same store.
#[derive(Clone, Debug)]
pub struct Store {
    state: Arc<Mutex<State>>,
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
    pages: Pages,
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
        let state = State { index: Index::new(own, rules.clone()), pages: Pages::default(), log: None };
        let state = Arc::new(Mutex::new(state));
        Self { state, rules, syncer: None, is_logged: false, changed: Arc::default(), sooner: Arc::default() }
    }

    /// Carries out a change. After it returns, every page shows it; it is written to the storage too, and
    /// [`Store::settled`] waits until it is on the disk itself, where that is asked for.
    pub fn submit(&self, change: Change, now: UnixSeconds) -> Verdict {
        let draft = if self.is_logged { draft_of(&change, self.rules.timestamps) } else { None };
        let request = Request::new(change, &self.rules);
        let mut state = self.lock();
        let before = state.index.next_staleness();
        let decision = state.index.decide(request, now);
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

    /// The page of the current revision.
    #[must_use]
    pub fn page(&self, escaping: Escaping) -> Arc<Page> {
        let state = &mut *self.lock();
        let known = state.pages.find(state.index.revision, Form::Text(escaping));
        known.unwrap_or_else(|| state.pages.keep(Page::of(&state.index, KeyLabels::Shown, escaping, |_| true)))
    }

    /// The page of the current revision in OpenMetrics, without the mark of its end.
    #[must_use]
    pub fn openmetrics_page(&self, escaping: Escaping) -> Arc<Page> {
        let mut state = self.lock();
        let revision = state.index.revision;
        if let Some(known) = state.pages.find(revision, Form::OpenMetrics(escaping)) {
            return known;
        }
        let stored = Snapshot::of(&state.index, escaping, |_| true);
        drop(state);
        let page = Page::openmetrics(&stored, escaping);
        self.lock().pages.keep(page)
    }

    /// A page made for one reader: of the wanted families only, with push times labelled in either way.
    #[must_use]
    pub fn page_of(&self, labels: KeyLabels, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Page {
        Page::of(&self.lock().index, labels, escaping, wanted)
    }

    /// The values of the current revision, of the wanted families only.
    #[must_use]
    pub fn snapshot(&self, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Snapshot {
        Snapshot::of(&self.lock().index, escaping, wanted)
    }

    /// The keys of all groups, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<GroupingKey>> {
        let mut keys: Vec<_> = self.lock().index.groups.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// One group, if it is there.
    #[must_use]
    pub fn group(&self, key: &GroupingKey) -> Option<GroupView> {
        let index = &self.lock().index;
        index.groups.get_key_value(key).map(|(key, group)| GroupView::of(key, group, &index.identity))
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

    /// How much is stored.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().index.counts()
    }

    /// How many groups had an accepted push after that revision and are still there.
    #[must_use]
    pub fn groups_pushed_after(&self, revision: u64) -> usize {
        self.lock().index.groups_pushed_after(revision)
    }

    /// A panic while the lock was held leaves a state that may lack a push, and is better served than nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
