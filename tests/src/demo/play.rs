//! What is played: a PushGroup, a worker that pushes several groups, and a Job of two seconds.
//!
//! *Never:* what becomes of it.

use crds::{PushGroup, status::condition};
use kube::Api;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::{sandbox::STEP, wait};

/// The namespace the demo plays in.
pub(super) const NAMESPACE: &str = "sidegate-demo";

/// The job label of the group that goes stale.
pub(super) const STALE_JOB: &str = "one-off-report";

/// The job label that the Job pushes with.
pub(super) const BACKUP_JOB: &str = "nightly-backup";

/// The series of the Job.
pub(super) const BACKUP_SERIES: &str = "backup_last_success_timestamp_seconds";

/// Applies the PushGroup, waits until the operator is done with it, and starts the worker.
pub(super) async fn push_group_and_worker(stage: &Stage) -> anyhow::Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    stage.kubectl.apply(NAMESPACE, &namespace.to_string())?;
    let labels = &stage.monitor_labels;
    let group = format!(
        r#"
apiVersion: sidegate.dev/v1alpha1
kind: PushGroup
metadata: {{name: demo}}
spec:
  selector: {{matchLabels: {{app: demo}}}}
  staleAfter: 1h
  rules:
    - {{match: {{job: {STALE_JOB}}}, staleAfter: 25s}}
  scrape: {{interval: 5s, labels: {labels}}}
  sidecar: {{holdOpen: 45s}}
"#
    );
    stage.kubectl.apply(NAMESPACE, &group)?;
    let groups = Api::<PushGroup>::namespaced(stage.client.clone(), NAMESPACE);
    wait::until("the PushGroup to be ready", STEP, || async {
        let conditions = groups.get("demo").await?.status.unwrap_or_default().conditions;
        let ready = conditions.iter().any(|found| found.type_ == condition::READY && found.status == "True");
        Ok(ready.then_some(()))
    })
    .await?;
    let script = format!(
        "push() {{ wget -q -O- --post-data \"$1\" \"$PUSHGATEWAY_URL/metrics/$2\"; }}; \
         push 'report_rows 1200' job/{STALE_JOB}; \
         while true; do \
           for shard in a b; do push \"queue_length $(date +%S)\" job/queue-worker/shard/$shard; done; \
           sleep 2; \
         done"
    );
    stage.kubectl.apply(NAMESPACE, &pod("worker", &script, stage)).map(drop)
}

/// Starts the Job.
pub(super) fn job(stage: &Stage) -> anyhow::Result<()> {
    let script = format!(
        "sleep 2; wget -q -O- --post-data \"{BACKUP_SERIES} $(date +%s)\" \
         \"$PUSHGATEWAY_URL/metrics/job/{BACKUP_JOB}\""
    );
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "backup"},
        "spec": {"template": template("backup", &script, stage)},
    });
    stage.kubectl.apply(NAMESPACE, &job.to_string()).map(drop)
}

/// Removes the namespace and all in it.
pub(super) fn clear(stage: &Stage) -> anyhow::Result<()> {
    stage.kubectl.run(&["delete", "namespace", NAMESPACE, "--wait=false"]).map(drop)
}

/// A pod that runs a script, as JSON.
fn pod(name: &str, script: &str, stage: &Stage) -> String {
    let pod = template(name, script, stage);
    let (metadata, spec) = (pod.get("metadata"), pod.get("spec"));
    let mut metadata = metadata.cloned().unwrap_or_default();
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("name".to_owned(), name.into());
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string()
}

/// A pod that runs a script, as a pod template.
fn template(name: &str, script: &str, stage: &Stage) -> Value {
    json!({
        "metadata": {"labels": {"app": "demo"}, "annotations": {"sidegate.dev/inject": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": name,
                "image": stage.app_image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
            }],
        },
    })
}
