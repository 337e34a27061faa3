//! Server-side apply of a plan; one field manager for each concern.
//!
//! *Never:* why.

use std::{fmt::Debug, time::Duration};

use crds::names::{MONITORS_MANAGER, TRUST_MANAGER};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Service},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};

use super::plan::{Desired, Kind, Plan};
use crate::monitors::{
    Owner,
    api::{PodMonitor, ServiceMonitor},
};

/// How applying a plan went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was applied.
    Applied,
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
pub async fn apply(client: &Client, owner: &Owner<'_>, plan: Plan) -> Outcome {
    let (mut failed, mut absent) = (Vec::new(), false);
    let nothing_wanted = plan.apply.is_empty() && plan.foreign.is_empty();

    let trust_manager = format!("{TRUST_MANAGER}/{}", owner.name);
    if let Err(error) = apply_one::<ConfigMap>(client, owner, &trust_manager, &plan.trust).await {
        failed.push(format!("ConfigMap: {error}"));
    }
    for desired in &plan.apply {
        let applied = match desired {
            Desired::Service(object) => apply_one::<Service>(client, owner, MONITORS_MANAGER, object).await,
            Desired::ServiceMonitor(object) => {
                apply_one::<ServiceMonitor>(client, owner, MONITORS_MANAGER, object).await
            }
            Desired::PodMonitor(object) => apply_one::<PodMonitor>(client, owner, MONITORS_MANAGER, object).await,
        };
        match applied {
            Ok(()) => {}
            Err(error) if desired.kind() != Kind::Service && is_unknown_kind(&error) => absent = true,
            Err(error) => failed.push(format!("{}: {error}", desired.kind().as_str())),
        }
    }
    for (kind, uid) in plan.remove {
        let removed = match kind {
            Kind::Service => remove::<Service>(client, owner, uid).await,
            Kind::ServiceMonitor => remove::<ServiceMonitor>(client, owner, uid).await,
            Kind::PodMonitor => remove::<PodMonitor>(client, owner, uid).await,
        };
        if let Err(error) = removed {
            failed.push(format!("{}: {error}", kind.as_str()));
        }
    }

    if !failed.is_empty() {
        return Outcome::Failed(failed.join("; "));
    }
    if !plan.foreign.is_empty() {
        let kinds: Vec<_> = plan.foreign.iter().map(|kind| kind.as_str()).collect();
        return Outcome::Foreign(format!("{} {}", kinds.join(" and "), owner.object_name()));
    }
    match (absent, nothing_wanted) {
        (true, _) => Outcome::ApiAbsent,
        (false, true) => Outcome::NotWanted,
        (false, false) => Outcome::Applied,
    }
}

async fn apply_one<K>(client: &Client, owner: &Owner<'_>, manager: &str, object: &K) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    let name = object.meta().name.clone().unwrap_or_default();
    api.patch(&name, &PatchParams::apply(manager).force(), &Patch::Apply(object)).await?;
    Ok(())
}

async fn remove<K>(client: &Client, owner: &Owner<'_>, uid: String) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    let only_this = Preconditions { uid: Some(uid), resource_version: None };
    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
    match api.delete(&owner.object_name(), &params).await {
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
            // Drift of monitors, whose kinds may be unknown and so are not watched.
            Self::Applied | Self::NotWanted => Duration::from_secs(60),
            // Cheap to ask, and somebody may be installing it right now.
            Self::ApiAbsent => Duration::from_secs(4),
            Self::Foreign(_) => Duration::from_secs(30),
            // The Service of somebody else, which is not watched.
            Self::ServiceUnfit(_) => Duration::from_secs(8),
            // When it is tried again is for the failures in a row to say.
            Self::Failed(_) => Duration::ZERO,
        };
        let spread = uid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 256;
        whole + whole * spread / 1024
    }
}

#[cfg(test)]
mod tests;
