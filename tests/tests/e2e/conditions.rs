//! Conditions that nothing else brings about: each is reached, and heals when its cause is gone.

use anyhow::{Context as _, ensure};
use crds::status::{condition, reason};
use e2e::{
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::Pod,
};
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use crate::workload;

crate::world::tests![
    what_a_policy_refuses_is_told_until_it_is_let_through,
    each_way_in_which_a_prometheus_overrides_pushes_is_told_until_it_ends,
];

/// What the policy answers.
const REFUSAL: &str = "no Services here, and pods stay as they are";

/// Nobody makes a Service in a namespace, nor changes a pod.
fn policy(namespace: &str) -> String {
    let spec = json!({
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]},
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]},
        ]},
        "validations": [{"expression": "false", "message": REFUSAL}],
    });
    let there = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    let binding = json!({"policyName": namespace, "validationActions": ["Deny"], "matchResources": there});
    let object = |kind: &str, spec: &Value| {
        let metadata = json!({"name": namespace});
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec,
        })
    };
    let objects = [object("ValidatingAdmissionPolicy", &spec), object("ValidatingAdmissionPolicyBinding", &binding)];
    objects.map(|object| object.to_string()).join("\n---\n")
}

async fn what_a_policy_refuses_is_told_until_it_is_let_through(sandbox: Sandbox) -> anyhow::Result<()> {
    let namespace = sandbox.namespace.as_str();
    // Nobody needs to run it.
    let mut early: Value = serde_yaml::from_str(&workload::opted_in("early"))?;
    early["spec"]["nodeSelector"] = json!({"sidegate.dev/test": "nowhere"});
    sandbox.apply(&early.to_string())?;
    sandbox.apply(&policy(namespace))?;
    let probe = ["--namespace", namespace, "create", "service", "clusterip", "probe", "--tcp=80", "--dry-run=server"];
    wait::until("the policy to be in force", STEP, || async {
        Ok(sandbox.kubectl.run(&probe).is_err_and(|refused| format!("{refused:#}").contains(REFUSAL)).then_some(()))
    })
    .await?;

    sandbox.apply(&workload::push_group("late", ""))?;
    for (kind, reason, start) in [
        (condition::MONITORS_SYNCED, reason::APPLY_FAILED, "Cannot apply Service: "),
        (condition::READY, reason::APPLY_FAILED, "Cannot apply Service: "),
        (
            condition::PODS_ASSIGNED,
            reason::PATCH_REFUSED,
            "1 pod that the selector matches has no label sidegate.dev/pushgroup, so that nobody scrapes or collects \
             there: ",
        ),
    ] {
        let found = sandbox.reason("late", kind, reason).await?;
        ensure!(found.status == "False" && found.message.starts_with(start), "{found:?}");
        // In the API server's own words, and in no more.
        ensure!(found.message.ends_with(REFUSAL), "{found:?}");
    }

    let params = DeleteParams::default();
    Api::<ValidatingAdmissionPolicyBinding>::all(sandbox.client.clone()).delete(namespace, &params).await?;
    Api::<ValidatingAdmissionPolicy>::all(sandbox.client.clone()).delete(namespace, &params).await?;
    sandbox.reason("late", condition::MONITORS_SYNCED, reason::APPLIED).await?;
    sandbox.reason("late", condition::PODS_ASSIGNED, reason::ALL_ASSIGNED).await?;
    sandbox.group_ready("late").await?;
    let labels = sandbox.api::<Pod>().get("early").await?.metadata.labels.context("a pod has labels")?;
    ensure!(labels.get("sidegate.dev/pushgroup").is_some_and(|group| group == "late"), "{labels:?}");
    Ok(())
}

/// Nobody needs to run that Prometheus: what is told is told from the object.
async fn each_way_in_which_a_prometheus_overrides_pushes_is_told_until_it_ends(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", "").replace("holdOpen: 60s", "holdOpen: 60s, timestamps: Honor"))?;
    sandbox.reason("all", condition::HONOR_LABELS_OVERRIDDEN, reason::AS_PUSHED).await?;
    // It has neither `staleAfter` nor rules.
    let collected = sandbox.reason("all", condition::COLLECTED, reason::NO_LIMIT).await?;
    ensure!(collected.status == "True", "{collected:?}");
    let excluding = format!(
        "enforcedNamespaceLabel: tenant, excludedFromEnforcement: [{{resource: servicemonitors, namespace: {}}}]",
        sandbox.namespace
    );
    for (overrides, expected, word) in [
        ("overrideHonorTimestamps: true", reason::OVERRIDE_HONOR_TIMESTAMPS, "overrideHonorTimestamps"),
        ("enforcedNamespaceLabel: namespace", reason::AS_PUSHED, "arrives as pushed"),
        ("enforcedNamespaceLabel: tenant", reason::ENFORCED_NAMESPACE_LABEL, "enforcedNamespaceLabel tenant"),
        (&excluding, reason::AS_PUSHED, "arrives as pushed"),
        ("overrideHonorLabels: true", reason::OVERRIDE_HONOR_LABELS, "overrideHonorLabels"),
    ] {
        sandbox.apply(&format!(
            "{{apiVersion: monitoring.coreos.com/v1, kind: Prometheus, metadata: {{name: own}}, \
             spec: {{paused: true, serviceMonitorSelector: {{}}, {overrides}}}}}"
        ))?;
        let found = sandbox.reason("all", condition::HONOR_LABELS_OVERRIDDEN, expected).await?;
        let status = if expected == reason::AS_PUSHED { "False" } else { "True" };
        ensure!(found.status == status && found.message.contains(word), "{overrides}: {found:?}");
        let selected = sandbox.condition("all", condition::SELECTED_BY_PROMETHEUS, "True").await?;
        ensure!(selected.message.contains(&format!("Prometheus {}/own", sandbox.namespace)), "{selected:?}");
    }
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "prometheus", "own"])?;
    sandbox.reason("all", condition::HONOR_LABELS_OVERRIDDEN, reason::AS_PUSHED).await?;
    sandbox.group_ready("all").await
}
