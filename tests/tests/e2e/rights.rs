//! The operator has the chart's rights and no more, needs each of them, and works with them: by the API server's own log of
//! what it was asked for, in both forms of the chart.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, ensure};
use crds::{
    PushGroup,
    status::{condition, reason},
};
use e2e::{
    install::{self, SIDEGATE_NAMESPACE},
    kubectl::Kubectl,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{core::v1::Pod, rbac::v1::PolicyRule};
use kube::ResourceExt as _;
use serde_json::Value;

use crate::{own_cluster::OwnCluster, workload, world};

crate::world::tests![
    the_operator_has_only_the_rights_of_the_chart,
    each_right_of_the_chart_is_used_and_no_other_is_missed,
    with_a_list_of_namespaces_the_operator_works_with_rights_in_these_alone,
];

const OPERATOR: &str = "sidegate-operator";

/// A verb and a resource, by name where the right is for a name: `get secrets/sidegate-operator-tls`.
type Right = String;

async fn the_operator_has_only_the_rights_of_the_chart(sandbox: Sandbox) -> anyhow::Result<()> {
    let may = |verb: &str, what: &str, namespace: &str| may(&sandbox.kubectl, verb, what, namespace);
    let namespace = &sandbox.namespace;
    for (verb, what) in [
        ("list", "pods"),
        ("patch", "pods"),
        ("patch", "services"),
        ("patch", "configmaps/sidegate-trust"),
        ("watch", "configmaps/sidegate-trust"),
        ("watch", "servicemonitors.monitoring.coreos.com"),
        ("list", "prometheuses.monitoring.coreos.com"),
    ] {
        ensure!(may(verb, what, namespace), "the operator cannot {verb} {what}");
    }
    for (verb, what) in [
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("update", "pods"),
        ("delete", "pods"),
        ("list", "configmaps"),
        ("get", "configmaps/other"),
        ("patch", "namespaces"),
        ("get", "customresourcedefinitions.apiextensions.k8s.io"),
        ("patch", "prometheuses.monitoring.coreos.com"),
        ("patch", "configmaps/other"),
        ("patch", "pushgroups"),
        ("create", "deployments"),
        ("create", "leases"),
        ("patch", "mutatingwebhookconfigurations/other"),
        ("impersonate", "users"),
    ] {
        ensure!(!may(verb, what, namespace), "the operator can {verb} {what}");
    }
    ensure!(!may("list", "secrets", SIDEGATE_NAMESPACE), "the operator can list the Secrets beside its own");
    ensure!(!may("update", "leases/other", SIDEGATE_NAMESPACE), "the operator can write the Leases beside its own");
    Ok(())
}

async fn each_right_of_the_chart_is_used_and_no_other_is_missed(sandbox: Sandbox) -> anyhow::Result<()> {
    let rights = [
        rules(&sandbox.kubectl, &["get", "clusterrole", OPERATOR])?,
        rules(&sandbox.kubectl, &["--namespace", SIDEGATE_NAMESPACE, "get", "role", OPERATOR])?,
    ];
    all_used(&sandbox, &rights.concat(), &world::audit_log()?).await
}

/// In a cluster of its own, in which another namespace has a group and a pod as well.
async fn with_a_list_of_namespaces_the_operator_works_with_rights_in_these_alone(_: Sandbox) -> anyhow::Result<()> {
    let own = OwnCluster::start().await?;
    let (kubectl, client) = (&own.kubectl, &own.client);
    install::monitoring_crds(kubectl, &own.parts)?;
    let listed = Sandbox::create("listed", kubectl.clone(), client.clone()).await?;
    let also_listed = Sandbox::create("also-listed", kubectl.clone(), client.clone()).await?;
    let other = Sandbox::create("other", kubectl.clone(), client.clone()).await?;
    world::install_sidegate_with(kubectl, client, &["namespaces={listed,also-listed}"]).await?;

    let (get_role, namespace) = (["get", "role"], "--namespace");
    let groups = format!("{OPERATOR}-groups");
    let rights = [
        rules(kubectl, &["get", "clusterrole", OPERATOR])?,
        rules(kubectl, &[namespace, SIDEGATE_NAMESPACE, get_role[0], get_role[1], OPERATOR])?,
        rules(kubectl, &[namespace, "listed", get_role[0], get_role[1], &groups])?,
    ];
    let not_of_namespaces = [
        &format!("get mutatingwebhookconfigurations/{OPERATOR}"),
        &format!("patch mutatingwebhookconfigurations/{OPERATOR}"),
        "list prometheuses",
        "watch prometheuses",
        "list prometheusagents",
        "watch prometheusagents",
        "list namespaces",
        "watch namespaces",
    ];
    let of_cluster: BTreeSet<_> = rights[0].iter().map(String::as_str).collect();
    ensure!(of_cluster == BTreeSet::from(not_of_namespaces), "the rights for the whole cluster are {of_cluster:?}");
    ensure!(!may(kubectl, "list", "pods", "other") && may(kubectl, "list", "pods", "also-listed"));

    for sandbox in [&other, &also_listed] {
        sandbox.apply(&workload::push_group(
            "all",
            "  staleAfter: 1h\n  rules: [{match: {job: \"old.*\"}, staleAfter: 2s}]",
        ))?;
    }
    also_listed.group_ready("all").await?;
    for sandbox in [&other, &also_listed] {
        sandbox.apply(&workload::opted_in("app"))?;
        let pod = sandbox.pod_ready("app").await?;
        let injected = workload::has_sidecar(&pod);
        ensure!(injected == (sandbox.namespace == "also-listed"), "{}: injected {injected}", sandbox.namespace);
    }
    workload::push(&also_listed, "app", "job/old", "some_metric 1")?;
    let collected = |group: &PushGroup| (group.status.as_ref()?.collected_total? == 1).then_some(());
    also_listed.group_until("all", "one group collected", collected).await?;
    let status = other.api::<PushGroup>().get("all").await?.status;
    ensure!(status.is_none(), "a group of another namespace has the status {status:?}");
    all_used(&listed, &rights.concat(), &own.cluster.audit_log()).await?;
    without_the_right_to_watch_groups_nothing_is_removed_until_it_is_back(&also_listed, &groups).await
}

/// What is asked for meanwhile is not known, and is what counts afterwards.
async fn without_the_right_to_watch_groups_nothing_is_removed_until_it_is_back(
    sandbox: &Sandbox,
    role: &str,
) -> anyhow::Result<()> {
    let old = "job=\"old\"";
    let get = ["--namespace", &sandbox.namespace, "get", "role", role, "--output", "json"];
    let found: Value = serde_json::from_str(&sandbox.kubectl.run(&get)?)?;
    let with = serde_json::json!({"rules": found["rules"]});
    let mut without = with.clone();
    let rules = without["rules"].as_array_mut().context("expected rules")?;
    for rule in rules.iter_mut().filter(|rule| rule["resources"] == serde_json::json!(["pushgroups"])) {
        rule["verbs"] = serde_json::json!(["get"]);
    }
    ensure!(without != with, "expected a rule for pushgroups: {with}");
    let patch = |rules: &Value| {
        let rules = rules.to_string();
        let patch = ["--namespace", &sandbox.namespace, "patch", "role", role, "--type", "merge", "--patch", &rules];
        sandbox.kubectl.run(&patch).map(drop)
    };
    patch(&without)?;
    let is_not_heard = |group: &PushGroup| {
        let collected = group.status.as_ref()?.conditions.iter().find(|it| it.type_ == condition::COLLECTED)?;
        (collected.reason == reason::NOT_HEARD).then_some(())
    };
    wait::until("stale groups to stay", STEP * 2, || async {
        if !sandbox.page("app").await?.contains(old) {
            workload::push(sandbox, "app", "job/old", "some_metric 1")?;
        }
        Ok(is_not_heard(&sandbox.api::<PushGroup>().get("all").await?))
    })
    .await?;
    let dry = "  staleAfter: 1h\n  rules: [{match: {job: \"old.*\"}, staleAfter: 2s}]\n  dryRun: true";
    sandbox.apply(&workload::push_group("all", dry))?;
    patch(&with)?;
    let is_dry = |group: &PushGroup| {
        let status = group.status.as_ref()?;
        (status.observed_generation == group.metadata.generation && status.stale_groups == Some(1)).then_some(())
    };
    sandbox.group_until("all", "a dry run with one stale group", is_dry).await?;
    ensure!(sandbox.page("app").await?.contains(old), "what was stale meanwhile is gone");
    sandbox.condition("all", condition::COLLECTED, "True").await.map(drop)
}

/// Whether the operator may do something.
fn may(kubectl: &Kubectl, verb: &str, what: &str, namespace: &str) -> bool {
    let account = format!("system:serviceaccount:{SIDEGATE_NAMESPACE}:{OPERATOR}");
    // `no` is also an exit code.
    let arguments = ["auth", "can-i", verb, what, "--as", &account, "--namespace", namespace];
    kubectl.run(&arguments).is_ok_and(|answer| answer.trim() == "yes")
}

/// The rights of a role, one verb and resource each.
fn rules(kubectl: &Kubectl, role: &[&str]) -> anyhow::Result<Vec<Right>> {
    let role: Value = serde_json::from_str(&kubectl.run(&[role, &["--output", "json"]].concat())?)?;
    let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone())?;
    let mut rights = Vec::new();
    for rule in rules {
        let names = rule.resource_names.unwrap_or_default();
        let names = if names.is_empty() { vec![String::new()] } else { names };
        for resource in rule.resources.unwrap_or_default() {
            for verb in &rule.verbs {
                rights.extend(names.iter().map(|name| right(verb, &resource, name)));
            }
        }
    }
    Ok(rights)
}

fn right(verb: &str, resource: &str, name: &str) -> Right {
    if name.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}/{name}") }
}

/// Has the operator do all it can do in a namespace, and waits until each right was used and none was missing.
async fn all_used(sandbox: &Sandbox, rights: &[Right], log: &Path) -> anyhow::Result<()> {
    ensure!(20 < rights.len(), "expected the chart's rights, found {rights:?}");
    let group = |scrape: &str| {
        workload::push_group("all", "  rules: [{match: {job: \"old.*\"}, staleAfter: 2s}]")
            .replace("interval: 2s", &format!("interval: 2s, {scrape}"))
    };
    // There before its group, which labels it later.
    sandbox.apply(&workload::opted_in("early"))?;
    sandbox.pod_ready("early").await?;
    // Each kind of monitor is made, and taken away for the next; the NetworkPolicy with the first.
    let policy = "kind: ServiceMonitor, networkPolicy: {from: [{podSelector: {}}]}";
    for scrape in [policy, "kind: PodMonitor", "kind: None"] {
        sandbox.apply(&group(scrape))?;
        sandbox.group_ready("all").await?;
    }
    sandbox.apply(&workload::opted_in("app"))?;
    let pod: Pod = sandbox.pod_ready("app").await?;
    ensure!(pod.labels().contains_key("sidegate.dev/pushgroup"));
    // A certificate that is not good is made anew at the next look.
    sandbox.kubectl.run(&[
        "--namespace",
        SIDEGATE_NAMESPACE,
        "patch",
        "secret",
        &format!("{OPERATOR}-tls"),
        "--patch",
        "{\"data\": {\"tls.crt\": \"\"}}",
    ])?;
    wait::until("each right of the chart to be used", STEP * 2, || async {
        // Each collection is an Event; one of a group as old as another was counts up that one's.
        let status = sandbox.api::<PushGroup>().get("all").await?.status.unwrap_or_default();
        if status.groups == Some(0) {
            workload::push(sandbox, "app", "job/old", "some_metric 1")?;
        }
        let used = used(log)?;
        let unused: Vec<_> = rights.iter().filter(|right| !used.contains(*right)).collect();
        ensure!(unused.is_empty(), "not used: {unused:?}");
        Ok(Some(()))
    })
    .await?;
    Ok(())
}

/// What the operator did by the API server's log, with and without the names of objects.
fn used(log: &Path) -> anyhow::Result<BTreeSet<Right>> {
    let mut used = BTreeSet::new();
    let text = fs::read_to_string(log).with_context(|| log.display().to_string())?;
    let user = format!("system:serviceaccount:{SIDEGATE_NAMESPACE}:{OPERATOR}");
    for line in text.lines() {
        // The last line may be on its way.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if event["user"]["username"] != user.as_str() {
            continue;
        }
        let (verb, object) = (event["verb"].as_str().unwrap_or_default(), &event["objectRef"]);
        let decision = &event["annotations"]["authorization.k8s.io/decision"];
        // The Secret of a gateway, whose right is the user's to grant: another test has the operator refused first.
        let is_granted_by_users =
            verb == "get" && object["resource"] == "secrets" && object["namespace"] != SIDEGATE_NAMESPACE;
        ensure!(decision == "allow" || is_granted_by_users, "the operator was refused: {line}");
        if decision != "allow" {
            continue;
        }
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let resource = [text("resource"), text("subresource")].join("/");
        let resource = resource.trim_end_matches('/');
        // What an apply makes needs the right to create as well.
        let made = verb == "patch" && event["responseStatus"]["code"] == 201;
        for verb in [Some(verb), made.then_some("create")].into_iter().flatten() {
            used.extend([right(verb, resource, ""), right(verb, resource, text("name"))]);
        }
    }
    Ok(used)
}
