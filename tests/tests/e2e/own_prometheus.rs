//! A Prometheus for one test: for what the shared one does not do.
//!
//! *Never:* what it takes.

use e2e::{
    install,
    prometheus::Prometheus,
    sandbox::{STEP, Sandbox},
};
use kube::Api;

/// Where the Prometheus Operator has rights for it.
const NAMESPACE: &str = "monitoring";

/// A Prometheus that overrides `honorLabels` of monitors.
pub(crate) struct OwnPrometheus<'a> {
    sandbox: &'a Sandbox,
    name: &'static str,
}

// === impl OwnPrometheus ===

impl<'a> OwnPrometheus<'a> {
    /// Asks for one. The rest of the spec is YAML, indented by two.
    pub(crate) fn apply(sandbox: &'a Sandbox, name: &'static str, rest: &str) -> anyhow::Result<Self> {
        let manifest = format!(
            r#"
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  image: localhost/prometheus:dev
  imagePullPolicy: IfNotPresent
  version: v3.15.0
  replicas: 1
  serviceAccountName: prometheus
  overrideHonorLabels: true
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsUser: 65534, runAsNonRoot: true, fsGroup: 65534}}
{rest}
"#
        );
        sandbox.kubectl.apply(NAMESPACE, &manifest)?;
        Ok(Self { sandbox, name })
    }

    /// Waits until it answers.
    pub(crate) async fn ready(&self) -> anyhow::Result<Prometheus> {
        let pod = format!("prometheus-{}-0", self.name);
        install::pod_ready(&Api::namespaced(self.sandbox.client.clone(), NAMESPACE), &pod, STEP * 2).await?;
        Ok(Prometheus::new(self.sandbox.client.clone(), NAMESPACE, &pod))
    }

    /// Ends it.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        self.sandbox.kubectl.run(&["--namespace", NAMESPACE, "delete", "prometheus", self.name]).map(drop)
    }
}
