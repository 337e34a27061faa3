//! The pods that ask and have no sidecar, and how far each was looked into. Pure.
//!
//! What is kept is some hundred bytes for each of them, and nothing of any other pod. A listing that begins anew replaces
//! what was known of its part when it ends. One that is missing its sidecar stays so while it is read anew for something
//! else that it asks.
//!
//! *Never:* reading pods, whom to tell.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use k8s_openapi::api::core::v1::ObjectReference;

/// A pod that asks, by its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// What it or its namespace asks for.
    pub(super) asked: String,
    /// By which a group selects it.
    pub(super) labels: BTreeMap<String, String>,
}

/// A pod that is missing its sidecar, as it is known by.
pub(super) type Known = (String, String);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<String, Entry>,
    /// UIDs of those to be read.
    waiting: VecDeque<Candidate>,
    /// Parts whose first listing has ended.
    complete: BTreeSet<usize>,
    /// Parts that are listed anew, with what was seen.
    listing: BTreeMap<usize, HashSet<String>>,
    parts: BTreeSet<usize>,
}

#[derive(Debug)]
struct Entry {
    part: usize,
    namespace: String,
    asked: String,
    /// Whether it is read, or will be.
    is_waiting: bool,
    /// Whether it would have a sidecar, as it was read last.
    is_missing: bool,
}

// === impl Candidate ===

impl Candidate {
    /// The pod itself.
    pub(super) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

// === impl Book ===

impl Book {
    /// A part is listed.
    pub(super) fn begin(&mut self, part: usize) {
        self.parts.insert(part);
        self.listing.insert(part, HashSet::new());
    }

    /// A listing has ended; those missing pods that were not in it.
    pub(super) fn end(&mut self, part: usize) -> Vec<Known> {
        self.complete.insert(part);
        let Some(seen) = self.listing.remove(&part) else { return Vec::new() };
        let gone = self.entries.iter().filter(|(uid, entry)| entry.part == part && !seen.contains(*uid));
        let gone: Vec<_> = gone.map(|(uid, _)| uid.clone()).collect();
        gone.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    /// Whether everything was listed and looked into once.
    pub(super) fn is_complete(&self) -> bool {
        !self.parts.is_empty() && self.parts == self.complete && self.waiting.is_empty()
    }

    /// A pod asks. One that asks for the same as before is known.
    pub(super) fn add(&mut self, part: usize, candidate: Candidate) {
        if let Some(seen) = self.listing.get_mut(&part) {
            seen.insert(candidate.uid.clone());
        }
        let known = self.entries.get(&candidate.uid);
        if known.is_some_and(|known| known.asked == candidate.asked) {
            return;
        }
        let entry = Entry {
            part,
            namespace: candidate.namespace.clone(),
            asked: candidate.asked.clone(),
            is_waiting: true,
            is_missing: known.is_some_and(|known| known.is_missing),
        };
        self.entries.insert(candidate.uid.clone(), entry);
        self.waiting.push_back(candidate);
    }

    /// The next to be read.
    pub(super) fn next(&mut self) -> Option<Candidate> {
        while let Some(candidate) = self.waiting.pop_front() {
            if self.is_waiting(&candidate) {
                return Some(candidate);
            }
        }
        None
    }

    /// It is to be read once more.
    pub(super) fn again(&mut self, candidate: &Candidate) {
        if self.is_waiting(candidate) {
            self.waiting.push_back(candidate.clone());
        }
    }

    /// It was read; itself, if it was missing its sidecar and is not any more. `None` if it went or changed meanwhile.
    pub(super) fn settle(&mut self, candidate: &Candidate, is_missing: bool) -> Option<Vec<Known>> {
        let entry = self.entries.get_mut(&candidate.uid).filter(|entry| entry.waits_for(candidate))?;
        entry.is_waiting = false;
        let was_missing = std::mem::replace(&mut entry.is_missing, is_missing);
        let healed = (was_missing && !is_missing).then(|| (entry.namespace.clone(), candidate.uid.clone()));
        Some(healed.into_iter().collect())
    }

    /// It is gone, has ended, or asks no more; itself, if it was missing its sidecar.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Known> {
        let gone = self.entries.remove(uid).filter(|entry| entry.is_missing);
        gone.map(|entry| (entry.namespace, uid.to_owned())).into_iter().collect()
    }

    /// Keeps those that fit; the missing ones of the others.
    pub(super) fn retain(&mut self, namespace_fits: impl Fn(&str) -> bool) -> Vec<Known> {
        let gone = self.entries.iter().filter(|(_, entry)| !namespace_fits(&entry.namespace));
        let gone: Vec<_> = gone.map(|(uid, _)| uid.clone()).collect();
        gone.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    /// How many pods are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn is_waiting(&self, candidate: &Candidate) -> bool {
        self.entries.get(&candidate.uid).is_some_and(|entry| entry.waits_for(candidate))
    }
}

// === impl Entry ===

impl Entry {
    fn waits_for(&self, candidate: &Candidate) -> bool {
        self.is_waiting && self.asked == candidate.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(uid: &str, asked: &str) -> Candidate {
        Candidate {
            uid: uid.to_owned(),
            namespace: "data".to_owned(),
            name: uid.to_owned(),
            asked: asked.to_owned(),
            labels: BTreeMap::new(),
        }
    }

    fn missing(book: &mut Book, uid: &str) {
        book.add(0, candidate(uid, "true"));
        let next = book.next().unwrap();
        assert_eq!(book.settle(&next, true), Some(Vec::new()));
    }

    fn known(uid: &str) -> Known {
        ("data".to_owned(), uid.to_owned())
    }

    #[test]
    fn a_pod_is_read_once_for_what_it_asks() {
        let mut book = Book::default();
        book.add(0, candidate("a", "true"));
        book.add(0, candidate("a", "true"));
        let first = book.next().unwrap();
        assert_eq!(book.next(), None);
        assert_eq!(book.settle(&first, false), Some(Vec::new()));
        book.add(0, candidate("a", "true"));
        assert_eq!(book.next(), None);
        book.add(0, candidate("a", "nightly"));
        assert_eq!(book.settle(&first, true), None, "it has changed since");
        assert_eq!(book.next().unwrap().asked, "nightly");
    }

    #[test]
    fn what_a_new_listing_does_not_have_is_gone() {
        let mut book = Book::default();
        book.begin(0);
        assert!(!book.is_complete());
        missing(&mut book, "a");
        missing(&mut book, "b");
        assert_eq!(book.end(0), []);
        assert!(book.is_complete());
        book.begin(0);
        book.add(0, candidate("b", "true"));
        assert_eq!(book.end(0), [known("a")]);
        assert_eq!(book.remove("b").len(), 1);
        assert_eq!(book.len(), 0);
    }

    #[test]
    fn one_that_went_while_it_was_read_is_forgotten() {
        let mut book = Book::default();
        book.add(0, candidate("a", "true"));
        let first = book.next().unwrap();
        assert_eq!(book.remove("a"), [], "nobody knew of it");
        assert_eq!(book.settle(&first, true), None);
        book.again(&first);
        assert_eq!(book.next(), None);
    }

    #[test]
    fn one_that_asks_for_something_else_is_missing_until_it_is_read_again() {
        let asks_anew = || {
            let mut book = Book::default();
            book.begin(0);
            missing(&mut book, "a");
            book.end(0);
            book.add(0, candidate("a", "nightly"));
            book
        };
        assert_eq!(asks_anew().remove("a"), [known("a")]);
        assert_eq!(asks_anew().retain(|_| false), [known("a")]);
        let mut book = asks_anew();
        book.begin(0);
        assert_eq!(book.end(0), [known("a")]);

        let mut book = asks_anew();
        let next = book.next().unwrap();
        assert_eq!(book.settle(&next, true), Some(Vec::new()));
        assert_eq!(book.remove("a"), [known("a")]);

        let mut book = asks_anew();
        let next = book.next().unwrap();
        assert_eq!(book.settle(&next, false), Some(vec![known("a")]));
        assert_eq!(book.remove("a"), [], "that was told");
    }

    #[test]
    fn a_namespace_that_is_kept_out_takes_its_pods_with_it() {
        let mut book = Book::default();
        missing(&mut book, "a");
        assert_eq!(book.retain(|namespace| namespace == "data"), []);
        assert_eq!(book.retain(|_| false).len(), 1);
    }
}
