//! Reads: which of a group's objects exist and whose they are, and how many sidecars run.
//!
//! An object is a group's if it has the group as an owner. The ConfigMap belongs to all groups of its namespace: it is
//! ours by its label or by any of them, so that a group that is new there takes it over.
//!
//! *Never:* what should be.

use std::fmt::Debug;

use crds::{
    PushGroup,
    names::{MANAGED_BY, MANAGED_BY_LABEL, SIDECAR_HASH},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Pod, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ObjectMeta};
use protocol::trust::CONFIG_MAP_NAME;
use serde::de::DeserializeOwned;

use crate::{
    cache::Cache,
    config::SidecarImage,
    gc::targets::target,
    injection::version,
    monitors::{
        Owner,
        api::{PodMonitor, ServiceMonitor},
    },
};

/// The objects of a group's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The ConfigMap of the namespace.
    pub trust: Found,
    /// The Service.
    pub service: Found,
    /// The ServiceMonitor.
    pub service_monitor: Found,
    /// The PodMonitor.
    pub pod_monitor: Found,
    /// The NetworkPolicy.
    pub network_policy: Found,
}

/// An object of that name and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none, or the API server does not know the kind.
    Absent,
    /// The group owns it.
    Ours {
        /// What was seen of it.
        seen: Seen,
        /// Whether we made it, which is what allows removing it.
        managed: bool,
    },
    /// Made for a group of the same name that is gone, like its owner in a moment.
    Left {
        /// Its UID.
        uid: String,
    },
    /// Somebody else's.
    Foreign,
}

/// An object as it was seen, which is what applying and removing rely on: whose it is may change at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its UID.
    pub uid: String,
    /// Its resource version; `None` where what others change meanwhile does not matter.
    pub version: Option<String>,
}

/// The sidecars that run in a group's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sidecars {
    /// How many there are.
    pub running: u64,
    /// How many of them are of another version than a pod would get now.
    pub outdated: u64,
}

/// Tells whose an object is.
pub type Whose = fn(&ObjectMeta, &Owner<'_>) -> Found;

/// Reads the metadata of the objects there may be.
///
/// # Errors
/// When the API server does not say; that it does not know a kind is an answer.
pub async fn observe(client: &Client, owner: &Owner<'_>) -> Result<Existing, kube::Error> {
    Ok(Existing {
        trust: find::<ConfigMap>(client, owner, CONFIG_MAP_NAME, whose_trust).await?,
        service: find::<Service>(client, owner, &owner.object_name(), whose).await?,
        service_monitor: find::<ServiceMonitor>(client, owner, &owner.object_name(), whose).await?,
        pod_monitor: find::<PodMonitor>(client, owner, &owner.object_name(), whose).await?,
        network_policy: find::<NetworkPolicy>(client, owner, &owner.object_name(), whose).await?,
    })
}

/// How many sidecars run in a group's pods; `None` until the pods are known.
#[must_use]
pub fn running_sidecars(pods: &Cache<Pod>, group: &PushGroup, image: &SidecarImage) -> Option<Sidecars> {
    if !pods.is_known() {
        return None;
    }
    let current = version::hash(image, &group.spec).ok()?;
    let mut running = pods.of_group(&group.namespace().unwrap_or_default(), Some(&group.name_any()));
    running.retain(|pod| target(pod).is_some());
    let outdated = running.iter().filter(|pod| pod.annotations().get(SIDECAR_HASH) != Some(&current)).count();
    Some(Sidecars { running: running.len() as u64, outdated: outdated as u64 })
}

/// Reads the metadata of one object.
///
/// # Errors
/// When the API server does not say.
pub async fn find<K>(client: &Client, owner: &Owner<'_>, name: &str, whose: Whose) -> Result<Found, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    match api.get_metadata(name).await {
        Ok(object) => Ok(whose(&object.metadata, owner)),
        // Of an unknown kind, the answer is a page of text, which `get_metadata_opt` takes for a fault.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Found::Absent),
        Err(error) => Err(error),
    }
}

/// An object is its owner's.
#[must_use]
pub fn whose(object: &ObjectMeta, owner: &Owner<'_>) -> Found {
    let owners = object.owner_references.as_deref().unwrap_or_default();
    let (seen, managed) = (Seen::of(object), is_managed(object));
    if owners.iter().any(|reference| reference.uid == owner.uid) {
        return Found::Ours { seen, managed };
    }
    let is_of_the_name = |reference: &OwnerReference| is_group(reference) && reference.name == owner.name;
    if managed && !owners.is_empty() && owners.iter().all(is_of_the_name) {
        return Found::Left { uid: seen.uid };
    }
    Found::Foreign
}

/// The ConfigMap is all groups', which apply it at the same time, each with an owner of its own and with the same keys.
#[must_use]
pub fn whose_trust(object: &ObjectMeta, _: &Owner<'_>) -> Found {
    let mut owners = object.owner_references.iter().flatten();
    let managed = is_managed(object);
    if !managed && !owners.any(is_group) {
        return Found::Foreign;
    }
    Found::Ours { seen: Seen { version: None, ..Seen::of(object) }, managed }
}

fn is_group(owner: &OwnerReference) -> bool {
    owner.kind == PushGroup::kind(&()) && owner.api_version == PushGroup::api_version(&())
}

/// Whether we made it, by its label.
fn is_managed(object: &ObjectMeta) -> bool {
    let label = object.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY_LABEL));
    label.is_some_and(|label| label == MANAGED_BY)
}

// === impl Seen ===

impl Seen {
    /// Exactly this state of it.
    fn of(object: &ObjectMeta) -> Self {
        Self { uid: object.uid.clone().unwrap_or_default(), version: object.resource_version.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cache::cache,
        monitors::{service, tests::group},
    };

    fn pod(name: &str, group: &str, version: Option<&str>, phase: &str) -> Pod {
        let sidecar = json!({
            "name": "sidegate", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": "",
        });
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "data", "name": name, "uid": name, "labels": {"sidegate.dev/pushgroup": group},
                "annotations": version.map(|version| json!({SIDECAR_HASH: version})),
            },
            "status": {"phase": phase, "podIP": "10.0.0.7", "initContainerStatuses": [sidecar]},
        }))
        .unwrap()
    }

    #[test]
    fn sidecars_of_another_version_than_a_pod_would_get_now_are_outdated() {
        let (mut group, image) = (group(), SidecarImage::default());
        let current = version::hash(&image, &group.spec).unwrap();
        let pods = Cache::of(vec![
            pod("new", "nightly", Some(&current), "Running"),
            pod("old", "nightly", Some("0123456789abcdef"), "Running"),
            pod("bare", "nightly", None, "Running"),
            pod("over", "nightly", None, "Succeeded"),
            pod("other", "hourly", None, "Running"),
        ]);
        let check = |group: &PushGroup, image: &SidecarImage, outdated: u64| {
            assert_eq!(running_sidecars(&pods, group, image), Some(Sidecars { running: 3, outdated }));
        };
        check(&group, &image, 2);
        let newer = SidecarImage { image: "sidegate:2".to_owned(), ..image.clone() };
        check(&group, &newer, 3);
        group.spec.stale_after = Some("7d".parse().unwrap());
        check(&group, &image, 2);
        group.spec.sidecar.raise_grace_period = true;
        check(&group, &image, 3);
        assert_eq!(running_sidecars(&cache().0, &group, &image), None);
    }

    #[test]
    fn an_object_is_ours_by_its_owner() {
        let group = group();
        let owner = Owner::of(&group).unwrap();
        let mut ours = service::build(&owner).metadata;
        (ours.uid, ours.resource_version) = (Some("7".to_owned()), Some("12".to_owned()));
        let seen = || Seen { uid: "7".to_owned(), version: Some("12".to_owned()) };
        assert_eq!(whose(&ours, &owner), Found::Ours { seen: seen(), managed: true });
        let anew = Owner { uid: "another", ..owner };
        assert_eq!(whose(&ours, &anew), Found::Left { uid: "7".to_owned() }, "by a PushGroup that is gone");
        let mut shared = ours.clone();
        let somebody = json!({"apiVersion": "v1", "kind": "Pod", "name": "nightly", "uid": "1"});
        shared.owner_references.as_mut().unwrap().push(serde_json::from_value(somebody).unwrap());
        assert_eq!(whose(&shared, &anew), Found::Foreign, "who else has it may be there yet");
        assert_eq!(whose(&ours, &Owner { name: "hourly", ..anew }), Found::Foreign, "of another PushGroup");
        ours.labels = None;
        assert_eq!(whose(&ours, &owner), Found::Ours { seen: seen(), managed: false });
        assert_eq!(whose(&ours, &anew), Found::Foreign, "nothing says that we made it");
        let nobodys: ObjectMeta = serde_json::from_value(json!({"name": "sidegate-nightly"})).unwrap();
        assert_eq!(whose(&nobodys, &owner), Found::Foreign);
    }

    #[test]
    fn the_config_map_is_ours_by_its_label_or_by_any_group() {
        let group = group();
        let owner = Owner { uid: "new", ..Owner::of(&group).unwrap() };
        let found = |metadata: serde_json::Value| whose_trust(&serde_json::from_value(metadata).unwrap(), &owner);
        let of_another = json!([{"apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup", "name": "a", "uid": "1"}]);
        let of_a_stranger = json!([{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1"}]);
        let ours = |managed| Found::Ours { seen: Seen { uid: "7".to_owned(), version: None }, managed };
        assert_eq!(found(json!({"uid": "7", "resourceVersion": "12", "ownerReferences": of_another})), ours(false));
        assert_eq!(found(json!({"uid": "7", "labels": {MANAGED_BY_LABEL: MANAGED_BY}})), ours(true));
        assert_eq!(found(json!({"uid": "7", "labels": {MANAGED_BY_LABEL: "Helm"}})), Found::Foreign);
        assert_eq!(found(json!({"uid": "7", "ownerReferences": of_a_stranger})), Found::Foreign);
    }
}
