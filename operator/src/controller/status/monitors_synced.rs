//! `MonitorsSynced`: whether the objects of a group are as they should be, and let Prometheus find all pods.
//!
//! *Never:* who takes the monitor.

use crds::status::reason;

use super::{Facts, Verdict};
use crate::controller::apply::{ForeignObject, Outcome};

/// By Endpoints Prometheus finds a thousand pods; whoever gets near is to know before.
const MEMBERS_BY_ENDPOINTS: u64 = 900;

pub(super) fn monitors_synced(facts: &Facts<'_>) -> Verdict {
    match facts.monitors {
        Outcome::AppliedByEndpoints if facts.sidecars.is_some_and(|found| MEMBERS_BY_ENDPOINTS < found.running) => {
            let sidecars = facts.sidecars.unwrap_or_default().running;
            Verdict::no(
                reason::TOO_MANY_MEMBERS,
                format!(
                    "{sidecars} pods, of which Prometheus finds at most 1000 by Endpoints: set \
                     spec.scrape.serviceDiscoveryRole to EndpointSlice, which newer CRDs of the Prometheus Operator \
                     have, or spec.scrape.kind to PodMonitor"
                ),
            )
        }
        Outcome::Applied | Outcome::AppliedByEndpoints => {
            Verdict::yes(reason::APPLIED, "The monitor is as asked for".to_owned())
        }
        Outcome::NotWanted => Verdict::yes(reason::NOT_WANTED, "No monitor is asked for".to_owned()),
        Outcome::ApiAbsent => Verdict::no(
            reason::MONITORING_API_ABSENT,
            "The API server does not know the kind of monitor: install the Prometheus Operator's CRDs, \
             or set spec.scrape.kind to None"
                .to_owned(),
        ),
        Outcome::LeftToOlder(older) => Verdict::yes(
            reason::OLDER_PUSH_GROUP,
            format!("PushGroup {older}, which is older, names the same gateway, and has its monitor"),
        ),
        Outcome::ServiceUnfit { what, stands: true } => Verdict::no(
            reason::SERVICE_UNFIT,
            format!("The monitor stands, made by what was known of the gateway before: {what}"),
        ),
        Outcome::ServiceUnfit { what, stands: false } => {
            Verdict::no(reason::SERVICE_UNFIT, format!("No monitor: {what}"))
        }
        Outcome::Foreign(objects) => Verdict::no(reason::FOREIGN_OBJECT, ForeignObject::sentence(objects)),
        Outcome::Failed(what) => Verdict::no(reason::APPLY_FAILED, format!("Cannot apply {what}")),
    }
}
