//! The NetworkPolicy of a group: there while it is asked for, and as it was asked for.
//!
//! *Never:* the other objects.

use super::*;

/// A group with a NetworkPolicy and without a monitor.
fn with_policy() -> PushGroup {
    let mut group = group();
    group.spec.scrape = serde_json::from_value(json!({
        "kind": "None",
        "networkPolicy": {"from": [{"namespaceSelector": {}}]},
    }))
    .unwrap();
    group
}

#[tokio::test]
async fn a_network_policy_is_made_kept_as_it_should_be_and_removed() {
    let server = FakeServer::default();
    let mut group = with_policy();
    assert_eq!(sync(&server, &group).await, Outcome::NotWanted, "of the monitor");
    let policy = || {
        let mut policy = server.object(NETWORK_POLICY)?;
        policy["metadata"]["resourceVersion"] = Value::Null;
        Some(policy)
    };
    let before = policy();
    assert_eq!(
        before.as_ref().unwrap()["spec"]["podSelector"]["matchLabels"],
        json!({"sidegate.dev/pushgroup": "nightly"})
    );
    for change in [
        json!({"spec": {"ingress": [{}]}}),
        json!({"spec": {"egress": [{}], "policyTypes": ["Ingress", "Egress"]}}),
        json!({"metadata": {"labels": {"their/own": "label"}}}),
    ] {
        let mut object = server.object(NETWORK_POLICY).unwrap();
        merge(&mut object, change.clone());
        server.put(NETWORK_POLICY, object);
        assert_ne!(policy(), before, "{change}");
        assert_eq!(sync(&server, &group).await, Outcome::NotWanted);
        assert_eq!(policy(), before, "{change}");
    }
    group.spec.scrape.network_policy = None;
    assert_eq!(sync(&server, &group).await, Outcome::NotWanted);
    assert_eq!(policy(), None);
}

#[tokio::test]
async fn a_network_policy_that_cannot_be_applied_is_told_and_hinders_nothing_else() {
    let server = FakeServer::default();
    server.0.lock().unwrap().refuses = Some(NETWORK_POLICY);
    assert_eq!(sync(&server, &with_policy()).await, Outcome::Failed("NetworkPolicy: forbidden".to_owned()));
    assert!(server.object(TRUST).is_some());
}
