//! What the containers that a pod has ask for together, as far as it matters to one more among them.
//!
//! Init containers run one at a time, each together with the sidecars before it; all sidecars run with the others. So a
//! pod needs the most that is ever needed at a time.
//!
//! *Never:* bounds that are not of a pod's sum.

use serde_json::Value;

use super::Share;
use crate::injection::{
    pod::{RawPod, text},
    quantity,
};

/// One resource of a pod without our sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodSum {
    /// The most that is needed while the sidecar runs.
    pub(super) beside: Share,
    /// The most that is needed before it is started.
    pub(super) before: Share,
    /// What the pod has as a whole, which then counts in place of a sum.
    pub(super) whole: Share,
    /// Whether the request of the whole is the API server's, which it makes as long as no container has one.
    pub(super) is_whole_open: bool,
}

// === impl PodSum ===

impl PodSum {
    /// The sums of a resource in a pod, whose sidecar goes to a place among the init containers.
    #[must_use]
    pub fn of(pod: RawPod<'_>, place: usize, resource: &str) -> Self {
        Self::summed(pod, place, |container| share_of(container, resource))
    }

    /// The sums of what each container asks for.
    pub(super) fn summed(pod: RawPod<'_>, place: usize, share_of: impl Fn(&Value) -> Share) -> Self {
        let mut sum = Self::default();
        let mut sidecars = Share::default();
        for (index, container) in pod.containers("initContainers").enumerate() {
            let own = share_of(container);
            let is_sidecar = text(container, "restartPolicy") == Some("Always");
            let now = sidecars.with(own);
            if is_sidecar {
                sidecars = now;
            }
            let most = if index < place { &mut sum.before } else { &mut sum.beside };
            *most = most.or_more(now);
        }
        let together = pod.containers("containers").fold(sidecars, |all, one| all.with(share_of(one)));
        sum.beside = sum.beside.or_more(together);
        sum
    }

    /// The sum with a share more.
    pub(super) fn with(&self, share: Share) -> Share {
        let Share { request, limit } = self.beside.with(share).or_more(self.before);
        Share { request: self.whole.request.or(request), limit: self.whole.limit.or(limit) }
    }

    /// What the whole leaves for a request, if it says so: without a request it gets the sum, which its limit bounds. Where
    /// the others ask for too much, that is not ours to heal.
    pub(super) fn left_of_whole(&self) -> Option<i128> {
        let most = self.whole.request.or(self.whole.limit)?;
        Some(most - self.beside.request.unwrap_or(0)).filter(|left| 0 <= *left)
    }
}

// === impl Share ===

impl Share {
    fn with(self, other: Self) -> Self {
        let add = |a: Option<i128>, b: Option<i128>| {
            if a.is_none() && b.is_none() { None } else { Some(a.unwrap_or(0) + b.unwrap_or(0)) }
        };
        Self { request: add(self.request, other.request), limit: add(self.limit, other.limit) }
    }

    pub(super) fn or_more(self, other: Self) -> Self {
        Self { request: self.request.max(other.request), limit: self.limit.max(other.limit) }
    }
}

/// What a container asks for; without a request, it is the limit.
pub(super) fn share_of(container: &Value, resource: &str) -> Share {
    let limit = quantity_of(container, "limits", resource);
    Share { request: quantity_of(container, "requests", resource).or(limit), limit }
}

/// A quantity of a container, or of a pod's spec.
pub(super) fn quantity_of(holder: &Value, kind: &str, resource: &str) -> Option<i128> {
    let quantity = holder.get("resources")?.get(kind)?.get(resource)?;
    quantity::read(quantity).map(|amount| amount.thousandths)
}
