//! What fits stays, what does not is fitted; and whatever can be satisfied is, by the API server's own rules.

mod whole;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::injection::pod::RawPod;

fn resources(fields: Value) -> ResourceRequirements {
    serde_json::from_value(fields).unwrap()
}

fn ranges(items: &Value) -> Vec<LimitRange> {
    let object = |item: &Value| json!({"metadata": {"name": "bounds"}, "spec": {"limits": [item]}});
    items.as_array().unwrap().iter().map(|item| serde_json::from_value(object(item)).unwrap()).collect()
}

/// What a sidecar is given beside a pod's containers, the sidecar first.
fn given_beside(spec: &Value, wanted: &Value, items: &Value) -> Result<(Value, Vec<String>), String> {
    let pod = json!({"spec": spec});
    let sum_of = |resource: &str| PodSum::of(RawPod::new(&pod), 0, resource);
    let fitted = fit(&resources(wanted.clone()), sum_of, &ranges(items)).map_err(|no_room| no_room.sentence(""))?;
    Ok((serde_json::to_value(fitted.resources).unwrap(), fitted.warnings))
}

fn usual() -> Value {
    json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}})
}

/// What the usual sidecar is given in a namespace, requests and limits of CPU and memory.
#[track_caller]
fn check(items: Value, expected: [&str; 4]) {
    let (found, _) = given_beside(&json!({}), &usual(), &items).unwrap_or_else(|no_room| panic!("{items}: {no_room}"));
    let read = |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    let found = ["/requests/cpu", "/limits/cpu", "/requests/memory", "/limits/memory"].map(read);
    assert_eq!(found, expected, "{items}");
}

const USUAL_ONES: [&str; 4] = ["10m", "-", "16Mi", "64Mi"];

#[test]
fn what_fits_is_left_as_it_is() {
    check(json!([]), USUAL_ONES);
    check(json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}}]), USUAL_ONES);
    check(
        json!([{"type": "Container", "min": {"cpu": "10m", "memory": "16Mi"}, "max": {"memory": "64Mi"}}]),
        USUAL_ONES,
    );
    // The CPU limit is the default of the namespace, which the API server fills in.
    check(json!([{"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "500m"}}]), USUAL_ONES);
    check(json!([{"type": "Container", "max": {"ephemeral-storage": "1Gi"}}]), USUAL_ONES);
    check(json!([{"type": "Container", "maxLimitRequestRatio": {"memory": "4"}}]), USUAL_ONES);
    check(
        json!([{"type": "Container", "default": {"cpu": "1"}}, {"type": "Container", "default": {"cpu": "2"}}]),
        USUAL_ONES,
    );
    let odd = json!({"requests": {"memory": "16777216000m"}, "limits": {"memory": "0.0625Gi"}});
    assert_eq!(
        given_beside(&json!({}), &odd, &json!([{"type": "Container", "max": {"memory": "64Mi"}}])).unwrap().0,
        odd
    );
}

#[test]
fn a_minimum_raises_request_and_limit() {
    check(json!([{"type": "Container", "min": {"cpu": "50m", "memory": "32Mi"}}]), ["50m", "-", "32Mi", "64Mi"]);
    check(json!([{"type": "Container", "min": {"memory": "128Mi"}}]), ["10m", "-", "128Mi", "128Mi"]);
    check(json!([{"type": "Container", "min": {"memory": "100M"}}]), ["10m", "-", "100000000", "100000000"]);
    // The strictest of several.
    check(
        json!([{"type": "Container", "min": {"cpu": "20m"}}, {"type": "Container", "min": {"cpu": "30m"}}]),
        ["30m", "-", "16Mi", "64Mi"],
    );
}

#[test]
fn a_maximum_lowers_the_limit_with_a_warning() {
    check(json!([{"type": "Container", "max": {"memory": "32Mi"}}]), ["10m", "-", "16Mi", "32Mi"]);
    check(json!([{"type": "Container", "max": {"cpu": "5m"}}]), ["5m", "5m", "16Mi", "64Mi"]);
    let items = json!([{"type": "Container", "max": {"memory": "32Mi"}}]);
    assert_eq!(
        given_beside(&json!({}), &usual(), &items).unwrap().1,
        ["sidegate: the namespace's LimitRanges leave the sidecar a limit of 32Mi memory, not 64Mi"]
    );
}

#[test]
fn a_default_that_does_not_fit_is_written_out_of_the_way() {
    // 10m and a default limit of 5m would be refused.
    check(json!([{"type": "Container", "default": {"cpu": "5m"}}]), ["10m", "10m", "16Mi", "64Mi"]);
    // 10m and a default limit of 1 is a ratio of 100.
    let ratio = json!([{"type": "Container", "default": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "4"}}]);
    check(ratio, ["10m", "40m", "16Mi", "64Mi"]);
    check(
        json!([{"type": "Container", "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "10"}}]),
        ["10m", "100m", "16Mi", "64Mi"],
    );
    // Which one comes first is chance.
    let two = json!([{"type": "Container", "default": {"cpu": "5m"}}, {"type": "Container", "default": {"cpu": "1"}}]);
    check(two, ["10m", "10m", "16Mi", "64Mi"]);
}

#[test]
fn a_ratio_raises_the_request_and_keeps_the_limit() {
    check(json!([{"type": "Container", "maxLimitRequestRatio": {"memory": "2"}}]), ["10m", "-", "32Mi", "64Mi"]);
    check(json!([{"type": "Container", "maxLimitRequestRatio": {"memory": "1"}}]), ["10m", "-", "64Mi", "64Mi"]);
    check(
        json!([{"type": "Container", "maxLimitRequestRatio": {"memory": "1500m"}}]),
        ["10m", "-", "44739243", "64Mi"],
    );
    // There is none without a limit.
    check(json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]), ["10m", "20m", "16Mi", "64Mi"]);
}

#[test]
fn what_was_equal_stays_equal() {
    let same = json!({"cpu": "100m", "memory": "64Mi"});
    let wanted = json!({"requests": same, "limits": same});
    let items = json!([{"type": "Container", "max": {"cpu": "50m"}, "min": {"memory": "100Mi"}}]);
    let expected = json!({"cpu": "50m", "memory": "100Mi"});
    assert_eq!(given_beside(&json!({}), &wanted, &items).unwrap().0, json!({"requests": expected, "limits": expected}));
}

#[test]
fn too_little_is_no_sidecar() {
    let check = |spec: Value, items: Value, expected: &str| {
        assert_eq!(given_beside(&spec, &usual(), &items).unwrap_err(), expected, "{items}");
    };
    let sentence = |least: &str, resource: &str, found: &str| {
        format!("expected the namespace's LimitRanges to leave it at least {least} of {resource}, found {found}")
    };
    let small = json!([{"type": "Container", "max": {"memory": "8Mi"}}]);
    check(json!({}), small, &sentence("16Mi", "memory", "8Mi"));
    let apart = json!([{"type": "Container", "max": {"cpu": "1"}}, {"type": "Container", "min": {"cpu": "2"}}]);
    check(json!({}), apart, &sentence("2", "cpu", "1"));
    let full = json!({"containers": [{"resources": {"limits": {"memory": "1Gi"}}}]});
    check(full, json!([{"type": "Pod", "max": {"memory": "1Gi"}}]), &sentence("16Mi", "memory", "0"));
    let below_one = json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}]);
    assert!(given_beside(&json!({}), &usual(), &below_one).is_err());
}

/// One of each, of some resource.
pub(crate) fn no_rooms(resource: &str) -> Vec<NoRoom> {
    let (resource, most) = (resource.to_owned(), i64::MAX.to_string());
    let whose = "the namespace's LimitRanges";
    let too_little = TooLittle { whose, resource: resource.clone(), least: most.clone(), found: most };
    vec![NoRoom::Compulsory { resource }, too_little.into()]
}

/// What is written down in a pod with resources as a whole.
fn in_a_whole(ranges: &[LimitRange]) -> Result<ResourceRequirements, NoRoom> {
    let pod = json!({"spec": {"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "app"}]}});
    super::whole::fit(&ResourceRequirements::default(), RawPod::new(&pod), 0, ranges).map(|fitted| fitted.resources)
}

#[test]
fn what_the_sidecar_has_no_use_for_is_declined() {
    let gpu = |fields: Value| {
        let mut item = json!({"type": "Container"});
        for (field, amount) in fields.as_object().unwrap() {
            item[field] = json!({"example.com/gpu": amount});
        }
        json!([item])
    };
    let mut declined = usual();
    declined["requests"]["example.com/gpu"] = json!("0");
    declined["limits"]["example.com/gpu"] = json!("0");
    for fields in [json!({"max": "1"}), json!({"default": "1"}), json!({"defaultRequest": "1"}), json!({"min": "0"})] {
        assert_eq!(given_beside(&json!({}), &usual(), &gpu(fields.clone())).unwrap().0, declined, "{fields}");
        let nothing = in_a_whole(&ranges(&gpu(fields))).unwrap();
        let none = json!({"example.com/gpu": "0"});
        assert_eq!(serde_json::to_value(nothing).unwrap(), json!({"requests": none, "limits": none}));
    }
    for fields in [json!({"min": "1", "max": "2"}), json!({"maxLimitRequestRatio": "1"})] {
        let sentence = "expected LimitRanges that let it do without example.com/gpu, found one that does not";
        assert_eq!(given_beside(&json!({}), &usual(), &gpu(fields.clone())).unwrap_err(), sentence);
        assert_eq!(in_a_whole(&ranges(&gpu(fields))).unwrap_err().sentence(""), sentence);
    }
    // What is asked for stays.
    let own = json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}});
    assert_eq!(given_beside(&json!({}), &own, &gpu(json!({"max": "2"}))).unwrap().0, own);
    // Of a pod's sum the sidecar takes nothing anyway, and of these every container has some.
    let of_pods = json!([{"type": "Pod", "max": {"example.com/gpu": "1"}}]);
    assert_eq!(given_beside(&json!({}), &usual(), &of_pods).unwrap().0, usual());
}

#[test]
fn a_pod_has_room_for_what_is_left() {
    let check = |spec: Value, items: Value, expected: [&str; 4]| {
        let (found, _) = given_beside(&spec, &usual(), &items).unwrap();
        let read = |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
        assert_eq!(
            ["/requests/cpu", "/limits/cpu", "/requests/memory", "/limits/memory"].map(read),
            expected,
            "{spec} {items}"
        );
    };
    let app = |request: &str, limit: &str| json!({"resources": {"requests": {"memory": request}, "limits": {"memory": limit}}});
    let most = json!([{"type": "Pod", "max": {"memory": "1Gi"}}]);
    check(json!({"containers": [app("512Mi", "900Mi")]}), most.clone(), USUAL_ONES);
    check(json!({"containers": [app("512Mi", "1000Mi")]}), most.clone(), ["10m", "-", "16Mi", "24Mi"]);
    // Refused whatever we do.
    check(json!({"containers": [app("512Mi", "2Gi")]}), most.clone(), USUAL_ONES);
    // An init container that is done before the sidecar comes does not matter, one that runs beside it does.
    let mut spec = json!({"containers": [app("1Mi", "1Mi")], "initContainers": [app("1Gi", "1Gi")]});
    assert!(given_beside(&spec, &usual(), &most).is_err());
    spec["initContainers"][0]["restartPolicy"] = json!("Always");
    spec["initContainers"][0]["resources"] = json!({"limits": {"memory": "1000Mi"}});
    check(spec, most, ["10m", "-", "16Mi", "23Mi"]);
    // Without a limit of the pod's own, the bound looks at ours alone.
    let least = json!([{"type": "Pod", "min": {"memory": "128Mi"}}]);
    let without_limit = json!({"resources": {"requests": {"memory": "128Mi"}}});
    check(json!({"containers": [without_limit]}), least.clone(), ["10m", "-", "16Mi", "128Mi"]);
    check(json!({"containers": [app("128Mi", "128Mi")]}), least, USUAL_ONES);
    let ratio = json!([{"type": "Pod", "maxLimitRequestRatio": {"memory": "2"}}]);
    check(json!({"containers": [app("100Mi", "200Mi")]}), ratio, ["10m", "-", "32Mi", "64Mi"]);
}

#[test]
fn an_init_container_before_the_sidecar_takes_no_room() {
    let pod = json!({"spec": {
        "initContainers": [{"resources": {"limits": {"memory": "1Gi"}}}, {"name": "istio-proxy", "restartPolicy": "Always"}],
        "containers": [{"resources": {"limits": {"memory": "100Mi"}}}],
    }});
    let sum_of = |resource: &str| PodSum::of(RawPod::new(&pod), 2, resource);
    let items = json!([{"type": "Pod", "max": {"memory": "1Gi"}}]);
    assert_eq!(fit(&resources(usual()), sum_of, &ranges(&items)).unwrap().resources, resources(usual()));
}

/// Whether a value passes an item, by the API server's own rules: no value where one is needed is refused.
fn passes(item: &Value, resource: &str, request: Option<i128>, limit: Option<i128>) -> bool {
    let bound = |kind: &str| {
        let text = item.get(kind)?.get(resource)?.as_str()?;
        Some(Amount::parse(text).unwrap().thousandths)
    };
    let least =
        bound("min").is_none_or(|least| request.is_some_and(|r| least <= r) && limit.is_none_or(|l| least <= l));
    let most = bound("max").is_none_or(|most| limit.is_some_and(|l| l <= most) && request.is_none_or(|r| r <= most));
    #[expect(clippy::cast_precision_loss, reason = "so does the API server")]
    let ratio = bound("maxLimitRequestRatio").is_none_or(|ratio| match (request, limit) {
        (Some(request), Some(limit)) => {
            0 < request && 0 < limit && limit as f64 / request as f64 * 1000.0 <= ratio as f64
        }
        _ => false,
    });
    least && most && ratio
}

/// What the API server fills in for a container, from the first item that says something.
fn defaulted(
    items: &[Value],
    resource: &str,
    request: Option<i128>,
    limit: Option<i128>,
) -> (Option<i128>, Option<i128>) {
    let first = |kinds: &[&str]| {
        items.iter().filter(|item| item["type"] == "Container").find_map(|item| {
            kinds.iter().find_map(|kind| Some(Amount::parse(item.get(kind)?.get(resource)?.as_str()?)?.thousandths))
        })
    };
    let request = request.or(limit).or_else(|| first(&["defaultRequest", "default", "max", "min"]));
    (request, limit.or_else(|| first(&["default", "max"])))
}

/// A small amount of CPU, sometimes none.
fn amount() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(1_u32..12)
}

fn item() -> impl Strategy<Value = Value> {
    let ratio = prop::option::of(prop_oneof![Just("1"), Just("2"), Just("1500m"), Just("3"), Just("1100m")]);
    (any::<bool>(), amount(), amount(), ratio, amount(), amount()).prop_map(
        |(is_pod, least, most, ratio, limit, request)| {
            let written = |amount: Option<u32>| amount.map(|amount| format!("{amount}m"));
            let mut item = json!({"type": if is_pod { "Pod" } else { "Container" }});
            let defaults = if is_pod { (None, None) } else { (written(limit), written(request)) };
            let fields = [
                ("min", written(least)),
                ("max", written(most)),
                ("maxLimitRequestRatio", ratio.map(str::to_owned)),
                ("default", defaults.0),
                ("defaultRequest", defaults.1),
            ];
            for (field, value) in fields {
                if let Some(value) = value {
                    item[field] = json!({"cpu": value});
                }
            }
            item
        },
    )
}

/// Requests and limits of a container, as its owner may write them.
fn container() -> impl Strategy<Value = Value> {
    (amount(), amount()).prop_map(|(request, limit)| {
        let request = request.map(|request| request.min(limit.unwrap_or(request)));
        let map = |amount: Option<u32>| amount.map_or(json!({}), |amount| json!({"cpu": format!("{amount}m")}));
        json!({"resources": {"requests": map(request), "limits": map(limit)}})
    })
}

/// Sums over containers that all run at a time, without a request the limit.
fn summed(containers: &[Value]) -> (Option<i128>, Option<i128>) {
    let read = |container: &Value, kind: &str| {
        Some(Amount::parse(container["resources"][kind].get("cpu")?.as_str()?)?.thousandths)
    };
    let sum = |each: &dyn Fn(&Value) -> Option<i128>| containers.iter().filter_map(each).reduce(|a, b| a + b);
    (sum(&|one| read(one, "requests").or(read(one, "limits"))), sum(&|one| read(one, "limits")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_can_be_satisfied_is_and_what_fits_is_unchanged(
        wanted in container(),
        containers in prop::collection::vec(container(), 0..3),
        items in prop::collection::vec(item(), 0..4),
    ) {
        let of_pods: Vec<_> = items.iter().filter(|item| item["type"] == "Pod").cloned().collect();
        let of_containers: Vec<_> = items.iter().filter(|item| item["type"] == "Container").cloned().collect();
        let alone = summed(&containers);
        // As the API server looks at it: in any order of the LimitRanges, all of them, but for what fails without us.
        let accepted = |sidecar: &Value| {
            // All orders of three.
            (0..3).flat_map(|first| [(first, false), (first, true)]).all(|(first, is_reversed)| {
                let mut order = of_containers.clone();
                if !order.is_empty() {
                    let first = first % order.len();
                    order.rotate_left(first);
                }
                if is_reversed {
                    order.reverse();
                }
                let (request, limit) = summed(std::slice::from_ref(sidecar));
                let (request, limit) = defaulted(&order, "cpu", request, limit);
                let mut whole = containers.clone();
                let text = |amount: Option<i128>| amount.map_or(json!({}), |amount| json!({"cpu": format!("{amount}m")}));
                whole.push(json!({"resources": {"requests": text(request), "limits": text(limit)}}));
                let (pods_request, pods_limit) = summed(&whole);
                request.zip(limit).is_none_or(|(request, limit)| request <= limit)
                    && of_containers.iter().all(|item| passes(item, "cpu", request, limit))
                    && of_pods.iter().all(|item| {
                        // Each rule of an item by itself.
                        ["min", "max", "maxLimitRequestRatio"].into_iter().all(|rule| {
                            let one = json!({rule: item.get(rule)});
                            passes(&one, "cpu", pods_request, pods_limit) || !passes(&one, "cpu", alone.0, alone.1)
                        })
                    })
            })
        };
        let found = given_beside(&json!({"containers": containers}), &wanted["resources"], &json!(items));
        let own = json!({"resources": wanted["resources"]});
        if accepted(&own) {
            let unchanged = serde_json::to_value(resources(wanted["resources"].clone())).unwrap();
            prop_assert_eq!(found.map(|(found, _)| found), Ok(unchanged));
            return Ok(());
        }
        if let Ok((found, _)) = &found {
            prop_assert!(accepted(&json!({"resources": found})), "{} does not pass", found);
            let (request, limit) = summed(std::slice::from_ref(&own));
            let (after_request, after_limit) = summed(&[json!({"resources": found})]);
            if request.is_some() && request == limit {
                prop_assert_eq!(after_request, after_limit);
            }
        } else {
            let passing = (1..40).flat_map(|limit| (1..=limit).map(move |request| (request, limit))).find(|(request, limit)| {
                let map = |amount: &i32| json!({"cpu": format!("{amount}m")});
                accepted(&json!({"resources": {"requests": map(request), "limits": map(limit)}}))
            });
            prop_assert_eq!(passing, None, "{:?}", found);
        }
    }
}
