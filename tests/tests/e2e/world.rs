//! What all tests share: the cluster and what is installed in it, each made when the first test asks for it.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Mutex, OnceLock},
};

use anyhow::{Context as _, anyhow};
use e2e::{
    cluster::Cluster,
    install,
    kubectl::Kubectl,
    parts::{self, Kubernetes, Parts},
    reference,
    sandbox::Sandbox,
};
use kube::Client;

type Run = fn(Sandbox) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// A test and its name.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: Run,
}

/// Names a test after its function.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::world::Test] = &[$(crate::world::Test {
            module: module_path!(),
            name: stringify!($name),
            run: |sandbox| Box::pin($name(sandbox)),
        }),*];
    };
}
pub(crate) use tests;

/// The shared cluster.
pub(crate) struct World {
    cluster: Cluster,
    pub(crate) parts: Parts,
}

static WORLD: OnceLock<Mutex<Option<World>>> = OnceLock::new();

/// Why the cluster is not there, for every test after the first that wanted it.
static FAILURE: OnceLock<String> = OnceLock::new();

// === impl Test ===

impl Test {
    /// Runs it in a namespace of its own of some cluster, and dumps that when it fails.
    pub(crate) fn carry_out(self, kubeconfig: &Path, parts: &Parts) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let kubectl = Kubectl::of_parts(parts, kubeconfig)?;
            let client = e2e::cluster::client(Some(kubeconfig), None).await?;
            let sandbox = Sandbox::create(self.name, kubectl, client).await?;
            // A task of its own: a test that panics is dumped too.
            let outcome = tokio::spawn((self.run)(sandbox.clone())).await;
            let outcome = outcome.map_err(|panic| anyhow!("{panic}")).flatten();
            if let Err(error) = outcome {
                let dump = sandbox.dump().await;
                let dump = dump.map_or_else(|error| format!("{error:#}"), |folder| folder.display().to_string());
                return Err(error.context(format!("pods, events and logs are in {dump}")));
            }
            sandbox.remove().await
        })
    }
}

// === impl World ===

impl World {
    /// Runs a test in the shared cluster.
    pub(crate) fn test(test: Test) -> anyhow::Result<()> {
        let (kubeconfig, parts) = Self::kubeconfig()?;
        test.carry_out(&kubeconfig, &parts)
    }

    fn kubeconfig() -> anyhow::Result<(PathBuf, Parts)> {
        let world = WORLD.get_or_init(|| {
            let made = Self::make();
            Mutex::new(made.map_err(|error| FAILURE.set(format!("{error:#}"))).ok())
        });
        let world = world.lock().map_err(|_| anyhow!("the cluster's lock is poisoned"))?;
        let world = world.as_ref().with_context(|| FAILURE.get().cloned().unwrap_or_default())?;
        Ok((world.cluster.kubeconfig().to_owned(), world.parts.clone()))
    }

    fn make() -> anyhow::Result<Self> {
        // Before there is any cluster: building takes all of the machine for minutes, and tests beside it no chance.
        for kubernetes in Kubernetes::ALL {
            if parts::why_not_on(kubernetes).is_none() {
                Parts::find_or_build_on(kubernetes)?;
            }
        }
        if parts::why_no_cert_manager().is_none() {
            Parts::find_or_build_cert_manager()?;
        }
        let parts = Parts::find_or_build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = runtime.block_on(async {
            let cluster = Cluster::start(&parts).await?;
            let client = cluster.client().await?;
            let kubectl = Kubectl::of_parts(&parts, cluster.kubeconfig())?;
            install::import_images(&cluster, &parts)?;
            cluster.import(&[reference::image()?])?;
            furnish(&cluster, &parts, &kubectl, &client).await?;
            anyhow::Ok(cluster)
        })?;
        Ok(Self { cluster, parts })
    }
}

/// Installs the Prometheus Operator, Prometheus and Sidegate in a cluster that has our images.
pub(crate) async fn furnish(
    cluster: &Cluster,
    parts: &Parts,
    kubectl: &Kubectl,
    client: &Client,
) -> anyhow::Result<()> {
    install::prepare_prometheus(cluster, parts, kubectl, None)?;
    install_sidegate(kubectl, client).await?;
    install::prometheus_ready(client).await
}

/// Installs Sidegate from the images of this build.
pub(crate) async fn install_sidegate(kubectl: &Kubectl, client: &Client) -> anyhow::Result<()> {
    install_sidegate_with(kubectl, client, &[]).await
}

/// The same with more values of the chart.
pub(crate) async fn install_sidegate_with(kubectl: &Kubectl, client: &Client, more: &[&str]) -> anyhow::Result<()> {
    let images = install::own_images();
    let mut values: Vec<&str> = images.iter().map(String::as_str).collect();
    // A machine with two cores and three clusters may be busy for longer than the five seconds of the chart.
    let busy = "webhook.timeoutSeconds=30";
    values.extend(["collection.interval=2s", "log.level=debug", "monitor.labels.everywhere=yes", busy]);
    values.extend(more);
    install::sidegate(kubectl, client, &values).await
}

/// What the API server of the shared cluster was asked for by Sidegate.
pub(crate) fn audit_log() -> anyhow::Result<PathBuf> {
    let world = WORLD.get().context("there is a shared cluster")?;
    let world = world.lock().map_err(|_| anyhow!("the cluster's lock is poisoned"))?;
    Ok(world.as_ref().context("there is a shared cluster")?.cluster.audit_log())
}

/// Ends the shared cluster.
pub(crate) fn end() {
    if let Some(world) = WORLD.get() {
        drop(world.lock().map(|mut world| world.take()));
    }
}
