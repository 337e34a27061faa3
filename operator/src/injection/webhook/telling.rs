//! Who hears of an admission, and how: a counter always, an Event on the pod's owner where no sidecar came of it although
//! one was asked for. A dry run leaves neither.
//!
//! Whoever runs `kubectl` reads the warnings of the answer; a controller that makes pods reads none, so its own object
//! gets an Event, as `kubectl describe` of a Job shows it. The pod itself has neither a UID nor, mostly, a name yet. A pod
//! without a controller has somebody behind it who reads the warnings. A pod that is injected is told nobody: its
//! containers say so.
//!
//! *Never:* what became of a pod.

use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::Value;

use crate::injection::{
    decide::Skip,
    pod::{RawPod, text},
};

/// The reason of an Event about a pod that was skipped.
const SKIPPED: &str = "InjectionSkipped";

/// The reason of an Event about a container that has a port of the sidecar.
const CLASHES: &str = "SidecarPortTaken";

/// The reason of an Event about a sidecar that is no native one any more.
const NOT_NATIVE: &str = "SidecarNotNative";

/// The reason of an Event about a fault of ours.
pub(super) const FAILED: &str = "InjectionFailed";

/// The reason of the Event about a pod that gets no sidecar, or none more.
pub(super) fn reason_of(skip: &Skip) -> &'static str {
    match skip {
        Skip::LatePort { .. } => CLASHES,
        Skip::NotNative { .. } => NOT_NATIVE,
        Skip::AlreadyThere
        | Skip::NameTaken
        | Skip::NoSpec
        | Skip::BadValue(_)
        | Skip::MirrorPod
        | Skip::HostNetwork
        | Skip::Windows
        | Skip::ExistingPushgateway { .. }
        | Skip::TooManyContainers { .. }
        | Skip::PortTaken { .. }
        | Skip::NoRoom(_)
        | Skip::Malformed(_) => SKIPPED,
    }
}

/// The object that makes and replaces the pod, if one does.
#[must_use]
pub fn controller_of(pod: RawPod<'_>, namespace: &str) -> Option<ObjectReference> {
    let owners = pod.at("/metadata/ownerReferences").and_then(Value::as_array)?;
    let owner = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let field = |name: &str| text(owner, name).filter(|text| !text.is_empty()).map(str::to_owned);
    Some(ObjectReference {
        api_version: Some(field("apiVersion")?),
        kind: Some(field("kind")?),
        name: Some(field("name")?),
        namespace: Some(namespace.to_owned()),
        uid: Some(field("uid")?),
        ..ObjectReference::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_controller_is_the_owner_that_says_so() {
        let owner = |name: &str, controller: Option<bool>| json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": "u", "controller": controller});
        let found = |owners: Value| {
            let pod = json!({"metadata": {"ownerReferences": owners}});
            controller_of(RawPod::new(&pod), "data").map(|owner| (owner.name.unwrap(), owner.namespace.unwrap()))
        };
        let expected = Some(("b".to_owned(), "data".to_owned()));
        assert_eq!(found(json!([owner("a", None), owner("b", Some(true)), owner("c", Some(false))])), expected);
        assert_eq!(found(json!([owner("a", None)])), None);
        assert_eq!(found(json!([{"controller": true, "kind": "Job", "name": ""}])), None);
        assert_eq!(found(json!("no list")), None);
    }
}
