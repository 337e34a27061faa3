//! Where the demo plays: a new cluster with everything in it, or the user's own.
//!
//! *Never:* what is played.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
};

use super::{Options, screen::Screen};
use crate::{
    binaries,
    cluster::{self, Cluster},
    install,
    kubectl::Kubectl,
    parts::Parts,
    prometheus::Prometheus,
};

/// A cluster with Sidegate and a Prometheus.
pub(super) struct Stage {
    pub(super) kubectl: Kubectl,
    pub(super) client: Client,
    pub(super) prometheus: Prometheus,
    pub(super) app_image: String,
    /// Labels of the monitor, as YAML.
    pub(super) monitor_labels: String,
    /// Whether Prometheus has its page; its API it has in any case.
    has_page: bool,
    /// The new cluster, which ends with the stage.
    cluster: Option<Cluster>,
}

/// A port of this machine that leads to Prometheus for as long as this lives.
pub(super) struct Forward {
    pub(super) address: String,
    _kubectl: Child,
}

// === impl Stage ===

impl Stage {
    /// Sets the stage and says how long each step took.
    pub(super) async fn set(options: &Options, screen: &mut Screen) -> anyhow::Result<Self> {
        match &options.context {
            Some(context) => Self::in_context(context, options, screen).await,
            None => Self::in_a_new_cluster(!options.once, screen).await,
        }
    }

    async fn in_a_new_cluster(with_page: bool, screen: &mut Screen) -> anyhow::Result<Self> {
        if let Some(reason) = crate::parts::why_not() {
            bail!("{reason}; `--context NAME` uses a cluster that you have");
        }
        screen.step("the parts of a cluster");
        let parts = Parts::find_or_build()?;
        let page = if with_page { parts.prometheus_page()? } else { None };
        screen.step("sidegate and sidegate-operator");
        build()?;
        screen.step("a Kubernetes node");
        let cluster = Cluster::start(&parts).await?;
        let client = cluster.client().await?;
        let kubectl = Kubectl::of_parts(&parts, cluster.kubeconfig())?;
        screen.step("Prometheus Operator and Prometheus");
        install::prepare_prometheus(&cluster, &parts, &kubectl, page.as_deref())?;
        screen.step("Sidegate, by its chart");
        install::import_images(&cluster, &parts)?;
        let values = install::own_images();
        let values: Vec<&str> = values.iter().map(String::as_str).chain(["collection.interval=5s"]).collect();
        install::sidegate(&kubectl, &client, &values).await?;
        screen.step("Prometheus to be ready");
        install::prometheus_ready(&client).await?;
        screen.done();
        Ok(Self {
            prometheus: Prometheus::installed(client.clone()),
            kubectl,
            client,
            app_image: install::BUSYBOX_IMAGE.to_owned(),
            monitor_labels: "{}".to_owned(),
            has_page: page.is_some(),
            cluster: Some(cluster),
        })
    }

    async fn in_context(context: &str, options: &Options, screen: &mut Screen) -> anyhow::Result<Self> {
        screen.step("kubectl and helm");
        let (kubectl, helm) = (tool("kubectl")?, tool("helm")?);
        let kubectl = Kubectl::new(kubectl, helm, None, Some(context));
        let client = cluster::client(None, Some(context)).await?;
        let prometheus = find_prometheus(&client).await?;
        screen.step("Sidegate, by its chart");
        let image = |name: &str| format!("{}/{name}", options.registry);
        let values = [
            format!("image.repository={}", image("sidegate-operator")),
            format!("image.tag={}", options.tag),
            format!("sidecar.image.repository={}", image("sidegate")),
            format!("sidecar.image.tag={}", options.tag),
            "collection.interval=5s".to_owned(),
        ];
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        install::sidegate(&kubectl, &client, &values).await?;
        screen.done();
        let labels = options.monitor_label.iter().map(|label| {
            let (key, value) = label.split_once('=').with_context(|| format!("expected KEY=VALUE, found {label:?}"))?;
            Ok((key, value))
        });
        let labels: std::collections::BTreeMap<_, _> = labels.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            kubectl,
            client,
            prometheus,
            app_image: options.app_image.clone(),
            monitor_labels: serde_json::to_string(&labels)?,
            has_page: true,
            cluster: None,
        })
    }

    /// Forwards a free port of this machine to Prometheus.
    pub(super) async fn forward_prometheus(&self) -> anyhow::Result<Forward> {
        let (namespace, pod) = self.prometheus.pod().context("this Prometheus is in no pod")?;
        let mut command = tokio::process::Command::from(self.kubectl.kubectl());
        command.args(["--namespace", namespace, "port-forward", "--address", "127.0.0.1", pod, ":9090"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().context("kubectl port-forward")?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??.unwrap_or_default();
        // kubectl tells of every connection; somebody has to read it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let address = address.with_context(|| format!("expected kubectl to name a port, found {line:?}"))?;
        Ok(Forward { address: address.to_owned(), _kubectl: child })
    }

    /// What a person may want to do next.
    pub(super) fn how_to_look_around(&self, forward: &Forward) -> String {
        let (kubectl, address) = (self.kubectl.spelled(), &forward.address);
        let series = format!("%7Bnamespace%3D%22{}%22%7D", super::play::NAMESPACE);
        let prometheus = if self.has_page {
            format!("http://{address}/query?g0.expr={series}&g0.tab=1")
        } else {
            format!("http://{address}/federate?match[]={series} (its page needs npm to be built)")
        };
        format!(
            "Look around, in another terminal:\n  \
             {kubectl} get pushgroups,pods,jobs -A\n  \
             Prometheus: {prometheus}\n\
             Ctrl-C ends the demo{}.",
            if self.cluster.is_some() { " and the cluster" } else { " and removes its namespace" },
        )
    }
}

/// Builds our two programs, as a user would.
fn build() -> anyhow::Result<()> {
    let mut words = binaries::BUILD_COMMAND.split(' ').skip(1);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(binaries::repository()).args(words.by_ref()).arg("--quiet");
    ensure!(command.status().context("cargo")?.success(), "`{}` failed", binaries::BUILD_COMMAND);
    Ok(())
}

/// The user's own tool, else the one of the parts.
fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    own.map_or_else(|| Parts::find_or_build()?.program(name), Ok)
}

/// The first Prometheus of the cluster's Prometheus Operator.
async fn find_prometheus(client: &Client) -> anyhow::Result<Prometheus> {
    let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "Prometheus");
    let kind = ApiResource::from_gvk_with_plural(&kind, "prometheuses");
    let all = Api::<DynamicObject>::all_with(client.clone(), &kind).list(&ListParams::default()).await;
    let all = all.context("expected a Prometheus Operator in the cluster")?;
    let first = all.items.first().context("expected a Prometheus object in the cluster, found none")?;
    let namespace = first.namespace().unwrap_or_default();
    Ok(Prometheus::new(client.clone(), &namespace, &format!("prometheus-{}-0", first.name_any())))
}
