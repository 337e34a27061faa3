//! Requests and limits that a namespace's `LimitRange`s let pass, as near as can be to those that are wanted. Pure.
//!
//! A pod that a bound would refuse because of its sidecar is refused to its owner, who has done nothing wrong. So the
//! sidecar takes what is left, and where that is not enough to live on there is none. What fits is not touched; what the
//! pod's other containers get wrong by themselves is not ours to heal.
//!
//! A container without a value has the `LimitRange`'s default, which counts as if it were written down. Where a limit is
//! too far from its request, a limit that was wanted stays and the request grows; one that only the bounds call for is
//! brought down to the request.
//!
//! *Never:* what a sidecar wants, how a pod is put together beyond its sums.

mod bounds;
mod defaults;
mod others;
mod pod_sum;
pub mod whole;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{LimitRange, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use self::bounds::Bounds;
pub use self::{defaults::fill_in, pod_sum::PodSum};
use super::{
    quantity::{Amount, MOST, Notation, ONE},
    resources::LEAST_LIMIT,
    warning::warning,
};

/// What is bounded for containers that do not name it, and what they take some of.
const USUAL: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What became of what was wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// A sentence for each limit that is lower than wanted.
    pub warnings: Vec<String>,
}

/// There is no room for a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// What is left is too little.
    TooLittle(TooLittle),
    /// It has no use for what every container must have.
    Compulsory {
        /// Which resource.
        resource: String,
    },
}

/// What is left is too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLittle {
    /// What leaves it.
    whose: &'static str,
    /// Which resource.
    resource: String,
    /// What it needs.
    least: String,
    /// What there is.
    found: String,
}

/// One resource of the sidecar, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    request: Option<i128>,
    limit: Option<i128>,
}

/// One resource, all that is to be known of it.
struct Case<'a> {
    resource: &'a str,
    /// What can be told apart: thousandths of a CPU, whole bytes.
    grain: i128,
    container: Bounds,
    pod: Bounds,
    sum: PodSum,
    /// What is written down.
    own: Share,
}

/// Where a request and a limit may be, without their ratio.
#[derive(Clone, Copy)]
struct Room {
    request: (i128, i128),
    limit: (i128, i128),
}

/// Fits requests and limits into the bounds of a namespace, in a pod whose other containers have these sums.
///
/// # Errors
/// When what is left is too little.
pub fn fit(
    wanted: &ResourceRequirements,
    sum_of: impl Fn(&str) -> PodSum,
    limit_ranges: &[LimitRange],
) -> Result<Fitted, NoRoom> {
    let mut fitted = Fitted { resources: wanted.clone(), warnings: Vec::new() };
    let named = wanted.requests.iter().chain(&wanted.limits).flat_map(BTreeMap::keys).map(String::as_str);
    for resource in USUAL.into_iter().chain(named).collect::<BTreeSet<_>>() {
        let sum = sum_of(resource);
        let container = Bounds::of_containers(resource, limit_ranges);
        let pod = Bounds::of_pod(resource, limit_ranges, sum.with(Share::default()));
        if container.is_none() && pod.is_none() {
            continue;
        }
        let own = Share { request: given(&wanted.requests, resource), limit: given(&wanted.limits, resource) };
        let case = Case { resource, grain: grain(resource), container, pod, sum, own };
        if case.fits() {
            continue;
        }
        let share = case.fitted()?;
        if let (Some(before), Some(after)) = (own.limit, share.limit)
            && after < before
        {
            let (after, before) = (case.written(after), case.written(before));
            fitted.warnings.push(lowered("the namespace's LimitRanges", &after, resource, &before));
        }
        let changed = |after: Option<i128>, before| after.filter(|_| after != before).map(|after| case.written(after));
        put(&mut fitted.resources.requests, resource, changed(share.request, own.request));
        put(&mut fitted.resources.limits, resource, changed(share.limit, own.limit));
    }
    others::decline(&mut fitted.resources, limit_ranges)?;
    Ok(fitted)
}

/// Whether containers that say no limit of a resource are given one.
#[must_use]
pub fn has_default_limit(resource: &str, limit_ranges: &[LimitRange]) -> bool {
    Bounds::of_containers(resource, limit_ranges).defaults.iter().any(|share| share.limit.is_some())
}

/// The sentence about a limit that is lower than wanted.
fn lowered(whose: &str, after: &Amount, resource: &str, before: &Amount) -> String {
    let (after, before) = (after.to_string(), before.to_string());
    let start = format!("sidegate: {whose} leave the sidecar a limit of ");
    warning(&[&start, &after, " ", resource, ", not ", &before])
}

fn grain(resource: &str) -> i128 {
    if resource == "cpu" { 1 } else { ONE }
}

/// One of some quantities, in thousandths.
pub(super) fn given(map: &Option<BTreeMap<String, Quantity>>, resource: &str) -> Option<i128> {
    let quantity = map.as_ref()?.get(resource)?;
    Amount::parse(&quantity.0).map(|amount| amount.thousandths)
}

/// Writes one of some quantities down.
pub(super) fn put(map: &mut Option<BTreeMap<String, Quantity>>, resource: &str, amount: Option<Amount>) {
    if let Some(amount) = amount {
        map.get_or_insert_default().insert(resource.to_owned(), Quantity(amount.to_string()));
    }
}

// === impl NoRoom ===

impl NoRoom {
    /// The sentence, behind some words.
    #[must_use]
    pub fn sentence(&self, before: &str) -> String {
        match self {
            Self::TooLittle(TooLittle { whose, resource, least, found }) => {
                let start = format!("{before}expected {whose} to leave it at least ");
                warning(&[&start, least, " of ", resource, ", found ", found])
            }
            Self::Compulsory { resource } => {
                let start = format!("{before}expected LimitRanges that let it do without ");
                warning(&[&start, resource, ", found one that does not"])
            }
        }
    }
}

impl From<TooLittle> for NoRoom {
    fn from(too_little: TooLittle) -> Self {
        Self::TooLittle(too_little)
    }
}

// === impl Case ===

impl Case<'_> {
    fn holds(&self, share: Share) -> bool {
        let is_ordered = share.request.zip(share.limit).is_none_or(|(request, limit)| request <= limit);
        let is_left = share.request.zip(self.sum.left_of_whole()).is_none_or(|(request, left)| request <= left);
        is_ordered && is_left && self.container.hold(share) && self.pod.hold(self.sum.with(share))
    }

    /// Whether what is written down passes, whichever of the defaults it gets: any item may be asked first, and
    /// another for what that leaves open.
    fn fits(&self) -> bool {
        let own = Share { request: self.own.request.or(self.own.limit), ..self.own };
        let defaults = &self.container.defaults;
        if defaults.is_empty() {
            return self.holds(own);
        }
        let pairs = defaults.iter().flat_map(|first| defaults.iter().map(move |second| (first, second)));
        let mut filled = pairs.map(|(first, second)| Share {
            request: own.request.or(first.request),
            limit: own.limit.or(first.limit).or(second.limit),
        });
        let is_limited = own.limit.is_some() || defaults.iter().any(|share| share.limit.is_some());
        filled.all(|share| share.limit.is_some() != is_limited || self.holds(share))
    }

    /// The nearest that passes.
    fn fitted(&self) -> Result<Share, NoRoom> {
        let wanted = self.effective();
        let room = self.room();
        let Room { request: (least_request, most_request), limit: (least_limit, most_limit) } = room;
        let most = most_request.min(most_limit);
        let is_equal = wanted.request.is_some() && wanted.request == wanted.limit;
        let equal = is_equal.then(|| {
            let same = wanted.limit.unwrap_or(0).min(most).max(least_request.max(least_limit));
            Share { request: Some(same), limit: Some(same) }
        });
        // If anything passes, a request as large as the limit does, or the largest with the smallest limit: no ratio is better.
        let largest = wanted.request.max(wanted.limit).unwrap_or(0).max(least_request).max(least_limit).min(most);
        let last = Share { request: Some(largest), limit: Some(least_limit.max(largest)) };
        let tried = equal.into_iter().chain([self.nearest(wanted, room), last]);
        let share = tried.into_iter().find(|share| self.holds(*share)).ok_or_else(|| self.no_room(room))?;
        let is_lowered = |limit: i128| self.own.limit.is_none_or(|own| limit < own);
        if share.limit.is_some_and(|limit| limit < self.least() && is_lowered(limit)) {
            return Err(self.no_room(room).into());
        }
        Ok(share)
    }

    /// With the defaults; of several the lowest.
    fn effective(&self) -> Share {
        let Share { request, limit } = self.own;
        let defaults = &self.container.defaults;
        let request = request.or(limit).or_else(|| defaults.iter().filter_map(|share| share.request).min());
        Share { request, limit: limit.or_else(|| defaults.iter().filter_map(|share| share.limit).min()) }
    }

    fn room(&self) -> Room {
        let (container, pod, PodSum { beside, whole, .. }) = (&self.container, &self.pod, self.sum);
        let least = self.up(container.least.unwrap_or(0));
        let most = container.most.unwrap_or(MOST);
        let of_pod = |taken: Option<i128>| pod.most.map_or(MOST, |most| most - taken.unwrap_or(0));
        // What the pod has as a whole is not summed up.
        let request = if whole.request.is_some() { MOST } else { of_pod(beside.request) };
        let request = request.min(self.sum.left_of_whole().unwrap_or(MOST));
        let limit = whole.limit.unwrap_or_else(|| of_pod(beside.limit));
        let left = |of_pod: i128| self.down(most.min(of_pod));
        // A limit of ours may be the first that the pod has: so far the bound did not look at limits.
        let is_first = self.sum.with(Share::default()).limit.is_none();
        let pods_least = pod.least.filter(|_| is_first);
        Room { request: (least, left(request)), limit: (least.max(self.up(pods_least.unwrap_or(0))), left(limit)) }
    }

    fn nearest(&self, wanted: Share, room: Room) -> Share {
        let within = |amount: i128, (least, most): (i128, i128)| amount.min(most).max(least);
        let Bounds { least, most, ratio, .. } = &self.container;
        let is_request_needed = wanted.request.is_some() || least.is_some() || ratio.is_some();
        let mut request = is_request_needed.then(|| within(wanted.request.unwrap_or(self.grain), room.request));
        let is_limit_needed = wanted.limit.is_some() || most.is_some() || ratio.is_some();
        if !is_limit_needed {
            return Share { request, limit: None };
        }
        let least_limit = request.unwrap_or(0);
        let limit = within(wanted.limit.unwrap_or(MOST).max(least_limit), room.limit);
        request = request.map(|request| request.min(limit).max(if ratio.is_some() { self.grain } else { 0 }));
        let PodSum { beside, .. } = self.sum;
        let theirs = (beside.request.unwrap_or(0), beside.limit.unwrap_or(0));
        // With the others, and alone.
        let ratios = [(self.pod.ratio, theirs), (*ratio, (0, 0))];
        let ratios = ratios.into_iter().filter_map(|(ratio, theirs)| Some((ratio?, theirs)));
        let Some(asked) = request else { return Share { request, limit: Some(limit) } };
        if self.own.limit.is_some() {
            let least =
                ratios.map(|(ratio, (request, others))| ratio.least_request(others + limit, self.grain) - request);
            let asked = least.fold(asked, i128::max).min(limit);
            return Share { request: Some(asked), limit: Some(limit) };
        }
        let most = ratios.map(|(ratio, (others, limit))| ratio.most_limit(others + asked, self.grain) - limit);
        let limit = most.fold(limit, i128::min).max(asked).max(room.limit.0);
        Share { request: Some(asked), limit: Some(limit) }
    }

    /// Less than this is no use.
    fn least(&self) -> i128 {
        if self.resource == "memory" { LEAST_LIMIT } else { self.grain }
    }

    fn no_room(&self, room: Room) -> TooLittle {
        let least = self.least().max(room.limit.0).max(room.request.0);
        let found = room.limit.1.min(room.request.1).max(0);
        TooLittle {
            whose: "the namespace's LimitRanges",
            resource: self.resource.to_owned(),
            least: self.written(least).to_string(),
            found: self.written(found).to_string(),
        }
    }

    fn up(&self, amount: i128) -> i128 {
        -self.down(-amount)
    }

    fn down(&self, amount: i128) -> i128 {
        amount.div_euclid(self.grain) * self.grain
    }

    /// CPU in decimals, bytes in powers of two.
    fn written(&self, thousandths: i128) -> Amount {
        let notation = if self.grain == 1 { Notation::Decimal } else { Notation::Binary };
        Amount { thousandths, notation }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
pub(crate) mod tests;
