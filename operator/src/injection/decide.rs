//! Does this pod get a sidecar, and of which `PushGroup`? Pure: raw pod, its namespace's label and the groups in, a
//! decision out.
//!
//! | Pod says | Namespace says nothing or `false` | `true` | a name |
//! | --- | --- | --- | --- |
//! | nothing | none | by selector | that group |
//! | `false` | none | none | none |
//! | `true` | by selector | by selector | that group |
//! | a name | its own | its own | its own |
//!
//! What is none of these skips the pod that says it, and in a namespace every pod that says nothing. It takes two steps,
//! because the second may need groups that are not in the cache yet: [`wish`] reads what is asked for and what stands in
//! the way, [`choose`] finds the group among those known.
//!
//! *Never:* patches, the API server, what a sidecar is like.

use std::{collections::BTreeMap, sync::Arc};

use crds::{PushGroup, names, push_group::NAME_MAX};
use kube::{
    ResourceExt as _,
    core::{Selector, SelectorExt as _},
};
use serde_json::Value;

use super::{
    bad_value::BadValue,
    limit_range::NoRoom,
    malformed::Malformed,
    pod::{RawPod, text},
    ports,
    warning::warning,
};

/// The start of the sentence about a pod that is skipped.
const NO_SIDECAR: &str = "sidegate: no sidecar: ";

/// How many characters a warning has for the names of groups.
const ROOM_FOR_NAMES: usize = 40;

/// The most containers of a pod; the patch is long by each.
const CONTAINERS_MAX: usize = 1_000;

/// Images of Pushgateways by the last part of their names, and ourselves, alone or as a sidecar by hand. What merely ends
/// like one may well be a client.
const PUSHGATEWAYS: [&str; 4] = ["pushgateway", "prom-pushgateway", "prometheus-pushgateway", "sidegate"];

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// There is to be none.
    Nothing(Reason),
    /// A sidecar is asked for, and something stands in the way.
    Skip(Skip),
    /// A sidecar of a group is asked for.
    Sidecar(Pick),
}

/// Why there is to be no sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Neither the pod nor its namespace asks.
    NotAsked,
    /// The pod says `false`.
    Declined,
}

/// How the group is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// By name, whether or not it exists yet.
    Named(String),
    /// The oldest whose selector matches.
    Matching,
}

/// Why a pod that is to have a sidecar gets none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It has one. Not worth a warning: a webhook is called again on purpose.
    AlreadyThere,
    /// It has one, and a container that came later declares a port of it.
    LatePort {
        /// The container.
        container: String,
        /// The port.
        port: u16,
    },
    /// It has one that is no native sidecar: another webhook dropped a field that it does not know.
    NotNative {
        /// Whether it stands among the init containers, so that it has lost its restart policy.
        is_init: bool,
    },
    /// A container that is not the sidecar has its name.
    NameTaken,
    /// There is nothing to put it into.
    NoSpec,
    /// The value is none that is known.
    BadValue(BadValue),
    /// It stands for a file on a node, which is what the kubelet runs.
    MirrorPod,
    /// It shares the node's network, where `127.0.0.1` is everybody's.
    HostNetwork,
    /// There is no sidecar for Windows.
    Windows,
    /// A container is a Pushgateway, declared port or not: two would be pushed to by chance.
    ExistingPushgateway {
        /// The container.
        container: String,
    },
    /// It has more containers than a patch is made for.
    TooManyContainers {
        /// How many.
        found: usize,
    },
    /// A container declares a port that the sidecar cannot do without.
    PortTaken {
        /// The container.
        container: String,
        /// The port.
        port: u16,
    },
    /// The namespace's bounds leave too little.
    NoRoom(NoRoom),
    /// Something of ours would go where it does not fit.
    Malformed(Malformed),
}

/// What a value says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Says<'a> {
    Nothing,
    False,
    True,
    Name(&'a str),
    Unknown(&'a str),
}

/// Reads what a pod, or its namespace for it, asks for. The groups are only named to whoever asks for none of them.
#[must_use]
pub fn wish(pod: RawPod<'_>, namespace_value: Option<&str>, groups: &[Arc<PushGroup>]) -> Wish {
    let bad = |value: &str, is_namespace: bool| {
        let whose = if is_namespace { "namespace's " } else { "" };
        Wish::Skip(Skip::BadValue(BadValue {
            name: format!("{whose}{}", names::INJECT),
            expected: expected(groups).to_owned(),
            such_as: listed(groups),
            found: value.to_owned(),
        }))
    };
    let pick = match (Says::of(pod.label_or_annotation(names::INJECT)), Says::of(namespace_value)) {
        (Says::False, _) => return Wish::Nothing(Reason::Declined),
        (Says::Nothing, Says::Nothing | Says::False) => return Wish::Nothing(Reason::NotAsked),
        (Says::Unknown(value), _) => return bad(value, false),
        (Says::Nothing, Says::Unknown(value)) => return bad(value, true),
        (Says::Name(name), _) | (Says::True | Says::Nothing, Says::Name(name)) => Pick::Named(name.to_owned()),
        (Says::Nothing, Says::True) | (Says::True, Says::Nothing | Says::False | Says::True | Says::Unknown(_)) => {
            Pick::Matching
        }
    };
    match obstacle(pod) {
        Some(skip) => Wish::Skip(skip),
        None => Wish::Sidecar(pick),
    }
}

/// Finds the group that was asked for among those known in the pod's namespace.
#[must_use]
pub fn choose(pick: &Pick, pod: RawPod<'_>, groups: &[Arc<PushGroup>]) -> Option<Arc<PushGroup>> {
    match pick {
        Pick::Named(name) => groups.iter().find(|group| group.name_any() == *name && !group.is_going()).cloned(),
        Pick::Matching => oldest_matching(&pod.labels(), groups),
    }
}

/// The oldest group whose selector matches some labels; of those that are as old, the first by name. One that is being
/// deleted is as good as gone.
#[must_use]
pub fn oldest_matching(labels: &BTreeMap<String, String>, groups: &[Arc<PushGroup>]) -> Option<Arc<PushGroup>> {
    let matching = groups.iter().filter(|group| {
        // A selector the API server took and we cannot read matches nothing.
        let selector = group.spec.selector.clone().and_then(|selector| Selector::try_from(selector).ok());
        !group.is_going() && selector.is_some_and(|selector| selector.matches(labels))
    });
    matching.min_by_key(|group| (group.creation_timestamp(), group.name_any())).cloned()
}

/// Whether the value of the label or annotation names a group, so that no other ever gets the pod.
#[must_use]
pub fn names_a_group(value: &str) -> bool {
    !matches!(value, "true" | "false")
}

/// The names of some groups, as many as there is room for; nothing if there are none.
#[must_use]
pub fn listed(groups: &[Arc<PushGroup>]) -> Option<String> {
    let mut names: Vec<_> = groups.iter().map(|group| group.name_any()).collect();
    names.sort();
    let mut all = names.iter();
    let mut list = all.next()?.clone();
    let mut left = all.len();
    for name in all {
        if ROOM_FOR_NAMES < list.len() + name.len() {
            break;
        }
        list = format!("{list}, {name}");
        left -= 1;
    }
    Some(if left == 0 { list } else { format!("{list} and {left} more") })
}

/// What a value has to be, shorter where groups are listed behind it.
fn expected(groups: &[Arc<PushGroup>]) -> &'static str {
    if groups.is_empty() { "true, false or a PushGroup's name" } else { "true, false or a PushGroup" }
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
    if pod.all_containers().any(is_sidecar) {
        let is_ours = pod.labels().contains_key(names::INJECTED_LABEL);
        let found = || not_native(pod).or_else(|| ports::late(pod)).unwrap_or(Skip::AlreadyThere);
        return Some(if is_ours { found() } else { Skip::NameTaken });
    }
    if pod.is_a_mirror() {
        return Some(Skip::MirrorPod);
    }
    if pod.uses_host_network() {
        return Some(Skip::HostNetwork);
    }
    if pod.runs_on_windows() {
        return Some(Skip::Windows);
    }
    let containers = pod.all_containers().count();
    if CONTAINERS_MAX < containers {
        return Some(Skip::TooManyContainers { found: containers });
    }
    let pushgateway = pod.all_containers().find(|container| text(container, "image").is_some_and(is_pushgateway))?;
    Some(Skip::ExistingPushgateway { container: name_of(pushgateway) })
}

/// What keeps the sidecar of a pod from being a native one.
fn not_native(pod: RawPod<'_>) -> Option<Skip> {
    let is_native = |container: &Value| text(container, "restartPolicy") == Some("Always");
    let mut inits = pod.containers("initContainers").filter(|container| is_sidecar(container));
    if inits.any(|container| !is_native(container)) {
        return Some(Skip::NotNative { is_init: true });
    }
    pod.containers("containers").any(is_sidecar).then_some(Skip::NotNative { is_init: false })
}

/// Whether a container has the sidecar's name.
#[must_use]
pub fn is_sidecar(container: &Value) -> bool {
    text(container, "name") == Some(names::SIDECAR_CONTAINER)
}

/// Whether an image is a Pushgateway by its name: `quay.io/prometheus/pushgateway:v1.11.1`.
fn is_pushgateway(image: &str) -> bool {
    let last = image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let name = last.split(':').next().unwrap_or_default();
    PUSHGATEWAYS.contains(&name)
}

/// The name of a container, for a sentence.
#[must_use]
pub fn name_of(container: &Value) -> String {
    text(container, "name").unwrap_or("?").to_owned()
}

// === impl Says ===

impl<'a> Says<'a> {
    fn of(value: Option<&'a str>) -> Self {
        match value {
            None => Self::Nothing,
            Some("false") => Self::False,
            Some("true") => Self::True,
            Some(name) if is_group_name(name) => Self::Name(name),
            Some(other) => Self::Unknown(other),
        }
    }
}

// === impl Reason ===

impl Reason {
    /// The reason as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Declined => "declined",
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
            Self::LatePort { .. } => "late_port",
            Self::NotNative { .. } => "not_native",
            Self::NameTaken => "name_taken",
            Self::NoSpec => "no_spec",
            Self::BadValue(_) => "bad_value",
            Self::MirrorPod => "mirror_pod",
            Self::HostNetwork => "host_network",
            Self::Windows => "windows",
            Self::ExistingPushgateway { .. } => "existing_pushgateway",
            Self::TooManyContainers { .. } => "too_many_containers",
            Self::PortTaken { .. } => "port_taken",
            Self::NoRoom(_) => "no_room",
            Self::Malformed(_) => "malformed",
        }
    }

    /// The reason as a warning for whoever created the pod.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let about = |container: &str, what: &str| warning(&[&format!("{NO_SIDECAR}container "), container, what]);
        let why = match self {
            Self::AlreadyThere => return None,
            Self::LatePort { container, port } => {
                let what = format!(" declares port {port}, where the sidecar listens already");
                return Some(warning(&["sidegate: container ", container, &what]));
            }
            Self::NotNative { is_init: true } => {
                let what = "has lost its restartPolicy: Always, maybe to another webhook: the pod will stay in Init";
                return Some(warning(&["sidegate: the sidecar ", what]));
            }
            Self::NotNative { is_init: false } => {
                let what = "stands in containers, not in initContainers, maybe by another webhook: a Job will not end";
                return Some(warning(&["sidegate: the sidecar ", what]));
            }
            Self::BadValue(bad) => return Some(bad.sentence(NO_SIDECAR)),
            Self::NoRoom(no_room) => return Some(no_room.sentence(NO_SIDECAR)),
            Self::ExistingPushgateway { container } => {
                return Some(about(container, " is a Pushgateway already; spec.gateway of a PushGroup has it scraped"));
            }
            Self::PortTaken { container, port } => {
                return Some(about(container, &format!(" declares port {port}, which the sidecar needs")));
            }
            Self::NameTaken => {
                format!("a container of the pod has the sidecar's name, {}", names::SIDECAR_CONTAINER)
            }
            Self::NoSpec => "the pod has no spec".to_owned(),
            Self::MirrorPod => "the pod stands for a file on its node and cannot be changed".to_owned(),
            Self::HostNetwork => "the pod uses the node's network".to_owned(),
            Self::Windows => "the pod runs on Windows".to_owned(),
            Self::TooManyContainers { found } => {
                format!("expected at most {CONTAINERS_MAX} containers in the pod, found {found}")
            }
            Self::Malformed(malformed) => malformed.to_string(),
        };
        Some(warning(&[NO_SIDECAR, &why]))
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
