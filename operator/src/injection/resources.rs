//! The quantities that a group, and then a pod, says for its sidecar, put over those that it would have. Pure.
//!
//! One side of a pair that is not said follows where it would otherwise be on the wrong side of the other, or was the
//! same: no request is greater than its limit, and a pod of class Guaranteed stays one.
//!
//! *Never:* what a sidecar has by itself, the bounds of a namespace.

use std::collections::BTreeMap;

use crds::names;
use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};

use super::{
    bad_value::BadValue,
    quantity::{Amount, ONE},
};

/// The least memory that may be asked for, in thousandths of a byte: [`crds::sidecar::LEAST_REQUEST`].
pub const LEAST_REQUEST: i128 = 1024 * 1024 * ONE;

/// The least memory or ephemeral storage that a sidecar may be limited to: [`crds::sidecar::LEAST_LIMIT`].
pub const LEAST_LIMIT: i128 = 16 * LEAST_REQUEST;

/// What is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantities {
    /// Of CPU.
    pub cpu: Pair,
    /// Of memory.
    pub memory: Pair,
}

/// What is said about one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

/// Puts what a group says over what there would be; resources of its own come as they are.
///
/// # Errors
/// When the API server would refuse a container with it, or a sidecar would not start, or a request is greater than its
/// limit. The schema of a group refuses all of it, but one of before may have let it pass.
pub fn of_group(group: &ResourceRequirements, usual: ResourceRequirements) -> Result<ResourceRequirements, BadValue> {
    check("requests", &group.requests, &[("memory", LEAST_REQUEST, crds::sidecar::LEAST_REQUEST)])?;
    let least = |name| (name, LEAST_LIMIT, crds::sidecar::LEAST_LIMIT);
    check("limits", &group.limits, &[least("memory"), least("ephemeral-storage")])?;
    let pair = |resource: &str| Pair { request: of(&group.requests, resource), limit: of(&group.limits, resource) };
    let name = |resource: &str| format!("PushGroup's resources.requests.{resource}");
    let said = pair("cpu").over(usual, "cpu", &name("cpu"))?;
    let mut said = pair("memory").over(said, "memory", &name("memory"))?;
    for (all, own) in [(&mut said.requests, &group.requests), (&mut said.limits, &group.limits)] {
        for (resource, quantity) in own.iter().flatten() {
            all.get_or_insert_default().entry(resource.clone()).or_insert_with(|| quantity.clone());
        }
    }
    Ok(ResourceRequirements { claims: group.claims.clone(), ..said })
}

/// Whether a container may have such quantities; some at the least so much, in thousandths and as it is written.
fn check(
    side: &str,
    quantities: &Option<BTreeMap<String, Quantity>>,
    least: &[(&str, i128, &str)],
) -> Result<(), BadValue> {
    for (resource, quantity) in quantities.iter().flatten() {
        let bad = |name: String, expected: String, found: &str| {
            Err(BadValue { name: format!("PushGroup's {name}"), expected, such_as: None, found: found.to_owned() })
        };
        if !["cpu", "memory", "ephemeral-storage"].contains(&resource.as_str()) {
            let expected = "cpu, memory and ephemeral-storage".to_owned();
            return bad(format!("resources.{side}"), expected, resource);
        }
        let least = least.iter().find(|(name, ..)| name == resource);
        let (thousandths, written) = least.map_or((0, "0"), |(_, thousandths, written)| (*thousandths, written));
        if Amount::parse(&quantity.0).is_none_or(|amount| amount.thousandths < thousandths) {
            return bad(format!("resources.{side}.{resource}"), format!("{written} or more"), &quantity.0);
        }
    }
    Ok(())
}

fn of(quantities: &Option<BTreeMap<String, Quantity>>, resource: &str) -> Option<Quantity> {
    quantities.as_ref()?.get(resource).cloned()
}

// === impl Quantities ===

impl Quantities {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Puts them over what there would be.
    ///
    /// # Errors
    /// When a request is greater than its limit.
    pub fn over(&self, usual: ResourceRequirements) -> Result<ResourceRequirements, BadValue> {
        let cpu = self.cpu.over(usual, "cpu", names::CPU_REQUEST)?;
        self.memory.over(cpu, "memory", names::MEMORY_REQUEST)
    }
}

// === impl Pair ===

impl Pair {
    /// Reads a request of so many thousandths at least.
    pub fn set_request(&mut self, text: &str, least: i128) -> Option<()> {
        self.request = Some(quantity(text, least)?);
        Some(())
    }

    /// Reads a limit of so many thousandths at least.
    pub fn set_limit(&mut self, text: &str, least: i128) -> Option<()> {
        self.limit = Some(quantity(text, least)?);
        Some(())
    }

    fn over(
        &self,
        usual: ResourceRequirements,
        resource: &str,
        request_name: &str,
    ) -> Result<ResourceRequirements, BadValue> {
        let ResourceRequirements { mut requests, mut limits, claims } = usual;
        let (request, limit) = (of(&requests, resource), of(&limits, resource));
        let (request, limit) = match (&self.request, &self.limit) {
            (None, None) => (request, limit),
            (Some(request), Some(limit)) if exceeds(request, limit) => {
                return Err(BadValue {
                    name: request_name.to_owned(),
                    expected: format!("at most the limit, {}", limit.0),
                    such_as: None,
                    found: request.0.clone(),
                });
            }
            (Some(request), Some(limit)) => (Some(request.clone()), Some(limit.clone())),
            (Some(own), None) => {
                let follows = |limit: &Quantity| exceeds(own, limit) || request.as_ref() == Some(limit);
                (Some(own.clone()), limit.map(|limit| if follows(&limit) { own.clone() } else { limit }))
            }
            (None, Some(own)) => {
                let follows = |request: &Quantity| exceeds(request, own) || limit.as_ref() == Some(request);
                (request.map(|request| if follows(&request) { own.clone() } else { request }), Some(own.clone()))
            }
        };
        for (all, one) in [(&mut requests, request), (&mut limits, limit)] {
            if let Some(one) = one {
                all.get_or_insert_default().insert(resource.to_owned(), one);
            }
        }
        Ok(ResourceRequirements { requests, limits, claims })
    }
}

fn quantity(text: &str, least: i128) -> Option<Quantity> {
    let amount = Amount::parse(text).filter(|amount| least <= amount.thousandths)?;
    Some(Quantity(amount.to_string()))
}

fn exceeds(one: &Quantity, other: &Quantity) -> bool {
    let amount = |quantity: &Quantity| Amount::parse(&quantity.0).map(|amount| amount.thousandths);
    amount(one) > amount(other)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Requests and limits of memory, `request/limit`, with what the pod says over what there would be.
    #[track_caller]
    fn check(usual: &str, own: &str, expected: &str) {
        let pair = |text: &str| {
            let (request, limit) = text.split_once('/').unwrap();
            [request, limit].map(|text| Some(Quantity(text.to_owned())).filter(|quantity| !quantity.0.is_empty()))
        };
        let map =
            |quantity: Option<Quantity>| quantity.map(|quantity| BTreeMap::from([("memory".to_owned(), quantity)]));
        let ([request, limit], [own_request, own_limit]) = (pair(usual), pair(own));
        let usual = ResourceRequirements { requests: map(request), limits: map(limit), claims: None };
        let memory = Pair { request: own_request, limit: own_limit };
        let found = match (Quantities { memory, ..Quantities::default() }).over(usual) {
            Ok(found) => {
                let of = |quantities: Option<BTreeMap<String, Quantity>>| {
                    quantities.and_then(|mut all| all.remove("memory")).map(|quantity| quantity.0).unwrap_or_default()
                };
                format!("{}/{}", of(found.requests), of(found.limits))
            }
            Err(bad) => bad.sentence(""),
        };
        assert_eq!(found, expected, "{own} over {usual:?}", usual = own);
    }

    #[test]
    fn what_the_pod_says_wins_and_the_other_side_follows_where_it_must() {
        check("16Mi/64Mi", "/", "16Mi/64Mi");
        check("16Mi/64Mi", "32Mi/", "32Mi/64Mi");
        check("16Mi/64Mi", "/128Mi", "16Mi/128Mi");
        check("16Mi/64Mi", "128Mi/", "128Mi/128Mi");
        check("32Mi/64Mi", "/16Mi", "16Mi/16Mi");
        check("16Mi/64Mi", "32Mi/32Mi", "32Mi/32Mi");
        check("/", "32Mi/", "32Mi/");
        check("/64Mi", "32Mi/", "32Mi/64Mi");
        check("16Mi/", "/8Mi", "8Mi/8Mi");
    }

    #[test]
    fn what_was_the_same_stays_the_same() {
        check("64Mi/64Mi", "32Mi/", "32Mi/32Mi");
        check("64Mi/64Mi", "/128Mi", "128Mi/128Mi");
    }

    #[test]
    fn a_request_is_not_greater_than_its_limit() {
        let sentence = "sidegate.dev/memory-request: expected at most the limit, 64Mi, found \"1Gi\"";
        check("16Mi/64Mi", "1Gi/64Mi", sentence);
        check("16Mi/64Mi", "65536Ki/64Mi", "65536Ki/64Mi");
    }

    #[test]
    fn a_group_says_nothing_that_a_container_may_not_have_or_a_sidecar_does_not_start_with() {
        let said = |side: &str, resource: &str, quantity: &str| {
            let group = json!({side: {resource: quantity}});
            let usual = ResourceRequirements::default();
            let found = of_group(&serde_json::from_value(group).unwrap(), usual);
            found.err().map(|bad| bad.sentence("")).unwrap_or_default()
        };
        for (side, resource, quantity, expected) in [
            ("requests", "cpu", "-1", "PushGroup's resources.requests.cpu: expected 0 or more, found \"-1\""),
            ("requests", "cpu", "0", ""),
            ("requests", "cpu", "much", "PushGroup's resources.requests.cpu: expected 0 or more, found \"much\""),
            ("requests", "memory", "64m", "PushGroup's resources.requests.memory: expected 1Mi or more, found \"64m\""),
            ("requests", "memory", "1Mi", ""),
            ("requests", "ephemeral-storage", "1", ""),
            ("limits", "memory", "8Mi", "PushGroup's resources.limits.memory: expected 16Mi or more, found \"8Mi\""),
            ("limits", "memory", "16Mi", ""),
            (
                "limits",
                "ephemeral-storage",
                "1Mi",
                "PushGroup's resources.limits.ephemeral-storage: expected 16Mi or more, found \"1Mi\"",
            ),
            (
                "limits",
                "nvidia.com/gpu",
                "1",
                "PushGroup's resources.limits: expected cpu, memory and ephemeral-storage, found \"nvidia.com/gpu\"",
            ),
        ] {
            assert_eq!(said(side, resource, quantity), expected);
        }
    }

    #[test]
    fn what_is_least_is_the_same_for_a_group_and_for_a_pod() {
        let least = |written: &str| Amount::parse(written).unwrap().thousandths;
        assert_eq!(least(crds::sidecar::LEAST_REQUEST), LEAST_REQUEST);
        assert_eq!(least(crds::sidecar::LEAST_LIMIT), LEAST_LIMIT);
    }

    #[test]
    fn other_resources_stay_as_they_are() {
        let usual: Value =
            json!({"requests": {"cpu": "10m", "ephemeral-storage": "1Gi"}, "limits": {"memory": "64Mi"}});
        let mut own = Quantities::default();
        own.cpu.set_limit("0.2", 1).unwrap();
        let found = own.over(serde_json::from_value(usual).unwrap()).unwrap();
        assert_eq!(
            serde_json::to_value(found).unwrap(),
            json!({"requests": {"cpu": "10m", "ephemeral-storage": "1Gi"}, "limits": {"memory": "64Mi", "cpu": "200m"}})
        );
    }
}
