//! What a cluster needs before it can show anything: Sidegate by its chart, the Prometheus Operator with a Prometheus.
//!
//! *Never:* what is pushed or scraped.

use std::{path::Path, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{Api, Client};

use crate::{
    binaries::{self, OPERATOR_IMAGE, SIDECAR_IMAGE},
    cluster::Cluster,
    image::Image,
    kubectl::Kubectl,
    parts::Parts,
    wait,
};

/// The namespace Sidegate is installed in.
pub const SIDEGATE_NAMESPACE: &str = "sidegate-system";

/// The image that jobs of tests and of the demo run.
pub const BUSYBOX_IMAGE: &str = "localhost/busybox:1";

const PROMETHEUS: &str = include_str!("../fixtures/prometheus.yaml");

/// The namespace cert-manager is installed in.
pub const CERT_MANAGER_NAMESPACE: &str = "cert-manager";

const CERT_MANAGER: &str = include_str!("../fixtures/cert-manager.yaml");

const LIMIT: Duration = Duration::from_secs(180);

/// Gives the node the images of our programs and of busybox.
///
/// # Errors
/// When a program is missing or an import fails.
pub fn import_images(cluster: &Cluster, parts: &Parts) -> anyhow::Result<()> {
    cluster.import(&[Image::of_busybox(BUSYBOX_IMAGE, parts.busybox())])?;
    cluster.import(&binaries::images()?)
}

/// `helm upgrade --install` of the chart, and waits until the operator is ready.
///
/// # Errors
/// When helm fails or the operator does not get ready.
pub async fn sidegate(kubectl: &Kubectl, client: &Client, values: &[&str]) -> anyhow::Result<()> {
    let chart = binaries::repository().join("charts/sidegate");
    let chart = chart.display().to_string();
    let mut arguments =
        vec!["upgrade", "--install", "sidegate", &chart, "--namespace", SIDEGATE_NAMESPACE, "--create-namespace"];
    for value in values {
        arguments.extend(["--set", value]);
    }
    kubectl.helm(&arguments)?;
    let deployments = Api::<Deployment>::namespaced(client.clone(), SIDEGATE_NAMESPACE);
    wait::until("the operator to be ready", LIMIT, || async {
        let operator = deployments.get_opt("sidegate-operator").await?;
        let status = operator.and_then(|operator| operator.status).unwrap_or_default();
        let ready = status.ready_replicas.unwrap_or(0);
        Ok((0 < ready && status.updated_replicas == status.replicas).then_some(()))
    })
    .await
}

/// The values that make the chart use the images of [`import_images`].
#[must_use]
pub fn own_images() -> Vec<String> {
    let image = |key: &str, name: &str| {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        [format!("{key}.repository={repository}"), format!("{key}.tag={tag}")]
    };
    [image("image", OPERATOR_IMAGE), image("sidecar.image", SIDECAR_IMAGE)].into_iter().flatten().collect()
}

/// The CRDs of the Prometheus Operator.
///
/// # Errors
/// When kubectl fails.
pub fn monitoring_crds(kubectl: &Kubectl, parts: &Parts) -> anyhow::Result<()> {
    kubectl.apply_folder(&parts.monitoring_crds()?)?;
    served(kubectl, "servicemonitors,podmonitors,prometheuses")
}

/// The Prometheus Operator and a Prometheus that selects every monitor, on their way to be ready. The page of
/// Prometheus is a folder of files; without it Prometheus has its API only.
///
/// # Errors
/// When an import or kubectl fails.
pub fn prepare_prometheus(
    cluster: &Cluster,
    parts: &Parts,
    kubectl: &Kubectl,
    page: Option<&Path>,
) -> anyhow::Result<()> {
    let image = |name: &str, program: &str| anyhow::Ok(Image::of_program(name, program, &parts.program(program)?));
    let mut prometheus = image("localhost/prometheus:dev", "prometheus")?;
    if let Some(page) = page {
        // Where Prometheus looks when it has no page built in: below its working directory.
        prometheus.add_folder("static/mantine-ui", page)?;
    }
    cluster.import(&[
        image("localhost/prometheus-operator:dev", "operator")?,
        image("localhost/prometheus-config-reloader:dev", "prometheus-config-reloader")?,
        prometheus,
    ])?;
    monitoring_crds(kubectl, parts)?;
    kubectl.apply("monitoring", PROMETHEUS).map(drop)
}

/// Waits until the Prometheus of [`prepare_prometheus`] is ready.
///
/// # Errors
/// When it does not get ready.
pub async fn prometheus_ready(client: &Client) -> anyhow::Result<()> {
    let pods = Api::namespaced(client.clone(), "monitoring");
    pod_ready(&pods, "prometheus-main-0", LIMIT).await.map(drop)
}

/// cert-manager, on its way to be ready.
///
/// # Errors
/// When an import or kubectl fails.
pub fn cert_manager(cluster: &Cluster, parts: &Parts, kubectl: &Kubectl) -> anyhow::Result<()> {
    let program = parts.program("cert-manager")?;
    cluster.import(&[Image::of_program("localhost/cert-manager:dev", "cert-manager", &program)])?;
    kubectl.apply_folder(&parts.cert_manager_crds()?)?;
    served(kubectl, "certificates,certificaterequests,issuers,clusterissuers")?;
    kubectl.apply(CERT_MANAGER_NAMESPACE, CERT_MANAGER).map(drop)
}

/// Waits until the API server has resources whose CRDs are new.
fn served(kubectl: &Kubectl, resources: &str) -> anyhow::Result<()> {
    // `kubectl wait` fails on a CRD so new that it has no status.
    wait::blocking(resources, LIMIT, || Ok(kubectl.run(&["get", resources, "--all-namespaces"]).ok().map(drop)))
}

/// Waits until a pod is there and ready.
///
/// # Errors
/// When it does not get there in time.
pub async fn pod_ready(pods: &Api<Pod>, name: &str, limit: Duration) -> anyhow::Result<Pod> {
    wait::until(&format!("pod {name} to be ready"), limit, || async {
        let ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
        };
        Ok(pods.get_opt(name).await?.filter(ready))
    })
    .await
}
