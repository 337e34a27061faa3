//! `MonitorsSynced`: whether the objects of a group are as they should be, and let Prometheus find all pods.
//!
//! *Never:* who takes the monitor.

use crds::status::reason;

use super::{Facts, Verdict};
use crate::controller::apply::Outcome;

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
        Outcome::ServiceUnfit(what) => Verdict::no(reason::SERVICE_UNFIT, format!("No monitor: {what}")),
        Outcome::Foreign(what) => {
            Verdict::no(reason::FOREIGN_OBJECT, format!("{what} exists and is not ours: remove or rename it"))
        }
        Outcome::Failed(what) => Verdict::no(reason::APPLY_FAILED, format!("Cannot apply {what}")),
    }
}
