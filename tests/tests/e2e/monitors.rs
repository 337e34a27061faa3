//! From a push to a series in a real Prometheus, and the monitors on the way.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::status::{condition, reason};
use e2e::{
    install,
    parts::Parts,
    pods::{Place, Pods, Spread},
    prometheus::Prometheus,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Service, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::json;

use crate::{drift, own_cluster::OwnCluster, workload, world};

crate::world::tests![
    a_jobs_push_reaches_prometheus_with_its_job_label_intact,
    a_pod_monitor_is_scraped_too,
    deleting_the_push_group_removes_service_and_service_monitor,
    a_foreign_service_of_the_same_name_is_left_alone_until_it_is_gone,
    without_the_monitoring_crds_there_is_a_condition_that_heals_when_they_come,
];

fn monitors(sandbox: &Sandbox, kind: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", kind));
    Api::namespaced_with(sandbox.client.clone(), &sandbox.namespace, &kind)
}

/// A Job whose container pushes and ends within two seconds.
fn job(name: &str, pushed_job: &str) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  backoffLimit: 0
  template:
    metadata:
      labels: {{app: etl}}
      annotations: {{sidegate.dev/inject: "true"}}
    spec:
      restartPolicy: Never
      containers:
        - name: backup
          image: localhost/busybox:1
          imagePullPolicy: Never
          command: [sh, -c, "sleep 1; wget -q -O- --post-data 'backup_rows 42' $(PUSHGATEWAY_URL)/metrics/job/{pushed_job}"]
"#
    )
}

/// Waits until Prometheus has the scrape job, so that a pod is found as soon as it is there.
async fn known_to_prometheus(prometheus: &Prometheus, pool: &str) -> anyhow::Result<()> {
    wait::until(&format!("Prometheus to know {pool}"), STEP * 2, || async {
        let pools = prometheus.scrape_pools().await?;
        pools
            .iter()
            .any(|known| known.starts_with(pool))
            .then_some(Some(()))
            .with_context(|| format!("it knows {pools:?}"))
    })
    .await
}

async fn job_is_seen(sandbox: &Sandbox, pool: &str) -> anyhow::Result<()> {
    let prometheus = Prometheus::installed(sandbox.client.clone());
    known_to_prometheus(&prometheus, pool).await?;
    sandbox.apply(&job("backup", "nightly"))?;
    let jobs = sandbox.api::<Job>();
    wait::until("the Job to complete", STEP, || async {
        let status = jobs.get("backup").await?.status.unwrap_or_default();
        ensure!(status.failed.unwrap_or(0) == 0, "the Job failed: {status:?}");
        Ok((status.succeeded == Some(1)).then_some(()))
    })
    .await?;
    // The pod is gone from discovery by now: what is there was scraped while it was held open.
    let namespace = &sandbox.namespace;
    let expression = format!("last_over_time(backup_rows{{namespace=\"{namespace}\"}}[10m])");
    let series =
        wait::until("Prometheus to answer", STEP, || async { Ok(Some(prometheus.query(&expression).await?)) }).await?;
    let [series] = series.as_slice() else { anyhow::bail!("expected one series, found {series:?}") };
    ensure!(series.value == 42.0 && series.label("job") == "nightly", "{series:?}");
    ensure!(series.label("pod").starts_with("backup-") && series.label("exported_job").is_empty(), "{series:?}");
    Ok(())
}

async fn a_jobs_push_reaches_prometheus_with_its_job_label_intact(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    let monitor = monitors(&sandbox, "ServiceMonitor").get("sidegate-all").await?;
    let everywhere = monitor.metadata.labels.as_ref().and_then(|labels| labels.get("everywhere"));
    ensure!(everywhere.is_some_and(|value| value == "yes"), "the chart's value is not on {monitor:?}");
    job_is_seen(&sandbox, &format!("serviceMonitor/{}/", sandbox.namespace)).await
}

async fn a_pod_monitor_is_scraped_too(sandbox: Sandbox) -> anyhow::Result<()> {
    let group = workload::push_group("all", "").replace("interval: 2s", "interval: 2s, kind: PodMonitor");
    sandbox.apply(&group)?;
    sandbox.group_ready("all").await?;
    ensure!(sandbox.api::<Service>().list(&Default::default()).await?.items.is_empty());
    job_is_seen(&sandbox, &format!("podMonitor/{}/", sandbox.namespace)).await
}

async fn deleting_the_push_group_removes_service_and_service_monitor(sandbox: Sandbox) -> anyhow::Result<()> {
    for name in ["all", "other"] {
        sandbox.apply(&workload::push_group(name, ""))?;
        sandbox.group_ready(name).await?;
    }
    let (services, monitors) = (sandbox.api::<Service>(), monitors(&sandbox, "ServiceMonitor"));
    for name in ["sidegate-all", "sidegate-other"] {
        services.get(name).await?;
        let monitor = monitors.get(name).await?;
        ensure!(monitor.data["spec"]["endpoints"][0]["honorLabels"] == true, "{:?}", monitor.data);
    }
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pushgroup", "all"])?;
    wait::until("Service and ServiceMonitor to be gone", STEP, || async {
        let there =
            (services.get_opt("sidegate-all").await?.is_some(), monitors.get_opt("sidegate-all").await?.is_some());
        Ok((there == (false, false)).then_some(()))
    })
    .await?;
    services.get("sidegate-other").await?;
    monitors.get("sidegate-other").await?;
    Ok(())
}

async fn a_foreign_service_of_the_same_name_is_left_alone_until_it_is_gone(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: sidegate-all}, \
         spec: {selector: {mine: \"yes\"}, ports: [{port: 80}]}}",
    )?;
    sandbox.apply(&workload::push_group("all", ""))?;
    drift::told_of_a_foreign_object(&sandbox, "Service sidegate-all").await?;
    let service = sandbox.api::<Service>().get("sidegate-all").await?.spec.unwrap_or_default();
    ensure!(service.selector.unwrap_or_default().contains_key("mine"));
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "service", "sidegate-all"])?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    let service = sandbox.api::<Service>().get("sidegate-all").await?.spec.unwrap_or_default();
    ensure!(!service.selector.unwrap_or_default().contains_key("mine"));
    Ok(())
}

/// In a cluster of its own: the shared one has the CRDs.
async fn without_the_monitoring_crds_there_is_a_condition_that_heals_when_they_come(_: Sandbox) -> anyhow::Result<()> {
    let own = OwnCluster::start().await?;
    world::install_sidegate(&own.kubectl, &own.client).await?;
    let sandbox = Sandbox::create("absent", own.kubectl.clone(), own.client.clone()).await?;
    sandbox.apply(&workload::push_group("all", ""))?;
    kind_is_absent(&sandbox).await?;
    sandbox.condition("all", condition::READY, "False").await?;
    sandbox.reason("all", condition::SELECTED_BY_PROMETHEUS, reason::PROMETHEUS_API_ABSENT).await?;
    // The rest works: the Service is there, and a pushed group is counted.
    sandbox.api::<Service>().get("sidegate-all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/mine", "some_metric 1")?;
    sandbox
        .group_until("all", "one group counted", |group| (group.status.as_ref()?.groups == Some(1)).then_some(()))
        .await?;

    may_see_prometheuses(&sandbox, false)?;
    let found = sandbox.reason("all", condition::SELECTED_BY_PROMETHEUS, reason::PROMETHEUS_NOT_READABLE).await?;
    ensure!(found.status == "Unknown" && found.message.contains("may not list Prometheuses"), "{found:?}");
    let found = sandbox.reason("all", condition::HONOR_LABELS_OVERRIDDEN, reason::NOT_SELECTED).await?;
    ensure!(found.status == "Unknown", "{found:?}");
    // It is half a minute until the operator tries again.
    may_see_prometheuses(&sandbox, true)?;

    install::monitoring_crds(&sandbox.kubectl, &own.parts)?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    sandbox.group_ready("all").await?;
    let monitor = monitors(&sandbox, "ServiceMonitor").get("sidegate-all").await?;
    ensure!(monitor.data["spec"]["serviceDiscoveryRole"] == "EndpointSlice", "{:?}", monitor.data);
    a_crd_without_the_newer_fields_is_enough_for_few(&sandbox, &own.parts).await?;
    who_takes_the_monitor_is_told(&sandbox).await?;
    let restarts = sandbox.kubectl.run(&[
        "--namespace",
        install::SIDEGATE_NAMESPACE,
        "get",
        "pods",
        "--output",
        "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    ])?;
    ensure!(!restarts.is_empty(), "expected the operator's pods");
    ensure!(restarts.split_whitespace().all(|restarts| restarts == "0"), "the operator was restarted: {restarts}");
    wait::throughout(Duration::from_secs(1), || async { sandbox.group_ready("all").await }).await
}

/// A kind that goes takes its objects along first, and for that moment it is the apply that fails.
async fn kind_is_absent(sandbox: &Sandbox) -> anyhow::Result<()> {
    let found = sandbox.reason("all", condition::MONITORS_SYNCED, reason::MONITORING_API_ABSENT).await?;
    ensure!(found.status == "False", "{found:?}");
    Ok(())
}

/// Takes the right to see Prometheuses away, which is also the right to learn that there are none, or gives it back.
fn may_see_prometheuses(sandbox: &Sandbox, may: bool) -> anyhow::Result<()> {
    let resources =
        |is_there: bool| json!(if is_there { ["prometheuses", "prometheusagents"] } else { ["not", "these"] });
    let path = "/rules/0/resources";
    let patch = json!([
        {"op": "test", "path": path, "value": resources(!may)},
        {"op": "replace", "path": path, "value": resources(may)},
    ]);
    let patch = ["--type=json", "--patch", &patch.to_string()];
    sandbox.kubectl.run(&[&["patch", "clusterrole", "sidegate-operator"], &patch[..]].concat()).map(drop)
}

/// There is no Prometheus Operator in this cluster: what is told is told from the objects.
async fn who_takes_the_monitor_is_told(sandbox: &Sandbox) -> anyhow::Result<()> {
    let told = async |status: &str, reason: &str, part: &str| {
        sandbox
            .group_until("all", &format!("{status} {reason} with {part:?}"), |group| {
                let conditions = &group.status.as_ref()?.conditions;
                let found = conditions.iter().find(|found| found.type_ == condition::SELECTED_BY_PROMETHEUS)?;
                let is_current = found.observed_generation == group.metadata.generation;
                let fits = found.status == status && found.reason == reason && found.message.contains(part);
                (is_current && fits).then_some(())
            })
            .await
    };
    let prometheus = |namespaces: &str| {
        sandbox.apply(&format!(
            "{{apiVersion: monitoring.coreos.com/v1, kind: Prometheus, metadata: {{name: stack}}, spec: {{\
             serviceMonitorSelector: {{matchLabels: {{release: stack}}}}, \
             serviceMonitorNamespaceSelector: {{{namespaces}}}}}}}"
        ))
    };
    told("False", reason::NO_PROMETHEUS, "There is no Prometheus object").await?;
    prometheus("")?;
    let name = format!("Prometheus {}/stack", sandbox.namespace);
    told(
        "False",
        reason::NOT_SELECTED,
        &format!("{name} wants release=stack (found none) as labels of the ServiceMonitor"),
    )
    .await?;
    let labelled = workload::push_group("all", "").replace("interval: 2s", "interval: 2s, labels: {release: stack}");
    sandbox.apply(&labelled)?;
    told("True", reason::SELECTED, &name).await?;
    prometheus("matchLabels: {team: etl}")?;
    let wanted = format!("wants team=etl (found none) as labels of the namespace {}", sandbox.namespace);
    told("False", reason::NOT_SELECTED, &wanted).await?;
    sandbox.kubectl.run(&["label", "namespace", &sandbox.namespace, "team=etl"])?;
    told("True", reason::SELECTED, &name).await?;
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "prometheus", "stack"])?;
    told("False", reason::NO_PROMETHEUS, "There is no Prometheus object").await
}

/// As an older Prometheus Operator has it; then without any, and with the newest again.
async fn a_crd_without_the_newer_fields_is_enough_for_few(sandbox: &Sandbox, parts: &Parts) -> anyhow::Result<()> {
    let kubectl = |arguments: &[&str]| sandbox.kubectl.run(arguments);
    let (crd, field) = ("servicemonitors.monitoring.coreos.com", "properties/spec/properties/serviceDiscoveryRole");
    let older = format!("[{{\"op\": \"remove\", \"path\": \"/spec/versions/0/schema/openAPIV3Schema/{field}\"}}]");
    kubectl(&["patch", "crd", crd, "--type=json", "--patch", &older])?;
    let role = async || {
        let monitor = monitors(sandbox, "ServiceMonitor").get("sidegate-all").await?;
        anyhow::Ok((monitor.metadata.uid, monitor.data["spec"]["serviceDiscoveryRole"].as_str().map(str::to_owned)))
    };
    // The API server goes by the older schema a moment later.
    wait::until("a monitor without the field", STEP, || async {
        kubectl(&[
            "--namespace",
            &sandbox.namespace,
            "delete",
            "servicemonitor",
            "sidegate-all",
            "--ignore-not-found",
        ])?;
        let remade =
            wait::until("the monitor to be made again", Duration::from_secs(20), || async { Ok(Some(role().await?)) });
        Ok(remade.await?.1.is_none().then_some(()))
    })
    .await?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    let crowd = Crowd::create(sandbox).await?;
    let found = crowd.synced(reason::TOO_MANY_MEMBERS).await?;
    let start = format!("{CROWD} pods, of which Prometheus finds at most 1000 by Endpoints: ");
    ensure!(found.status == "False" && found.message.starts_with(&start), "{found:?}");

    kubectl(&["delete", "crd", crd])?;
    kind_is_absent(sandbox).await?;
    install::monitoring_crds(&sandbox.kubectl, parts)?;
    wait::until("a monitor with the field", STEP, || async {
        Ok((role().await?.1.as_deref() == Some("EndpointSlice")).then_some(()))
    })
    .await?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    crowd.synced(reason::APPLIED).await?;
    crowd.0.remove().await
}

/// A group with so many pods that not all of them may be found by Endpoints. Nobody runs them.
struct Crowd(Sandbox);

/// One more than a group may have by Endpoints.
const CROWD: usize = 901;

impl Crowd {
    const SPREAD: Spread = Spread { namespaces: 1, push_groups: 1 };

    async fn create(beside: &Sandbox) -> anyhow::Result<Self> {
        let Place { namespace, push_group } = Self::SPREAD.place(0);
        let sandbox = Sandbox::create(&namespace, beside.kubectl.clone(), beside.client.clone()).await?;
        // They have their sidecars already.
        sandbox.kubectl.run(&["label", "namespace", &namespace, "sidegate.dev/webhook=disabled"])?;
        sandbox.apply(&workload::push_group(&push_group, "").replace("{matchLabels: {app: etl}}", "{}"))?;
        wait::until("the namespace to take pods", STEP, || async {
            Ok(sandbox.api::<ServiceAccount>().get_opt("default").await?.map(drop))
        })
        .await?;
        let crowd = Self(sandbox);
        crowd.synced(reason::APPLIED).await?;
        Pods::new(beside.client.clone(), Self::SPREAD).create(0..CROWD).await?;
        Ok(crowd)
    }

    async fn synced(&self, reason: &str) -> anyhow::Result<Condition> {
        self.0.reason(&Self::SPREAD.place(0).push_group, condition::MONITORS_SYNCED, reason).await
    }
}
