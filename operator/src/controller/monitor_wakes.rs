//! What wakes the reconciles of groups for the sake of their monitors: a monitor, a NetworkPolicy or the ConfigMap that
//! somebody changed, a monitoring kind that comes or goes, and Prometheuses and namespaces that choose differently now.
//!
//! A change of an object makes the group's objects due; one of a Prometheus only its status.
//!
//! *Never:* what a reconcile does.

use std::{fmt::Debug, sync::Arc};

use crds::{
    PushGroup,
    names::{MANAGED_BY, MANAGED_BY_LABEL, PUSH_GROUP_LABEL},
};
use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Namespace},
        networking::v1::NetworkPolicy,
    },
};
use kube::{
    Api, Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{reflector::ObjectRef, watcher},
};
use protocol::trust::CONFIG_MAP_NAME;
use serde::de::DeserializeOwned;

use super::{Context, apply::Outcome};
use crate::{
    cache::Cache,
    monitors::{
        monitoring::{Change, Source},
        prometheus::{Prometheus, PrometheusAgent, Scraper},
    },
    optional::{self, Seen},
};

/// Groups to look at.
type Woken = Vec<ObjectRef<PushGroup>>;

/// Watches our monitors of one kind; a change of one makes its group's objects due, and so does the kind itself when it
/// comes or goes.
pub fn from_monitors<K>(
    ctx: &Arc<Context>,
    what: &'static str,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    // Its CRD may be another one.
    let listed = |ctx: &Context| ctx.monitoring.undeclared.forget();
    from_objects::<K>(ctx, what, ours(), listed, |monitor, _| owner_of(monitor).into_iter().collect())
}

/// Watches our NetworkPolicies; a change of one makes its group's objects due.
pub fn from_network_policies(ctx: &Arc<Context>) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    from_objects::<NetworkPolicy>(
        ctx,
        "networkpolicies",
        ours(),
        |_| {},
        |policy, _| owner_of(policy).into_iter().collect(),
    )
}

/// Watches the ConfigMaps that sidecars trust; a change of one makes the objects of all groups of its namespace due.
pub fn from_trust(ctx: &Arc<Context>) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let config = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP_NAME}"));
    from_objects::<ConfigMap>(
        ctx,
        "configmaps",
        config,
        |_| {},
        |object, groups| in_namespace(groups, object.metadata.namespace.as_deref()),
    )
}

/// Watches Prometheuses.
pub fn from_prometheuses(ctx: &Arc<Context>) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let api = Api::<Prometheus>::all(ctx.client.clone());
    let seen = optional::watch("prometheuses", api, watcher::Config::default());
    from_scrapers(ctx, Source::Prometheus, seen.map(|seen| seen.map(Scraper::from)))
}

/// Watches PrometheusAgents.
pub fn from_prometheus_agents(ctx: &Arc<Context>) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let api = Api::<PrometheusAgent>::all(ctx.client.clone());
    let seen = optional::watch("prometheusagents", api, watcher::Config::default());
    from_scrapers(ctx, Source::Agent, seen.map(|seen| seen.map(Scraper::from)))
}

/// Watches the labels of namespaces.
pub fn from_namespaces(ctx: &Arc<Context>) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let api = Api::<PartialObjectMeta<Namespace>>::all(ctx.client.clone());
    let seen = optional::watch("namespaces", api, watcher::Config::default());
    let ctx = ctx.clone();
    seen.flat_map(move |seen| {
        let seen = seen.map(|namespace| (namespace.name_any(), namespace.metadata.labels.unwrap_or_default()));
        stream::iter(woken(&ctx.groups, ctx.monitoring.see_namespace(seen)))
    })
}

/// Of a kind, what the operator makes.
fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"))
}

fn from_scrapers(
    ctx: &Arc<Context>,
    source: Source,
    seen: impl Stream<Item = Seen<Scraper>> + Send + 'static,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let ctx = ctx.clone();
    seen.flat_map(move |seen| stream::iter(woken(&ctx.groups, ctx.monitoring.see_prometheus(source, seen))))
}

/// Watches objects where the operator works, and makes the objects of groups due: `about` tells whose by an object that
/// was changed. Whenever a listing is over, `listed` is done.
fn from_objects<K>(
    ctx: &Arc<Context>,
    what: &'static str,
    config: watcher::Config,
    listed: fn(&Context),
    about: fn(&PartialObjectMeta<K>, &Cache<PushGroup>) -> Woken,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watches = ctx.scope.apis::<PartialObjectMeta<K>>(&ctx.client).into_iter().map(move |api| {
        let ctx = ctx.clone();
        let namespace = api.namespace().map(str::to_owned);
        let mut listing = Listing::default();
        let seen = optional::watch(what, api, config.clone());
        let due = seen.flat_map(move |seen| {
            let due = match listing.is_over(&seen) {
                Some(is_first) => {
                    listed(&ctx);
                    all_due(&ctx, in_namespace(&ctx.groups, namespace.as_deref()), is_first)
                }
                None => listing.changed(seen).map(|object| about(&object, &ctx.groups)).unwrap_or_default(),
            };
            due.iter().for_each(|group| ctx.memory.touch(group));
            stream::iter(due)
        });
        due.boxed()
    });
    stream::select_all(watches)
}

/// These groups: something may have changed unseen. At the start, not those that were applied a moment ago.
fn all_due(ctx: &Context, groups: Woken, is_first: bool) -> Woken {
    let is_applied = |group: &ObjectRef<PushGroup>| {
        let applied = [Outcome::Applied, Outcome::AppliedByEndpoints, Outcome::NotWanted];
        ctx.memory.last_outcome(group).is_some_and(|outcome| applied.contains(&outcome))
    };
    groups.into_iter().filter(|group| !(is_first && is_applied(group))).collect()
}

fn woken(groups: &Cache<PushGroup>, change: Change) -> Woken {
    match change {
        Change::Nothing => Vec::new(),
        Change::Namespace(namespace) => in_namespace(groups, Some(&namespace)),
        Change::Everything => in_namespace(groups, None),
    }
}

/// The groups of a namespace, or all.
fn in_namespace(groups: &Cache<PushGroup>, namespace: Option<&str>) -> Woken {
    let groups = namespace.map_or_else(|| groups.all(), |namespace| groups.in_namespace(namespace));
    groups.into_iter().map(|group| ObjectRef::from_obj(&*group)).collect()
}

/// The group of one of our objects, by its label if somebody took the owner away.
fn owner_of<K>(object: &PartialObjectMeta<K>) -> Option<ObjectRef<PushGroup>>
where
    K: Resource<DynamicType = ()>,
{
    let owners = object.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.kind == PushGroup::kind(&())).map(|owner| owner.name.clone());
    let label = || object.metadata.labels.as_ref().and_then(|labels| labels.get(PUSH_GROUP_LABEL).cloned());
    Some(ObjectRef::new(&owner.or_else(label)?).within(object.metadata.namespace.as_deref()?))
}

/// Whether a watch is in the middle of telling all objects.
#[derive(Debug, Default)]
struct Listing {
    is_under_way: bool,
    was_over: bool,
}

// === impl Listing ===

impl Listing {
    /// Whether it is over all that there is; if so, whether that is for the first time.
    fn is_over<K>(&mut self, seen: &Seen<K>) -> Option<bool> {
        match seen {
            Seen::Listing => self.is_under_way = true,
            Seen::Hidden(_) | Seen::Listed => {
                self.is_under_way = false;
                return Some(!std::mem::replace(&mut self.was_over, true));
            }
            Seen::There(_) | Seen::Gone(_) => {}
        }
        None
    }

    /// The object that was changed, if it was; one that is listed was not.
    fn changed<K>(&self, seen: Seen<K>) -> Option<K> {
        match seen {
            Seen::There(object) if !self.is_under_way => Some(object),
            Seen::Gone(object) => Some(object),
            Seen::There(_) | Seen::Hidden(_) | Seen::Listing | Seen::Listed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::PartialObjectMetaExt as _;
    use serde_json::json;

    use super::*;
    use crate::{monitors::api::ServiceMonitor, optional::Hidden};

    #[test]
    fn a_monitor_without_owner_still_wakes_its_group() {
        let owner = |metadata: serde_json::Value| {
            let metadata: kube::api::ObjectMeta = serde_json::from_value(metadata).unwrap();
            owner_of::<ServiceMonitor>(&metadata.into_response_partial())
        };
        let nightly = Some(ObjectRef::new("nightly").within("data"));
        let owners =
            json!([{"apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup", "name": "nightly", "uid": "1"}]);
        assert_eq!(owner(json!({"namespace": "data", "ownerReferences": owners})), nightly);
        assert_eq!(owner(json!({"namespace": "data", "labels": {PUSH_GROUP_LABEL: "nightly"}})), nightly);
        assert_eq!(owner(json!({"namespace": "data"})), None);
    }

    #[test]
    fn what_is_listed_was_not_changed() {
        let mut listing = Listing::default();
        let mut see = |seen: Seen<u8>| (listing.is_over(&seen), listing.changed(seen));
        assert_eq!(see(Seen::Listing), (None, None));
        assert_eq!(see(Seen::There(1)), (None, None));
        assert_eq!(see(Seen::Listed), (Some(true), None));
        assert_eq!(see(Seen::There(1)), (None, Some(1)));
        assert_eq!(see(Seen::Gone(1)), (None, Some(1)));
        assert_eq!(see(Seen::Hidden(Hidden::Absent)), (Some(false), None));
    }
}
