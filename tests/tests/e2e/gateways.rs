//! A Pushgateway that exists already: a pod of the reference with a password, collected by its URL and by its Service, and scraped.

use anyhow::{Context as _, ensure};
use crds::{
    names::INJECTED_LABEL,
    status::{condition, reason},
};
use e2e::{
    prometheus::Prometheus,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::{drift::monitors, workload};

crate::world::tests![
    a_gateway_is_collected_once_it_can_be_reached_and_each_fault_on_the_way_is_told,
    the_service_of_a_gateway_is_scraped_and_collected_with_its_password,
    two_groups_that_name_one_gateway_are_told_and_the_older_has_the_monitor,
];

/// The reference behind a password, `open sesame` of `Aladdin`, with its Service. It starts once its gate is opened, and asks
/// for a sidecar, as all pods of a namespace may.
const GATEWAY: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: pushgateway}
data:
  web.yaml: |
    basic_auth_users: {Aladdin: "$2b$05$lzDRyMz8X54/CODcohxF0.WXq0rrf5oGuA13fDEbYCmZYZJhDEGMK"}
---
apiVersion: v1
kind: Service
metadata: {name: pushgateway, labels: {app: pushgateway}}
spec: {clusterIP: None, selector: {app: pushgateway}, ports: [{name: http, port: 9091}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pushgateway, labels: {app: pushgateway}, annotations: {sidegate.dev/inject: "true"}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
    - name: gate
      image: localhost/busybox:1
      imagePullPolicy: Never
      command: [sh, -c, "until test -e /tmp/open; do sleep 0.2; done"]
  containers:
    - name: pushgateway
      image: localhost/pushgateway:1.5.1
      imagePullPolicy: Never
      args: [--web.config.file=/config/web.yaml]
      ports: [{name: http, containerPort: 9091}]
      volumeMounts: [{name: config, mountPath: /config}]
  volumes: [{name: config, configMap: {name: pushgateway}}]
"#;

/// `Aladdin:open sesame`.
const CREDENTIALS: &str = "QWxhZGRpbjpvcGVuIHNlc2FtZQ==";

fn secret(password: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: pg}}, \
         stringData: {{username: Aladdin, password: {password}}}}}"
    )
}

/// A `PushGroup` with a gateway; the rest of the spec is YAML, indented by two.
fn central(name: &str, gateway: &str, rest: &str) -> String {
    format!(
        r#"
apiVersion: sidegate.dev/v1alpha1
kind: PushGroup
metadata: {{name: {name}}}
spec:
  gateway: {{{gateway}, auth: {{secretName: pg}}}}
{rest}
"#
    )
}

/// The address of the gateway's pod, which it has before it is let in.
async fn address(sandbox: &Sandbox) -> anyhow::Result<String> {
    let pods = sandbox.api::<Pod>();
    wait::until("the gateway's pod to have an address", STEP, || async {
        Ok(pods.get("pushgateway").await?.status.and_then(|status| status.pod_ip))
    })
    .await
}

fn open_the_gate(sandbox: &Sandbox) -> anyhow::Result<()> {
    wait::blocking("the gate", STEP, || Ok(sandbox.exec("pushgateway", "gate", ": > /tmp/open").ok().map(drop)))
}

/// Pushes from a pod, with the password. The reference wants the line ended.
async fn push(sandbox: &Sandbox, address: &str, path: &str, sample: &str) -> anyhow::Result<()> {
    let header = format!("--header 'Authorization: Basic {CREDENTIALS}'");
    let script = format!("wget -q -O- {header} --post-data '{sample}\n' http://{address}:9091/metrics/{path}");
    wait::until("the gateway to take a push", STEP, || async { sandbox.exec("client", "app", &script).map(Some) })
        .await
        .map(drop)
}

/// Waits for a reason of the condition `GatewayReachable` of a `PushGroup`; its message.
pub(crate) async fn unreachable(sandbox: &Sandbox, name: &str, expected: &str) -> anyhow::Result<String> {
    let found = sandbox.reason(name, condition::GATEWAY_REACHABLE, expected).await?;
    ensure!(found.status == "False", "{found:?}");
    Ok(found.message)
}

async fn a_gateway_is_collected_once_it_can_be_reached_and_each_fault_on_the_way_is_told(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    sandbox.apply(&workload::pod("client", "{}", "{}"))?;
    sandbox.apply(GATEWAY)?;
    let address = address(&sandbox).await?;
    let rest = "  staleAfter: 1h\n  rules: [{match: {job: \"old.*\"}, staleAfter: 2s}]";
    let at =
        |prefix: &str| sandbox.apply(&central("central", &format!("url: \"http://{address}:9091{prefix}\""), rest));
    at("")?;

    // The right is the user's to grant: what is printed is what is applied.
    let message = unreachable(&sandbox, "central", reason::SECRET_FORBIDDEN).await?;
    let (sentence, manifest) = message.split_once('\n').context("expected a manifest after the sentence")?;
    ensure!(sentence.contains("may not read the Secret pg"), "{message}");
    sandbox.apply(manifest)?;
    let message = unreachable(&sandbox, "central", reason::SECRET_MISSING).await?;
    ensure!(message == format!("Expected the Secret pg in namespace {}, found none", sandbox.namespace), "{message}");
    sandbox.apply("{apiVersion: v1, kind: Secret, metadata: {name: pg}, stringData: {username: Aladdin}}")?;
    let message = unreachable(&sandbox, "central", reason::SECRET_UNFIT).await?;
    ensure!(message.ends_with("or the keys username and password, found username"), "{message}");
    sandbox.apply(&secret("open wheat"))?;
    let message = unreachable(&sandbox, "central", reason::GATEWAY_UNREACHABLE).await?;
    ensure!(message.starts_with(&format!("Cannot connect to http://{address}:9091: ")), "{message}");
    open_the_gate(&sandbox)?;
    let message = unreachable(&sandbox, "central", reason::UNAUTHORIZED).await?;
    ensure!(message.ends_with("to accept the Secret's credentials, found status 401"), "{message}");
    ensure!(!message.contains("wheat"), "{message}");
    sandbox.condition("central", condition::READY, "False").await?;

    sandbox.pod_ready("client").await?;
    push(&sandbox, &address, "job/old", "some_metric 1").await?;
    push(&sandbox, &address, "job/old/instance@base64/=/path@base64/L2EsYg", "some_metric 2").await?;
    push(&sandbox, &address, "job/young", "some_metric 3").await?;
    sandbox.apply(&secret("open sesame"))?;
    sandbox.condition("central", condition::GATEWAY_REACHABLE, "True").await?;
    sandbox
        .group_until("central", "two groups collected and one left", |group| {
            let status = group.status.as_ref()?;
            let counts = (status.collected_total, status.groups, status.stale_groups);
            let mode = status.mode.as_deref() == Some("Gateway") && status.sidecars.is_none();
            (counts == (Some(2), Some(1), Some(0)) && mode && status.newest_push_time.is_some()).then_some(())
        })
        .await?;
    sandbox.group_ready("central").await?;
    let monitors = sandbox.condition("central", condition::MONITORS_SYNCED, "True").await?;
    ensure!(monitors.reason == reason::GIVEN_BY_URL && monitors.message.contains("honor_labels"), "{monitors:?}");

    at("/elsewhere")?;
    let message = unreachable(&sandbox, "central", reason::NO_PUSHGATEWAY).await?;
    ensure!(message.contains("/elsewhere/metrics, found 404"), "{message}");
    // By a name, as a user would write it.
    let name = format!("url: \"http://pushgateway.{}.svc.cluster.local:9091\"", sandbox.namespace);
    sandbox.apply(&central("central", &name, rest))?;
    sandbox.reason("central", condition::GATEWAY_REACHABLE, reason::GATEWAY_REACHED).await?;
    sandbox.group_ready("central").await
}

async fn the_service_of_a_gateway_is_scraped_and_collected_with_its_password(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::pod("client", "{}", "{}"))?;
    let spec = "  scrape: {interval: 2s}\n  rules: [{match: {job: old}, staleAfter: 2s}]";
    sandbox.apply(&central("central", "service: {name: pushgateway}", spec))?;
    let found = sandbox.condition("central", condition::MONITORS_SYNCED, "False").await?;
    let expected = "No monitor: expected the Service pushgateway of spec.gateway.service in this namespace, found none";
    ensure!(found.reason == reason::SERVICE_UNFIT && found.message == expected, "{found:?}");

    let applied = sandbox.kubectl.try_apply(&sandbox.namespace, GATEWAY)?;
    let said = String::from_utf8_lossy(&applied.stderr);
    let expected = "Warning: sidegate: no sidecar: container pushgateway is a Pushgateway already; spec.gateway of a \
                    PushGroup has it scraped";
    ensure!(applied.status.success() && said.contains(expected), "{said}");
    ensure!(sandbox.api::<Pod>().get("pushgateway").await?.labels().get(INJECTED_LABEL).is_none(), "it is injected");
    sandbox.apply(&secret("open sesame"))?;
    let message = unreachable(&sandbox, "central", reason::SECRET_FORBIDDEN).await?;
    sandbox.apply(message.split_once('\n').context("expected a manifest after the sentence")?.1)?;
    let found = sandbox.condition("central", condition::MONITORS_SYNCED, "True").await?;
    ensure!(found.reason == reason::APPLIED, "{found:?}");
    // Closed yet; asked by the Service's name.
    let message = unreachable(&sandbox, "central", reason::GATEWAY_UNREACHABLE).await?;
    let expected = format!("Cannot connect to http://pushgateway.{}.svc:9091: ", sandbox.namespace);
    ensure!(message.starts_with(&expected), "{message}");

    let address = address(&sandbox).await?;
    open_the_gate(&sandbox)?;
    sandbox.pod_ready("client").await?;
    push(&sandbox, &address, "job/nightly", "backup_rows 42").await?;
    push(&sandbox, &address, "job/nightly/instance/one", "backup_rows 43").await?;
    let prometheus = Prometheus::installed(sandbox.client.clone());
    let expression = format!("sort(backup_rows{{namespace=\"{}\"}})", sandbox.namespace);
    wait::until("both series to be in Prometheus", STEP * 2, || async {
        let series = prometheus.query(&expression).await?;
        let [none, one] = series.as_slice() else { anyhow::bail!("expected two series, found {series:?}") };
        ensure!((none.value, one.value) == (42.0, 43.0), "{series:?}");
        ensure!(none.label("job") == "nightly" && none.label("exported_job").is_empty(), "{series:?}");
        ensure!(none.label("instance").is_empty() && one.label("instance") == "one", "{series:?}");
        Ok(Some(()))
    })
    .await?;

    push(&sandbox, &address, "job/old", "backup_rows 44").await?;
    sandbox
        .group_until("central", "the stale group to be collected through the Service", |group| {
            let status = group.status.as_ref()?;
            ((status.collected_total, status.groups) == (Some(1), Some(2))).then_some(())
        })
        .await?;

    // Without the Secret the monitor stands, and follows what is asked for.
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "secret", "pg"])?;
    let in_three_seconds = spec.replace("2s", "3s");
    sandbox.apply(&central("central", "service: {name: pushgateway}", &in_three_seconds))?;
    let found = sandbox.reason("central", condition::MONITORS_SYNCED, reason::SERVICE_UNFIT).await?;
    ensure!(found.status == "False" && found.message.starts_with("The monitor stands, "), "{found:?}");
    let endpoint =
        monitors(&sandbox, "ServiceMonitor").get("sidegate-central").await?.data["spec"]["endpoints"][0].clone();
    ensure!(endpoint["interval"] == "3s" && endpoint["basicAuth"]["username"]["name"] == "pg", "{endpoint}");
    sandbox.reason("central", condition::SELECTED_BY_PROMETHEUS, reason::SELECTED).await.map(drop)
}

/// Each series is scraped once: both monitors would have equal ones.
async fn two_groups_that_name_one_gateway_are_told_and_the_older_has_the_monitor(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    sandbox.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: pushgateway}, \
         spec: {clusterIP: None, ports: [{name: http, port: 9091}]}}",
    )?;
    let group = |name: &str| {
        let spec = format!("{{gateway: {{service: {{name: pushgateway}}}}, staleAfter: {name}}}");
        sandbox.apply(&format!(
            "{{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {{name: a{name}}}, spec: {spec}}}"
        ))
    };
    group("1h")?;
    sandbox.reason("a1h", condition::MONITORS_SYNCED, reason::APPLIED).await?;
    // Should both be made within a second, the name decides, with the same outcome.
    group("2h")?;
    let found = sandbox.reason("a2h", condition::MONITORS_SYNCED, reason::OLDER_PUSH_GROUP).await?;
    ensure!(found.status == "True" && found.message.starts_with("PushGroup a1h, "), "{found:?}");
    for (name, other) in [("a1h", "a2h"), ("a2h", "a1h")] {
        let found = sandbox.reason(name, condition::OVERLAPPING, reason::SHARED_GATEWAY).await?;
        ensure!(found.message.starts_with(&format!("PushGroup {other} names the same gateway: ")), "{found:?}");
    }
    ensure!(monitors(&sandbox, "ServiceMonitor").get_opt("sidegate-a2h").await?.is_none());

    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pushgroup", "a1h"])?;
    sandbox.reason("a2h", condition::MONITORS_SYNCED, reason::APPLIED).await?;
    monitors(&sandbox, "ServiceMonitor").get("sidegate-a2h").await?;
    sandbox
        .group_until("a2h", "the condition Overlapping to be gone", |group| {
            let conditions = &group.status.as_ref()?.conditions;
            conditions.iter().all(|known| known.type_ != condition::OVERLAPPING).then_some(())
        })
        .await
}
