//! The one way from a pod to its patch, for the webhook and the command line. Pure.
//!
//! [`decide`](super::decide) says whether and of which group, [`container`](super::container) and
//! [`volumes`](super::volumes) what is put in, and [`patch`](super::patch) where.
//!
//! *Never:* HTTP, reviews, where groups and limits come from, metrics.

use std::sync::Arc;

use crds::{PushGroup, PushGroupSpec, names::SIDECAR_HASH};
use json_patch::Patch;
use k8s_openapi::api::core::v1::LimitRange;
use kube::ResourceExt;

use protocol::endpoints::PUSH_PORT;
use serde_json::json;

use super::{
    arguments,
    container::{self, Circumstances},
    decide::{self, Pick, Reason, Skip, Wish},
    environment::{AppSide, Environment},
    limit_range::{self, NoRoom, PodSum},
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
    let insertion = match insertion(around, pick, group.as_deref(), pod, &mut warnings)? {
        Ok(insertion) => insertion,
        Err(no_room) => return Ok(Outcome::Skipped(Skip::NoRoom(no_room))),
    };
    let patch = match patch::build(pod, &insertion) {
        Ok(patch) => patch,
        Err(malformed) => return Ok(Outcome::Skipped(Skip::Malformed(malformed))),
    };
    Ok(Outcome::Injected(Injected {
        patch,
        group: insertion.group,
        group_is_known: group.is_some(),
        reason,
        warnings,
    }))
}

fn insertion(
    around: &Surroundings<'_>,
    pick: Pick,
    group: Option<&PushGroup>,
    pod: RawPod<'_>,
    warnings: &mut Vec<String>,
) -> Result<Result<Insertion, NoRoom>, serde_json::Error> {
    let unknown = PushGroupSpec::default();
    let spec = group.map_or(&unknown, |group| &group.spec);
    let circumstances = Circumstances::of(pod, PUSH_PORT);
    let hold_open = arguments::hold_open_seconds(&spec.sidecar, &spec.scrape);
    let mut container = container::build(around.image, &spec.sidecar, hold_open, circumstances);
    if let Some(wanted) = &container.resources {
        let sum_of = |resource: &str| PodSum::of(pod, patch::place(pod), resource);
        let fitted = match limit_range::fit(wanted, sum_of, around.limit_ranges) {
            Ok(fitted) => fitted,
            Err(no_room) => return Ok(Err(no_room)),
        };
        container.resources = Some(fitted.resources);
        warnings.extend(fitted.warnings);
    }
    let container = serde_json::to_value(container)?;
    let mounted = volumes::volumes(&spec.sidecar);
    let volumes = mounted.iter().map(|one| serde_json::to_value(&one.volume)).collect::<Result<Vec<_>, _>>()?;
    let mut annotations = vec![(SIDECAR_HASH, container::hash(&json!([container, volumes])))];
    if volumes::storage_medium(&spec.sidecar).is_some() {
        annotations.push((volumes::SAFE_TO_EVICT, volumes::STORAGE_VOLUME.to_owned()));
    }
    let raised = 0 < hold_open && (spec.sidecar.raise_grace_period || pod.is_owned_by_a_job());
    Ok(Ok(Insertion {
        container,
        volumes,
        annotations,
        group: match pick {
            Pick::Named(name) => Some(name),
            Pick::Matching => group.map(ResourceExt::name_any),
        },
        environment: Environment::new(AppSide::default(), &spec.sidecar, circumstances.push_port),
        grace_period_seconds: raised.then(|| arguments::grace_period_for(hold_open)),
    }))
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
