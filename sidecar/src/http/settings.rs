//! What the handlers were told at the start: a plain value, made from the flags by `config`.
//!
//! *Never:* flags, what is stored.

use std::sync::Arc;

use protocol::{NameValidation, PathNames, endpoints::METRICS_PATH};

use super::BodyLimits;
use crate::{
    clock::UnixSeconds,
    exposition::{self, measurement::Naming},
};

/// How the HTTP edge behaves. The default is what upstream's defaults make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What stands before every path of the push listener; empty or `/a/b`.
    pub route_prefix: Arc<str>,
    /// Where the page is, behind the route prefix.
    pub telemetry_path: Arc<str>,
    /// What links on the status page start with; empty or `/a/b`.
    pub link_prefix: Arc<str>,
    /// How much pushes may take while they are under way.
    pub bodies: BodyLimits,
    /// How much a push may contain.
    pub pushes: exposition::Limits,
    /// Which names a push may have.
    pub names: NameValidation,
    /// How measurements are named, if they are.
    pub measurement: Option<Naming>,
    /// Whether a push that can be read is answered with 202 even where it does not fit; what is malformed is refused
    /// all the same, as is a push of the past where the group has moved on.
    pub is_unchecked: bool,
    /// Whether a push needs no job: bare `/metrics`, and labels without one.
    pub allows_missing_job: bool,
    /// Whether groups may be wiped, removed by matchers, and pushed with times of the past.
    pub has_admin_api: bool,
    /// Whether `/-/quit` ends the process.
    pub has_lifecycle_api: bool,
    /// Name and effective value of every flag of upstream's, for the status API, in upstream's order.
    pub flags: Vec<(String, String)>,
    /// When the process started.
    pub started: UnixSeconds,
}

// === impl Settings ===

impl Settings {
    /// How the paths of groups are read.
    #[must_use]
    pub fn path_names(&self) -> PathNames {
        match self.names {
            NameValidation::Legacy => PathNames::Legacy,
            NameValidation::Utf8 => PathNames::Utf8,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            route_prefix: "".into(),
            telemetry_path: METRICS_PATH.into(),
            link_prefix: "".into(),
            bodies: BodyLimits::default(),
            pushes: exposition::Limits::default(),
            names: NameValidation::Legacy,
            measurement: None,
            is_unchecked: false,
            allows_missing_job: false,
            has_admin_api: false,
            has_lifecycle_api: false,
            flags: Vec::new(),
            started: UnixSeconds::NEVER,
        }
    }
}
