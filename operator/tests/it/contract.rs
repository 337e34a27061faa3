//! The contract between the two: what the sidecar's store and encoder print, the operator's reader reads, whatever the
//! labels; and the push time the operator has read is the one a conditional delete wants.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{Method, Request},
};
use operator::{
    sidecar::{
        client::{Removal, Seen, SidecarClient},
        push_times,
    },
    signing::OperatorKey,
};
use proptest::prelude::*;
use protocol::{GroupingKey, LabelSet, NameValidation, PathNames, endpoints::IF_PUSH_TIME_HEADER, trust};
use sidecar::{
    http::{AppState, Settings, router, scrape_router},
    store::{Identity, IdentityRule, Rules, Store},
};
use tower::ServiceExt as _;

/// A sidecar: its push side to call, its scrape side on a socket.
struct Sidecar {
    state: AppState,
    scrape: SocketAddr,
    /// How its push side reads names.
    names: PathNames,
}

// === impl Sidecar ===

impl Sidecar {
    async fn start() -> Self {
        Self::serve(AppState::around(Store::new())).await
    }

    async fn serve(state: AppState) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scrape = listener.local_addr().unwrap();
        let app = scrape_router(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { state, scrape, names: PathNames::Literal }
    }

    async fn ask(&self, method: Method, key: &GroupingKey, push_time: Option<&str>, body: &'static str) -> u16 {
        let mut request = Request::builder().method(method).uri(key.to_path_for(self.names));
        if let Some(push_time) = push_time {
            request = request.header(IF_PUSH_TIME_HEADER, push_time);
        }
        let request = request.body(Body::from(body)).unwrap();
        router(self.state.clone()).oneshot(request).await.unwrap().status().as_u16()
    }

    async fn push(&self, key: &GroupingKey) {
        let status = self.ask(Method::PUT, key, None, "# TYPE contract gauge\ncontract 1\n").await;
        assert_eq!(status, 200, "{key}");
    }

    async fn read(&self) -> push_times::Reading {
        let page = SidecarClient::new(OperatorKey::from_seed(&[1; 32])).read(self.scrape, false).await.unwrap();
        assert!(page.date.is_some(), "a sidecar tells its time");
        push_times::read(&page.text)
    }
}

fn key(labels: &[(&str, &str)]) -> GroupingKey {
    GroupingKey::from_labels(labels.iter().copied().collect::<LabelSet>()).unwrap()
}

fn hostile() -> Vec<GroupingKey> {
    let values = [
        "a,b",
        "x=y",
        "{id}",
        "}",
        "{",
        "say \"hi\"",
        "back\\slash",
        "trailing\\",
        "new\nline",
        "\r",
        "größe",
        "日本",
        "\u{2028}",
        "/path/to",
        "..",
        ".",
        " ",
        " padded ",
        "a b",
        "\t",
        "#",
        "100%",
        "+",
        "a/b,c=\"d\\\"}\n",
        "",
    ];
    let mut keys = vec![
        key(&[("job", "without instance")]),
        key(&[("job", "empty instance"), ("instance", "")]),
        key(&[("job", "instance"), ("instance", "x")]),
    ];
    for value in values {
        keys.push(key(&[("job", "hostile"), ("value", value)]));
        if !value.is_empty() {
            keys.push(key(&[("job", value)]));
        }
    }
    keys
}

#[expect(clippy::disallowed_methods, reason = "the sidecar's times are the system's")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[tokio::test]
async fn hostile_labels_read_back_as_the_keys_they_were() {
    let sidecar = Sidecar::start().await;
    let before = now();
    for key in hostile() {
        sidecar.push(&key).await;
    }
    let reading = sidecar.read().await;
    assert_eq!(reading.unreadable, 0);
    let found: BTreeSet<_> = reading.groups.iter().map(|group| group.key.clone()).collect();
    assert_eq!(found, hostile().into_iter().collect());
    for group in reading.groups {
        assert!(before <= group.push_time && group.push_time <= now(), "{}: {}", group.key, group.push_time);
        assert_eq!(group.failure_time.to_bits(), 0.0_f64.to_bits(), "{}", group.key);
    }
}

#[tokio::test]
async fn the_time_that_was_read_is_the_one_a_delete_wants() {
    let sidecar = Sidecar::start().await;
    for key in hostile() {
        sidecar.push(&key).await;
    }
    for group in sidecar.read().await.groups {
        let delete = async |push_time| sidecar.ask(Method::DELETE, &group.key, Some(push_time), "").await;
        assert_eq!(delete("1").await, 412, "{}", group.key);
        assert_eq!(delete(&group.push_time_text).await, 202, "{}", group.key);
    }
    assert_eq!(sidecar.read().await, push_times::Reading::default());
}

/// A folder with the operator's key, as `sidegate-trust` is mounted; it goes with the value.
struct TrustFolder(PathBuf);

impl TrustFolder {
    fn with(name: &str, key: &OperatorKey) -> Self {
        let folder = std::env::temp_dir().join(format!("sidegate-trust-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let keys = trust::print_operator_keys(&[key.public()]);
        std::fs::write(folder.join(trust::OPERATOR_KEYS_FILE), keys).unwrap();
        Self(folder)
    }
}

impl Drop for TrustFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn timestamp() -> jiff::Timestamp {
    jiff::Timestamp::try_from(UNIX_EPOCH + std::time::Duration::from_secs_f64(now())).unwrap()
}

#[tokio::test]
async fn what_the_operator_signs_is_removed_whatever_its_labels() {
    let key = || OperatorKey::from_seed(&[1; 32]);
    let folder = TrustFolder::with("hostile", &key());
    let state = AppState::trusting(Store::new(), Settings::default(), folder.0.clone(), "uid-1".to_owned());
    let sidecar = Sidecar::serve(state).await;
    for key in hostile() {
        sidecar.push(&key).await;
    }
    let client = SidecarClient::new(key());
    for group in sidecar.read().await.groups {
        let (key, time) = (&group.key, Seen::of(&group));
        // Signed for another pod, or by another operator, it is worth nothing.
        assert!(client.remove(sidecar.scrape, "uid-2", key, time, timestamp()).await.is_err(), "{key}");
        let other = SidecarClient::new(OperatorKey::from_seed(&[2; 32]));
        assert!(other.remove(sidecar.scrape, "uid-1", key, time, timestamp()).await.is_err(), "{key}");
        let moved_on = client.remove(sidecar.scrape, "uid-1", key, Seen { push_time: "1", ..time }, timestamp()).await;
        assert_eq!(moved_on.unwrap(), Removal::MovedOn, "{key}");
        let removed = client.remove(sidecar.scrape, "uid-1", key, time, timestamp()).await;
        assert_eq!(removed.unwrap(), Removal::Removed, "{key}");
    }
    assert_eq!(sidecar.read().await, push_times::Reading::default());
}

#[tokio::test]
async fn what_a_sidecar_takes_or_shows_otherwise_reads_back_and_is_removed() {
    let operator = || OperatorKey::from_seed(&[1; 32]);
    let folder = TrustFolder::with("otherwise", &operator());
    let identity = Identity { pod: Some("web-0".into()), namespace: Some("data".into()), rule: IdentityRule::Rename };
    let store = Store::with(Rules { identity, ..Rules::default() });
    let settings = Settings { names: NameValidation::Utf8, allows_missing_job: true, ..Settings::default() };
    let state = AppState::trusting(store, settings, folder.0.clone(), "uid-1".to_owned());
    let sidecar = Sidecar { names: PathNames::Utf8, ..Sidecar::serve(state).await };
    let named = ["größe", "with space", "quo\"te", "back\\slash", "new\nline", "a/b", "..", "U__a_b", "a.b", "{", "="];
    let keys: BTreeSet<_> = named
        .into_iter()
        .map(|name| key(&[("job", "named"), (name, "x")]))
        .chain([
            key(&[("job", "")]),
            key(&[("job", ""), ("part", "1")]),
            key(&[("job", "identity"), ("pod", "db-1")]),
            key(&[("job", "identity"), ("pod", "web-0")]),
            key(&[("job", "identity"), ("namespace", "other")]),
            key(&[("job", "identity"), ("exported_pod", "db-2")]),
            key(&[("job", "identity"), ("pod", "db-1"), ("exported_pod", "db-3")]),
            key(&[("job", "empty"), ("instance", ""), ("pod", "db-1")]),
        ])
        .collect();
    for key in &keys {
        sidecar.push(key).await;
    }
    let reading = sidecar.read().await;
    assert_eq!(reading.unreadable, 0);
    assert_eq!(reading.groups.iter().map(|group| group.key.clone()).collect::<BTreeSet<_>>(), keys);
    let client = SidecarClient::new(operator());
    for group in &reading.groups {
        let removed = client.remove(sidecar.scrape, "uid-1", &group.key, Seen::of(group), timestamp()).await;
        assert_eq!(removed.unwrap(), Removal::Removed, "{}", group.key);
    }
    assert_eq!(sidecar.read().await, push_times::Reading::default());
}

#[tokio::test]
async fn a_group_that_was_refused_again_is_not_deleted() {
    let operator = || OperatorKey::from_seed(&[1; 32]);
    let folder = TrustFolder::with("refused", &operator());
    let state = AppState::trusting(Store::new(), Settings::default(), folder.0.clone(), "uid-1".to_owned());
    let sidecar = Sidecar::serve(state).await;
    sidecar.push(&key(&[("job", "a")])).await;
    let refused = key(&[("job", "b")]);
    let refuse = async || {
        let status = sidecar.ask(Method::PUT, &refused, None, "# TYPE contract counter\ncontract 1\n").await;
        assert_eq!(status, 400);
        sidecar.read().await.groups.into_iter().find(|group| group.key == refused).unwrap()
    };
    let (seen, now) = (refuse().await, refuse().await);
    assert!(seen.failure_time < now.failure_time, "{seen:?} {now:?}");
    let client = SidecarClient::new(operator());
    let remove = async |seen| client.remove(sidecar.scrape, "uid-1", &refused, seen, timestamp()).await.unwrap();
    assert_eq!(remove(Seen::of(&seen)).await, Removal::MovedOn);
    assert_eq!(remove(Seen::of(&now)).await, Removal::Removed);
    assert_eq!(sidecar.read().await.groups.len(), 1);
}

#[tokio::test]
async fn a_group_that_was_pushed_again_is_not_deleted() {
    let sidecar = Sidecar::start().await;
    let key = key(&[("job", "a")]);
    sidecar.push(&key).await;
    let seen = sidecar.read().await.groups.remove(0);
    sidecar.push(&key).await;
    assert_eq!(sidecar.ask(Method::DELETE, &key, Some(&seen.push_time_text), "").await, 412);
    assert_eq!(sidecar.read().await.groups.len(), 1);
}

#[tokio::test]
async fn a_key_with_an_empty_instance_is_told_from_one_without() {
    for labels in [&[("job", "a")][..], &[("job", "a"), ("instance", "")]] {
        let sidecar = Sidecar::start().await;
        sidecar.push(&key(labels)).await;
        let groups = sidecar.read().await.groups;
        assert_eq!(groups.into_iter().map(|group| group.key).collect::<Vec<_>>(), [key(labels)]);
    }
}

#[tokio::test]
async fn a_group_that_was_only_refused_has_a_failure_time() {
    let sidecar = Sidecar::start().await;
    sidecar.push(&key(&[("job", "a")])).await;
    let refused = key(&[("job", "b")]);
    let status = sidecar.ask(Method::PUT, &refused, None, "# TYPE contract counter\ncontract 1\n").await;
    assert_eq!(status, 400);
    let groups = sidecar.read().await.groups;
    let refused = groups.iter().find(|group| group.key == refused).unwrap();
    assert_eq!(refused.push_time.to_bits(), 0.0_f64.to_bits());
    assert!(0.0 < refused.failure_time);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_keys_read_back(
        keys in prop::collection::btree_set((".+", prop::collection::btree_map("[a-z_]{1,3}", ".*", 0..3)), 1..6),
    ) {
        let keys: BTreeSet<_> = keys.into_iter().filter_map(|(job, labels)| {
            let mut labels: LabelSet = labels.into_iter().collect();
            labels.insert("job", job);
            GroupingKey::from_labels(labels).ok()
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reading = runtime.block_on(async {
            let sidecar = Sidecar::start().await;
            for key in &keys {
                sidecar.push(key).await;
            }
            sidecar.read().await
        });
        prop_assert_eq!(reading.unreadable, 0);
        prop_assert_eq!(reading.groups.into_iter().map(|group| group.key).collect::<BTreeSet<_>>(), keys);
    }
}
