//! Server-side apply of a plan; one field manager for each concern.
//!
//! What is there already is applied by its UID and by force, so that drift is repaired; what is not is applied without
//! force, so that an object which somebody makes at the same moment is not overwritten. Fields of a monitor's spec that
//! others added are taken out: an apply leaves them alone, and each of them changes what is scraped.
//!
//! *Never:* why.

use std::{fmt::Debug, time::Duration};

use crds::{
    names::{MONITORS_MANAGER, TRUST_MANAGER},
    scrape::DiscoveryRole,
};
use jiff::Timestamp;
use json_patch::{PatchOperation, RemoveOperation, jsonptr::PointerBuf};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Service},
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::plan::{Desired, Kind, Plan};
use crate::monitors::{
    Owner,
    api::{Monitor, NEWER_FIELDS, PodMonitor, ServiceMonitor},
    undeclared::Undeclared,
};

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
    /// The gateway's Service does not fit a ServiceMonitor; what was expected and found.
    ServiceUnfit(String),
    /// Some object is somebody else's; which.
    Foreign(String),
    /// Something could not be applied; what and why.
    Failed(String),
}

/// Applies a plan, as much of it as can be.
pub async fn apply(with: Applying<'_>, owner: &Owner<'_>, plan: Plan) -> Outcome {
    let (mut failed, mut absent, mut by_endpoints, mut is_wanted) = (Vec::new(), false, false, false);
    for desired in &plan.apply {
        is_wanted |= desired.kind() != Kind::ConfigMap;
        let applied = match desired {
            Desired::ConfigMap(object) => {
                let manager = format!("{TRUST_MANAGER}/{}", owner.name);
                apply_one::<ConfigMap>(with.client, owner, &manager, object).await
            }
            Desired::Service(object) => apply_one::<Service>(with.client, owner, MONITORS_MANAGER, object).await,
            Desired::ServiceMonitor(object) => {
                apply_monitor::<ServiceMonitor>(with, owner, object).await.map(|applied| {
                    by_endpoints = applied.spec.service_discovery_role != Some(DiscoveryRole::EndpointSlice);
                })
            }
            Desired::PodMonitor(object) => apply_monitor::<PodMonitor>(with, owner, object).await.map(drop),
        };
        match (desired.kind(), applied) {
            (_, Ok(())) => {}
            (Kind::ServiceMonitor | Kind::PodMonitor, Err(error)) if is_unknown_kind(&error) => absent = true,
            (kind, Err(error)) => failed.push(format!("{}: {error}", kind.as_str())),
        }
    }
    for (kind, uid) in plan.remove {
        let name = kind.name(owner);
        let removed = match kind {
            Kind::ConfigMap => remove::<ConfigMap>(with.client, owner, &name, uid).await,
            Kind::Service => remove::<Service>(with.client, owner, &name, uid).await,
            Kind::ServiceMonitor => remove::<ServiceMonitor>(with.client, owner, &name, uid).await,
            Kind::PodMonitor => remove::<PodMonitor>(with.client, owner, &name, uid).await,
        };
        if let Err(error) = removed {
            failed.push(format!("{}: {error}", kind.as_str()));
        }
    }

    if !failed.is_empty() {
        return Outcome::Failed(failed.join("; "));
    }
    if !plan.foreign.is_empty() {
        let objects = plan.foreign.iter().map(|kind| format!("{} {}", kind.as_str(), kind.name(owner)));
        return Outcome::Foreign(objects.collect::<Vec<_>>().join(" and "));
    }
    match (absent, is_wanted, by_endpoints) {
        (true, ..) => Outcome::ApiAbsent,
        (false, false, _) => Outcome::NotWanted,
        (false, true, true) => Outcome::AppliedByEndpoints,
        (false, true, false) => Outcome::Applied,
    }
}

async fn apply_one<K>(client: &Client, owner: &Owner<'_>, manager: &str, object: &K) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    let name = object.meta().name.clone().unwrap_or_default();
    api.patch(&name, &params(manager, object), &Patch::Apply(object)).await?;
    Ok(())
}

/// Applies as much of a monitor as its CRD has; what was applied.
async fn apply_monitor<K>(with: Applying<'_>, owner: &Owner<'_>, monitor: &K) -> Result<K, kube::Error>
where
    K: Monitor + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Serialize + Debug,
{
    let (kind, mut monitor) = (K::kind(&()), monitor.clone());
    for field in NEWER_FIELDS.into_iter().filter(|field| with.undeclared.has(&kind, *field, with.now)) {
        monitor.leave_out(field);
    }
    // The answer is wanted as it is, with fields that our own types do not have.
    let resource = ApiResource::erase::<K>(&());
    let api = Api::<DynamicObject>::namespaced_with(with.client.clone(), owner.namespace, &resource);
    let name = monitor.meta().name.clone().unwrap_or_default();
    let mut refusals = NEWER_FIELDS.len();
    let live = loop {
        match api.patch(&name, &params(MONITORS_MANAGER, &monitor), &Patch::Apply(&monitor)).await {
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
    let wanted = serde_json::to_value(&monitor).map_err(kube::Error::SerdeError)?;
    let added = fields_added(&wanted, &live.data);
    if !added.0.is_empty() {
        tracing::info!(kind = %kind, namespace = owner.namespace, name, %added, "takes out what others added to a monitor");
        let params = PatchParams { field_manager: Some(MONITORS_MANAGER.to_owned()), ..PatchParams::default() };
        api.patch(&name, &params, &Patch::<()>::Json(added)).await?;
    }
    Ok(monitor)
}

/// By force where the object is known to be ours.
fn params<K: Resource>(manager: &str, object: &K) -> PatchParams {
    let params = PatchParams::apply(manager);
    if object.meta().uid.is_some() { params.force() } else { params }
}

/// What takes out of a spec the fields that are not wanted.
fn fields_added(wanted: &Value, live: &Value) -> json_patch::Patch {
    let spec = |object: &Value| object.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let wanted = spec(wanted);
    let added = spec(live).into_iter().map(|(field, _)| field).filter(|field| !wanted.contains_key(field));
    let remove = |field: String| RemoveOperation { path: PointerBuf::from_tokens(["spec", field.as_str()]) };
    json_patch::Patch(added.map(|field| PatchOperation::Remove(remove(field))).collect())
}

async fn remove<K>(client: &Client, owner: &Owner<'_>, name: &str, uid: String) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    let only_this = Preconditions { uid: Some(uid), resource_version: None };
    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        removed => removed.map(|_| ()),
    }
}

/// Whether the API server does not know a kind. An apply to a namespace that is gone is a 404 as well.
fn is_unknown_kind(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let about = status.details.as_ref().map(|details| details.kind.as_str()).unwrap_or_default();
    status.code == 404 && about != "namespaces"
}

// === impl Outcome ===

impl Outcome {
    /// For how long it needs no second look. Groups are spread by their UIDs.
    #[must_use]
    pub fn good_for(&self, uid: &str) -> Duration {
        let whole = match self {
            // Our objects are watched; this is for what a watch may miss.
            Self::Applied | Self::AppliedByEndpoints | Self::NotWanted => Duration::from_secs(600),
            // The watch of the kind tells when it appears.
            Self::ApiAbsent => Duration::from_secs(60),
            // The Service of somebody else, which is not watched.
            Self::ServiceUnfit(_) => Duration::from_secs(20),
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
mod tests;
