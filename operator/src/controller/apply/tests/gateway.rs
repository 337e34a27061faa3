//! The objects of a group with a gateway: what can be made is made, whatever its monitor lacks.
//!
//! *Never:* how a gateway is asked.

use super::*;
use crate::{cache::Cache, controller::make};

const GATEWAY: &str = "/api/v1/namespaces/data/services/pushgateway";
const SECRET: &str = "/api/v1/namespaces/data/secrets/pg";

/// A server with a gateway's Service and Secret, and a group that names them.
fn with_gateway() -> (FakeServer, PushGroup) {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    server.put(
        GATEWAY,
        json!({"metadata": {"name": "pushgateway"}, "spec": {"ports": [{"name": "http", "port": 9091}]}}),
    );
    server.put(SECRET, json!({"metadata": {"name": "pg"}, "data": {"token": "b3BlbiBzZXNhbWU="}}));
    let mut group = group();
    group.spec.selector = None;
    let gateway = json!({"service": {"name": "pushgateway", "port": 9091}, "auth": {"secretName": "pg"}});
    group.spec.gateway = serde_json::from_value(gateway).unwrap();
    (server, group)
}

async fn sync(server: &FakeServer, group: &PushGroup, groups: &[&PushGroup]) -> Outcome {
    let groups = Cache::of(groups.iter().map(|group| (*group).clone()).collect());
    let ctx = Context { keys: vec![[7; 32]], groups, ..Context::of_test(&server.client()) };
    make(&ctx, &Owner::of(group).unwrap(), group).await.unwrap()
}

fn remove(server: &FakeServer, path: &str) {
    server.0.lock().unwrap().objects.remove(path).unwrap();
}

fn unfit(what: &str, stands: bool) -> Outcome {
    Outcome::ServiceUnfit { what: what.to_owned(), stands }
}

const NO_SECRET: &str =
    "the Secret pg cannot be read, which says how Prometheus is to prove itself: see the condition GatewayReachable";

#[tokio::test]
async fn a_monitor_whose_secret_or_service_is_gone_stands_and_follows_what_else_is_asked() {
    let no_service = "expected the Service pushgateway of spec.gateway.service in this namespace, found none";
    for (gone, told) in [(SECRET, NO_SECRET), (GATEWAY, no_service)] {
        let (server, mut group) = with_gateway();
        assert_eq!(sync(&server, &group, &[]).await, Outcome::Applied);
        let before = server.object(SERVICE_MONITOR).unwrap();
        remove(&server, gone);
        let mut drifted = before.clone();
        merge(&mut drifted, json!({"spec": {"sampleLimit": 1}, "metadata": {"labels": {"release": "another"}}}));
        server.put(SERVICE_MONITOR, drifted);
        group.spec.scrape.interval = "45s".parse().unwrap();
        assert_eq!(sync(&server, &group, &[]).await, unfit(told, true));
        let after = server.object(SERVICE_MONITOR).unwrap();
        let mut expected = before["spec"].clone();
        expected["endpoints"][0]["interval"] = json!("45s");
        assert_eq!(after["spec"], expected, "with its port and its credentials");
        assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
        assert!(after["spec"]["endpoints"][0]["authorization"].is_object());
    }
}

#[tokio::test]
async fn a_group_that_turns_to_a_gateway_leaves_nothing_of_the_sidecars_whatever_the_gateway_lacks() {
    let (server, for_gateway) = with_gateway();
    remove(&server, SECRET);
    assert_eq!(super::sync(&server, &group()).await, Outcome::Applied);
    let keys = server.object(TRUST).unwrap()["data"].clone();
    let mut drifted = server.object(TRUST).unwrap();
    merge(&mut drifted, json!({"data": {"operator-keys": "stolen"}}));
    server.put(TRUST, drifted);
    assert_eq!(sync(&server, &for_gateway, &[]).await, unfit(NO_SECRET, false));
    assert_eq!([SERVICE, SERVICE_MONITOR].map(|path| server.object(path)), [None, None]);
    assert_eq!(server.object(TRUST).unwrap()["data"], keys, "what pods that still run trust is kept");
}

#[tokio::test]
async fn what_is_somebody_elses_is_told_beside_what_the_gateway_lacks() {
    let (server, group) = with_gateway();
    remove(&server, SECRET);
    server.put(TRUST, json!({"metadata": {"name": "sidegate-trust", "uid": "1"}}));
    let foreign = "ConfigMap sidegate-trust exists and is not ours: remove or rename it";
    assert_eq!(sync(&server, &group, &[]).await, unfit(&format!("{NO_SECRET}; {foreign}"), false));
}

#[tokio::test]
async fn of_two_groups_that_name_one_gateway_the_older_has_the_monitor_until_it_is_gone() {
    let (server, mut group) = with_gateway();
    group.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-02T00:00:00Z")).unwrap();
    let mut older = group.clone();
    older.metadata.name = Some("older".to_owned());
    older.metadata.uid = Some("uid-0".to_owned());
    older.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(sync(&server, &group, &[&group]).await, Outcome::Applied);
    assert_eq!(sync(&server, &older, &[&group, &older]).await, Outcome::Applied);
    assert_eq!(sync(&server, &group, &[&group, &older]).await, Outcome::LeftToOlder("older".to_owned()));
    assert!(
        server.object(SERVICE_MONITOR).is_none()
            && server.object(&SERVICE_MONITOR.replace("nightly", "older")).is_some()
    );
    assert_eq!(sync(&server, &group, &[&group]).await, Outcome::Applied);
    assert!(server.object(SERVICE_MONITOR).is_some());
}
