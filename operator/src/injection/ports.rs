//! Which ports a sidecar takes in a pod whose containers declare some of their own. Pure.
//!
//! All containers of a pod have one network, and the sidecar is there first: with a port of an app, the app would not
//! start. The port that is scraped stays where it is, since Services, monitors and the operator go by it; the one to push
//! to may move, since the pod's containers are told where it is. What nobody declares cannot be seen. What another webhook
//! adds after the sidecar finds its ports taken, which is only told: the sidecar is never changed.
//!
//! *Never:* flags, variables, ports of the node.

use std::collections::BTreeMap;

use crds::sidecar::Sidecar;
use protocol::endpoints::{PUSH_PORT, SCRAPE_PORT};
use serde_json::Value;

use super::{
    arguments::{listen_addresses, push_ports},
    decide::{Skip, is_sidecar, name_of},
    pod::{RawPod, text},
    warning::warning,
};

/// Where the port to push to may go, in this order: nobody's usual ones, since many listen at theirs undeclared.
pub const OTHERS: [u16; 8] = [19092, 19093, 19094, 19095, 19096, 19097, 19098, 19099];

/// Where pushes are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushPort {
    /// The port.
    pub number: u16,
    /// The container that has the usual one, where that is why it is another.
    pub moved_for: Option<String>,
}

/// Chooses the port to push to for a sidecar as it is wanted.
///
/// # Errors
/// When a container declares a port that cannot move, or all that it could move to.
pub fn choose(pod: RawPod<'_>, sidecar: &Sidecar) -> Result<PushPort, Skip> {
    let declared = declared(pod);
    let taken = |port: u16| declared.get(&u64::from(port)).map(|container| name_of(container));
    let free = |port: u16| match taken(port) {
        Some(container) => Err(Skip::PortTaken { container, port }),
        None => Ok(port),
    };
    free(SCRAPE_PORT)?;
    let more: Vec<_> = listen_addresses(sidecar).good.iter().map(|(_, port)| *port).collect();
    more.iter().try_for_each(|port| free(*port).map(|_| ()))?;
    if let Some(number) = sidecar.push_port.and_then(|port| u16::try_from(port).ok()) {
        return Ok(PushPort { number: free(number)?, moved_for: None });
    }
    let Some(container) = taken(PUSH_PORT) else { return Ok(PushPort { number: PUSH_PORT, moved_for: None }) };
    match OTHERS.into_iter().find(|port| taken(*port).is_none() && !more.contains(port)) {
        Some(number) => Ok(PushPort { number, moved_for: Some(container) }),
        None => Err(Skip::PortTaken { container, port: PUSH_PORT }),
    }
}

/// The first port of a pod's sidecar that another container declares. None did when they were chosen.
#[must_use]
pub fn late(pod: RawPod<'_>) -> Option<Skip> {
    let declared = declared(pod);
    let sidecar = pod.all_containers().find(|container| is_sidecar(container))?;
    let arguments = sidecar.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    [SCRAPE_PORT].into_iter().chain(push_ports(arguments)).find_map(|port| {
        let container = name_of(declared.get(&u64::from(port))?);
        Some(Skip::LatePort { container, port })
    })
}

/// The TCP ports that the app's containers declare, with the first that does. A port of the node is none of the pod's.
fn declared(pod: RawPod<'_>) -> BTreeMap<u64, &Value> {
    let mut declared = BTreeMap::new();
    for container in pod.all_containers().filter(|container| !is_sidecar(container)) {
        let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
        let ports = ports.filter(|port| text(port, "protocol").is_none_or(|protocol| protocol == "TCP"));
        for number in ports.filter_map(|port| port.get("containerPort").and_then(Value::as_u64)) {
            declared.entry(number).or_insert(container);
        }
    }
    declared
}

// === impl PushPort ===

impl PushPort {
    /// What to say about it.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Self { number, moved_for } = self;
        let container = moved_for.as_ref()?;
        let after = format!(" declares port {PUSH_PORT}: push to PUSHGATEWAY_URL, at {number}");
        Some(warning(&["sidegate: container ", container, &after]))
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::json;

    use super::*;

    /// Of a pod whose app declares some ports.
    fn chosen(ports: Value, sidecar: Value) -> Result<PushPort, Skip> {
        let raw = json!({"spec": {"containers": [{"name": "side"}, {"name": "app", "ports": ports}]}});
        choose(RawPod::new(&raw), &serde_json::from_value(sidecar).unwrap())
    }

    fn tcp(ports: &[u16]) -> Value {
        ports.iter().map(|port| json!({"containerPort": port})).collect()
    }

    #[track_caller]
    fn check(ports: &[u16], sidecar: Value, number: u16, moved: bool) {
        let moved_for = moved.then(|| "app".to_owned());
        assert_eq!(chosen(tcp(ports), sidecar.clone()), Ok(PushPort { number, moved_for }), "{ports:?} {sidecar}");
    }

    #[track_caller]
    fn check_taken(ports: &[u16], sidecar: Value, port: u16) {
        let skip = Skip::PortTaken { container: "app".to_owned(), port };
        assert_eq!(chosen(tcp(ports), sidecar.clone()), Err(skip), "{ports:?} {sidecar}");
    }

    #[test]
    fn the_port_to_push_to_moves_out_of_the_way() {
        check(&[], json!({}), 9091, false);
        check(&[8080, 19092], json!({}), 9091, false);
        check(&[9091], json!({}), 19092, true);
        check(&[9091, 19092, 19094], json!({}), 19093, true);
        check(&[9091, 19092, 19093, 19094, 19095, 19096, 19097, 19098], json!({}), 19099, true);
        check(&[9091], json!({"listenAddresses": ["127.0.0.1:19092"]}), 19093, true);
        check_taken(&[9091, 19092, 19093, 19094, 19095, 19096, 19097, 19098, 19099], json!({}), 9091);
    }

    #[test]
    fn a_port_that_was_asked_for_does_not_move() {
        check(&[9091], json!({"pushPort": 9200}), 9200, false);
        check_taken(&[9200], json!({"pushPort": 9200}), 9200);
        check_taken(&[9091], json!({"pushPort": 9091}), 9091);
        check_taken(&[4318], json!({"listenAddresses": ["127.0.0.1:4318"]}), 4318);
        check_taken(&[9091], json!({"listenAddresses": [":9091"]}), 9091);
    }

    #[test]
    fn the_port_that_is_scraped_does_not_move() {
        check_taken(&[19091], json!({}), 19091);
        check_taken(&[9091, 19091], json!({"pushPort": 9200}), 19091);
    }

    #[test]
    fn a_port_of_another_protocol_or_of_the_node_is_not_taken() {
        let number = |port: Value| chosen(json!([port]), json!({})).map(|port| port.number);
        assert_eq!(number(json!({"containerPort": 9091, "protocol": "UDP"})), Ok(9091));
        assert_eq!(number(json!({"containerPort": 8080, "hostPort": 19091})), Ok(9091));
        assert_eq!(number(json!({"containerPort": 9091, "protocol": "TCP"})), Ok(19092));
        assert_eq!(number(json!({"containerPort": 9091, "protocol": null})), Ok(19092));
        assert_eq!(number(json!({"containerPort": "9091"})), Ok(9091), "the API server refuses it");
    }

    #[test]
    fn a_container_that_came_after_the_sidecar_finds_its_ports_taken() {
        let found = |args: Value, ports: &[u16]| {
            let sidecar = json!({"name": "sidegate", "args": args, "ports": tcp(&[19091])});
            let late = json!({"name": "late", "ports": tcp(ports)});
            let raw = json!({"spec": {"initContainers": [sidecar], "containers": [{"name": "app"}, late]}});
            late_port(&raw)
        };
        let moved = json!(["sidecar", "--push.listen-address=127.0.0.1:19092", "--push.listen-address=[::1]:19092"]);
        let more = json!(["sidecar", "--push.listen-address=127.0.0.1:9091", "--push.listen-address=:4318"]);
        assert_eq!(found(json!(["sidecar"]), &[9091]), Some(9091));
        assert_eq!(found(json!(null), &[8080, 19091]), Some(19091));
        assert_eq!(found(moved.clone(), &[9091]), None);
        assert_eq!(found(moved, &[9091, 19092]), Some(19092));
        assert_eq!(found(more, &[4318]), Some(4318));
        assert_eq!(found(json!(["sidecar", "--log.level=:8080"]), &[8080]), None);
        assert_eq!(late_port(&json!({"spec": {"containers": [{"name": "late", "ports": tcp(&[9091])}]}})), None);
    }

    fn late_port(raw: &Value) -> Option<u16> {
        let skip = late(RawPod::new(raw))?;
        let Skip::LatePort { container, port } = &skip else { panic!("{skip:?}") };
        assert_eq!(container, "late");
        Some(*port)
    }

    #[test]
    fn a_container_of_either_list_may_have_a_port() {
        for list in ["containers", "initContainers"] {
            let raw = json!({"spec": {list: [{"name": "app", "ports": tcp(&[9091])}]}});
            let port = choose(RawPod::new(&raw), &Sidecar::default()).unwrap();
            assert_eq!(
                port.warning().unwrap(),
                "sidegate: container app declares port 9091: push to PUSHGATEWAY_URL, at 19092"
            );
        }
        assert_eq!(PushPort { number: 9091, moved_for: None }.warning(), None);
    }
}
