//! Where the pods are in a document: a Pod itself, the template of everything that makes pods, and all of these in lists.
//! Pure.
//!
//! *Never:* what becomes of them.

use crds::names;
use serde_yaml::Value;

/// A pod, or what pods are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The kind of the object it is in.
    pub kind: String,
    /// The name of that object, or what it will start with.
    pub name: String,
    /// The namespace of that object, where it says one.
    pub namespace: Option<String>,
    /// The keys and indices that lead to the pod in the document.
    pub path: Vec<String>,
    /// Whether a Job will own the pods.
    pub is_of_a_job: bool,
    /// Whether the object around the template says `sidegate.dev/inject`, where nobody looks.
    pub asks_outside: bool,
}

/// An object in a document, or in a list in it.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// The object.
    pub value: &'a Value,
    /// Its API group, empty for the first.
    pub group: &'a str,
    /// Its kind.
    pub kind: &'a str,
}

/// What a list says about its items, which may leave it out.
#[derive(Clone, Copy, Default)]
struct Listed<'a> {
    group: &'a str,
    kind: &'a str,
}

/// The pods of a document, in order.
#[must_use]
pub fn workloads(document: &Value) -> Vec<Workload> {
    let mut found = Vec::new();
    each_object(document, &mut |object, path| found.extend(workload(object, path)));
    found
}

/// Goes through all objects of a document, in order, with the way to each.
pub fn each_object<'a>(document: &'a Value, visit: &mut impl FnMut(Object<'a>, &[String])) {
    walk(document, Listed::default(), &mut Vec::new(), visit);
}

/// A text in a tree.
#[must_use]
pub fn text_at<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter().try_fold(value, |value, key| value.get(*key))?.as_str()
}

fn walk<'a>(
    value: &'a Value,
    listed: Listed<'a>,
    path: &mut Vec<String>,
    visit: &mut impl FnMut(Object<'a>, &[String]),
) {
    let version = text_at(value, &["apiVersion"]);
    let group = version.map_or(listed.group, |version| version.split_once('/').map_or("", |(group, _)| group));
    let kind = text_at(value, &["kind"]).unwrap_or(listed.kind);
    let items = value.get("items").and_then(Value::as_sequence);
    let (Some(of), Some(items)) = (kind.strip_suffix("List"), items) else {
        return visit(Object { value, group, kind }, path);
    };
    for (index, item) in items.iter().enumerate() {
        path.extend(["items".to_owned(), index.to_string()]);
        walk(item, Listed { group, kind: of }, path, visit);
        path.truncate(path.len().saturating_sub(2));
    }
}

fn workload(object: Object<'_>, path: &[String]) -> Option<Workload> {
    let template: &[&str] = match (object.group, object.kind) {
        ("", "Pod") => &[],
        ("", "PodTemplate") => &["template"],
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet")
        | ("batch", "Job") => &["spec", "template"],
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    };
    let metadata = |keys: &[&str]| text_at(object.value, &[&["metadata"], keys].concat());
    let says = |place: &str| object.value.get("metadata")?.get(place)?.get(names::INJECT);
    let name = metadata(&["name"]).or_else(|| metadata(&["generateName"])).unwrap_or("?");
    Some(Workload {
        kind: object.kind.to_owned(),
        name: name.to_owned(),
        namespace: metadata(&["namespace"]).map(str::to_owned),
        path: path.iter().cloned().chain(template.iter().map(|key| (*key).to_owned())).collect(),
        is_of_a_job: object.group == "batch",
        asks_outside: !template.is_empty() && (says("labels").is_some() || says("annotations").is_some()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, name and path of all pods.
    fn found(text: &str) -> Vec<(String, String, String)> {
        let document: Value = serde_yaml::from_str(text).unwrap();
        workloads(&document).into_iter().map(|one| (one.kind, one.name, one.path.join("/"))).collect()
    }

    #[track_caller]
    fn check(kind: &str, version: &str, path: &str) {
        let text = format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}}}");
        let expected = (kind.to_owned(), "a".to_owned(), path.to_owned());
        assert_eq!(found(&text), [expected], "{text}");
    }

    #[test]
    fn the_pods_of_every_kind_are_found() {
        check("Pod", "v1", "");
        check("PodTemplate", "v1", "template");
        check("ReplicationController", "v1", "spec/template");
        for kind in ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"] {
            check(kind, "apps/v1", "spec/template");
        }
        check("Job", "batch/v1", "spec/template");
        check("CronJob", "batch/v1", "spec/jobTemplate/spec/template");
    }

    #[test]
    fn a_kind_of_another_group_is_another_kind() {
        for text in [
            "{apiVersion: batch.volcano.sh/v1alpha1, kind: Job}",
            "{apiVersion: apps.example/v1, kind: Deployment}",
            "{apiVersion: apps/v1, kind: Pod}",
            "{apiVersion: v1, kind: ConfigMap}",
            "{kind: 1}",
            "[1]",
            "text",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn lists_are_gone_through_and_may_say_the_kind_of_their_items() {
        let list = "{apiVersion: v1, kind: List, items: [{apiVersion: batch/v1, kind: Job, metadata: {generateName: a-}}, {kind: Service, apiVersion: v1}, {apiVersion: v1, kind: PodList, items: [{metadata: {name: b}}]}]}";
        let expect = |kind: &str, name: &str, path: &str| (kind.to_owned(), name.to_owned(), path.to_owned());
        assert_eq!(found(list), [expect("Job", "a-", "items/0/spec/template"), expect("Pod", "b", "items/2/items/0")]);
        let typed = "{apiVersion: apps/v1, kind: DeploymentList, items: [{metadata: {name: c}}]}";
        assert_eq!(found(typed), [expect("Deployment", "c", "items/0/spec/template")]);
    }

    #[test]
    fn the_way_outside_and_the_jobs_are_told() {
        let one = |text: &str| workloads(&serde_yaml::from_str(text).unwrap()).remove(0);
        let outside =
            one("{apiVersion: apps/v1, kind: Deployment, metadata: {annotations: {sidegate.dev/inject: \"true\"}}}");
        assert!(outside.asks_outside && !outside.is_of_a_job);
        let pod = one("{apiVersion: v1, kind: Pod, metadata: {namespace: n, labels: {sidegate.dev/inject: \"true\"}}}");
        assert!(!pod.asks_outside && pod.namespace.as_deref() == Some("n"));
        assert!(one("{apiVersion: batch/v1, kind: CronJob}").is_of_a_job);
    }
}
