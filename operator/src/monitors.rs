//! The objects by which Prometheus finds the sidecars of a group: a headless Service with a ServiceMonitor, or a
//! PodMonitor. All of a group's objects have one name and the group as their owner.
//!
//! The tenant boundary is in the monitor: its last relabeling pins `namespace`, whatever a pod pushes.
//!
//! *Never:* applying, who else has an object of that name.

pub mod api;
pub mod gateway_monitor;
pub mod pod_monitor;
pub mod service;
pub mod service_monitor;

use std::collections::BTreeMap;

use crds::{
    PushGroup,
    names::{MANAGED_BY, MANAGED_BY_LABEL, PUSH_GROUP_LABEL},
    scrape::{Relabeling, Scrape},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, api::ObjectMeta};
use protocol::endpoints::{METRICS_PATH, SCRAPE_PORT_NAME};

use self::api::Endpoint;

/// Of a `PushGroup`, what its objects are made from.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace, which is that of its objects.
    pub namespace: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// How it wants to be scraped.
    pub scrape: &'a Scrape,
}

// === impl Owner ===

impl<'a> Owner<'a> {
    /// Takes what is needed; a group that the API server made has all of it.
    #[must_use]
    pub fn of(group: &'a PushGroup) -> Option<Self> {
        let metadata = &group.metadata;
        let (name, namespace) = (metadata.name.as_deref()?, metadata.namespace.as_deref()?);
        Some(Self { name, namespace, uid: metadata.uid.as_deref()?, scrape: &group.spec.scrape })
    }

    /// The name of its objects; with a name of at most 50 characters it is a DNS label.
    #[must_use]
    pub fn object_name(&self) -> String {
        format!("sidegate-{}", self.name)
    }

    /// The reference that removes an object with its group.
    #[must_use]
    pub fn reference(&self, controller: bool) -> OwnerReference {
        OwnerReference {
            api_version: PushGroup::api_version(&()).into_owned(),
            kind: PushGroup::kind(&()).into_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: controller.then_some(true),
            block_owner_deletion: None,
        }
    }

    /// Labels of its objects, by which a monitor selects the Service.
    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
            (PUSH_GROUP_LABEL.to_owned(), self.name.to_owned()),
        ])
    }

    /// The label its pods got at admission.
    fn pod_labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(PUSH_GROUP_LABEL.to_owned(), self.name.to_owned())])
    }

    fn metadata(&self, more_labels: &BTreeMap<String, String>) -> ObjectMeta {
        let mut labels = more_labels.clone();
        labels.extend(self.labels());
        ObjectMeta {
            name: Some(self.object_name()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![self.reference(true)]),
            ..ObjectMeta::default()
        }
    }

    /// How each sidecar is scraped, by either kind of monitor.
    fn endpoint(&self) -> Endpoint {
        let mut metric_relabelings = self.scrape.metric_relabelings.clone();
        metric_relabelings.push(Relabeling {
            action: Some("replace".to_owned()),
            target_label: Some("namespace".to_owned()),
            replacement: Some(self.namespace.to_owned()),
            ..Relabeling::default()
        });
        Endpoint {
            port: SCRAPE_PORT_NAME.to_owned(),
            path: METRICS_PATH.to_owned(),
            interval: self.scrape.interval.to_string(),
            honor_labels: true,
            metric_relabelings,
            ..Endpoint::default()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::golden;

    /// A group with all that a monitor takes from it.
    pub(crate) fn group() -> PushGroup {
        serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1",
            "kind": "PushGroup",
            "metadata": {"name": "nightly", "namespace": "data", "uid": "uid-1", "generation": 3},
            "spec": {
                "selector": {"matchLabels": {"app": "etl"}},
                "staleAfter": "1h",
                "scrape": {
                    "interval": "30s",
                    "labels": {"release": "stack", "app.kubernetes.io/managed-by": "somebody"},
                    "metricRelabelings": [{"action": "labeldrop", "regex": "tmp_.*"}],
                },
            },
        }))
        .unwrap()
    }

    #[test]
    fn objects_are_the_golden_ones() {
        let group = group();
        let owner = Owner::of(&group).unwrap();
        golden::check("service.yaml", &service::build(&owner));
        golden::check("service-monitor.yaml", &service_monitor::build(&owner));
        golden::check("pod-monitor.yaml", &pod_monitor::build(&owner));
    }

    #[test]
    fn the_longest_name_is_a_dns_label() {
        let mut group = group();
        group.metadata.name = Some("a".repeat(crds::push_group::NAME_MAX));
        assert!(Owner::of(&group).unwrap().object_name().len() <= 63);
    }
}
