//! A cache of watched objects, and whether it has seen all of them yet.
//!
//! The store's own waiting (kube 5) remembers only whoever asked last, so that of several who wait one may never wake.
//! Here the end of the first listing is told by a channel that everybody can wait on.
//!
//! *Never:* which objects, what for.

mod merge;

use std::sync::Arc;

use futures::{Stream, TryStreamExt as _};
use kube::{
    Resource,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use tokio::sync::watch;

pub use merge::watch_scope;

/// Reads a cache.
#[derive(Clone)]
pub struct Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store: Store<K>,
    known: watch::Receiver<bool>,
}

/// Fills a cache.
pub struct CacheWriter<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    writer: Writer<K>,
    known: watch::Sender<bool>,
}

/// An empty cache and what fills it.
#[must_use]
pub fn cache<K>() -> (Cache<K>, CacheWriter<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, writer) = reflector::store();
    let (sender, receiver) = watch::channel(false);
    (Cache { store, known: receiver }, CacheWriter { writer, known: sender })
}

// === impl Cache ===

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// The store behind it, for a controller.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// All objects of the moment.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// The objects of the moment that fit.
    pub fn filter(&self, fits: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        self.store.state_filter(fits)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, object: &ObjectRef<K>) -> Option<Arc<K>> {
        self.store.get(object)
    }

    /// Whether all objects there are have been seen once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Waits until all objects there are have been seen once; false if that will never be.
    pub async fn until_known(&self) -> bool {
        self.known.clone().wait_for(|known| *known).await.is_ok()
    }
}

// === impl CacheWriter ===

impl<K> CacheWriter<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.writer.as_reader()
    }

    /// Passes a watch on, having written down what it says.
    pub fn fill(
        self,
        events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    ) -> impl Stream<Item = Result<Event<K>, watcher::Error>> {
        let Self { writer, known } = self;
        events.reflect(writer).inspect_ok(move |event| {
            if matches!(event, Event::InitDone) {
                known.send_replace(true);
            }
        })
    }
}

#[cfg(test)]
impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// A cache that knows some objects.
    pub(crate) fn of(objects: Vec<K>) -> Self {
        let (cache, mut filling) = cache();
        for object in objects {
            filling.writer.apply_watcher_event(&Event::Apply(object));
        }
        filling.known.send_replace(true);
        cache
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_wakes_once_all_is_seen() {
        let (cache, writer) = cache::<ConfigMap>();
        let waiting = [cache.clone(), cache.clone(), cache.clone()];
        let waiting = waiting.map(|cache| tokio::spawn(async move { cache.until_known().await }));
        tokio::task::yield_now().await;
        assert!(!cache.is_known());
        let mut object = ConfigMap::default();
        object.metadata.name = Some("one".to_owned());
        let events = [Event::Init, Event::InitApply(object), Event::InitDone].map(Ok);
        let passed = writer.fill(stream::iter(events)).count().await;
        assert_eq!((passed, cache.all().len(), cache.is_known()), (3, 1, true));
        for waiter in waiting {
            assert!(waiter.await.unwrap());
        }
    }

    #[tokio::test]
    async fn without_a_watch_nobody_waits_for_ever() {
        let (cache, writer) = cache::<ConfigMap>();
        drop(writer);
        assert!(!cache.until_known().await);
    }
}
