//! A Prometheus without its operator finds the sidecars by HTTP, with the configuration that the README shows.

use anyhow::{Context as _, ensure};
use crds::status::condition;
use e2e::{
    binaries,
    install::{self, SIDEGATE_NAMESPACE},
    prometheus::Prometheus,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};

use crate::workload;

crate::world::tests![a_plain_prometheus_scrapes_what_it_is_told_over_http];

/// The configuration of the README, for a group in a namespace, discovered at an address.
fn configuration(namespace: &str, address: &str) -> anyhow::Result<String> {
    let readme = std::fs::read_to_string(binaries::repository().join("README.md"))?;
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = blocks.into_iter().find(|block| block.contains("http_sd_configs")).context("expected an example")?;
    let ours = example
        .replace("sidegate-operator.sidegate-system.svc:8080", address)
        .replace("/sd/data/nightly", &format!("/sd/{namespace}/all"))
        .replace("replacement: data", &format!("replacement: {namespace}"));
    ensure!(ours.matches(namespace).count() == 2 && ours.contains(address), "{ours}");
    Ok(ours)
}

async fn a_plain_prometheus_scrapes_what_it_is_told_over_http(sandbox: Sandbox) -> anyhow::Result<()> {
    let namespace = &sandbox.namespace;
    let group = workload::push_group("all", "").replace("interval: 2s", "interval: 2s, kind: None");
    sandbox.apply(&group)?;
    sandbox.group_ready("all").await?;
    let status = sandbox.api::<crds::PushGroup>().get("all").await?.status.unwrap_or_default();
    let about = |kind: &str| status.conditions.iter().any(|known| known.type_ == kind);
    ensure!(!about(condition::SELECTED_BY_PROMETHEUS), "there is no monitor to take: {status:?}");

    // There is no DNS in this cluster, and no address of a Service.
    let operators = Api::<Pod>::namespaced(sandbox.client.clone(), SIDEGATE_NAMESPACE);
    let operators = operators.list(&ListParams::default().labels("app.kubernetes.io/name=sidegate-operator")).await?;
    let running = operators.items.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    let address = running.and_then(|pod| pod.status?.pod_ip).context("an operator has an address")?;
    let configuration = configuration(namespace, &format!("{address}:8080"))?;
    let indented: String = configuration.lines().map(|line| format!("    {line}\n")).collect();
    sandbox.apply(&format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: plain}}
data:
  prometheus.yml: |
{indented}
---
apiVersion: v1
kind: Pod
metadata: {{name: plain}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: prometheus
      image: localhost/prometheus:dev
      imagePullPolicy: Never
      args: [--config.file=/etc/plain/prometheus.yml, --storage.tsdb.path=/data]
      readinessProbe: {{httpGet: {{path: /-/ready, port: 9090}}, periodSeconds: 1}}
      volumeMounts: [{{name: plain, mountPath: /etc/plain}}, {{name: data, mountPath: /data}}]
  volumes: [{{name: plain, configMap: {{name: plain}}}}, {{name: data, emptyDir: {{}}}}]
"#
    ))?;
    install::pod_ready(&sandbox.api(), "plain", STEP * 2).await?;
    let prometheus = Prometheus::new(sandbox.client.clone(), namespace, "plain");

    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/nightly/namespace/stolen", "some_metric 1")?;
    let series = wait::until("the pushed series", STEP * 2, || async {
        let series = prometheus.query("some_metric").await?;
        Ok(series.into_iter().next())
    })
    .await?;
    ensure!(series.label("job") == "nightly" && !series.labels.contains_key("instance"), "{series:?}");
    ensure!(series.label("pod") == "app" && series.label("namespace") == namespace, "{series:?}");
    ensure!(series.label("container") == "sidegate", "{series:?}");

    // The group's interval came along with the target: a minute's count is far from what every minute would give.
    let often = format!("count_over_time(up{{pod=\"app\",namespace=\"{namespace}\"}}[1m])");
    wait::until("scrapes by the group's interval", STEP, || async {
        let scrapes = prometheus.query(&often).await?;
        Ok(scrapes.first().is_some_and(|count| 5.0 <= count.value).then_some(()))
    })
    .await?;

    sandbox.kubectl.run(&["--namespace", namespace, "delete", "pod", "app", "--wait=false"])?;
    wait::until("the target to be gone", STEP * 2, || async {
        Ok(prometheus.query("up").await?.is_empty().then_some(()))
    })
    .await
}
