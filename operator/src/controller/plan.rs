//! What is to be applied and removed for a group, from what exists. Pure.
//!
//! An object of ours is applied in full each time, and as it was seen, so that it cannot have become somebody else's in
//! between; one of somebody else's is neither applied nor removed, only told.
//!
//! *Never:* the client, async, the status.

use std::collections::BTreeMap;

use crds::{
    names::{MANAGED_BY, MANAGED_BY_LABEL},
    scrape::{MonitorKind, Scrape},
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Service},
    networking::v1::NetworkPolicy,
};
use kube::api::ObjectMeta;
use protocol::trust::{CONFIG_MAP_NAME, OPERATOR_KEYS_FILE, PublicKey, print_operator_keys};

use super::observe::{Existing, Found, Seen};
use crate::monitors::{
    Owner,
    api::{PodMonitor, ServiceMonitor},
    network_policy, pod_monitor, service, service_monitor,
};

/// All that is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Objects to apply.
    pub apply: Vec<Desired>,
    /// Objects to remove, as they were seen.
    pub remove: Vec<(Kind, Seen)>,
    /// Kinds whose object of that name is somebody else's.
    pub foreign: Vec<Kind>,
}

/// An object as it should be; with the UID and the version that were seen if it is there already.
#[derive(Clone, Debug, PartialEq)]
pub enum Desired {
    /// What sidecars of the namespace are to trust.
    ConfigMap(Box<ConfigMap>),
    /// The headless Service.
    Service(Box<Service>),
    /// The ServiceMonitor.
    ServiceMonitor(Box<ServiceMonitor>),
    /// The PodMonitor.
    PodMonitor(Box<PodMonitor>),
    /// The NetworkPolicy.
    NetworkPolicy(Box<NetworkPolicy>),
}

/// A kind of object that a group may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The ConfigMap of the namespace.
    ConfigMap,
    /// A Service.
    Service,
    /// A ServiceMonitor.
    ServiceMonitor,
    /// A PodMonitor.
    PodMonitor,
    /// A NetworkPolicy.
    NetworkPolicy,
}

/// Plans the objects of a group.
#[must_use]
pub fn plan(owner: &Owner<'_>, existing: &Existing, keys: &[PublicKey]) -> Plan {
    let mut plan = Plan { apply: Vec::new(), remove: Vec::new(), foreign: Vec::new() };
    for (kind, found) in [
        (Kind::ConfigMap, &existing.trust),
        (Kind::Service, &existing.service),
        (Kind::ServiceMonitor, &existing.service_monitor),
        (Kind::PodMonitor, &existing.pod_monitor),
        (Kind::NetworkPolicy, &existing.network_policy),
    ] {
        match (kind.is_part_of(owner.scrape), found) {
            (true, found) => plan.apply_unless_foreign(kind.desired(owner, keys), found),
            (false, Found::Ours { seen, managed: true }) => plan.remove.push((kind, seen.clone())),
            (false, Found::Absent | Found::Ours { managed: false, .. } | Found::Left { .. } | Found::Foreign) => {}
        }
    }
    plan
}

/// Plans the objects of a group that has a gateway: none for sidecars, and the monitor of the gateway's Service, if one is
/// wanted.
#[must_use]
pub fn plan_for_gateway(
    owner: &Owner<'_>,
    existing: &Existing,
    keys: &[PublicKey],
    monitor: Option<ServiceMonitor>,
) -> Plan {
    let nothing = Scrape { kind: MonitorKind::None, ..Scrape::default() };
    let mut plan = plan(&Owner { scrape: &nothing, ..*owner }, existing, keys);
    let Some(monitor) = monitor else { return plan };
    plan.remove.retain(|(kind, _)| *kind != Kind::ServiceMonitor);
    plan.apply_unless_foreign(Desired::ServiceMonitor(Box::new(monitor)), &existing.service_monitor);
    plan
}

/// One ConfigMap for the namespace; each of its groups owns it, so that it goes with the last.
fn trust(owner: &Owner<'_>, keys: &[PublicKey]) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(CONFIG_MAP_NAME.to_owned()),
            namespace: Some(owner.namespace.to_owned()),
            labels: Some(BTreeMap::from([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())])),
            owner_references: Some(vec![owner.reference(false)]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(OPERATOR_KEYS_FILE.to_owned(), print_operator_keys(keys))])),
        ..ConfigMap::default()
    }
}

// === impl Plan ===

impl Plan {
    fn apply_unless_foreign(&mut self, mut desired: Desired, found: &Found) {
        match found {
            Found::Absent | Found::Left { .. } => self.apply.push(desired),
            Found::Ours { seen, .. } => {
                desired.expect(Some(seen));
                self.apply.push(desired);
            }
            Found::Foreign => self.foreign.push(desired.kind()),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// As Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::ServiceMonitor => "ServiceMonitor",
            Self::PodMonitor => "PodMonitor",
            Self::NetworkPolicy => "NetworkPolicy",
        }
    }

    /// The name of a group's object of this kind.
    #[must_use]
    pub fn name(self, owner: &Owner<'_>) -> String {
        match self {
            Self::ConfigMap => CONFIG_MAP_NAME.to_owned(),
            Self::Service | Self::ServiceMonitor | Self::PodMonitor | Self::NetworkPolicy => owner.object_name(),
        }
    }

    /// Whether Prometheus takes it.
    #[must_use]
    pub fn is_monitor(self) -> bool {
        match self {
            Self::ServiceMonitor | Self::PodMonitor => true,
            Self::ConfigMap | Self::Service | Self::NetworkPolicy => false,
        }
    }

    fn is_part_of(self, wanted: &Scrape) -> bool {
        match self {
            Self::ConfigMap => true,
            Self::Service | Self::ServiceMonitor => wanted.kind == MonitorKind::ServiceMonitor,
            Self::PodMonitor => wanted.kind == MonitorKind::PodMonitor,
            Self::NetworkPolicy => wanted.network_policy.is_some(),
        }
    }

    fn desired(self, owner: &Owner<'_>, keys: &[PublicKey]) -> Desired {
        match self {
            Self::ConfigMap => Desired::ConfigMap(Box::new(trust(owner, keys))),
            Self::Service => Desired::Service(Box::new(service::build(owner))),
            Self::ServiceMonitor => Desired::ServiceMonitor(Box::new(service_monitor::build(owner))),
            Self::PodMonitor => Desired::PodMonitor(Box::new(pod_monitor::build(owner))),
            Self::NetworkPolicy => Desired::NetworkPolicy(Box::new(network_policy::build(owner))),
        }
    }
}

// === impl Desired ===

impl Desired {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::Service(_) => Kind::Service,
            Self::ServiceMonitor(_) => Kind::ServiceMonitor,
            Self::PodMonitor(_) => Kind::PodMonitor,
            Self::NetworkPolicy(_) => Kind::NetworkPolicy,
        }
    }

    /// Has it applied only to what was seen, or, of `None`, to whatever is found.
    pub fn expect(&mut self, seen: Option<&Seen>) {
        let metadata = self.metadata();
        metadata.uid = seen.map(|seen| seen.uid.clone());
        metadata.resource_version = seen.and_then(|seen| seen.version.clone());
    }

    /// What it is called, and as what it was seen.
    fn metadata(&mut self) -> &mut ObjectMeta {
        match self {
            Self::ConfigMap(object) => &mut object.metadata,
            Self::Service(object) => &mut object.metadata,
            Self::ServiceMonitor(object) => &mut object.metadata,
            Self::PodMonitor(object) => &mut object.metadata,
            Self::NetworkPolicy(object) => &mut object.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use crds::scrape::ScrapePolicy;

    use super::*;
    use crate::{golden, monitors::tests::group};

    const NOTHING: Existing = Existing {
        trust: Found::Absent,
        service: Found::Absent,
        service_monitor: Found::Absent,
        pod_monitor: Found::Absent,
        network_policy: Found::Absent,
    };

    fn ours(managed: bool) -> Found {
        Found::Ours { seen: Seen { uid: "7".to_owned(), version: Some("12".to_owned()) }, managed }
    }

    fn all_ours() -> Existing {
        Existing {
            trust: ours(true),
            service: ours(true),
            service_monitor: ours(true),
            pod_monitor: ours(true),
            network_policy: ours(true),
        }
    }

    /// What is applied, removed and left to others.
    #[track_caller]
    fn check(wanted: MonitorKind, existing: &Existing, expected: &str) {
        check_scrape(&Scrape { kind: wanted, ..Scrape::default() }, existing, expected);
    }

    #[track_caller]
    fn check_scrape(wanted: &Scrape, existing: &Existing, expected: &str) {
        let mut group = group();
        group.spec.scrape = wanted.clone();
        let plan = plan(&Owner::of(&group).unwrap(), existing, &[]);
        let kinds = |kinds: Vec<Kind>| kinds.into_iter().map(Kind::as_str).collect::<Vec<_>>().join(" ");
        let found = format!(
            "apply [{}] remove [{}] foreign [{}]",
            kinds(plan.apply.iter().map(Desired::kind).collect()),
            kinds(plan.remove.iter().map(|(kind, _)| *kind).collect()),
            kinds(plan.foreign),
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn the_kind_of_monitor_decides_what_there_is() {
        check(MonitorKind::ServiceMonitor, &NOTHING, "apply [ConfigMap Service ServiceMonitor] remove [] foreign []");
        check(MonitorKind::PodMonitor, &NOTHING, "apply [ConfigMap PodMonitor] remove [] foreign []");
        check(MonitorKind::None, &NOTHING, "apply [ConfigMap] remove [] foreign []");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_removed() {
        let expected = "apply [ConfigMap PodMonitor] remove [Service ServiceMonitor NetworkPolicy] foreign []";
        check(MonitorKind::PodMonitor, &all_ours(), expected);
        let expected = "apply [ConfigMap] remove [Service ServiceMonitor PodMonitor NetworkPolicy] foreign []";
        check(MonitorKind::None, &all_ours(), expected);
    }

    #[test]
    fn there_is_a_network_policy_where_one_is_asked_for_whatever_the_monitor() {
        let with = |kind| Scrape { kind, network_policy: Some(ScrapePolicy::default()), ..Scrape::default() };
        let expected = "apply [ConfigMap PodMonitor NetworkPolicy] remove [] foreign []";
        check_scrape(&with(MonitorKind::PodMonitor), &NOTHING, expected);
        let none = with(MonitorKind::None);
        check_scrape(&none, &NOTHING, "apply [ConfigMap NetworkPolicy] remove [] foreign []");
        let foreign = Existing { network_policy: Found::Foreign, ..NOTHING };
        check_scrape(&none, &foreign, "apply [ConfigMap] remove [] foreign [NetworkPolicy]");
        check(MonitorKind::None, &foreign, "apply [ConfigMap] remove [] foreign []");
    }

    #[test]
    fn a_gateway_has_the_monitor_of_its_service_and_nothing_else() {
        let group = group();
        let owner = Owner::of(&group).unwrap();
        let kinds = |existing: &Existing, monitor: Option<ServiceMonitor>| {
            let plan = plan_for_gateway(&owner, existing, &[], monitor);
            let applied: Vec<_> = plan.apply.iter().map(Desired::kind).collect();
            let removed: Vec<_> = plan.remove.iter().map(|(kind, _)| *kind).collect();
            (applied, removed, plan.foreign)
        };
        let monitor = || Some(service_monitor::build(&owner));
        let both = || vec![Kind::ConfigMap, Kind::ServiceMonitor];
        assert_eq!(kinds(&NOTHING, monitor()), (both(), vec![], vec![]));
        let of_sidecars = vec![Kind::Service, Kind::PodMonitor, Kind::NetworkPolicy];
        assert_eq!(kinds(&all_ours(), monitor()), (both(), of_sidecars, vec![]));
        let four = vec![Kind::Service, Kind::ServiceMonitor, Kind::PodMonitor, Kind::NetworkPolicy];
        assert_eq!(kinds(&all_ours(), None), (vec![Kind::ConfigMap], four, vec![]));
        let foreign = Existing { service_monitor: Found::Foreign, ..NOTHING };
        assert_eq!(kinds(&foreign, monitor()), (vec![Kind::ConfigMap], vec![], vec![Kind::ServiceMonitor]));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let foreign = Existing {
            trust: Found::Foreign,
            service: Found::Foreign,
            service_monitor: ours(false),
            pod_monitor: ours(false),
            network_policy: ours(false),
        };
        let expected = "apply [ServiceMonitor] remove [] foreign [ConfigMap Service]";
        check(MonitorKind::ServiceMonitor, &foreign, expected);
        check(MonitorKind::None, &foreign, "apply [] remove [] foreign [ConfigMap]");
    }

    #[test]
    fn what_a_group_of_the_same_name_left_is_made_anew_where_it_is_wanted() {
        let left = || Found::Left { uid: "7".to_owned() };
        let existing = Existing { service: left(), service_monitor: left(), pod_monitor: left(), ..NOTHING };
        check(MonitorKind::ServiceMonitor, &existing, "apply [ConfigMap Service ServiceMonitor] remove [] foreign []");
        let group = group();
        let plan = plan(&Owner::of(&group).unwrap(), &existing, &[]);
        assert!(plan.apply.into_iter().all(|mut desired| desired.metadata().uid.is_none()));
    }

    #[test]
    fn an_object_that_is_there_is_applied_as_it_was_seen() {
        let group = group();
        let existing = Existing { service: ours(true), ..NOTHING };
        let plan = plan(&Owner::of(&group).unwrap(), &existing, &[]);
        let seen = |mut desired: Desired| {
            let metadata = desired.metadata();
            (metadata.uid.take(), metadata.resource_version.take())
        };
        let seen: Vec<_> = plan.apply.into_iter().map(seen).collect();
        assert_eq!(seen, [(None, None), (Some("7".to_owned()), Some("12".to_owned())), (None, None)]);
    }

    #[test]
    fn the_monitor_of_a_gateway_is_applied_by_its_uid() {
        let group = group();
        let owner = Owner::of(&group).unwrap();
        let existing = Existing { service_monitor: ours(true), ..NOTHING };
        let plan = plan_for_gateway(&owner, &existing, &[], Some(service_monitor::build(&owner)));
        let uids: Vec<_> = plan.apply.into_iter().map(|mut desired| desired.metadata().uid.clone()).collect();
        assert_eq!(uids, [None, Some("7".to_owned())]);
    }

    #[test]
    fn the_trust_is_the_golden_one() {
        let group = group();
        golden::check("trust.yaml", &trust(&Owner::of(&group).unwrap(), &[[7; 32], [8; 32]]));
    }
}
