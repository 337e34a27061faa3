//! HTTP service discovery: the sidecars of a group as a plain Prometheus wants to be told of them.
//!
//! An empty list makes Prometheus drop its targets, and an error makes it keep them. So what is not known yet is an
//! error, and so is a group that does not exist, which is more likely a mistake in a URL than a wish.
//!
//! A target brings the group's interval along, but it cannot bring `honor_labels`: that is for the scrape configuration.
//!
//! *Never:* sockets, routes, who asks.

use std::{collections::BTreeMap, net::SocketAddr};

use crds::{PushGroup, names::SIDECAR_CONTAINER};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::ObjectRef;
use protocol::endpoints::SCRAPE_PORT;
use serde::Serialize;

use crate::{cache::Cache, gc::targets::target};

/// Prometheus' own scrape timeout, where nothing else is said.
const USUAL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Where groups and their pods are looked up.
#[derive(Clone)]
pub struct Discovery {
    groups: Cache<PushGroup>,
    pods: Cache<Pod>,
}

/// Targets with the same labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetGroup {
    /// Addresses with ports.
    pub targets: Vec<String>,
    /// Their labels.
    pub labels: BTreeMap<&'static str, String>,
}

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The caches are not filled.
    #[error("the PushGroups and their pods are not known yet to this replica")]
    NotKnown,
    /// There is no such group.
    #[error("expected a PushGroup {name} in the namespace {namespace}, found none")]
    NoSuchGroup {
        /// The namespace that was asked for.
        namespace: String,
        /// The name that was asked for.
        name: String,
    },
}

// === impl Discovery ===

impl Discovery {
    /// Looks in caches.
    #[must_use]
    pub fn new(groups: Cache<PushGroup>, pods: Cache<Pod>) -> Self {
        Self { groups, pods }
    }

    /// The running sidecars of a group, in the order of their pods' names.
    ///
    /// # Errors
    /// When it is not known whether there is such a group, or which pods it has, and when there is none.
    pub fn targets(&self, namespace: &str, name: &str) -> Result<Vec<TargetGroup>, DiscoveryError> {
        if !self.groups.is_known() || !self.pods.is_known() {
            return Err(DiscoveryError::NotKnown);
        }
        let group = self.groups.get(&ObjectRef::new(name).within(namespace));
        let Some(group) = group else {
            return Err(DiscoveryError::NoSuchGroup { namespace: namespace.to_owned(), name: name.to_owned() });
        };
        let pods = self.pods.of_group(namespace, Some(name));
        let mut targets: Vec<_> = pods.iter().filter_map(|pod| target(pod)).collect();
        targets.sort_by(|one, other| one.pod.cmp(&other.pod));
        let (interval, timeout) = times(&group);
        let told = targets.into_iter().map(|target| TargetGroup {
            targets: vec![SocketAddr::new(target.address, SCRAPE_PORT).to_string()],
            labels: BTreeMap::from([
                ("namespace", namespace.to_owned()),
                ("pod", target.pod),
                ("container", SIDECAR_CONTAINER.to_owned()),
                ("__meta_sidegate_pushgroup", name.to_owned()),
                ("__meta_sidegate_pod_uid", target.uid),
                ("__scrape_interval__", interval.clone()),
                ("__scrape_timeout__", timeout.clone()),
            ]),
        });
        Ok(told.collect())
    }
}

/// The interval and the time-out of a group. Prometheus drops a target whose time-out is the longer one.
fn times(group: &PushGroup) -> (String, String) {
    let scrape = &group.spec.scrape;
    let timeout = match &scrape.scrape_timeout {
        Some(timeout) => timeout.to_string(),
        None if scrape.interval.length() < USUAL_TIMEOUT => scrape.interval.to_string(),
        None => format!("{}s", USUAL_TIMEOUT.as_secs()),
    };
    (scrape.interval.to_string(), timeout)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{cache::cache, monitors::tests::group};

    fn pod(name: &str, group: &str, address: &str, phase: &str) -> Pod {
        let sidecar = json!({
            "name": "sidegate", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": "",
        });
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "data", "name": name, "uid": format!("uid-{name}"),
                "labels": {"sidegate.dev/pushgroup": group},
            },
            "status": {"phase": phase, "podIP": address, "initContainerStatuses": [sidecar]},
        }))
        .unwrap()
    }

    /// The group `nightly` of the namespace `data` with two pods, beside other pods.
    pub(crate) fn discovery() -> Discovery {
        let pods = vec![
            pod("etl-2", "nightly", "fd00::7", "Running"),
            pod("etl-1", "nightly", "10.0.0.7", "Running"),
            pod("over", "nightly", "10.0.0.8", "Succeeded"),
            pod("other", "hourly", "10.0.0.9", "Running"),
        ];
        Discovery::new(Cache::of(vec![group()]), Cache::of(pods))
    }

    #[test]
    fn running_sidecars_are_told_with_their_pods() {
        let told = serde_json::to_value(discovery().targets("data", "nightly").unwrap()).unwrap();
        let labels = |pod: &str| {
            json!({
                "namespace": "data", "pod": pod, "container": "sidegate",
                "__meta_sidegate_pushgroup": "nightly", "__meta_sidegate_pod_uid": format!("uid-{pod}"),
                "__scrape_interval__": "30s", "__scrape_timeout__": "10s",
            })
        };
        let expected: Value = json!([
            {"targets": ["10.0.0.7:19091"], "labels": labels("etl-1")},
            {"targets": ["[fd00::7]:19091"], "labels": labels("etl-2")},
        ]);
        assert_eq!(told, expected);
    }

    #[test]
    fn a_group_without_pods_has_an_empty_list_and_an_unknown_one_has_none() {
        let discovery = Discovery::new(Cache::of(vec![group()]), Cache::of(Vec::new()));
        assert_eq!(discovery.targets("data", "nightly"), Ok(Vec::new()));
        let error = discovery.targets("data", "weekly").unwrap_err().to_string();
        assert_eq!(error, "expected a PushGroup weekly in the namespace data, found none");
    }

    #[test]
    fn what_is_not_known_yet_is_no_empty_list() {
        let (unknown, _writer) = cache();
        let discovery = Discovery::new(Cache::of(vec![group()]), unknown);
        assert_eq!(discovery.targets("data", "nightly"), Err(DiscoveryError::NotKnown));
    }

    #[test]
    fn the_time_out_is_never_longer_than_the_interval() {
        let mut group = group();
        let mut check = |interval: &str, timeout: Option<&str>, expected: &str| {
            group.spec.scrape.interval = interval.parse().unwrap();
            group.spec.scrape.scrape_timeout = timeout.map(|timeout| timeout.parse().unwrap());
            assert_eq!(times(&group), (interval.to_owned(), expected.to_owned()));
        };
        check("2s", None, "2s");
        check("1m", None, "10s");
        check("1m", Some("30s"), "30s");
    }
}
