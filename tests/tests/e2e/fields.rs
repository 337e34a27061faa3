//! Each field of `spec.sidecar` acts in a real pod.

use anyhow::ensure;
use crds::PushGroup;
use e2e::{
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::workload;

crate::world::tests![
    limits_tokens_timestamps_identity_and_measurement_act,
    what_was_pushed_survives_the_end_of_the_sidecar,
    additional_addresses_and_a_prefix_are_pushed_to,
    a_change_reaches_new_pods_and_those_from_before_it_are_counted,
];

/// A push by wget with some headers; what it prints, whether or not it fails.
fn push(sandbox: &Sandbox, headers: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let url = format!("\"$PUSHGATEWAY_URL\"/metrics/{path}");
    sandbox.exec("app", "app", &format!("wget -S -O- {headers} --post-data '{body}' {url} 2>&1; true"))
}

async fn limits_tokens_timestamps_identity_and_measurement_act(sandbox: Sandbox) -> anyhow::Result<()> {
    let sidecar = "sidecar: {holdOpen: 60s, limits: {groups: 2, bodyBytes: 1000}, \
                   auth: {secretName: push-tokens, reads: true}, timestamps: Honor, identityLabels: Refuse, \
                   measurement: {name: batch}, log: {level: debug}}";
    sandbox.apply(&workload::push_group("all", "").replace("sidecar: {holdOpen: 60s}", sidecar))?;
    sandbox.group_ready("all").await?;
    // The pod first, then its tokens.
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    let answer = push(&sandbox, "", "job/a", "some_metric 1")?;
    ensure!(answer.contains(" 503 "), "without any token file: {answer}");
    sandbox
        .apply("{apiVersion: v1, kind: Secret, metadata: {name: push-tokens}, stringData: {tokens: \"T0KEN\\n\"}}")?;
    let token = "--header 'Authorization: Bearer T0KEN'";
    // The kubelet looks at an optional Secret about once a minute.
    wait::until("the token to reach the sidecar", STEP * 2, || async {
        let answer = push(&sandbox, token, "job/a", "some_metric 1 1700000000000")?;
        ensure!(answer.contains(" 200 "), "{answer}");
        Ok(Some(()))
    })
    .await?;
    let check = |headers: &str, path: &str, body: &str, expected: u16| {
        let answer = push(&sandbox, headers, path, body)?;
        ensure!(answer.contains(&format!(" {expected} ")), "{path} {body:?}: expected {expected}, found {answer}");
        anyhow::Ok(())
    };
    check("", "job/a", "some_metric 1", 401)?;
    check(token, "job/b", "some_metric{pod=\"another\"} 1", 400)?;
    check(token, "job/b", &format!("some_metric{{long=\"{}\"}} 1", "a".repeat(1000)), 413)?;
    check(token, "job/b", "other_metric 1", 200)?;
    let third = push(&sandbox, token, "job/c", "some_metric 1")?;
    ensure!(third.contains("HTTP/1.1 4") || third.contains("HTTP/1.1 5"), "a third group was taken: {third}");

    // The scraped port asks for no token, so that the operator counts and Prometheus scrapes.
    let page = sandbox.page("app").await?;
    let line = "some_metric{instance=\"\",job=\"a\",measurement=\"batch\"} 1 1700000000000";
    ensure!(page.contains(line), "expected {line}, found {page}");
    ensure!(!page.contains("job=\"c\""), "{page}");
    let reads = sandbox.exec("app", "app", "wget -S -O- \"$PUSHGATEWAY_URL\"/metrics 2>&1; true")?;
    ensure!(reads.contains(" 401 "), "reading at the push port needs a token: {reads}");
    sandbox
        .group_until("all", "two groups counted", |group| (group.status.as_ref()?.groups == Some(2)).then_some(()))
        .await
}

async fn what_was_pushed_survives_the_end_of_the_sidecar(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    // So that the app can reach the sidecar's process.
    let mut pod: Value = serde_yaml::from_str(&workload::opted_in("app"))?;
    pod["spec"]["shareProcessNamespace"] = true.into();
    sandbox.apply(&pod.to_string())?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/kept", "some_metric 1")?;
    let line = "some_metric{instance=\"\",job=\"kept\"} 1";
    let pushed = |page: &str| page.lines().find(|line| line.starts_with("push_time_seconds{")).map(str::to_owned);
    let before = pushed(&sandbox.page("app").await?);
    sandbox.exec("app", "app", "kill -9 $(pidof sidegate)")?;
    let pods = sandbox.api::<Pod>();
    wait::until("the sidecar to be started again", STEP, || async {
        let status = pods.get("app").await?.status.unwrap_or_default();
        let sidecar = status.init_container_statuses.unwrap_or_default().into_iter().find(|one| one.name == "sidegate");
        let is_again =
            sidecar.is_some_and(|one| 0 < one.restart_count && one.state.is_some_and(|it| it.running.is_some()));
        Ok(is_again.then_some(()))
    })
    .await?;
    let page = wait::until("the page", STEP, || async { sandbox.page("app").await.map(Some) }).await?;
    ensure!(page.contains(line) && pushed(&page) == before && before.is_some(), "{page}");
    let annotation = pods.get("app").await?.metadata.annotations.unwrap_or_default();
    let evictable = annotation.get("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes");
    ensure!(evictable.map(String::as_str) == Some("sidegate-storage"), "{annotation:?}");
    Ok(())
}

async fn additional_addresses_and_a_prefix_are_pushed_to(sandbox: Sandbox) -> anyhow::Result<()> {
    let sidecar = "sidecar: {holdOpen: 60s, listenAddresses: [\":9091\", \"127.0.0.1:4318\"], routePrefix: /v1/pushgateway, \
                   storage: None}";
    sandbox.apply(&workload::push_group("all", "").replace("sidecar: {holdOpen: 60s}", sidecar))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    let pod = sandbox.pod_ready("app").await?;
    let ip = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
    workload::push(&sandbox, "app", "job/usual", "some_metric 1")?;
    for (job, address) in [("second", "127.0.0.1:4318"), ("outside", &format!("{ip}:9091"))] {
        let url = format!("http://{address}/v1/pushgateway/metrics/job/{job}");
        sandbox.exec("app", "app", &format!("wget -q -O- --post-data 'some_metric 1' {url}"))?;
    }
    let page = sandbox.page("app").await?;
    for job in ["usual", "second", "outside"] {
        ensure!(page.contains(&format!("some_metric{{instance=\"\",job=\"{job}\"}} 1")), "{job}: {page}");
    }
    Ok(())
}

async fn a_change_reaches_new_pods_and_those_from_before_it_are_counted(sandbox: Sandbox) -> anyhow::Result<()> {
    let counts = async |what: &str, expected: (i64, i64)| {
        let as_expected = |group: &PushGroup| {
            let status = group.status.as_ref()?;
            ((status.sidecars?, status.outdated_sidecars?) == expected).then_some(())
        };
        sandbox.group_until("all", what, as_expected).await
    };
    let group = workload::push_group("all", "");
    sandbox.apply(&group)?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    counts("a sidecar as it is wanted", (1, 0)).await?;
    sandbox.apply(&group.replace("{holdOpen: 60s}", "{holdOpen: 60s, log: {level: warn}}"))?;
    counts("a sidecar from before the change", (1, 1)).await?;
    sandbox.apply(&workload::opted_in("new"))?;
    counts("a sidecar beside it from after the change", (2, 1)).await?;
    sandbox.kubectl.run(&["--namespace", &sandbox.namespace, "delete", "pod", "app", "--wait=false"])?;
    counts("the last sidecar from before the change to be gone", (1, 0)).await
}
