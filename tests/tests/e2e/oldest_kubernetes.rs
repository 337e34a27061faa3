//! The oldest Kubernetes that is supported, with the same node, Prometheus Operator and Prometheus: what is shown on the
//! newest holds there: sidecars in pods that run, what is pushed and collected, and the CRD.
//!
//! *Never:* tests of its own for what other modules show; they are run again.

use std::{collections::BTreeSet, sync::Mutex};

use anyhow::{Context as _, anyhow, ensure};
use crds::PushGroup;
use e2e::{
    parts::Kubernetes,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, api::PostParams};

use crate::{
    collection, crd, injection,
    own_cluster::OwnCluster,
    workload,
    world::{self, Test},
};

crate::world::tests![what_holds_on_the_newest_kubernetes_holds_on_the_oldest];

/// What is about Kubernetes, by module; what an API server says to injected pods is shown without a node.
const AGAIN: [&[Test]; 3] = [collection::TESTS, crd::TESTS, injection::TESTS];

/// How many run at a time, beside those of the shared cluster.
const AT_A_TIME: usize = 2;

async fn what_holds_on_the_newest_kubernetes_holds_on_the_oldest(newest: Sandbox) -> anyhow::Result<()> {
    let own = OwnCluster::start_on(Kubernetes::Oldest).await?;
    is_the_oldest(&own.client).await?;
    world::furnish(&own.cluster, &own.parts, &own.kubectl, &own.client).await?;
    let oldest = Sandbox::create("oldest", own.kubectl.clone(), own.client.clone()).await?;
    let (expected, found) = tokio::try_join!(conditions(&newest), conditions(&oldest))?;
    ensure!(found == expected, "expected the conditions of the newest, {expected:#?}, found {found:#?}");
    only_pods_that_may_want_a_sidecar_are_sent_to_a_webhook(&oldest).await?;
    tokio::task::spawn_blocking(move || all_again(&own)).await?
}

/// The API server and the kubelet.
async fn is_the_oldest(client: &Client) -> anyhow::Result<()> {
    let node = Api::<Node>::all(client.clone()).get("node").await?;
    let kubelet = node.status.and_then(|status| status.node_info).context("a node tells what it is")?.kubelet_version;
    let found = (client.apiserver_version().await?.git_version, kubelet);
    let version = Kubernetes::Oldest.version();
    ensure!(found == (version.to_owned(), version.to_owned()), "expected {version}, found {found:?}");
    Ok(())
}

/// Each of both webhooks leaves out the pods of the other, by the API server's own count.
async fn only_pods_that_may_want_a_sidecar_are_sent_to_a_webhook(sandbox: &Sandbox) -> anyhow::Result<()> {
    let label = ["label", "namespace", &sandbox.namespace, "sidegate.dev/inject=true"];
    sandbox.kubectl.run(&label)?;
    let pods = sandbox.api::<Pod>();
    let silent = workload::pod("silent", "{}", "{}");
    for (webhook, pod) in
        [("pods.sidegate.dev", &silent), ("namespaces.sidegate.dev", &workload::opted_in("outspoken"))]
    {
        let (pod, before) = (serde_yaml::from_str(pod)?, left_out(&sandbox.client, webhook).await?);
        // The API server goes by the label a moment later.
        wait::until(&format!("{webhook} to be spared a pod"), STEP, || async {
            pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await?;
            Ok((before < left_out(&sandbox.client, webhook).await?).then_some(()))
        })
        .await?;
    }
    sandbox.kubectl.run(&["label", "namespace", &sandbox.namespace, "sidegate.dev/inject-"]).map(drop)
}

/// How many objects the API server did not send to a webhook, since they do not match its conditions.
async fn left_out(client: &Client, webhook: &str) -> anyhow::Result<u64> {
    let metrics = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let name = format!("name=\"{webhook}\"");
    let mut lines = metrics.lines().filter(|line| line.contains(&name));
    let line = lines.find(|line| line.starts_with("apiserver_admission_match_condition_exclusions_total{"));
    Ok(line.and_then(|line| line.rsplit(' ').next()).map_or(Ok(0), str::parse)?)
}

/// Type, status and reason of all conditions of a group with a sidecar.
async fn conditions(sandbox: &Sandbox) -> anyhow::Result<BTreeSet<[String; 3]>> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(sandbox, "app", "job/mine", "some_metric 1")?;
    sandbox
        .group_until("all", "a pushed group, and nothing unknown", |group: &PushGroup| {
            let status = group.status.as_ref()?;
            let is_known = status.conditions.iter().all(|condition| condition.status != "Unknown");
            let told = status.conditions.iter().cloned().map(|found| [found.type_, found.status, found.reason]);
            (is_known && status.groups == Some(1)).then(|| told.collect())
        })
        .await
}

/// Runs them all, and tells of every one that fails.
fn all_again(own: &OwnCluster) -> anyhow::Result<()> {
    let all = AGAIN.concat();
    let (queue, failures) = (Mutex::new(all.into_iter()), Mutex::new(Vec::new()));
    let poisoned = |_| anyhow!("a test broke its lock");
    let work = || -> anyhow::Result<()> {
        loop {
            let next = queue.lock().map_err(|_| anyhow!("a test broke the queue"))?.next();
            let Some(test) = next else { return Ok(()) };
            if let Err(error) = test.carry_out(own.cluster.kubeconfig(), &own.parts) {
                failures.lock().map_err(poisoned)?.push(format!("{}: {error:#}", test.name));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a test panicked"))?)
    })?;
    let failures = failures.into_inner()?;
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}
