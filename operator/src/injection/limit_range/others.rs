//! What the API server would fill into the sidecar that it has no use for: a GPU, say, where a `LimitRange` has a default of
//! one, or a maximum, which is then the default. None of it is written down, a request and a limit of nothing, and so the
//! API server leaves it alone.
//!
//! *Never:* what every container has, whether it is named or not.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{LimitRange, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    NoRoom, Share, USUAL,
    bounds::{Bounds, items},
    defaults::named,
};

/// Nothing, written down.
const NOTHING: Share = Share { request: Some(0), limit: Some(0) };

/// Declines what the resources do not name and containers would be given.
///
/// # Errors
/// When every container has to have some.
pub(super) fn decline(resources: &mut ResourceRequirements, limit_ranges: &[LimitRange]) -> Result<(), NoRoom> {
    for resource in items("Container", limit_ranges).flat_map(named).filter(|resource| !USUAL.contains(resource)) {
        let maps = [&mut resources.requests, &mut resources.limits];
        if maps.iter().any(|map| map.as_ref().is_some_and(|map| map.contains_key(resource))) {
            continue;
        }
        if !Bounds::of_containers(resource, limit_ranges).hold(NOTHING) {
            return Err(NoRoom::Compulsory { resource: resource.to_owned() });
        }
        for map in maps {
            let map = map.get_or_insert_with(BTreeMap::new);
            map.insert(resource.to_owned(), Quantity("0".to_owned()));
        }
    }
    Ok(())
}
