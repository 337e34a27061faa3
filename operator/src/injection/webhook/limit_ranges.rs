//! The LimitRanges of a namespace, which a sidecar has to fit into or its pod is refused.
//!
//! They are watched rather than read for each pod: there are few in a cluster, they seldom change, and an admission does
//! not wait for the API server, which waits for it. The right to list is needed in both ways.
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

/// How long an admission waits for the first listing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where LimitRanges are looked up.
#[derive(Clone)]
pub struct LimitRanges {
    cache: Cache<LimitRange>,
}

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

    /// Those of a namespace; `None` where they are not known in time.
    pub(super) async fn of(&self, namespace: &str) -> Option<Vec<LimitRange>> {
        if !self.cache.is_known() && !matches!(tokio::time::timeout(PATIENCE, self.cache.until_known()).await, Ok(true))
        {
            return None;
        }
        let here = self.cache.filter(|range| range.metadata.namespace.as_deref() == Some(namespace));
        Some(here.iter().map(|range| (**range).clone()).collect())
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
        assert_eq!(known.of("data").await.map(|ranges| ranges.len()), Some(1));
        assert_eq!(known.of("other").await.map(|ranges| ranges.len()), Some(0));
        let (unknown, _writer) = cache();
        assert_eq!(LimitRanges::new(unknown).of("data").await, None);
    }
}
