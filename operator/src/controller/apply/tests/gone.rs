//! Objects that go while a group of their name is there: those of an older group, those that others remove, and those that
//! others take for their own.
//!
//! *Never:* objects that stay ours.

use super::*;

/// An object of ours as somebody makes it their own.
fn taken(mut object: Value) -> Value {
    let version = format!("{} and later", object["metadata"]["resourceVersion"].as_str().unwrap());
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("ownerReferences");
    metadata.remove("labels");
    metadata.insert("resourceVersion".to_owned(), json!(version));
    object["spec"] = json!({"theirs": true});
    object
}

#[tokio::test]
async fn what_somebody_takes_right_before_it_is_written_is_theirs() {
    for (path, kind) in [(SERVICE, Kind::Service), (SERVICE_MONITOR, Kind::ServiceMonitor)] {
        let server = FakeServer::default();
        server.0.lock().unwrap().knows_monitors = true;
        assert_eq!(sync(&server, &group()).await, Outcome::Applied);
        let theirs = taken(server.object(path).unwrap());
        server.0.lock().unwrap().changed_before = Some((path, theirs.clone()));
        assert_eq!(sync(&server, &group()).await, Outcome::foreign(kind, "sidegate-nightly"));
        assert_eq!(server.object(path), Some(theirs));
    }
}

#[tokio::test]
async fn what_somebody_takes_right_before_it_is_removed_stays_and_a_mere_change_delays_nothing() {
    let mut without = group();
    without.spec.scrape.kind = crds::scrape::MonitorKind::None;
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    let theirs = taken(server.object(SERVICE).unwrap());
    server.0.lock().unwrap().changed_before = Some((SERVICE, theirs.clone()));
    assert_eq!(sync(&server, &without).await, Outcome::NotWanted);
    assert_eq!((server.object(SERVICE), server.object(SERVICE_MONITOR)), (Some(theirs), None));

    server.0.lock().unwrap().objects.clear();
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    let mut counted = server.object(SERVICE_MONITOR).unwrap();
    counted["metadata"]["resourceVersion"] = json!("later");
    server.0.lock().unwrap().changed_before = Some((SERVICE_MONITOR, counted));
    assert_eq!(sync(&server, &without).await, Outcome::NotWanted);
    assert_eq!((server.object(SERVICE), server.object(SERVICE_MONITOR)), (None, None));
}

#[tokio::test]
async fn what_others_change_right_before_it_is_written_is_repaired_at_once() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    let mut changed = server.object(SERVICE_MONITOR).unwrap();
    let before = changed["spec"].clone();
    changed["spec"]["endpoints"] = json!([]);
    changed["metadata"]["resourceVersion"] = json!("later");
    server.0.lock().unwrap().changed_before = Some((SERVICE_MONITOR, changed));
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    assert_eq!(server.object(SERVICE_MONITOR).unwrap()["spec"], before);
}

#[tokio::test]
async fn what_a_group_of_the_same_name_left_gives_way() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    assert_eq!(sync(&server, &group()).await, Outcome::Applied);
    let mut anew = group();
    anew.metadata.uid = Some("another".to_owned());
    assert_eq!(sync(&server, &anew).await, Outcome::Applied);
    for path in [SERVICE, SERVICE_MONITOR] {
        let owners = server.object(path).unwrap()["metadata"]["ownerReferences"].clone();
        assert_eq!((owners.as_array().unwrap().len(), &owners[0]["uid"]), (1, &json!("another")), "{path}");
    }
}

#[tokio::test]
async fn what_went_since_it_was_looked_at_is_made_again() {
    let server = FakeServer::default();
    server.0.lock().unwrap().knows_monitors = true;
    let (client, group, undeclared) = (server.client(), group(), Undeclared::default());
    let owner = Owner::of(&group).unwrap();
    assert_eq!(sync(&server, &group).await, Outcome::Applied);
    let plan = plan(&owner, &observe(&client, &owner).await.unwrap(), &[[7; 32]]);
    for path in [TRUST, SERVICE, SERVICE_MONITOR] {
        server.0.lock().unwrap().objects.remove(path);
    }
    let with = Applying { client: &client, undeclared: &undeclared, now: NOW };
    assert_eq!(apply(with, &owner, plan).await, Outcome::Applied);
    assert!([TRUST, SERVICE, SERVICE_MONITOR].iter().all(|path| server.object(path).is_some()));
}
