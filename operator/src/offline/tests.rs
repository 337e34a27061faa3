//! Manifests in, manifests out.

mod properties;

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
fn a_sidecar_that_is_written_out_is_a_native_one_until_somebody_takes_that_away() {
    let once = ran(&format!("{GROUP}\n---\n{JOB}")).unwrap().manifests;
    let lost = once.replacen("restartPolicy: Always", "", 1);
    assert_ne!(lost, once);
    let left = ran(&lost).unwrap();
    assert_eq!(left.manifests, lost);
    let told = "job/backup: the sidecar has lost its restartPolicy: Always, maybe to another webhook: the pod will stay in Init";
    assert_eq!(left.remarks, [told]);
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
        pod("system", "kube-public", "\"true\"", containers),
        pod("own", "data", "\"true\"", containers).replace("{name: own", "{name: own, labels: {app.kubernetes.io/name: sidegate-operator}"),
        pod("shut", "closed", "\"true\"", containers),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: closed, labels: {sidegate.dev/webhook: disabled}}\n---\n".to_owned(),
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
    assert_eq!(said("pod/system: "), ["left alone: the webhook takes no pods of kube-public"]);
    assert_eq!(said("pod/own: "), ["left alone: the webhook takes no pods of the operator itself"]);
    let off = "left alone: the webhook takes no pods of closed, which has sidegate.dev/webhook: disabled";
    assert_eq!(said("pod/shut: "), [off]);
    let expected = "left alone: sidegate.dev/inject is on the Deployment, where it means nothing; expected it in the \
                    metadata of its pod template";
    assert_eq!(said("deployment/web: "), [expected]);
    assert_eq!(said("deployment/empty: "), ["left alone: it has no pod template"]);
    assert_eq!(said("pod/plain-: "), ["left alone: not asked"]);
    assert_eq!(remarks.len(), 10, "{remarks:?}");
}

#[test]
fn what_is_no_text_for_want_of_quotes_is_told_where_it_is() {
    let job = |value: &str| {
        JOB.replace("inject: \"true\"", &format!("inject: {value}\n        sidegate.dev/push-port: \"9200\""))
    };
    for value in ["true", "on", "Yes"] {
        let done = ran(&job(value)).unwrap();
        let remark =
            "job/backup: sidegate.dev/inject of metadata.annotations: expected a text, found a boolean: quote it";
        assert_eq!(done.remarks, [remark, "job/backup: left alone: not asked"], "{value}");
    }
    let port = JOB.replace("looks-like: \"1e3\"", "sidegate.dev/push-port: 9200");
    let remarks = ran(&port).unwrap().remarks;
    let remark =
        "job/backup: sidegate.dev/push-port of metadata.annotations: expected a text, found a number: quote it";
    assert_eq!(remarks[..2], [remark, "job/backup: injected, no PushGroup"], "{remarks:?}");
    let namespace =
        "{apiVersion: v1, kind: Namespace, metadata: {name: data, labels: {sidegate.dev/inject: on, team: 1}}}";
    let remark = "namespace/data: sidegate.dev/inject of metadata.labels: expected a text, found a boolean: quote it";
    assert_eq!(ran(namespace).unwrap().remarks, [remark]);
    assert_eq!(ran(&namespace.replace(": on", ": \"on\"")).unwrap().remarks, Vec::<String>::new());
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

#[test]
fn what_limit_ranges_fill_in_decides_and_is_not_written() {
    let range = "{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, default: {cpu: \"1\", memory: 1Gi}}]}}";
    let done = ran(&format!("{range}\n---\n{JOB}")).unwrap();
    let spec = &objects(&done.manifests)[1]["spec"]["template"]["spec"];
    // As in a pod of class Guaranteed, which it will be.
    let same = json!({"cpu": "100m", "memory": "64Mi"});
    assert_eq!(spec["initContainers"][0]["resources"], json!({"requests": same, "limits": same}));
    assert_eq!(spec["containers"][0].get("resources"), None);
}
