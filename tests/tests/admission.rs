//! What a real API server says to injected pods, with its own admission: Pod Security, LimitRanger, and all its checks.
//!
//! An API server alone is enough: everything is asked of it as a dry run.
//!
//! *Never:* the insides of the operator; its golden files and its program are what is shown.

#![allow(clippy::indexing_slicing, reason = "a test that panics has failed, which is right")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, ExitCode, Output, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use e2e::{binaries, control_plane::ControlPlane, kubectl::Kubectl, parts::Parts};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, Pod};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, PostParams},
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// The least that there are, as the operator's own tests say.
const GOLDEN_PODS: usize = 60;

/// What a namespace is labelled with.
const RESTRICTED: [(&str, &str); 1] = [("pod-security.kubernetes.io/enforce", "restricted")];

/// Strings and numbers that YAML makes hard, in a pod that gets a sidecar.
const HARD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: hard
  annotations: &annotations
    sidegate.dev/inject: \"true\"
    number: \"1e3\"
    octal: '0o7'
    old-octal: \"0644\"
    grouped: \"1_000\"
    switch: \"on\"
    letter: 'y'
    nothing: \"~\"
    empty: \"\"
    date: 2026-01-01
    time: \"1:30\"
    lines: \"a\\n b \\n\\n\"
    literal: |
      a

        b
    folded: >-
      a
      b
    controls: \"\\t\\u0085\\u2028\\ud7ff\"
    merge: \"<<\"
  labels:
    0644: leading-zero
    on: switch
spec:
  activeDeadlineSeconds: 0o17
  containers:
  - &app
    name: app
    image: busybox
    stdin: on
    command: [sh, -c, \"echo a\\necho 'b'\\n\"]
    env: [{name: A, value: \"0x1F\"}]
  - <<: *app
    name: other
    stdin: off
  volumes:
  - name: script
    configMap: {name: script, defaultMode: 0755}
";

struct World {
    client: Client,
    kubectl: Kubectl,
    runtime: tokio::runtime::Runtime,
    _plane: ControlPlane,
}

type Test = (&'static str, fn(&World) -> anyhow::Result<()>);

fn main() -> ExitCode {
    if let Some(code) = e2e::cluster::take_role() {
        return code;
    }
    let tests: [Test; 4] = [
        ("every_golden_pod_is_taken_where_it_was_taken_before", every_golden_pod_is_taken_where_it_was_taken_before),
        ("kubectl_reads_the_same_from_what_inject_writes", kubectl_reads_the_same_from_what_inject_writes),
        ("every_kind_is_taken_with_its_sidecar", every_kind_is_taken_with_its_sidecar),
        ("the_charts_options_are_taken", the_charts_options_are_taken),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if let Some(reason) = e2e::parts::excuse(e2e::parts::why_not())? {
                return Ok(Completion::ignored_with(reason));
            }
            let done = World::get().and_then(test).map(|()| Completion::Completed);
            done.map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A pod that was fine before is fine after, in a namespace of its own with its LimitRanges, open and restricted.
fn every_golden_pod_is_taken_where_it_was_taken_before(world: &World) -> anyhow::Result<()> {
    let folder = binaries::repository().join("operator/tests/golden/injection");
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for file in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let file = file?.path();
        let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".in.yaml"));
        let Some(name) = name.map(str::to_owned) else { continue };
        let around = documents(&file)?;
        let out: Value = serde_yaml::from_str(&fs::read_to_string(folder.join(format!("{name}.out.yaml")))?)?;
        let pod = around.iter().find(|document| document["kind"] == "Pod").context("there is a pod")?;
        *tally.entry("golden").or_default() += 1;
        if out["result"] != "injected" {
            continue;
        }
        for (form, labels) in [("open", &[][..]), ("restricted", &RESTRICTED[..])] {
            let namespace = format!("{form}-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            world.namespace(&namespace, labels)?;
            let limits = around.iter().filter(|document| document["kind"] == "LimitRange");
            for limit in limits {
                world.create::<LimitRange>(&namespace, limit, false)?;
            }
            if world.create::<Pod>(&namespace, pod, true).is_err() {
                continue;
            }
            *tally.entry(form).or_default() += 1;
            if pod["spec"]["resources"].is_object() {
                *tally.entry("as a whole").or_default() += 1;
            }
            world.create::<Pod>(&namespace, &out["pod"], true).with_context(|| format!("{name} in {namespace}"))?;
        }
    }
    let golden = tally.get("golden").copied().unwrap_or_default();
    ensure!(GOLDEN_PODS <= golden, "expected at least {GOLDEN_PODS} golden pods, found {tally:?}");
    // Were the inputs refused, nothing would have been shown.
    let (open, restricted) = (tally.get("open").copied(), tally.get("restricted").copied());
    ensure!(Some(30) <= open && Some(1) <= restricted, "expected pods that are taken, found {tally:?}");
    ensure!(Some(7) <= tally.get("as a whole").copied(), "expected pods with resources as a whole, found {tally:?}");
    Ok(())
}

fn kubectl_reads_the_same_from_what_inject_writes(world: &World) -> anyhow::Result<()> {
    let before = world.dry_run(HARD)?;
    let mut after = world.dry_run(&inject(HARD)?)?;
    // What the sidecar adds, and nothing else.
    let remove = |value: &mut Value, name: &str| value.as_object_mut().and_then(|object| object.remove(name));
    let added = remove(&mut after["spec"], "initContainers").context("there is a sidecar")?;
    ensure!(added[0]["name"] == "sidegate", "{added}");
    for name in ["sidegate.dev/injected", "sidegate.dev/pushgroup"] {
        remove(&mut after["metadata"]["labels"], name);
    }
    for (name, value) in before["metadata"]["annotations"].as_object().context("there are annotations")? {
        ensure!(after["metadata"]["annotations"][name] == *value, "{name}: expected {value}, found {after:#}");
    }
    ensure!(after["metadata"]["labels"] == before["metadata"]["labels"], "{after:#}");
    for (name, value) in before["spec"].as_object().context("there is a spec")? {
        let found = &after["spec"][name];
        let is_same = match name.as_str() {
            "volumes" => found[0] == value[0],
            "containers" => ["name", "stdin", "command", "image"]
                .iter()
                .all(|field| (0..2).all(|index| found[index].get(*field) == value[index].get(*field))),
            _ => found == value,
        };
        ensure!(is_same, "{name}: expected {value}, found {found}");
    }
    ensure!(before["spec"]["volumes"][0]["configMap"]["defaultMode"] == 0o755, "{before:#}");
    Ok(())
}

fn every_kind_is_taken_with_its_sidecar(world: &World) -> anyhow::Result<()> {
    let template = |restart: &str| {
        format!(
            "{{metadata: {{labels: {{app: etl}}, annotations: {{sidegate.dev/inject: nightly}}}}, spec: {{restartPolicy: \
             {restart}, containers: [{{name: app, image: busybox}}]}}}}"
        )
    };
    let (always, never) = (template("Always"), template("Never"));
    let selector = "selector: {matchLabels: {app: etl}}";
    let kinds = [
        ("v1", "Pod", "spec: {containers: [{name: app, image: busybox}]}".to_owned()),
        ("v1", "PodTemplate", format!("template: {always}")),
        ("v1", "ReplicationController", format!("spec: {{selector: {{app: etl}}, template: {always}}}")),
        ("apps/v1", "Deployment", format!("spec: {{{selector}, template: {always}}}")),
        ("apps/v1", "ReplicaSet", format!("spec: {{{selector}, template: {always}}}")),
        ("apps/v1", "DaemonSet", format!("spec: {{{selector}, template: {always}}}")),
        ("apps/v1", "StatefulSet", format!("spec: {{serviceName: a, {selector}, template: {always}}}")),
        ("batch/v1", "Job", format!("spec: {{template: {never}}}")),
        (
            "batch/v1",
            "CronJob",
            format!("spec: {{schedule: \"0 0 * * *\", jobTemplate: {{spec: {{template: {never}}}}}}}"),
        ),
    ];
    for (version, kind, rest) in kinds {
        let annotations = if kind == "Pod" { ", annotations: {sidegate.dev/inject: nightly}" } else { "" };
        let manifest = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a{annotations}}}\n{rest}\n");
        let taken = world.dry_run(&inject(&manifest)?).with_context(|| manifest.clone())?;
        ensure!(taken.to_string().contains("\"name\":\"sidegate\""), "{kind}: expected a sidecar, found {taken:#}");
    }
    Ok(())
}

fn the_charts_options_are_taken(world: &World) -> anyhow::Result<()> {
    let chart = binaries::repository().join("charts/sidegate").display().to_string();
    let values = "networkPolicy.enabled=true,networkPolicy.egress.enabled=true,\
                  networkPolicy.apiServer[0].ipBlock.cidr=10.0.0.1/32,\
                  networkPolicy.prometheus[0].namespaceSelector.matchLabels.team=monitoring,\
                  networkPolicy.egress.more[0].ports[0].port=9091,networkPolicy.sidecars.namespaces={default}";
    let template = |values: &str, file: &str| {
        let file = format!("templates/{file}.yaml");
        let arguments =
            ["template", "sidegate", &chart, "--namespace", "default", "--set", values, "--show-only", &file];
        // Without this helm takes the cluster for an old one.
        world.kubectl.helm(&[&arguments[..], &["--kube-version", "1.33.0"]].concat())
    };
    for (values, file, expected) in [
        (values, "networkpolicy", 2),
        ("networkPolicy.enabled=true", "networkpolicy", 1),
        ("replicaCount=2", "poddisruptionbudget", 1),
        ("podDisruptionBudget.minAvailable=50%", "poddisruptionbudget", 1),
    ] {
        let taken = world.dry_run(&template(values, file)?)?;
        let objects = taken["items"].as_array().map_or(1, Vec::len);
        ensure!(objects == expected, "{values}: expected {expected} objects of {file}, found {taken:#}");
    }
    for (values, file) in [
        ("networkPolicy.enabled=false", "networkpolicy"),
        ("replicaCount=1", "poddisruptionbudget"),
        ("podDisruptionBudget.enabled=false", "poddisruptionbudget"),
    ] {
        let error = template(values, file).err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(error.contains("could not find template"), "{values}: expected no object of {file}, found {error:?}");
    }
    Ok(())
}

/// The documents of a file.
fn documents(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(file)?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    documents.collect::<Result<_, _>>().with_context(|| file.display().to_string())
}

/// `sidegate-operator inject -f -`.
fn inject(manifests: &str) -> anyhow::Result<String> {
    let mut command = Command::new(binaries::operator()?);
    command.args(["inject", "-f", "-", "--sidecar.image=localhost/sidegate:dev"]);
    let output = piped(&mut command, manifests)?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Manifests here fit into a pipe.
fn piped(command: &mut Command, input: &str) -> anyhow::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

// === impl World ===

impl World {
    /// Made when the first test asks.
    fn get() -> anyhow::Result<&'static Self> {
        static WORLD: OnceLock<Result<World, String>> = OnceLock::new();
        let world = WORLD.get_or_init(|| Self::make().map_err(|error| format!("{error:#}")));
        world.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn make() -> anyhow::Result<Self> {
        let parts = Parts::find_or_build()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let plane = ControlPlane::start(&parts)?;
        let client = runtime.block_on(plane.client())?;
        let kubectl = Kubectl::of_parts(&parts, plane.kubeconfig())?;
        Ok(Self { client, kubectl, runtime, _plane: plane })
    }

    fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<()> {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
        let namespaces = Api::all(self.client.clone());
        self.runtime.block_on(namespaces.create(&PostParams::default(), &namespace))?;
        Ok(())
    }

    /// Creates an object as it stands, with fields that no type here knows.
    fn create<K>(&self, namespace: &str, object: &Value, dry_run: bool) -> anyhow::Result<()>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        let mut object: DynamicObject = serde_json::from_value(object.clone())?;
        object.metadata.namespace = None;
        if object.metadata.name.is_none() && object.metadata.generate_name.is_none() {
            object.metadata.name = Some("a".to_owned());
        }
        let api = Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<K>(&()));
        let how = PostParams { dry_run, ..PostParams::default() };
        self.runtime.block_on(api.create(&how, &object))?;
        Ok(())
    }

    /// `kubectl create --dry-run=server`: what the API server would keep of manifests.
    fn dry_run(&self, manifests: &str) -> anyhow::Result<Value> {
        let mut command = self.kubectl.kubectl();
        command.args(["create", "--dry-run=server", "--validate=strict", "--output=json", "--filename=-"]);
        let output = piped(&mut command, manifests)?;
        if !output.status.success() {
            bail!("{}: {manifests}", String::from_utf8_lossy(&output.stderr));
        }
        let objects = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        let mut objects = objects.collect::<Result<Vec<_>, _>>()?;
        Ok(if objects.len() == 1 { objects.remove(0) } else { json!({"items": objects}) })
    }
}
