//! The one way from a pod to its patch, for the webhook and the command line. Pure.
//!
//! [`decide`](super::decide) says whether and of which group, [`container`](super::container) and
//! [`volumes`](super::volumes) what is put in, and [`patch`](super::patch) where.
//!
//! *Never:* HTTP, reviews, where groups and limits come from, metrics.

use std::sync::Arc;

use crds::{PushGroup, PushGroupSpec};
use json_patch::Patch;
use k8s_openapi::api::core::v1::LimitRange;
use kube::ResourceExt;

use super::{
    arguments,
    container::{self, Circumstances},
    decide::{self, Pick, Reason, Skip, Wish},
    patch::{self, Insertion},
    pod::RawPod,
    volumes,
};
use crate::config::SidecarImage;

/// What is known around a pod.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// What is injected.
    pub image: &'a SidecarImage,
    /// The label `sidegate.dev/inject` of its namespace.
    pub namespace_value: Option<&'a str>,
    /// The groups of its namespace.
    pub groups: &'a [Arc<PushGroup>],
    /// The bounds of its namespace.
    pub limit_ranges: &'a [LimitRange],
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It gets no sidecar, and none was asked for.
    Untouched(Reason),
    /// It asks for one, and something stands in the way.
    Skipped(Skip),
    /// It gets one.
    Injected(Injected),
}

/// A pod that gets a sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// The operations on the pod.
    pub patch: Patch,
    /// The `PushGroup` it belongs to from now on.
    pub group: Option<String>,
    /// Whether that group is one of those that were given, so that its sidecar is as the group wants it.
    pub group_is_known: bool,
    /// How the group was found, as a metric label.
    pub reason: &'static str,
    /// Sentences for whoever made the pod.
    pub warnings: Vec<String>,
}

/// Decides about a pod and, where it gets a sidecar, makes the patch.
///
/// # Errors
/// When the sidecar cannot be written as JSON, which is a fault of ours.
pub fn inject(pod: RawPod<'_>, around: &Surroundings<'_>) -> Result<Outcome, serde_json::Error> {
    let pick = match decide::wish(pod) {
        Wish::Nothing(reason) => return Ok(Outcome::Untouched(reason)),
        Wish::Skip(skip) => return Ok(Outcome::Skipped(skip)),
        Wish::Sidecar(pick) => pick,
    };
    let group = decide::choose(&pick, pod, around.groups);
    let mut warnings = Vec::new();
    if let Some(group) = &group {
        let addresses = arguments::listen_addresses(&group.spec.sidecar);
        let ports: Vec<_> = addresses.good.iter().map(|(_, port)| *port).collect();
        if let Some(skip) = decide::taken(pod, &ports) {
            return Ok(Outcome::Skipped(skip));
        }
        for address in addresses.bad {
            let name = group.name_any();
            warnings.push(format!(
                "sidegate: PushGroup {name}: listenAddresses: {address:?} is no address to take pushes at: left out"
            ));
        }
    } else if pick == Pick::Matching {
        let warning = "sidegate: no PushGroup of the namespace selects this pod: nobody scrapes its sidecar";
        warnings.push(warning.to_owned());
    }
    let reason = match (&pick, &group) {
        (Pick::Named(_), _) => "named",
        (Pick::Matching, Some(_)) => "selected",
        (Pick::Matching, None) => "no_group",
    };
    let insertion = insertion(around.image, pick, group.as_deref(), pod)?;
    Ok(Outcome::Injected(Injected {
        patch: patch::build(pod, &insertion),
        group: insertion.group,
        group_is_known: group.is_some(),
        reason,
        warnings,
    }))
}

fn insertion(
    image: &SidecarImage,
    pick: Pick,
    group: Option<&PushGroup>,
    pod: RawPod<'_>,
) -> Result<Insertion, serde_json::Error> {
    let unknown = PushGroupSpec::default();
    let spec = group.map_or(&unknown, |group| &group.spec);
    let circumstances = Circumstances {
        active_deadline_seconds: pod.active_deadline_seconds(),
        guaranteed: pod.is_guaranteed(),
        cpu_limited: pod.is_cpu_limited(),
        pod_level_resources: pod.has_pod_level_resources(),
    };
    let hold_open = arguments::hold_open_seconds(&spec.sidecar, &spec.scrape);
    let mounted = volumes::volumes(&spec.sidecar);
    let storage = volumes::storage_medium(&spec.sidecar).is_some();
    let raised = 0 < hold_open && (spec.sidecar.raise_grace_period || pod.is_owned_by_a_job());
    Ok(Insertion {
        container: serde_json::to_value(container::build(image, &spec.sidecar, hold_open, circumstances))?,
        volumes: mounted.iter().map(|one| serde_json::to_value(&one.volume)).collect::<Result<_, _>>()?,
        annotations: if storage { vec![(volumes::SAFE_TO_EVICT, volumes::STORAGE_VOLUME)] } else { Vec::new() },
        group: match pick {
            Pick::Named(name) => Some(name),
            Pick::Matching => group.map(ResourceExt::name_any),
        },
        environment: container::environment(&spec.sidecar).into(),
        grace_period_seconds: raised.then(|| arguments::grace_period_for(hold_open)),
    })
}

// === impl Outcome ===

impl Outcome {
    /// What was done, as a metric label.
    #[must_use]
    pub fn result(&self) -> &'static str {
        match self {
            Self::Untouched(_) => "untouched",
            Self::Skipped(_) => "skipped",
            Self::Injected(_) => "injected",
        }
    }

    /// Why, as a metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Untouched(reason) => reason.as_str(),
            Self::Skipped(skip) => skip.reason(),
            Self::Injected(injected) => injected.reason,
        }
    }

    /// Sentences for whoever made the pod.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Untouched(_) => Vec::new(),
            Self::Skipped(skip) => skip.warning().into_iter().collect(),
            Self::Injected(injected) => injected.warnings.clone(),
        }
    }
}
