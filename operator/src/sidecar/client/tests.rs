//! Requests against a small server on loopback that writes down what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    extract::{Request as Asked, State},
    response::Response as Answer,
};
use ed25519_dalek::{Signature, VerifyingKey};
use protocol::{LabelSet, signed_request::SignatureHeader};

use super::*;

type Written = Arc<Mutex<Vec<(String, hyper::HeaderMap)>>>;

/// A server that gives every request the same answer.
async fn server(status: u16, body: &'static str) -> (SocketAddr, Written) {
    let seen = Written::default();
    let app = Router::new()
        .fallback(move |State(seen): State<Written>, asked: Asked| async move {
            let line = format!("{} {}", asked.method(), asked.uri());
            seen.lock().unwrap().push((line, asked.headers().clone()));
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            Answer::builder().status(status).header("date", date).body(Body::from(body)).unwrap()
        })
        .with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

fn client() -> SidecarClient {
    SidecarClient::new(OperatorKey::from_seed(&[7; 32]))
}

fn at(push_time: &str) -> Seen<'_> {
    Seen { push_time, failure_time: None }
}

fn key() -> GroupingKey {
    GroupingKey::from_labels(LabelSet::from_iter([("job", "a"), ("path", "/b")])).unwrap()
}

#[tokio::test]
async fn a_read_is_marked_and_asks_for_two_families() {
    let (address, seen) = server(200, "page").await;
    let page = client().read(address, false).await.unwrap();
    assert_eq!(page.text, "page");
    assert_eq!(page.date.map(|date| date.to_string()).as_deref(), Some("1994-11-06T08:49:37Z"));
    let (line, headers) = seen.lock().unwrap()[0].clone();
    assert_eq!(line, "GET /metrics?name[]=push_time_seconds&name[]=push_failure_time_seconds");
    assert!(headers.contains_key(OPERATOR_READ_HEADER));
    assert_eq!(headers["accept"], TEXT_FORMAT);
}

#[tokio::test]
async fn a_delete_is_conditional_and_signed_for_the_pod() {
    let (address, seen) = server(202, "").await;
    let now = Timestamp::constant(1_790_000_000, 0);
    let removal = client().remove(address, "uid", &key(), at("1.5e+09"), now).await.unwrap();
    assert_eq!(removal, Removal::Removed);
    let (line, headers) = seen.lock().unwrap()[0].clone();
    assert_eq!(line, "DELETE /metrics/job/a/path@base64/L2I");
    assert_eq!(headers[IF_PUSH_TIME_HEADER], "1.5e+09");

    let header = SignatureHeader::parse(headers[SIGNATURE_HEADER].to_str().unwrap()).unwrap();
    let signed = SignedRequest {
        method: "DELETE",
        path: "/metrics/job/a/path@base64/L2I",
        target: "uid",
        push_time: "1.5e+09",
        failure_time: None,
        signed_at: 1_790_000_000,
        nonce: header.nonce,
    };
    let public = VerifyingKey::from_bytes(&OperatorKey::from_seed(&[7; 32]).public()).unwrap();
    public.verify_strict(&signed.message(), &Signature::from_bytes(&header.signature)).unwrap();
}

#[tokio::test]
async fn at_push_time_zero_a_delete_depends_on_the_failure_time_too() {
    let (address, seen) = server(202, "").await;
    let group = GroupAge {
        key: key(),
        push_time: 0.0,
        push_time_text: "0".to_owned(),
        failure_time: 5.5,
        failure_time_text: "5.5".to_owned(),
    };
    client().remove(address, "uid", &group.key, Seen::of(&group), Timestamp::UNIX_EPOCH).await.unwrap();
    let headers = seen.lock().unwrap()[0].1.clone();
    assert_eq!(
        (&headers[IF_PUSH_TIME_HEADER], &headers[IF_PUSH_FAILURE_TIME_HEADER]),
        (&"0".parse().unwrap(), &"5.5".parse().unwrap())
    );
    let header = SignatureHeader::parse(headers[SIGNATURE_HEADER].to_str().unwrap()).unwrap();
    let signed = SignedRequest {
        method: "DELETE",
        path: &group.key.to_path(),
        target: "uid",
        push_time: "0",
        failure_time: Some("5.5"),
        signed_at: 0,
        nonce: header.nonce,
    };
    let public = VerifyingKey::from_bytes(&OperatorKey::from_seed(&[7; 32]).public()).unwrap();
    public.verify_strict(&signed.message(), &Signature::from_bytes(&header.signature)).unwrap();
    let pushed = GroupAge { push_time: 1.0, push_time_text: "1".to_owned(), ..group };
    assert_eq!(Seen::of(&pushed), at("1"), "what was pushed once counts from its push");
}

#[tokio::test]
async fn a_group_that_moved_on_is_no_error() {
    let (address, _) = server(412, "").await;
    let removal = client().remove(address, "uid", &key(), at("1"), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(removal, Removal::MovedOn);
}

#[tokio::test]
async fn another_status_is_an_error() {
    let (address, _) = server(403, "").await;
    let error = client().remove(address, "uid", &key(), at("1"), Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert_eq!((error.reason(), error.to_string().as_str()), ("status", "expected status 202, found 403"));
    assert_eq!(client().read(address, false).await.unwrap_err().reason(), "status");
}

#[tokio::test]
async fn a_page_has_a_limit() {
    let long: &'static str = Box::leak("x".repeat((4 << 20) + 1).into_boxed_str());
    let (address, _) = server(200, long).await;
    let error = client().read(address, false).await.unwrap_err();
    assert!(error.to_string().ends_with("it is longer"), "{error}");
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(client().read(address, false).await.unwrap_err().reason(), "connect");
}

#[tokio::test(start_paused = true)]
async fn a_long_page_waits_for_a_place_and_those_of_costly_sidecars_have_their_own() {
    let long: &'static str = Box::leak("#".repeat(SHORT_PAGE + 1).into_boxed_str());
    let (address, _) = server(200, long).await;
    let client = client();
    let ordinary = [client.read(address, false).await.unwrap(), client.read(address, false).await.unwrap()];
    let error = client.read(address, false).await.unwrap_err();
    let sentence = "expected a place for a page of more than 131072 bytes, others had all 2";
    assert_eq!((error.reason(), error.to_string().as_str()), ("no_room", sentence));
    assert!(error.is_about_others());

    let costly = client.read(address, true).await.unwrap();
    let error = client.read(address, true).await.unwrap_err();
    assert!(error.to_string().ends_with("others had all 1"), "{error}");
    drop(ordinary);
    assert!(client.read(address, false).await.is_ok());
    assert!(client.read(address, true).await.is_err());
    drop(costly);
    assert!(client.read(address, true).await.is_ok());
}
