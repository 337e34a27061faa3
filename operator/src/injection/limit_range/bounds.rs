//! What all `LimitRange`s of a namespace say together about one resource of a container, or of a pod.
//!
//! The API server fills in what a `LimitRange` leaves out when it is made; one that comes from a file is read as if it
//! had been.
//!
//! *Never:* what is wanted.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{LimitRange, LimitRangeItem},
    apimachinery::pkg::api::resource::Quantity,
};

use super::Share;
use crate::injection::quantity::{Amount, ONE};

/// The bounds, in thousandths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The least that a request, and a limit if there is one, may be.
    pub(super) least: Option<i128>,
    /// The most that a limit, which there has to be, and a request may be.
    pub(super) most: Option<i128>,
    /// How many times a request its limit may be.
    pub(super) ratio: Option<Ratio>,
    /// What a container that says nothing gets of each item, if that is the first to be asked.
    pub(super) defaults: Vec<Share>,
}

/// How many times a request its limit may be, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ratio(i128);

/// What one item says about a resource.
pub(super) struct Item<'a> {
    pub(super) resource: &'a str,
    pub(super) item: &'a LimitRangeItem,
}

/// All items for containers, or for pods.
pub(super) fn items<'a>(kind: &'a str, limit_ranges: &'a [LimitRange]) -> impl Iterator<Item = &'a LimitRangeItem> {
    let items = limit_ranges.iter().filter_map(|range| range.spec.as_ref()).flat_map(|spec| &spec.limits);
    items.filter(move |item| item.type_ == kind)
}

// === impl Bounds ===

impl Bounds {
    /// What is said of each container.
    pub(super) fn of_containers(resource: &str, limit_ranges: &[LimitRange]) -> Self {
        let mut bounds = Self::default();
        for item in items("Container", limit_ranges) {
            let item = Item { resource, item };
            bounds.tighten(&item.rules());
            let limit = item.default_limit().and_then(amount);
            let request = item.default_request().and_then(amount);
            bounds.defaults.extend(request.map(|request| Share { request: Some(request), limit }));
        }
        bounds
    }

    /// What is said of a pod's sum, but for each rule that it breaks as it is.
    pub(super) fn of_pod(resource: &str, limit_ranges: &[LimitRange], as_it_is: Share) -> Self {
        let mut bounds = Self::default();
        for item in items("Pod", limit_ranges) {
            let rules = Item { resource, item }.rules();
            let kept = Self {
                least: rules.least.filter(|_| rules.least_holds(as_it_is)),
                most: rules.most.filter(|_| rules.most_holds(as_it_is)),
                ratio: rules.ratio.filter(|_| rules.ratio_holds(as_it_is)),
                ..Self::default()
            };
            bounds.tighten(&kept);
        }
        bounds
    }

    /// The stricter of two, rule by rule.
    fn tighten(&mut self, other: &Self) {
        self.least = self.least.max(other.least);
        self.most = self.most.into_iter().chain(other.most).min();
        self.ratio = self.ratio.into_iter().chain(other.ratio).min();
    }

    /// Whether nothing is said.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they let a share pass in which the defaults are filled in.
    pub(super) fn hold(&self, share: Share) -> bool {
        self.least_holds(share) && self.most_holds(share) && self.ratio_holds(share)
    }

    fn least_holds(&self, Share { request, limit }: Share) -> bool {
        self.least.is_none_or(|least| {
            request.is_some_and(|request| least <= request) && limit.is_none_or(|limit| least <= limit)
        })
    }

    fn most_holds(&self, Share { request, limit }: Share) -> bool {
        self.most.is_none_or(|most| {
            limit.is_some_and(|limit| limit <= most) && request.is_none_or(|request| request <= most)
        })
    }

    fn ratio_holds(&self, Share { request, limit }: Share) -> bool {
        let given = request.zip(limit).filter(|(request, limit)| 0 < *request && 0 < *limit);
        self.ratio.is_none_or(|ratio| given.is_some_and(|(request, limit)| ratio.holds(request, limit)))
    }
}

// === impl Item ===

impl<'a> Item<'a> {
    /// The limit of a container that says none.
    pub(super) fn default_limit(&self) -> Option<&'a Quantity> {
        self.said(&self.item.default).or_else(|| self.said(&self.item.max))
    }

    /// The request of a container that says neither.
    pub(super) fn default_request(&self) -> Option<&'a Quantity> {
        let said = self.said(&self.item.default_request);
        said.or_else(|| self.default_limit()).or_else(|| self.said(&self.item.min))
    }

    fn said(&self, map: &'a Option<BTreeMap<String, Quantity>>) -> Option<&'a Quantity> {
        map.as_ref()?.get(self.resource)
    }

    fn rules(&self) -> Bounds {
        let read = |map| self.said(map).and_then(amount);
        Bounds {
            least: read(&self.item.min),
            most: read(&self.item.max),
            ratio: read(&self.item.max_limit_request_ratio).map(Ratio),
            ..Bounds::default()
        }
    }
}

/// One that nobody can read is none.
fn amount(quantity: &Quantity) -> Option<i128> {
    Amount::parse(&quantity.0).map(|amount| amount.thousandths)
}

// === impl Ratio ===

impl Ratio {
    /// Exactly, and in floating point as the API server has it.
    #[expect(clippy::cast_precision_loss, reason = "so does the API server")]
    fn holds(self, request: i128, limit: i128) -> bool {
        let exactly = limit.saturating_mul(ONE) <= request.saturating_mul(self.0);
        exactly && (limit as f64 / request as f64) * 1000.0 <= self.0 as f64
    }

    /// The least request that a limit goes with.
    pub(super) fn least_request(self, limit: i128, grain: i128) -> i128 {
        let exact = limit.saturating_mul(ONE).div_euclid(self.0.max(1));
        let request = exact.div_euclid(grain) * grain;
        // Rounded up, and once more for the floating point.
        let tried = [request, request.saturating_add(grain), request.saturating_add(2 * grain)];
        tried.into_iter().find(|request| 0 < *request && self.holds(*request, limit)).unwrap_or(request)
    }

    /// The largest limit that goes with a request.
    pub(super) fn most_limit(self, request: i128, grain: i128) -> i128 {
        let limit = request.saturating_mul(self.0).div_euclid(ONE).div_euclid(grain) * grain;
        if self.holds(request, limit) { limit } else { limit - grain }
    }
}
