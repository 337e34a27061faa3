//! The LimitRanges of a namespace, which a sidecar has to fit into or its pod is refused.
//!
//! They are watched rather than read for each pod: there are few in a cluster, they seldom change, and an admission does
//! not wait for the API server, which waits for it. One that was
//! made a moment before its pod may be missed, and the pod be refused by it. The right to list is needed in both ways.
//!
//! *Never:* what follows from them.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::LimitRange;
use kube::{
    Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, watcher},
    },
};

use crate::{
    cache::{Cache, CacheWriter, watch_scope},
    scope::Scope,
};

/// Where LimitRanges are looked up.
#[derive(Clone)]
pub struct LimitRanges {
    cache: Cache<LimitRange>,
}

/// They are not known yet: whatever is made without them may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the LimitRanges of the namespace are not known yet")]
pub struct NotKnown;

/// Watches for as long as it is polled.
pub async fn watch(client: &Client, scope: &Scope, writer: CacheWriter<LimitRange>) {
    let events = watch_scope(scope, client, writer.store(), |api| {
        watcher(api, watcher::Config::default()).default_backoff().modify(trim)
    });
    let seen = writer.fill(events).for_each(|event| async {
        if let Err(error) = event {
            tracing::warn!(%error, what = "limitranges", "a watch broke and is taken up again");
        }
    });
    seen.await;
}

/// Drops what says nothing about limits.
fn trim(range: &mut LimitRange) {
    range.metadata.managed_fields = None;
    range.metadata.annotations = None;
    range.metadata.labels = None;
}

// === impl LimitRanges ===

impl LimitRanges {
    /// Looks in a cache.
    #[must_use]
    pub fn new(cache: Cache<LimitRange>) -> Self {
        Self { cache }
    }

    /// Those of a namespace, after the first listing, which is waited for so long.
    ///
    /// # Errors
    /// When they are not known by then.
    pub async fn of(&self, namespace: &str, within: Duration) -> Result<Vec<LimitRange>, NotKnown> {
        // What is known needs no waiting, however little time there is.
        if !self.cache.is_known() {
            let _ = tokio::time::timeout(within, self.cache.until_known()).await;
        }
        self.cached(namespace)
    }

    /// Those of a namespace.
    ///
    /// # Errors
    /// Before the first listing.
    pub fn cached(&self, namespace: &str) -> Result<Vec<LimitRange>, NotKnown> {
        if !self.cache.is_known() {
            return Err(NotKnown);
        }
        let here = self.cache.in_namespace(namespace);
        Ok(here.iter().map(|range| (**range).clone()).collect())
    }

    /// The cache itself.
    #[must_use]
    pub fn cache(&self) -> &Cache<LimitRange> {
        &self.cache
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::cache;

    #[tokio::test(start_paused = true)]
    async fn those_of_the_namespace_count_and_what_is_unknown_is_told_from_nothing() {
        let range = |namespace: &str| -> LimitRange {
            serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": "a"}})).unwrap()
        };
        let known = LimitRanges::new(Cache::of(vec![range("data"), range("web")]));
        let within = Duration::from_secs(1);
        assert_eq!(known.of("data", within).await.map(|ranges| ranges.len()), Ok(1));
        assert_eq!(known.of("other", within).await.map(|ranges| ranges.len()), Ok(0));
        let (unknown, _writer) = cache();
        let unknown = LimitRanges::new(unknown);
        assert_eq!((unknown.of("data", within).await, unknown.cached("data")), (Err(NotKnown), Err(NotKnown)));
    }
}
