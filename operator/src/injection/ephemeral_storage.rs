//! The sidecar's share of what a pod may write to its node's disk. Pure.
//!
//! Where any container has a limit of `ephemeral-storage`, the kubelet evicts the pod as soon as all that it writes is more
//! than the limits together: its containers, its logs and every emptyDir. So beside such a container the sidecar brings a
//! limit of as much as it may ever take. Where nobody has a limit, the sidecar's would be the whole pod's, and there is none,
//! whatever its group says.
//!
//! What is stored takes up to three times what is kept and 16 MiB, what is kept is in memory too, and a kubelet rotates a log
//! at 10 MiB and packs the old ones. Where there is no room for that, what is pushed is kept in memory.
//!
//! *Never:* CPU and memory, what the sidecar writes where.

use crds::sidecar::{Sidecar, Storage};
use k8s_openapi::api::core::v1::{LimitRange, ResourceRequirements};

use super::{
    limit_range::{self, Fitted, NoRoom},
    pod::RawPod,
    quantity::{Amount, MOST, Notation, ONE},
};

/// The resource.
pub const RESOURCE: &str = "ephemeral-storage";

/// What little is kept takes, in thousandths.
const REQUEST: i128 = 16 * 1024 * 1024 * ONE;

/// How many times what is kept may be on the disk.
const TIMES: i128 = 3;

/// What comes on top, the log counted, in thousandths.
const BESIDE: i128 = 64 * 1024 * 1024 * ONE;

/// Whether what a pod writes has a limit, by a container's own or by the namespace's default.
#[must_use]
pub fn is_limited(pod: RawPod<'_>, limit_ranges: &[LimitRange]) -> bool {
    pod.has_storage_limit() || limit_range::has_default_limit(RESOURCE, limit_ranges)
}

/// Fits the resources that a sidecar would have by itself, with its share, into the bounds that `fit` knows; its storage is
/// another where they leave too little.
///
/// # Errors
/// When the bounds leave too little for any sidecar.
pub fn fit(
    own: &ResourceRequirements,
    sidecar: &mut Sidecar,
    is_limited: bool,
    fit: impl Fn(&ResourceRequirements) -> Result<Fitted, NoRoom>,
) -> Result<Fitted, NoRoom> {
    if !is_limited {
        return fit(&without_limit(own));
    }
    if sidecar.storage.unwrap_or_default() != Storage::Disk {
        return with_log(own, fit);
    }
    let wanted = with_share(own, TIMES);
    if let Ok(fitted) = fit(&wanted)
        && limit_of(&wanted) <= limit_of(&fitted.resources)
    {
        return Ok(fitted);
    }
    let mut fitted = with_log(own, fit)?;
    sidecar.storage = Some(Storage::Memory);
    let needed = written(limit_of(&wanted).unwrap_or(0));
    fitted.warnings.push(format!(
        "sidegate: LimitRanges leave no {needed} of {RESOURCE} for it: what is pushed is kept in memory, not on disk"
    ));
    Ok(fitted)
}

/// Without any storage there is still a log; it is no reason for there to be no sidecar.
fn with_log(
    own: &ResourceRequirements,
    fit: impl Fn(&ResourceRequirements) -> Result<Fitted, NoRoom>,
) -> Result<Fitted, NoRoom> {
    fit(&with_share(own, 0)).or_else(|_| fit(own))
}

/// With a request and a limit for so many times the memory, but where the group says a limit.
fn with_share(own: &ResourceRequirements, times: i128) -> ResourceRequirements {
    let mut resources = own.clone();
    if limit_of(own).is_some() {
        return resources;
    }
    let request = limit_range::given(&own.requests, RESOURCE);
    let memory = limit_range::given(&own.limits, "memory").unwrap_or(0);
    // Whole bytes.
    let kept = (memory + ONE - 1) / ONE * ONE;
    let limit = (times * kept + BESIDE).max(request.unwrap_or(0)).min(MOST);
    if request.is_none() {
        limit_range::put(&mut resources.requests, RESOURCE, Some(written(REQUEST)));
    }
    limit_range::put(&mut resources.limits, RESOURCE, Some(written(limit)));
    resources
}

fn without_limit(own: &ResourceRequirements) -> ResourceRequirements {
    let mut resources = own.clone();
    if let Some(limits) = &mut resources.limits {
        limits.remove(RESOURCE);
    }
    resources
}

fn limit_of(resources: &ResourceRequirements) -> Option<i128> {
    limit_range::given(&resources.limits, RESOURCE)
}

fn written(thousandths: i128) -> Amount {
    Amount { thousandths, notation: Notation::Binary }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use std::sync::Arc;

    use crds::{PushGroup, names::INJECT};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        config::SidecarImage,
        injection::{
            inject::{Outcome, Surroundings, inject},
            quantity,
        },
    };

    const MIB: i128 = 1024 * 1024 * ONE;

    /// The sidecar of a pod, what its storage is on, and the warnings; nothing where there is no room for any sidecar.
    fn injected(spec: Value, sidecar: Value, items: Value) -> Option<(Value, Option<String>, Vec<String>)> {
        let mut raw = json!({"metadata": {"annotations": {INJECT: "true"}}, "spec": spec});
        let group = PushGroup::new("a", serde_json::from_value(json!({"selector": {}, "sidecar": sidecar})).unwrap());
        let range: LimitRange = serde_json::from_value(json!({"spec": {"limits": items}})).unwrap();
        let image = SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() };
        let (groups, limit_ranges) = ([Arc::new(group)], [range]);
        let around =
            Surroundings { image: &image, namespace_value: None, groups: &groups, limit_ranges: &limit_ranges };
        let outcome = inject(RawPod::new(&raw), &around).unwrap();
        let Outcome::Injected(injected) = outcome else { return None };
        json_patch::patch(&mut raw, &injected.patch).unwrap();
        let volumes = raw.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten();
        let on = volumes.filter_map(|volume| volume.get("emptyDir"));
        let on = on.map(|on| on.get("medium").and_then(Value::as_str).unwrap_or("Disk").to_owned()).next();
        Some((raw.pointer("/spec/initContainers/0").unwrap().clone(), on, injected.warnings))
    }

    fn app(resources: Value) -> Value {
        json!({"containers": [{"name": "app"}, {"name": "other", "resources": resources}]})
    }

    fn limited() -> Value {
        app(json!({"limits": {"ephemeral-storage": "20Mi"}}))
    }

    /// Request and limit, `request/limit`, and what the storage is on.
    #[track_caller]
    fn check(spec: Value, sidecar: Value, items: Value, expected: &str, on: Option<&str>) -> Vec<String> {
        let (container, found, warnings) = injected(spec.clone(), sidecar.clone(), items.clone()).unwrap();
        let read = |kind: &str| container.pointer(&format!("/resources/{kind}/{RESOURCE}")).and_then(Value::as_str);
        let share = format!("{}/{}", read("requests").unwrap_or("-"), read("limits").unwrap_or("-"));
        assert_eq!((share.as_str(), found.as_deref()), (expected, on), "{spec} {sidecar} {items}");
        warnings
    }

    #[test]
    fn beside_a_container_with_a_limit_the_sidecar_brings_one_for_all_that_it_may_write() {
        let none = Vec::<String>::new();
        let check = |spec, sidecar, expected, on| assert_eq!(check(spec, sidecar, json!([]), expected, on), none);
        check(limited(), json!({}), "16Mi/256Mi", Some("Disk"));
        check(limited(), json!({"resources": {"limits": {"memory": "128Mi"}}}), "16Mi/448Mi", Some("Disk"));
        check(limited(), json!({"storage": "Memory"}), "16Mi/64Mi", Some("Memory"));
        check(limited(), json!({"storage": "None"}), "16Mi/64Mi", None);
        check(json!({"initContainers": limited()["containers"]}), json!({}), "16Mi/256Mi", Some("Disk"));
        let mut whole = limited();
        whole["resources"] = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        check(whole, json!({}), "16Mi/256Mi", Some("Disk"));
    }

    #[test]
    fn where_nobody_has_a_limit_the_sidecar_has_none() {
        let check = |spec, sidecar, expected| {
            check(spec, sidecar, json!([]), expected, Some("Disk"));
        };
        check(app(json!({})), json!({}), "-/-");
        check(app(json!({"requests": {"ephemeral-storage": "1Gi"}})), json!({}), "-/-");
        // It would be the limit of all that the pod writes.
        let group =
            json!({"resources": {"requests": {"ephemeral-storage": "1Mi"}, "limits": {"ephemeral-storage": "32Mi"}}});
        check(app(json!({"limits": {"ephemeral-storage": null}})), group, "1Mi/-");
    }

    #[test]
    fn a_group_says_the_share_itself() {
        let check = |own, expected| {
            check(limited(), json!({"resources": own}), json!([]), expected, Some("Disk"));
        };
        check(json!({"limits": {"ephemeral-storage": "1Gi"}}), "-/1Gi");
        check(json!({"requests": {"ephemeral-storage": "32Mi"}}), "32Mi/256Mi");
        check(json!({"requests": {"ephemeral-storage": "1Gi"}}), "1Gi/1Gi");
    }

    #[test]
    fn without_room_for_it_what_is_pushed_is_kept_in_memory() {
        let memory = "sidegate: LimitRanges leave no 256Mi of ephemeral-storage for it: what is pushed is kept in memory, \
                      not on disk";
        let bound = |kind: &str, of: &str, most: &str| json!([{"type": kind, of: {"ephemeral-storage": most}}]);
        let most = bound("Container", "max", "40Mi");
        let lowered =
            "sidegate: the namespace's LimitRanges leave the sidecar a limit of 40Mi ephemeral-storage, not 64Mi";
        assert_eq!(check(limited(), json!({}), most.clone(), "16Mi/40Mi", Some("Memory")), [lowered, memory]);
        assert_eq!(check(app(json!({})), json!({}), most, "16Mi/40Mi", Some("Memory")), [lowered, memory]);
        // The pod is full, and is not refused for a log.
        let full = bound("Pod", "max", "20Mi");
        assert_eq!(check(limited(), json!({}), full.clone(), "-/-", Some("Memory")), [memory]);
        assert_eq!(check(limited(), json!({"storage": "None"}), full, "-/-", None), Vec::<String>::new());
        let default = bound("Container", "default", "1Mi");
        assert_eq!(check(app(json!({})), json!({}), default, "16Mi/256Mi", Some("Disk")), Vec::<String>::new());
        assert!(memory.chars().count() <= crate::injection::warning::LONGEST);
    }

    fn megabytes() -> impl Strategy<Value = Option<u32>> {
        prop::option::of(1_u32..600)
    }

    fn storage(amount: Option<u32>) -> Value {
        amount.map_or(json!({}), |amount| json!({RESOURCE: format!("{amount}Mi")}))
    }

    proptest! {
        /// By the kubelet's own sum of limits.
        #[test]
        fn no_sidecar_on_disk_can_write_more_than_it_brings(
            apps in prop::collection::vec(megabytes(), 1..4),
            most in megabytes(),
            most_of_pod in megabytes(),
            memory in prop::option::of(16_u32..200),
            is_whole in any::<bool>(),
        ) {
            let containers: Vec<_> = apps.iter().map(|limit| json!({"name": "a", "resources": {"limits": storage(*limit)}})).collect();
            let mut spec = json!({"containers": containers});
            if is_whole {
                spec["resources"] = json!({"limits": {"cpu": "1"}});
            }
            let own = memory.map_or(json!({}), |memory| json!({"resources": {"limits": {"memory": format!("{memory}Mi")}}}));
            let items = json!([{"type": "Container", "max": storage(most)}, {"type": "Pod", "max": storage(most_of_pod)}]);
            // A namespace may have a bound that needs a limit, and a pod that leaves none.
            let Some((container, on, _)) = injected(spec, own, items) else { return Ok(()) };
            let limit = container.pointer("/resources/limits/ephemeral-storage").and_then(quantity::read);
            let is_limited = apps.iter().any(Option::is_some) || most.is_some();
            prop_assert!(is_limited || limit.is_none() || most_of_pod.is_some(), "{container}");
            if is_limited && on.as_deref() == Some("Disk") {
                let needed = i128::from(memory.unwrap_or(64)) * 3 * MIB + 64 * MIB;
                prop_assert!(limit.is_some_and(|limit| needed <= limit.thousandths), "{container}");
            }
        }
    }
}
