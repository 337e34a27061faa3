//! Groups of a namespace that name one gateway: each collects by its own limits, so that the shortest counts for all, and
//! one alone may have it scraped, or there are two of every series. That is the oldest that wants a monitor. Pure.
//!
//! Of other namespaces nothing is looked at: who may read one is not to learn of another.
//!
//! *Never:* conditions, what a gateway is asked.

use std::sync::Arc;

use crds::{PushGroup, scrape::MonitorKind};
use kube::ResourceExt as _;

use super::overlap::age;
use crate::{cache::Cache, gateway::address::GatewayAddress, gc::targets::gateway};

/// With whom a group shares its gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// The others, the oldest first.
    pub others: Vec<String>,
    /// Of the older ones, that which has the monitor.
    pub monitor_of: Option<String>,
}

/// With whom a group shares its gateway, if it has one.
#[must_use]
pub fn sharing(groups: &Cache<PushGroup>, group: &PushGroup) -> Sharing {
    let Some(own) = address(group) else { return Sharing::default() };
    let is_other = |one: &PushGroup| one.uid() != group.uid() && !one.is_going();
    let is_same = |one: &PushGroup| address(one).is_some_and(|address| address.is_same(&own));
    let mut others = groups.in_namespace(&group.namespace().unwrap_or_default());
    others.retain(|one| is_other(one) && is_same(one));
    others.sort_by_key(|one| age(one));
    let has_monitor = |one: &&Arc<PushGroup>| wants_monitor(one) && age(one) < age(group);
    Sharing {
        monitor_of: others.iter().find(has_monitor).map(|one| one.name_any()).filter(|_| wants_monitor(group)),
        others: others.iter().map(|one| one.name_any()).collect(),
    }
}

/// Whether a monitor is to be made for the gateway of a group.
#[must_use]
pub fn wants_monitor(group: &PushGroup) -> bool {
    match group.spec.monitor_kind() {
        MonitorKind::ServiceMonitor => true,
        MonitorKind::PodMonitor | MonitorKind::None => false,
    }
}

/// Where the gateway of a group answers; one that cannot be used is nobody's.
fn address(group: &PushGroup) -> Option<GatewayAddress> {
    gateway(group).and_then(|target| GatewayAddress::parse(&target.url).ok())
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn group(name: &str, gateway: Value) -> PushGroup {
        let created = format!("2026-01-0{}T00:00:00Z", name.len());
        serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": name, "uid": name, "creationTimestamp": created},
            "spec": {"gateway": gateway},
        }))
        .unwrap()
    }

    fn service(port: i32) -> Value {
        json!({"service": {"name": "pg", "port": port}})
    }

    #[track_caller]
    fn check(groups: &[PushGroup], expected: &[(&[&str], Option<&str>)]) {
        let cache = Cache::of(groups.to_vec());
        let found: Vec<_> = groups.iter().map(|group| sharing(&cache, group)).collect();
        let expected = expected.iter().map(|(others, monitor_of)| Sharing {
            others: others.iter().map(|name| (*name).to_owned()).collect(),
            monitor_of: monitor_of.map(str::to_owned),
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn of_those_that_name_one_gateway_the_oldest_has_the_monitor() {
        let groups = [group("a", service(9091)), group("bb", service(9091)), group("ccc", service(9091))];
        check(&groups, &[(&["bb", "ccc"], None), (&["a", "ccc"], Some("a")), (&["a", "bb"], Some("a"))]);
        check(&[group("a", service(9091)), group("bb", service(9092))], &[(&[], None), (&[], None)]);
    }

    #[test]
    fn a_monitor_that_the_oldest_does_not_want_is_the_next_ones() {
        let by_url = json!({"url": "http://PG.data.svc:9091/"});
        let groups = [group("a", by_url), group("bb", service(9091)), group("ccc", service(9091))];
        check(&groups, &[(&["bb", "ccc"], None), (&["a", "ccc"], None), (&["a", "bb"], Some("bb"))]);
        let mut without = group("bb", service(9091));
        without.spec.scrape.kind = MonitorKind::None;
        check(&[group("a", service(9091)), without], &[(&["bb"], None), (&["a"], None)]);
    }

    #[test]
    fn a_gateway_is_known_by_scheme_host_port_and_prefix() {
        let url = |url: &str| json!({"url": url});
        let is_shared = |one: &str, other: &str| {
            let groups = [group("a", url(one)), group("bb", url(other))];
            !sharing(&Cache::of(groups.to_vec()), &groups[0]).others.is_empty()
        };
        assert!(is_shared("https://pg.example/a", "https://PG.example:443/a/"));
        assert!(!is_shared("https://pg.example/a", "https://pg.example/b"));
        assert!(!is_shared("https://pg.example", "http://pg.example:443"));
        let mut elsewhere = group("bb", url("http://pg"));
        elsewhere.metadata.namespace = Some("web".to_owned());
        check(&[group("a", url("http://pg")), elsewhere], &[(&[], None), (&[], None)]);
    }
}
