//! What Prometheus is told of each of our monitors: the scrape job that the Prometheus Operator makes of it, as Prometheus
//! itself loaded it. They are golden files; `SIDEGATE_BLESS=1` rewrites them.
//!
//! *Never:* what is scraped.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use crds::status::{condition, reason};
use e2e::{
    binaries,
    prometheus::Prometheus,
    sandbox::{STEP, Sandbox},
    wait,
};
use serde::Deserialize;
use serde_yaml::Value;

use crate::{gateways, own_prometheus::OwnPrometheus};

crate::world::tests![the_scrape_jobs_of_our_monitors_are_the_golden_ones];

/// `PushGroup`s with sidecars, by name: it is the golden file's, too. The rest of `scrape` and of `sidecar` is YAML.
const SIDECARS: [(&str, &str, &str); 8] = [
    ("service-monitor", "", ""),
    ("service-monitor-all", ALL, ""),
    ("service-monitor-by-endpoints", "serviceDiscoveryRole: Endpoints", ""),
    ("service-monitor-timestamps", "", "timestamps: Honor"),
    ("service-monitor-stripped", "", "timestamps: Strip"),
    ("pod-monitor", "kind: PodMonitor", ""),
    ("pod-monitor-all", POD_MONITOR_ALL, ""),
    ("pod-monitor-timestamps", "kind: PodMonitor", "timestamps: Honor"),
];

/// `PushGroup`s of a gateway, whose authentication is YAML.
const GATEWAYS: [(&str, &str, &str); 3] = [
    ("gateway", "", ""),
    ("gateway-basic-all", "auth: {secretName: basic}", ALL),
    ("gateway-bearer", "auth: {secretName: bearer}", ""),
];

/// A monitor that a Prometheus of its own takes, which overrides what monitors say.
const OVERRIDDEN: &str = "service-monitor-overridden";

/// Every option that both kinds of monitor have.
macro_rules! all {
    () => {
        "scrapeTimeout: 5s, labels: {release: stack}, sampleLimit: 1000, targetLimit: 100, labelLimit: 30, \
         labelNameLengthLimit: 200, labelValueLengthLimit: 2000, keepDroppedTargets: 5, bodySizeLimit: 10MB, \
         relabelings: [{sourceLabels: [pod], targetLabel: pod_copy}, {targetLabel: namespace, replacement: stolen}], \
         metricRelabelings: [{action: labeldrop, regex: tmp_.*}, {targetLabel: namespace, replacement: stolen}]"
    };
}
const ALL: &str = all!();
const POD_MONITOR_ALL: &str = concat!("kind: PodMonitor, ", all!());

const AROUND: &str = r#"
{apiVersion: v1, kind: Secret, metadata: {name: basic}, stringData: {username: Aladdin, password: open sesame}}
---
{apiVersion: v1, kind: Secret, metadata: {name: bearer}, stringData: {token: opensesame}}
"#;

/// What Prometheus says of its configuration.
#[derive(Deserialize)]
struct Loaded {
    yaml: String,
}

async fn the_scrape_jobs_of_our_monitors_are_the_golden_ones(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(AROUND)?;
    for (name, scrape, sidecar) in SIDECARS {
        sandbox.apply(&group(name, scrape, &format!("selector: {{}}, sidecar: {{{sidecar}}}")))?;
    }
    for (name, auth, scrape) in GATEWAYS {
        // A gateway needs no pod to be scraped in vain. Each group has one of its own: of those that share one, one has a monitor.
        sandbox.apply(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, \
             spec: {{clusterIP: None, ports: [{{name: http, port: 9091}}]}}}}"
        ))?;
        let gateway = format!("service: {{name: {name}}}, {auth}");
        sandbox.apply(&group(name, scrape, &format!("gateway: {{{gateway}}}")))?;
        if !auth.is_empty() {
            let message = gateways::unreachable(&sandbox, name, reason::SECRET_FORBIDDEN).await?;
            sandbox.apply(message.split_once('\n').context("expected a manifest after the sentence")?.1)?;
        }
        sandbox.condition(name, condition::MONITORS_SYNCED, "True").await?;
    }

    let prometheus = Prometheus::installed(sandbox.client.clone());
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (name, scrape, sidecar) in SIDECARS {
        let kind = if scrape.contains("PodMonitor") { "podMonitor" } else { "serviceMonitor" };
        let job = loaded(&prometheus, &sandbox, kind, name).await?;
        says(&job, name, true, sidecar.contains("Honor"))?;
        check(name, &job, &mut names)?;
    }
    for (name, auth, _) in GATEWAYS {
        let job = loaded(&prometheus, &sandbox, "serviceMonitor", name).await?;
        // Timestamps are the gateway's own affair.
        says(&job, name, true, true)?;
        let proofs = (job.get("basic_auth").is_some(), job.get("authorization").is_some());
        ensure!(proofs == (auth.contains("basic"), auth.contains("bearer")), "{name}: {job:?}");
        check(name, &job, &mut names)?;
    }

    let job = overridden(&sandbox).await?;
    says(&job, OVERRIDDEN, false, false)?;
    check(OVERRIDDEN, &job, &mut names)?;

    let known = fs::read_dir(folder())?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
    let known: BTreeSet<String> = known.collect::<anyhow::Result<_>>()?;
    let unused: Vec<_> = known.difference(&names).collect();
    ensure!(unused.is_empty(), "nothing makes these of {}: {unused:?}", folder().display());
    Ok(())
}

/// The rest of `scrape` and of `spec` is YAML.
fn group(name: &str, scrape: &str, rest: &str) -> String {
    format!(
        "{{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {{name: {name}}}, \
         spec: {{scrape: {{interval: 7s, {scrape}}}, {rest}}}}}"
    )
}

/// The scrape job of a monitor, once Prometheus has loaded it; of what it says, only the namespace is of this run.
async fn loaded(prometheus: &Prometheus, sandbox: &Sandbox, kind: &str, name: &str) -> anyhow::Result<Value> {
    let expected = format!("{kind}/{}/sidegate-{name}/0", sandbox.namespace);
    wait::until(&format!("Prometheus to load {expected}"), STEP * 2, || async {
        let Loaded { yaml } = prometheus.ask("status/config").await?;
        let config: Value = serde_yaml::from_str(&yaml)?;
        let jobs = config["scrape_configs"].as_sequence().cloned().unwrap_or_default();
        let job = jobs.into_iter().find(|job| job["job_name"] == expected.as_str());
        let Some(job) = job else { return Ok(None) };
        Ok(Some(serde_yaml::from_str(&serde_yaml::to_string(&job)?.replace(&sandbox.namespace, "NAMESPACE"))?))
    })
    .await
}

/// The words of a job that whoever pushes goes by.
fn says(job: &Value, name: &str, honor_labels: bool, honor_timestamps: bool) -> anyhow::Result<()> {
    let tracks = honor_timestamps && !name.starts_with("gateway");
    for (word, expected) in
        [("honor_labels", honor_labels), ("honor_timestamps", honor_timestamps), ("track_timestamps_staleness", tracks)]
    {
        // Some are left out where they are false.
        let found = job.get(word).and_then(Value::as_bool).unwrap_or(false);
        ensure!(found == expected, "{name}: expected {word}: {expected}, found {found}");
    }
    let last = job["metric_relabel_configs"].as_sequence().and_then(|relabelings| relabelings.last());
    let last = last.with_context(|| format!("{name}: expected relabelings of samples"))?;
    let found = ["action", "target_label", "replacement"].map(|field| last[field].as_str());
    // Every series gets it, whatever it has.
    let is_for_all = last.get("source_labels").is_none() && last["regex"].as_str().unwrap_or("(.*)") == "(.*)";
    let pinned = found == [Some("replace"), Some("namespace"), Some("NAMESPACE")];
    ensure!(is_for_all && pinned, "{name}: expected the namespace to be pinned at last, found {last:?}");
    Ok(())
}

/// The scrape job as a Prometheus has it that overrides what monitors say.
async fn overridden(sandbox: &Sandbox) -> anyhow::Result<Value> {
    sandbox.apply(&group(OVERRIDDEN, "labels: {golden: overridden}", "selector: {}"))?;
    sandbox.group_ready(OVERRIDDEN).await?;
    let selectors =
        "  serviceMonitorSelector: {matchLabels: {golden: overridden}}\n  serviceMonitorNamespaceSelector: {}";
    let overriding = OwnPrometheus::apply(sandbox, "golden", selectors)?;
    let prometheus = overriding.ready().await?;
    let job = loaded(&prometheus, sandbox, "serviceMonitor", OVERRIDDEN).await?;
    overriding.remove()?;
    Ok(job)
}

fn folder() -> PathBuf {
    binaries::repository().join("tests/fixtures/scrape-configs")
}

/// Compares a job with the golden file of a name.
fn check(name: &str, job: &Value, names: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let file = format!("{name}.yaml");
    let (path, made) = (folder().join(&file), serde_yaml::to_string(job)?);
    names.insert(file);
    if env::var_os("SIDEGATE_BLESS").is_some() {
        fs::create_dir_all(folder())?;
        fs::write(&path, &made)?;
    }
    let known = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(made == known, "{}: expected\n{known}\nfound\n{made}\nSIDEGATE_BLESS=1 rewrites it", path.display());
    Ok(())
}
