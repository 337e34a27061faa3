//! Pods that ask for a sidecar and get none, and whom that is told.

use anyhow::{Context as _, ensure};
use crds::status::condition;
use e2e::{
    install::SIDEGATE_NAMESPACE,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod},
    events::v1::Event,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::workload::{self, has_sidecar};

crate::world::tests![
    a_pod_that_the_webhook_did_not_see_is_told_until_it_is_gone,
    a_namespace_asks_for_the_pods_that_say_nothing_themselves,
    a_pod_that_is_skipped_is_told_its_owner_and_a_dry_run_nobody,
    the_clusters_own_pods_and_the_operators_are_left_alone_whatever_they_ask,
];

fn label(sandbox: &Sandbox, label: &str) -> anyhow::Result<()> {
    sandbox.kubectl.run(&["label", "--overwrite", "namespace", &sandbox.namespace, label]).map(drop)
}

/// The Events about an object, by its name.
async fn events(sandbox: &Sandbox, name: &str) -> anyhow::Result<Vec<Event>> {
    let events: Api<Event> = sandbox.api();
    let about = |event: &Event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name);
    Ok(events.list(&ListParams::default()).await?.items.into_iter().filter(about).collect())
}

/// Waits for an Event about an object.
async fn event(sandbox: &Sandbox, name: &str, reason: &str) -> anyhow::Result<Event> {
    wait::until(&format!("an Event {reason} about {name}"), STEP, || async {
        let found = events(sandbox, name).await?;
        Ok(found.into_iter().find(|event| event.reason.as_deref() == Some(reason)))
    })
    .await
}

async fn a_pod_that_the_webhook_did_not_see_is_told_until_it_is_gone(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.condition("all", condition::PODS_INJECTED, "True").await?;
    label(&sandbox, "sidegate.dev/webhook=disabled")?;
    sandbox.apply(&workload::opted_in("missed"))?;
    ensure!(!has_sidecar(&sandbox.pod_ready("missed").await?), "the webhook is switched off here");
    label(&sandbox, "sidegate.dev/webhook-")?;
    let found = sandbox.condition("all", condition::PODS_INJECTED, "False").await?;
    ensure!(
        found.message.starts_with("1 pod that asks for a sidecar of this PushGroup has none: missed;"),
        "{found:?}"
    );
    let told = event(&sandbox, "missed", "SidecarMissing").await?;
    let note = told.note.context("it says something")?;
    ensure!(note.starts_with("The pod asks for a sidecar and has none: "), "{note}");
    // One that was skipped for a reason is not missed.
    let mut skipped: Value = serde_yaml::from_str(&workload::opted_in("on-the-node"))?;
    skipped["spec"]["hostNetwork"] = json!(true);
    sandbox.apply(&skipped.to_string())?;
    sandbox.pod_ready("on-the-node").await?;
    sandbox.api::<Pod>().delete("missed", &DeleteParams::default()).await?;
    sandbox.condition("all", condition::PODS_INJECTED, "True").await?;
    ensure!(
        events(&sandbox, "on-the-node").await?.iter().all(|event| event.reason.as_deref() != Some("SidecarMissing"))
    );
    Ok(())
}

async fn a_namespace_asks_for_the_pods_that_say_nothing_themselves(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    label(&sandbox, "sidegate.dev/inject=true")?;
    sandbox.apply(&workload::pod("silent", "{app: etl}", "{}"))?;
    sandbox.apply(&workload::pod("refusing", "{app: etl}", "{sidegate.dev/inject: \"false\"}"))?;
    ensure!(has_sidecar(&sandbox.pod_ready("silent").await?), "the namespace asks for it");
    ensure!(!has_sidecar(&sandbox.pod_ready("refusing").await?), "the pod's own value wins");
    label(&sandbox, "sidegate.dev/inject=false")?;
    sandbox.apply(&workload::pod("later", "{app: etl}", "{}"))?;
    ensure!(!has_sidecar(&sandbox.pod_ready("later").await?), "the namespace asks no more");
    Ok(())
}

async fn a_pod_that_is_skipped_is_told_its_owner_and_a_dry_run_nobody(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: owner}}")?;
    let owner = sandbox.api::<ConfigMap>().get("owner").await?;
    let mut pod: Value = serde_yaml::from_str(&workload::opted_in("on-the-node"))?;
    pod["spec"]["hostNetwork"] = json!(true);
    pod["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid, "controller": true},
    ]);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    sandbox.api::<Pod>().create(&dry, &serde_json::from_value(pod.clone())?).await?;
    ensure!(events(&sandbox, "owner").await?.is_empty(), "a dry run leaves nothing behind");
    sandbox.apply(&pod.to_string())?;
    let told = event(&sandbox, "owner", "InjectionSkipped").await?;
    ensure!(told.series.is_none(), "the dry run was told as well: {told:?}");
    ensure!(told.note.as_deref() == Some("sidegate: no sidecar: the pod uses the node's network"), "{told:?}");
    Ok(())
}

async fn the_clusters_own_pods_and_the_operators_are_left_alone_whatever_they_ask(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    let pod: Pod = serde_json::from_value(serde_yaml::from_str(&workload::opted_in("asking"))?)?;
    let mut own = pod.clone();
    own.metadata
        .labels
        .get_or_insert_default()
        .insert("app.kubernetes.io/name".to_owned(), "sidegate-operator".to_owned());
    let here = sandbox.namespace.as_str();
    let cases = [
        (here, &pod, true),
        (here, &own, false),
        (SIDEGATE_NAMESPACE, &pod, false),
        ("kube-system", &pod, false),
        ("kube-public", &pod, false),
    ];
    for (namespace, pod, expected) in cases {
        let pods = Api::<Pod>::namespaced(sandbox.client.clone(), namespace);
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let found = has_sidecar(&pods.create(&dry, pod).await?);
        ensure!(found == expected, "in {namespace}: expected a sidecar: {expected}, found {found}");
    }
    Ok(())
}
