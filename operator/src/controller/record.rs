//! Writing a group's status.
//!
//! It is computed on top of the object as it is at that moment and written only if it differs, with the version it is
//! based on: see [`super::ledger`]. Where it differs in counts alone it may have to wait: see [`super::memory`].
//!
//! *Never:* what a status says.

use std::time::Duration;

use crds::{PushGroup, PushGroupStatus, names::STATUS_MANAGER, status::reason};
use jiff::Timestamp;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};
use serde_json::json;

use super::{
    Context,
    ledger::{Due, Ending},
    status::{Worth, worth_writing},
};
use crate::events::Kind;

/// How often a status is computed anew because the object changed meanwhile.
const ATTEMPTS: usize = 4;

/// Brings a group's status up to date; `next` computes it from the one there is, the moment, and what is not in its
/// totals yet. Pods whose groups nobody has seen are told by an Event once they are in it. Says how long it is good for:
/// what differs is to be written then.
///
/// # Errors
/// When the object can be neither read nor written.
///
/// # Cancel safety
/// A write whose answer is lost is recognised the next time.
pub async fn write_status(
    ctx: &Context,
    group: &PushGroup,
    next: impl Fn(&PushGroupStatus, Timestamp, &Due) -> PushGroupStatus,
) -> Result<Duration, kube::Error> {
    let known = ObjectRef::from_obj(group);
    let now = ctx.clock.now();
    let cached = group.status.clone().unwrap_or_default();
    let created = group.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let due = ctx.memory.ledger(&known, |ledger| ledger.due(&cached, created));
    match worth_writing(&cached, &next(&cached, now, &due), now) {
        Worth::Nothing => return Ok(Duration::MAX),
        Worth::Counts => {
            let wait = ctx.memory.counts_wait(&known, now);
            if !wait.is_zero() {
                return Ok(wait);
            }
        }
        Worth::More => {}
    }
    let api = Api::<PushGroup>::namespaced(ctx.client.clone(), &group.namespace().unwrap_or_default());
    let mut attempts = 0;
    loop {
        attempts += 1;
        // The cache may be a write behind; a total must not be.
        let Some(live) = api.get_opt(&group.name_any()).await?.filter(|live| live.uid() == group.uid()) else {
            return Ok(Duration::MAX);
        };
        let version = live.resource_version().unwrap_or_default();
        let before = live.status.unwrap_or_default();
        let (settled, due) = ctx.memory.ledger(&known, |ledger| {
            let settled = ledger.settle(&before, &version);
            (settled, ledger.due(&before, created))
        });
        tell(ctx, group, &settled);
        let status = next(&before, now, &due);
        let worth = worth_writing(&before, &status, now);
        if worth == Worth::Nothing {
            return Ok(Duration::MAX);
        }
        let object = json!({
            "apiVersion": PushGroup::api_version(&()),
            "kind": PushGroup::kind(&()),
            "metadata": {"name": group.name_any(), "namespace": group.namespace(), "resourceVersion": version},
            "status": status,
        });
        ctx.memory.ledger(&known, |ledger| ledger.begin(&status, due, &version));
        let params = PatchParams::apply(STATUS_MANAGER).force();
        match api.patch_status(&group.name_any(), &params, &Patch::Apply(&object)).await {
            Ok(_) => {
                tell(ctx, group, &ctx.memory.ledger(&known, |ledger| ledger.written()));
                if worth == Worth::Counts {
                    ctx.memory.wrote_counts(&known, now);
                }
                return Ok(Duration::MAX);
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

/// Tells of pods whose groups are among the unseen from now on.
fn tell(ctx: &Context, group: &PushGroup, endings: &[Ending]) {
    for ending in endings {
        ctx.metrics.unseen(ending.groups);
        ctx.events.tell(group.object_ref(&()), Kind::Warning, reason::GROUPS_UNSEEN, ending.to_string());
    }
}
