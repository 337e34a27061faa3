//! Pods and PushGroups as users write them, for every test, and the sidecar that a pod has.

use crds::names::SIDECAR_CONTAINER;
use e2e::sandbox::Sandbox;
use serde::Serialize;
use serde_json::{Value, json};

/// A pod that waits for what a test does in it. Labels and annotations are YAML.
pub(crate) fn pod(name: &str, labels: &str, annotations: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {labels}, annotations: {annotations}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: localhost/busybox:1
      imagePullPolicy: Never
      command: [sh, -c, "echo workload started; sleep 3600"]
      env: [{{name: OWN, value: "$(PUSHGATEWAY_URL)/metrics"}}]
"#
    )
}

/// A pod that asks for a sidecar.
pub(crate) fn opted_in(name: &str) -> String {
    pod(name, "{app: etl}", "{sidegate.dev/inject: \"true\"}")
}

/// A `PushGroup` of the pods with the label `app: etl`, scraped every two seconds, and held open for a busy machine. The rest of the spec is YAML,
/// indented by two.
pub(crate) fn push_group(name: &str, rest: &str) -> String {
    format!(
        r#"
apiVersion: sidegate.dev/v1alpha1
kind: PushGroup
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: etl}}}}
  scrape: {{interval: 2s}}
  sidecar: {{holdOpen: 60s}}
{rest}
"#
    )
}

/// Pushes a sample from the app container of a pod, as a script would.
pub(crate) fn push(sandbox: &Sandbox, pod: &str, path: &str, sample: &str) -> anyhow::Result<()> {
    let script = format!("wget -q -O- --post-data '{sample}' \"$PUSHGATEWAY_URL\"/metrics/{path}");
    sandbox.exec(pod, "app", &script).map(drop)
}

/// The containers of a pod that are called as a sidecar is, wherever they stand: one at most.
pub(crate) fn sidecars(pod: &impl Serialize) -> Vec<Value> {
    let spec = &json!(pod)["spec"];
    let containers = ["initContainers", "containers"].map(|kind| spec[kind].as_array().cloned().unwrap_or_default());
    containers.concat().into_iter().filter(|container| container["name"] == SIDECAR_CONTAINER).collect()
}

/// Whether a pod has a sidecar.
pub(crate) fn has_sidecar(pod: &impl Serialize) -> bool {
    !sidecars(pod).is_empty()
}
