//! The objects of a group stay as they should be, whatever others do to them, and others' objects stay as they are.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use crds::{
    PushGroup,
    status::{condition, reason},
};
use e2e::{
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Service},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::workload;

crate::world::tests![
    what_others_change_in_our_objects_is_repaired,
    objects_that_others_remove_are_made_again,
    an_object_of_somebody_else_is_left_alone_until_it_is_gone,
    a_config_map_of_somebody_else_is_left_alone_until_it_is_gone,
    groups_of_a_namespace_share_the_config_map_and_the_last_takes_it_along,
    a_change_of_kind_changes_the_objects,
    a_group_that_is_deleted_and_made_again_is_not_told_of_what_the_old_one_left,
];

/// The name that all but the ConfigMap have.
const NAME: &str = "sidegate-all";

/// Our monitors of a kind, with all that is in them.
pub(crate) fn monitors(sandbox: &Sandbox, kind: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", kind));
    Api::namespaced_with(sandbox.client.clone(), &sandbox.namespace, &kind)
}

/// What of the objects is ours to say.
async fn objects(sandbox: &Sandbox) -> anyhow::Result<Value> {
    let monitor = monitors(sandbox, "ServiceMonitor").get(NAME).await?;
    let service = sandbox.api::<Service>().get(NAME).await?;
    let (service_labels, service) = (service.metadata.labels, service.spec.unwrap_or_default());
    let trust = sandbox.api::<ConfigMap>().get("sidegate-trust").await?;
    Ok(json!({
        "labels": monitor.metadata.labels,
        "owners": monitor.metadata.owner_references,
        "monitor": monitor.data["spec"],
        "selector": service.selector,
        "not ready": service.publish_not_ready_addresses,
        "ports": service.ports,
        "labels of the Service": service_labels,
        "trust": trust.data,
        "labels of the trust": trust.metadata.labels,
    }))
}

fn patch(sandbox: &Sandbox, what: &str, patch: &Value) -> anyhow::Result<()> {
    let arguments = ["--namespace", &sandbox.namespace, "patch", what, "--type=merge", "--patch", &patch.to_string()];
    sandbox.kubectl.run(&arguments).map(drop)
}

async fn repaired(sandbox: &Sandbox, expected: &Value) -> anyhow::Result<()> {
    wait::until("the objects to be as before", STEP, || async {
        let found = objects(sandbox).await?;
        (found == *expected).then_some(Some(())).with_context(|| format!("expected {expected}, found {found}"))
    })
    .await
}

/// Waits until the group `all` is told that an object is in its way, and is not ready.
pub(crate) async fn told_of_a_foreign_object(sandbox: &Sandbox, object: &str) -> anyhow::Result<()> {
    let found = sandbox.reason("all", condition::MONITORS_SYNCED, reason::FOREIGN_OBJECT).await?;
    let expected = format!("{object} exists and is not ours: remove or rename it");
    ensure!(found.status == "False" && found.message == expected, "{found:?}");
    sandbox.reason("all", condition::READY, reason::FOREIGN_OBJECT).await.map(drop)
}

async fn what_others_change_in_our_objects_is_repaired(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    let before = objects(&sandbox).await?;
    let (monitor, service) = (format!("servicemonitor/{NAME}"), format!("service/{NAME}"));
    let scrape = before["ports"][0]["name"].clone();
    let more_labels = json!({"metadata": {"labels": {"prometheus": "another"}}});
    for (what, change) in [
        (monitor.as_str(), json!({"spec": {"endpoints": [{"port": "other", "honorLabels": false}]}})),
        // An apply leaves alone what it does not name.
        (&monitor, json!({"spec": {"sampleLimit": 1, "namespaceSelector": {"any": true}, "jobLabel": "app"}})),
        (&monitor, json!({"metadata": {"ownerReferences": null, "labels": {"app.kubernetes.io/managed-by": null}}})),
        (&service, json!({"spec": {"selector": {"app": "other"}, "publishNotReadyAddresses": false}})),
        // Another port besides ours, which has another number there; then ours only, with another number.
        (&service, json!({"spec": {"ports": [{"name": "other", "port": 80}, {"name": scrape, "port": 9092}]}})),
        (&service, json!({"spec": {"ports": [{"name": scrape, "port": 80}]}})),
        ("configmap/sidegate-trust", json!({"data": {"operator-keys": "stolen", "more": "keys"}})),
        (&monitor, more_labels.clone()),
        (&service, more_labels.clone()),
        ("configmap/sidegate-trust", more_labels),
    ] {
        patch(&sandbox, what, &change)?;
        if change.pointer("/metadata/ownerReferences").is_some() {
            // Nothing says any more that it is ours: it is somebody's now.
            let found = sandbox.condition("all", condition::MONITORS_SYNCED, "False").await?;
            ensure!(found.reason == reason::FOREIGN_OBJECT && found.message.contains(NAME), "{found:?}");
            sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", what])?;
        }
        repaired(&sandbox, &before).await.with_context(|| change.to_string())?;
    }
    sandbox.group_ready("all").await
}

async fn objects_that_others_remove_are_made_again(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    let before = objects(&sandbox).await?;
    for what in [format!("servicemonitor/{NAME}"), format!("service/{NAME}"), "configmap/sidegate-trust".to_owned()] {
        sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", &what])?;
        repaired(&sandbox, &before).await.context(what)?;
    }
    Ok(())
}

async fn an_object_of_somebody_else_is_left_alone_until_it_is_gone(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&format!(
        "{{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {{name: {NAME}}}, \
         spec: {{selector: {{matchLabels: {{mine: \"yes\"}}}}, endpoints: []}}}}"
    ))?;
    sandbox.apply(&workload::push_group("all", ""))?;
    told_of_a_foreign_object(&sandbox, &format!("ServiceMonitor {NAME}")).await?;
    sandbox.reason("all", condition::SELECTED_BY_PROMETHEUS, reason::NO_MONITOR).await?;
    let theirs = monitors(&sandbox, "ServiceMonitor").get(NAME).await?;
    ensure!(theirs.data["spec"]["selector"]["matchLabels"]["mine"] == "yes", "{:?}", theirs.data);
    ensure!(theirs.metadata.owner_references.is_none(), "{:?}", theirs.metadata);
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "servicemonitor", NAME])?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    sandbox.reason("all", condition::SELECTED_BY_PROMETHEUS, reason::SELECTED).await?;
    sandbox.group_ready("all").await
}

async fn a_config_map_of_somebody_else_is_left_alone_until_it_is_gone(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: sidegate-trust}, data: {mine: \"yes\"}}")?;
    sandbox.apply(&workload::push_group("all", ""))?;
    told_of_a_foreign_object(&sandbox, "ConfigMap sidegate-trust").await?;
    // The rest of the group's objects are there, and taken.
    monitors(&sandbox, "ServiceMonitor").get(NAME).await?;
    sandbox.reason("all", condition::SELECTED_BY_PROMETHEUS, reason::SELECTED).await?;
    sandbox.reason("all", condition::HONOR_LABELS_OVERRIDDEN, reason::AS_PUSHED).await?;
    let theirs = sandbox.api::<ConfigMap>().get("sidegate-trust").await?;
    ensure!(theirs.data.unwrap_or_default().keys().eq(["mine"]) && theirs.metadata.owner_references.is_none());
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "configmap", "sidegate-trust"])?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    ensure!(!sandbox.api::<ConfigMap>().get("sidegate-trust").await?.data.unwrap_or_default().contains_key("mine"));
    Ok(())
}

async fn groups_of_a_namespace_share_the_config_map_and_the_last_takes_it_along(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    for name in ["all", "other"] {
        sandbox.apply(&workload::push_group(name, ""))?;
        sandbox.group_ready(name).await?;
    }
    let trust = sandbox.api::<ConfigMap>();
    let owners = async || {
        let object = trust.get_opt("sidegate-trust").await?;
        let owners = object.and_then(|object| object.metadata.owner_references).unwrap_or_default();
        let mut names: Vec<String> = owners.into_iter().map(|owner| owner.name).collect();
        names.sort();
        anyhow::Ok(names)
    };
    let managers = async || {
        let fields = trust.get("sidegate-trust").await?.metadata.managed_fields.unwrap_or_default();
        anyhow::Ok(fields.into_iter().filter_map(|entry| entry.manager).collect::<BTreeSet<_>>())
    };
    ensure!(owners().await? == ["all", "other"]);
    let both = managers().await?;
    ensure!(["sidegate-trust/all", "sidegate-trust/other"].iter().all(|one| both.contains(*one)), "{both:?}");
    for (name, left) in [("other", vec!["all"]), ("all", vec![])] {
        sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pushgroup", name])?;
        wait::until(&format!("the owners to be {left:?}"), STEP, || async {
            let found = owners().await?;
            (found == left).then_some(Some(())).with_context(|| format!("found {found:?}"))
        })
        .await?;
        if !left.is_empty() {
            let kept = managers().await?;
            ensure!(!kept.contains("sidegate-trust/other"), "who is gone manages nothing any more: {kept:?}");
            ensure!(kept.contains("sidegate-trust/all") && kept.contains("sidegate-trust"), "{kept:?}");
            let data = trust.get("sidegate-trust").await?.data.unwrap_or_default();
            ensure!(data.keys().eq(["operator-keys"]), "{data:?}");
        }
    }
    wait::until("nothing to be left", STEP, || async {
        let what = "configmap/sidegate-trust";
        let left = sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "get", what, "--ignore-not-found"])?;
        let labelled =
            ["get", "services,servicemonitors,podmonitors", "--selector=sidegate.dev/pushgroup", "--output=name"];
        let objects = sandbox.kubectl.run(&[&["--namespace", &sandbox.namespace][..], &labelled].concat())?;
        Ok((left.is_empty() && objects.is_empty()).then_some(()))
    })
    .await
}

async fn a_change_of_kind_changes_the_objects(sandbox: Sandbox) -> anyhow::Result<()> {
    let of_kind =
        |kind: &str| workload::push_group("all", "").replace("interval: 2s", &format!("interval: 2s, kind: {kind}"));
    for (kind, expected) in [
        ("ServiceMonitor", [true, true, false]),
        ("PodMonitor", [false, false, true]),
        ("None", [false, false, false]),
        ("ServiceMonitor", [true, true, false]),
    ] {
        sandbox.apply(&of_kind(kind))?;
        wait::until(&format!("the objects of {kind}"), STEP, || async {
            let found = [
                sandbox.api::<Service>().get_opt(NAME).await?.is_some(),
                monitors(&sandbox, "ServiceMonitor").get_opt(NAME).await?.is_some(),
                monitors(&sandbox, "PodMonitor").get_opt(NAME).await?.is_some(),
            ];
            Ok((found == expected).then_some(()))
        })
        .await?;
        sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
        if kind == "PodMonitor" {
            a_changed_pod_monitor_is_repaired(&sandbox).await?;
        }
    }
    Ok(())
}

async fn a_changed_pod_monitor_is_repaired(sandbox: &Sandbox) -> anyhow::Result<()> {
    let monitor = monitors(sandbox, "PodMonitor");
    let spec = async || anyhow::Ok(monitor.get(NAME).await?.data["spec"].clone());
    let before = spec().await?;
    for change in [
        json!({"podMetricsEndpoints": [{"port": "other", "honorLabels": false}]}),
        json!({"selector": {"matchLabels": {"app": "other"}}}),
        // An apply leaves alone what it does not name.
        json!({"sampleLimit": 1, "namespaceSelector": {"any": true}, "jobLabel": "app"}),
    ] {
        patch(sandbox, &format!("podmonitor/{NAME}"), &json!({"spec": change}))?;
        wait::until("the PodMonitor to be as before", STEP, || async {
            let found = spec().await?;
            (found == before).then_some(Some(())).with_context(|| format!("expected {before}, found {found}"))
        })
        .await
        .with_context(|| change.to_string())?;
    }
    Ok(())
}

/// Its objects are the old one's until the garbage collector comes for them.
async fn a_group_that_is_deleted_and_made_again_is_not_told_of_what_the_old_one_left(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    let group = workload::push_group("all", "")
        .replace("interval: 2s", "interval: 2s, networkPolicy: {from: [{podSelector: {}}]}");
    let groups = sandbox.api::<PushGroup>();
    let start = groups.list(&ListParams::default()).await?.metadata.resource_version.context("a list has a version")?;
    let group: PushGroup = serde_yaml::from_str(&group)?;
    for _ in 0..8 {
        groups.create(&PostParams::default(), &group).await?;
        sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
        groups.delete("all", &DeleteParams::default()).await?;
    }
    groups.create(&PostParams::default(), &group).await?;
    sandbox.group_ready("all").await?;
    // All that was ever said, by the API server's own memory.
    let path = format!("/apis/sidegate.dev/v1alpha1/namespaces/{}/pushgroups", sandbox.namespace);
    let path = format!("{path}?watch=true&resourceVersion={start}&timeoutSeconds=1");
    let events = sandbox.client.request_text(http::Request::get(path).body(Vec::new())?).await?;
    let (mut made, mut told) = (0, Vec::new());
    for line in events.lines() {
        let event: Value = serde_json::from_str(line)?;
        made += usize::from(event["type"] == "ADDED");
        let conditions = event["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        told.extend(
            conditions.into_iter().filter(|one| one["type"] == condition::MONITORS_SYNCED && one["status"] != "True"),
        );
    }
    ensure!(made == 9, "expected nine groups of that name, found {made} in {events}");
    ensure!(told.is_empty(), "something was wrong for a moment: {told:#?}");
    // What the last one has is its own, which nobody comes for.
    let uid = groups.get("all").await?.metadata.uid;
    wait::throughout(Duration::from_secs(2), || async {
        let objects = [
            sandbox.api::<Service>().get(NAME).await?.metadata,
            sandbox.api::<NetworkPolicy>().get(NAME).await?.metadata,
            monitors(&sandbox, "ServiceMonitor").get(NAME).await?.metadata,
        ];
        for owners in objects.map(|object| object.owner_references.unwrap_or_default()) {
            let is_own = owners.iter().map(|owner| &owner.uid).eq(&uid);
            ensure!(is_own, "expected {uid:?} to be the owner, found {owners:?}");
        }
        Ok(())
    })
    .await
}
