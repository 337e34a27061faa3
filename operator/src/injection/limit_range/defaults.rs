//! What the API server fills into the containers of a pod by a namespace's `LimitRange`s, before any webhook sees it.
//!
//! Limits: of several `LimitRange`s with a default for the same resource, the API server asks whichever comes first to it;
//! here it is the first that is given.
//!
//! *Never:* the sidecar.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{LimitRange, LimitRangeItem},
    apimachinery::pkg::api::resource::Quantity,
};
use serde_json::{Map, Value, json};

use super::bounds::{Item, items};
use crate::injection::pod::CONTAINER_LISTS;

/// Fills in requests and limits that the containers of a pod do not say.
pub fn fill_in(pod: &mut Value, limit_ranges: &[LimitRange]) {
    for list in CONTAINER_LISTS {
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            fill(container, limit_ranges);
        }
    }
}

fn fill(container: &mut Map<String, Value>, limit_ranges: &[LimitRange]) {
    let Some(resources) = member(container, "resources") else { return };
    // Without a request the limit is the request, whatever the defaults.
    for (resource, limit) in member(resources, "limits").cloned().into_iter().flatten() {
        put(resources, "requests", &resource, limit);
    }
    for item in items("Container", limit_ranges) {
        for resource in named(item) {
            let item = Item { resource, item };
            for (kind, quantity) in [("limits", item.default_limit()), ("requests", item.default_request())] {
                if let Some(quantity) = quantity {
                    put(resources, kind, resource, json!(quantity));
                }
            }
        }
    }
}

/// All resources that an item has a word for.
pub(super) fn named(item: &LimitRangeItem) -> BTreeSet<&str> {
    let maps = [&item.default, &item.default_request, &item.max, &item.max_limit_request_ratio, &item.min];
    maps.into_iter().flatten().flat_map(BTreeMap::<String, Quantity>::keys).map(String::as_str).collect()
}

fn put(resources: &mut Map<String, Value>, kind: &str, resource: &str, quantity: Value) {
    if let Some(known) = member(resources, kind) {
        let own = known.entry(resource).or_insert(Value::Null);
        if own.is_null() {
            *own = quantity;
        }
    }
}

/// A member that is an object, made where there is none; what is of another type stays.
fn member<'a>(object: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let member = object.entry(name).or_insert(Value::Null);
    if member.is_null() {
        *member = json!({});
    }
    member.as_object_mut()
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use super::*;

    /// What becomes of an app's resources, requests and limits.
    #[track_caller]
    fn check(items: Value, resources: Value, expected: Value) {
        let range: LimitRange = serde_json::from_value(json!({"spec": {"limits": items}})).unwrap();
        for list in CONTAINER_LISTS {
            let mut pod = json!({"spec": {list: [{"name": "app", "resources": resources}]}});
            fill_in(&mut pod, std::slice::from_ref(&range));
            assert_eq!(pod["spec"][list][0]["resources"], expected, "{items} {resources}");
        }
    }

    #[test]
    fn what_a_container_does_not_say_is_filled_in() {
        let items = json!([
            {"type": "Pod", "max": {"cpu": "4"}},
            {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}},
        ]);
        let both = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}});
        check(items.clone(), json!({}), both.clone());
        check(items.clone(), json!(null), both.clone());
        check(items.clone(), json!({"requests": null, "limits": {"cpu": null}}), both);
        let own = json!({"requests": {"cpu": "50m", "memory": "1Gi"}});
        check(items, own, json!({"requests": {"cpu": "50m", "memory": "1Gi"}, "limits": {"cpu": "1"}}));
    }

    #[test]
    fn a_limit_of_the_containers_own_is_its_request_before_a_default_is() {
        let items = json!([{"type": "Container", "defaultRequest": {"cpu": "100m"}}]);
        check(items, json!({"limits": {"cpu": "2"}}), json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}));
    }

    #[test]
    fn without_a_default_the_maximum_or_the_minimum_is_one() {
        let check = |item: Value, expected: Value| check(json!([item]), json!({}), expected);
        check(
            json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}),
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}),
        );
        check(
            json!({"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}),
            json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}),
        );
        check(json!({"type": "Container", "min": {"cpu": "1"}}), json!({"requests": {"cpu": "1"}, "limits": {}}));
    }

    #[test]
    fn of_several_the_first_is_asked_first() {
        let items = json!([
            {"type": "Container", "default": {"cpu": "1"}},
            {"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}},
        ]);
        let same = json!({"cpu": "1", "memory": "1Gi"});
        check(items, json!({}), json!({"requests": same, "limits": same}));
    }

    #[test]
    fn what_is_no_pod_is_left_as_it_is() {
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}});
        let range: LimitRange = serde_json::from_value(range).unwrap();
        for text in [
            r#"{"spec":{"containers":{}}}"#,
            r#"{"spec":{"containers":[1,null,{"resources":3}]}}"#,
            r#"{"spec":3}"#,
            "[]",
            "null",
        ] {
            let mut pod: Value = serde_json::from_str(text).unwrap();
            fill_in(&mut pod, std::slice::from_ref(&range));
            assert_eq!(pod.to_string(), text);
        }
    }
}
