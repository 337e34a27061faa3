//! Pods that nobody runs, as the operator sees them: opted in, injected, with an address, their sidecars running.
//!
//! Each has a number, which gives its name, namespace, `PushGroup` and address. The sidecars of all of them are one
//! server: [`sidecars`].
//!
//! *Never:* what the operator makes of them.

pub mod sidecars;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{control_plane::pod_address, wait};

/// How many requests are made at a time: more than the API server works at, so that it never waits.
const AT_A_TIME: usize = 24;

/// The most that a single request may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How pods are spread.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Namespaces.
    pub namespaces: usize,
    /// `PushGroup`s in each of them.
    pub push_groups: usize,
}

/// Where a pod belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its `PushGroup`.
    pub push_group: String,
}

/// Makes and removes pods.
#[derive(Clone)]
pub struct Pods {
    client: Client,
    spread: Spread,
}

// === impl Spread ===

impl Spread {
    /// The place of the pod of a number; neighbours are in different places.
    #[must_use]
    pub fn place(self, number: usize) -> Place {
        let place = number % (self.namespaces * self.push_groups);
        Place {
            namespace: format!("team-{}", place % self.namespaces),
            push_group: format!("batch-{}", place / self.namespaces),
        }
    }

    /// All places there are.
    pub fn places(self) -> impl Iterator<Item = Place> {
        (0..self.namespaces * self.push_groups).map(move |number| self.place(number))
    }
}

// === impl Pods ===

impl Pods {
    /// Makes none yet.
    #[must_use]
    pub fn new(client: Client, spread: Spread) -> Self {
        Self { client, spread }
    }

    /// Makes the pods of some numbers; each runs, as far as its status says.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn create(&self, numbers: impl IntoIterator<Item = usize>) -> anyhow::Result<()> {
        let this = self.clone();
        for_each(numbers.into_iter().collect(), move |number| {
            let this = this.clone();
            async move { this.create_one(number).await.with_context(|| format!("pod {number}")) }
        })
        .await
    }

    /// Removes the pods of some numbers. Without a node they are gone at once.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove(&self, numbers: impl IntoIterator<Item = usize>) -> anyhow::Result<()> {
        let this = self.clone();
        for_each(numbers.into_iter().collect(), move |number| {
            let this = this.clone();
            async move {
                let path = format!("{}/{}", this.path(number), name(number));
                this.ask("DELETE", &path, None).await.with_context(|| format!("pod {number}"))
            }
        })
        .await
    }

    async fn create_one(&self, number: usize) -> anyhow::Result<()> {
        let path = self.path(number);
        self.ask("POST", &path, Some(pod(&self.spread.place(number), number))).await?;
        let path = format!("{path}/{}/status", name(number));
        self.ask("PATCH", &path, Some(json!({"status": status(number)?}))).await
    }

    fn path(&self, number: usize) -> String {
        format!("/api/v1/namespaces/{}/pods", self.spread.place(number).namespace)
    }

    /// Asks the API server and looks at nothing but the status of the answer.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<()> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind).body(body)?;
        wait::answer(PATIENCE, self.client.request_text(request)).await.map(drop)
    }
}

/// The name of the pod of a number.
#[must_use]
pub fn name(number: usize) -> String {
    format!("batch-{number}")
}

/// Does something for each number, some of them at a time.
async fn for_each<A>(numbers: Vec<usize>, work: impl Fn(usize) -> A + Clone + Send + 'static) -> anyhow::Result<()>
where
    A: Future<Output = anyhow::Result<()>> + Send,
{
    let (numbers, next) = (Arc::new(numbers), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (numbers, next, work) = (numbers.clone(), next.clone(), work.clone());
        workers.spawn(async move {
            while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(*number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    ensure!(numbers.len() <= next.load(Ordering::Relaxed), "expected all of it to be done");
    Ok(())
}

/// A pod as large as they are, with what the injector adds to it.
fn pod(place: &Place, number: usize) -> Value {
    let variables =
        (0..12).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("value {n} of a setting")}));
    let variables: Vec<_> = variables.collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(number),
            "labels": {
                "app.kubernetes.io/name": "batch",
                "sidegate.dev/inject": place.push_group,
                "sidegate.dev/injected": "true",
                "sidegate.dev/pushgroup": place.push_group,
            },
            "annotations": {"example.com/checksum": "0123456789abcdef".repeat(4)},
        },
        "spec": {
            // Where there is a scheduler, they are not for it.
            "schedulerName": "nobody",
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "initContainers": [{
                "name": "sidegate",
                "image": "sidegate:1",
                "restartPolicy": "Always",
                "args": ["sidecar", "--scrape.listen-address=[::]:19091"],
                "ports": [{"name": "sidegate", "containerPort": 19091}],
                "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            }],
            "containers": [{
                "name": "main",
                "image": "batch:1",
                "command": ["/bin/batch", "--all"],
                "env": variables,
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }],
        },
    })
}

fn status(number: usize) -> anyhow::Result<Value> {
    let (address, since) = (pod_address(number)?, "2026-01-01T00:00:00Z");
    let container = |name: &str, image: &str| {
        json!({
            "name": name,
            "image": image,
            "imageID": format!("{image}@sha256:{}", "0123456789abcdef".repeat(4)),
            "containerID": format!("containerd://{}", "fedcba9876543210".repeat(4)),
            "ready": true,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": since}},
        })
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": since});
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    Ok(json!({
        "phase": "Running",
        "startTime": since,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions,
        "initContainerStatuses": [container("sidegate", "sidegate:1")],
        "containerStatuses": [container("main", "batch:1")],
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn pods_are_spread_evenly() {
        let spread = Spread { namespaces: 3, push_groups: 2 };
        let mut pods: HashMap<String, usize> = HashMap::new();
        for number in 0..60 {
            let Place { namespace, push_group } = spread.place(number);
            *pods.entry(format!("{namespace}/{push_group}")).or_default() += 1;
        }
        assert_eq!((pods.len(), pods.values().all(|pods| *pods == 10)), (6, true), "{pods:?}");
        assert_eq!(spread.places().count(), 6);
    }
}
