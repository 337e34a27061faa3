//! The NetworkPolicy of a group is there while it is asked for, as it was asked for, and somebody else's stays as it is.
//!
//! Limit: the network of this cluster heeds no policy, so that what is shown is the object.

use anyhow::{Context as _, ensure};
use crds::status::condition;
use e2e::{
    install::SIDEGATE_NAMESPACE,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};

use crate::{crd::Wrong, drift, workload};

crate::world::tests![
    a_network_policy_is_kept_as_asked_for_and_goes_with_the_field_and_with_the_group,
    a_network_policy_of_somebody_else_is_left_alone_until_it_is_gone,
];

const NAME: &str = "sidegate-all";

/// Prometheus of a namespace.
const OF_MONITORING: &str = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}, \
                             podSelector: {matchLabels: {app.kubernetes.io/name: prometheus}}}";

/// What of the field is refused.
pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        name: "gateway-with-network-policy",
        spec: "selector: null\n  gateway: {service: {name: pushgateway}}\n  scrape: {networkPolicy: {from: [{podSelector: {}}]}}",
        sentence: "spec.scrape.networkPolicy: a gateway has no pods of ours to select, expected none",
    },
    Wrong {
        name: "no-peers",
        spec: "scrape: {networkPolicy: {}}",
        sentence: "spec.scrape.networkPolicy.from: Required value",
    },
    Wrong {
        name: "peers-of-nobody",
        spec: "scrape: {networkPolicy: {from: []}}",
        sentence: "spec.scrape.networkPolicy.from: Invalid value: should have at least 1 items",
    },
    Wrong {
        name: "peer",
        spec: "scrape: {networkPolicy: {from: [{}]}}",
        sentence: "spec.scrape.networkPolicy.from[0]: Invalid value: expected namespaceSelector, podSelector or both, or ipBlock alone",
    },
    Wrong {
        name: "peer-of-two-kinds",
        spec: "scrape: {networkPolicy: {from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0]: Invalid value: expected namespaceSelector, podSelector or both, or ipBlock alone",
    },
    Wrong {
        name: "peer-label",
        spec: "scrape: {networkPolicy: {from: [{podSelector: {matchLabels: {\"my label\": x}}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].podSelector.matchLabels: Invalid value: expected names of labels as keys",
    },
    Wrong {
        name: "peer-label-value",
        spec: "scrape: {networkPolicy: {from: [{namespaceSelector: {matchLabels: {team: \"-\"}}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].namespaceSelector.matchLabels: Invalid value: expected values of labels",
    },
    Wrong {
        name: "peer-operator",
        spec: "scrape: {networkPolicy: {from: [{podSelector: {matchExpressions: [{key: app, operator: Equals}]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].podSelector.matchExpressions[0].operator: Unsupported value: \"Equals\"",
    },
    Wrong {
        name: "peer-key",
        spec: "scrape: {networkPolicy: {from: [{podSelector: {matchExpressions: [{key: a/b/c, operator: Exists}]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].podSelector.matchExpressions[0].key: Invalid value: expected the name of a label",
    },
    Wrong {
        name: "peer-values",
        spec: "scrape: {networkPolicy: {from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [\"a b\"]}]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].podSelector.matchExpressions[0].values: Invalid value: expected values of labels",
    },
    Wrong {
        name: "peer-without-values",
        spec: "scrape: {networkPolicy: {from: [{podSelector: {matchExpressions: [{key: app, operator: In}]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].podSelector.matchExpressions[0]: Invalid value: expected values for In and NotIn",
    },
    Wrong {
        name: "peer-with-values",
        spec: "scrape: {networkPolicy: {from: [{podSelector: {matchExpressions: [{key: app, operator: Exists, values: [a]}]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].podSelector.matchExpressions[0]: Invalid value: expected values for In and NotIn",
    },
    Wrong {
        name: "network",
        spec: "scrape: {networkPolicy: {from: [{ipBlock: {cidr: 10.0.0.1}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].ipBlock.cidr: Invalid value: expected a network such as 10.0.0.0/8",
    },
    Wrong {
        name: "network-of-an-address",
        spec: "scrape: {networkPolicy: {from: [{ipBlock: {cidr: 10.0.0.1/8}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].ipBlock.cidr: Invalid value: expected a network such as 10.0.0.0/8",
    },
    Wrong {
        name: "network-but-a-word",
        spec: "scrape: {networkPolicy: {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [all]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].ipBlock: Invalid value: expected parts of the network as except",
    },
    Wrong {
        name: "network-but-another",
        spec: "scrape: {networkPolicy: {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.1.0.0/16]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].ipBlock: Invalid value: expected parts of the network as except",
    },
    Wrong {
        name: "network-but-all-of-it",
        spec: "scrape: {networkPolicy: {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}}",
        sentence: "spec.scrape.networkPolicy.from[0].ipBlock: Invalid value: expected parts of the network as except",
    },
];

/// A group that lets these peers through.
fn group_with(peers: &str) -> String {
    let policy = format!("interval: 2s, networkPolicy: {{from: [{peers}]}}");
    workload::push_group("all", "").replace("interval: 2s", &policy)
}

/// What of the policy is ours to say.
async fn policy(sandbox: &Sandbox) -> anyhow::Result<Option<Value>> {
    let policy = sandbox.api::<NetworkPolicy>().get_opt(NAME).await?;
    Ok(policy.map(|policy| {
        let metadata = policy.metadata;
        json!({"labels": metadata.labels, "owners": metadata.owner_references, "spec": policy.spec})
    }))
}

async fn becomes(sandbox: &Sandbox, expected: &Option<Value>) -> anyhow::Result<()> {
    wait::until("the policy to be as expected", STEP, || async {
        let found = policy(sandbox).await?;
        (found == *expected).then_some(Some(())).with_context(|| format!("expected {expected:?}, found {found:?}"))
    })
    .await
}

fn kubectl(sandbox: &Sandbox, arguments: &[&str]) -> anyhow::Result<String> {
    sandbox.kubectl.run(&[&["--namespace", &sandbox.namespace], arguments].concat())
}

async fn a_network_policy_is_kept_as_asked_for_and_goes_with_the_field_and_with_the_group(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    sandbox.apply(&group_with(OF_MONITORING))?;
    sandbox.group_ready("all").await?;
    let first = policy(&sandbox).await?;
    let made = first.clone().context("expected a NetworkPolicy, found none")?;
    let rule = &made["spec"]["ingress"][0];
    ensure!(rule["ports"] == json!([{"port": 19091, "protocol": "TCP"}]), "{made}");
    ensure!(rule["from"].as_array().is_some_and(|from| from.len() == 2), "{made}");
    the_operator_is_let_through(&sandbox, &rule["from"][0]).await?;
    it_selects_the_injected_pods(&sandbox, &made["spec"]["podSelector"]).await?;
    it_reads_well(&sandbox)?;

    for change in [
        json!({"spec": {"podSelector": {"matchLabels": {"app": "other"}}}}),
        json!({"spec": {"ingress": [{}]}}),
        // An apply leaves alone what it does not name.
        json!({"spec": {"egress": [{}], "policyTypes": ["Ingress", "Egress"]}}),
        json!({"metadata": {"labels": {"their/own": "label"}}}),
    ] {
        kubectl(&sandbox, &["patch", "networkpolicy", NAME, "--type=merge", "--patch", &change.to_string()])?;
        becomes(&sandbox, &first).await.with_context(|| change.to_string())?;
    }
    kubectl(&sandbox, &["delete", "networkpolicy", NAME])?;
    becomes(&sandbox, &first).await.context("removed by others")?;

    sandbox.apply(&group_with("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}"))?;
    let mut changed = made.clone();
    changed["spec"]["ingress"][0]["from"][1] = json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}});
    becomes(&sandbox, &Some(changed)).await?;
    sandbox.apply(&workload::push_group("all", ""))?;
    becomes(&sandbox, &None).await?;
    sandbox.group_ready("all").await?;

    sandbox.apply(&group_with(OF_MONITORING))?;
    becomes(&sandbox, &first).await?;
    kubectl(&sandbox, &["delete", "pushgroup", "all"])?;
    becomes(&sandbox, &None).await
}

/// By the labels that the chart gives its pods, and nothing else of its namespace.
async fn the_operator_is_let_through(sandbox: &Sandbox, peer: &Value) -> anyhow::Result<()> {
    let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": SIDEGATE_NAMESPACE}});
    ensure!(peer["namespaceSelector"] == namespace, "{peer}");
    let labels = peer["podSelector"]["matchLabels"].as_object().context("expected labels of pods")?;
    let selector: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    let params = ListParams::default().labels(&selector.join(","));
    let pods = Api::<Pod>::namespaced(sandbox.client.clone(), SIDEGATE_NAMESPACE).list(&params).await?.items;
    ensure!(!pods.is_empty(), "no pod of {SIDEGATE_NAMESPACE} has {selector:?}");
    for pod in pods {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        ensure!(account == Some("sidegate-operator"), "{} has {selector:?}", pod.name_any());
    }
    Ok(())
}

async fn it_selects_the_injected_pods(sandbox: &Sandbox, selector: &Value) -> anyhow::Result<()> {
    sandbox.apply(&workload::opted_in("app"))?;
    let pod = sandbox.pod_ready("app").await?;
    let labels = selector["matchLabels"].as_object().context("expected labels of pods")?;
    let has = |(name, value): (&String, &Value)| pod.labels().get(name).map(String::as_str) == value.as_str();
    ensure!(!labels.is_empty() && labels.iter().all(has), "expected {labels:?}, found {:?}", pod.labels());
    Ok(())
}

fn it_reads_well(sandbox: &Sandbox) -> anyhow::Result<()> {
    let described = kubectl(sandbox, &["describe", "networkpolicy", NAME])?;
    for line in [
        "PodSelector:     sidegate.dev/pushgroup=all",
        "To Port: 19091/TCP",
        "NamespaceSelector: kubernetes.io/metadata.name=sidegate-system",
        "PodSelector: app.kubernetes.io/name=sidegate-operator",
        "NamespaceSelector: kubernetes.io/metadata.name=monitoring",
        "PodSelector: app.kubernetes.io/name=prometheus",
        "Not affecting egress traffic",
        "Policy Types: Ingress",
    ] {
        ensure!(described.contains(line), "expected {line:?} in\n{described}");
    }
    Ok(())
}

async fn a_network_policy_of_somebody_else_is_left_alone_until_it_is_gone(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {NAME}}}, \
         spec: {{podSelector: {{matchLabels: {{mine: \"yes\"}}}}, policyTypes: [Ingress]}}}}"
    ))?;
    let theirs = policy(&sandbox).await?;
    sandbox.apply(&group_with(OF_MONITORING))?;
    drift::told_of_a_foreign_object(&sandbox, &format!("NetworkPolicy {NAME}")).await?;
    ensure!(policy(&sandbox).await? == theirs, "it was changed");
    // Whoever asks for none has nothing to do with it.
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    ensure!(policy(&sandbox).await? == theirs, "it was changed");
    sandbox.apply(&group_with(OF_MONITORING))?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "False").await?;
    kubectl(&sandbox, &["delete", "networkpolicy", NAME])?;
    sandbox.condition("all", condition::MONITORS_SYNCED, "True").await?;
    ensure!(policy(&sandbox).await?.is_some_and(|policy| !policy["owners"].is_null()));
    Ok(())
}
