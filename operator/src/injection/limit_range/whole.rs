//! The sidecar's share of a pod with resources for the pod as a whole. Pure.
//!
//! It would have none, and take its part of what all containers share. But what a `LimitRange` fills in for it may be
//! more than the pod's requests leave, and no pod may be given less than its containers ask for together. So where a
//! `LimitRange` has something to say about containers, the least that it lets pass is written down: nothing, a minimum, or
//! what its ratio asks for. A limit that there has to be is the usual one, where that fits. What a pod as a whole cannot
//! have, the sidecar has as in any other pod.
//!
//! The API server sets pod-level requests that are left out: to what the containers ask for, or else to the pod's limits.
//! A manifest is read before that; what a container has to ask for would then take the place of the pod's limits, so there
//! it has what is filled in, or there is no sidecar.
//!
//! *Never:* pods without such resources.

use k8s_openapi::api::core::v1::{LimitRange, ResourceRequirements};
use serde_json::Value;

use super::{
    Bounds, Case, Fitted, NoRoom, PodSum, Room, Share, TooLittle, USUAL, given, grain, lowered, others, pod_sum, put,
};
use crate::injection::pod::RawPod;

/// What a pod as a whole may have.
const SHARED: [&str; 2] = ["cpu", "memory"];

/// Finds what is to be written down for a sidecar in a pod with resources as a whole, most often nothing; `usual` is what
/// it would have in another pod.
///
/// # Errors
/// When what is left is too little.
pub fn fit(
    usual: &ResourceRequirements,
    pod: RawPod<'_>,
    place: usize,
    limit_ranges: &[LimitRange],
) -> Result<Fitted, NoRoom> {
    let mut fitted = Fitted { resources: ResourceRequirements::default(), warnings: Vec::new() };
    for resource in USUAL {
        let container = Bounds::of_containers(resource, limit_ranges);
        let usual = Share { request: given(&usual.requests, resource), limit: given(&usual.limits, resource) };
        let is_shared = SHARED.contains(&resource);
        let own = if is_shared { Share::default() } else { usual };
        if container.is_none() && own == Share::default() {
            continue;
        }
        let sum = sum_of(pod, place, resource, &container);
        let bounds_of_pod = Bounds::of_pod(resource, limit_ranges, sum.with(Share::default()));
        let case = Case { resource, grain: grain(resource), container, pod: bounds_of_pod, sum, own };
        let share = if is_shared { case.least_share(usual)? } else { case.fitted_unless_it_fits()? };
        if let (Some(before), Some(after)) = (usual.limit, share.limit)
            && after < before
        {
            let (after, before) = (case.written(after), case.written(before));
            fitted.warnings.push(lowered("the pod's resources and LimitRanges", &after, resource, &before));
        }
        put(&mut fitted.resources.requests, resource, share.request.map(|request| case.written(request)));
        put(&mut fitted.resources.limits, resource, share.limit.map(|limit| case.written(limit)));
    }
    others::decline(&mut fitted.resources, limit_ranges)?;
    Ok(fitted)
}

/// The sums of the other containers, what they will be given counted, and what the pod has as a whole.
fn sum_of(pod: RawPod<'_>, place: usize, resource: &str, container: &Bounds) -> PodSum {
    let defaults = container.defaults.iter().copied().fold(Share::default(), Share::or_more);
    let filled = |container: &Value| {
        let own = pod_sum::share_of(container, resource);
        Share { request: own.request.or(defaults.request), limit: own.limit.or(defaults.limit) }
    };
    let mut sum = PodSum::summed(pod, place, filled);
    if SHARED.contains(&resource) {
        let read = |kind: &str| pod.at("/spec").and_then(|spec| pod_sum::quantity_of(spec, kind, resource));
        sum.whole = Share { request: read("requests"), limit: read("limits") };
        let is_asked_for = || pod.all_containers().any(|one| pod_sum::share_of(one, resource).request.is_some());
        if sum.whole.request.is_none() && sum.whole.limit.is_some() && !is_asked_for() {
            sum.whole.request = sum.whole.limit;
            sum.is_whole_open = true;
        }
    }
    sum
}

// === impl Case ===

impl Case<'_> {
    fn fitted_unless_it_fits(&self) -> Result<Share, NoRoom> {
        if self.fits() { Ok(self.own) } else { self.fitted() }
    }

    /// The least that passes, with a limit only where there will be one.
    fn least_share(&self, usual: Share) -> Result<Share, NoRoom> {
        let room = self.room();
        if self.sum.is_whole_open {
            return if self.fits() { Ok(Share::default()) } else { Err(self.no_room_in_whole(room).into()) };
        }
        let Room { request: (least_request, most_request), limit: (least_limit, most_limit) } = room;
        let Bounds { most, ratio, defaults, .. } = &self.container;
        let default_limit = defaults.iter().filter_map(|share| share.limit).min();
        let limit = (most.is_some() || ratio.is_some() || default_limit.is_some()).then(|| {
            let wanted = usual.limit.or(default_limit).unwrap_or(most_limit);
            wanted.min(most_limit).max(least_limit)
        });
        let share = match (ratio, limit) {
            (Some(ratio), Some(limit)) => {
                // Without a limit that is wanted, it is as large as the usual request lets it be.
                let asked = match usual.limit {
                    Some(_) => ratio.least_request(limit, self.grain),
                    None => usual.request.unwrap_or(self.grain),
                };
                let request = asked.min(limit).max(least_request).max(self.grain).min(most_request);
                Share { request: Some(request), limit: Some(limit.min(ratio.most_limit(request, self.grain))) }
            }
            (Some(_) | None, limit) => Share { request: Some(least_request), limit },
        };
        let is_too_little =
            share.limit.is_some_and(|limit| limit < self.least() && usual.limit.is_none_or(|usual| limit < usual));
        if is_too_little || !self.holds(share) { Err(self.no_room_in_whole(room).into()) } else { Ok(share) }
    }

    fn no_room_in_whole(&self, room: Room) -> TooLittle {
        let no_room = self.no_room(room);
        let of_limit_ranges = self.container.most.unwrap_or(super::MOST);
        let left = room.request.1.min(room.limit.1);
        if left < of_limit_ranges { TooLittle { whose: "the pod's resources", ..no_room } } else { no_room }
    }
}
