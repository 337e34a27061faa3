//! What the sidecars of a group are made of, as a short text: it tells a sidecar that its pod's successor would have, too,
//! from an older one. Pure.
//!
//! Admission writes it on the pod and the controller compares, each by what it knows of the operator's flags and of the
//! `PushGroup`. Nothing of a pod is in it: what its own annotations, its ports or the bounds of its namespace make of a
//! sidecar is the pod's, whatever becomes of the group.
//!
//! *Never:* containers, which pods there are.

use crds::{PushGroupSpec, sidecar::Sidecar};
use sha2::{Digest as _, Sha256};

use super::arguments::hold_open_seconds;
use crate::config::SidecarImage;

/// As much of a hash as it takes to tell some thousand versions apart.
const HASH_BYTES: usize = 8;

/// The version of a group's sidecars, the same for the same.
///
/// # Errors
/// When `spec.sidecar` cannot be written as JSON, which is a fault of ours.
pub fn hash(operators: &SidecarImage, group: &PushGroupSpec) -> Result<String, serde_json::Error> {
    // Taken apart by name, so that a setting that is left out does not compile unnoticed.
    let SidecarImage { image, pull_policy, run_as_user } = operators;
    let image = group.sidecar.image.as_ref().unwrap_or(image);
    let hold_open = hold_open_seconds(&group.sidecar, &group.scrape);
    // These two count as what becomes of them.
    let rest = Sidecar { image: None, hold_open: None, ..group.sidecar.clone() };
    let made_of = serde_json::to_vec(&(image, pull_policy, run_as_user, hold_open, rest))?;
    Ok(Sha256::digest(made_of).iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn image() -> SidecarImage {
        SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() }
    }

    fn of(image: SidecarImage, spec: Value) -> String {
        hash(&image, &serde_json::from_value(spec).unwrap()).unwrap()
    }

    /// Whether the sidecars of a group with some fields are of the version that they are of without.
    #[track_caller]
    fn check(spec: Value, is_same: bool) {
        assert_eq!(of(image(), spec.clone()) == of(image(), json!({})), is_same, "{spec}");
    }

    #[test]
    fn what_becomes_of_the_sidecar_makes_a_version() {
        check(json!({"sidecar": {"image": "sidegate:2"}}), false);
        check(json!({"sidecar": {"log": {"level": "debug"}}}), false);
        check(json!({"sidecar": {"limits": {"groups": 7}}}), false);
        check(json!({"sidecar": {"resources": {"limits": {"memory": "128Mi"}}}}), false);
        check(json!({"sidecar": {"raiseGracePeriod": true}}), false);
        check(json!({"sidecar": {"holdOpen": "90s"}}), false);
        check(json!({"scrape": {"interval": "1m"}}), false);
    }

    #[test]
    fn what_nothing_becomes_of_makes_none() {
        check(json!({"selector": {"matchLabels": {"app": "etl"}}, "staleAfter": "1h", "dryRun": true}), true);
        check(json!({"rules": [{"match": {"job": "a"}, "staleAfter": "1h"}]}), true);
        check(json!({"scrape": {"kind": "PodMonitor", "labels": {"release": "stack"}}}), true);
        check(json!({"sidecar": {"image": "sidegate:1"}}), true);
        // That is how long it is by default.
        check(json!({"sidecar": {"holdOpen": "30s"}}), true);
        check(json!({"sidecar": {"holdOpen": "30s"}, "scrape": {"interval": "1m"}}), true);
    }

    #[test]
    fn the_operators_settings_count_where_the_group_has_none() {
        let others = [
            SidecarImage { image: "sidegate:2".to_owned(), ..image() },
            SidecarImage { pull_policy: "Always".to_owned(), ..image() },
            SidecarImage { run_as_user: None, ..image() },
        ];
        for other in &others {
            assert_ne!(of(other.clone(), json!({})), of(image(), json!({})), "{other:?}");
        }
        let [other_image, ..] = others;
        let own = json!({"sidecar": {"image": "own:1"}});
        assert_eq!(of(other_image, own.clone()), of(image(), own));
    }
}
