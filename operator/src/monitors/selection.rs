//! Which Prometheuses take a monitor, and why the others do not. Pure.
//!
//! Not looked at: namespaces that the Prometheus Operator itself was told to leave out by its flags.
//!
//! *Never:* the client, how the Prometheuses came to be known.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    Resource as _,
    core::{Expression, SelectorExt as _},
};

use super::{
    api::{PodMonitor, ServiceMonitor},
    prometheus::{Excluded, Scraper},
};

/// The label of a namespace that every API server sets to its name.
pub(super) const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A monitor that is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitored {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

/// A Prometheus that takes a monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct Taker {
    /// Who it is.
    pub scraper: Scraper,
    /// Whether the monitor is excluded from the label that it enforces.
    pub exempts: bool,
}

/// The kind of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ServiceMonitor.
    ServiceMonitor,
    /// A PodMonitor.
    PodMonitor,
}

/// What becomes of a monitor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Those that take it.
    pub takers: Vec<Taker>,
    /// Why others do not, as sentences without an end.
    pub refusals: Vec<String>,
    /// Whether some cannot be told, for want of the namespace's labels.
    pub is_unclear: bool,
}

/// What one Prometheus does.
enum Choice {
    Takes,
    Refuses(String),
    CannotTell,
}

/// Asks all Prometheuses about a monitor. The labels of its namespace may be unknown.
pub fn select<'a>(
    scrapers: impl IntoIterator<Item = &'a Scraper>,
    monitor: &Monitored,
    namespace_labels: Option<&Labels>,
) -> Selection {
    let mut selection = Selection::default();
    for scraper in scrapers {
        match choose(scraper, monitor, namespace_labels) {
            Choice::Takes => {
                let exempts = scraper.common.excluded_from_enforcement.iter().any(|excluded| excluded.is(monitor));
                selection.takers.push(Taker { scraper: scraper.clone(), exempts });
            }
            Choice::Refuses(why) => selection.refusals.push(format!("{scraper} {why}")),
            Choice::CannotTell => selection.is_unclear = true,
        }
    }
    selection
}

fn choose(scraper: &Scraper, monitor: &Monitored, namespace_labels: Option<&Labels>) -> Choice {
    let (common, kind) = (&scraper.common, monitor.kind.as_str());
    let (selector, namespaces) = match monitor.kind {
        Kind::ServiceMonitor => (&common.service_monitor_selector, &common.service_monitor_namespace_selector),
        Kind::PodMonitor => (&common.pod_monitor_selector, &common.pod_monitor_namespace_selector),
    };
    let Some(selector) = selector else {
        return Choice::Refuses(format!("takes no {kind}s: it has no selector for them"));
    };
    match unmet(selector, &monitor.labels) {
        Ok(unmet) if unmet.is_empty() => {}
        Ok(unmet) => return Choice::Refuses(format!("wants {} as labels of the {kind}", unmet.join(" and "))),
        Err(unreadable) => return Choice::Refuses(format!("has a selector that cannot be read ({unreadable})")),
    }
    let namespace = &monitor.namespace;
    let Some(namespaces) = namespaces else {
        let is_own = scraper.namespace == *namespace;
        let why = format!("takes {kind}s of its own namespace only: it has no selector for namespaces");
        return if is_own { Choice::Takes } else { Choice::Refuses(why) };
    };
    let by_name = Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), namespace.clone())]);
    match unmet(namespaces, namespace_labels.unwrap_or(&by_name)) {
        Ok(unmet) if unmet.is_empty() => Choice::Takes,
        Ok(_) if namespace_labels.is_none() => Choice::CannotTell,
        Ok(unmet) => Choice::Refuses(format!("wants {} as labels of the namespace {namespace}", unmet.join(" and "))),
        Err(unreadable) => Choice::Refuses(format!("has a selector that cannot be read ({unreadable})")),
    }
}

/// The requirements that labels do not meet, with what they have instead.
fn unmet(selector: &LabelSelector, labels: &Labels) -> Result<Vec<String>, String> {
    let equal =
        selector.match_labels.iter().flatten().map(|(name, value)| Expression::Equal(name.clone(), value.clone()));
    let mut requirements: Vec<Expression> = equal.collect();
    for requirement in selector.match_expressions.iter().flatten() {
        requirements.push(Expression::try_from(requirement.clone()).map_err(|error| error.to_string())?);
    }
    let unmet = requirements.iter().filter(|requirement| !requirement.matches(labels));
    Ok(unmet.map(|requirement| format!("{requirement} (found {})", found(requirement, labels))).collect())
}

fn found(requirement: &Expression, labels: &Labels) -> String {
    let (Expression::In(name, _)
    | Expression::NotIn(name, _)
    | Expression::Equal(name, _)
    | Expression::NotEqual(name, _)
    | Expression::Exists(name)
    | Expression::DoesNotExist(name)) = requirement;
    labels.get(name).map_or_else(|| "none".to_owned(), |value| format!("{name}={value}"))
}

// === impl Scraper ===

impl fmt::Display for Scraper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

// === impl Excluded ===

impl Excluded {
    /// Whether a monitor is among these.
    fn is(&self, monitor: &Monitored) -> bool {
        let (group, plural) = match monitor.kind {
            Kind::ServiceMonitor => (ServiceMonitor::group(&()), ServiceMonitor::plural(&())),
            Kind::PodMonitor => (PodMonitor::group(&()), PodMonitor::plural(&())),
        };
        let is_or_empty = |own: &str, its: &str| own.is_empty() || own == its;
        is_or_empty(&self.group, &group)
            && self.resource == plural
            && self.namespace == monitor.namespace
            && is_or_empty(&self.name, &monitor.name)
    }
}

// === impl Kind ===

impl Kind {
    /// As Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceMonitor => "ServiceMonitor",
            Self::PodMonitor => "PodMonitor",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A Prometheus `monitoring/main` with a spec.
    pub(crate) fn prometheus(spec: Value) -> Scraper {
        Scraper {
            kind: "Prometheus".to_owned(),
            namespace: "monitoring".to_owned(),
            name: "main".to_owned(),
            common: serde_json::from_value(spec).unwrap(),
        }
    }

    fn labels(labels: Value) -> Labels {
        serde_json::from_value(labels).unwrap()
    }

    fn monitor(kind: Kind) -> Monitored {
        let labels = labels(json!({"release": "stack", "tier": "a"}));
        Monitored { kind, namespace: "data".to_owned(), name: "sidegate-nightly".to_owned(), labels }
    }

    /// What `monitoring/main` says about a ServiceMonitor in the namespace `data`, which has the label `team: etl`.
    #[track_caller]
    fn check(spec: Value, expected: &str) {
        let namespace = labels(json!({NAMESPACE_NAME_LABEL: "data", "team": "etl"}));
        let selection = select(&[prometheus(spec)], &monitor(Kind::ServiceMonitor), Some(&namespace));
        let found = match selection.takers.as_slice() {
            [] => selection.refusals.join("; "),
            _ => "takes".to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn an_empty_selector_takes_all_and_an_absent_one_nothing() {
        check(json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}), "takes");
        check(
            json!({"serviceMonitorNamespaceSelector": {}}),
            "Prometheus monitoring/main takes no ServiceMonitors: it has no selector for them",
        );
        check(
            json!({"serviceMonitorSelector": {}}),
            "Prometheus monitoring/main takes ServiceMonitors of its own namespace only: it has no selector for namespaces",
        );
    }

    #[test]
    fn missing_labels_are_named() {
        let wants = |monitors: Value, namespaces: Value| json!({"serviceMonitorSelector": monitors, "serviceMonitorNamespaceSelector": namespaces});
        check(wants(json!({"matchLabels": {"release": "stack"}}), json!({"matchLabels": {"team": "etl"}})), "takes");
        check(
            wants(json!({"matchLabels": {"release": "other", "prometheus": "main"}}), json!({})),
            "Prometheus monitoring/main wants prometheus=main (found none) and release=other (found release=stack) \
             as labels of the ServiceMonitor",
        );
        check(
            wants(
                json!({"matchExpressions": [
                    {"key": "tier", "operator": "NotIn", "values": ["a", "b"]},
                    {"key": "release", "operator": "Exists"},
                    {"key": "team", "operator": "In", "values": ["x"]},
                    {"key": "tier", "operator": "DoesNotExist"},
                ]}),
                json!({}),
            ),
            "Prometheus monitoring/main wants tier notin (a,b) (found tier=a) and team in (x) (found none) and !tier \
             (found tier=a) as labels of the ServiceMonitor",
        );
        check(
            wants(json!({}), json!({"matchLabels": {"monitoring": "yes"}})),
            "Prometheus monitoring/main wants monitoring=yes (found none) as labels of the namespace data",
        );
    }

    #[test]
    fn pod_monitors_have_selectors_of_their_own() {
        let spec = json!({"podMonitorSelector": {}, "podMonitorNamespaceSelector": {}});
        let taken = |kind| !select(&[prometheus(spec.clone())], &monitor(kind), None).takers.is_empty();
        assert!(taken(Kind::PodMonitor) && !taken(Kind::ServiceMonitor));
    }

    #[test]
    fn a_monitor_is_excluded_by_its_kind_its_namespace_and_its_name_or_any() {
        let exempts = |excluded: Value, kind| {
            let spec = json!({
                "serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {},
                "podMonitorSelector": {}, "podMonitorNamespaceSelector": {},
                "excludedFromEnforcement": excluded,
            });
            select(&[prometheus(spec)], &monitor(kind), None).takers[0].exempts
        };
        let (group, services, pods) = ("monitoring.coreos.com", "servicemonitors", "podmonitors");
        let data = |resource: &str| json!({"group": group, "resource": resource, "namespace": "data"});
        let named = |name: &str| json!({"resource": services, "namespace": "data", "name": name});
        let elsewhere = json!({"resource": services, "namespace": "web"});
        let of_another = json!({"group": "example.com", "resource": services, "namespace": "data"});
        // By what is excluded: whether the ServiceMonitor is, and the PodMonitor.
        for (excluded, expected) in [
            (json!([]), [false, false]),
            (json!([data(services)]), [true, false]),
            (json!([data(pods)]), [false, true]),
            (json!([data("probes")]), [false, false]),
            (json!([named("sidegate-nightly")]), [true, false]),
            (json!([named("")]), [true, false]),
            (json!([named("sidegate-other")]), [false, false]),
            (json!([elsewhere]), [false, false]),
            (json!([of_another]), [false, false]),
            (json!([elsewhere, named("sidegate-other"), data(pods), data(services)]), [true, true]),
        ] {
            let found = [Kind::ServiceMonitor, Kind::PodMonitor].map(|kind| exempts(excluded.clone(), kind));
            assert_eq!(found, expected, "{excluded}");
        }
    }

    #[test]
    fn without_the_labels_of_a_namespace_only_its_name_is_known() {
        let by = |label: &str, value: &str| {
            let spec = json!({
                "serviceMonitorSelector": {},
                "serviceMonitorNamespaceSelector": {"matchLabels": {label: value}},
            });
            let selection = select(&[prometheus(spec)], &monitor(Kind::ServiceMonitor), None);
            (selection.takers.len(), selection.is_unclear)
        };
        assert_eq!(by(NAMESPACE_NAME_LABEL, "data"), (1, false));
        assert_eq!(by("team", "etl"), (0, true));
    }
}
