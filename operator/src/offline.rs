//! `sidegate-operator inject`: manifests in, the same manifests with sidecars out, without a cluster.
//!
//! A pod gets what the webhook would give it, by [`crate::injection::inject`]; so does what the template of a workload will
//! make. What the cluster would know besides is taken from the manifests: `PushGroup`s, labels of namespaces, LimitRanges.
//! A document that does not change is passed on as it came, byte for byte; one that does is written anew, and then loses
//! its comments, but those before its first value, and has its anchors followed. A second run changes nothing.
//!
//! What is said of a namespace is said of the manifests: a `PushGroup` that is not there may be in the cluster.
//!
//! Limits: the namespace of the operator itself, which the webhook leaves out, is not known, nor are those to which the
//! chart keeps it. Neither are labels that a controller adds to its pods, nor which of several `PushGroup`s is the oldest,
//! unless the manifests say so: the first by name stands for it.
//!
//! *Never:* files, standard output, a cluster.

pub mod apply;
pub mod command;
pub mod documents;
pub mod known;
pub mod unquoted;
pub mod workloads;
pub mod yaml;

use std::fmt::Write as _;

use crds::names;
use serde_json::json;
use serde_yaml::{Mapping, Value};

use crate::{
    config::SidecarImage,
    injection::{
        decide::Skip,
        inject::{Outcome, Surroundings, inject},
        limit_range,
        pod::RawPod,
    },
};
use apply::{apply, at_mut};
use documents::{BadDocument, Document, documents};
use known::Known;
use unquoted::unquoted;
use workloads::{Workload, workloads};

/// What the command says beside the manifests.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What is injected.
    pub image: &'a SidecarImage,
    /// The namespace of what does not say one.
    pub namespace: &'a str,
}

/// What comes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The manifests.
    pub manifests: String,
    /// A sentence on each workload, and more where there is something to warn of, of namespaces too: `job/backup: injected,
    /// …`.
    pub remarks: Vec<String>,
}

/// Why nothing comes out.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Some text is no manifest.
    #[error(transparent)]
    Bad(#[from] BadDocument),
    /// A document is fine as text, and something in it is not.
    #[error("document {number}: {error}")]
    Document {
        /// Which one, from 1.
        number: usize,
        /// What is wrong in it.
        error: DocumentError,
    },
}

/// What is wrong in a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// An object around the pods.
    #[error(transparent)]
    Known(#[from] known::Unreadable),
    /// It would have to be written anew.
    #[error("{workload} gets a sidecar, and {loss} would be lost where the document is written anew: expected none")]
    Loss {
        /// The workload, as in remarks.
        workload: String,
        /// What would be lost.
        loss: String,
    },
    /// A sidecar cannot be written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A patch does not fit.
    #[error(transparent)]
    Apply(#[from] apply::ApplyError),
    /// The result cannot be written.
    #[error(transparent)]
    Write(#[from] yaml::WriteError),
}

/// Puts sidecars into manifests, with what is known besides.
///
/// # Errors
/// The first mistake, with the number of its document.
pub fn run(manifests: &str, mut known: Known, given: Given<'_>) -> Result<Done, OfflineError> {
    let documents = learn(&mut known, manifests, given)?;
    let mut done = Done { remarks: known.take_remarks(), ..Done::default() };
    for document in documents {
        let number = document.number;
        inject_into(document, &known, given, &mut done).map_err(|error| OfflineError::Document { number, error })?;
    }
    Ok(done)
}

/// Takes in what manifests say about the cluster around the pods.
///
/// # Errors
/// The first mistake, with the number of its document.
pub fn learn<'a>(known: &mut Known, text: &'a str, given: Given<'_>) -> Result<Vec<Document<'a>>, OfflineError> {
    let documents = documents(text)?;
    for document in &documents {
        if let Some(tree) = &document.tree {
            let learned = known.learn(&tree.value, given.namespace);
            let number = document.number;
            learned.map_err(|error| OfflineError::Document { number, error: error.into() })?;
        }
    }
    Ok(documents)
}

fn inject_into(document: Document<'_>, known: &Known, given: Given<'_>, done: &mut Done) -> Result<(), DocumentError> {
    let Some(mut tree) = document.tree else {
        done.manifests.push_str(document.text);
        return Ok(());
    };
    let mut is_changed = false;
    for workload in workloads(&tree.value) {
        let shown = format!("{}/{}", workload.kind.to_lowercase(), workload.name);
        let Some(pod) = at_mut(&mut tree.value, &workload.path).filter(|pod| pod.is_mapping()) else {
            done.remarks.push(format!("{shown}: left alone: it has no pod template"));
            continue;
        };
        let (injected, remarks) = inject_pod(pod, &workload, known, given)?;
        done.remarks.extend(remarks.into_iter().map(|remark| format!("{shown}: {remark}")));
        if let (true, Some(loss)) = (injected, tree.loss.take()) {
            return Err(DocumentError::Loss { workload: shown, loss });
        }
        is_changed |= injected;
    }
    if !is_changed {
        done.manifests.push_str(document.text);
        return Ok(());
    }
    if !done.manifests.is_empty() && !done.manifests.ends_with('\n') {
        done.manifests.push('\n');
    }
    let written = yaml::write(&tree.value, document.form)?;
    // Writing to a string does not fail.
    let _ = writeln!(done.manifests, "{}{}", document.head, written.trim_end());
    Ok(())
}

/// Whether the pod got a sidecar, and what there is to say.
fn inject_pod(
    pod: &mut Value,
    workload: &Workload,
    known: &Known,
    given: Given<'_>,
) -> Result<(bool, Vec<String>), DocumentError> {
    let namespace = workload.namespace.as_deref().unwrap_or(given.namespace);
    if names::SYSTEM_NAMESPACES.contains(&namespace) {
        return Ok((false, vec![format!("left alone: the webhook takes no pods of {namespace}")]));
    }
    if known.is_switched_off(namespace) {
        let label = format!("{}: {}", names::WEBHOOK_LABEL, names::WEBHOOK_DISABLED);
        return Ok((false, vec![format!("left alone: the webhook takes no pods of {namespace}, which has {label}")]));
    }
    let around = Surroundings {
        image: given.image,
        namespace_value: known.value(namespace),
        groups: known.groups(namespace),
        limit_ranges: known.limit_ranges(namespace),
    };
    let mut raw = as_made(pod, workload.is_of_a_job)?;
    // For the decision: what is written is left for the API server to fill in.
    limit_range::fill_in(&mut raw, around.limit_ranges);
    let (name, operator) = names::OPERATOR_POD_LABEL;
    if RawPod::new(&raw).labels().get(name).is_some_and(|value| value == operator) {
        return Ok((false, vec!["left alone: the webhook takes no pods of the operator itself".to_owned()]));
    }
    let outcome = inject(RawPod::new(&raw), &around)?;
    let warnings = outcome.warnings();
    // In what is made of the template they are nothing at all.
    let mut remarks = unquoted(pod);
    let is_injected = match outcome {
        Outcome::Untouched(_) if workload.asks_outside => {
            remarks.push(format!(
                "left alone: {} is on the {}, where it means nothing; expected it in the metadata of its pod template",
                names::INJECT,
                workload.kind
            ));
            false
        }
        Outcome::Untouched(reason) => {
            remarks.push(format!("left alone: {}", reason.as_str().replace('_', " ")));
            false
        }
        Outcome::Skipped(Skip::AlreadyThere | Skip::LatePort { .. }) => {
            remarks.push("left alone: it has the sidecar".to_owned());
            false
        }
        Outcome::Skipped(_) => false,
        Outcome::Injected(injected) => {
            with_metadata(pod);
            apply(&injected.patch, pod)?;
            remarks.push(match &injected.group {
                Some(group) => format!("injected, PushGroup {group}"),
                None => "injected, no PushGroup".to_owned(),
            });
            true
        }
    };
    remarks.extend(warnings.into_iter().map(|warning| warning.trim_start_matches("sidegate: ").to_owned()));
    Ok((is_injected, remarks))
}

/// The pod as its controller would make it, as far as that matters to a sidecar.
fn as_made(template: &Value, is_of_a_job: bool) -> Result<serde_json::Value, serde_json::Error> {
    let mut pod = template.clone();
    with_metadata(&mut pod);
    let mut pod = serde_json::to_value(&pod)?;
    if let Some(metadata) = pod.get_mut("metadata").and_then(serde_json::Value::as_object_mut).filter(|_| is_of_a_job) {
        metadata.insert("ownerReferences".to_owned(), json!([{"apiVersion": "batch/v1", "kind": "Job"}]));
    }
    Ok(pod)
}

/// No pod is without metadata.
fn with_metadata(pod: &mut Value) {
    if let Value::Mapping(pod) = pod {
        let metadata = pod.entry("metadata".into()).or_insert(Value::Null);
        if metadata.is_null() {
            *metadata = Value::Mapping(Mapping::new());
        }
    }
}

#[cfg(test)]
mod tests;
