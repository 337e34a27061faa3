//! What a pod's own annotations say about its sidecar, over what its `PushGroup` says. Pure.
//!
//! [`ANNOTATIONS`] is the one list of them: names, values, defaults and effects, from which the README's table is made too.
//! A value that is none of those known skips the pod, since a sidecar that is not as asked for may be worse than none; a
//! name that is not known is only told, since it may be a newer version's.
//!
//! *Never:* flags, whether there is a sidecar at all.

use std::sync::LazyLock;

use crds::{
    Duration, names,
    sidecar::{
        IMAGE_ID_PATTERN, IMAGE_MAX, IMAGE_PATTERN, IdentityLabels, LISTEN_ADDRESSES_MAX, LogLevel, PUSH_PORT_MIN,
        ROUTE_PREFIX_MAX, ROUTE_PREFIX_PATTERN, Sidecar, Timestamps,
    },
};
use protocol::endpoints::SCRAPE_PORT;
use regex::Regex;

use super::{
    arguments::listen_addresses,
    bad_value::BadValue,
    environment::AppSide,
    pod::RawPod,
    resources::{LEAST_LIMIT, LEAST_REQUEST, Quantities},
    warning::{LONGEST, warning},
};

/// An annotation of ours.
#[derive(Clone, Copy, Debug)]
pub struct Annotation {
    /// Its name.
    pub name: &'static str,
    /// Its values, in Markdown.
    pub values: &'static str,
    /// What counts without it, in Markdown.
    pub default: &'static str,
    /// What it does, in Markdown.
    pub effect: &'static str,
    /// Its values, for a warning.
    expected: &'static str,
    /// Reads a value; `None` if it is not known.
    read: fn(&str, &mut Wanted) -> Option<()>,
}

/// What is wanted of a sidecar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// What its group says, and over it what the pod says.
    pub sidecar: Sidecar,
    /// The quantities that the pod says.
    pub quantities: Quantities,
    /// Whether the grace period is raised, if the pod says so or the contrary.
    pub raise_grace_period: Option<bool>,
    /// Whether the additional addresses are the pod's own.
    pub has_own_addresses: bool,
    /// What the other containers are told.
    pub app: AppSide,
}

/// All annotations, in the order of the reference.
pub const ANNOTATIONS: [Annotation; 16] = [
    Annotation {
        name: names::INJECT,
        values: "`true`, `false` or the name of a `PushGroup`",
        default: "that of the namespace's label, else `false`",
        effect: "Whether there is a sidecar, and of which `PushGroup`: with `true` the oldest whose selector matches the \
                 pod. As a label on the pod it wins over the annotation.",
        expected: "true, false or a PushGroup's name",
        // Decided before there is a sidecar to say anything about.
        read: |_, _| Some(()),
    },
    Annotation {
        name: names::IMAGE,
        values: "an image",
        default: "`image`, else the operator's",
        effect: "The sidecar's image.",
        expected: AN_IMAGE,
        read: |text, wanted| is_image(text).then(|| wanted.sidecar.image = Some(text.to_owned())),
    },
    Annotation {
        name: names::CPU_REQUEST,
        values: "a quantity such as `50m`",
        default: "`resources`, else 10m; 100m in a pod of class Guaranteed",
        effect: "The CPU it is given at least. A limit that was lower, or the same, becomes as high. As with all four, it is \
                 not used, with a warning, in a pod with resources for the pod as a whole.",
        expected: "CPU such as 50m",
        read: |text, wanted| wanted.quantities.cpu.set_request(text, 1),
    },
    Annotation {
        name: names::CPU_LIMIT,
        values: "a quantity such as `200m`",
        default: "`resources`, else none; 100m where every other container has one",
        effect: "The most CPU it may use. A request that was higher, or the same, becomes as low.",
        expected: "CPU such as 50m",
        read: |text, wanted| wanted.quantities.cpu.set_limit(text, 1),
    },
    Annotation {
        name: names::MEMORY_REQUEST,
        values: "a quantity such as `32Mi`",
        default: "`resources`, else 16Mi; 64Mi in a pod of class Guaranteed",
        effect: "The memory it is given at least.",
        expected: "1Mi of memory or more, such as 32Mi",
        read: |text, wanted| wanted.quantities.memory.set_request(text, LEAST_REQUEST),
    },
    Annotation {
        name: names::MEMORY_LIMIT,
        values: "a quantity from `16Mi`",
        default: "`resources`, else 64Mi",
        effect: "The most memory it may use.",
        expected: "16Mi of memory or more, such as 64Mi",
        read: |text, wanted| wanted.quantities.memory.set_limit(text, LEAST_LIMIT),
    },
    Annotation {
        name: names::PUSH_PORT,
        values: "1024 to 65535, but 19091",
        default: "`pushPort`, else 9091; where a container declares that, the first free from 19092 to 19099, with a warning",
        effect: "The port to push to, at `127.0.0.1` and `::1`; `PUSHGATEWAY_URL` and `PUSHGATEWAY_ADDRESS` say so.",
        expected: "a port from 1024 to 65535 but 19091",
        read: |text, wanted| {
            let port = text.parse::<u16>().ok().filter(|port| PUSH_PORT_MIN <= *port && *port != SCRAPE_PORT)?;
            wanted.sidecar.push_port = Some(port.into());
            Some(())
        },
    },
    Annotation {
        name: names::LISTEN_ADDRESSES,
        values: "up to 8 addresses such as `127.0.0.1:4318` or `:4318`, between commas",
        default: "`listenAddresses`, else none",
        effect: "Where pushes are taken besides; in place of those of the `PushGroup`.",
        expected: "addresses such as :4318, not :19091",
        read: |text, wanted| {
            let addresses = text.split(',').map(str::trim).filter(|address| !address.is_empty());
            let list: Vec<_> = addresses.map(str::to_owned).collect();
            wanted.sidecar.listen_addresses = list;
            wanted.has_own_addresses = true;
            let is_known = listen_addresses(&wanted.sidecar).bad.is_empty();
            (is_known && wanted.sidecar.listen_addresses.len() <= LISTEN_ADDRESSES_MAX).then_some(())
        },
    },
    Annotation {
        name: names::ROUTE_PREFIX,
        values: "a path such as `/v1/pushgateway`, or `/` for none",
        default: "`routePrefix`, else none",
        effect: "What stands before all paths that are pushed to; `PUSHGATEWAY_URL` has it.",
        expected: "a path such as /v1/pushgateway, or /",
        read: |text, wanted| {
            let is_path = text.len() <= ROUTE_PREFIX_MAX
                && matches(&ROUTE_PREFIX, text)
                && !text.split('/').any(|segment| matches!(segment, "." | ".."));
            (is_path || text == "/").then(|| wanted.sidecar.route_prefix = is_path.then(|| text.to_owned()))
        },
    },
    Annotation {
        name: names::HOLD_OPEN,
        values: "hours, minutes and seconds such as `90s` or `1h30m`; `0s` is not at all",
        default: "`holdOpen`, else `scrape.interval` and 15 s",
        effect: "How long the pod is kept running at its end, at most, for a scrape of what was pushed last.",
        expected: "a duration such as 90s or 1h30m",
        read: |text, wanted| {
            let duration = text.parse::<Duration>().ok().filter(|_| !text.contains(['y', 'w', 'd']))?;
            wanted.sidecar.hold_open = Some(duration);
            Some(())
        },
    },
    Annotation {
        name: names::RAISE_GRACE_PERIOD,
        values: "`true` or `false`",
        default: "`raiseGracePeriod`, else `true` for the pods of Jobs and `false` for others",
        effect: "Whether a grace period that is too short for that is raised.",
        expected: "true or false",
        read: |text, wanted| {
            wanted.raise_grace_period = Some(switch(text)?);
            Some(())
        },
    },
    Annotation {
        name: names::TIMESTAMPS,
        values: "`Reject`, `Strip` or `Honor`",
        default: "`timestamps`, else `Reject`",
        effect: "What happens to pushed timestamps. Prometheus goes by them where the `PushGroup`, too, says `Honor`.",
        expected: "Reject, Strip or Honor",
        read: |text, wanted| {
            let all = [Timestamps::Reject, Timestamps::Strip, Timestamps::Honor];
            wanted.sidecar.timestamps = Some(word(text, all, Timestamps::as_str)?);
            Some(())
        },
    },
    Annotation {
        name: names::IDENTITY_LABELS,
        values: "`Rename`, `Refuse` or `Allow`",
        default: "`identityLabels`, else `Rename`",
        effect: "What happens to a pushed label `pod` or `namespace` that is not the pod's own.",
        expected: "Rename, Refuse or Allow",
        read: |text, wanted| {
            let all = [IdentityLabels::Rename, IdentityLabels::Refuse, IdentityLabels::Allow];
            wanted.sidecar.identity_labels = Some(word(text, all, IdentityLabels::as_str)?);
            Some(())
        },
    },
    Annotation {
        name: names::LOG_LEVEL,
        values: "`debug`, `info`, `warn` or `error`",
        default: "`log.level`, else `info`",
        effect: "The least important level that the sidecar writes to its log.",
        expected: "debug, info, warn or error",
        read: |text, wanted| {
            let all = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
            wanted.sidecar.log.get_or_insert_default().level = Some(word(text, all, LogLevel::as_str)?);
            Some(())
        },
    },
    Annotation {
        name: names::ENV,
        values: "`true` or `false`",
        default: "`true`",
        effect: "Whether the other containers are given `PUSHGATEWAY_URL` and `PUSHGATEWAY_ADDRESS`, each where its \
                 `env` does not set its own: one that comes by `envFrom` cannot be seen and is hidden. With `false` their \
                 `NO_PROXY` is left alone, too.",
        expected: "true or false",
        read: |text, wanted| {
            wanted.app.address = switch(text)?;
            Some(())
        },
    },
    Annotation {
        name: names::NO_PROXY,
        values: "`true` or `false`",
        default: "where the container's own `env` has a literal proxy, and not beside `envFrom`",
        effect: "Whether `127.0.0.1`, `localhost` and `::1` are added to `NO_PROXY` and `no_proxy`: with `true` even beside \
                 `envFrom`, with `false` nowhere.",
        expected: "true or false",
        read: |text, wanted| {
            wanted.app.no_proxy = Some(switch(text)?);
            Some(())
        },
    },
];

const AN_IMAGE: &str = "an image such as registry/sidegate:0.1.0";

static IMAGE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(IMAGE_PATTERN).ok());

static IMAGE_ID: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(IMAGE_ID_PATTERN).ok());

static ROUTE_PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(ROUTE_PREFIX_PATTERN).ok());

/// Warnings about names that begin like ours and that nobody reads.
#[must_use]
pub fn unread(pod: RawPod<'_>) -> Vec<String> {
    let is_annotation = |name: &str| ANNOTATIONS.iter().any(|known| known.name == name);
    let is_label = |name: &str| [names::INJECT, names::INJECTED_LABEL, names::PUSH_GROUP_LABEL].contains(&name);
    let labels = pod.names_under("labels", names::PREFIX).filter(|name| !is_label(name));
    let (misplaced, mut unknown): (Vec<_>, Vec<_>) = labels.partition(|name| is_annotation(name));
    let is_ours = |name: &str| is_annotation(name) || name == names::SIDECAR_HASH;
    unknown.extend(pod.names_under("annotations", names::PREFIX).filter(|name| !is_ours(name)));
    let mut warnings = Vec::new();
    if !misplaced.is_empty() {
        let start = "sidegate: expected as an annotation, found as a label: ";
        warnings.push(warning(&[start, &misplaced.join(", ")]));
    }
    if !unknown.is_empty() {
        warnings.push(warning(&["sidegate: not known: ", &unknown.join(", ")]));
        warnings.extend(known());
    }
    warnings
}

/// All that is read, in as many warnings as it takes.
fn known() -> Vec<String> {
    let mut warnings = Vec::<String>::new();
    for name in ANNOTATIONS.iter().filter_map(|known| known.name.strip_prefix(names::PREFIX)) {
        match warnings.last_mut().filter(|last| last.len() + ", ".len() + name.len() <= LONGEST) {
            Some(last) => last.extend([", ", name]),
            None => warnings.push(format!("sidegate: known under {}: {name}", names::PREFIX)),
        }
    }
    warnings
}

/// A warning about quantities that a pod says for its sidecar and for itself as a whole.
#[must_use]
pub fn unused_quantities(pod: RawPod<'_>) -> Option<String> {
    let all = [names::CPU_REQUEST, names::CPU_LIMIT, names::MEMORY_REQUEST, names::MEMORY_LIMIT];
    let said = all.into_iter().filter(|name| pod.annotation(name).is_some());
    let said: Vec<_> = said.filter_map(|name| name.strip_prefix(names::PREFIX)).collect();
    (!said.is_empty())
        .then(|| warning(&["sidegate: not used, since the pod has resources as a whole: ", &said.join(", ")]))
}

fn switch(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// Whether a kubelet reads it as the name of an image.
fn is_image(text: &str) -> bool {
    text.len() <= IMAGE_MAX && matches(&IMAGE, text) && !matches(&IMAGE_ID, text)
}

/// Words are known as flags and as the `PushGroup` spell them, which differ by their first letter.
fn word<T: Copy, const N: usize>(text: &str, all: [T; N], spelled: fn(T) -> &'static str) -> Option<T> {
    all.into_iter().find(|one| spelled(*one).eq_ignore_ascii_case(text))
}

/// A pattern of ours that could not be read would match nothing; tests show that all can.
fn matches(pattern: &Option<Regex>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

// === impl Wanted ===

impl Wanted {
    /// What a group says, and over it what a pod says.
    ///
    /// # Errors
    /// The first value that is not known.
    pub fn of(pod: RawPod<'_>, group: &Sidecar) -> Result<Self, BadValue> {
        let mut wanted = Self { sidecar: group.clone(), ..Self::default() };
        for annotation in &ANNOTATIONS {
            let Some(found) = pod.annotation(annotation.name) else { continue };
            if (annotation.read)(found, &mut wanted).is_none() {
                return Err(BadValue {
                    name: annotation.name.to_owned(),
                    expected: annotation.expected.to_owned(),
                    such_as: None,
                    found: found.to_owned(),
                });
            }
        }
        // The pod's own is one. An API server with an older schema took any from the group.
        match wanted.sidecar.image.as_deref().filter(|image| !is_image(image)) {
            Some(found) => Err(BadValue {
                name: "PushGroup's image".to_owned(),
                expected: AN_IMAGE.to_owned(),
                such_as: None,
                found: found.to_owned(),
            }),
            None => Ok(wanted),
        }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
