//! Which of the newer fields the installed CRDs of monitors do not have, as learnt from the API server's refusals.
//!
//! Asking the CRDs themselves would need the right to read them. What was learnt stands for a while, and until a kind
//! appears anew: somebody may install newer CRDs.
//!
//! *Never:* the API server, what a field is for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::api::{NEWER_FIELDS, NewerField};

/// After this time a field is tried again.
const STANDS: SignedDuration = SignedDuration::from_mins(10);

/// Fields that were refused, with the kind of the monitor and when.
#[derive(Debug, Default)]
pub struct Undeclared(Mutex<Vec<(String, NewerField, Timestamp)>>);

// === impl Undeclared ===

impl Undeclared {
    /// Whether a kind is known not to have a field.
    #[must_use]
    pub fn has(&self, kind: &str, field: NewerField, now: Timestamp) -> bool {
        let stands = |at: &Timestamp| (SignedDuration::ZERO..STANDS).contains(&now.duration_since(*at));
        self.refused().iter().any(|(refused, which, at)| refused == kind && *which == field && stands(at))
    }

    /// Reads a refusal by the API server; the field it is about, which is then known.
    pub fn learn(&self, kind: &str, refusal: &str, now: Timestamp) -> Option<NewerField> {
        let is_about =
            |field: &NewerField| refusal.contains(&format!("{}: field not declared in schema", field.as_str()));
        let field = NEWER_FIELDS.into_iter().find(is_about)?;
        let mut refused = self.refused();
        refused.retain(|(known, which, _)| known != kind || *which != field);
        refused.push((kind.to_owned(), field, now));
        Some(field)
    }

    /// Other CRDs may be installed now.
    pub fn forget(&self) {
        self.refused().clear();
    }

    fn refused(&self) -> MutexGuard<'_, Vec<(String, NewerField, Timestamp)>> {
        // Whoever panicked with the lock held left whole entries behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);
    const REFUSAL: &str = "failed to create typed patch object (data/sidegate-a; monitoring.coreos.com/v1, \
                           Kind=ServiceMonitor): .spec.serviceDiscoveryRole: field not declared in schema";

    #[test]
    fn a_refused_field_is_left_out_for_its_kind_and_for_a_while() {
        let undeclared = Undeclared::default();
        let field = NewerField::ServiceDiscoveryRole;
        assert_eq!(undeclared.learn("ServiceMonitor", REFUSAL, NOW), Some(field));
        assert!(undeclared.has("ServiceMonitor", field, NOW));
        assert!(!undeclared.has("PodMonitor", field, NOW));
        assert!(!undeclared.has("ServiceMonitor", NewerField::TrackTimestampsStaleness, NOW));
        assert!(!undeclared.has("ServiceMonitor", field, NOW + STANDS));
        undeclared.forget();
        assert!(!undeclared.has("ServiceMonitor", field, NOW));
    }

    #[test]
    fn other_refusals_teach_nothing() {
        let undeclared = Undeclared::default();
        for refusal in
            ["forbidden", ".spec.sampleLimit: field not declared in schema", "serviceDiscoveryRole: Unsupported"]
        {
            assert_eq!(undeclared.learn("ServiceMonitor", refusal, NOW), None, "{refusal}");
        }
    }
}
