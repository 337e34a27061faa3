//! The JSON Patch that puts a sidecar into a pod. Pure, and add-only against the raw JSON: whatever a newer Kubernetes
//! puts into a pod stays there. The one exception is a longer grace period.
//!
//! `add` on a member that exists replaces it, so a parent is made only where there is none.
//!
//! *Never:* whether there should be a sidecar, what it is like.

use crds::names::{INJECTED_LABEL, PUSH_GROUP_LABEL};
use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use serde_json::{Value, json};

use super::pod::{CONTAINER_LISTS, RawPod, text};

/// Service meshes whose proxy has to start before us and end after us, or the last scrape does not get through.
const MESH_PROXIES: [&str; 2] = ["istio-proxy", "linkerd-proxy"];

/// The grace period in seconds of a pod that names none.
const DEFAULT_GRACE_PERIOD: i64 = 30;

/// All that is put into a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Insertion {
    /// The sidecar container.
    pub container: Value,
    /// The volumes it mounts.
    pub volumes: Vec<Value>,
    /// Annotations of the pod, those that it has itself left out.
    pub annotations: Vec<(&'static str, &'static str)>,
    /// The `PushGroup` the pod belongs to, if one is known.
    pub group: Option<String>,
    /// Variables for the other containers, those that set them themselves left out.
    pub environment: Vec<(&'static str, String)>,
    /// The grace period the pod needs at least, in seconds; `None` leaves it alone.
    pub grace_period_seconds: Option<i64>,
}

/// The operations that make an insertion.
#[must_use]
pub fn build(pod: RawPod<'_>, insertion: &Insertion) -> Patch {
    let mut operations = Operations { pod, list: Vec::new() };
    operations.labels(insertion);
    operations.annotations(&insertion.annotations);
    operations.volumes(&insertion.volumes);
    operations.environment(&insertion.environment);
    // After the variables, whose paths count the containers as they were.
    operations.container(&insertion.container);
    operations.grace_period(insertion.grace_period_seconds);
    Patch(operations.list)
}

struct Operations<'a> {
    pod: RawPod<'a>,
    list: Vec<PatchOperation>,
}

// === impl Operations ===

impl Operations<'_> {
    fn labels(&mut self, insertion: &Insertion) {
        let mut labels = vec![(INJECTED_LABEL, "true")];
        if let Some(group) = &insertion.group {
            labels.push((PUSH_GROUP_LABEL, group));
        }
        if self.pod.at("/metadata").is_none() {
            self.add(["metadata"], json!({}));
        }
        if self.pod.at("/metadata/labels").is_none() {
            self.add(["metadata", "labels"], json!({}));
        }
        for (name, value) in labels {
            self.add(["metadata", "labels", name], json!(value));
        }
    }

    /// After the labels, which make the metadata where there is none.
    fn annotations(&mut self, annotations: &[(&'static str, &'static str)]) {
        let known = self.pod.at("/metadata/annotations");
        let is_set = |name: &str| known.is_some_and(|known| known.get(name).is_some());
        let missing: Vec<_> = annotations.iter().filter(|(name, _)| !is_set(name)).collect();
        if known.is_none() && !missing.is_empty() {
            self.add(["metadata", "annotations"], json!({}));
        }
        for (name, value) in missing {
            self.add(["metadata", "annotations", name], json!(value));
        }
    }

    fn volumes(&mut self, volumes: &[Value]) {
        let Some(known) = self.pod.at("/spec/volumes").and_then(Value::as_array) else {
            return self.add(["spec", "volumes"], json!(volumes));
        };
        // A volume of that name, whoever made it, is the one the sidecar mounts.
        for volume in volumes.iter().filter(|volume| !known.iter().any(|one| text(one, "name") == text(volume, "name")))
        {
            self.add(["spec", "volumes", "-"], volume.clone());
        }
    }

    fn environment(&mut self, variables: &[(&'static str, String)]) {
        for list in CONTAINER_LISTS {
            for (index, container) in self.pod.containers(list).enumerate() {
                self.environment_of(list, index, container, variables);
            }
        }
    }

    /// Puts the variables first, so that `$(PUSHGATEWAY_URL)` expands in what follows.
    fn environment_of(&mut self, list: &str, index: usize, container: &Value, variables: &[(&'static str, String)]) {
        let known = container.get("env").and_then(Value::as_array);
        let is_set = |name: &str| known.into_iter().flatten().any(|variable| text(variable, "name") == Some(name));
        let missing = variables.iter().filter(|(name, _)| !is_set(name));
        let missing: Vec<_> = missing.map(|(name, value)| json!({"name": name, "value": value})).collect();
        if missing.is_empty() {
            return;
        }
        let index = index.to_string();
        if known.is_none() {
            return self.add(["spec", list, &index, "env"], Value::Array(missing));
        }
        for variable in missing.into_iter().rev() {
            self.add(["spec", list, &index, "env", "0"], variable);
        }
    }

    fn container(&mut self, container: &Value) {
        if self.pod.at("/spec/initContainers").is_none() {
            return self.add(["spec", "initContainers"], json!([container]));
        }
        let proxy = |known: &Value| text(known, "name").is_some_and(|name| MESH_PROXIES.contains(&name));
        let containers: Vec<_> = self.pod.containers("initContainers").collect();
        let place = containers.iter().rposition(|known| proxy(known)).map_or(0, |proxy| proxy + 1);
        self.add(["spec", "initContainers", &place.to_string()], container.clone());
    }

    fn grace_period(&mut self, at_least: Option<i64>) {
        let current = self.pod.grace_period_seconds();
        let Some(at_least) = at_least.filter(|at_least| current.unwrap_or(DEFAULT_GRACE_PERIOD) < *at_least) else {
            return;
        };
        let path = ["spec", "terminationGracePeriodSeconds"];
        if current.is_some() {
            let path = PointerBuf::from_tokens(path);
            self.list.push(PatchOperation::Replace(ReplaceOperation { path, value: json!(at_least) }));
        } else {
            self.add(path, json!(at_least));
        }
    }

    fn add<const N: usize>(&mut self, path: [&str; N], value: Value) {
        self.list.push(PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path), value }));
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
