//! What is known of monitoring in the cluster: the Prometheuses, the labels of namespaces, and what the CRDs of monitors
//! lack. Filled by watches, read for each status.
//!
//! *Never:* the API server, conditions.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    prometheus::Scraper,
    selection::{Labels, Monitored, Selection, select},
    undeclared::Undeclared,
};
use crate::optional::{Hidden, Seen};

/// What is known of monitoring in the cluster.
#[derive(Debug, Default)]
pub struct Monitoring {
    /// What the CRDs of monitors lack.
    pub undeclared: Undeclared,
    known: Mutex<Known>,
}

/// What is known about the Prometheuses that may take a monitor.
#[derive(Clone, Debug, PartialEq)]
pub enum Takers {
    /// They were not listed yet.
    NotListed,
    /// The API server does not know their kinds.
    Absent,
    /// There is no right to see some of them, or what decides about them.
    Forbidden,
    /// All of them were asked.
    Asked(Selection),
}

/// The kinds of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Prometheus.
    Prometheus,
    /// PrometheusAgent.
    Agent,
}

/// For which groups something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// For none.
    Nothing,
    /// For those of a namespace.
    Namespace(String),
    /// For all.
    Everything,
}

#[derive(Debug, Default)]
struct Known {
    prometheuses: Look<Scraper>,
    agents: Look<Scraper>,
    namespaces: Look<Labels>,
}

/// Objects of a kind that may be hidden, by a name of their own.
#[derive(Debug)]
struct Look<V> {
    state: State<V>,
    /// Of a listing that has not ended.
    listing: Option<BTreeMap<String, V>>,
}

#[derive(Debug, PartialEq)]
enum State<V> {
    NotListed,
    Hidden(Hidden),
    Listed(BTreeMap<String, V>),
}

// === impl Monitoring ===

impl Monitoring {
    /// A Prometheus was seen.
    pub fn see_prometheus(&self, source: Source, seen: Seen<Scraper>) -> Change {
        let mut known = self.known();
        let look = match source {
            Source::Prometheus => &mut known.prometheuses,
            Source::Agent => &mut known.agents,
        };
        match look.see(seen.map(|scraper| (scraper.to_string(), scraper))) {
            Change::Nothing => Change::Nothing,
            Change::Namespace(_) | Change::Everything => Change::Everything,
        }
    }

    /// A namespace was seen, by its name and labels.
    pub fn see_namespace(&self, seen: Seen<(String, Labels)>) -> Change {
        self.known().namespaces.see(seen)
    }

    /// Asks all Prometheuses about a monitor.
    #[must_use]
    pub fn takers(&self, monitor: &Monitored) -> Takers {
        let known = self.known();
        let sources = [&known.prometheuses.state, &known.agents.state];
        let scrapers = sources.iter().flat_map(|state| state.objects()).map(|(_, scraper)| scraper);
        let namespace = match &known.namespaces.state {
            // One that is so new that it was not seen yet wakes its groups when it is.
            State::Listed(namespaces) => namespaces.get(&monitor.namespace),
            State::NotListed | State::Hidden(_) => None,
        };
        let selection = select(scrapers, monitor, namespace);
        if !selection.takers.is_empty() {
            return Takers::Asked(selection);
        }
        let is = |state| sources.contains(&&state);
        let namespaces_are_hidden = matches!(known.namespaces.state, State::Hidden(_));
        if is(State::NotListed) || (selection.is_unclear && !namespaces_are_hidden) {
            Takers::NotListed
        } else if is(State::Hidden(Hidden::Forbidden)) || selection.is_unclear {
            Takers::Forbidden
        } else if sources.iter().all(|state| **state == State::Hidden(Hidden::Absent)) {
            Takers::Absent
        } else {
            Takers::Asked(selection)
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Whoever panicked with the lock held left whole entries behind.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Look ===

impl<V: PartialEq> Look<V> {
    fn see(&mut self, seen: Seen<(String, V)>) -> Change {
        match (seen, &mut self.listing, &mut self.state) {
            (Seen::Hidden(hidden), ..) => {
                self.listing = None;
                self.set(State::Hidden(hidden))
            }
            (Seen::Listing, ..) => {
                self.listing = Some(BTreeMap::new());
                Change::Nothing
            }
            (Seen::There((name, object)), Some(listing), _) => {
                listing.insert(name, object);
                Change::Nothing
            }
            (Seen::There((name, object)), None, State::Listed(objects)) => {
                if objects.get(&name) == Some(&object) {
                    return Change::Nothing;
                }
                objects.insert(name.clone(), object);
                Change::Namespace(name)
            }
            (Seen::Gone((name, _)), _, State::Listed(objects)) => {
                objects.remove(&name).map_or(Change::Nothing, |_| Change::Namespace(name))
            }
            (Seen::Listed, listing, _) => {
                let listed = listing.take().unwrap_or_default();
                self.set(State::Listed(listed))
            }
            (Seen::There(_), None, State::NotListed | State::Hidden(_))
            | (Seen::Gone(_), _, State::NotListed | State::Hidden(_)) => Change::Nothing,
        }
    }

    fn set(&mut self, state: State<V>) -> Change {
        if self.state == state {
            return Change::Nothing;
        }
        self.state = state;
        Change::Everything
    }
}

impl<V> Default for Look<V> {
    fn default() -> Self {
        Self { state: State::NotListed, listing: None }
    }
}

// === impl State ===

impl<V> State<V> {
    fn objects(&self) -> impl Iterator<Item = (&String, &V)> {
        let objects = match self {
            Self::Listed(objects) => Some(objects),
            Self::NotListed | Self::Hidden(_) => None,
        };
        objects.into_iter().flatten()
    }
}

#[cfg(test)]
impl Monitoring {
    /// Some Prometheuses, and nothing else that could be seen.
    pub(crate) fn of(scrapers: Vec<Scraper>) -> Self {
        let monitoring = Self::default();
        monitoring.see_prometheus(Source::Prometheus, Seen::Listing);
        for scraper in scrapers {
            monitoring.see_prometheus(Source::Prometheus, Seen::There(scraper));
        }
        monitoring.see_prometheus(Source::Prometheus, Seen::Listed);
        monitoring.see_prometheus(Source::Agent, Seen::Hidden(Hidden::Absent));
        monitoring.see_namespace(Seen::Hidden(Hidden::Forbidden));
        monitoring
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::monitors::selection::{Kind, tests::prometheus};

    fn takers(monitoring: &Monitoring) -> &'static str {
        let (namespace, name) = ("data".to_owned(), "sidegate-nightly".to_owned());
        let monitor = Monitored { kind: Kind::ServiceMonitor, namespace, name, labels: BTreeMap::new() };
        match monitoring.takers(&monitor) {
            Takers::NotListed => "not listed",
            Takers::Absent => "absent",
            Takers::Forbidden => "forbidden",
            Takers::Asked(selection) if selection.takers.is_empty() => "nobody",
            Takers::Asked(_) => "taken",
        }
    }

    fn all() -> Scraper {
        prometheus(json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}))
    }

    fn of_team(team: &str) -> Scraper {
        let namespaces = json!({"matchLabels": {"team": team}});
        prometheus(json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": namespaces}))
    }

    fn namespace(labels: Value) -> Seen<(String, Labels)> {
        Seen::There(("data".to_owned(), serde_json::from_value(labels).unwrap()))
    }

    #[test]
    fn what_is_not_seen_is_not_taken_for_nothing() {
        let monitoring = Monitoring::default();
        assert_eq!(takers(&monitoring), "not listed");
        monitoring.see_prometheus(Source::Prometheus, Seen::Hidden(Hidden::Absent));
        assert_eq!(takers(&monitoring), "not listed");
        assert_eq!(monitoring.see_prometheus(Source::Agent, Seen::Hidden(Hidden::Absent)), Change::Everything);
        assert_eq!(takers(&monitoring), "absent");
        monitoring.see_prometheus(Source::Agent, Seen::Hidden(Hidden::Forbidden));
        assert_eq!(takers(&monitoring), "forbidden");
        assert_eq!(takers(&Monitoring::of(Vec::new())), "nobody");
        assert_eq!(takers(&Monitoring::of(vec![all()])), "taken");
    }

    #[test]
    fn the_labels_of_the_namespace_decide() {
        let monitoring = Monitoring::of(vec![of_team("etl")]);
        assert_eq!(takers(&monitoring), "forbidden");
        monitoring.see_namespace(Seen::Listing);
        monitoring.see_namespace(namespace(json!({"team": "web"})));
        assert_eq!(monitoring.see_namespace(Seen::Listed), Change::Everything);
        assert_eq!(takers(&monitoring), "nobody");
        let changed = monitoring.see_namespace(namespace(json!({"team": "etl"})));
        assert_eq!((changed, takers(&monitoring)), (Change::Namespace("data".to_owned()), "taken"));
        assert_eq!(monitoring.see_namespace(namespace(json!({"team": "etl"}))), Change::Nothing);
    }

    #[test]
    fn what_did_not_change_wakes_nobody() {
        let monitoring = Monitoring::of(vec![all()]);
        let see = |seen| monitoring.see_prometheus(Source::Prometheus, seen);
        assert_eq!(see(Seen::There(all())), Change::Nothing);
        let again = [Seen::Listing, Seen::There(all()), Seen::Listed].map(see);
        assert_eq!(again, [Change::Nothing, Change::Nothing, Change::Nothing]);
        assert_eq!(see(Seen::There(of_team("etl"))), Change::Everything);
        assert_eq!(see(Seen::Gone(all())), Change::Everything);
        assert_eq!(takers(&monitoring), "nobody");
    }
}
