//! A pod with resources as a whole is never refused because of its sidecar: by the API server's own rules, in its order.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{amount, container, defaulted, item, passes, ranges, resources, summed, usual};
use crate::injection::{limit_range::whole::fit, pod::RawPod};

/// What is written down for the usual sidecar of a pod, and the warnings.
fn written(spec: &Value, items: &Value) -> Result<(Value, Vec<String>), String> {
    let pod = json!({"spec": spec});
    let fitted =
        fit(&resources(usual()), RawPod::new(&pod), 0, &ranges(items)).map_err(|no_room| no_room.sentence(""))?;
    Ok((serde_json::to_value(fitted.resources).unwrap(), fitted.warnings))
}

#[track_caller]
fn check(spec: Value, items: Value, expected: Value) {
    assert_eq!(written(&spec, &items).map(|(found, _)| found), Ok(expected), "{spec} {items}");
}

/// A pod with resources as a whole and one container.
fn pod(whole: Value, app: Value) -> Value {
    json!({"resources": whole, "containers": [{"resources": app}]})
}

#[test]
fn nothing_is_written_where_nothing_is_said_about_containers() {
    let spec = pod(json!({"requests": {"memory": "200Mi"}}), json!({}));
    check(spec.clone(), json!([]), json!({}));
    check(spec.clone(), json!([{"type": "Pod", "max": {"cpu": "2", "memory": "1Gi"}}]), json!({}));
    check(spec, json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}}]), json!({}));
}

#[test]
fn a_default_is_written_out_of_the_way() {
    let spec = pod(json!({"requests": {"memory": "200Mi"}}), json!({"requests": {"memory": "128Mi"}}));
    let request = json!([{"type": "Container", "defaultRequest": {"memory": "128Mi"}}]);
    check(spec.clone(), request, json!({"requests": {"memory": "0"}}));
    let limit = json!([{"type": "Container", "default": {"cpu": "500m", "memory": "512Mi"}}]);
    check(
        spec,
        limit.clone(),
        json!({"requests": {"cpu": "0", "memory": "0"}, "limits": {"cpu": "500m", "memory": "64Mi"}}),
    );
    // No more than the pod has.
    let small =
        pod(json!({"limits": {"cpu": "200m", "memory": "48Mi"}}), json!({"requests": {"cpu": "1m", "memory": "1Mi"}}));
    check(small, limit, json!({"requests": {"cpu": "0", "memory": "0"}, "limits": {"cpu": "200m", "memory": "48Mi"}}));
    // What a pod as a whole cannot have is the namespace's affair.
    let storage = json!([{"type": "Container", "default": {"ephemeral-storage": "1Gi"}}]);
    check(pod(json!({"requests": {"memory": "1Gi"}}), json!({})), storage, json!({}));
}

#[test]
fn a_minimum_needs_what_the_others_leave() {
    let least = json!([{"type": "Container", "min": {"memory": "128Mi"}}]);
    let check = |whole: &str, app: Value, expected: Result<&str, &str>| {
        let found = written(&pod(json!({"requests": {"memory": whole}}), app), &least).map(|(found, _)| found);
        let expected = expected.map(|request| json!({"requests": {"memory": request}})).map_err(str::to_owned);
        assert_eq!(found, expected, "{whole}");
    };
    check("256Mi", json!({"requests": {"memory": "128Mi"}}), Ok("128Mi"));
    // The container is going to have the minimum too.
    check("256Mi", json!({}), Ok("128Mi"));
    let no_room = "expected the pod's resources to leave it at least 128Mi of memory, found 72Mi";
    check("200Mi", json!({"requests": {"memory": "128Mi"}}), Err(no_room));
    check("200Mi", json!({}), Err(no_room));
    // Refused whatever we do.
    check("100Mi", json!({"requests": {"memory": "128Mi"}}), Ok("128Mi"));
}

#[test]
fn a_ratio_asks_for_both_sides() {
    let ratio = json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "4", "memory": "4"}}]);
    let app = json!({"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "200m", "memory": "200Mi"}});
    let whole = |memory: &str| json!({"requests": {"cpu": "1", "memory": memory}});
    let expected = |request: &str, limit: &str| json!({"requests": {"cpu": "10m", "memory": request}, "limits": {"cpu": "40m", "memory": limit}});
    check(pod(whole("1Gi"), app.clone()), ratio.clone(), expected("16Mi", "64Mi"));
    check(pod(whole("108Mi"), app.clone()), ratio.clone(), expected("8Mi", "32Mi"));
    let (_, warnings) = written(&pod(whole("108Mi"), app.clone()), &ratio).unwrap();
    assert_eq!(
        warnings,
        ["sidegate: the pod's resources and LimitRanges leave the sidecar a limit of 32Mi memory, not 64Mi"]
    );
    assert_eq!(
        written(&pod(whole("103Mi"), app), &ratio).unwrap_err(),
        "expected the pod's resources to leave it at least 16Mi of memory, found 3Mi"
    );
}

#[test]
fn a_maximum_that_is_too_small_is_the_namespaces() {
    let spec = pod(json!({"requests": {"memory": "1Gi"}}), json!({}));
    assert_eq!(
        written(&spec, &json!([{"type": "Container", "max": {"memory": "8Mi"}}])).unwrap_err(),
        "expected the namespace's LimitRanges to leave it at least 16Mi of memory, found 8Mi"
    );
}

#[test]
fn a_manifests_requests_are_left_for_the_api_server_to_make() {
    let items = json!([{"type": "Container", "defaultRequest": {"memory": "100Mi"}}]);
    let whole = |limit: &str| pod(json!({"limits": {"memory": limit}}), json!({}));
    check(whole("1Gi"), items.clone(), json!({}));
    assert_eq!(
        written(&whole("150Mi"), &items).unwrap_err(),
        "expected the pod's resources to leave it at least 16Mi of memory, found 50Mi"
    );
}

/// CPU as the API server has it, in thousandths.
#[derive(Clone, Debug)]
struct Pod {
    whole: (Option<i128>, Option<i128>),
    /// The sidecar last, which all run with.
    containers: Vec<(Option<i128>, Option<i128>)>,
}

fn map(amount: Option<i128>) -> Value {
    amount.map_or(json!({}), |amount| json!({"cpu": format!("{amount}m")}))
}

fn as_resources((request, limit): (Option<i128>, Option<i128>)) -> Value {
    json!({"requests": map(request), "limits": map(limit)})
}

impl Pod {
    fn spec(&self) -> Value {
        let containers = self.containers.iter().map(|one| json!({"resources": as_resources(*one)}));
        json!({"resources": as_resources(self.whole), "containers": containers.collect::<Vec<_>>()})
    }

    fn sum(&self) -> (Option<i128>, Option<i128>) {
        let all: Vec<_> = self.containers.iter().map(|one| json!({"resources": as_resources(*one)})).collect();
        summed(&all)
    }

    /// What reading it sets.
    fn decoded(mut self) -> Self {
        for (request, limit) in &mut self.containers {
            *request = request.or(*limit);
        }
        if self.whole.1.is_some() {
            self.whole.0 = self.whole.0.or(self.sum().0).or(self.whole.1);
        }
        self
    }

    /// What LimitRanger sets.
    fn filled(mut self, items: &[Value]) -> Self {
        for one in &mut self.containers {
            *one = defaulted(items, "cpu", one.0, one.1);
        }
        self
    }

    fn is_valid(&self, items: &[Value]) -> bool {
        let (sum_request, sum_limit) = self.sum();
        let sum = (self.whole.0.or(sum_request), self.whole.1.or(sum_limit));
        let is_ordered =
            |(request, limit): (Option<i128>, Option<i128>)| request.zip(limit).is_none_or(|(r, l)| r <= l);
        is_ordered(self.whole)
            && sum_request.zip(self.whole.0).is_none_or(|(sum, whole)| sum <= whole)
            && self.containers.iter().all(|one| is_ordered(*one) && one.1.zip(self.whole.1).is_none_or(|(l, w)| l <= w))
            && items.iter().all(|item| {
                let all: &[_] = if item["type"] == "Pod" { &[sum] } else { &self.containers };
                all.iter().all(|(request, limit)| passes(item, "cpu", *request, *limit))
            })
    }

    fn with(mut self, sidecar: &Value) -> Self {
        self.containers.push(summed(&[json!({"resources": sidecar})]));
        self
    }
}

/// The CPU of a sidecar that wants nothing, if nothing is written down.
fn sidecar_of(pod: &Pod, usual: &Value, items: &[Value]) -> Result<Value, String> {
    let pod = json!({"spec": pod.spec()});
    let fitted = fit(&resources(usual.clone()), RawPod::new(&pod), 0, &ranges(&json!(items)));
    let fitted = fitted.map_err(|no_room| no_room.sentence(""))?;
    Ok(serde_json::to_value(fitted.resources).unwrap())
}

fn pods() -> impl Strategy<Value = Pod> {
    let whole = (prop::option::of(1_u32..30), prop::option::of(1_u32..30));
    (whole, prop::collection::vec((amount(), amount()), 1..3)).prop_map(|((request, limit), containers)| {
        let wide = |amount: Option<u32>| amount.map(i128::from);
        let ordered = |(request, limit): (Option<u32>, Option<u32>)| {
            (wide(request.map(|request| request.min(limit.unwrap_or(request)))), wide(limit))
        };
        Pod { whole: ordered((request, limit)), containers: containers.into_iter().map(ordered).collect() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_passed_without_the_sidecar_passes_with_it(
        pod in pods(),
        usual in container(),
        items in prop::collection::vec(item(), 0..4),
        first in 0_usize..4,
    ) {
        let usual = &usual["resources"];
        // In whatever order the LimitRanges are asked.
        let mut order = items.clone();
        order.rotate_left(first % items.len().max(1));
        let asked = pod.clone().decoded().filled(&order);
        if pod.whole != (None, None) && asked.is_valid(&order) {
            let found = sidecar_of(&asked, usual, &items);
            let becomes = |sidecar: &Value| asked.clone().with(sidecar).decoded().filled(&order);
            if let Ok(found) = &found {
                prop_assert!(becomes(found).is_valid(&order), "{:?} of {:?}", found, asked);
            } else if items.iter().all(|item| item["type"] == "Container") {
                let shares = (0..40).flat_map(|limit| (0..=limit).map(move |request| (Some(request), Some(limit))));
                let passing = shares.map(as_resources).find(|share| becomes(share).is_valid(&order));
                prop_assert_eq!(passing, None, "{:?} in {:?}", found, asked);
            }
        }
        // A manifest is asked for before anything is set, and the one default of its namespace is known.
        let of_containers: Vec<_> = items.into_iter().filter(|item| item["type"] == "Container").take(1).collect();
        if pod.whole != (None, None)
            && pod.clone().decoded().filled(&of_containers).is_valid(&of_containers)
            && let Ok(found) = sidecar_of(&pod, usual, &of_containers)
        {
            let becomes = pod.clone().with(&found).decoded().filled(&of_containers);
            prop_assert!(becomes.is_valid(&of_containers), "{:?} of {:?}", found, pod);
        }
    }
}
