//! `SelectedByPrometheus`: whether some Prometheus takes the monitor of a group, and else what stands in the way.
//!
//! *Never:* what a Prometheus does with what it scrapes.

use crds::{
    PushGroupStatus,
    status::{condition, reason},
};

use super::{Facts, Verdict};
use crate::{controller::apply::Outcome, monitors::monitoring::Takers};

/// How many are named in a message.
const NAMED: usize = 3;

pub(super) fn selected_by_prometheus(previous: &PushGroupStatus, facts: &Facts<'_>) -> Option<Verdict> {
    let takers = facts.takers.as_ref()?;
    if is_without_monitor(facts.monitors) {
        let message = "There is no monitor of ours that a Prometheus could take: see the condition MonitorsSynced";
        return Some(Verdict::unknown(reason::NO_MONITOR, message));
    }
    Some(match takers {
        Takers::NotListed => Verdict::that_stands(
            previous,
            facts,
            condition::SELECTED_BY_PROMETHEUS,
            Verdict::prometheuses_not_listed_yet(),
        ),
        Takers::Absent => Verdict::unknown(
            reason::PROMETHEUS_API_ABSENT,
            "The API server does not know Prometheus objects: whether anybody reads the monitor cannot be told",
        ),
        Takers::Forbidden => Verdict::unknown(
            reason::PROMETHEUS_NOT_READABLE,
            "The operator may not list Prometheuses, PrometheusAgents or namespaces: whether any takes the monitor \
             cannot be told",
        ),
        Takers::Asked(selection) if !selection.takers.is_empty() => {
            let takers: Vec<String> = selection.takers.iter().map(|taker| taker.scraper.to_string()).collect();
            Verdict::yes(reason::SELECTED, format!("Taken by {}", some_of(&takers, ", ")))
        }
        Takers::Asked(selection) if selection.refusals.is_empty() => {
            Verdict::no(reason::NO_PROMETHEUS, "There is no Prometheus object that could take the monitor".to_owned())
        }
        Takers::Asked(selection) => Verdict::no(reason::NOT_SELECTED, some_of(&selection.refusals, "; ")),
    })
}

/// Whether what would be taken is not there, or is somebody else's.
pub(super) fn is_without_monitor(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Foreign(objects) => objects.iter().any(|object| object.kind.is_monitor()),
        Outcome::ServiceUnfit { stands, .. } => !stands,
        // Where it failed the monitor may be there, and where the kind is unknown so are Prometheuses.
        Outcome::Applied
        | Outcome::AppliedByEndpoints
        | Outcome::NotWanted
        | Outcome::LeftToOlder(_)
        | Outcome::ApiAbsent
        | Outcome::Failed(_) => false,
    }
}

fn some_of(all: &[String], between: &str) -> String {
    let named = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(between);
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}{between}and {more} more"),
    }
}
