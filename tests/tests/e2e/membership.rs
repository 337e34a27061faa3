//! Whose a pod is, also when its group comes after it, and what remains of a group that goes.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use crds::{
    PushGroup,
    names::PUSH_GROUP_LABEL,
    status::{condition, reason},
};
use e2e::{
    install::{self, SIDEGATE_NAMESPACE},
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Service},
    discovery::v1::EndpointSlice,
    events::v1::Event,
};
use kube::{Api, ResourceExt as _, api::ListParams};

use crate::{own_cluster::OwnCluster, workload};

crate::world::tests![
    a_pod_that_was_there_before_its_group_becomes_a_member,
    of_two_groups_the_older_has_the_pods_that_both_match,
    without_the_right_to_patch_pods_a_condition_counts_those_that_wait_until_it_is_granted,
    a_deleted_group_leaves_no_trace_but_labels_that_show_as_orphaned,
    a_pod_of_a_group_that_turns_to_a_gateway_shows_as_orphaned,
    a_status_is_not_written_while_nothing_changes,
];

fn label(pod: &Pod) -> Option<&str> {
    pod.labels().get(PUSH_GROUP_LABEL).map(String::as_str)
}

async fn has_label(sandbox: &Sandbox, pod: &str, group: &str) -> anyhow::Result<()> {
    let pods = sandbox.api::<Pod>();
    wait::until(&format!("pod {pod} to belong to {group}"), STEP, || async {
        let found = pods.get(pod).await?;
        ensure!(label(&found) == Some(group), "it belongs to {:?}", label(&found));
        Ok(Some(()))
    })
    .await
}

/// A metric of the operator, the largest value that a replica has.
async fn metric(sandbox: &Sandbox, name: &str) -> anyhow::Result<f64> {
    let pods = Api::<Pod>::namespaced(sandbox.client.clone(), SIDEGATE_NAMESPACE);
    let mut largest = 0.0_f64;
    for pod in pods.list(&ListParams::default()).await? {
        let path = format!("/api/v1/namespaces/{SIDEGATE_NAMESPACE}/pods/{}:8080/proxy/metrics", pod.name_any());
        let page = wait::answer(STEP, sandbox.client.request_text(http::Request::get(path).body(Vec::new())?)).await?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        largest = largest.max(line.map(str::parse).transpose()?.unwrap_or_default());
    }
    Ok(largest)
}

async fn metric_is(sandbox: &Sandbox, name: &str, expected: f64) -> anyhow::Result<()> {
    let name = format!("{name}{{namespace=\"{}\"}}", sandbox.namespace);
    wait::until(&format!("{name} to be {expected}"), STEP, || async {
        let found = metric(sandbox, &name).await?;
        ensure!((found - expected).abs() < 0.5, "it is {found}");
        Ok(Some(()))
    })
    .await
}

/// As a Helm release applies them: workloads first, other kinds after.
async fn a_pod_that_was_there_before_its_group_becomes_a_member(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::opted_in("early"))?;
    sandbox.apply(&workload::pod("named", "{app: etl}", "{sidegate.dev/inject: another}"))?;
    let early = sandbox.pod_ready("early").await?;
    ensure!(label(&early).is_none(), "there is no group yet: {:?}", early.labels());
    metric_is(&sandbox, "sidegate_operator_unassigned_pods", 1.0).await?;
    metric_is(&sandbox, "sidegate_operator_orphaned_pods", 1.0).await?;
    workload::push(&sandbox, "early", "job/old", "some_metric 1")?;

    sandbox.apply(&workload::push_group("late", "  rules: [{match: {job: old}, staleAfter: 1s}]"))?;
    has_label(&sandbox, "early", "late").await?;
    sandbox.condition("late", condition::PODS_ASSIGNED, "True").await?;
    sandbox
        .group_until("late", "one sidecar, which does not know its group's holdOpen, and a collected group", |group| {
            let status = group.status.as_ref()?;
            let counts = (status.sidecars, status.outdated_sidecars, status.collected_total);
            (counts == (Some(1), Some(1), Some(1))).then_some(())
        })
        .await?;
    wait::until("the Service to lead to the pod", STEP, || async {
        let slices = sandbox.api::<EndpointSlice>();
        let slices = slices.list(&ListParams::default().labels("kubernetes.io/service-name=sidegate-late")).await?;
        let names: Vec<_> = slices
            .iter()
            .flat_map(|slice| slice.endpoints.clone())
            .filter_map(|endpoint| endpoint.target_ref?.name)
            .collect();
        ensure!(names == ["early"], "it leads to {names:?}");
        Ok(Some(()))
    })
    .await?;
    metric_is(&sandbox, "sidegate_operator_unassigned_pods", 0.0).await?;
    let named = sandbox.api::<Pod>().get("named").await?;
    ensure!(label(&named) == Some("another"), "a pod that named its group keeps it: {:?}", named.labels());
    Ok(())
}

/// Should both be made within a second, the name decides, with the same outcome.
async fn of_two_groups_the_older_has_the_pods_that_both_match(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::opted_in("early"))?;
    sandbox.apply(&workload::pod("web", "{app: web}", "{sidegate.dev/inject: \"true\"}"))?;
    for pod in ["early", "web"] {
        sandbox.pod_ready(pod).await?;
    }
    sandbox.apply(&workload::push_group("first", ""))?;
    has_label(&sandbox, "early", "first").await?;
    let second = workload::push_group("second", "").replace("{matchLabels: {app: etl}}", "{}");
    sandbox.apply(&second)?;
    has_label(&sandbox, "web", "second").await?;
    sandbox.group_ready("second").await?;
    let found = sandbox.condition("second", condition::OVERLAPPING, "True").await?;
    ensure!(found.message.contains("and have them: first (1 pod);"), "{found:?}");
    // At admission as after it.
    sandbox.apply(&workload::opted_in("new"))?;
    ensure!(label(&sandbox.pod_ready("new").await?) == Some("first"));
    ensure!(label(&sandbox.api::<Pod>().get("early").await?) == Some("first"));
    let first = sandbox.api::<PushGroup>().get("first").await?.status.unwrap_or_default();
    ensure!(first.conditions.iter().all(|one| one.type_ != condition::OVERLAPPING), "{:?}", first.conditions);
    // Without the older group nothing overlaps any more.
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pushgroup", "first"])?;
    sandbox
        .group_until("second", "no overlap", |group| {
            let conditions = &group.status.as_ref()?.conditions;
            conditions.iter().all(|one| one.type_ != condition::OVERLAPPING || one.status == "False").then_some(())
        })
        .await
}

/// In a cluster of its own, since it is installed with other values.
async fn without_the_right_to_patch_pods_a_condition_counts_those_that_wait_until_it_is_granted(
    _: Sandbox,
) -> anyhow::Result<()> {
    let own = OwnCluster::start().await?;
    let install = async |right: &str| {
        let images = install::own_images();
        let mut values: Vec<&str> = images.iter().map(String::as_str).collect();
        let right = format!("membership.labelPods={right}");
        values.extend(["collection.interval=2s", "log.level=debug", &right]);
        install::sidegate(&own.kubectl, &own.client, &values).await
    };
    install("false").await?;
    let sandbox = Sandbox::create("forbidden", own.kubectl.clone(), own.client.clone()).await?;
    for pod in ["one", "two"] {
        sandbox.apply(&workload::opted_in(pod))?;
        sandbox.pod_ready(pod).await?;
    }
    sandbox.apply(&workload::push_group("late", ""))?;
    let waiting = async |start: &str| {
        sandbox
            .group_until("late", start, |group| {
                let conditions = &group.status.as_ref()?.conditions;
                let found = conditions.iter().find(|found| found.type_ == condition::PODS_ASSIGNED)?;
                found.message.starts_with(start).then(|| found.clone())
            })
            .await
    };
    let found = waiting("2 pods that the selector matches have no label").await?;
    ensure!(found.status == "False" && found.reason == reason::PATCH_FORBIDDEN, "{found:?}");
    ensure!(found.message.contains("membership.labelPods"), "{found:?}");
    // Replaced, a pod gets its group at admission.
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pod", "two", "--wait=true"])?;
    sandbox.apply(&workload::opted_in("two"))?;
    has_label(&sandbox, "two", "late").await?;
    waiting("1 pod that the selector matches has no label").await?;

    install("true").await?;
    sandbox.condition("late", condition::PODS_ASSIGNED, "True").await?;
    has_label(&sandbox, "one", "late").await
}

/// Waits for an Event about the pod `app` whose label names the PushGroup `all`.
async fn pod_is_told(sandbox: &Sandbox, reason: &str, what: &str) -> anyhow::Result<()> {
    let events = sandbox.api::<Event>();
    wait::until(&format!("an Event {reason} about the pod"), STEP, || async {
        let told = events.list(&ListParams::default()).await?.items.into_iter().find(|event| {
            let about = event.regarding.as_ref().and_then(|about| about.name.as_deref());
            event.reason.as_deref() == Some(reason) && about == Some("app")
        });
        let note = told.and_then(|event| event.note).unwrap_or_default();
        Ok(note.contains(&format!("expected PushGroup all of label sidegate.dev/pushgroup {what}")).then_some(()))
    })
    .await
}

async fn a_pod_of_a_group_that_turns_to_a_gateway_shows_as_orphaned(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    let gateway = "{\"spec\": {\"selector\": null, \"scrape\": null, \"gateway\": {\"url\": \"http://127.0.0.1:1\"}}}";
    let patch = ["--namespace", &sandbox.namespace, "patch", "pushgroup", "all", "--type=merge", "--patch", gateway];
    sandbox.kubectl.run(&patch)?;
    metric_is(&sandbox, "sidegate_operator_orphaned_pods", 1.0).await?;
    pod_is_told(&sandbox, "PushGroupHasGateway", "to have a selector, found a gateway").await?;
    // Whoever takes pods again has it back.
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pushgroup", "all"])?;
    sandbox.apply(&workload::push_group("all", ""))?;
    metric_is(&sandbox, "sidegate_operator_orphaned_pods", 0.0).await
}

async fn a_deleted_group_leaves_no_trace_but_labels_that_show_as_orphaned(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    let other = workload::push_group("other", "").replace("app: etl", "app: web");
    sandbox.apply(&other)?;
    sandbox.group_ready("other").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    let other_before = sandbox.api::<PushGroup>().get("other").await?;
    let (services, trusts) = (sandbox.api::<Service>(), sandbox.api::<ConfigMap>());
    let trust = || async { trusts.get_opt("sidegate-trust").await };

    let delete = |name: &str| sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pushgroup", name]);
    delete("all")?;
    wait::until("the Service of the deleted group to go", STEP, || async {
        Ok(services.get_opt("sidegate-all").await?.is_none().then_some(()))
    })
    .await?;
    metric_is(&sandbox, "sidegate_operator_orphaned_pods", 1.0).await?;
    pod_is_told(&sandbox, "PushGroupMissing", "to exist, found none").await?;
    ensure!(label(&sandbox.api::<Pod>().get("app").await?) == Some("all"), "a pod keeps its label");
    // The other group goes on as it was, and what the sidecars of the namespace trust stays with it.
    services.get("sidegate-other").await?;
    let data = trust().await?.context("the trust is the other group's, too")?.data;
    ensure!(data.is_some_and(|data| !data.is_empty()));
    let other = sandbox.api::<PushGroup>().get("other").await?;
    ensure!(other.uid() == other_before.uid() && other.spec == other_before.spec);
    sandbox.group_ready("other").await?;

    delete("other")?;
    wait::until("the trust to go with the last group", STEP, || async { Ok(trust().await?.is_none().then_some(())) })
        .await?;
    wait::until("nothing of ours to be left", STEP, || async {
        let managed = ListParams::default().labels("app.kubernetes.io/managed-by=sidegate-operator");
        let (services, trusts) = (services.list(&managed).await?, trusts.list(&managed).await?);
        let left: Vec<_> =
            services.iter().map(|one| one.name_any()).chain(trusts.iter().map(|one| one.name_any())).collect();
        ensure!(left.is_empty(), "{left:?} are left");
        Ok(Some(()))
    })
    .await
}

/// While collection looks every two seconds. Its time alone is written once a minute.
async fn a_status_is_not_written_while_nothing_changes(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", "  staleAfter: 1h"))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/a", "some_metric 1")?;
    let settled = sandbox
        .group_until("all", "one group in one sidecar", |group| {
            let status = group.status.as_ref()?;
            ((status.sidecars, status.groups) == (Some(1), Some(1)) && status.newest_push_time.is_some())
                .then(|| group.clone())
        })
        .await?;
    let groups = sandbox.api::<PushGroup>();
    let versions = Mutex::new(BTreeSet::from([settled.resource_version()]));
    wait::throughout(Duration::from_secs(12), || async {
        let now = groups.get("all").await?;
        let written = {
            let mut versions = versions.lock().map_err(|error| anyhow!("{error}"))?;
            versions.insert(now.resource_version());
            versions.len() - 1
        };
        ensure!(written <= 1, "a status was written {written} times while nothing but its times changed");
        let times = |group: &PushGroup| {
            let conditions = group.status.clone().unwrap_or_default().conditions;
            conditions.into_iter().map(|one| (one.type_, one.last_transition_time)).collect::<Vec<_>>()
        };
        ensure!(times(&now) == times(&settled), "conditions changed: {now:?}");
        let without_times = |group: &PushGroup| {
            let mut status = group.status.clone().unwrap_or_default();
            (status.last_collection_time, status.newest_push_time) = (None, None);
            status
        };
        ensure!(without_times(&now) == without_times(&settled), "the status changed: {now:?}");
        let (before, after) = (settled.status.clone().unwrap_or_default(), now.status.clone().unwrap_or_default());
        ensure!(
            written == 0 || before.last_collection_time != after.last_collection_time,
            "a status was written that says the same"
        );
        Ok(())
    })
    .await
}
