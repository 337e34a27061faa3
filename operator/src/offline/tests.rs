//! Manifests in, manifests out, and that it is what the webhook does.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

const GROUP: &str = "{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {name: nightly}, spec: {selector: {matchLabels: {app: etl}}}}";

const JOB: &str = "\
# Source: chart/templates/job.yaml
apiVersion: batch/v1
kind: Job
metadata:
  name: backup # nightly
spec:
  template:
    metadata:
      labels: {app: etl}
      annotations:
        sidegate.dev/inject: \"true\"
        looks-like: \"1e3\"
    spec:
      restartPolicy: Never
      containers:
      - name: app
        image: busybox
        command: [sh, -c, \"echo a\\necho b\"]
      volumes:
      - name: script
        configMap: {name: script, defaultMode: 0755}
";

fn image() -> SidecarImage {
    let args = clap::Parser::parse_from(["sidegate-operator", "--sidecar.image=sidegate:1"]);
    SidecarImage::from_args(args).unwrap()
}

fn ran(manifests: &str) -> Result<Done, String> {
    let image = image();
    let given = Given { image: &image, namespace: "default" };
    run(manifests, Known::default(), given).map_err(|error| error.to_string())
}

/// The objects of what came out, as JSON.
fn objects(manifests: &str) -> Vec<Json> {
    let trees = documents(manifests).unwrap().into_iter().filter_map(|document| document.tree);
    trees.map(|tree| serde_json::to_value(tree.value).unwrap()).collect()
}

#[test]
fn a_job_gets_a_sidecar_and_keeps_what_it_means() {
    let done = ran(&format!("{JOB}---\n{GROUP}\n---\n# the end\n")).unwrap();
    assert_eq!(done.remarks, ["job/backup: injected, PushGroup nightly"]);
    assert!(done.manifests.starts_with("# Source: chart/templates/job.yaml\napiVersion: batch/v1\nkind: Job\n"));
    assert!(done.manifests.ends_with(&format!("---\n{GROUP}\n---\n# the end\n")), "{}", done.manifests);
    let job = objects(&done.manifests).remove(0);
    let template = &job["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["sidegate.dev/pushgroup"], "nightly");
    assert_eq!(template["metadata"]["annotations"]["looks-like"], "1e3");
    assert_eq!(template["spec"]["containers"][0]["command"][2], "echo a\necho b");
    assert_eq!(template["spec"]["volumes"][0]["configMap"]["defaultMode"], 0o755);
    assert_eq!(template["spec"]["initContainers"][0]["name"], "sidegate");
    // As for a pod that a Job owns.
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 35);
    assert_eq!(template["metadata"].get("ownerReferences"), None);
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"], "PUSHGATEWAY_URL");
}

#[test]
fn a_second_run_changes_nothing() {
    let once = ran(&format!("{GROUP}\n---\n{JOB}")).unwrap().manifests;
    let twice = ran(&once).unwrap();
    assert_eq!(twice.manifests, once);
    assert_eq!(twice.remarks, ["job/backup: left alone: it has the sidecar"]);
}

#[test]
fn what_gets_no_sidecar_passes_byte_for_byte() {
    for text in [
        "",
        "\n",
        "---\n",
        "# only a comment",
        "kind: ConfigMap\napiVersion: v1\ndata: {a: on, a: 0644} # twice\n",
        "apiVersion: example/v1\nkind: Secretive\nvalue: !vault abc\n",
        "apiVersion: v1\r\nkind: Pod\r\nmetadata: {name: a}   \r\nspec: &s {containers: []}\r\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {sidegate.dev/inject: \"false\"}}\nspec: {}",
        "{\"kind\": \"Pod\",   \"apiVersion\": \"v1\"}\n\n{\"kind\": \"List\"}\n",
        "just: [some, yaml]\n---\n- of\n- another\n--- |\n kind\n",
    ] {
        assert_eq!(ran(text).unwrap().manifests, text);
    }
}

#[test]
fn every_workload_is_told_about() {
    let pod = |name: &str, namespace: &str, annotation: &str, spec: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, annotations: {{sidegate.dev/inject: {annotation}}}}}\nspec: {spec}\n---\n"
        )
    };
    let containers = "{containers: [{name: app}]}";
    let manifests = [
        pod("host", "data", "\"true\"", "{hostNetwork: true, containers: [{name: app}]}"),
        pod("typo", "data", "\"True\"", containers),
        pod("named", "data", "other", containers),
        pod("system", "kube-system", "\"true\"", containers),
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {sidegate.dev/inject: \"true\"}}\nspec: {template: {spec: {}}}\n---\n".to_owned(),
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: empty}\n---\n".to_owned(),
        "apiVersion: v1\nkind: Pod\nmetadata: {generateName: plain-}\nspec: {}\n".to_owned(),
    ]
    .concat();
    let remarks = ran(&manifests).unwrap().remarks;
    let said = |shown: &str| remarks.iter().filter_map(|remark| remark.strip_prefix(shown)).collect::<Vec<_>>();
    assert_eq!(said("pod/host: "), ["no sidecar: the pod uses the node's network"]);
    let typo = said("pod/typo: ").concat();
    assert!(typo.starts_with("no sidecar: ") && typo.contains("found \"True\""), "{remarks:?}");
    let named = said("pod/named: ");
    assert_eq!(named[0], "injected, PushGroup other");
    assert!(named[1].starts_with("no PushGroup other in the namespace yet"), "{remarks:?}");
    assert_eq!(said("pod/system: "), ["left alone: the webhook takes no pods of kube-system"]);
    let expected = "left alone: sidegate.dev/inject is on the Deployment, where it means nothing; expected it in the \
                    metadata of its pod template";
    assert_eq!(said("deployment/web: "), [expected]);
    assert_eq!(said("deployment/empty: "), ["left alone: it has no pod template"]);
    assert_eq!(said("pod/plain-: "), ["left alone: not asked"]);
    assert_eq!(remarks.len(), 8, "{remarks:?}");
}

#[test]
fn lists_and_json_keep_their_form() {
    let job: Value = serde_yaml::from_str(JOB).unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service"}, job]});
    let text = format!("\n{list:#}\n");
    let done = ran(&text).unwrap();
    assert!(done.manifests.starts_with("\n{\n  \"apiVersion\": \"v1\",\n"), "{}", done.manifests);
    let objects = objects(&done.manifests);
    assert_eq!(objects[0]["items"][0], list["items"][0]);
    assert_eq!(objects[0]["items"][1]["spec"]["template"]["spec"]["initContainers"][0]["name"], "sidegate");
    serde_json::from_str::<Json>(&done.manifests).unwrap();
}

#[test]
fn what_would_be_lost_and_what_is_wrong_is_a_mistake_with_its_document() {
    let twice =
        JOB.replace("      restartPolicy: Never\n", "      restartPolicy: Never\n      restartPolicy: OnFailure\n");
    assert_eq!(
        ran(&format!("a: 1\n---\n{twice}")).unwrap_err(),
        "document 2: job/backup gets a sidecar, and the key \"restartPolicy\" twice would be lost where the document is \
         written anew: expected none"
    );
    let tagged = JOB.replace("image: busybox", "image: !env BUSYBOX");
    assert!(ran(&tagged).unwrap_err().contains("a value with the tag !env would be lost"));
    assert!(ran(&format!("{JOB}---\na: [\n")).unwrap_err().starts_with("document 2: "));
    let bad = GROUP.replace("selector", "staleAfter: soon, selector");
    assert!(ran(&format!("{JOB}---\n{bad}\n")).unwrap_err().starts_with("document 2: pushgroup/nightly: "));
}

/// A pod, or a template, that asks or does not.
fn template() -> impl Strategy<Value = Json> {
    let env = prop::option::of(prop::sample::subsequence(
        vec![json!({"name": "OWN", "value": "$(PUSHGATEWAY_URL)"}), json!({"name": "PUSHGATEWAY_URL", "value": "on"})],
        0..=2,
    ));
    let ports = prop::option::of(prop::sample::select(vec![
        json!([]),
        json!([{"containerPort": 9091}]),
        json!([{"containerPort": 80}]),
    ]));
    let resources = prop::option::of(prop::sample::select(vec![
        json!({"limits": {"cpu": 1, "memory": "1Gi"}}),
        json!({"requests": {"cpu": "100m"}}),
    ]));
    let container = (env, ports, resources, "[a-z]{1,5}").prop_map(|(env, ports, resources, name)| {
        let mut container = json!({"name": name, "image": "busybox"});
        for (field, value) in [("env", env.map(Json::from)), ("ports", ports), ("resources", resources)] {
            if let Some(value) = value {
                container[field] = value;
            }
        }
        container
    });
    let metadata = (
        prop::option::of(prop::sample::select(vec!["true", "false", "nightly", "other", "True", "on", ""])),
        any::<bool>(),
        any::<bool>(),
    );
    let spec = (
        prop::collection::vec(container.clone(), 1..4),
        prop::option::of(prop::collection::vec(container, 0..3)),
        prop::option::of(0..90_i64),
        prop::option::weighted(0.1, Just(true)),
        prop::option::of(prop::sample::select(vec![
            json!([]),
            json!([{"name": "sidegate-storage", "emptyDir": {}}]),
            json!(null),
        ])),
        prop::option::of(1..900_i64),
    );
    (metadata, spec).prop_map(|((value, on_label, labelled), (containers, init, grace, host, volumes, deadline))| {
        let mut template = json!({"spec": {"containers": containers}});
        if labelled {
            template["metadata"]["labels"]["app"] = json!("etl");
        }
        if let Some(value) = value {
            template["metadata"][if on_label { "labels" } else { "annotations" }]["sidegate.dev/inject"] = json!(value);
        }
        for (field, value) in [
            ("initContainers", init.map(Json::from)),
            ("terminationGracePeriodSeconds", grace.map(Json::from)),
            ("hostNetwork", host.map(Json::from)),
            ("volumes", volumes),
            ("activeDeadlineSeconds", deadline.map(Json::from)),
        ] {
            if let Some(value) = value {
                template["spec"][field] = value;
            }
        }
        template
    })
}

/// A workload around a template, and the way to the template.
fn workload(kind: usize, template: &Json) -> (Json, &'static str) {
    let around = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": {"template": template}});
    match kind {
        0 => {
            let mut pod = template.clone();
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            (pod, "")
        }
        1 => (json!({"apiVersion": "v1", "kind": "PodTemplate", "template": template}), "/template"),
        2 => (
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}),
            "/spec/jobTemplate/spec/template",
        ),
        3 => (around("batch/v1", "Job"), "/spec/template"),
        4 => (around("v1", "ReplicationController"), "/spec/template"),
        5 => (around("apps/v1", "Deployment"), "/spec/template"),
        6 => (around("apps/v1", "ReplicaSet"), "/spec/template"),
        7 => (around("apps/v1", "DaemonSet"), "/spec/template"),
        _ => (around("apps/v1", "StatefulSet"), "/spec/template"),
    }
}

/// What a controller and the API server make of a template before the webhook sees it.
fn made(template: &Json, owner: Option<(&str, &str)>) -> Json {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata").cloned().unwrap_or(json!({})), "spec": template["spec"]});
    if let Some((version, kind)) = owner {
        pod["metadata"]["generateName"] = json!("w-");
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": version, "kind": kind, "name": "w", "controller": true, "uid": "u"}]);
        pod["metadata"]["labels"]["made-by"] = json!(kind);
    }
    let defaults = |object: &mut Json, fields: &[(&str, Json)]| {
        for (field, value) in fields {
            if object.get(*field).is_none_or(Json::is_null) {
                object[*field] = value.clone();
            }
        }
    };
    let spec = &mut pod["spec"];
    defaults(
        spec,
        &[
            ("terminationGracePeriodSeconds", json!(30)),
            ("restartPolicy", json!("Always")),
            ("dnsPolicy", json!("ClusterFirst")),
            ("securityContext", json!({})),
        ],
    );
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Json::as_array_mut).into_iter().flatten() {
            defaults(
                container,
                &[
                    ("imagePullPolicy", json!("Always")),
                    ("resources", json!({})),
                    ("terminationMessagePolicy", json!("File")),
                ],
            );
        }
    }
    pod
}

proptest! {
    #[test]
    fn offline_is_what_the_webhook_does(template in template(), kind in 0..9_usize, asks in prop::option::of(Just("true"))) {
        let (manifest, way) = workload(kind, &template);
        let owner = match kind {
            0 | 1 => None,
            2 | 3 => Some(("batch/v1", "Job")),
            _ => Some(("apps/v1", "ReplicaSet")),
        };
        let image = image();
        let given = Given { image: &image, namespace: "default" };
        let mut known = Known::default();
        let namespace = asks.map_or(String::new(), |value| format!("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: default, labels: {{sidegate.dev/inject: \"{value}\"}}}}}}\n"));
        learn(&mut known, &format!("{GROUP}\n{namespace}"), given).unwrap();

        // The webhook's way.
        let around = Surroundings { image: &image, namespace_value: known.value("default"), groups: known.groups("default"), limit_ranges: &[] };
        let pod = made(&template, owner);
        let mut expected = pod.clone();
        let outcome = inject(RawPod::new(&pod), &around).unwrap();
        if let Outcome::Injected(injected) = &outcome {
            json_patch::patch(&mut expected, &injected.patch).unwrap();
        }
        let expected = made(&expected, None);

        let yaml = yaml::write(&serde_yaml::to_value(&manifest).unwrap(), yaml::Form::Yaml).unwrap();
        for text in [yaml, manifest.to_string()] {
            let done = run(&text, known.clone(), given).unwrap();
            let object = objects(&done.manifests).remove(0);
            prop_assert_eq!(made(&made(object.pointer(way).unwrap(), owner), None), expected.clone(), "{}", done.manifests);
            prop_assert_eq!(done.manifests == text, !matches!(outcome, Outcome::Injected(_)));
            let again = run(&done.manifests, known.clone(), given).unwrap();
            prop_assert_eq!(again.manifests, done.manifests);
        }
    }
}
