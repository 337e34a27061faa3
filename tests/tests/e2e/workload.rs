//! Pods and PushGroups as users write them, for every test.

use e2e::sandbox::Sandbox;

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
