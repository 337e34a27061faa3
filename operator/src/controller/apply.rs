//! Server-side apply of a plan; one field manager for each concern.
//!
//! What is there is applied as it was seen and by force, so that drift is repaired; if it changed meanwhile it is looked
//! at again, for it may be somebody else's now. What is not there is created first, which an apply would do as well, but
//! also merge what we want into an object that somebody made at the same moment: whose that is is looked at then. What a
//! group of the same name left that is gone now is removed first: it would be in the way until the garbage collector comes
//! for it. What others added is taken out, for an apply leaves it alone: fields of the spec of a monitor or a
//! NetworkPolicy, labels, ports of the Service, each of which changes what is scraped or let through, and what the
//! ConfigMap holds besides.
//!
//! *Never:* why.

use std::{
    fmt::{self, Debug},
    time::Duration,
};

use crds::{
    names::{MONITORS_MANAGER, TRUST_MANAGER},
    scrape::DiscoveryRole,
};
use jiff::Timestamp;
use json_patch::{PatchOperation, RemoveOperation, ReplaceOperation, jsonptr::PointerBuf};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Service},
        networking::v1::NetworkPolicy,
    },
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    observe::{Found, Seen, Whose, find, whose, whose_trust},
    plan::{Desired, Kind, Plan},
};
use crate::{
    api_client::said,
    monitors::{
        Owner,
        api::{Monitor, NEWER_FIELDS, PodMonitor, ServiceMonitor},
        undeclared::Undeclared,
    },
};

/// Labels, by which Prometheuses and monitors choose.
const LABELS: &[&str] = &["metadata", "labels"];

/// What a monitor or a NetworkPolicy says.
const SPEC: &[&str] = &["spec"];

/// What a ConfigMap holds.
const DATA: &[&str] = &["data"];

/// What else it holds.
const BINARY_DATA: &[&str] = &["binaryData"];

/// The ports of a Service.
const PORTS: &str = "/spec/ports";

/// How often an object is tried that others change at the same time.
const TRIES: usize = 4;

/// What applying needs.
#[derive(Clone, Copy)]
pub struct Applying<'a> {
    /// The API server.
    pub client: &'a Client,
    /// What its monitors do not have.
    pub undeclared: &'a Undeclared,
    /// The time.
    pub now: Timestamp,
}

/// How applying a plan went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was applied.
    Applied,
    /// All of it was applied; Prometheus finds pods by Endpoints, which end at 1,000 addresses.
    AppliedByEndpoints,
    /// No monitor is wanted.
    NotWanted,
    /// The API server does not know the kind of monitor.
    ApiAbsent,
    /// An older group that names the same gateway has the monitor; its name.
    LeftToOlder(String),
    /// What the monitor of a gateway is made from cannot be read, or does not fit.
    ServiceUnfit {
        /// What was expected and found.
        what: String,
        /// Whether the monitor stands by what was known before.
        stands: bool,
    },
    /// Some objects are somebody else's; which.
    Foreign(Vec<ForeignObject>),
    /// Something could not be applied; what and why.
    Failed(String),
}

/// An object of the name that one of ours would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignObject {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// How one object went.
enum Placed<K> {
    /// As it was applied.
    Applied(K),
    /// It is somebody else's.
    Foreign,
}

/// Applies a plan, as much of it as can be.
pub async fn apply(with: Applying<'_>, owner: &Owner<'_>, plan: Plan) -> Outcome {
    let (mut failed, mut absent, mut by_endpoints, mut is_wanted) = (Vec::new(), false, false, false);
    let mut foreign = plan.foreign;
    for mut desired in plan.apply {
        is_wanted |= ![Kind::ConfigMap, Kind::NetworkPolicy].contains(&desired.kind());
        let mut placed = place_any(with, owner, &desired).await;
        for _ in 1..TRIES {
            if !placed.as_ref().is_err_and(is_conflict) {
                break;
            }
            // It changed since it was looked at, or went, as what a group had goes that is deleted and made again.
            desired.expect(None);
            placed = place_any(with, owner, &desired).await;
        }
        match (desired.kind(), placed) {
            (_, Ok(Placed::Applied(finds_by_endpoints))) => by_endpoints |= finds_by_endpoints,
            (kind, Ok(Placed::Foreign)) => foreign.push(kind),
            (kind, Err(error)) if kind.is_monitor() && is_unknown_kind(&error) => absent = true,
            (kind, Err(error)) => failed.push(format!("{}: {}", kind.as_str(), said(&error))),
        }
    }
    for (kind, seen) in plan.remove {
        let name = kind.name(owner);
        let removed = match kind {
            Kind::ConfigMap => remove_ours::<ConfigMap>(with.client, owner, &name, seen, whose_trust).await,
            Kind::Service => remove_ours::<Service>(with.client, owner, &name, seen, whose).await,
            Kind::ServiceMonitor => remove_ours::<ServiceMonitor>(with.client, owner, &name, seen, whose).await,
            Kind::PodMonitor => remove_ours::<PodMonitor>(with.client, owner, &name, seen, whose).await,
            Kind::NetworkPolicy => remove_ours::<NetworkPolicy>(with.client, owner, &name, seen, whose).await,
        };
        if let Err(error) = removed {
            failed.push(format!("{}: {}", kind.as_str(), said(&error)));
        }
    }

    if !failed.is_empty() {
        return Outcome::Failed(failed.join("; "));
    }
    if !foreign.is_empty() {
        let object = |kind: Kind| ForeignObject { kind, name: kind.name(owner) };
        return Outcome::Foreign(foreign.into_iter().map(object).collect());
    }
    match (absent, is_wanted, by_endpoints) {
        (true, ..) => Outcome::ApiAbsent,
        (false, false, _) => Outcome::NotWanted,
        (false, true, true) => Outcome::AppliedByEndpoints,
        (false, true, false) => Outcome::Applied,
    }
}

/// Makes an object what it should be; if applied, whether Prometheus finds pods by Endpoints through it.
async fn place_any(with: Applying<'_>, owner: &Owner<'_>, desired: &Desired) -> Result<Placed<bool>, kube::Error> {
    let client = with.client;
    let placed = match desired {
        Desired::ConfigMap(object) => place_trust(client, owner, object).await?,
        Desired::Service(object) => place::<Service>(client, owner, object, &[LABELS]).await?,
        Desired::NetworkPolicy(object) => place::<NetworkPolicy>(client, owner, object, &[LABELS, SPEC]).await?,
        Desired::ServiceMonitor(object) => {
            let placed = place_monitor::<ServiceMonitor>(with, owner, object).await?;
            return Ok(placed.map(|monitor| monitor.spec.service_discovery_role != Some(DiscoveryRole::EndpointSlice)));
        }
        Desired::PodMonitor(object) => place_monitor::<PodMonitor>(with, owner, object).await?.map(drop),
    };
    Ok(placed.map(|()| false))
}

/// Makes the ConfigMap what it should be. What all groups of the namespace say alike has a manager of theirs all, so that
/// whoever goes leaves nothing behind: what only that group says is that it is an owner.
async fn place_trust(client: &Client, owner: &Owner<'_>, object: &ConfigMap) -> Result<Placed<()>, kube::Error> {
    let made = make(client, owner, TRUST_MANAGER, object, whose_trust).await?;
    let Some(seen) = made else { return Ok(Placed::Foreign) };
    let (mut shared, mut own) = (object.clone(), ConfigMap::default());
    own.metadata = ObjectMeta {
        name: object.metadata.name.clone(),
        owner_references: shared.metadata.owner_references.take(),
        ..ObjectMeta::default()
    };
    // First, for what a manager no longer says goes if nobody else says it.
    patch(client, owner, TRUST_MANAGER, &shared, &seen).await?;
    let live = patch(client, owner, &format!("{TRUST_MANAGER}/{}", owner.name), &own, &seen).await?;
    take_out(client, owner, TRUST_MANAGER, object, live, &[LABELS, DATA, BINARY_DATA]).await?;
    Ok(Placed::Applied(()))
}

/// Makes an object what it should be, and these maps of it nothing more.
async fn place<K>(client: &Client, owner: &Owner<'_>, object: &K, maps: &[&[&str]]) -> Result<Placed<()>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    let made = make(client, owner, MONITORS_MANAGER, object, whose).await?;
    let Some(seen) = made else { return Ok(Placed::Foreign) };
    let wanted = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
    let live = match patch(client, owner, MONITORS_MANAGER, object, &seen).await {
        // The name of a port is taken by another: somebody gave ours another number.
        Err(kube::Error::Api(status)) if status.code == 422 && wanted.pointer(PORTS).is_some() => {
            let ports = replace_ports(wanted.pointer(PORTS));
            let version = change::<K>(client, owner, MONITORS_MANAGER, &wanted, ports).await?;
            patch(client, owner, MONITORS_MANAGER, object, &Seen { version, ..seen }).await?
        }
        live => live?,
    };
    take_out(client, owner, MONITORS_MANAGER, object, live, maps).await?;
    Ok(Placed::Applied(()))
}

/// Applies as much of a monitor as its CRD has.
async fn place_monitor<K>(with: Applying<'_>, owner: &Owner<'_>, monitor: &K) -> Result<Placed<K>, kube::Error>
where
    K: Monitor
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug,
{
    let (kind, mut monitor) = (K::kind(&()), monitor.clone());
    for field in NEWER_FIELDS.into_iter().filter(|field| with.undeclared.has(&kind, *field, with.now)) {
        monitor.leave_out(field);
    }
    let made = make(with.client, owner, MONITORS_MANAGER, &monitor, whose).await?;
    let Some(seen) = made else { return Ok(Placed::Foreign) };
    let mut refusals = NEWER_FIELDS.len();
    let live = loop {
        match patch(with.client, owner, MONITORS_MANAGER, &monitor, &seen).await {
            Ok(live) => break live,
            Err(kube::Error::Api(status)) if 0 < refusals => {
                let Some(field) = with.undeclared.learn(&kind, &status.message, with.now) else {
                    return Err(kube::Error::Api(status));
                };
                refusals -= 1;
                monitor.leave_out(field);
            }
            Err(error) => return Err(error),
        }
    };
    take_out(with.client, owner, MONITORS_MANAGER, &monitor, live, &[LABELS, SPEC]).await?;
    Ok(Placed::Applied(monitor))
}

/// The object that is to be applied, which is made if it is not there; `None` if it is somebody else's.
async fn make<K>(
    client: &Client,
    owner: &Owner<'_>,
    manager: &str,
    object: &K,
    whose: Whose,
) -> Result<Option<Seen>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    if let Some(uid) = object.meta().uid.clone() {
        return Ok(Some(Seen { uid, version: object.meta().resource_version.clone() }));
    }
    let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    let (api, name) = (Api::<K>::namespaced(client.clone(), owner.namespace), object.meta().name.as_deref());
    let name = name.unwrap_or_default();
    let created = match api.create(&params, object).await {
        Err(error) if is_conflict(&error) => {
            match find::<K>(client, owner, name, whose).await? {
                Found::Ours { seen, .. } => return Ok(Some(seen)),
                Found::Foreign => return Ok(None),
                Found::Left { uid } => remove::<K>(client, owner, name, Seen { uid, version: None }).await?,
                // It is gone already.
                Found::Absent => {}
            }
            api.create(&params, object).await?
        }
        created => created?,
    };
    Ok(match whose(created.meta(), owner) {
        Found::Ours { seen, .. } => Some(seen),
        // Whatever admits objects there took away what says whose it is.
        Found::Left { .. } | Found::Foreign | Found::Absent => None,
    })
}

/// Applies an object that is there and ours, as it was seen; it as it is then.
async fn patch<K>(
    client: &Client,
    owner: &Owner<'_>,
    manager: &str,
    object: &K,
    seen: &Seen,
) -> Result<DynamicObject, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Serialize + Debug,
{
    let mut object = object.clone();
    object.meta_mut().uid = Some(seen.uid.clone());
    object.meta_mut().resource_version.clone_from(&seen.version);
    let name = object.meta().name.clone().unwrap_or_default();
    let params = PatchParams::apply(manager).force();
    objects::<K>(client, owner).patch(&name, &params, &Patch::Apply(&object)).await
}

/// Takes out of an object, as it is now, what others added.
async fn take_out<K>(
    client: &Client,
    owner: &Owner<'_>,
    manager: &str,
    wanted: &K,
    live: DynamicObject,
    maps: &[&[&str]],
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize,
{
    let wanted = serde_json::to_value(wanted).map_err(kube::Error::SerdeError)?;
    let live = serde_json::to_value(live).map_err(kube::Error::SerdeError)?;
    change::<K>(client, owner, manager, &live, additions(&wanted, &live, maps)).await.map(drop)
}

/// Changes an object that is ours, if there is anything to change; its version then.
async fn change<K>(
    client: &Client,
    owner: &Owner<'_>,
    manager: &str,
    object: &Value,
    changes: Vec<PatchOperation>,
) -> Result<Option<String>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    if changes.is_empty() {
        return Ok(None);
    }
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let changes = json_patch::Patch(changes);
    let kind = K::kind(&());
    tracing::info!(kind = %kind, namespace = owner.namespace, name, %changes, "takes out what others added to an object");
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let changed = objects::<K>(client, owner).patch(name, &params, &Patch::<()>::Json(changes)).await?;
    Ok(changed.metadata.resource_version)
}

/// The objects of a kind as they are, with fields that our own types do not have.
pub fn objects<K>(client: &Client, owner: &Owner<'_>) -> Api<DynamicObject>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced_with(client.clone(), owner.namespace, &ApiResource::erase::<K>(&()))
}

/// What takes out of an object what is not wanted: members of some of its maps, and ports.
fn additions(wanted: &Value, live: &Value, maps: &[&[&str]]) -> Vec<PatchOperation> {
    let mut changes = Vec::new();
    for map in maps {
        let members = |object: &Value| {
            let map = map.iter().try_fold(object, |inner, member| inner.get(member));
            map.and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let wanted = members(wanted);
        let added = members(live).into_iter().map(|(member, _)| member).filter(|member| !wanted.contains_key(member));
        changes.extend(added.map(|member| {
            let path = PointerBuf::from_tokens(map.iter().copied().chain([member.as_str()]));
            PatchOperation::Remove(RemoveOperation { path })
        }));
    }
    let number = |port: &Value| (port.get("port").cloned(), port.get("protocol").cloned());
    if let (Some(Value::Array(wanted)), Some(Value::Array(live))) = (wanted.pointer(PORTS), live.pointer(PORTS)) {
        let is_wanted = |port: &&Value| wanted.iter().any(|one| number(one) == number(port));
        let kept: Vec<_> = live.iter().filter(is_wanted).cloned().collect();
        if kept.len() < live.len() {
            changes.extend(replace_ports(Some(&Value::Array(kept))));
        }
    }
    changes
}

fn replace_ports(ports: Option<&Value>) -> Vec<PatchOperation> {
    let value = ports.cloned().unwrap_or_default();
    let path = PointerBuf::from_tokens(["spec", "ports"]);
    vec![PatchOperation::Replace(ReplaceOperation { path, value })]
}

/// Removes an object for as long as it is ours.
async fn remove_ours<K>(
    client: &Client,
    owner: &Owner<'_>,
    name: &str,
    mut seen: Seen,
    whose: Whose,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match remove::<K>(client, owner, name, seen).await {
            Err(error) if is_conflict(&error) && 0 < tries => {}
            removed => return removed,
        }
        match find::<K>(client, owner, name, whose).await? {
            Found::Ours { seen: now, managed: true } => seen = now,
            Found::Ours { managed: false, .. } | Found::Left { .. } | Found::Foreign | Found::Absent => return Ok(()),
        }
    }
}

async fn remove<K>(client: &Client, owner: &Owner<'_>, name: &str, seen: Seen) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    let only_this = Preconditions { uid: Some(seen.uid), resource_version: seen.version };
    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        removed => removed.map(|_| ()),
    }
}

/// Whether an object is there that was not, or is not as it was seen.
fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether the API server does not know a kind. An apply to a namespace that is gone is a 404 as well.
fn is_unknown_kind(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let about = status.details.as_ref().map(|details| details.kind.as_str()).unwrap_or_default();
    status.code == 404 && about != "namespaces"
}

// === impl Placed ===

impl<K> Placed<K> {
    fn map<T>(self, change: impl FnOnce(K) -> T) -> Placed<T> {
        match self {
            Self::Applied(object) => Placed::Applied(change(object)),
            Self::Foreign => Placed::Foreign,
        }
    }
}

// === impl ForeignObject ===

impl ForeignObject {
    /// What is to become of such objects.
    #[must_use]
    pub fn sentence(objects: &[Self]) -> String {
        let named: Vec<_> = objects.iter().map(ToString::to_string).collect();
        match objects {
            [_] => format!("{} exists and is not ours: remove or rename it", named.join("")),
            [..] => format!("{} exist and are not ours: remove or rename them", named.join(" and ")),
        }
    }
}

impl fmt::Display for ForeignObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

// === impl Outcome ===

impl Outcome {
    /// Of all but the monitor of a gateway, which cannot be made as it is asked for.
    #[must_use]
    pub fn with_unfit_monitor(self, what: String, stands: bool) -> Self {
        match self {
            // What failed is tried again sooner.
            Self::Failed(_) => self,
            Self::Foreign(objects) => {
                let stands = stands && !objects.iter().any(|object| object.kind.is_monitor());
                Self::ServiceUnfit { what: format!("{what}; {}", ForeignObject::sentence(&objects)), stands }
            }
            Self::ApiAbsent => Self::ServiceUnfit { what, stands: false },
            Self::Applied
            | Self::AppliedByEndpoints
            | Self::NotWanted
            | Self::LeftToOlder(_)
            | Self::ServiceUnfit { .. } => Self::ServiceUnfit { what, stands },
        }
    }

    /// Of all but the monitor, which an older group has.
    #[must_use]
    pub fn left_to(self, older: String) -> Self {
        match self {
            Self::Applied | Self::AppliedByEndpoints | Self::NotWanted => Self::LeftToOlder(older),
            Self::LeftToOlder(_) | Self::ApiAbsent | Self::ServiceUnfit { .. } | Self::Foreign(_) | Self::Failed(_) => {
                self
            }
        }
    }

    /// For how long it needs no second look. Groups are spread by their UIDs.
    #[must_use]
    pub fn good_for(&self, uid: &str) -> Duration {
        let whole = match self {
            // Our objects are watched; this is for what a watch may miss.
            Self::Applied | Self::AppliedByEndpoints | Self::NotWanted | Self::LeftToOlder(_) => {
                Duration::from_secs(600)
            }
            // The watch of the kind tells when it appears.
            Self::ApiAbsent => Duration::from_secs(60),
            // The Service and the Secret of somebody else, which are not watched.
            Self::ServiceUnfit { .. } => Duration::from_secs(20),
            // Of others' objects no watch tells that they are gone.
            Self::Foreign(_) => Duration::from_secs(15),
            // When it is tried again is for the failures in a row to say.
            Self::Failed(_) => Duration::ZERO,
        };
        let spread = uid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 256;
        whole + whole * spread / 1024
    }
}

#[cfg(test)]
impl Outcome {
    /// That of one object that is somebody else's.
    pub(crate) fn foreign(kind: Kind, name: &str) -> Self {
        Self::Foreign(vec![ForeignObject { kind, name: name.to_owned() }])
    }
}

#[cfg(test)]
mod tests;
