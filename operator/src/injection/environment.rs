//! What a pod's own containers are told: where the sidecar is, and that no proxy stands between. Pure.
//!
//! The address comes first in the list, so that `$(PUSHGATEWAY_URL)` expands in what follows. `NO_PROXY` is extended only
//! where the container's own list says in so many words that there is a proxy: what comes from elsewhere cannot be read
//! here, and a list of ours would hide the real one.
//!
//! *Never:* patches, which containers of a pod there are.

use std::net::{Ipv4Addr, SocketAddr};

use crds::sidecar::Sidecar;
use serde_json::{Value, json};

use super::{malformed::Malformed, pod::text};

/// What says that there is a proxy.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// What says where there is none: some clients read the one, some the other.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// What the sidecar is called by those that push to it.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// What the owner of a pod wants of its containers' environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSide {
    /// Whether they are told where the sidecar is.
    pub address: bool,
    /// Whether `NO_PROXY` is extended: always, never, or where a proxy is seen.
    pub no_proxy: Option<bool>,
}

/// What is put into the environment of a pod's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Variables to be first in the list, but for those that a container sets itself.
    pub variables: Vec<(&'static str, String)>,
    /// Whether `NO_PROXY` is extended: always, never, or where a proxy is seen.
    pub no_proxy: Option<bool>,
}

/// A change to a container's list of variables. The places are those before any change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// There was no list.
    List(Vec<Value>),
    /// A variable gets another value.
    Value {
        /// Its place in the list.
        place: usize,
        /// The value.
        value: String,
        /// Whether it had one.
        had_one: bool,
    },
    /// A variable at the end.
    Last(Value),
    /// A variable at the start; those that come later in the order of changes stand before it.
    First(Value),
}

/// What an environment changes in a container.
///
/// # Errors
/// When its `env` is no list.
pub fn changes(container: &Value, environment: &Environment) -> Result<Vec<Change>, Malformed> {
    let known = match container.get("env").filter(|env| !env.is_null()) {
        None => None,
        Some(Value::Array(known)) => Some(known.as_slice()),
        Some(other) => return Err(Malformed::new("env", "a list", other)),
    };
    let variables = known.unwrap_or_default();
    let is_set = |name: &str| variables.iter().any(|variable| text(variable, "name") == Some(name));
    let missing = environment.variables.iter().filter(|(name, _)| !is_set(name));
    let first: Vec<_> = missing.map(|(name, value)| variable(name, value)).collect();
    let mut changes = if is_extended(container, variables, environment.no_proxy) {
        without_proxy(variables, environment.no_proxy == Some(true))
    } else {
        Vec::new()
    };
    if known.is_some() {
        changes.extend(first.into_iter().rev().map(Change::First));
        return Ok(changes);
    }
    // Without a list there is nothing to extend.
    let last = changes.into_iter().filter_map(|change| match change {
        Change::Last(variable) => Some(variable),
        Change::List(_) | Change::Value { .. } | Change::First(_) => None,
    });
    let list: Vec<_> = first.into_iter().chain(last).collect();
    Ok(if list.is_empty() { Vec::new() } else { vec![Change::List(list)] })
}

/// Whether the container's exceptions are extended at all.
fn is_extended(container: &Value, variables: &[Value], wanted: Option<bool>) -> bool {
    let from_elsewhere = container.get("envFrom").and_then(Value::as_array).is_some_and(|from| !from.is_empty());
    let has_proxy = || PROXIES.iter().any(|name| find(variables, name).is_some_and(|(_, proxy)| is_literal(proxy)));
    // Neither may be read here, and beside it no other: a client that prefers ours would not see theirs.
    let is_readable =
        EXCEPTIONS.iter().all(|name| find(variables, name).is_none_or(|(_, list)| !comes_from_elsewhere(list)));
    is_readable && wanted.unwrap_or_else(|| !from_elsewhere && has_proxy())
}

/// Extends the exceptions that are there. One that is not is added where it would be read: with the list of the other, so
/// that no client sees less than before.
fn without_proxy(variables: &[Value], asked: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    let given = EXCEPTIONS.map(|name| find(variables, name));
    let list_of = |variable: &Value| text(variable, "value").unwrap_or_default().to_owned();
    let other = given.iter().flatten().next().map(|(_, variable)| list_of(variable));
    for (name, given) in EXCEPTIONS.into_iter().zip(given) {
        if let Some((place, variable)) = given {
            let list = list_of(variable);
            let had_one = variable.get("value").is_some_and(|value| !value.is_null());
            let value = extended(&list);
            changes.extend(value.map(|value| Change::Value { place, value, had_one }));
            continue;
        }
        let is_upper = |name: &str| name.starts_with(char::is_uppercase);
        let is_read = PROXIES.iter().any(|proxy| is_upper(proxy) == is_upper(name) && find(variables, proxy).is_some());
        if other.is_none() || is_read || asked {
            let list = other.clone().unwrap_or_default();
            let value = extended(&list).unwrap_or(list);
            changes.push(Change::Last(variable(name, &value)));
        }
    }
    changes
}

/// A list of exceptions with the sidecar in it, unless it is.
fn extended(list: &str) -> Option<String> {
    let has = |name: &str| list.split([',', ' ']).any(|entry| entry.trim().eq_ignore_ascii_case(name));
    let missing: Vec<_> = LOOPBACK.into_iter().filter(|name| !has(name)).collect();
    // With a star there is no proxy for anything.
    if missing.is_empty() || has("*") {
        return None;
    }
    let separator = if list.trim().is_empty() || list.trim_end().ends_with(',') { "" } else { "," };
    Some(format!("{list}{separator}{}", missing.join(",")))
}

/// The last of some name, which is the one that counts, and its place.
fn find<'a>(variables: &'a [Value], name: &str) -> Option<(usize, &'a Value)> {
    variables.iter().enumerate().rfind(|(_, variable)| text(variable, "name") == Some(name))
}

fn comes_from_elsewhere(variable: &Value) -> bool {
    variable.get("valueFrom").is_some_and(|from| !from.is_null())
}

fn is_literal(variable: &Value) -> bool {
    !comes_from_elsewhere(variable) && text(variable, "value").is_some_and(|value| !value.is_empty())
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

// === impl AppSide ===

impl Default for AppSide {
    fn default() -> Self {
        Self { address: true, no_proxy: None }
    }
}

// === impl Environment ===

impl Environment {
    /// What the containers are told of a sidecar that takes pushes at a port.
    #[must_use]
    pub fn new(wanted: AppSide, sidecar: &Sidecar, push_port: u16) -> Self {
        if !wanted.address {
            // Whoever says where to push says how, unless asked.
            return Self { variables: Vec::new(), no_proxy: Some(wanted.no_proxy == Some(true)) };
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, push_port)).to_string();
        let prefix = sidecar.route_prefix.as_deref().unwrap_or_default();
        let variables =
            vec![("PUSHGATEWAY_URL", format!("http://{address}{prefix}")), ("PUSHGATEWAY_ADDRESS", address)];
        Self { variables, no_proxy: wanted.no_proxy }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use super::*;

    fn told(fields: Value, push_port: u16, wanted: AppSide) -> Environment {
        Environment::new(wanted, &serde_json::from_value(fields).unwrap(), push_port)
    }

    /// `NO_PROXY` and `no_proxy` after the changes, and how many changes there were.
    fn exceptions(container: Value, no_proxy: Option<bool>) -> (Option<String>, Option<String>, usize) {
        let environment = Environment { variables: Vec::new(), no_proxy };
        let mut list = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
        let changes = changes(&container, &environment).unwrap();
        let count = changes.len();
        for change in changes {
            match change {
                Change::List(added) => list.extend(added),
                Change::Value { place, value, had_one } => {
                    assert_eq!(had_one, list[place].get("value").is_some());
                    list[place]["value"] = json!(value);
                }
                Change::Last(added) => list.push(added),
                Change::First(added) => panic!("{added}"),
            }
        }
        let value = |name: &str| Some(text(find(&list, name)?.1, "value").unwrap_or("?").to_owned());
        (value("NO_PROXY"), value("no_proxy"), count)
    }

    #[track_caller]
    fn check(variables: Value, upper: Option<&str>, lower: Option<&str>) {
        let found = exceptions(json!({"env": variables.clone()}), None);
        assert_eq!((found.0.as_deref(), found.1.as_deref()), (upper, lower), "{variables}");
        // What was extended once is not extended again.
        let list: Vec<_> = variables
            .as_array()
            .unwrap()
            .iter()
            .cloned()
            .chain(
                [("NO_PROXY", &found.0), ("no_proxy", &found.1)]
                    .into_iter()
                    .filter_map(|(name, value)| Some(variable(name, value.as_deref()?))),
            )
            .collect();
        let has_source = variables.to_string().contains("valueFrom");
        assert!(has_source || exceptions(json!({"env": list}), None).2 == 0, "{variables}");
    }

    const SHORT: &str = "127.0.0.1,localhost,::1";

    #[test]
    fn the_address_has_the_route_prefix_and_the_port() {
        let found = told(json!({"routePrefix": "/v1/pushgateway"}), 9091, AppSide::default()).variables;
        let url = ("PUSHGATEWAY_URL", "http://127.0.0.1:9091/v1/pushgateway".to_owned());
        assert_eq!(found, [url, ("PUSHGATEWAY_ADDRESS", "127.0.0.1:9091".to_owned())]);
        let found = told(json!({}), 19092, AppSide::default()).variables;
        assert_eq!(found[0].1, "http://127.0.0.1:19092");
        assert_eq!(found[1].1, "127.0.0.1:19092");
    }

    #[test]
    fn whoever_wants_no_address_is_left_alone_unless_it_asks_for_no_proxy() {
        let without = AppSide { address: false, no_proxy: None };
        assert_eq!(told(json!({}), 9091, without), Environment { variables: vec![], no_proxy: Some(false) });
        let asked = AppSide { address: false, no_proxy: Some(true) };
        assert_eq!(told(json!({}), 9091, asked), Environment { variables: vec![], no_proxy: Some(true) });
    }

    #[test]
    fn without_a_proxy_in_its_own_words_a_container_has_no_exceptions() {
        check(json!([]), None, None);
        check(json!([{"name": "PROXY", "value": "http://proxy"}]), None, None);
        check(json!([{"name": "HTTP_PROXY", "value": ""}]), None, None);
        check(json!([{"name": "HTTP_PROXY"}]), None, None);
        check(json!([{"name": "HTTP_PROXY", "value": null}]), None, None);
        check(json!([{"name": "HTTP_PROXY", "valueFrom": {"secretKeyRef": {}}}]), None, None);
        check(json!([{"name": "NO_PROXY", "value": "a"}]), Some("a"), None);
    }

    #[test]
    fn where_there_is_no_list_both_are_made() {
        for name in PROXIES {
            check(json!([{"name": name, "value": "http://proxy:3128"}]), Some(SHORT), Some(SHORT));
        }
    }

    #[test]
    fn a_list_that_is_there_keeps_its_start() {
        let proxy = json!({"name": "HTTP_PROXY", "value": "http://proxy:3128"});
        for (list, expected) in [
            ("", SHORT),
            (" ", " 127.0.0.1,localhost,::1"),
            (".svc,10.0.0.0/8", ".svc,10.0.0.0/8,127.0.0.1,localhost,::1"),
            (".svc,", ".svc,127.0.0.1,localhost,::1"),
            ("LOCALHOST, .svc", "LOCALHOST, .svc,127.0.0.1,::1"),
            ("localhost 127.0.0.1", "localhost 127.0.0.1,::1"),
            ("$(LIST)", "$(LIST),127.0.0.1,localhost,::1"),
            ("::1,localhost,127.0.0.1", "::1,localhost,127.0.0.1"),
            ("*", "*"),
            ("127.0.0.10", "127.0.0.10,127.0.0.1,localhost,::1"),
        ] {
            check(json!([{"name": "NO_PROXY", "value": list}, proxy]), Some(expected), None);
        }
        check(json!([{"name": "NO_PROXY"}, proxy]), Some(SHORT), None);
        check(
            json!([{"name": "NO_PROXY", "value": "a"}, {"name": "NO_PROXY", "value": "b"}, proxy]),
            Some("b,127.0.0.1,localhost,::1"),
            None,
        );
    }

    #[test]
    fn a_list_that_is_made_beside_another_holds_what_that_holds() {
        let list = json!({"name": "NO_PROXY", "value": ".svc"});
        let both = ".svc,127.0.0.1,localhost,::1";
        check(json!([list, {"name": "http_proxy", "value": "http://proxy"}]), Some(both), Some(both));
        let star = json!({"name": "NO_PROXY", "value": "*"});
        check(json!([star, {"name": "http_proxy", "value": "http://proxy"}]), Some("*"), Some("*"));
        let lower = json!({"name": "no_proxy", "value": ".svc"});
        check(json!([list, lower, {"name": "http_proxy", "value": "http://proxy"}]), Some(both), Some(both));
    }

    #[test]
    fn a_list_from_elsewhere_is_neither_changed_nor_hidden() {
        let proxy = json!({"name": "http_proxy", "value": "http://proxy"});
        let list = json!({"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "none"}}});
        for asked in [None, Some(true)] {
            assert_eq!(exceptions(json!({"env": [proxy, list]}), asked).2, 0);
            let source = json!([{"configMapRef": {"name": "proxy"}}]);
            let expected = if asked.is_some() { 2 } else { 0 };
            assert_eq!(exceptions(json!({"env": [proxy], "envFrom": source}), asked).2, expected);
        }
        // Nothing comes from an empty list.
        assert_eq!(exceptions(json!({"env": [proxy], "envFrom": []}), None).2, 2);
        assert_eq!(exceptions(json!({"env": [proxy], "envFrom": null}), None).2, 2);
    }

    #[test]
    fn whoever_asks_gets_exceptions_and_whoever_refuses_none() {
        let short = Some(SHORT.to_owned());
        for container in [json!({}), json!({"env": null}), json!({"env": []})] {
            let (upper, lower, _) = exceptions(container, Some(true));
            assert_eq!((upper, lower), (short.clone(), short.clone()));
        }
        let proxy = json!({"name": "http_proxy", "value": "http://proxy"});
        assert_eq!(exceptions(json!({"env": [proxy]}), Some(false)).2, 0);
    }

    #[test]
    fn an_env_that_is_no_list_is_named() {
        let found = changes(&json!({"env": 3}), &Environment::default()).unwrap_err();
        assert_eq!(found.to_string(), "env: expected a list, found a number");
    }
}
