//! The JSON Patch that puts a sidecar into a pod. Pure, and add-only against the raw JSON: whatever a newer Kubernetes
//! puts into a pod stays there. There are two exceptions: a longer grace period, and a longer `NO_PROXY`.
//!
//! `add` on a member that exists replaces it, so a parent is made only where there is none; `null` is none. What the pod
//! has under a name of ours is left as it is. An operation that does not fit would refuse the pod, so one whose fields
//! are of other types than a pod's gets no patch at all.
//!
//! *Never:* whether there should be a sidecar, what it is like.

use crds::names::{INJECTED_LABEL, PUSH_GROUP_LABEL};
use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use serde_json::{Value, json};

use super::{
    environment::{self, Change, Environment},
    malformed::Malformed,
    pod::{CONTAINER_LISTS, RawPod, text},
};

/// Service meshes whose proxy has to start before us and end after us, or the last scrape does not get through.
const MESH_PROXIES: [&str; 4] = ["istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"];

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
    pub annotations: Vec<(&'static str, String)>,
    /// The `PushGroup` the pod belongs to, if one is known.
    pub group: Option<String>,
    /// What the other containers are told.
    pub environment: Environment,
    /// The grace period the pod needs at least, in seconds; `None` leaves it alone.
    pub grace_period_seconds: Option<i64>,
}

/// The operations that make an insertion.
///
/// # Errors
/// When something of ours would go into a field that is of another type than a pod's.
pub fn build(pod: RawPod<'_>, insertion: &Insertion) -> Result<Patch, Malformed> {
    let mut operations = Operations { pod, list: Vec::new() };
    operations.object("/metadata", "metadata")?;
    operations.labels(insertion)?;
    operations.annotations(&insertion.annotations)?;
    operations.volumes(&insertion.volumes)?;
    operations.environment(&insertion.environment)?;
    // After the variables, whose paths count the containers as they were.
    operations.container(&insertion.container)?;
    operations.grace_period(insertion.grace_period_seconds)?;
    Ok(Patch(operations.list))
}

/// Where in the init containers the sidecar goes: right after a mesh proxy, else first.
#[must_use]
pub fn place(pod: RawPod<'_>) -> usize {
    let containers: Vec<_> = pod.containers("initContainers").collect();
    containers.iter().rposition(|known| is_mesh_proxy(known)).map_or(0, |proxy| proxy + 1)
}

fn is_mesh_proxy(container: &Value) -> bool {
    text(container, "name").is_some_and(|name| MESH_PROXIES.contains(&name))
}

struct Operations<'a> {
    pod: RawPod<'a>,
    list: Vec<PatchOperation>,
}

// === impl Operations ===

impl<'a> Operations<'a> {
    fn labels(&mut self, insertion: &Insertion) -> Result<(), Malformed> {
        if self.pod.at("/metadata").is_none() {
            self.add(["metadata"], json!({}));
        }
        let group = insertion.group.as_deref().map(|group| (PUSH_GROUP_LABEL, group));
        let labels = [(INJECTED_LABEL, "true")].into_iter().chain(group);
        self.members("labels", labels)
    }

    /// After the labels, which make the metadata where there is none.
    fn annotations(&mut self, annotations: &[(&'static str, String)]) -> Result<(), Malformed> {
        self.members("annotations", annotations.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn members<'b>(&mut self, map: &str, members: impl Iterator<Item = (&'b str, &'b str)>) -> Result<(), Malformed> {
        let known = self.object(&format!("/metadata/{map}"), &format!("metadata.{map}"))?;
        let missing: Vec<_> = members
            .filter(|(name, _)| !known.is_some_and(|known| known.get(*name).is_some_and(|value| !value.is_null())))
            .collect();
        if known.is_none() && !missing.is_empty() {
            self.add(["metadata", map], json!({}));
        }
        for (name, value) in missing {
            self.add(["metadata", map, name], json!(value));
        }
        Ok(())
    }

    fn volumes(&mut self, volumes: &[Value]) -> Result<(), Malformed> {
        let Some(known) = self.objects("volumes")? else {
            self.add(["spec", "volumes"], json!(volumes));
            return Ok(());
        };
        // A volume of that name, whoever made it, is the one the sidecar mounts.
        for volume in volumes.iter().filter(|volume| !known.iter().any(|one| text(one, "name") == text(volume, "name")))
        {
            self.add(["spec", "volumes", "-"], volume.clone());
        }
        Ok(())
    }

    fn environment(&mut self, environment: &Environment) -> Result<(), Malformed> {
        for list in CONTAINER_LISTS {
            for (index, container) in self.objects(list)?.unwrap_or_default().iter().enumerate() {
                if is_mesh_proxy(container) {
                    continue;
                }
                let changes = environment::changes(container, environment);
                let changes = changes.map_err(|malformed| malformed.within(&format!("spec.{list}[{index}]")))?;
                for change in changes {
                    self.variable(list, &index.to_string(), change);
                }
            }
        }
        Ok(())
    }

    fn variable(&mut self, list: &str, index: &str, change: Change) {
        let env = ["spec", list, index, "env"];
        match change {
            Change::List(variables) => self.add(env, Value::Array(variables)),
            Change::First(variable) => self.add(["spec", list, index, "env", "0"], variable),
            Change::Last(variable) => self.add(["spec", list, index, "env", "-"], variable),
            Change::Value { place, value, had_one } => {
                let path = ["spec", list, index, "env", &place.to_string(), "value"];
                if had_one {
                    self.replace(path, json!(value));
                } else {
                    self.add(path, json!(value));
                }
            }
        }
    }

    fn container(&mut self, container: &Value) -> Result<(), Malformed> {
        if self.objects("initContainers")?.is_none() {
            self.add(["spec", "initContainers"], json!([container]));
        } else {
            self.add(["spec", "initContainers", &place(self.pod).to_string()], container.clone());
        }
        Ok(())
    }

    fn grace_period(&mut self, at_least: Option<i64>) -> Result<(), Malformed> {
        let Some(at_least) = at_least else { return Ok(()) };
        let path = ["spec", "terminationGracePeriodSeconds"];
        match self.pod.at("/spec/terminationGracePeriodSeconds") {
            None if DEFAULT_GRACE_PERIOD < at_least => self.add(path, json!(at_least)),
            None => {}
            Some(given) => {
                let current = given.as_i64();
                let current = current.ok_or_else(|| Malformed::new(path.join("."), "a whole number", given))?;
                if current < at_least {
                    self.replace(path, json!(at_least));
                }
            }
        }
        Ok(())
    }

    /// An object of the pod.
    fn object(&self, pointer: &str, name: &str) -> Result<Option<&'a Value>, Malformed> {
        match self.pod.at(pointer) {
            Some(other) if !other.is_object() => Err(Malformed::new(name, "an object", other)),
            found => Ok(found),
        }
    }

    /// A list of objects in the spec.
    fn objects(&self, name: &str) -> Result<Option<&'a [Value]>, Malformed> {
        let at = format!("spec.{name}");
        match self.pod.at(&format!("/spec/{name}")) {
            None => Ok(None),
            Some(Value::Array(list)) => match list.iter().position(|item| !item.is_object()) {
                Some(place) => {
                    let item = list.get(place).unwrap_or_default();
                    Err(Malformed::new(format!("{at}[{place}]"), "an object", item))
                }
                None => Ok(Some(list)),
            },
            Some(other) => Err(Malformed::new(at, "a list", other)),
        }
    }

    fn add<const N: usize>(&mut self, path: [&str; N], value: Value) {
        self.list.push(PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path), value }));
    }

    fn replace<const N: usize>(&mut self, path: [&str; N], value: Value) {
        self.list.push(PatchOperation::Replace(ReplaceOperation { path: PointerBuf::from_tokens(path), value }));
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
