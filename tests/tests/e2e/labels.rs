//! Labels in the real Prometheus: what was pushed, what the target has, and what becomes of both.

use anyhow::{Context as _, ensure};
use crds::status::{condition, reason};
use e2e::{
    prometheus::{Prometheus, Series},
    sandbox::{STEP, Sandbox},
    wait,
};
use serde_json::{Value, json};

use crate::{own_prometheus::OwnPrometheus, workload};

crate::world::tests![
    a_pushed_instance_is_kept_and_without_one_a_series_has_none,
    a_prometheus_that_overrides_honor_labels_exports_them_and_the_condition_says_so,
    a_sidecar_is_up_while_it_lives_and_lingers_and_not_known_after,
    what_an_app_pushes_after_it_was_told_to_end_is_answered_and_scraped,
    whatever_the_api_server_takes_is_scraped,
];

/// Asks until the answer is as expected.
async fn until<T>(
    prometheus: &Prometheus,
    expression: &str,
    expected: impl Fn(&[Series]) -> Option<T>,
) -> anyhow::Result<T> {
    wait::until(&format!("Prometheus to know {expression}"), STEP * 2, || async {
        let series = prometheus.query(expression).await?;
        expected(&series).map(Some).with_context(|| format!("it has {series:?}"))
    })
    .await
}

fn one(series: &[Series]) -> Option<Series> {
    if let [series] = series { Some(series.clone()) } else { None }
}

/// A group with a pod in which two groups are pushed, with `instance` and without.
async fn pushed(sandbox: &Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    sandbox.apply(&workload::opted_in("app"))?;
    sandbox.pod_ready("app").await?;
    workload::push(sandbox, "app", "job/backup/instance/db-1/namespace/stolen", "with_instance 1")?;
    workload::push(sandbox, "app", "job/backup", "without_instance 2")
}

async fn a_pushed_instance_is_kept_and_without_one_a_series_has_none(sandbox: Sandbox) -> anyhow::Result<()> {
    pushed(&sandbox).await?;
    let (prometheus, namespace) = (Prometheus::installed(sandbox.client.clone()), &sandbox.namespace);
    let with = until(&prometheus, &format!("with_instance{{namespace=\"{namespace}\"}}"), one).await?;
    ensure!(with.label("instance") == "db-1" && with.label("job") == "backup", "{with:?}");
    ensure!(with.label("pod") == "app" && with.label("container") == "sidegate", "{with:?}");
    let without = until(&prometheus, &format!("without_instance{{namespace=\"{namespace}\"}}"), one).await?;
    ensure!(without.label("job") == "backup" && !without.labels.contains_key("instance"), "{without:?}");
    for series in [with, without] {
        ensure!(!series.labels.keys().any(|label| ["exported_job", "exported_instance"].contains(&label.as_str())));
    }
    ensure!(prometheus.query("{namespace=\"stolen\"}").await?.is_empty(), "a pod chose its namespace itself");
    let selected = sandbox.condition("all", condition::SELECTED_BY_PROMETHEUS, "True").await?;
    ensure!(selected.message.contains("Prometheus monitoring/main"), "{selected:?}");
    sandbox.condition("all", condition::HONOR_LABELS_OVERRIDDEN, "False").await.map(drop)
}

async fn a_prometheus_that_overrides_honor_labels_exports_them_and_the_condition_says_so(
    sandbox: Sandbox,
) -> anyhow::Result<()> {
    let namespace = &sandbox.namespace;
    pushed(&sandbox).await?;
    sandbox.condition("all", condition::HONOR_LABELS_OVERRIDDEN, "False").await?;
    let namespaces = format!("{{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}");
    let selectors = format!("  serviceMonitorSelector: {{}}\n  serviceMonitorNamespaceSelector: {namespaces}");
    let overriding = OwnPrometheus::apply(&sandbox, "overriding", &selectors)?;
    let found = sandbox.condition("all", condition::HONOR_LABELS_OVERRIDDEN, "True").await?;
    ensure!(found.reason == reason::OVERRIDE_HONOR_LABELS, "{found:?}");
    ensure!(found.message.contains("monitoring/overriding") && found.message.contains("exported_job"), "{found:?}");

    let prometheus = overriding.ready().await?;
    let with = until(&prometheus, "with_instance", one).await?;
    ensure!(with.label("exported_job") == "backup" && with.label("exported_instance") == "db-1", "{with:?}");
    ensure!(with.label("job") == "sidegate-all" && with.label("instance").ends_with(":19091"), "{with:?}");
    ensure!(with.label("namespace") == namespace, "{with:?}");
    let without = until(&prometheus, "without_instance", one).await?;
    ensure!(without.label("exported_job") == "backup" && without.label("instance").ends_with(":19091"), "{without:?}");

    overriding.remove()?;
    sandbox.condition("all", condition::HONOR_LABELS_OVERRIDDEN, "False").await.map(drop)
}

async fn a_sidecar_is_up_while_it_lives_and_lingers_and_not_known_after(sandbox: Sandbox) -> anyhow::Result<()> {
    let (prometheus, namespace) = (Prometheus::installed(sandbox.client.clone()), sandbox.namespace.clone());
    // Half a minute between two scrapes, in which the pod has to linger.
    sandbox.apply(&workload::push_group("all", "").replace("interval: 2s", "interval: 30s"))?;
    sandbox.group_ready("all").await?;
    let pod =
        workload::opted_in("app").replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 70");
    sandbox.apply(&pod.replace("sleep 3600", "trap exit TERM; sleep 3600 & wait"))?;
    sandbox.pod_ready("app").await?;
    workload::push(&sandbox, "app", "job/backup", "some_metric 1")?;
    let metric = format!("some_metric{{namespace=\"{namespace}\",job=\"backup\"}}");
    let is = |value: f64| move |series: &[Series]| one(series).filter(|series| series.value == value);
    until(&prometheus, &metric, is(1.0)).await?;
    let up = format!("up{{namespace=\"{namespace}\",pod=\"app\"}}");
    let alive = until(&prometheus, &up, one).await?;
    ensure!(alive.value == 1.0 && alive.label("instance").ends_with(":19091"), "{alive:?}");
    ensure!(alive.label("job") == "sidegate-all", "{alive:?}");

    // A scrape has just been: the next one is far.
    workload::push(&sandbox, "app", "job/backup", "some_metric 2")?;
    sandbox.kubectl.run(&["--namespace", &namespace, "delete", "pod", "app", "--wait=false"])?;
    // The kubelet tells a sidecar to end once the other containers have ended; it writes no status meanwhile.
    let logs = ["--namespace", &namespace, "logs", "app", "--container", "sidegate"];
    wait::until("the sidecar to linger", STEP, || async {
        Ok(sandbox.kubectl.run(&logs)?.contains("holding open for a scrape").then_some(()))
    })
    .await?;
    let now = one(&prometheus.query("vector(time())").await?).context("a time")?.value;
    let scraped = format!("max_over_time((timestamp({up}) and {up} == 1)[5m:1s]) > {now}");
    until(&prometheus, &scraped, one).await.context("a sidecar that lingers was scraped in vain")?;
    let last = one(&prometheus.query(&format!("last_over_time({metric}[5m])")).await?);
    ensure!(last.as_ref().is_some_and(|last| last.value == 2.0), "the last push is not there: {last:?}");
    // The pod is gone, and with it the target.
    until(&prometheus, &up, |series| series.is_empty().then_some(())).await
}

/// Told to end, it works on for a while, pushes what it has done, and then what it was answered.
const LAST_WORDS: &str = r#"
last_words() {
  sleep 3
  answer=$(wget -S -q -O- --post-data 'last_metric 2' "$PUSHGATEWAY_URL"/metrics/job/last 2>&1)
  code=0
  case "$answer" in *"HTTP/1.1 200"*) code=200;; esac
  wget -q -O- --post-data "last_answer $code" "$PUSHGATEWAY_URL"/metrics/job/answer
  exit
}
trap last_words TERM
sleep 3600 & wait
"#;

async fn what_an_app_pushes_after_it_was_told_to_end_is_answered_and_scraped(sandbox: Sandbox) -> anyhow::Result<()> {
    let (prometheus, namespace) = (Prometheus::installed(sandbox.client.clone()), sandbox.namespace.clone());
    sandbox.apply(&workload::push_group("all", ""))?;
    sandbox.group_ready("all").await?;
    let mut pod: Value = serde_yaml::from_str(&workload::opted_in("app"))?;
    pod["spec"]["terminationGracePeriodSeconds"] = json!(70);
    pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", LAST_WORDS]);
    sandbox.apply(&pod.to_string())?;
    sandbox.pod_ready("app").await?;
    until(&prometheus, &format!("up{{namespace=\"{namespace}\",pod=\"app\"}} == 1"), one).await?;
    let told = one(&prometheus.query("vector(time())").await?).context("a time")?.value;
    sandbox.kubectl.run(&["--namespace", &namespace, "delete", "pod", "app", "--wait=false"])?;
    // The pod is soon gone, and its series end with it.
    let last = |metric: &str, job: &str| {
        format!("last_over_time({metric}{{namespace=\"{namespace}\",pod=\"app\",job=\"{job}\"}}[5m])")
    };
    for (metric, job, expected) in [("last_metric", "last", 2.0), ("last_answer", "answer", 200.0)] {
        let found = until(&prometheus, &last(metric, job), one).await?;
        ensure!(found.value == expected, "expected {expected}, found {found:?}");
    }
    let pushed = until(&prometheus, &last("push_time_seconds", "last"), one).await?.value;
    ensure!(told + 2.0 < pushed, "expected a push long after {told}, when the pod was to end, found one at {pushed}");
    Ok(())
}

/// All actions in all their forms, and every limit; nothing of it keeps Prometheus from loading its configuration.
const EVERYTHING: &str = r#"
    scrapeTimeout: 2s
    labels: {release: kube-prometheus-stack, example.com/team: "", app.kubernetes.io/managed-by: Helm}
    relabelings:
      - {sourceLabels: [__meta_kubernetes_pod_name], targetLabel: pod_copy}
      - {sourceLabels: [pod], action: hashmod, modulus: 9223372036854775807, targetLabel: __tmp_shard}
      - {action: Keep, sourceLabels: [pod], regex: ".+"}
      - {action: labeldrop, regex: "nothing"}
      - {targetLabel: namespace, replacement: stolen}
    metricRelabelings:
      - {sourceLabels: [__name__, job], separator: "\n", targetLabel: was, regex: "(.+)\n(.*)", replacement: "$1 of ${2}: \"'\\#%{}[]"}
      - {action: labelmap, regex: "pushed_(.+)", replacement: "mapped_${1}"}
      - {action: labelkeep, regex: ".+"}
      - {action: drop, sourceLabels: [__name__], regex: "(?i)DROPPED_.*|[$][(]POD_NAME[)]"}
      - {action: drop, sourceLabels: [__name__], regex: "never)|(at_all"}
      - {action: lowercase, sourceLabels: [job], targetLabel: lower}
      - {action: Uppercase, sourceLabels: [job], targetLabel: upper}
      - {action: KeepEqual, sourceLabels: [job], targetLabel: job}
      - {action: dropequal, sourceLabels: [job], targetLabel: never}
      - {targetLabel: namespace, replacement: stolen}
      - {action: LabelMap, regex: "was", replacement: namespace}
    sampleLimit: 100000
    targetLimit: 9223372036854775807
    labelLimit: 0
    labelNameLengthLimit: 200
    labelValueLengthLimit: 2000
    keepDroppedTargets: 5
    bodySizeLimit: 999999GiB
"#;

async fn whatever_the_api_server_takes_is_scraped(sandbox: Sandbox) -> anyhow::Result<()> {
    let (prometheus, namespace) = (Prometheus::installed(sandbox.client.clone()), &sandbox.namespace);
    for kind in ["ServiceMonitor", "PodMonitor"] {
        let (name, job) = (kind.to_lowercase(), format!("Backup-{kind}"));
        let group = workload::push_group(&name, "")
            .replace("scrape: {interval: 2s}", &format!("scrape:\n    interval: 2s\n    kind: {kind}{EVERYTHING}"))
            .replace("app: etl", &format!("app: {name}"));
        sandbox.apply(&group)?;
        sandbox.group_ready(&name).await?;
        sandbox.apply(&workload::opted_in(&name).replace("app: etl", &format!("app: {name}")))?;
        sandbox.pod_ready(&name).await?;
        workload::push(&sandbox, &name, &format!("job/{job}/pushed_by/me"), "some_metric 1")?;
        let series =
            until(&prometheus, &format!("some_metric{{namespace=\"{namespace}\",job=\"{job}\"}}"), one).await?;
        let was = format!("some_metric of {job}: \"'\\#%{{}}[]");
        for (label, value) in [
            ("was", was.as_str()),
            ("mapped_by", "me"),
            ("lower", &job.to_lowercase()),
            ("upper", &job.to_uppercase()),
            ("pod_copy", &name),
        ] {
            ensure!(series.label(label) == value, "{label}: expected {value:?}, found {series:?}");
        }
        let up = prometheus.query(&format!("up{{namespace=\"{namespace}\",pod=\"{name}\"}}")).await?;
        ensure!(one(&up).is_some_and(|up| up.value == 1.0), "{up:?}");
        let rejected = prometheus.query("{namespace=\"stolen\"}").await?;
        ensure!(rejected.is_empty(), "a relabeling chose the namespace: {rejected:?}");
    }
    Ok(())
}
