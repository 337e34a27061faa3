//! Does this pod get a sidecar, and of which `PushGroup`? Pure: raw pod and groups in, a decision out.
//!
//! It takes two steps, because the second may need groups that are not in the cache yet: [`wish`] reads what the pod
//! asks for and what stands in the way, [`choose`] finds the group among those known.
//!
//! *Never:* patches, the API server, what a sidecar is like.

use std::{collections::BTreeMap, sync::Arc};

use crds::{PushGroup, names, push_group::NAME_MAX};
use kube::{
    ResourceExt as _,
    core::{Selector, SelectorExt as _},
};
use protocol::endpoints::{PUSH_PORT, SCRAPE_PORT};
use serde_json::Value;

use super::pod::{RawPod, text};

/// The longest value of the annotation that a warning repeats.
const SHOWN: usize = 40;

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// There is to be none.
    Nothing(Reason),
    /// It asks, and something stands in the way.
    Skip(Skip),
    /// It asks for a sidecar of a group.
    Sidecar(Pick),
}

/// Why there is to be no sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Neither the pod nor its namespace asks.
    NotAsked,
}

/// How the group is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// By name, whether or not it exists yet.
    Named(String),
    /// The oldest whose selector matches.
    Matching,
}

/// Why a pod that asks gets no sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It has one. Not worth a warning: a webhook is called again on purpose.
    AlreadyThere,
    /// There is nothing to put it into.
    NoSpec,
    /// The value is none that is known.
    BadValue(String),
    /// It shares the node's network, where `127.0.0.1` is everybody's.
    HostNetwork,
    /// There is no sidecar for Windows.
    Windows,
    /// A container is a Pushgateway, declared port or not: two would be pushed to by chance.
    ExistingPushgateway {
        /// The container.
        container: String,
    },
    /// A container declares a port of ours.
    PortTaken {
        /// The container.
        container: String,
        /// The port.
        port: u16,
    },
}

/// Reads what a pod asks for.
#[must_use]
pub fn wish(pod: RawPod<'_>) -> Wish {
    let pick = match pod.label_or_annotation(names::INJECT) {
        None | Some("false") => return Wish::Nothing(Reason::NotAsked),
        Some("true") => Pick::Matching,
        Some(name) if is_group_name(name) => Pick::Named(name.to_owned()),
        Some(other) => return Wish::Skip(Skip::BadValue(other.to_owned())),
    };
    match obstacle(pod) {
        Some(skip) => Wish::Skip(skip),
        None => Wish::Sidecar(pick),
    }
}

/// Whether a container declares one of the ports that the pod's group adds.
#[must_use]
pub fn taken(pod: RawPod<'_>, ports: &[u16]) -> Option<Skip> {
    pod.all_containers().find_map(|container| taken_port(container, ports))
}

/// Finds the group that was asked for among those known in the pod's namespace.
#[must_use]
pub fn choose(pick: &Pick, pod: RawPod<'_>, groups: &[Arc<PushGroup>]) -> Option<Arc<PushGroup>> {
    match pick {
        Pick::Named(name) => groups.iter().find(|group| group.name_any() == *name).cloned(),
        Pick::Matching => oldest_matching(&pod.labels(), groups),
    }
}

/// The oldest group whose selector matches some labels; of those that are as old, the first by name.
#[must_use]
pub fn oldest_matching(labels: &BTreeMap<String, String>, groups: &[Arc<PushGroup>]) -> Option<Arc<PushGroup>> {
    let matching = groups.iter().filter(|group| {
        // A selector the API server took and we cannot read matches nothing.
        let selector = group.spec.selector.clone().and_then(|selector| Selector::try_from(selector).ok());
        selector.is_some_and(|selector| selector.matches(labels))
    });
    matching.min_by_key(|group| (group.creation_timestamp(), group.name_any())).cloned()
}

/// Whether the value of the label or annotation names a group, so that no other ever gets the pod.
#[must_use]
pub fn names_a_group(value: &str) -> bool {
    !matches!(value, "true" | "false")
}

/// Whether a text can be a `PushGroup`'s name.
fn is_group_name(name: &str) -> bool {
    let inner = |byte: u8| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= NAME_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(inner)
}

fn obstacle(pod: RawPod<'_>) -> Option<Skip> {
    if !pod.has_spec() {
        return Some(Skip::NoSpec);
    }
    if pod.all_containers().any(|container| text(container, "name") == Some(names::SIDECAR_CONTAINER)) {
        return Some(Skip::AlreadyThere);
    }
    if pod.uses_host_network() {
        return Some(Skip::HostNetwork);
    }
    if pod.runs_on_windows() {
        return Some(Skip::Windows);
    }
    let pushgateway = pod.all_containers().find(|container| text(container, "image").is_some_and(is_pushgateway));
    if let Some(container) = pushgateway {
        return Some(Skip::ExistingPushgateway { container: name_of(container) });
    }
    taken(pod, &[PUSH_PORT, SCRAPE_PORT])
}

fn taken_port(container: &Value, ports: &[u16]) -> Option<Skip> {
    let declared = container.get("ports").and_then(Value::as_array).into_iter().flatten();
    let declared = declared.filter(|port| text(port, "protocol").is_none_or(|protocol| protocol == "TCP"));
    let mut numbers = declared.filter_map(|port| port.get("containerPort").and_then(Value::as_u64));
    let port = numbers.find_map(|number| ports.iter().copied().find(|own| u64::from(*own) == number))?;
    Some(Skip::PortTaken { container: name_of(container), port })
}

/// Whether an image is a Pushgateway by its name: `quay.io/prometheus/pushgateway:v1.11.1`.
fn is_pushgateway(image: &str) -> bool {
    let last = image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default().ends_with("pushgateway")
}

fn name_of(container: &Value) -> String {
    text(container, "name").unwrap_or("?").to_owned()
}

// === impl Reason ===

impl Reason {
    /// The reason as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
        }
    }
}

// === impl Skip ===

impl Skip {
    /// The reason as a metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AlreadyThere => "already_there",
            Self::NoSpec => "no_spec",
            Self::BadValue(_) => "bad_value",
            Self::HostNetwork => "host_network",
            Self::Windows => "windows",
            Self::ExistingPushgateway { .. } => "existing_pushgateway",
            Self::PortTaken { .. } => "port_taken",
        }
    }

    /// The reason as a warning for whoever created the pod.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let why = match self {
            Self::AlreadyThere => return None,
            Self::BadValue(value) => {
                let shown: String = value.chars().take(SHOWN).collect();
                format!("{}: expected true, false or a PushGroup's name, found {shown:?}", names::INJECT)
            }
            Self::NoSpec => "the pod has no spec".to_owned(),
            Self::HostNetwork => "the pod uses the node's network".to_owned(),
            Self::Windows => "the pod runs on Windows".to_owned(),
            Self::ExistingPushgateway { container } => format!("container {container} is a Pushgateway already"),
            Self::PortTaken { container, port } => {
                format!("container {container} declares port {port}, which the sidecar needs")
            }
        };
        Some(format!("sidegate: no sidecar: {why}"))
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use crds::PushGroupSpec;
    use serde_json::json;

    use super::*;

    fn pod(value: &str) -> Value {
        json!({
            "metadata": {"labels": {"app": "etl"}, "annotations": {"sidegate.dev/inject": value}},
            "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        })
    }

    #[track_caller]
    fn check(raw: &Value, expected: Wish) {
        assert_eq!(wish(RawPod::new(raw)), expected, "{raw}");
    }

    fn group(name: &str, created: &str, selector: Value) -> Arc<PushGroup> {
        let spec: PushGroupSpec = serde_json::from_value(json!({"selector": selector})).unwrap();
        let mut group = PushGroup::new(name, spec);
        group.metadata.creation_timestamp = serde_json::from_value(json!(created)).unwrap();
        Arc::new(group)
    }

    fn chosen(pick: &Pick, groups: &[Arc<PushGroup>]) -> Option<String> {
        choose(pick, RawPod::new(&pod("true")), groups).map(|group| group.name_any())
    }

    #[test]
    fn the_value_decides() {
        check(&json!({"metadata": {}, "spec": {}}), Wish::Nothing(Reason::NotAsked));
        check(&pod("false"), Wish::Nothing(Reason::NotAsked));
        check(&pod("true"), Wish::Sidecar(Pick::Matching));
        check(&pod("nightly"), Wish::Sidecar(Pick::Named("nightly".to_owned())));
        for value in ["", "True", "a b", "-a", "a-", "1a", "no.dots"] {
            check(&pod(value), Wish::Skip(Skip::BadValue(value.to_owned())));
        }
        let long = "a".repeat(NAME_MAX + 1);
        check(&pod(&long), Wish::Skip(Skip::BadValue(long.clone())));
    }

    #[test]
    fn the_label_beats_the_annotation() {
        let mut raw = pod("true");
        raw["metadata"]["labels"]["sidegate.dev/inject"] = json!("false");
        check(&raw, Wish::Nothing(Reason::NotAsked));
    }

    #[test]
    fn a_sidecar_that_is_there_is_enough() {
        let mut raw = pod("true");
        raw["spec"]["initContainers"] = json!([{"name": "sidegate", "ports": [{"containerPort": 19091}]}]);
        check(&raw, Wish::Skip(Skip::AlreadyThere));
        assert_eq!(Skip::AlreadyThere.warning(), None);
    }

    #[test]
    fn obstacles_skip_with_a_sentence() {
        let mut host = pod("true");
        host["spec"]["hostNetwork"] = json!(true);
        check(&host, Wish::Skip(Skip::HostNetwork));

        let mut windows = pod("true");
        windows["spec"]["os"] = json!({"name": "windows"});
        check(&windows, Wish::Skip(Skip::Windows));
        let mut windows = pod("true");
        windows["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"});
        check(&windows, Wish::Skip(Skip::Windows));

        for port in [9091, 19091] {
            let mut taken = pod("true");
            taken["spec"]["initContainers"] = json!([{"name": "gateway", "ports": [{"containerPort": port}]}]);
            let skip = Skip::PortTaken { container: "gateway".to_owned(), port };
            check(&taken, Wish::Skip(skip));
        }
        let skip = Skip::PortTaken { container: "gateway".to_owned(), port: 9091 };
        assert_eq!(
            skip.warning().unwrap(),
            "sidegate: no sidecar: container gateway declares port 9091, which the sidecar needs"
        );
        assert_eq!(
            Skip::BadValue("True".to_owned()).warning().unwrap(),
            "sidegate: no sidecar: sidegate.dev/inject: expected true, false or a PushGroup's name, found \"True\""
        );
    }

    #[test]
    fn a_pod_with_a_pushgateway_of_its_own_is_skipped() {
        let with = |image: &str| {
            let mut raw = pod("true");
            raw["spec"]["containers"] = json!([{"name": "app", "image": "etl:1"}, {"name": "gateway", "image": image}]);
            raw
        };
        let skip = Skip::ExistingPushgateway { container: "gateway".to_owned() };
        for image in [
            "pushgateway",
            "prom/pushgateway:v1.11.1",
            "registry:5000/prom-pushgateway",
            "quay.io/prometheus/pushgateway:v1@sha256:0123",
        ] {
            check(&with(image), Wish::Skip(skip.clone()));
        }
        for image in ["pushgateway/client:1", "pushgateway-client", "etl:pushgateway", "registry:5000/etl"] {
            check(&with(image), Wish::Sidecar(Pick::Matching));
        }
        assert_eq!(skip.reason(), "existing_pushgateway");
        assert_eq!(skip.warning().unwrap(), "sidegate: no sidecar: container gateway is a Pushgateway already");
    }

    #[test]
    fn a_port_of_another_protocol_is_not_taken() {
        let with = |port: Value| {
            let mut raw = pod("true");
            raw["spec"]["containers"][0]["ports"] = json!([port]);
            raw
        };
        check(&with(json!({"containerPort": 9091, "protocol": "UDP"})), Wish::Sidecar(Pick::Matching));
        let skip = Wish::Skip(Skip::PortTaken { container: "app".to_owned(), port: 9091 });
        check(&with(json!({"containerPort": 9091, "protocol": "TCP"})), skip.clone());
        check(&with(json!({"containerPort": 9091, "protocol": null})), skip);
    }

    #[test]
    fn an_obstacle_does_not_matter_to_a_pod_that_does_not_ask() {
        let mut raw = pod("false");
        raw["spec"]["hostNetwork"] = json!(true);
        check(&raw, Wish::Nothing(Reason::NotAsked));
    }

    #[test]
    fn the_oldest_matching_group_is_chosen_and_ties_go_by_name() {
        let all = json!({});
        let groups = [
            group("young", "2026-01-02T00:00:00Z", all.clone()),
            group("other", "2025-01-01T00:00:00Z", json!({"matchLabels": {"app": "web"}})),
            group("b", "2026-01-01T00:00:00Z", json!({"matchLabels": {"app": "etl"}})),
            group("a", "2026-01-01T00:00:00Z", json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
        ];
        assert_eq!(chosen(&Pick::Matching, &groups), Some("a".to_owned()));
        assert_eq!(chosen(&Pick::Matching, &groups[..2]), Some("young".to_owned()));
        assert_eq!(chosen(&Pick::Matching, &groups[1..2]), None);
    }

    #[test]
    fn a_named_group_is_chosen_whatever_its_selector() {
        let groups = [group("other", "2025-01-01T00:00:00Z", json!({"matchLabels": {"app": "web"}}))];
        assert_eq!(chosen(&Pick::Named("other".to_owned()), &groups), Some("other".to_owned()));
        assert_eq!(chosen(&Pick::Named("absent".to_owned()), &groups), None);
    }

    #[test]
    fn a_group_without_selector_matches_no_pod() {
        let gateway = Arc::new(PushGroup::new("gateway", PushGroupSpec::default()));
        assert_eq!(chosen(&Pick::Matching, &[gateway]), None);
    }
}
