//! The one way from a pod to its patch, for the webhook and the command line. Pure.
//!
//! [`decide`] says whether and of which group, [`overrides`] and [`ports`] what the pod itself has to say, [`container`] and
//! [`volumes`] what is put in, with [`ephemeral_storage`] fitted to the namespace's bounds by [`limit_range`], and [`patch`] where.
//!
//! *Never:* HTTP, reviews, where groups and limits come from, metrics.

use std::sync::Arc;

use crds::{
    PushGroup, PushGroupSpec,
    names::{PUSH_GROUP_LABEL, SIDECAR_HASH},
    sidecar::Sidecar,
};
use json_patch::Patch;
use k8s_openapi::api::core::v1::{LimitRange, ResourceRequirements};
use kube::ResourceExt;

use super::{
    arguments,
    container::{self, Circumstances},
    decide::{self, Pick, Reason, Skip, Wish},
    environment::Environment,
    ephemeral_storage,
    limit_range::{self, Fitted, PodSum, whole},
    overrides::{self, Wanted},
    patch::{self, Insertion},
    pod::RawPod,
    ports::{self, PushPort},
    version, volumes,
    warning::warning,
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
    let pick = match decide::wish(pod, around.namespace_value, around.groups) {
        Wish::Nothing(reason) => return Ok(Outcome::Untouched(reason)),
        Wish::Skip(skip) => return Ok(Outcome::Skipped(skip)),
        Wish::Sidecar(pick) => pick,
    };
    let group = decide::choose(&pick, pod, around.groups);
    let unknown = PushGroupSpec::default();
    let spec = group.as_ref().map_or(&unknown, |group| &group.spec);
    let (wanted, push_port, lowered) = match wanted(pod, &spec.sidecar, around.limit_ranges) {
        Ok(wanted) => wanted,
        Err(skip) => return Ok(Outcome::Skipped(skip)),
    };
    let mut warnings: Vec<_> = push_port.warning().into_iter().chain(lowered).collect();
    warnings.extend(match &group {
        Some(group) => addresses_left_out(group, &wanted).into_iter().chain(of_a_gateway(group)).collect(),
        None => vec![no_group(&pick, around.groups)],
    });
    warnings.extend(overrides::unread(pod));
    let reason = match (&pick, &group) {
        (Pick::Named(_), _) => "named",
        (Pick::Matching, Some(_)) => "selected",
        (Pick::Matching, None) => "no_group",
    };
    let name = match pick {
        Pick::Named(name) => Some(name),
        Pick::Matching => group.as_deref().map(ResourceExt::name_any),
    };
    warnings.extend(name.as_deref().and_then(|name| other_label(pod, name)));
    let insertion = insertion(around, &wanted, spec, name, push_port.number, pod)?;
    let patch = match patch::build(pod, &insertion) {
        Ok(patch) => patch,
        Err(malformed) => return Ok(Outcome::Skipped(Skip::Malformed(malformed))),
    };
    Ok(Outcome::Injected(Injected { patch, group: insertion.group, group_is_known: group.is_some(), reason, warnings }))
}

/// What is wanted of the sidecar, where it takes pushes, and sentences about what it is not given.
fn wanted(
    pod: RawPod<'_>,
    group: &Sidecar,
    limit_ranges: &[LimitRange],
) -> Result<(Wanted, PushPort, Vec<String>), Skip> {
    let mut wanted = Wanted::of(pod, group).map_err(Skip::BadValue)?;
    let push_port = ports::choose(pod, &wanted.sidecar)?;
    let circumstances = Circumstances::of(pod, push_port.number);
    let usual = container::resources(&wanted.sidecar, circumstances).map_err(Skip::BadValue)?;
    let place = patch::place(pod);
    let is_limited = ephemeral_storage::is_limited(pod, limit_ranges);
    // What the pod is given as a whole is for its containers to share; more of ours might not fit in.
    let (fitted, unused) = if circumstances.pod_level_resources {
        let fit = |usual: &ResourceRequirements| whole::fit(usual, pod, place, limit_ranges);
        (ephemeral_storage::fit(&usual, &mut wanted.sidecar, is_limited, fit), overrides::unused_quantities(pod))
    } else {
        let own = wanted.quantities.over(usual).map_err(Skip::BadValue)?;
        let sum_of = |resource: &str| PodSum::of(pod, place, resource);
        let fit = |own: &ResourceRequirements| limit_range::fit(own, sum_of, limit_ranges);
        (ephemeral_storage::fit(&own, &mut wanted.sidecar, is_limited, fit), None)
    };
    let Fitted { resources, mut warnings } = fitted.map_err(Skip::NoRoom)?;
    warnings.extend(unused);
    wanted.sidecar.resources = (resources != ResourceRequirements::default()).then_some(resources);
    Ok((wanted, push_port, warnings))
}

/// What to say about addresses of a group that only look like some.
fn addresses_left_out(group: &PushGroup, wanted: &Wanted) -> Vec<String> {
    let bad = if wanted.has_own_addresses { Vec::new() } else { arguments::listen_addresses(&wanted.sidecar).bad };
    let name = group.name_any();
    let left_out = ": no address to take pushes at, left out: \"";
    bad.into_iter().map(|address| warning(&["sidegate: PushGroup ", &name, left_out, address, "\""])).collect()
}

/// What to say where the group that was named is a Pushgateway's: it has no pods.
fn of_a_gateway(group: &PushGroup) -> Option<String> {
    let is_one = group.spec.gateway.is_some() && group.spec.selector.is_none();
    let after = " is a Pushgateway's: nobody scrapes this sidecar";
    is_one.then(|| warning(&["sidegate: PushGroup ", &group.name_any(), after]))
}

/// What to say where the pod has another group's label itself: it is scraped as one of that group.
fn other_label(pod: RawPod<'_>, name: &str) -> Option<String> {
    let labels = pod.labels();
    let own = labels.get(PUSH_GROUP_LABEL).filter(|own| *own != name)?;
    let start = format!("sidegate: expected {PUSH_GROUP_LABEL} to be ");
    Some(warning(&[&start, name, ", found ", own, ", which the pod keeps"]))
}

/// What to say where no group is known, which may come later; a name may be mistaken for another.
fn no_group(pick: &Pick, groups: &[Arc<PushGroup>]) -> String {
    match (pick, decide::listed(groups)) {
        (Pick::Matching, _) => {
            "sidegate: no PushGroup of the namespace selects this pod: nobody scrapes its sidecar".to_owned()
        }
        (Pick::Named(name), None) => {
            warning(&["sidegate: no PushGroup ", name, " in the namespace yet, nor any other"])
        }
        (Pick::Named(name), Some(others)) => {
            warning(&["sidegate: no PushGroup ", name, " in the namespace yet; there is ", &others])
        }
    }
}

fn insertion(
    around: &Surroundings<'_>,
    wanted: &Wanted,
    spec: &PushGroupSpec,
    group: Option<String>,
    push_port: u16,
    pod: RawPod<'_>,
) -> Result<Insertion, serde_json::Error> {
    let sidecar = &wanted.sidecar;
    let mut image = around.image.clone();
    if let Some(own) = &sidecar.image {
        image.image.clone_from(own);
    }
    let hold_open = arguments::hold_open_seconds(sidecar, &spec.scrape);
    let raises = wanted.raise_grace_period.unwrap_or(sidecar.raise_grace_period || pod.is_owned_by_a_job());
    let circumstances = Circumstances::of(pod, push_port);
    let container = serde_json::to_value(container::build(&image, sidecar, hold_open, circumstances))?;
    let mounted = volumes::volumes(sidecar);
    let volumes = mounted.iter().map(|one| serde_json::to_value(&one.volume)).collect::<Result<Vec<_>, _>>()?;
    let mut annotations = vec![(SIDECAR_HASH, version::hash(around.image, spec)?)];
    if volumes::storage_medium(sidecar).is_some() {
        annotations.push((volumes::SAFE_TO_EVICT, volumes::STORAGE_VOLUME.to_owned()));
    }
    Ok(Insertion {
        container,
        volumes,
        annotations,
        group,
        environment: Environment::new(wanted.app, sidecar, push_port),
        grace_period_seconds: (raises && 0 < hold_open).then(|| arguments::grace_period_for(hold_open)),
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

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
