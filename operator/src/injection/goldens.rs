//! Golden files of injection: `NAME.in.yaml` has a pod and what is around it, each a document of its own, and
//! `NAME.out.yaml` what becomes of it. Around it may be `PushGroup`s, its `Namespace`, `LimitRange`s, and the operator's
//! `SidecarImage`.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use crds::{PushGroup, names};
use json_patch::patch;
use k8s_openapi::api::core::v1::{LimitRange, Pod};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    decide::Skip,
    inject::{Outcome, Surroundings, inject},
    pod::RawPod,
};
use crate::{config::SidecarImage, golden};

/// A pod and what is around it.
struct Case {
    pod: Value,
    groups: Vec<Arc<PushGroup>>,
    namespace_value: Option<String>,
    limit_ranges: Vec<LimitRange>,
    image: SidecarImage,
}

#[test]
fn each_pod_becomes_the_golden_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/injection");
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let (inputs, others): (BTreeSet<_>, BTreeSet<_>) = files.partition(|name| name.ends_with(".in.yaml"));
    let names: BTreeSet<_> = inputs.iter().map(|name| name.trim_end_matches(".in.yaml").to_owned()).collect();
    for other in others {
        let name = other.strip_suffix(".out.yaml");
        assert!(name.is_some_and(|name| names.contains(name)), "{other}: there is no input for it");
    }
    assert!(60 <= names.len(), "{} pods", names.len());
    for name in &names {
        let case = Case::read(&fs::read_to_string(folder.join(format!("{name}.in.yaml"))).unwrap(), name);
        golden::check(&format!("injection/{name}.out.yaml"), &case.result(name));
    }
}

// === impl Case ===

impl Case {
    fn read(text: &str, name: &str) -> Self {
        let mut case = Self {
            pod: Value::Null,
            groups: Vec::new(),
            namespace_value: None,
            limit_ranges: Vec::new(),
            image: SidecarImage { image: "registry.example/sidegate:1".to_owned(), ..SidecarImage::default() },
        };
        for document in serde_yaml::Deserializer::from_str(text) {
            let document = Value::deserialize(document).unwrap();
            match document["kind"].as_str() {
                Some("Pod") => case.pod = document,
                Some("PushGroup") => case.groups.push(Arc::new(typed(document, name))),
                Some("LimitRange") => case.limit_ranges.push(typed(document, name)),
                Some("Namespace") => {
                    let value = document.pointer("/metadata/labels").and_then(|labels| labels.get(names::INJECT));
                    case.namespace_value = value.and_then(Value::as_str).map(str::to_owned);
                }
                Some("SidecarImage") => case.image.run_as_user = document["runAsUser"].as_i64(),
                other => panic!("{name}: expected a pod or what is around it, found {other:?}"),
            }
        }
        assert!(case.pod.is_object(), "{name}: there is no pod");
        case
    }

    fn outcome(&self, pod: &Value) -> Outcome {
        let around = Surroundings {
            image: &self.image,
            namespace_value: self.namespace_value.as_deref(),
            groups: &self.groups,
            limit_ranges: &self.limit_ranges,
        };
        inject(RawPod::new(pod), &around).unwrap()
    }

    /// What is said about the pod and, where it gets a sidecar, the pod with it.
    fn result(&self, name: &str) -> Value {
        let outcome = self.outcome(&self.pod);
        let warnings = outcome.warnings();
        let mut result = json!({"result": outcome.result(), "reason": outcome.reason(), "warnings": warnings});
        if let Outcome::Injected(injected) = &outcome {
            let mut pod = self.pod.clone();
            patch(&mut pod, &injected.patch).unwrap();
            assert_eq!(self.outcome(&pod), Outcome::Skipped(Skip::AlreadyThere), "{name}");
            typed::<Pod>(pod.clone(), name);
            result["group"] = json!(injected.group);
            result["pod"] = pod;
        }
        result
    }
}

fn typed<T: DeserializeOwned>(document: Value, name: &str) -> T {
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{name}: {error}"))
}
