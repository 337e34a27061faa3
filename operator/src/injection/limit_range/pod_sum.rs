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
}

// === impl PodSum ===

impl PodSum {
    /// The sums of a resource in a pod, whose sidecar goes to a place among the init containers.
    #[must_use]
    pub fn of(pod: RawPod<'_>, place: usize, resource: &str) -> Self {
        let mut sum = Self::default();
        let mut sidecars = Share::default();
        for (index, container) in pod.containers("initContainers").enumerate() {
            let own = share_of(container, resource);
            let is_sidecar = text(container, "restartPolicy") == Some("Always");
            let now = sidecars.with(own);
            if is_sidecar {
                sidecars = now;
            }
            let most = if index < place { &mut sum.before } else { &mut sum.beside };
            *most = most.or_more(now);
        }
        let together = pod.containers("containers").fold(sidecars, |all, one| all.with(share_of(one, resource)));
        sum.beside = sum.beside.or_more(together);
        sum
    }

    /// The sum with a share more.
    pub(super) fn with(&self, share: Share) -> Share {
        self.beside.with(share).or_more(self.before)
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

    fn or_more(self, other: Self) -> Self {
        Self { request: self.request.max(other.request), limit: self.limit.max(other.limit) }
    }
}

/// What a container asks for; without a request, it is the limit.
fn share_of(container: &Value, resource: &str) -> Share {
    let read = |kind: &str| {
        let quantity = container.get("resources")?.get(kind)?.get(resource)?;
        quantity::read(quantity).map(|amount| amount.thousandths)
    };
    let limit = read("limits");
    Share { request: read("requests").or(limit), limit }
}
