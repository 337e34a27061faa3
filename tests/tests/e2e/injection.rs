//! Which pods get a sidecar, and what it is like.

use anyhow::{Context as _, ensure};
use crds::names::PUSH_GROUP_LABEL;
use e2e::sandbox::Sandbox;
use protocol::endpoints::SCRAPE_PORT;
use serde_json::Value;

use crate::workload::{self, has_sidecar, sidecars};

crate::world::tests![
    a_pod_without_the_annotation_is_untouched,
    an_opted_in_pod_gets_a_native_sidecar_and_its_address,
    a_restricted_namespace_takes_an_injected_pod,
    a_sidecar_is_pushed_to_and_scraped_by_either_family_of_addresses,
];

async fn a_pod_without_the_annotation_is_untouched(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::pod("plain", "{app: etl}", "{}"))?;
    sandbox.apply(&workload::pod("refusing", "{app: etl}", "{sidegate.dev/inject: \"false\"}"))?;
    for name in ["plain", "refusing"] {
        let pod = sandbox.pod_ready(name).await?;
        let text = serde_json::to_string(&pod.spec)?;
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        ensure!(!has_sidecar(&pod), "{name} has a sidecar");
        ensure!(!text.contains("sidegate") && !text.contains("\"PUSHGATEWAY_URL\""), "{name}: {text}");
        ensure!(labels.keys().all(|label| !label.contains("sidegate")), "{name}: {labels:?}");
    }
    Ok(())
}

async fn an_opted_in_pod_gets_a_native_sidecar_and_its_address(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    let pod = sandbox.pod_ready("app").await?;
    ensure!(sidecars(&pod).len() == 1);
    ensure!(pod.metadata.labels.clone().unwrap_or_default().get(PUSH_GROUP_LABEL).map(String::as_str) == Some("all"));
    let sidecar = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref()).and_then(|init| init.first());
    ensure!(sidecar.and_then(|sidecar| sidecar.restart_policy.as_deref()) == Some("Always"));
    let mounts = sidecar.and_then(|sidecar| sidecar.volume_mounts.as_ref()).context("a sidecar mounts volumes")?;
    ensure!(mounts.iter().all(|mount| !mount.name.starts_with("kube-api-access")), "found {mounts:?}");
    // Put first, so that the app's own variables can use it.
    let own = sandbox.exec("app", "app", "echo $OWN $PUSHGATEWAY_ADDRESS")?;
    ensure!(own.trim() == "http://127.0.0.1:9091/metrics 127.0.0.1:9091", "found {own:?}");
    // A second pass of the webhook, as on an update of a template by hand, adds nothing.
    let again: Value = serde_json::from_str(&sandbox.kubectl.run(&[
        "--namespace",
        &sandbox.namespace,
        "get",
        "pod",
        "app",
        "--output",
        "json",
    ])?)?;
    let mut copy = again.clone();
    copy["metadata"] = serde_json::json!({
        "name": "copy",
        "labels": again["metadata"]["labels"],
        "annotations": {"sidegate.dev/inject": "true"},
    });
    copy["spec"].as_object_mut().context("a pod has a spec")?.remove("nodeName");
    copy.as_object_mut().context("a pod is an object")?.remove("status");
    sandbox.apply(&copy.to_string())?;
    let copy = sandbox.pod_ready("copy").await?;
    let found = sidecars(&copy).len();
    ensure!(found == 1, "the copy has {found} sidecars");
    Ok(())
}

async fn a_restricted_namespace_takes_an_injected_pod(sandbox: Sandbox) -> anyhow::Result<()> {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    sandbox.kubectl.run(&["label", "namespace", &sandbox.namespace, label])?;
    let mut pod: Value = serde_yaml::from_str(&workload::opted_in("app"))?;
    pod["spec"]["securityContext"] =
        serde_json::json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["spec"]["containers"][0]["securityContext"] =
        serde_json::json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    sandbox.apply(&pod.to_string())?;
    let pod = sandbox.pod_ready("app").await?;
    ensure!(sidecars(&pod).len() == 1);
    workload::push(&sandbox, "app", "job/restricted", "some_metric 1")?;
    ensure!(sandbox.page("app").await?.contains("some_metric{instance=\"\",job=\"restricted\"} 1"));
    Ok(())
}

async fn a_sidecar_is_pushed_to_and_scraped_by_either_family_of_addresses(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    for (loopback, sample) in [("127.0.0.1", "by_ipv4"), ("[::1]", "by_ipv6")] {
        let push = format!("wget -q -O- --post-data '{sample} 1' http://{loopback}:9091/metrics/job/{sample}");
        sandbox.exec("app", "app", &push)?;
    }
    for loopback in ["127.0.0.1", "[::1]"] {
        let scrape = format!("wget -q -O- http://{loopback}:{SCRAPE_PORT}/metrics");
        let page = sandbox.exec("app", "app", &scrape)?;
        for sample in ["by_ipv4", "by_ipv6"] {
            let line = format!("{sample}{{instance=\"\",job=\"{sample}\"}} 1");
            ensure!(page.contains(&line), "expected {line} at {loopback}, found {page}");
        }
    }
    Ok(())
}
