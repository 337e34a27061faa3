//! Objects that go while a group of their name is there: those of an older group, and those that others remove.
//!
//! *Never:* objects that stay.

use super::*;

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
