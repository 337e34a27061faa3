//! The `PushGroup` resource: its types, its validation, the names it is known by, and its YAML.
//!
//! The doc comments on the fields are the descriptions that `kubectl explain` prints, and every rule that can be said
//! in the schema or in CEL stands beside its field, so that the API server refuses a wrong object with a sentence.
//!
//! | Module | Owns |
//! | --- | --- |
//! | [`push_group`] | `spec` and its rules |
//! | [`sidecar`] | `spec.sidecar`: what an injected pod gets |
//! | [`scrape`] | `spec.scrape`: the monitor, the NetworkPolicy |
//! | [`secret`] | how a Secret is named |
//! | [`status`] | `status`, condition types and reasons |
//! | [`duration`] | durations as Prometheus writes them |
//! | [`names`] | labels, annotations, field managers |
//!
//! *Never:* a client, async, what a controller does with any of it.

#![allow(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]

pub mod duration;
pub mod names;
pub mod push_group;
pub mod scrape;
pub mod secret;
pub mod sidecar;
pub mod status;

pub use duration::Duration;
pub use push_group::{PushGroup, PushGroupSpec};
pub use status::PushGroupStatus;

/// The YAML of the `CustomResourceDefinition`, as committed in `crds/pushgroups.yaml`.
///
/// # Errors
/// Those of the YAML writer; the types of this crate give it no reason for one.
pub fn custom_resource_definition_yaml() -> Result<String, serde_yaml::Error> {
    let yaml = serde_yaml::to_string(&<PushGroup as kube::CustomResourceExt>::crd())?;
    Ok(format!(
        "# Made from the types in crds/src; do not edit. `SIDEGATE_BLESS=1 cargo test -p crds` makes it anew.\n{yaml}"
    ))
}
