//! Pods that are created all the time, in a cluster whose operator has something done to it: none of them may be lost.
//!
//! They fit no node: admission is all they need.
//!
//! *Never:* what is done to the operator.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{
    install::SIDEGATE_NAMESPACE,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::{
    own_cluster::OwnCluster,
    workload::{self, has_sidecar},
    world,
};

/// The Deployment, and what its objects are named after.
pub(crate) const OPERATOR: &str = "sidegate-operator";

/// How long a rotation or a rolling update may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// How often each of four creates a pod; a scheduler looks at all that fit nowhere again and again.
const PACE: Duration = Duration::from_millis(300);

/// The operator, and pods that are created one after the other.
pub(crate) struct Load {
    pub(crate) own: OwnCluster,
    pub(crate) sandbox: Sandbox,
    created: AtomicUsize,
    /// What was created without a sidecar, or not at all.
    lost: Mutex<Vec<String>>,
}

/// A pod that asks for a sidecar, and fits no node.
pub(crate) fn nowhere(name: &str) -> anyhow::Result<Pod> {
    let mut pod: Value = serde_yaml::from_str(&workload::opted_in(name))?;
    pod["spec"]["nodeSelector"] = json!({"sidegate.dev/nowhere": "true"});
    Ok(serde_json::from_value(pod)?)
}

// === impl Load ===

impl Load {
    pub(crate) async fn start(own: OwnCluster, values: &[&str]) -> anyhow::Result<Self> {
        world::install_sidegate_with(&own.kubectl, &own.client, values).await?;
        let sandbox = Sandbox::create("load", own.kubectl.clone(), own.client.clone()).await?;
        let load = Self { own, sandbox, created: AtomicUsize::default(), lost: Mutex::default() };
        load.only_new_replicas(&BTreeSet::new()).await?;
        Ok(load)
    }

    /// What a test came to; where it failed with what there was.
    pub(crate) async fn or_a_dump(&self, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        let dump = self.sandbox.dump().await.map(|folder| folder.display().to_string());
        Err(error.context(format!("pods, events and logs are in {}", dump.unwrap_or_default())))
    }

    /// Creates a pod that asks for a sidecar, and takes down if it got none.
    async fn create(&self) -> anyhow::Result<()> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let pod = nowhere(&format!("pod-{number}"))?;
        let lost = match self.sandbox.api::<Pod>().create(&PostParams::default(), &pod).await {
            Ok(pod) => (!has_sidecar(&pod)).then(|| "no sidecar".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        let mut all = self.lost.lock().map_err(|_| anyhow::anyhow!("a test panicked"))?;
        all.extend(lost.map(|lost| format!("pod-{number}: {lost}")));
        Ok(())
    }

    /// Creates pods until something is done; none of them may be lost.
    pub(crate) async fn meanwhile(&self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let (done, before) = (AtomicBool::new(false), self.created.load(Ordering::Relaxed));
        let one_after_the_other = || async {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !done.load(Ordering::Relaxed) {
                self.create().await?;
                pace.tick().await;
            }
            anyhow::Ok(())
        };
        let creating = async {
            tokio::try_join!(one_after_the_other(), one_after_the_other(), one_after_the_other(), one_after_the_other())
        };
        let working = async {
            let outcome = work.await;
            done.store(true, Ordering::Relaxed);
            outcome
        };
        let (created, worked) = tokio::join!(creating, working);
        worked.and(created.map(|_| ()))?;
        let lost = self.lost.lock().map_err(|_| anyhow::anyhow!("a test panicked"))?.clone();
        let created = self.created.load(Ordering::Relaxed) - before;
        ensure!(lost.is_empty(), "{} of {created} pods: {lost:?}", lost.len());
        // Four at a time: each has made some, however busy the machine is.
        ensure!(8 <= created, "expected some pods of each creator, found {created}");
        Ok(())
    }

    pub(crate) async fn replicas(&self) -> anyhow::Result<Vec<Pod>> {
        let pods = Api::<Pod>::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE);
        Ok(pods.list(&ListParams::default()).await?.items)
    }

    /// Waits until both replicas are ready and all others are gone.
    pub(crate) async fn only_new_replicas(&self, old: &BTreeSet<String>) -> anyhow::Result<()> {
        let deployments = Api::<Deployment>::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE);
        wait::until("two new replicas", LIMIT, || async {
            let pods = self.replicas().await?;
            let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
            let ready = deployments.get(OPERATOR).await?.status.and_then(|status| status.ready_replicas);
            let are_new = names.len() == 2 && names.iter().all(|name| !old.contains(name));
            Ok((are_new && ready == Some(2)).then_some(()))
        })
        .await
    }

    /// When the certificate that is served ends, by the word of each replica.
    pub(crate) async fn expiries(&self) -> anyhow::Result<Vec<i64>> {
        let mut expiries = Vec::new();
        for pod in self.replicas().await? {
            let path = format!("/api/v1/namespaces/{SIDEGATE_NAMESPACE}/pods/{}:8080/proxy/metrics", pod.name_any());
            let request = http::Request::get(path).body(Vec::new())?;
            let page = wait::answer(STEP, self.sandbox.client.request_text(request)).await?;
            let line = "sidegate_webhook_certificate_expiry_timestamp_seconds{certificate=\"serving\"} ";
            let found = page.lines().find_map(|found| found.strip_prefix(line));
            expiries.push(found.with_context(|| format!("expected {line}in {page}"))?.parse()?);
        }
        Ok(expiries)
    }
}
