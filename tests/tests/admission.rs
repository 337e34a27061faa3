//! What a real API server says to injected pods, with its own admission: Pod Security, LimitRanger, and all its checks.
//! Each test is made of the newest and of the oldest Kubernetes that is supported.
//!
//! An API server alone is enough: everything is asked of it as a dry run.
//!
//! *Never:* the insides of the operator; its golden files and its program are what is shown.

#![allow(clippy::indexing_slicing, reason = "a test that panics has failed, which is right")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::Path,
    process::{Command, ExitCode, Output, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use e2e::{
    binaries,
    control_plane::ControlPlane,
    kubectl::Kubectl,
    parts::{self, Kubernetes, Parts},
};
use k8s_openapi::api::core::v1::{LimitRange, Namespace};
use kube::{Api, Client, api::PostParams};
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

/// The golden pods that every API server refuses without any sidecar: they have what no new pod may have. They show what is
/// done with them, and not what becomes of it.
const REFUSED: [&str; 3] = ["shape-ephemeral-containers", "shape-fields-of-the-future", "shape-odd-keys"];

/// Those that a restricted namespace refuses besides: they run as root.
const REFUSED_WHERE_RESTRICTED: [&str; 2] = ["user-of-the-platform-root-pod", "user-root-pod"];

struct World {
    kubernetes: Kubernetes,
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
    let tests: [Test; 6] = [
        ("every_golden_pod_is_taken_where_it_was_taken_before", every_golden_pod_is_taken_where_it_was_taken_before),
        ("a_pod_with_resources_as_a_whole_is_taken", a_pod_with_resources_as_a_whole_is_taken),
        ("kubectl_reads_the_same_from_what_inject_writes", kubectl_reads_the_same_from_what_inject_writes),
        ("a_pod_that_is_guaranteed_by_default_stays_so", a_pod_that_is_guaranteed_by_default_stays_so),
        ("every_kind_is_taken_with_its_sidecar", every_kind_is_taken_with_its_sidecar),
        ("the_charts_options_are_taken", the_charts_options_are_taken),
    ];
    let everywhere = Kubernetes::ALL.into_iter().flat_map(|kubernetes| tests.map(|test| (kubernetes, test)));
    let trials = everywhere.map(|(kubernetes, (name, test))| {
        Trial::ignorable_test(format!("{}::{name}", kubernetes.version()), move || {
            if let Some(reason) = parts::excuse(parts::why_not_on(kubernetes))? {
                return Ok(Completion::ignored_with(reason));
            }
            let done = World::get(kubernetes).and_then(test).map(|()| Completion::Completed);
            done.map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A pod that was fine before is fine after, in a namespace of its own with its LimitRanges, open and restricted: there the
/// pod's own containers are restricted too. Where every field of it was known, so is every field of its sidecar, which is
/// kept as it is.
fn every_golden_pod_is_taken_where_it_was_taken_before(world: &World) -> anyhow::Result<()> {
    let folder = binaries::repository().join("operator/tests/golden/injection");
    let (mut goldens, mut refused) = (0, BTreeMap::<String, BTreeSet<String>>::new());
    for file in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let file = file?.path();
        let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".in.yaml"));
        let Some(name) = name.map(str::to_owned) else { continue };
        let around = documents(&file)?;
        let out: Value = serde_yaml::from_str(&fs::read_to_string(folder.join(format!("{name}.out.yaml")))?)?;
        let pod = around.iter().find(|document| document["kind"] == "Pod").context("there is a pod")?;
        goldens += 1;
        if out["result"] != "injected" {
            continue;
        }
        for (form, labels) in [("open", &[][..]), ("restricted", &RESTRICTED[..])] {
            let (mut pod, mut with_sidecar) = (pod.clone(), out["pod"].clone());
            if form == "restricted" {
                [&mut pod, &mut with_sidecar].into_iter().for_each(restrict);
            }
            let namespace = format!("{form}-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            world.namespace(&namespace, labels)?;
            let limits = around.iter().filter(|document| document["kind"] == "LimitRange");
            for limit in limits {
                world.limit(&namespace, limit)?;
            }
            for (strictness, form) in [("Strict", format!("{form}, strictly")), ("Ignore", form.to_owned())] {
                if world.ask(&namespace, &pod, strictness).is_err() {
                    refused.entry(form).or_default().insert(name.clone());
                    continue;
                }
                let what = || format!("{name} in {namespace}, {strictness}");
                let taken = world.ask(&namespace, &with_sidecar, strictness).with_context(what)?;
                let (ours, kept) = (sidecar(&with_sidecar), sidecar(&taken));
                ensure!(is_within(ours, kept), "{}: expected {ours:#}, found {kept:#}", what());
            }
        }
    }
    ensure!(GOLDEN_PODS <= goldens, "expected at least {GOLDEN_PODS} golden pods, found {goldens}");
    // Were an input refused, nothing would have been shown by it.
    for form in ["open", "open, strictly", "restricted", "restricted, strictly"] {
        let more = REFUSED_WHERE_RESTRICTED.iter().filter(|_| form.starts_with("restricted"));
        let expected: BTreeSet<_> = REFUSED.iter().chain(more).map(|name| (*name).to_owned()).collect();
        let found = refused.remove(form).unwrap_or_default();
        ensure!(
            found == expected,
            "{form}: expected these to be refused without a sidecar: {expected:#?}, found {found:#?}"
        );
    }
    Ok(())
}

/// Makes the containers of a pod such as a restricted namespace takes, the sidecar excepted, as far as they say nothing.
fn restrict(pod: &mut Value) {
    let usual = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter(|container| container["name"] != "sidegate") {
            let mut context = usual.clone();
            if let (Some(context), Some(own)) = (context.as_object_mut(), container["securityContext"].as_object()) {
                context.extend(own.clone());
            }
            container["securityContext"] = context;
        }
    }
}

/// Kubernetes 1.33 drops such resources after admission, unless it is told to know them: what the sidecar is left with
/// is what the namespace gives to any container.
fn a_pod_with_resources_as_a_whole_is_taken(world: &World) -> anyhow::Result<()> {
    let namespace = "resources-as-a-whole";
    world.namespace(namespace, &[])?;
    let whole = "{requests: {cpu: \"1\", memory: 1Gi}, limits: {memory: 2Gi}}";
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: a, annotations: {{sidegate.dev/inject: \"true\"}}}}, \
         spec: {{resources: {whole}, containers: [{{name: app, image: busybox}}]}}}}"
    );
    let pod: Value = serde_yaml::from_str(&inject(&manifest)?)?;
    let ours = sidecar(&pod);
    ensure!(ours["name"] == "sidegate" && ours.get("resources").is_none(), "{ours:#}");
    let taken = world.ask(namespace, &pod, "Strict")?;
    let found = (&taken["spec"]["resources"]["limits"]["memory"], &sidecar(&taken)["resources"]);
    let expected = match world.kubernetes {
        Kubernetes::Newest => json!("2Gi"),
        Kubernetes::Oldest => Value::Null,
    };
    ensure!(found == (&expected, &json!({})), "{taken:#}");
    Ok(())
}

/// Our container of a pod.
fn sidecar(pod: &Value) -> &Value {
    let containers = pod["spec"]["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default();
    containers.iter().find(|container| container["name"] == "sidegate").unwrap_or(&Value::Null)
}

/// Whether a value has all of another, and maybe more.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|found| is_within(value, found)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() <= whole.len() && part.iter().zip(whole).all(|(value, found)| is_within(value, found))
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _)
        | (Value::Object(_) | Value::Array(_), _) => part == whole,
    }
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

/// What the API server fills in is known without it, where the LimitRange is among the manifests.
fn a_pod_that_is_guaranteed_by_default_stays_so(world: &World) -> anyhow::Result<()> {
    world.namespace("defaults", &[])?;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "bounds", "namespace": "defaults"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}}]},
    });
    world.limit("defaults", &range)?;
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: defaults, annotations: {sidegate.dev/inject: \
               \"true\"}}, spec: {containers: [{name: app, image: busybox}]}}\n";
    let injected = inject(&format!("{range}\n---\n{pod}"))?;
    let (_, injected) = injected.split_once("---\n").context("there are two documents")?;
    for (manifest, sidecars) in [(pod, 0), (injected, 1)] {
        let taken = world.dry_run(manifest)?;
        let found = taken["spec"]["initContainers"].as_array().map_or(0, Vec::len);
        ensure!(found == sidecars, "expected {sidecars} sidecars, found {taken:#}");
        ensure!(taken["status"]["qosClass"] == "Guaranteed", "expected the class Guaranteed, found {taken:#}");
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
    fn get(kubernetes: Kubernetes) -> anyhow::Result<&'static Self> {
        static NEWEST: OnceLock<Result<World, String>> = OnceLock::new();
        static OLDEST: OnceLock<Result<World, String>> = OnceLock::new();
        let world = match kubernetes {
            Kubernetes::Newest => &NEWEST,
            Kubernetes::Oldest => &OLDEST,
        };
        let world = world.get_or_init(|| Self::make(kubernetes).map_err(|error| format!("{error:#}")));
        world.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn make(kubernetes: Kubernetes) -> anyhow::Result<Self> {
        let parts = Parts::find_or_build_on(kubernetes)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let plane = ControlPlane::start(&parts)?;
        let client = runtime.block_on(plane.client())?;
        let told = runtime.block_on(client.apiserver_version())?.git_version;
        ensure!(told == kubernetes.version(), "expected {}, found {told}", kubernetes.version());
        let kubectl = Kubectl::of_parts(&parts, plane.kubeconfig())?;
        Ok(Self { kubernetes, client, kubectl, runtime, _plane: plane })
    }

    fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<()> {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
        let namespaces = Api::all(self.client.clone());
        self.runtime.block_on(namespaces.create(&PostParams::default(), &namespace))?;
        Ok(())
    }

    fn limit(&self, namespace: &str, limits: &Value) -> anyhow::Result<()> {
        let mut limits: LimitRange = serde_json::from_value(limits.clone())?;
        limits.metadata.namespace = None;
        let api = Api::namespaced(self.client.clone(), namespace);
        self.runtime.block_on(api.create(&PostParams::default(), &limits))?;
        Ok(())
    }

    /// What the API server would keep of a pod as it stands, with fields that no type here knows.
    fn ask(&self, namespace: &str, pod: &Value, field_validation: &str) -> anyhow::Result<Value> {
        let mut pod = pod.clone();
        let metadata = pod["metadata"].as_object_mut().context("a pod has metadata")?;
        metadata.remove("namespace");
        if !metadata.contains_key("name") && !metadata.contains_key("generateName") {
            metadata.insert("name".to_owned(), json!("a"));
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation={field_validation}");
        let request = http::Request::post(path).header("Content-Type", "application/json");
        Ok(self.runtime.block_on(self.client.request(request.body(pod.to_string().into_bytes())?))?)
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
