//! Server-side apply of a plan, and of a status; one field manager for each concern.
//!
//! A status is computed on top of the object as it is at that moment and written only if it differs, with the version it
//! is based on: see [`super::ledger`].
//!
//! *Never:* why.

use std::{fmt::Debug, time::Duration};

use crds::{
    PushGroup, PushGroupStatus,
    names::{MONITORS_MANAGER, STATUS_MANAGER, TRUST_MANAGER},
};
use jiff::Timestamp;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Service},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::reflector::ObjectRef,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    Context,
    plan::{Desired, Kind, Plan},
    status::worth_writing,
};
use crate::monitors::{
    Owner,
    api::{PodMonitor, ServiceMonitor},
};

/// How often a status is computed anew because the object changed meanwhile.
const ATTEMPTS: usize = 4;

/// How applying a plan went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was applied.
    Applied,
    /// No monitor is wanted.
    NotWanted,
    /// The API server does not know the kind of monitor.
    ApiAbsent,
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

/// Brings a group's status up to date; `next` computes it from the one there is, the moment, and the collected groups
/// that are not in it yet.
///
/// # Errors
/// When the object can be neither read nor written.
///
/// # Cancel safety
/// A write whose answer is lost is recognised the next time.
pub async fn write_status(
    ctx: &Context,
    group: &PushGroup,
    next: impl Fn(&PushGroupStatus, Timestamp, i64) -> PushGroupStatus,
) -> Result<(), kube::Error> {
    let known = ObjectRef::from_obj(group);
    let now = ctx.clock.now();
    let cached = group.status.clone().unwrap_or_default();
    let unwritten = ctx.memory.ledger(&known, |ledger| ledger.unwritten());
    if !worth_writing(&cached, &next(&cached, now, unwritten), now) {
        return Ok(());
    }
    let api = Api::<PushGroup>::namespaced(ctx.client.clone(), &group.namespace().unwrap_or_default());
    let mut attempts = 0;
    loop {
        attempts += 1;
        // The cache may be a write behind; a total must not be.
        let Some(live) = api.get_opt(&group.name_any()).await?.filter(|live| live.uid() == group.uid()) else {
            return Ok(());
        };
        let version = live.resource_version().unwrap_or_default();
        let before = live.status.unwrap_or_default();
        let unwritten = ctx.memory.ledger(&known, |ledger| {
            ledger.settle(before.collected_total.unwrap_or_default(), &version);
            ledger.unwritten()
        });
        let status = next(&before, now, unwritten);
        if !worth_writing(&before, &status, now) {
            return Ok(());
        }
        let object = json!({
            "apiVersion": PushGroup::api_version(&()),
            "kind": PushGroup::kind(&()),
            "metadata": {"name": group.name_any(), "namespace": group.namespace(), "resourceVersion": version},
            "status": status,
        });
        ctx.memory.ledger(&known, |ledger| ledger.begin(status.collected_total.unwrap_or_default(), &version));
        let params = PatchParams::apply(STATUS_MANAGER).force();
        match api.patch_status(&group.name_any(), &params, &Patch::Apply(&object)).await {
            Ok(_) => {
                ctx.memory.ledger(&known, |ledger| ledger.written());
                return Ok(());
            }
            Err(kube::Error::Api(status)) if status.code < 500 => {
                ctx.memory.ledger(&known, |ledger| ledger.refused());
                if status.code != 409 || attempts == ATTEMPTS {
                    return Err(kube::Error::Api(status));
                }
            }
            Err(error) => return Err(error),
        }
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
            // When it is tried again is for the failures in a row to say.
            Self::Failed(_) => Duration::ZERO,
        };
        let spread = uid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 256;
        whole + whole * spread / 1024
    }
}

#[cfg(test)]
mod tests;
