//! The objects by which Prometheus finds the sidecars of a group, a headless Service with a ServiceMonitor, or a
//! PodMonitor, and the NetworkPolicy that lets it through to them. All of a group's objects have one name and the group
//! as their owner.
//!
//! The tenant boundary is in the monitor: its last relabelings pin `namespace`, whatever a pod pushes and whatever
//! relabelings come before; the CRD lets no relabeling say where a target is.
//!
//! *Never:* applying, who else has an object of that name.

pub mod api;
pub mod gateway_monitor;
pub mod monitoring;
pub mod network_policy;
pub mod pod_monitor;
pub mod prometheus;
pub mod selection;
pub mod service;
pub mod service_monitor;
pub mod undeclared;

use std::collections::BTreeMap;

use crds::{
    PushGroup,
    names::{MANAGED_BY, MANAGED_BY_LABEL, PUSH_GROUP_LABEL},
    scrape::{MonitorKind, Relabeling, Scrape},
    sidecar::Timestamps,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, api::ObjectMeta};
use protocol::endpoints::{METRICS_PATH, SCRAPE_PORT_NAME};

use self::{
    api::{Endpoint, Limits},
    selection::Monitored,
};

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
    /// Labels that every monitor has, but where the group has another of the name.
    pub monitor_labels: &'a BTreeMap<String, String>,
    /// The namespace of the operator.
    pub operator_namespace: &'a str,
    /// Whether its sidecars expose pushed timestamps.
    pub has_timestamps: bool,
}

/// No labels.
static NONE: BTreeMap<String, String> = BTreeMap::new();

// === impl Owner ===

impl<'a> Owner<'a> {
    /// Takes what is needed; a group that the API server made has all of it.
    #[must_use]
    pub fn of(group: &'a PushGroup) -> Option<Self> {
        let metadata = &group.metadata;
        let (name, namespace) = (metadata.name.as_deref()?, metadata.namespace.as_deref()?);
        let has_timestamps = group.spec.sidecar.timestamps == Some(Timestamps::Honor);
        let (uid, scrape) = (metadata.uid.as_deref()?, &group.spec.scrape);
        Some(Self { name, namespace, uid, scrape, monitor_labels: &NONE, operator_namespace: "", has_timestamps })
    }

    /// With labels that every monitor has.
    #[must_use]
    pub fn with_monitor_labels(self, monitor_labels: &'a BTreeMap<String, String>) -> Self {
        Self { monitor_labels, ..self }
    }

    /// With the namespace of the operator.
    #[must_use]
    pub fn with_operator_namespace(self, operator_namespace: &'a str) -> Self {
        Self { operator_namespace, ..self }
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

    /// What a Prometheus decides by whether to take the group's monitor of a kind; `None` where there is to be none.
    #[must_use]
    pub fn monitored(&self, kind: MonitorKind) -> Option<Monitored> {
        let kind = match kind {
            MonitorKind::ServiceMonitor => selection::Kind::ServiceMonitor,
            MonitorKind::PodMonitor => selection::Kind::PodMonitor,
            MonitorKind::None => return None,
        };
        let labels = self.monitor_metadata().labels.unwrap_or_default();
        Some(Monitored { kind, namespace: self.namespace.to_owned(), name: self.object_name(), labels })
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

    /// Of the monitor; its group's labels stand over those of every monitor, and ours over both.
    fn monitor_metadata(&self) -> ObjectMeta {
        let mut labels = self.monitor_labels.clone();
        labels.extend(self.scrape.labels.clone());
        self.metadata(labels)
    }

    fn metadata(&self, mut labels: BTreeMap<String, String>) -> ObjectMeta {
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
        let scrape = self.scrape;
        Endpoint {
            port: SCRAPE_PORT_NAME.to_owned(),
            path: METRICS_PATH.to_owned(),
            interval: scrape.interval.to_string(),
            scrape_timeout: scrape.scrape_timeout.as_ref().map(ToString::to_string),
            honor_labels: true,
            honor_timestamps: self.has_timestamps,
            // Or a group that was removed would be seen for five minutes yet.
            track_timestamps_staleness: self.has_timestamps.then_some(true),
            // A target's own namespace needs no pin where nobody relabels it.
            relabelings: match scrape.relabelings.as_slice() {
                [] => Vec::new(),
                relabelings => self.pinned(relabelings),
            },
            metric_relabelings: self.pinned(&scrape.metric_relabelings),
            ..Endpoint::default()
        }
    }

    /// Relabelings, and at last the namespace, whatever they did to it.
    fn pinned(&self, relabelings: &[Relabeling]) -> Vec<Relabeling> {
        let pin = Relabeling {
            action: Some("replace".to_owned()),
            target_label: Some("namespace".to_owned()),
            replacement: Some(self.namespace.to_owned()),
            ..Relabeling::default()
        };
        relabelings.iter().cloned().chain([pin]).collect()
    }

    fn limits(&self) -> Limits {
        let scrape = self.scrape;
        Limits {
            sample_limit: scrape.sample_limit,
            target_limit: scrape.target_limit,
            label_limit: scrape.label_limit,
            label_name_length_limit: scrape.label_name_length_limit,
            label_value_length_limit: scrape.label_value_length_limit,
            keep_dropped_targets: scrape.keep_dropped_targets,
            body_size_limit: scrape.body_size_limit.clone(),
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
                    "relabelings": [{"targetLabel": "namespace", "replacement": "stolen"}],
                    "metricRelabelings": [{"action": "labeldrop", "regex": "tmp_.*"}],
                    "sampleLimit": 1000,
                    "bodySizeLimit": "10MB",
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
    fn timestamps_are_honored_where_sidecars_expose_them() {
        let mut group = group();
        let times = |group: &PushGroup| {
            let endpoint = Owner::of(group).unwrap().endpoint();
            (endpoint.honor_timestamps, endpoint.track_timestamps_staleness)
        };
        assert_eq!(times(&group), (false, None));
        group.spec.sidecar.timestamps = Some(Timestamps::Strip);
        assert_eq!(times(&group), (false, None));
        group.spec.sidecar.timestamps = Some(Timestamps::Honor);
        assert_eq!(times(&group), (true, Some(true)));
    }

    #[test]
    fn no_relabeling_comes_after_the_one_that_pins_the_namespace() {
        let group = group();
        let endpoint = Owner::of(&group).unwrap().endpoint();
        for relabelings in [&endpoint.relabelings, &endpoint.metric_relabelings] {
            let last = relabelings.last().unwrap();
            assert_eq!((last.target_label.as_deref(), last.replacement.as_deref()), (Some("namespace"), Some("data")));
            assert_eq!((last.regex.as_deref(), last.source_labels.as_slice()), (None, &[][..]), "it always matches");
        }
    }

    #[test]
    fn labels_of_every_monitor_give_way_to_those_of_the_group() {
        let group = group();
        let labels = ["release", "team"].map(|name| (name.to_owned(), "default".to_owned())).into();
        let found = Owner::of(&group).unwrap().with_monitor_labels(&labels).monitor_metadata().labels.unwrap();
        assert_eq!((found["release"].as_str(), found["team"].as_str()), ("stack", "default"));
        let without = Owner::of(&group).unwrap().monitor_metadata().labels.unwrap();
        assert!(!without.contains_key("team"), "{without:?}");
    }

    #[test]
    fn the_longest_name_is_a_dns_label() {
        let mut group = group();
        group.metadata.name = Some("a".repeat(crds::push_group::NAME_MAX));
        assert!(Owner::of(&group).unwrap().object_name().len() <= 63);
    }
}
