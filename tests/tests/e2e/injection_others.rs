//! Sidecars in pods that somebody else changes too, as a service mesh does: before our webhook, and after it.
//!
//! The somebody is a policy of the cluster. It runs before all webhooks, and once more when one of them changed the pod.

use anyhow::{Context as _, ensure};
use crds::names::SIDECAR_CONTAINER;
use e2e::{
    install::SIDEGATE_NAMESPACE,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::workload;

crate::world::tests![
    the_sidecar_stands_right_after_a_mesh_proxy_that_was_there_before,
    what_comes_after_the_sidecar_calls_the_webhook_again_which_adds_nothing,
    a_sidecar_that_somebody_makes_an_ordinary_container_is_told,
];

const PROXY: &str = "istio-proxy";

/// The proxy as a policy's expression: a native sidecar, as meshes have it.
const NEW_PROXY: &str = r#"Object.spec.initContainers{
  name: "istio-proxy", image: "localhost/pause:1", imagePullPolicy: "Never", restartPolicy: "Always"}"#;

async fn the_sidecar_stands_right_after_a_mesh_proxy_that_was_there_before(sandbox: Sandbox) -> anyhow::Result<()> {
    let first = format!("Object{{spec: Object.spec{{initContainers: [{NEW_PROXY}]}}}}");
    let first = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": first}});
    let (pod, decisions) = made_under(&sandbox, &first, 1).await?;
    ensure!(names(init_containers(&pod)) == [PROXY, SIDECAR_CONTAINER], "found {pod:?}");
    ensure!(decisions.iter().filter(|reason| *reason != "already_there").eq(["selected"]), "found {decisions:?}");
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/meshed", "some_metric 1")?;
    ensure!(sandbox.page("app").await?.contains("some_metric{instance=\"\",job=\"meshed\"} 1"));
    Ok(())
}

async fn what_comes_after_the_sidecar_calls_the_webhook_again_which_adds_nothing(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    let late = r#"Object.spec.containers{name: "late", image: "localhost/pause:1", imagePullPolicy: "Never",
      ports: [Object.spec.containers.ports{containerPort: 9091}]}"#;
    let then = format!(
        r#"!variables.present.exists(name, name == "{SIDECAR_CONTAINER}") || variables.present.exists(name, name == "{PROXY}") ? []
          : [JSONPatch{{op: "add", path: "/spec/initContainers/0", value: {NEW_PROXY}}},
             JSONPatch{{op: "add", path: "/spec/containers/-", value: {late}}}]"#
    );
    let then = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": then}});
    let (pod, decisions) = made_under(&sandbox, &then, 2).await?;
    ensure!(decisions == ["late_port", "selected"], "found {decisions:?}");
    ensure!(names(init_containers(&pod)) == [PROXY, SIDECAR_CONTAINER], "found {pod:?}");
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    ensure!(names(containers) == ["app", "late"], "found {pod:?}");
    let addresses = containers.iter().flat_map(|container| container.env.iter().flatten());
    let addresses = addresses.filter(|variable| variable.name == "PUSHGATEWAY_URL").count();
    ensure!(addresses == 1, "expected the app to be told once where to push and nobody else, found {pod:?}");
    sandbox.pod_ready("app").await?;
    // It would not start if it did what it says.
    let told = sandbox.kubectl.try_apply(&sandbox.namespace, &workload::opted_in("told"))?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    let warning = "Warning: sidegate: container late declares port 9091, where the sidecar listens already";
    ensure!(told.contains(warning), "found {told}");
    Ok(())
}

/// As somebody does whose library is too old to know the field.
async fn a_sidecar_that_somebody_makes_an_ordinary_container_is_told(sandbox: Sandbox) -> anyhow::Result<()> {
    let then = format!(
        r#"!variables.present.exists(name, name == "{SIDECAR_CONTAINER}") || variables.present.exists(name, name == "{PROXY}") ? []
          : [JSONPatch{{op: "remove", path: "/spec/initContainers/0/restartPolicy"}},
             JSONPatch{{op: "add", path: "/spec/initContainers/-", value: {NEW_PROXY}}}]"#
    );
    let then = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": then}});
    let (pod, decisions) = made_under(&sandbox, &then, 2).await?;
    ensure!(names(init_containers(&pod)) == [SIDECAR_CONTAINER, PROXY], "found {pod:?}");
    ensure!(decisions == ["not_native", "selected"], "found {decisions:?}");
    let told = sandbox.kubectl.try_apply(&sandbox.namespace, &workload::opted_in("told"))?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    ensure!(told.contains("Warning: sidegate: the sidecar has lost its restartPolicy: Always"), "found {told}");
    Ok(())
}

/// A pod that is made where a policy is in force, and what our webhook said each of the times it was asked.
async fn made_under(sandbox: &Sandbox, mutation: &Value, asked: usize) -> anyhow::Result<(Pod, Vec<String>)> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&policy(&sandbox.namespace, mutation))?;
    let pods: Api<Pod> = sandbox.api();
    let wanted: Pod = serde_yaml::from_str(&workload::opted_in("app"))?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    // A new policy takes a moment.
    wait::until("the policy to be in force", STEP, || async {
        let made = pods.create(&dry_run, &wanted).await?;
        Ok(names(init_containers(&made)).contains(&PROXY).then_some(()))
    })
    .await?;
    let pod = pods.create(&PostParams::default(), &wanted).await?;
    // What is logged takes a moment too.
    let decisions = wait::until("what the webhook said to be in its log", STEP, || async {
        let mut found = decisions(sandbox)?;
        found.sort();
        Ok((asked <= found.len()).then_some(found))
    })
    .await?;
    Ok((pod, decisions))
}

/// A policy for the pods of one namespace.
fn policy(namespace: &str, mutation: &Value) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingAdmissionPolicy",
                "metadata": {"name": namespace},
                "spec": {
                    "reinvocationPolicy": "IfNeeded",
                    "failurePolicy": "Fail",
                    "matchConstraints": {"resourceRules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
                    ]},
                    "variables": [{
                        "name": "present",
                        "expression": "has(object.spec.initContainers) ? object.spec.initContainers.map(c, c.name) : []",
                    }],
                    "mutations": [mutation],
                },
            },
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingAdmissionPolicyBinding",
                "metadata": {"name": namespace},
                "spec": {
                    "policyName": namespace,
                    "matchResources": {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                    },
                },
            },
        ],
    })
    .to_string()
}

/// What the webhook said about pods of this namespace that were to stay, by the logs of all replicas.
fn decisions(sandbox: &Sandbox) -> anyhow::Result<Vec<String>> {
    let selector = "--selector=app.kubernetes.io/name=sidegate-operator";
    let logs = sandbox.kubectl.run(&["--namespace", SIDEGATE_NAMESPACE, "logs", selector, "--tail=-1"])?;
    let own = format!(" namespace={} dry_run=false ", sandbox.namespace);
    let lines = logs.lines().filter(|line| line.contains("looked at a pod") && line.contains(&own));
    let reasons = lines.map(|line| line.rsplit_once("reason=").map(|(_, reason)| reason.trim().to_owned()));
    reasons.collect::<Option<_>>().with_context(|| format!("expected reasons, found {logs}"))
}

fn init_containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default()
}

fn names(containers: &[Container]) -> Vec<&str> {
    containers.iter().map(|container| container.name.as_str()).collect()
}
