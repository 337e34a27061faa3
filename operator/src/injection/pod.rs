//! A pod as the API server sent it, read field by field and never through a type that could lose one.
//!
//! A field that is absent, `null`, or of an unexpected type reads as absent.
//!
//! *Never:* what follows from a field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::quantity;

/// The two lists of containers.
pub const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];

/// The label by which a node tells its operating system, and the old name of it.
const SYSTEM_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// A pod's raw JSON.
#[derive(Clone, Copy, Debug)]
pub struct RawPod<'a> {
    raw: &'a Value,
}

// === impl RawPod ===

impl<'a> RawPod<'a> {
    /// Looks at a pod.
    #[must_use]
    pub fn new(raw: &'a Value) -> Self {
        Self { raw }
    }

    /// A value by JSON pointer; `null` counts as absent.
    #[must_use]
    pub fn at(self, pointer: &str) -> Option<&'a Value> {
        self.raw.pointer(pointer).filter(|value| !value.is_null())
    }

    /// Whether it has a spec at all.
    #[must_use]
    pub fn has_spec(self) -> bool {
        self.at("/spec").is_some_and(Value::is_object)
    }

    /// All labels.
    #[must_use]
    pub fn labels(self) -> BTreeMap<String, String> {
        let labels = self.at("/metadata/labels").and_then(Value::as_object);
        labels.map(strings).unwrap_or_default()
    }

    /// A label or, without it, the annotation of the same name.
    #[must_use]
    pub fn label_or_annotation(self, name: &str) -> Option<&'a str> {
        let read = |pointer| self.at(pointer).and_then(|map| map.get(name)).and_then(Value::as_str);
        read("/metadata/labels").or_else(|| read("/metadata/annotations"))
    }

    /// The containers of one list, in order.
    pub fn containers(self, list: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.at("/spec").and_then(|spec| spec.get(list)).and_then(Value::as_array).into_iter().flatten()
    }

    /// The containers of both lists.
    pub fn all_containers(self) -> impl Iterator<Item = &'a Value> {
        CONTAINER_LISTS.into_iter().flat_map(move |list| self.containers(list))
    }

    /// Whether it stands for a file on a node, which the kubelet runs as it is.
    #[must_use]
    pub fn is_a_mirror(self) -> bool {
        self.at("/metadata/annotations/kubernetes.io~1config.mirror").is_some()
    }

    /// An annotation.
    #[must_use]
    pub fn annotation(self, name: &str) -> Option<&'a str> {
        self.at("/metadata/annotations").and_then(|map| map.get(name)).and_then(Value::as_str)
    }

    /// The names of all labels or annotations that begin in some way; `field` is `labels` or `annotations`.
    pub fn names_under(self, field: &str, prefix: &str) -> impl Iterator<Item = &'a str> {
        let map = self.at("/metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_object);
        map.into_iter().flat_map(Map::keys).map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// Whether it shares the node's network.
    #[must_use]
    pub fn uses_host_network(self) -> bool {
        self.at("/spec/hostNetwork").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether it says that it runs on Windows: by its system, by its nodes', or else by options that only Windows has.
    #[must_use]
    pub fn runs_on_windows(self) -> bool {
        self.system().map_or_else(|| self.has_windows_options(), |system| system == "windows")
    }

    /// The one operating system that it runs on, where it says so.
    fn system(self) -> Option<&'a str> {
        let own = self.at("/spec/os/name").and_then(Value::as_str);
        let labels = self.at("/spec/nodeSelector");
        let selected = || SYSTEM_LABELS.iter().find_map(|label| text(labels?, label));
        own.or_else(selected).or_else(|| self.system_of_affinity())
    }

    fn system_of_affinity(self) -> Option<&'a str> {
        let required = self.at("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution")?;
        // A node has to meet one of the terms, whichever.
        let mut systems = required.get("nodeSelectorTerms")?.as_array()?.iter().map(system_of_term);
        let first = systems.next()??;
        systems.all(|system| system == Some(first)).then_some(first)
    }

    fn has_windows_options(self) -> bool {
        let has_some = |object: &Value| {
            let options = object.pointer("/securityContext/windowsOptions").and_then(Value::as_object);
            options.is_some_and(|options| !options.is_empty())
        };
        self.at("/spec").is_some_and(has_some) || self.all_containers().any(has_some)
    }

    /// Whether a Job owns it.
    #[must_use]
    pub fn is_owned_by_a_job(self) -> bool {
        let owners = self.at("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().any(|owner| {
            let is = |field: &str, start: &str| {
                owner.get(field).and_then(Value::as_str).is_some_and(|text| text.starts_with(start))
            };
            owner.get("kind").and_then(Value::as_str) == Some("Job") && is("apiVersion", "batch/")
        })
    }

    /// How long it may run, in seconds.
    #[must_use]
    pub fn active_deadline_seconds(self) -> Option<i64> {
        self.at("/spec/activeDeadlineSeconds").and_then(Value::as_i64)
    }

    /// How long it may take to end, in seconds.
    #[must_use]
    pub fn grace_period_seconds(self) -> Option<i64> {
        self.at("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64)
    }

    /// Whether resources are given for the pod as a whole: any at all, as Kubernetes' own `IsPodLevelResourcesSet` has it.
    #[must_use]
    pub fn has_pod_level_resources(self) -> bool {
        let given =
            |part: &str| self.at(part).and_then(Value::as_object).is_some_and(|resources| !resources.is_empty());
        given("/spec/resources/requests") || given("/spec/resources/limits")
    }

    /// Whether every container has a CPU limit.
    #[must_use]
    pub fn is_cpu_limited(self) -> bool {
        let limit =
            |container: &Value| container.pointer("/resources/limits/cpu").is_some_and(|limit| !limit.is_null());
        let mut containers = self.all_containers().peekable();
        containers.peek().is_some() && containers.all(limit)
    }

    /// Whether a container has a limit of what it writes to its node's disk.
    #[must_use]
    pub fn has_storage_limit(self) -> bool {
        let limit = |container: &Value| container.pointer("/resources/limits/ephemeral-storage").cloned();
        self.all_containers().filter_map(limit).any(|limit| !limit.is_null())
    }

    /// Whether every container asks for exactly what it may use, which makes the pod's class `Guaranteed`.
    #[must_use]
    pub fn is_guaranteed(self) -> bool {
        let mut containers = self.all_containers().peekable();
        containers.peek().is_some() && containers.all(is_container_guaranteed)
    }
}

/// The text behind a field of an object.
#[must_use]
pub fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

/// The one operating system of the nodes that meet a term.
fn system_of_term(term: &Value) -> Option<&str> {
    term.get("matchExpressions")?.as_array()?.iter().find_map(|expression| {
        let is_of_systems = text(expression, "key").is_some_and(|key| SYSTEM_LABELS.contains(&key));
        let values = expression.get("values")?.as_array()?;
        match values.as_slice() {
            [only] if is_of_systems && text(expression, "operator") == Some("In") => only.as_str(),
            _ => None,
        }
    })
}

fn is_container_guaranteed(container: &Value) -> bool {
    ["cpu", "memory"].iter().all(|resource| {
        let read = |kind: &str| {
            let quantity = container.pointer(&format!("/resources/{kind}/{resource}"))?;
            quantity::read(quantity).map(|amount| amount.thousandths)
        };
        // Without a request, the limit is the request; one of nothing is none.
        read("limits").is_some_and(|limit| 0 < limit && read("requests").is_none_or(|request| request == limit))
    })
}

fn strings(map: &Map<String, Value>) -> BTreeMap<String, String> {
    map.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_and_strange_types_read_as_absent() {
        let raw =
            json!({"metadata": {"labels": null, "annotations": 3}, "spec": {"containers": null, "hostNetwork": "yes"}});
        let pod = RawPod::new(&raw);
        assert!(pod.labels().is_empty());
        assert_eq!(pod.label_or_annotation("a"), None);
        assert_eq!(pod.all_containers().count(), 0);
        assert!(!pod.uses_host_network());
        assert!(!pod.is_guaranteed());
    }

    #[test]
    fn a_label_comes_before_the_annotation() {
        let raw =
            json!({"metadata": {"labels": {"a": "label"}, "annotations": {"a": "annotation", "b": "annotation"}}});
        let pod = RawPod::new(&raw);
        assert_eq!(pod.label_or_annotation("a"), Some("label"));
        assert_eq!(pod.label_or_annotation("b"), Some("annotation"));
    }

    #[test]
    fn guaranteed_is_told_from_burstable() {
        let check = |containers: Value, expected: bool| {
            let raw = json!({"spec": {"containers": containers}});
            assert_eq!(RawPod::new(&raw).is_guaranteed(), expected, "{raw}");
        };
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
        check(json!([{"resources": full}]), true);
        check(json!([{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]), true);
        let otherwise =
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
        check(json!([{"resources": otherwise}]), true);
        check(json!([{"resources": {"limits": {"cpu": "0", "memory": "1Gi"}}}]), false);
        check(json!([{"resources": full}, {}]), false);
        check(json!([{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}]), false);
        check(json!([]), false);
    }

    #[test]
    fn the_cpu_is_limited_when_no_container_is_without_a_limit() {
        let check = |spec: Value, expected: bool| {
            let raw = json!({"spec": spec});
            assert_eq!(RawPod::new(&raw).is_cpu_limited(), expected, "{raw}");
        };
        let limited = json!({"resources": {"limits": {"cpu": "1"}}});
        check(json!({"containers": [limited]}), true);
        check(json!({"containers": [limited], "initContainers": [{}]}), false);
        check(json!({"containers": [limited, {"resources": {"limits": {"cpu": null}}}]}), false);
        check(json!({"containers": []}), false);
    }

    #[test]
    fn windows_is_known_by_what_only_leads_there() {
        let check = |spec: Value, expected: bool| {
            let raw = json!({"spec": spec});
            assert_eq!(RawPod::new(&raw).runs_on_windows(), expected, "{raw}");
        };
        let nodes = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        let term = |key: &str, operator: &str, values: &[&str]| {
            let other = json!({"key": "zone", "operator": "In", "values": ["windows"]});
            json!({"matchExpressions": [other, {"key": key, "operator": operator, "values": values}]})
        };
        let windows = term("kubernetes.io/os", "In", &["windows"]);
        check(json!({}), false);
        check(json!({"os": {"name": "windows"}}), true);
        for label in SYSTEM_LABELS {
            check(json!({"nodeSelector": {label: "windows"}}), true);
            check(json!({"nodeSelector": {label: "linux"}}), false);
            check(nodes(json!([term(label, "In", &["windows"])])), true);
        }
        check(nodes(json!([windows, windows])), true);
        check(nodes(json!([windows, term("kubernetes.io/os", "In", &["linux"])])), false);
        check(nodes(json!([windows, {}])), false);
        check(nodes(json!([])), false);
        check(nodes(json!([term("kubernetes.io/os", "In", &["linux", "windows"])])), false);
        check(nodes(json!([term("kubernetes.io/os", "NotIn", &["windows"])])), false);
        let options = json!({"securityContext": {"windowsOptions": {"runAsUserName": "ContainerUser"}}});
        check(options.clone(), true);
        for list in CONTAINER_LISTS {
            check(json!({list: [{}, options]}), true);
        }
        check(json!({"securityContext": {"windowsOptions": {}}}), false);
        let mut on_linux = options;
        on_linux["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
        check(on_linux, false);
    }

    #[test]
    fn only_a_batch_job_is_a_job() {
        let check = |owners: Value, expected: bool| {
            let raw = json!({"metadata": {"ownerReferences": owners}});
            assert_eq!(RawPod::new(&raw).is_owned_by_a_job(), expected, "{raw}");
        };
        check(json!([{"apiVersion": "batch/v1", "kind": "Job"}]), true);
        check(json!([{"apiVersion": "example.com/v1", "kind": "Job"}]), false);
        check(json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet"}]), false);
        check(json!(null), false);
    }
}
