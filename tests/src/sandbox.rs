//! A namespace for one test: made before it, dumped when it fails, removed after it.
//!
//! `SIDEGATE_KEEP=1` leaves the namespace where it is, for as long as the cluster lives.
//!
//! *Never:* what a test does in it.

use std::{
    env, fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use crds::{PushGroup, status::condition};
use k8s_openapi::{
    api::core::v1::{Namespace, Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;

use crate::{
    binaries,
    install::{self, SIDEGATE_NAMESPACE},
    kubectl::Kubectl,
    wait,
};

/// The most that a single step of a test may take on a busy machine.
pub const STEP: Duration = Duration::from_secs(90);

/// A namespace of one test.
#[derive(Clone)]
pub struct Sandbox {
    /// The namespace.
    pub namespace: String,
    /// `kubectl` for the cluster.
    pub kubectl: Kubectl,
    /// A client for the cluster.
    pub client: Client,
}

// === impl Sandbox ===

impl Sandbox {
    /// Makes the namespace; its name is made from the test's.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(test: &str, kubectl: Kubectl, client: Client) -> anyhow::Result<Self> {
        let name: String = test.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
        let namespace = name.trim_matches('-').to_owned();
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::all(client.clone()).create(&PostParams::default(), &object).await?;
        Ok(Self { namespace, kubectl, client })
    }

    /// A client for objects of a kind in this namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `kubectl apply` in this namespace.
    ///
    /// # Errors
    /// When it fails.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        self.kubectl.apply(&self.namespace, manifest).map(drop)
    }

    /// `kubectl exec POD -c CONTAINER -- sh -c SCRIPT`; its standard output.
    ///
    /// # Errors
    /// When it fails.
    pub fn exec(&self, pod: &str, container: &str, script: &str) -> anyhow::Result<String> {
        self.kubectl.run(&[
            "--namespace",
            &self.namespace,
            "exec",
            pod,
            "--container",
            container,
            "--",
            "sh",
            "-c",
            script,
        ])
    }

    /// Waits until a pod runs and is ready.
    ///
    /// # Errors
    /// When it does not get there in time.
    pub async fn pod_ready(&self, name: &str) -> anyhow::Result<Pod> {
        install::pod_ready(&self.api(), name, STEP).await
    }

    /// Waits until a condition of a `PushGroup` says what is expected about its present generation.
    ///
    /// # Errors
    /// When it does not get there in time.
    pub async fn condition(&self, name: &str, kind: &str, status: &str) -> anyhow::Result<Condition> {
        self.condition_until(name, kind, status, |found| found.status == status).await
    }

    /// Waits until a condition of a `PushGroup` has a reason in its present generation.
    ///
    /// # Errors
    /// When it does not get there in time.
    pub async fn reason(&self, name: &str, kind: &str, reason: &str) -> anyhow::Result<Condition> {
        self.condition_until(name, kind, reason, |found| found.reason == reason).await
    }

    async fn condition_until(
        &self,
        name: &str,
        kind: &str,
        what: &str,
        expected: impl Fn(&Condition) -> bool,
    ) -> anyhow::Result<Condition> {
        self.group_until(name, &format!("condition {kind}={what}"), |group| {
            let conditions = &group.status.as_ref()?.conditions;
            let found = conditions.iter().find(|found| found.type_ == kind && expected(found))?;
            (found.observed_generation == group.metadata.generation).then(|| found.clone())
        })
        .await
    }

    /// Waits until a `PushGroup` is ready, with a pass behind it.
    ///
    /// # Errors
    /// When it does not get there in time.
    pub async fn group_ready(&self, name: &str) -> anyhow::Result<()> {
        self.condition(name, condition::READY, "True").await.map(drop)
    }

    /// Waits until a `PushGroup` is as expected.
    ///
    /// # Errors
    /// When it does not get there in time; with the last status.
    pub async fn group_until<T>(
        &self,
        name: &str,
        what: &str,
        expected: impl Fn(&PushGroup) -> Option<T>,
    ) -> anyhow::Result<T> {
        let groups = self.api::<PushGroup>();
        wait::until(&format!("{what} of PushGroup {name}"), STEP, || async {
            let group = groups.get(name).await?;
            let found = expected(&group);
            found.map(Some).with_context(|| format!("its status is {}", json!(group.status)))
        })
        .await
    }

    /// A page of the sidecar in a pod, as somebody without any header sees it.
    ///
    /// # Errors
    /// When the sidecar does not answer.
    pub async fn page(&self, pod: &str) -> anyhow::Result<String> {
        let (namespace, port) = (&self.namespace, protocol::endpoints::SCRAPE_PORT);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics");
        wait::answer(STEP, self.client.request_text(http::Request::get(path).body(Vec::new())?)).await
    }

    /// Writes pods, events and logs into a folder and returns it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub async fn dump(&self) -> anyhow::Result<PathBuf> {
        #[expect(clippy::disallowed_methods, reason = "the time makes the folder's name unique")]
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let folder = binaries::repository().join("target/e2e-failures").join(format!("{}-{time}", self.namespace));
        fs::create_dir_all(&folder)?;
        for namespace in [&self.namespace, SIDEGATE_NAMESPACE] {
            let get = |what: &str| self.kubectl.run(&["--namespace", namespace, "get", what, "--output", "yaml"]);
            for what in [
                "pods",
                "events",
                "pushgroups,services,endpointslices,configmaps,networkpolicies",
                "servicemonitors,podmonitors",
            ] {
                let text = get(what).unwrap_or_else(|error| format!("{error:#}"));
                fs::write(folder.join(format!("{namespace}.{what}.yaml")), text)?;
            }
            let pods = Api::<Pod>::namespaced(self.client.clone(), namespace).list(&ListParams::default()).await?;
            let has_begun =
                |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Pending");
            for pod in pods.into_iter().filter(has_begun) {
                let name = pod.metadata.name.unwrap_or_default();
                let logs = ["--namespace", namespace, "logs", &name, "--all-containers", "--prefix"];
                let text = self.kubectl.run(&logs).unwrap_or_else(|error| format!("{error:#}"));
                fs::write(folder.join(format!("{namespace}.{name}.log")), text)?;
            }
        }
        Ok(folder)
    }

    /// Removes the namespace, without waiting for it to be gone.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove(self) -> anyhow::Result<()> {
        if env::var_os("SIDEGATE_KEEP").is_none() {
            let namespaces = Api::<Namespace>::all(self.client.clone());
            namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}
