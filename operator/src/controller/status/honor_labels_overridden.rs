//! `HonorLabelsOverridden`: whether a Prometheus that takes the monitor changes what was pushed.
//!
//! *Never:* who takes the monitor.

use crds::{
    PushGroupStatus,
    status::{condition, reason},
};

use super::{Facts, Verdict, selected_by_prometheus::is_without_monitor};
use crate::monitors::{monitoring::Takers, selection::Taker};

/// The label that our own monitors pin to the same value.
const PINNED: &str = "namespace";

pub(super) fn honor_labels_overridden(previous: &PushGroupStatus, facts: &Facts<'_>) -> Option<Verdict> {
    let takers = match facts.takers.as_ref()? {
        _ if is_without_monitor(facts.monitors) => &[],
        Takers::NotListed => {
            return Some(Verdict::that_stands(
                previous,
                facts,
                condition::HONOR_LABELS_OVERRIDDEN,
                Verdict::prometheuses_not_listed_yet(),
            ));
        }
        Takers::Asked(selection) => selection.takers.as_slice(),
        Takers::Absent | Takers::Forbidden => &[],
    };
    if takers.is_empty() {
        let message = "No Prometheus is known to take the monitor";
        return Some(Verdict::unknown(reason::NOT_SELECTED, message));
    }
    let one_that = |does: fn(&Taker) -> bool| takers.iter().find(|taker| does(taker));
    let overridden = |reason, taker: &Taker, what: &str| Verdict {
        status: "True",
        reason,
        message: format!("{} has {what}", taker.scraper),
    };
    Some(if let Some(taker) = one_that(|taker| taker.scraper.common.override_honor_labels) {
        let what = "overrideHonorLabels: pushed job and instance arrive as exported_job and exported_instance";
        overridden(reason::OVERRIDE_HONOR_LABELS, taker, what)
    } else if let Some(taker) =
        one_that(|taker| taker.scraper.common.override_honor_timestamps).filter(|_| facts.has_timestamps)
    {
        let what = "overrideHonorTimestamps: pushed timestamps are replaced by the time of the scrape";
        overridden(reason::OVERRIDE_HONOR_TIMESTAMPS, taker, what)
    } else if let Some(taker) = one_that(|taker| enforced(taker).is_some()) {
        let label = enforced(taker).unwrap_or_default();
        let what = format!("enforcedNamespaceLabel {label}: a pushed {label} is replaced by the namespace");
        overridden(reason::ENFORCED_NAMESPACE_LABEL, taker, &what)
    } else {
        Verdict::no(reason::AS_PUSHED, "What was pushed arrives as pushed".to_owned())
    })
}

/// A label of pushes that is written over.
fn enforced(taker: &Taker) -> Option<&str> {
    let label = taker.scraper.common.enforced_namespace_label.as_deref().filter(|_| !taker.exempts);
    label.filter(|label| !label.is_empty() && *label != PINNED)
}
