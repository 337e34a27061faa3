//! Stale groups go, fresh ones stay, nobody but the operator deletes, and the status says so.

use anyhow::ensure;
use crds::{
    PushGroup,
    status::{condition, reason},
};
use e2e::{
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::api::ListParams;
use protocol::{endpoints, grouping_key::GroupingKey, label_set::LabelSet};
use serde_json::json;

use crate::workload;

crate::world::tests![
    a_stale_group_disappears_and_a_fresh_one_beside_it_stays,
    a_push_group_that_is_being_deleted_removes_nothing_more,
    status_counts_are_right,
    a_dry_run_reports_and_removes_nothing,
    groups_that_no_scrape_saw_are_counted_once_and_told,
    an_expression_that_only_the_operator_cannot_read_is_a_condition_that_heals,
    nobody_but_the_operator_deletes_at_the_scrape_port,
];

/// Stale after two seconds if the job's name says so.
const RULES: &str = "  staleAfter: 1h\n  rules: [{match: {job: \"old.*\"}, staleAfter: 2s}]";

async fn a_stale_group_disappears_and_a_fresh_one_beside_it_stays(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", RULES))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    // Labels that a careless reader of the page would get wrong.
    let hostile = [("job", "old"), ("path", "/a,b=\"c\\{}"), ("empty", "")];
    let hostile = GroupingKey::from_labels(hostile.into_iter().collect::<LabelSet>())?.to_path();
    let hostile = hostile.trim_start_matches("/metrics/");
    workload::push(&sandbox, "app", "job/old/instance/1", "some_metric 1")?;
    workload::push(&sandbox, "app", hostile, "some_metric 2")?;
    workload::push(&sandbox, "app", "job/young", "some_metric 3")?;
    let young = "some_metric{instance=\"\",job=\"young\"} 3";
    wait::until("the stale groups to disappear", STEP, || async {
        let page = sandbox.page("app").await?;
        ensure!(page.contains(young), "the fresh group is gone: {page}");
        Ok((!page.contains("job=\"old\"")).then_some(()))
    })
    .await?;
    sandbox
        .group_until("all", "two groups collected and one left", |group| {
            let status = group.status.as_ref()?;
            let counts = (status.collected_total, status.groups, status.stale_groups);
            (counts == (Some(2), Some(1), Some(0))).then_some(())
        })
        .await?;
    let told = event(&sandbox, "all", "Collected").await?;
    let is_told = ["Removed ", "job=\"old\"", " in pod app, "].iter().all(|part| told.contains(part));
    ensure!(is_told, "{told}");
    // Pushed again it is a new group.
    workload::push(&sandbox, "app", "job/old/instance/1", "some_metric 4")?;
    ensure!(sandbox.page("app").await?.contains("some_metric{instance=\"1\",job=\"old\"} 4"));
    Ok(())
}

async fn a_push_group_that_is_being_deleted_removes_nothing_more(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", RULES))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/old", "some_metric 1")?;
    let collected = |group: &PushGroup| (group.status.as_ref()?.collected_total? == 1).then_some(());
    sandbox.group_until("all", "one group collected", collected).await?;
    let finalizers = |list: &str| {
        let patch = format!("{{\"metadata\": {{\"finalizers\": {list}}}}}");
        let arguments = ["--namespace", &sandbox.namespace, "patch", "pushgroup", "all", "--type", "merge", "--patch"];
        sandbox.kubectl.run(&[&arguments[..], &[&patch]].concat())
    };
    finalizers("[\"example.com/slow\"]")?;
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pushgroup", "all", "--wait=false"])?;
    // By the next pod that asks it is known that the operator has seen it.
    wait::until("admission to know that it is going", STEP, || async {
        let pod = "late";
        sandbox.apply(&workload::opted_in(pod))?;
        let labels = sandbox.api::<Pod>().get(pod).await?.metadata.labels.unwrap_or_default();
        let has_none = !labels.contains_key("sidegate.dev/pushgroup");
        if !has_none {
            sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pod", pod, "--now"])?;
        }
        Ok(has_none.then_some(()))
    })
    .await?;
    workload::push(&sandbox, "app", "job/old", "some_metric 2")?;
    // Another one with the same limit takes over a pod of its own, and has collected there meanwhile.
    sandbox.apply(&workload::push_group("other", RULES))?;
    sandbox.pod_ready("late").await?;
    workload::push(&sandbox, "late", "job/old", "some_metric 3")?;
    sandbox.group_until("other", "one group collected", collected).await?;
    let page = sandbox.page("app").await?;
    ensure!(page.contains("some_metric{instance=\"\",job=\"old\"} 2"), "{page}");
    finalizers("[]").map(drop)
}

async fn status_counts_are_right(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", "  staleAfter: 1h"))?;
    sandbox.group_ready("all").await?;
    for pod in ["one", "two"] {
        sandbox.apply(&workload::opted_in(pod))?;
    }
    sandbox.apply(&workload::pod("bystander", "{app: etl}", "{}"))?;
    for (pod, groups) in [("one", 3), ("two", 2)] {
        sandbox.pod_ready(pod).await?;
        for group in 0..groups {
            workload::push(&sandbox, pod, &format!("job/batch/part/{group}"), "some_metric 1")?;
        }
    }
    let counts = |sidecars: i64, groups: i64| {
        move |group: &crds::PushGroup| {
            let status = group.status.as_ref()?;
            let found = (status.sidecars?, status.groups?, status.stale_groups?, status.collected_total.unwrap_or(0));
            let pushed = status.newest_push_time.is_some() && status.last_collection_time.is_some();
            let current = status.observed_generation == group.metadata.generation;
            (found == (sidecars, groups, 0, 0) && pushed && current).then_some(())
        }
    };
    sandbox.group_until("all", "two sidecars with five groups", counts(2, 5)).await?;
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pod", "two", "--wait=false"])?;
    sandbox.group_until("all", "one sidecar with three groups", counts(1, 3)).await?;
    let columns = sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "get", "pushgroups"])?;
    let header: Vec<&str> = columns.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["NAME", "MODE", "SIDECARS", "GROUPS", "STALE", "LAST", "PUSH", "READY", "AGE"], "{columns}");
    let row: Vec<&str> = columns.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    ensure!(row.get(..5) == Some(&["all", "Pod", "1", "3", "0"][..]), "{columns}");
    Ok(())
}

async fn a_dry_run_reports_and_removes_nothing(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", &format!("{RULES}\n  dryRun: true")))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/old", "some_metric 1")?;
    sandbox
        .group_until("all", "one stale group reported", |group| {
            let status = group.status.as_ref()?;
            let counts = (status.stale_groups, status.groups, status.collected_total.unwrap_or(0));
            (counts == (Some(1), Some(1), 0)).then_some(())
        })
        .await?;
    ensure!(sandbox.page("app").await?.contains("some_metric{instance=\"\",job=\"old\"} 1"));
    let message = sandbox.condition("all", condition::COLLECTED, "True").await?.message;
    let start = "Every sidecar was looked at; dryRun: nothing is removed, 1 would be: {job=\"old\"} in pod app, ";
    ensure!(message.starts_with(start), "{message}");
    Ok(())
}

async fn groups_that_no_scrape_saw_are_counted_once_and_told(sandbox: Sandbox) -> anyhow::Result<()> {
    // Nobody scrapes, and it is not waited for long.
    let group = |stale_after: &str| {
        format!(
            "apiVersion: sidegate.dev/v1alpha1\nkind: PushGroup\nmetadata: {{name: all}}\nspec:\n  selector: \
             {{matchLabels: {{app: etl}}}}\n  scrape: {{kind: None}}\n  sidecar: {{holdOpen: 1s}}\n  \
             staleAfter: {stale_after}\n"
        )
    };
    sandbox.apply(&group("1h"))?;
    sandbox.group_ready("all").await?;
    let push = "wget -q -O- --post-data 'some_metric 1' $(PUSHGATEWAY_URL)/metrics/job";
    let manifest = workload::opted_in("early")
        .replace("echo workload started; sleep 3600", &format!("{push}/a && {push}/b"))
        .replace("terminationGracePeriodSeconds: 1", "restartPolicy: Never");
    sandbox.apply(&manifest)?;
    let unseen = |group: &PushGroup| group.status.as_ref()?.unseen_total.filter(|total| 0 < *total);
    let total = sandbox.group_until("all", "unseen groups counted", unseen).await?;
    let sentence = "Pod early ended with 2 groups that no scrape had seen";
    let told = event(&sandbox, "all", "GroupsUnseen").await?;
    let message = sandbox.condition("all", condition::ALL_SEEN, "False").await?.message;
    ensure!((total, told.as_str(), message.as_str()) == (2, sentence, sentence), "{total} {told} {message}");
    // The pod is still there to be seen.
    sandbox.apply(&group("2h"))?;
    let settled = |group: &PushGroup| {
        let status = group.status.as_ref()?;
        (status.observed_generation == Some(2)).then_some(status.unseen_total)
    };
    let total = sandbox.group_until("all", "the new generation to be observed", settled).await?;
    ensure!(total == Some(2), "counted again: {total:?}");

    // For an hour it is news. How long ago it was is told by the status, which can be made to say more.
    let long_ago = "2020-01-01T00:00:00Z";
    let patch = json!({"status": {"lastUnseenTime": long_ago}}).to_string();
    let what = ["patch", "pushgroup", "all", "--subresource=status", "--type=merge", "--patch", &patch];
    sandbox.kubectl.run(&[&["--namespace", &sandbox.namespace], &what[..]].concat())?;
    sandbox.reason("all", condition::ALL_SEEN, reason::NOTHING_UNSEEN).await?;
    let status = sandbox.api::<PushGroup>().get("all").await?.status.unwrap_or_default();
    let found = (status.unseen_total, json!(status.last_unseen_time));
    ensure!(found == (Some(2), json!(long_ago)), "the pod counts once: {found:?}");
    Ok(())
}

async fn an_expression_that_only_the_operator_cannot_read_is_a_condition_that_heals(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    // The API server takes a brace that opens nothing for a character.
    let rules = |expression: &str| format!("  rules: [{{match: {{job: \"{expression}\"}}, staleAfter: 1h}}]");
    sandbox.apply(&workload::push_group("all", &rules("a{")))?;
    let bad = sandbox.condition("all", condition::COLLECTED, "False").await?;
    let start = "Nothing is collected: spec.rules[0].match.job: expected a regular expression, found \"a{\": ";
    ensure!(bad.reason == reason::BAD_RULE && bad.message.starts_with(start), "{} {}", bad.reason, bad.message);
    // Nor does it know classes within classes, which would match other values here.
    sandbox.apply(&workload::push_group("all", &rules("[[a]b]")))?;
    let bad = sandbox.condition("all", condition::COLLECTED, "False").await?;
    ensure!(bad.reason == reason::BAD_RULE && bad.message.contains("RE2 knows no class"), "{}", bad.message);
    sandbox.apply(&workload::push_group("all", &rules("a[{]")))?;
    sandbox.condition("all", condition::COLLECTED, "True").await?;
    Ok(())
}

/// Waits for an Event about a `PushGroup`; its note.
async fn event(sandbox: &Sandbox, name: &str, reason: &str) -> anyhow::Result<String> {
    wait::until(&format!("an Event {reason} about {name}"), STEP, || async {
        let events = sandbox.api::<Event>().list(&ListParams::default()).await?;
        let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name);
        let found = events.items.into_iter().find(|event| about(event) && event.reason.as_deref() == Some(reason));
        Ok(found.and_then(|event| event.note))
    })
    .await
}

async fn nobody_but_the_operator_deletes_at_the_scrape_port(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/mine", "some_metric 1")?;
    let page = sandbox.page("app").await?;
    let line = page.lines().find(|line| line.starts_with("push_time_seconds{")).unwrap_or_default();
    let time = line.rsplit(' ').next().unwrap_or_default();

    let path =
        format!("/api/v1/namespaces/{}/pods/app:{}/proxy/metrics/job/mine", sandbox.namespace, endpoints::SCRAPE_PORT);
    let forged = protocol::signed_request::SignatureHeader {
        signed_at: time.split('.').next().unwrap_or_default().parse().unwrap_or(0),
        nonce: [7; 16],
        signature: [7; 64],
    };
    for (method, signature, expected) in
        [("DELETE", None, 401), ("DELETE", Some(forged), 401), ("PUT", None, 405), ("POST", None, 405)]
    {
        let mut request =
            http::Request::builder().method(method).uri(&path).header(endpoints::IF_PUSH_TIME_HEADER, time);
        if let Some(signature) = signature {
            request = request.header(endpoints::SIGNATURE_HEADER, signature.to_string());
        }
        let answer = sandbox.client.send(request.body(Vec::new().into())?).await?;
        ensure!(answer.status() == expected, "{method} {signature:?}: {}", answer.status());
    }
    ensure!(sandbox.page("app").await?.contains("some_metric{instance=\"\",job=\"mine\"} 1"));
    Ok(())
}
