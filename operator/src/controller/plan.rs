//! What is to be applied and removed for a group, from what exists. Pure.
//!
//! An object of ours is applied in full each time; one of somebody else's is neither applied nor removed, only told.
//!
//! *Never:* the client, async, the status.

use std::collections::BTreeMap;

use crds::{
    names::{MANAGED_BY, MANAGED_BY_LABEL},
    scrape::{MonitorKind, Scrape},
};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::ObjectMeta;
use protocol::trust::{CONFIG_MAP_NAME, OPERATOR_KEYS_FILE, PublicKey, print_operator_keys};

use super::observe::{Existing, Found};
use crate::monitors::{
    Owner,
    api::{PodMonitor, ServiceMonitor},
    pod_monitor, service, service_monitor,
};

/// All that is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What sidecars of the namespace are to trust.
    pub trust: ConfigMap,
    /// Objects to apply.
    pub apply: Vec<Desired>,
    /// Objects to remove, with their UIDs.
    pub remove: Vec<(Kind, String)>,
    /// Kinds whose object of that name is somebody else's.
    pub foreign: Vec<Kind>,
}

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Desired {
    /// The headless Service.
    Service(Box<Service>),
    /// The ServiceMonitor.
    ServiceMonitor(Box<ServiceMonitor>),
    /// The PodMonitor.
    PodMonitor(Box<PodMonitor>),
}

/// A kind of object that a group may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Service.
    Service,
    /// A ServiceMonitor.
    ServiceMonitor,
    /// A PodMonitor.
    PodMonitor,
}

/// Plans the objects of a group.
#[must_use]
pub fn plan(owner: &Owner<'_>, existing: &Existing, keys: &[PublicKey]) -> Plan {
    let mut plan = Plan { trust: trust(owner, keys), apply: Vec::new(), remove: Vec::new(), foreign: Vec::new() };
    let wanted = owner.scrape.kind;
    for (kind, found) in [
        (Kind::Service, &existing.service),
        (Kind::ServiceMonitor, &existing.service_monitor),
        (Kind::PodMonitor, &existing.pod_monitor),
    ] {
        match (kind.is_part_of(wanted), found) {
            (true, Found::Absent | Found::Ours { .. }) => plan.apply.push(kind.desired(owner)),
            (true, Found::Foreign) => plan.foreign.push(kind),
            (false, Found::Ours { uid, managed: true }) => plan.remove.push((kind, uid.clone())),
            (false, Found::Absent | Found::Ours { managed: false, .. } | Found::Foreign) => {}
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
    match existing.service_monitor {
        Found::Absent | Found::Ours { .. } => plan.apply.push(Desired::ServiceMonitor(Box::new(monitor))),
        Found::Foreign => plan.foreign.push(Kind::ServiceMonitor),
    }
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

// === impl Kind ===

impl Kind {
    /// As Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::ServiceMonitor => "ServiceMonitor",
            Self::PodMonitor => "PodMonitor",
        }
    }

    fn is_part_of(self, wanted: MonitorKind) -> bool {
        match wanted {
            MonitorKind::ServiceMonitor => matches!(self, Self::Service | Self::ServiceMonitor),
            MonitorKind::PodMonitor => self == Self::PodMonitor,
            MonitorKind::None => false,
        }
    }

    fn desired(self, owner: &Owner<'_>) -> Desired {
        match self {
            Self::Service => Desired::Service(Box::new(service::build(owner))),
            Self::ServiceMonitor => Desired::ServiceMonitor(Box::new(service_monitor::build(owner))),
            Self::PodMonitor => Desired::PodMonitor(Box::new(pod_monitor::build(owner))),
        }
    }
}

// === impl Desired ===

impl Desired {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::ServiceMonitor(_) => Kind::ServiceMonitor,
            Self::PodMonitor(_) => Kind::PodMonitor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{golden, monitors::tests::group};

    const NOTHING: Existing =
        Existing { service: Found::Absent, service_monitor: Found::Absent, pod_monitor: Found::Absent };

    fn ours(managed: bool) -> Found {
        Found::Ours { uid: "7".to_owned(), managed }
    }

    /// What is applied, removed and left to others.
    #[track_caller]
    fn check(wanted: MonitorKind, existing: &Existing, expected: &str) {
        let mut group = group();
        group.spec.scrape.kind = wanted;
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
        check(MonitorKind::ServiceMonitor, &NOTHING, "apply [Service ServiceMonitor] remove [] foreign []");
        check(MonitorKind::PodMonitor, &NOTHING, "apply [PodMonitor] remove [] foreign []");
        check(MonitorKind::None, &NOTHING, "apply [] remove [] foreign []");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_removed() {
        let all = Existing { service: ours(true), service_monitor: ours(true), pod_monitor: ours(true) };
        check(MonitorKind::PodMonitor, &all, "apply [PodMonitor] remove [Service ServiceMonitor] foreign []");
        check(MonitorKind::None, &all, "apply [] remove [Service ServiceMonitor PodMonitor] foreign []");
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
        assert_eq!(kinds(&NOTHING, monitor()), (vec![Kind::ServiceMonitor], vec![], vec![]));
        let all = Existing { service: ours(true), service_monitor: ours(true), pod_monitor: ours(true) };
        let of_sidecars = vec![Kind::Service, Kind::PodMonitor];
        assert_eq!(kinds(&all, monitor()), (vec![Kind::ServiceMonitor], of_sidecars, vec![]));
        let three = vec![Kind::Service, Kind::ServiceMonitor, Kind::PodMonitor];
        assert_eq!(kinds(&all, None), (vec![], three, vec![]));
        let foreign = Existing { service_monitor: Found::Foreign, ..NOTHING };
        assert_eq!(kinds(&foreign, monitor()), (vec![], vec![], vec![Kind::ServiceMonitor]));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let foreign = Existing { service: Found::Foreign, service_monitor: ours(false), pod_monitor: ours(false) };
        check(MonitorKind::ServiceMonitor, &foreign, "apply [ServiceMonitor] remove [] foreign [Service]");
        check(MonitorKind::None, &foreign, "apply [] remove [] foreign []");
    }

    #[test]
    fn the_trust_is_the_golden_one() {
        let group = group();
        golden::check("trust.yaml", &plan(&Owner::of(&group).unwrap(), &NOTHING, &[[7; 32], [8; 32]]).trust);
    }
}
