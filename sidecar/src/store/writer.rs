//! The one place that changes state: decide, commit, publish, in a short critical section.
//!
//! A push renders its lines before it takes the lock. Readers take the lock too, see [`super::reading`].
//!
//! *Never:* HTTP, what a decision is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::GroupingKey;
use tokio::sync::{Notify, futures::Notified};

use super::{
    change::{Change, Verdict},
    index::{Decision, Index, OwnFamily, Request},
    page::Pages,
    rules::Rules,
};
use crate::{clock::UnixSeconds, metrics};

/// How many stale groups go at a time, so that nobody waits long.
const MOST_AT_A_TIME: usize = 100;

/// Everything that was pushed. Clones are handles of the same store.
#[derive(Clone, Debug)]
pub struct Store {
    index: Arc<Mutex<Index>>,
    pages: Arc<Mutex<Pages>>,
    /// Held by whoever puts a page together.
    pub(super) making: Arc<Mutex<()>>,
    rules: Rules,
    changed: Arc<Notify>,
    /// Told when some group grows stale sooner than all others did so far.
    sooner: Arc<Notify>,
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

    fn guarding(own: &'static [OwnFamily], rules: Rules) -> Self {
        Self {
            index: Arc::new(Mutex::new(Index::new(own, rules))),
            pages: Arc::default(),
            making: Arc::default(),
            rules,
            changed: Arc::default(),
            sooner: Arc::default(),
        }
    }

    /// Carries out a change. After it returns, every page shows it.
    pub fn submit(&self, change: Change, now: UnixSeconds) -> Verdict {
        let request = Request::new(change, self.rules.timestamps);
        let mut index = self.lock();
        let before = index.next_staleness();
        let decision = index.decide(request, now);
        let verdict = index.commit(decision);
        let after = index.next_staleness();
        drop(index);
        self.changed.notify_waiters();
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        verdict
    }

    /// The first moment at which some group is stale, unless it is pushed until then.
    #[must_use]
    pub fn next_staleness(&self) -> Option<UnixSeconds> {
        self.lock().next_staleness()
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
        self.lock().scraped(revision);
    }

    /// Removes stale groups, the one that was so first comes first: all, or a hundred if there are more. After it
    /// returns, no page shows them.
    pub fn remove_stale(&self, now: UnixSeconds) -> Vec<Arc<GroupingKey>> {
        let mut index = self.lock();
        let keys: Vec<_> = index.stale(now).take(MOST_AT_A_TIME).cloned().collect();
        self.remove(&mut index, &keys);
        keys
    }

    /// Waits for the next change that is carried out after this future was polled or enabled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Removes the groups whose key is wanted, at once, and returns their keys, sorted. After it returns, no page
    /// shows them.
    pub fn remove_where(&self, wanted: impl Fn(&GroupingKey) -> bool) -> Vec<Arc<GroupingKey>> {
        let mut index = self.lock();
        let keys = index.groups.keys().filter(|key| wanted(key)).cloned();
        let mut keys: Vec<_> = keys.collect();
        self.remove(&mut index, &keys);
        drop(index);
        keys.sort();
        keys
    }

    fn remove(&self, index: &mut Index, keys: &[Arc<GroupingKey>]) {
        for key in keys {
            index.commit(Decision::Remove { key: Arc::clone(key) });
        }
        self.changed.notify_waiters();
    }

    /// A panic while the lock was held leaves a state that may lack a push, and is better served than nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}
