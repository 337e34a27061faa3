//! A cluster for one test: for what would be in the way of the others, or is not there in the shared one.
//!
//! *Never:* what is installed in it.

use e2e::{
    cluster::Cluster,
    install,
    kubectl::Kubectl,
    parts::{Kubernetes, Parts},
};
use kube::Client;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many there are at a time: beside more of them, probes of the shared one run out of time.
static ROOM: Semaphore = Semaphore::const_new(2);

/// A cluster with our images, and with nothing else.
pub(crate) struct OwnCluster {
    // In this order: it ends before there is room for the next.
    pub(crate) cluster: Cluster,
    pub(crate) parts: Parts,
    pub(crate) kubectl: Kubectl,
    pub(crate) client: Client,
    _room: SemaphorePermit<'static>,
}

// === impl OwnCluster ===

impl OwnCluster {
    /// Starts one, once there is room for it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_on(Kubernetes::Newest).await
    }

    /// The same, of a release of Kubernetes.
    pub(crate) async fn start_on(kubernetes: Kubernetes) -> anyhow::Result<Self> {
        let room = ROOM.acquire().await?;
        let parts = Parts::find_or_build_on(kubernetes)?;
        let cluster = Cluster::start(&parts).await?;
        let (client, kubectl) = (cluster.client().await?, Kubectl::of_parts(&parts, cluster.kubeconfig())?);
        install::import_images(&cluster, &parts)?;
        Ok(Self { cluster, parts, kubectl, client, _room: room })
    }
}
