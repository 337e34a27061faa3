//! What the manifests say about the cluster around the pods: `PushGroup`s, labels of namespaces, LimitRanges. Pure.
//!
//! Limits: a `PushGroup` is read with the defaults of its schema, but only the API server checks its rules.
//!
//! *Never:* pods.

use std::{collections::BTreeMap, sync::Arc};

use crds::{PushGroup, names};
use k8s_openapi::api::core::v1::LimitRange;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::{
    unquoted::unquoted,
    workloads::{Object, each_object, text_at},
};

/// All that is known, by namespace.
#[derive(Clone, Debug, Default)]
pub struct Known {
    groups: BTreeMap<String, Vec<Arc<PushGroup>>>,
    values: BTreeMap<String, String>,
    switches: BTreeMap<String, String>,
    limit_ranges: BTreeMap<String, Vec<LimitRange>>,
    /// What there is to say of namespaces.
    remarks: Vec<String>,
}

/// An object that cannot be read as what it says it is.
#[derive(Debug, thiserror::Error)]
#[error("{kind}/{name}: {error}")]
pub struct Unreadable {
    kind: String,
    name: String,
    error: serde_json::Error,
}

// === impl Known ===

impl Known {
    /// Takes in what a document says. Objects without a namespace are in that of the command.
    ///
    /// # Errors
    /// The first object that cannot be read.
    pub fn learn(&mut self, document: &Value, usual_namespace: &str) -> Result<(), Unreadable> {
        let mut learned = Ok(());
        each_object(document, &mut |object, _| {
            if learned.is_ok() {
                learned = self.learn_object(object, usual_namespace);
            }
        });
        learned
    }

    /// The groups of a namespace.
    #[must_use]
    pub fn groups(&self, namespace: &str) -> &[Arc<PushGroup>] {
        self.groups.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// The label `sidegate.dev/inject` of a namespace.
    #[must_use]
    pub fn value(&self, namespace: &str) -> Option<&str> {
        self.values.get(namespace).map(String::as_str)
    }

    /// Whether a namespace has the label that keeps the webhook out.
    #[must_use]
    pub fn is_switched_off(&self, namespace: &str) -> bool {
        self.switches.get(namespace).is_some_and(|value| value == names::WEBHOOK_DISABLED)
    }

    /// The bounds of a namespace.
    #[must_use]
    pub fn limit_ranges(&self, namespace: &str) -> &[LimitRange] {
        self.limit_ranges.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// What there is to say of namespaces, once.
    #[must_use]
    pub fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn learn_object(&mut self, object: Object<'_>, usual_namespace: &str) -> Result<(), Unreadable> {
        let namespace = text_at(object.value, &["metadata", "namespace"]).unwrap_or(usual_namespace).to_owned();
        match (object.group, object.kind) {
            ("sidegate.dev", "PushGroup") => {
                self.groups.entry(namespace).or_default().push(Arc::new(read(object)?));
            }
            ("", "LimitRange") => self.limit_ranges.entry(namespace).or_default().push(read(object)?),
            ("", "Namespace") => {
                let Some(name) = text_at(object.value, &["metadata", "name"]) else { return Ok(()) };
                self.remarks
                    .extend(unquoted(object.value).into_iter().map(|remark| format!("namespace/{name}: {remark}")));
                for (label, known) in [(names::INJECT, &mut self.values), (names::WEBHOOK_LABEL, &mut self.switches)] {
                    if let Some(value) = text_at(object.value, &["metadata", "labels", label]) {
                        known.insert(name.to_owned(), value.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(object: Object<'_>) -> Result<T, Unreadable> {
    let read = serde_json::to_value(object.value).and_then(serde_json::from_value);
    read.map_err(|error| Unreadable {
        kind: object.kind.to_lowercase(),
        name: text_at(object.value, &["metadata", "name"]).unwrap_or("?").to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;

    use super::*;

    fn known(documents: &[&str]) -> Result<Known, String> {
        let mut known = Known::default();
        for document in documents {
            known.learn(&serde_yaml::from_str(document).unwrap(), "usual").map_err(|error| error.to_string())?;
        }
        Ok(known)
    }

    #[test]
    fn what_is_around_the_pods_is_known_by_namespace() {
        let known = known(&[
            "{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {name: a}, spec: {selector: {}}}",
            "{apiVersion: v1, kind: List, items: [{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {name: b, namespace: data}, spec: {selector: {}}}]}",
            "{apiVersion: v1, kind: Namespace, metadata: {name: data, labels: {sidegate.dev/inject: \"true\"}}}",
            "{apiVersion: v1, kind: Namespace, metadata: {name: other}}",
            "{apiVersion: v1, kind: Namespace, metadata: {name: off, labels: {sidegate.dev/webhook: disabled}}}",
            "{apiVersion: v1, kind: Namespace, metadata: {name: on, labels: {sidegate.dev/webhook: enabled}}}",
            "{apiVersion: v1, kind: LimitRange, metadata: {name: l, namespace: data}, spec: {limits: [{type: Container}]}}",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}",
        ])
        .unwrap();
        let names = |namespace| known.groups(namespace).iter().map(|group| group.name_any()).collect::<Vec<_>>();
        assert_eq!(
            (names("usual"), names("data"), names("other")),
            (vec!["a".to_owned()], vec!["b".to_owned()], vec![])
        );
        assert_eq!((known.value("data"), known.value("other"), known.value("usual")), (Some("true"), None, None));
        assert_eq!(["off", "on", "data"].map(|namespace| known.is_switched_off(namespace)), [true, false, false]);
        assert_eq!((known.limit_ranges("data").len(), known.limit_ranges("usual").len()), (1, 0));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let bad = "{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {name: a}, spec: {staleAfter: soon}}";
        let error = known(&[bad]).unwrap_err();
        assert!(error.starts_with("pushgroup/a: ") && error.contains("soon"), "{error}");
    }
}
