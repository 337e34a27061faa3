//! A cache of watched objects, and whether it has seen all of them yet.
//!
//! The store's own waiting (kube 5) remembers only whoever asked last, so that of several who wait one may never wake.
//! Here the end of the first listing is told by a channel that everybody can wait on.
//!
//! Ten thousand objects are no matter while nobody walks through all of them for the sake of a few, again and again: so
//! they are found by namespace and by `PushGroup`, and there is no search of all.
//!
//! *Never:* which objects, what for.

mod merge;
mod shelves;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures::{Stream, TryStreamExt as _};
use kube::{
    Resource,
    runtime::{
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use tokio::sync::watch;

use self::shelves::Shelves;

pub use merge::watch_scope;

/// Reads a cache.
#[derive(Clone)]
pub struct Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store: Store<K>,
    shelves: Arc<RwLock<Shelves<K>>>,
    seen: watch::Receiver<Seen>,
}

/// Fills a cache.
pub struct CacheWriter<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    writer: Writer<K>,
    shelves: Arc<RwLock<Shelves<K>>>,
    seen: watch::Sender<Seen>,
}

/// What the watch has said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Whether all objects there are have been seen once.
    all: bool,
    /// How often something came.
    events: u64,
}

/// Tells that something has changed in a cache.
#[derive(Clone, Debug)]
pub struct Changes(watch::Receiver<Seen>);

/// An empty cache and what fills it.
#[must_use]
pub fn cache<K>() -> (Cache<K>, CacheWriter<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, writer) = reflector::store();
    let shelves = Arc::new(RwLock::new(Shelves::new()));
    let (sender, receiver) = watch::channel(Seen::default());
    (Cache { store, shelves: shelves.clone(), seen: receiver }, CacheWriter { writer, shelves, seen: sender })
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

    /// The objects of a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.shelves().in_namespace(namespace)
    }

    /// The objects of a namespace whose label names a `PushGroup`, or that name none.
    #[must_use]
    pub fn of_group(&self, namespace: &str, group: Option<&str>) -> Vec<Arc<K>> {
        self.shelves().of_group(namespace, group)
    }

    /// A number that is another one after each change of what [`Self::of_group`] finds.
    #[must_use]
    pub fn version_of_group(&self, namespace: &str, group: Option<&str>) -> u64 {
        self.shelves().version_of(namespace, group)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, object: &ObjectRef<K>) -> Option<Arc<K>> {
        self.store.get(object)
    }

    /// Whether all objects there are have been seen once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.seen.borrow().all
    }

    /// Waits until all objects there are have been seen once; false if that will never be.
    pub async fn until_known(&self) -> bool {
        self.seen.clone().wait_for(|seen| seen.all).await.is_ok()
    }

    /// Tells of changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut seen = self.seen.clone();
        seen.mark_unchanged();
        Changes(seen)
    }

    fn shelves(&self) -> RwLockReadGuard<'_, Shelves<K>> {
        // Whoever panicked with the lock held left whole shelves behind.
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
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
        let mut this = self;
        events.inspect_ok(move |event| this.write_down(event))
    }

    fn write_down(&mut self, event: &Event<K>) {
        let Self { writer, shelves, seen } = self;
        let store = writer.as_reader();
        let known = |event: &Event<K>| match event {
            Event::Apply(object) | Event::Delete(object) => store.get(&ObjectRef::from_obj(object)),
            Event::Init | Event::InitApply(_) | Event::InitDone => None,
        };
        let before = known(event);
        writer.apply_watcher_event(event);
        let mut shelves = shelves.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(_) | Event::Delete(_) => shelves.change(before.as_ref(), known(event)),
            Event::InitDone => shelves.replace(store.state()),
            Event::Init | Event::InitApply(_) => {}
        }
        drop(shelves);
        seen.send_modify(|seen| {
            seen.all |= matches!(event, Event::InitDone);
            seen.events += 1;
        });
    }
}

// === impl Changes ===

impl Changes {
    /// Waits until something has changed since the last call.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody watches any more.
            std::future::pending().await
        }
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
            filling.write_down(&Event::Apply(object));
        }
        filling.seen.send_modify(|seen| seen.all = true);
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
        assert_eq!(cache.in_namespace("").len(), 1);
        for waiter in waiting {
            assert!(waiter.await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_change_is_told_once_however_many_there_were() {
        let (cache, writer) = cache::<ConfigMap>();
        let (sender, events) = futures::channel::mpsc::unbounded();
        let mut filling = Box::pin(writer.fill(events));
        let mut changes = cache.changes();
        for event in [Event::Init, Event::InitDone] {
            sender.unbounded_send(Ok(event)).unwrap();
            filling.next().await.unwrap().unwrap();
        }
        changes.next().await;
        assert!(futures::poll!(std::pin::pin!(changes.next())).is_pending());
    }

    #[tokio::test]
    async fn what_is_found_by_namespace_is_what_there_is_after_each_event() {
        let (cache, writer) = cache::<ConfigMap>();
        let (sender, events) = futures::channel::mpsc::unbounded();
        let mut filling = Box::pin(writer.fill(events));
        let mut after = async |event: Event<ConfigMap>| {
            sender.unbounded_send(Ok(event)).unwrap();
            filling.next().await.unwrap().unwrap();
            let state = |object: &Arc<ConfigMap>| object.metadata.resource_version.clone().unwrap();
            let mut found: Vec<_> = cache.in_namespace("data").iter().map(state).collect();
            found.sort();
            assert_eq!(found.len(), cache.all().len());
            found
        };
        let object = |name: &str, version: &str| {
            let mut object = ConfigMap::default();
            object.metadata.namespace = Some("data".to_owned());
            object.metadata.name = Some(name.to_owned());
            object.metadata.resource_version = Some(version.to_owned());
            object
        };
        assert_eq!(after(Event::Apply(object("one", "1"))).await, ["1"]);
        assert_eq!(after(Event::Apply(object("one", "2"))).await, ["2"]);
        assert_eq!(after(Event::Apply(object("two", "3"))).await, ["2", "3"]);
        assert_eq!(after(Event::Delete(object("one", "4"))).await, ["3"]);
        assert_eq!(after(Event::Init).await, ["3"]);
        assert_eq!(after(Event::InitApply(object("new", "5"))).await, ["3"], "a listing counts once it is done");
        assert_eq!(after(Event::InitDone).await, ["5"]);
    }

    #[tokio::test]
    async fn without_a_watch_nobody_waits_for_ever() {
        let (cache, writer) = cache::<ConfigMap>();
        drop(writer);
        assert!(!cache.until_known().await);
    }
}
