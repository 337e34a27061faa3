//! Condition `PodsInjected`: whether every pod that asks for a sidecar of the group has one. It is no reason not to be ready:
//! nothing of the group is missing, and only whoever made a pod can replace it. Pure.
//!
//! *Never:* how such pods are found.

use crds::{
    PushGroupStatus,
    status::{condition, reason},
};

use super::{Facts, Verdict};
use crate::audit::missing::MissingPods;

/// From what the audit found; until it has, what was true before stands.
pub(super) fn pods_injected(previous: &PushGroupStatus, facts: &Facts<'_>) -> Verdict {
    let Some(MissingPods { pods, named }) = &facts.not_injected else {
        let unknown = Verdict::unknown(reason::NOT_LOOKED_AT_YET, "The pods without a sidecar were not looked at yet");
        return Verdict::that_stands(previous, facts, condition::PODS_INJECTED, unknown);
    };
    let mut names = named.join(", ");
    if let Some(more) = pods.checked_sub(named.len() as u64).filter(|more| 0 < *more) {
        names.push_str(&format!(" and {more} more"));
    }
    let whose = match pods {
        0 => {
            let message = "Every pod that asks for a sidecar of this PushGroup has one";
            return Verdict::yes(reason::ALL_INJECTED, message.to_owned());
        }
        1 => "1 pod that asks for a sidecar of this PushGroup has none".to_owned(),
        pods => format!("{pods} pods that ask for a sidecar of this PushGroup have none"),
    };
    let message = format!(
        "{whose}: {names}; the webhook did not answer when they were made, or they were there before anybody asked: delete \
         them to have them replaced"
    );
    Verdict::no(reason::SIDECARS_MISSING, message)
}
