//! The watches of several namespaces as one, which a cache can be filled from.
//!
//! A watch begins, and begins anew after a fault, with a listing that replaces all that was known; of several, each would
//! wipe out what the others said. So the first listing is passed on once every namespace has had its own; a later one is
//! turned into changes. A namespace that may not be listed counts as empty until it may: its absence is not to stop the
//! others.
//!
//! *Never:* what is watched.

use std::collections::{HashMap, HashSet};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        reflector::Store,
        watcher::{self, Event},
    },
};

use crate::scope::Scope;

/// Watches all there is in a scope; `watch` makes the watch of one API, and the store is the one that is filled.
pub fn watch_scope<A, K, S>(
    scope: &Scope,
    client: &Client,
    store: Store<K>,
    watch: impl Fn(Api<A>) -> S,
) -> BoxStream<'static, Result<Event<K>, watcher::Error>>
where
    A: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    S: Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
{
    match scope {
        Scope::All => watch(Api::all(client.clone())).boxed(),
        Scope::Namespaces(names) => {
            let parts = names.iter().enumerate();
            let parts = parts.map(|(part, name)| {
                let events = watch(Api::namespaced(client.clone(), name));
                events.map(move |event| (part, event)).boxed()
            });
            let mut merge = Merge::new(names.clone());
            let merged = stream::select_all(parts).map(move |(part, event)| {
                let there = || store.state().iter().map(|object| (**object).clone()).collect();
                stream::iter(merge.step(part, event, there))
            });
            merged.flatten().boxed()
        }
    }
}

/// What is passed on, namespace by namespace.
struct Merge<K> {
    parts: Vec<Part<K>>,
    is_known: bool,
}

struct Part<K> {
    namespace: String,
    /// Until all are known: what there is here, by name, and whether that is all.
    first: HashMap<String, K>,
    is_known: bool,
    /// While it is listed again: the names of what there is.
    listed: HashSet<String>,
}

// === impl Merge ===

impl<K> Merge<K>
where
    K: Resource<DynamicType = ()>,
{
    fn new(namespaces: Vec<String>) -> Self {
        let part = |namespace| Part { namespace, first: HashMap::new(), is_known: false, listed: HashSet::new() };
        Self { parts: namespaces.into_iter().map(part).collect(), is_known: false }
    }

    /// An event of a part becomes events of the whole; `there` is all that was passed on by now.
    fn step(
        &mut self,
        part: usize,
        event: Result<Event<K>, watcher::Error>,
        there: impl FnOnce() -> Vec<K>,
    ) -> Vec<Result<Event<K>, watcher::Error>> {
        let Some(of) = self.parts.get_mut(part) else { return Vec::new() };
        if self.is_known {
            return of.passed_on(event, there).unwrap_or_else(|error| vec![Err(error)]);
        }
        let failed = of.kept(event).err();
        let mut events: Vec<_> = failed.into_iter().map(Err).collect();
        if self.parts.iter().all(|part| part.is_known) {
            self.is_known = true;
            let all = self.parts.iter_mut().flat_map(|part| std::mem::take(&mut part.first).into_values());
            events.push(Ok(Event::Init));
            events.extend(all.map(|object| Ok(Event::InitApply(object))));
            events.push(Ok(Event::InitDone));
        }
        events
    }
}

// === impl Part ===

impl<K> Part<K>
where
    K: Resource<DynamicType = ()>,
{
    /// Before all parts are known.
    fn kept(&mut self, event: Result<Event<K>, watcher::Error>) -> Result<(), watcher::Error> {
        match event {
            Ok(Event::Init) => self.first.clear(),
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                self.first.insert(object.name_any(), object);
            }
            Ok(Event::Delete(object)) => {
                self.first.remove(&object.name_any());
            }
            Ok(Event::InitDone) => self.is_known = true,
            Err(error) => {
                self.is_known |= is_refused(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Once all parts are known.
    fn passed_on(
        &mut self,
        event: Result<Event<K>, watcher::Error>,
        there: impl FnOnce() -> Vec<K>,
    ) -> Result<Vec<Result<Event<K>, watcher::Error>>, watcher::Error> {
        Ok(match event? {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(object.name_any());
                vec![Ok(Event::Apply(object))]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let mut gone = there();
                gone.retain(|object| {
                    object.namespace().as_ref() == Some(&self.namespace) && !listed.contains(&object.name_any())
                });
                gone.into_iter().map(|object| Ok(Event::Delete(object))).collect()
            }
            event @ (Event::Apply(_) | Event::Delete(_)) => vec![Ok(event)],
        })
    }
}

/// Whether there is nothing to be seen here, by the word of the API server.
fn is_refused(error: &watcher::Error) -> bool {
    let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error else { return false };
    matches!(status.code, 403 | 404)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::Status;

    use super::*;

    fn object(namespace: &str, name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn refusal(code: u16) -> watcher::Error {
        let status = Status { code, ..Status::default() };
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    /// A cache of namespaces `a` and `b`, as their merged events leave it.
    struct World {
        merge: Merge<ConfigMap>,
        there: Vec<ConfigMap>,
        is_known: bool,
        errors: usize,
    }

    impl World {
        fn new() -> Self {
            let merge = Merge::new(vec!["a".to_owned(), "b".to_owned()]);
            Self { merge, there: Vec::new(), is_known: false, errors: 0 }
        }

        #[track_caller]
        fn step(&mut self, part: usize, event: Result<Event<ConfigMap>, watcher::Error>, expected: &str) {
            for event in self.merge.step(part, event, || self.there.clone()) {
                let mut events = vec![];
                match event {
                    Ok(Event::Init) => self.there.clear(),
                    Ok(Event::InitApply(object) | Event::Apply(object)) => events.push(object),
                    Ok(Event::Delete(gone)) => self.there.retain(|object| object.metadata != gone.metadata),
                    Ok(Event::InitDone) => {
                        assert!(!self.is_known, "a second listing would wipe out what is known");
                        self.is_known = true;
                    }
                    Err(_) => self.errors += 1,
                }
                self.there.extend(events);
            }
            let names = self.there.iter().map(|object| object.namespace().unwrap() + "/" + &object.name_any());
            let names: Vec<_> = names.collect::<BTreeSet<_>>().into_iter().collect();
            assert_eq!(names.join(" "), expected);
        }

        fn list(&mut self, part: usize, names: &[&str], expected: [&str; 2]) {
            let namespace = ["a", "b"][part];
            self.step(part, Ok(Event::Init), expected[0]);
            for name in names {
                for event in self.merge.step(part, Ok(Event::InitApply(object(namespace, name))), Vec::new) {
                    let Ok(Event::Apply(object)) = event else { panic!("expected a change") };
                    self.there.push(object);
                }
            }
            self.step(part, Ok(Event::InitDone), expected[1]);
        }
    }

    #[test]
    fn nothing_is_known_before_every_namespace_is() {
        let mut world = World::new();
        world.list(0, &["one", "two"], ["", ""]);
        world.step(0, Ok(Event::Delete(object("a", "two"))), "");
        world.step(0, Ok(Event::Apply(object("a", "three"))), "");
        assert!(!world.is_known);
        world.list(1, &["one"], ["", "a/one a/three b/one"]);
        assert!(world.is_known);
    }

    #[test]
    fn a_namespace_that_is_listed_again_leaves_the_others_as_they_are() {
        let mut world = World::new();
        world.list(0, &["one", "two"], ["", ""]);
        world.list(1, &["one"], ["", "a/one a/two b/one"]);
        world.list(0, &["two", "three"], ["a/one a/two b/one", "a/three a/two b/one"]);
        world.step(1, Ok(Event::Delete(object("b", "one"))), "a/three a/two");
    }

    #[test]
    fn a_listing_that_breaks_off_is_forgotten() {
        let mut world = World::new();
        world.step(0, Ok(Event::Init), "");
        world.step(0, Ok(Event::InitApply(object("a", "gone"))), "");
        world.step(0, Err(refusal(500)), "");
        world.list(0, &["one"], ["", ""]);
        world.list(1, &[], ["", "a/one"]);
        assert_eq!(world.errors, 1);
    }

    #[test]
    fn a_namespace_without_the_right_to_list_does_not_stop_the_others() {
        let mut world = World::new();
        world.list(0, &["one"], ["", ""]);
        world.step(1, Err(refusal(500)), "");
        assert!(!world.is_known, "the API server is out of order, which says nothing");
        world.step(1, Err(refusal(403)), "a/one");
        assert!(world.is_known);
        // Once there is the right, it is as the others.
        world.list(1, &["one"], ["a/one", "a/one b/one"]);
    }
}
