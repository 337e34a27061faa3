//! Against small servers on loopback that answer as they like.

use std::sync::{Arc as Shared, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const PAGE: &str = "# TYPE push_time_seconds gauge\npush_time_seconds{instance=\"\",job=\"a\"} 7\n";

type Asked = Shared<Mutex<Vec<String>>>;

/// A server that answers each request with the same bytes and closes the connection.
async fn server(answer: Vec<u8>) -> (GatewaySession, Asked) {
    let asked = Asked::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let written = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (answer, written) = (answer.clone(), written.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut bytes = [0; 1024];
                    let count = stream.read(&mut bytes).await.unwrap();
                    if count == 0 {
                        return;
                    }
                    request.extend_from_slice(&bytes[..count]);
                }
                written.lock().unwrap().push(String::from_utf8(request).unwrap());
                // The other side may have heard enough.
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    let header = HeaderValue::from_static("Bearer t0k");
    (GatewaySession::new(GatewayAddress::parse(&format!("http://{address}/pg")).unwrap(), Some(header), None), asked)
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n{headers}\r\n{body}").into_bytes()
}

fn with_length(body: &str) -> Vec<u8> {
    answer("200 OK", &format!("Content-Length: {}\r\n", body.len()), body)
}

fn asked_about() -> HashSet<LabelSet> {
    [LabelSet::from_iter([("job", "a")])].into()
}

fn key() -> GroupingKey {
    GroupingKey::from_labels([("job", "a"), ("path", "/b")].into_iter().collect()).unwrap()
}

/// What a read of such an answer ends with: a reason and a sentence.
#[track_caller]
fn check(error: &GatewayError, reason: &str, sentence: &str) {
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(sentence), "{error}");
    assert!(!error.to_string().contains("t0k"), "{error}");
}

async fn read(answer: Vec<u8>) -> GatewayError {
    server(answer).await.0.read().await.unwrap_err()
}

#[tokio::test]
async fn a_read_asks_below_the_prefix_with_credentials() {
    let (session, asked) = server(with_length(PAGE)).await;
    let page = session.read().await.unwrap();
    assert_eq!(page.text, PAGE);
    assert_eq!(page.date.map(|date| date.to_string()).as_deref(), Some("1994-11-06T08:49:37Z"));
    let asked = asked.lock().unwrap()[0].clone();
    let names = "name[]=push_time_seconds&name[]=push_failure_time_seconds&name[]=pushgateway_build_info";
    assert!(asked.starts_with(&format!("GET /pg/metrics?{names} HTTP/1.1\r\nhost: 127.0.0.1:")), "{asked}");
    assert!(asked.contains("\r\nauthorization: Bearer t0k\r\n"), "{asked}");
}

#[tokio::test]
async fn a_removal_goes_to_the_groups_path_and_says_the_time_that_was_seen() {
    let (mut session, asked) = server(answer("202 Accepted", "Content-Length: 0\r\n", "")).await;
    session.prepare().await.unwrap();
    assert_eq!(session.remove(&key(), "1.5e+09").await.unwrap(), Removal::Removed);
    let asked = asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("DELETE /pg/metrics/job/a/path@base64/L2I HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nsidegate-if-push-time: 1.5e+09\r\n"), "{asked}");
}

#[tokio::test]
async fn a_gateway_that_knows_conditions_says_that_a_group_moved_on() {
    let (mut session, _) = server(answer("412 Precondition Failed", "Content-Length: 0\r\n", "")).await;
    assert_eq!(session.remove(&key(), "1").await.unwrap(), Removal::MovedOn);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, asked) = server(with_length(PAGE)).await;
    let location = format!("Location: {}\r\nContent-Length: 0\r\n", elsewhere.address);
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (mut session, _) = server(answer(status, &location, "")).await;
        let expected = "redirects are not followed, give the address it has now";
        check(&session.read().await.unwrap_err(), "status", expected);
        check(&session.remove(&key(), "1").await.unwrap_err(), "status", expected);
        assert_eq!(session.true_keys(asked_about()).await.unwrap(), None);
    }
    assert!(asked.lock().unwrap().is_empty(), "credentials went elsewhere");
}

#[tokio::test]
async fn what_is_no_page_is_told_in_a_sentence() {
    let none = answer("404 Not Found", "Content-Length: 0\r\n", "");
    check(
        &read(none).await,
        "status",
        "/pg/metrics, found 404: give the address without /metrics, with the route prefix",
    );
    check(&read(answer("500 Oh", "Content-Length: 0\r\n", "")).await, "status", "expected status 200 from GET http://");
    check(&read(with_length("<html>\n")).await, "body", "expected the page of a Pushgateway, found neither");
    check(&read(b"\x00\x01garbage\r\n\r\n".to_vec()).await, "connect", "broke: ");
    check(&read(Vec::new()).await, "connect", "broke: ");
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let refused = answer(status, "WWW-Authenticate: Basic\r\nContent-Length: 0\r\n", "");
        check(&read(refused).await, "unauthorized", "to accept the Secret's credentials, found status 40");
    }
}

#[tokio::test]
async fn a_page_that_is_not_whole_is_not_taken() {
    let cut = &PAGE[..PAGE.len() - 2];
    // It says that there is more than comes.
    let longer = answer("200 OK", &format!("Content-Length: {}\r\n", PAGE.len() + 10), PAGE);
    check(&read(longer).await, "connect", "broke: ");
    // It says that there is less: the number's end is missing.
    let shorter = answer("200 OK", &format!("Content-Length: {}\r\n", cut.len()), PAGE);
    check(&read(shorter).await, "body", "expected a line feed at the end of the page, found none");
    // It says nothing, and closes in the midst of a line.
    check(&read(answer("200 OK", "Connection: close\r\n", cut)).await, "body", "expected a line feed");
    let chunk = format!("{:x}\r\n{PAGE}\r\n", PAGE.len());
    check(&read(answer("200 OK", "Transfer-Encoding: chunked\r\n", &chunk)).await, "connect", "broke: ");
}

#[tokio::test]
async fn what_is_closed_after_the_push_times_was_read_whole() {
    let more = format!("{PAGE}# TYPE q gauge\nq 1");
    let broken = answer("200 OK", &format!("Content-Length: {}\r\n", more.len() + 100), &more);
    let (session, _) = server(broken).await;
    assert_eq!(session.read().await.unwrap().text, PAGE);
}

#[tokio::test]
async fn a_hundred_megabytes_are_not_read_to_their_end() {
    let line = format!("some_metric{{job=\"{}\"}} 1\n", "x".repeat(1000));
    let long = line.repeat(100_000_000 / line.len());
    check(&read(with_length(&long)).await, "body", "within 67108864 bytes, found a longer page");
    let times = "push_time_seconds{job=\"a\"} 1\n".repeat(1 << 19);
    check(&read(with_length(&times)).await, "body", "expected at most 8388608 bytes of push times, found more");
    let endless = answer("200 OK", &format!("X: {}\r\n", "x".repeat(1 << 20)), PAGE);
    check(&read(endless).await, "connect", "broke: ");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_hangs_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut session = GatewaySession::new(GatewayAddress::parse(&address).unwrap(), None, None);
    let expected = |limit: &str| format!("expected an answer of {address} within {limit}, found none");
    check(&session.read().await.unwrap_err(), "timeout", &expected("10s"));
    check(&session.true_keys(asked_about()).await.unwrap_err(), "timeout", &expected("10s"));
    check(&session.remove(&key(), "1").await.unwrap_err(), "timeout", &expected("5s"));
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let session = GatewaySession::new(GatewayAddress::parse(&address).unwrap(), None, None);
    check(&session.read().await.unwrap_err(), "connect", &format!("cannot connect to {address}: "));
}

#[tokio::test]
async fn true_keys_are_told_or_not_told() {
    let told = with_length(r#"{"status":"success","data":[{"labels":{"job":"a"}}]}"#);
    assert!(server(told).await.0.true_keys(asked_about()).await.unwrap().is_some());
    for other in ["404 Not Found", "401 Unauthorized", "405 Method Not Allowed"] {
        let other = answer(other, "Content-Length: 0\r\n", "");
        assert_eq!(server(other).await.0.true_keys(asked_about()).await.unwrap(), None);
    }
    assert_eq!(server(with_length("no JSON")).await.0.true_keys(asked_about()).await.unwrap(), None);
    let long = with_length(&" ".repeat(LONGEST_ANSWER + 1));
    assert_eq!(server(long).await.0.true_keys(asked_about()).await.unwrap(), None);
}
