//! The labels `pod` and `namespace`, in a process that knows which pod it is in: a series that says it is of another
//! one is not shown so.
//!
//! A monitor honours the labels of a sidecar, for the sake of `job` and `instance`; so it is here that a label which is
//! not true gets out of the way, to the name that Prometheus gives it where labels are not honoured. Nothing takes its
//! place: Prometheus adds what it knows of the target. A label without a value says nothing and stays as it is; to
//! Prometheus the series then has none, and gets none, as it is with `instance`.
//!
//! The key of a group stays as it was pushed. What is shown of it, its push times too, has the names of this module.
//!
//! *Never:* where the truth comes from, families, the page.

use std::sync::Arc;

use protocol::{GroupingKey, LabelSet};

use super::change::Objection;

/// What Prometheus puts before the name of a label that has to make room.
const PREFIX: &str = "exported_";

/// Which pod the process is in, as far as it knows, and what becomes of labels that say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name of the pod. Without it the label `pod` is like any other.
    pub pod: Option<Arc<str>>,
    /// The namespace of the pod. Without it the label `namespace` is like any other.
    pub namespace: Option<Arc<str>>,
    /// What becomes of labels that are not true.
    pub rule: IdentityRule,
}

/// What becomes of a label `pod` or `namespace` that is not true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityRule {
    /// It is shown as `exported_pod` or `exported_namespace`.
    #[default]
    Rename,
    /// The push is refused. What is there all the same is shown as by [`IdentityRule::Rename`].
    Refuse,
    /// It is shown as it was pushed.
    Allow,
}

// === impl Identity ===

impl Identity {
    /// The labels that a series is shown with. A new name that is taken gets the prefix again, as in Prometheus.
    pub(super) fn exposed(&self, mut labels: LabelSet) -> LabelSet {
        if self.rule == IdentityRule::Allow {
            return labels;
        }
        for (label, truth) in self.truths() {
            if is_true(&labels, label, truth) {
                continue;
            }
            let value = labels.remove(label).unwrap_or_default();
            let mut name = format!("{PREFIX}{label}");
            while labels.get(&name).is_some_and(|taken| !taken.is_empty()) {
                name.insert_str(0, PREFIX);
            }
            labels.insert(name, value);
        }
        labels
    }

    /// The labels that a series is shown with, if they are other than these.
    pub(super) fn renamed<'a, L: Iterator<Item = (&'a str, &'a str)>>(
        &self,
        labels: impl Fn() -> L,
    ) -> Option<LabelSet> {
        if self.rule == IdentityRule::Allow {
            return None;
        }
        let is_true = |(name, value): (&str, &str)| {
            value.is_empty() || self.truths().all(|(label, truth)| name != label || value == truth)
        };
        if labels().all(is_true) { None } else { Some(self.exposed(labels().collect())) }
    }

    /// The labels that the push times of a group are shown with.
    pub(super) fn exposed_key(&self, key: &GroupingKey) -> LabelSet {
        self.exposed(key.exposed_labels())
    }

    /// Why labels are refused, those of a family or, without its name, of a grouping key.
    pub(super) fn objection(&self, name: Option<&str>, labels: &LabelSet) -> Option<Objection> {
        if self.rule != IdentityRule::Refuse {
            return None;
        }
        let (label, truth) = self.truths().find(|(label, truth)| !is_true(labels, label, truth))?;
        let (truth, found) = (truth.to_owned(), labels.get(label).unwrap_or_default().to_owned());
        Some(Objection::Identity { name: name.map(str::to_owned), label, truth, found })
    }

    fn truths(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let known = [("pod", &self.pod), ("namespace", &self.namespace)];
        known.into_iter().filter_map(|(label, truth)| Some((label, truth.as_deref()?)))
    }
}

fn is_true(labels: &LabelSet, label: &str, truth: &str) -> bool {
    labels.get(label).is_none_or(|value| value.is_empty() || value == truth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(rule: IdentityRule) -> Identity {
        Identity { pod: Some("web-0".into()), namespace: Some("data".into()), rule }
    }

    #[track_caller]
    fn check(pushed: &[(&str, &str)], shown: &[(&str, &str)]) {
        let set = |labels: &[(&str, &str)]| labels.iter().copied().collect::<LabelSet>();
        for rule in [IdentityRule::Rename, IdentityRule::Refuse] {
            assert_eq!(identity(rule).exposed(set(pushed)), set(shown));
        }
        assert_eq!(identity(IdentityRule::Allow).exposed(set(pushed)), set(pushed));
        let unknown = Identity { pod: None, namespace: None, ..identity(IdentityRule::Rename) };
        assert_eq!(unknown.exposed(set(pushed)), set(pushed));
    }

    #[test]
    fn what_is_not_true_makes_room() {
        check(&[("a", "b"), ("pod", "db-1")], &[("a", "b"), ("exported_pod", "db-1")]);
        check(&[("namespace", "x"), ("pod", "y")], &[("exported_namespace", "x"), ("exported_pod", "y")]);
        check(&[("namespace", "data"), ("pod", "y")], &[("namespace", "data"), ("exported_pod", "y")]);
    }

    #[test]
    fn what_is_true_stays() {
        check(&[("namespace", "data"), ("pod", "web-0")], &[("namespace", "data"), ("pod", "web-0")]);
        check(&[("exported_pod", "db-1")], &[("exported_pod", "db-1")]);
        check(&[("Pod", "db-1"), ("pod_name", "db-1")], &[("Pod", "db-1"), ("pod_name", "db-1")]);
    }

    #[test]
    fn a_label_without_a_value_says_nothing_and_stays() {
        check(&[("namespace", ""), ("pod", "")], &[("namespace", ""), ("pod", "")]);
    }

    #[test]
    fn a_name_that_is_taken_gets_the_prefix_again() {
        check(
            &[("exported_exported_pod", "a"), ("exported_pod", "b"), ("pod", "c")],
            &[("exported_exported_exported_pod", "c"), ("exported_exported_pod", "a"), ("exported_pod", "b")],
        );
        check(&[("exported_pod", ""), ("pod", "c")], &[("exported_pod", "c")]);
    }

    #[test]
    fn only_refusing_objects_and_says_to_what() {
        let labels: LabelSet = [("namespace", "x"), ("pod", "web-0")].into_iter().collect();
        for rule in [IdentityRule::Rename, IdentityRule::Allow] {
            assert_eq!(identity(rule).objection(Some("m"), &labels), None);
        }
        let refusing = identity(IdentityRule::Refuse);
        let said = |name| refusing.objection(name, &labels).unwrap().to_string();
        let start = "expected no label \"namespace\" but this pod's own, \"data\", found \"x\"";
        assert_eq!(said(Some("m")), format!("{start} on \"m\""));
        assert_eq!(said(None), format!("{start} in the grouping key"));
        assert_eq!(refusing.objection(None, &[("pod", "web-0")].into_iter().collect()), None);
    }
}
