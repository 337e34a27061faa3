//! Sidecars in the pods of everything that makes pods, and in pods that an injector might break.
//!
//! Most of these pods are never run: a node selector that no node has keeps them waiting.

use std::process::{Command, Output};

use anyhow::{Context as _, bail, ensure};
use crds::names::PUSH_GROUP_LABEL;
use e2e::{
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::workload;

crate::world::tests![
    every_kind_of_workload_makes_pods_with_a_sidecar,
    a_namespace_with_limits_takes_an_injected_pod,
    fields_that_are_newer_than_the_operator_survive_admission,
    a_pod_with_resources_of_its_own_keeps_them,
    a_namespace_with_defaults_takes_a_pod_with_limits_of_its_own,
    a_pod_of_root_and_one_without_its_secret_run,
    what_stands_in_the_way_is_said_to_whoever_makes_the_pod,
];

/// No node has it.
const NOWHERE: &str = "nodeSelector: {sidegate.dev/test: nowhere}";

/// Kind, version and what its spec has beside a template; the pods are known by the label `kind`.
const KINDS: [(&str, &str, &str); 6] = [
    ("Deployment", "apps/v1", "selector: {matchLabels: {kind: deployment}}"),
    ("ReplicaSet", "apps/v1", "selector: {matchLabels: {kind: replicaset}}"),
    ("StatefulSet", "apps/v1", "selector: {matchLabels: {kind: statefulset}}\n  serviceName: a"),
    ("DaemonSet", "apps/v1", "selector: {matchLabels: {kind: daemonset}}"),
    ("ReplicationController", "v1", "selector: {kind: replicationcontroller}"),
    ("Job", "batch/v1", "backoffLimit: 0"),
];

fn template(kind: &str, indent: &str) -> String {
    let restart = if matches!(kind, "Job" | "CronJob") { "Never" } else { "Always" };
    // A DaemonSet makes pods only for nodes that take them.
    let place = if kind == "DaemonSet" { "terminationGracePeriodSeconds: 1" } else { NOWHERE };
    let kind = kind.to_lowercase();
    format!(
        "metadata: {{labels: {{app: etl, kind: {kind}}}, annotations: {{sidegate.dev/inject: \"true\"}}}}\nspec:\n  {place}\n  \
         restartPolicy: {restart}\n  containers:\n  - {{name: app, image: \"localhost/busybox:1\", imagePullPolicy: Never, \
         command: [sleep, \"3600\"]}}"
    )
    .replace('\n', &format!("\n{indent}"))
}

/// The first pod with a label, as JSON with all its fields.
async fn raw_pod(sandbox: &Sandbox, selector: &str) -> anyhow::Result<Value> {
    let pods = raw_pods(sandbox);
    wait::until(&format!("a pod of {selector}"), STEP, || async {
        let found = pods.list(&ListParams::default().labels(selector)).await?.items;
        Ok(found.into_iter().next().map(|pod| json!(pod)))
    })
    .await
}

fn raw_pods(sandbox: &Sandbox) -> Api<DynamicObject> {
    Api::namespaced_with(sandbox.client.clone(), &sandbox.namespace, &ApiResource::erase::<Pod>(&()))
}

/// Creates a pod as it stands, and returns it as the API server keeps it.
async fn create(sandbox: &Sandbox, pod: &str) -> anyhow::Result<Value> {
    let pod: DynamicObject = serde_yaml::from_str(pod)?;
    Ok(json!(raw_pods(sandbox).create(&PostParams::default(), &pod).await?))
}

/// The sidecar of a pod.
fn sidecar(pod: &Value) -> anyhow::Result<Value> {
    let mut found = workload::sidecars(pod);
    ensure!(found.len() == 1, "expected one sidecar, found {pod:#}");
    found.pop().context("there is one")
}

async fn every_kind_of_workload_makes_pods_with_a_sidecar(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    let mut manifests: Vec<_> = KINDS
        .iter()
        .map(|(kind, version, spec)| {
            let (name, template) = (kind.to_lowercase(), template(kind, "    "));
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n  template:\n    {template}\n")
        })
        .collect();
    let template = template("CronJob", "        ");
    manifests.push(format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: cronjob}}\nspec:\n  schedule: \"0 0 1 1 *\"\n  jobTemplate:\n    \
         spec:\n      template:\n        {template}\n"
    ));
    sandbox.apply(&manifests.join("---\n"))?;
    // Its time comes once a year.
    sandbox.kubectl.run(&[
        "--namespace",
        &sandbox.namespace,
        "create",
        "job",
        "of-cronjob",
        "--from=cronjob/cronjob",
    ])?;
    for kind in KINDS.iter().map(|(kind, ..)| kind.to_lowercase()).chain(["cronjob".to_owned()]) {
        let pod = raw_pod(&sandbox, &format!("kind={kind}")).await?;
        sidecar(&pod).with_context(|| kind.clone())?;
        ensure!(pod["metadata"]["labels"][PUSH_GROUP_LABEL] == "all", "{kind}: {pod:#}");
        let grace = &pod["spec"]["terminationGracePeriodSeconds"];
        // A Job's pods are held open for the minute that the group says, and some seconds.
        let expected = match kind.as_str() {
            "job" | "cronjob" => 65,
            "daemonset" => 1,
            _ => 30,
        };
        ensure!(*grace == expected, "{kind}: expected a grace period of {expected} s, found {grace}");
    }
    Ok(())
}

/// The pod is within the limits by itself, so it is the sidecar that has to fit.
async fn a_namespace_with_limits_takes_an_injected_pod(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: limits}\nspec:\n  limits:\n  - type: Container\n    min: {cpu: 50m, memory: 48Mi}\n    \
         max: {cpu: \"1\", memory: 96Mi}\n    maxLimitRequestRatio: {cpu: \"2\", memory: \"1\"}\n",
    )?;
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: app, annotations: {{sidegate.dev/inject: \"true\"}}}}\nspec:\n  {NOWHERE}\n  containers:\n  - \
         name: app\n    image: localhost/busybox:1\n    resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{cpu: 200m, memory: 64Mi}}}}\n"
    );
    let pod = wait::until("the limits to be known", STEP, || async { create(&sandbox, &pod).await.map(Some) }).await?;
    let sidecar = sidecar(&pod)?;
    let resources = &sidecar["resources"];
    for part in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            ensure!(resources[part][resource].is_string(), "expected {part} of {resource}, found {resources}");
        }
    }
    Ok(())
}

/// The operator's library knows Kubernetes 1.33, the API server here 1.36.
async fn fields_that_are_newer_than_the_operator_survive_admission(sandbox: Sandbox) -> anyhow::Result<()> {
    let newer = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    let manifest = |annotations: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{generateName: app-, annotations: {annotations}}}\nspec:\n  {NOWHERE}\n  restartPolicy: Never\n  \
             hostnameOverride: elsewhere.example\n  containers:\n  - {{name: app, image: \"localhost/busybox:1\", restartPolicy: Never, \
             restartPolicyRules: {newer}}}\n"
        )
    };
    for (annotations, is_injected) in [("{}", false), ("{sidegate.dev/inject: \"true\"}", true)] {
        let pod = create(&sandbox, &manifest(annotations)).await?;
        ensure!(workload::has_sidecar(&pod) == is_injected, "{pod:#}");
        // Without the sidecar as well, or this API server would not know them either.
        ensure!(pod["spec"]["hostnameOverride"] == "elsewhere.example", "{pod:#}");
        ensure!(pod["spec"]["containers"][0]["restartPolicyRules"] == newer, "{pod:#}");
    }
    // The day the library knows them, this test shows nothing any more.
    let known: Pod = serde_yaml::from_str(&manifest("{}"))?;
    ensure!(!serde_json::to_string(&known)?.contains("hostnameOverride"), "expected a field that the library drops");
    Ok(())
}

async fn a_pod_with_resources_of_its_own_keeps_them(sandbox: Sandbox) -> anyhow::Result<()> {
    let resources = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}});
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: app, annotations: {{sidegate.dev/inject: \"true\"}}}}\nspec:\n  {NOWHERE}\n  resources: \
         {resources}\n  containers:\n  - {{name: app, image: \"localhost/busybox:1\"}}\n"
    );
    let pod = create(&sandbox, &pod).await?;
    ensure!(pod["spec"]["resources"] == resources, "{pod:#}");
    ensure!(sidecar(&pod)?["resources"].as_object().is_none_or(serde_json::Map::is_empty), "{pod:#}");
    ensure!(pod["status"]["qosClass"] == "Guaranteed", "{pod:#}");
    Ok(())
}

/// The API server makes the pod's requests those of its container, so a default more would be refused.
async fn a_namespace_with_defaults_takes_a_pod_with_limits_of_its_own(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: limits}\nspec:\n  limits:\n  - type: Container\n    \
         defaultRequest: {cpu: 50m, memory: 48Mi}\n    default: {cpu: 500m, memory: 512Mi}\n",
    )?;
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: app, annotations: {{sidegate.dev/inject: \"true\"}}}}\nspec:\n  {NOWHERE}\n  resources: \
         {{limits: {{cpu: \"1\", memory: 1Gi}}}}\n  containers:\n  - name: app\n    image: localhost/busybox:1\n    \
         resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}\n"
    );
    let written = json!({"requests": {"cpu": "0", "memory": "0"}, "limits": {"cpu": "100m", "memory": "64Mi"}});
    let whole = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    wait::until("the limits to be known", STEP, || async {
        let pod = create(&sandbox, &pod).await?;
        let is_fitted = sidecar(&pod)?["resources"] == written && pod["spec"]["resources"] == whole;
        if !is_fitted {
            sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pod", "app", "--now"])?;
            bail!("expected {written} within {whole}, found {pod:#}");
        }
        Ok(Some(()))
    })
    .await
}

/// The one has its sidecar take pushes as nobody, the other waits for no Secret.
async fn a_pod_of_root_and_one_without_its_secret_run(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.apply(
        "apiVersion: sidegate.dev/v1alpha1\nkind: PushGroup\nmetadata: {name: guarded}\nspec:\n  selector: {matchLabels: {app: guarded}}\n  \
         sidecar: {auth: {secretName: not-there-yet}}\n",
    )?;
    sandbox.group_ready("all").await?;
    sandbox.group_ready("guarded").await?;
    let mut root: Value = serde_yaml::from_str(&workload::opted_in("root"))?;
    root["spec"]["securityContext"] = json!({"runAsUser": 0, "runAsGroup": 0});
    sandbox.apply(&root.to_string())?;
    sandbox.apply(&workload::pod("guarded", "{app: guarded}", "{sidegate.dev/inject: \"true\"}"))?;
    sandbox.pod_ready("root").await?;
    ensure!(sandbox.exec("root", "app", "id -u")?.trim() == "0");
    workload::push(&sandbox, "root", "job/root", "some_metric 1")?;
    ensure!(sandbox.page("root").await?.contains("some_metric{instance=\"\",job=\"root\"} 1"));
    let guarded = sandbox.pod_ready("guarded").await?;
    ensure!(
        guarded.metadata.labels.clone().unwrap_or_default().get(PUSH_GROUP_LABEL).map(String::as_str)
            == Some("guarded")
    );
    // Without tokens nobody may push.
    ensure!(workload::push(&sandbox, "guarded", "job/guarded", "some_metric 1").is_err());
    Ok(())
}

async fn what_stands_in_the_way_is_said_to_whoever_makes_the_pod(sandbox: Sandbox) -> anyhow::Result<()> {
    let image = "--image=localhost/busybox:1";
    let run = |arguments: &[&str]| {
        let mut command = sandbox.kubectl.kubectl();
        command.args(["--namespace", &sandbox.namespace, "run", "--restart=Never", image]).args(arguments);
        said(&mut command)
    };
    let inject = |value: &str| format!("--annotations=sidegate.dev/inject={value}");
    let nowhere = |rest: &str| format!("--overrides={{\"spec\": {{\"nodeSelector\": {{\"a\": \"nowhere\"}}{rest}}}}}");
    let said = run(&["typo", &inject("True"), &nowhere("")])?;
    ensure!(said.contains("Warning: sidegate: no sidecar: ") && said.contains("sidegate.dev/inject"), "{said}");
    ensure!(said.contains("found \"True\"") && said.contains("true, false or"), "{said}");
    let said = run(&["host", &inject("true"), &nowhere(", \"hostNetwork\": true")])?;
    ensure!(said.contains("Warning: sidegate: no sidecar: the pod uses the node's network"), "{said}");
    for name in ["typo", "host"] {
        let pod = json!(raw_pods(&sandbox).get(name).await?);
        ensure!(!workload::has_sidecar(&pod), "{name} has a sidecar");
    }
    // A pod that has no say is told nothing.
    let said = run(&["plain", &nowhere("")])?;
    ensure!(!said.contains("sidegate"), "{said}");
    // A port that is taken is left to whoever has it.
    let said = run(&["clash", &inject("true"), "--port=9091", &nowhere("")])?;
    let pod = json!(raw_pods(&sandbox).get("clash").await?);
    ensure!(pod["spec"]["containers"][0]["ports"][0]["containerPort"] == 9091, "{pod:#}");
    let env = &pod["spec"]["containers"][0]["env"];
    let address = env.as_array().into_iter().flatten().find(|variable| variable["name"] == "PUSHGATEWAY_ADDRESS");
    ensure!(address.is_some_and(|address| address["value"] == "127.0.0.1:19092"), "{env}");
    ensure!(said.contains("declares port 9091") && said.contains("19092"), "{said}");
    Ok(())
}

/// What a command says, and that it works.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } = command.output()?;
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    if !status.success() {
        bail!("{text}");
    }
    Ok(text)
}
