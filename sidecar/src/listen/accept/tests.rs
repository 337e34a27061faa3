//! Real sockets on loopback, small limits.

use axum::{body::Body, extract::Request, http::StatusCode, routing::get};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use super::*;
use crate::{exposition::Value, listen::closing};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";

/// Whoever waits for the other side in vain fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    counts: Connections,
    close: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<()>,
}

// === impl Server ===

impl Server {
    async fn start(limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(async || "fine").post(async |request: Request| body(request).await))
            .route("/panic", get(panics))
            .route("/ignore", get(async || "ignored").post(async || (StatusCode::PAYLOAD_TOO_LARGE, "too large")))
            .route("/large", get(async || vec![b'x'; 32 * 1024 * 1024]));
        let counts = Connections::default();
        let (close, closing) = closing();
        let serving = Serving::new(router, limits, counts.clone());
        let ended = tokio::spawn(serve(listener, serving, closing));
        Self { address, counts, close, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends and reads to the end.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }

    /// A number of ours, with these labels.
    fn count(&self, name: &str, labels: &str) -> f64 {
        let families = self.counts.gather();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let found = family.metrics.iter().find(|metric| metric.labels.to_string() == labels).unwrap();
        match found.value {
            Value::Number(number) => number,
            Value::Summary(_) | Value::Histogram(_) => panic!("{name} is no number"),
        }
    }

    async fn until(&self, name: &str, labels: &str, expected: f64) {
        let reached = async {
            while self.count(name, labels) != expected {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
    }
}

async fn body(request: Request<Body>) -> String {
    let length = request.into_body().collect().await.unwrap().to_bytes().len();
    format!("{length} bytes")
}

async fn panics() {
    panic!("as the test wants it")
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut read = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut read)).await.unwrap().unwrap();
    read
}

/// Reads until this has come.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap();
        read.push(byte.unwrap());
    }
    String::from_utf8(read).unwrap()
}

fn limits() -> ConnectionLimits {
    ConnectionLimits::NONE
}

const SOON: Option<Duration> = Some(Duration::from_millis(50));

#[tokio::test]
async fn requests_follow_one_another_on_a_connection_of_both_versions() {
    let server = Server::start(ConnectionLimits::default()).await;
    let mut stream = server.connect().await;
    for request in [REQUEST, b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"] {
        for _ in 0..2 {
            stream.write_all(request).await.unwrap();
            let answer = read_until(&mut stream, "fine").await;
            assert!(answer.contains(" 200 OK\r\n"), "{answer}");
        }
    }
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.ends_with("fine"));
}

#[tokio::test]
async fn a_head_that_comes_slowly_is_answered_408_and_closed() {
    let server = Server::start(ConnectionLimits { header_time: SOON, ..limits() }).await;
    let answer = server.exchange(b"GET / HTTP/1.1\r\nhost: te").await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    let sentence = "expected the whole head of the request within 50ms, found a part of it; \
                    `--web.header-timeout` sets the limit\n";
    assert!(answer.ends_with(&format!("\r\n\r\n{sentence}")), "{answer}");
    assert!(answer.contains(&format!("\r\ncontent-length: {}\r\n", sentence.len())), "{answer}");
    server.until("sidegate_connections_timed_out_total", "{waiting_for=\"head\"}", 1.0).await;
    server.until("sidegate_connections", "{}", 0.0).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let server = Server::start(ConnectionLimits { header_time: SOON, ..limits() }).await;
    assert_eq!(server.exchange(b"").await, "");
    server.until("sidegate_connections_timed_out_total", "{waiting_for=\"request\"}", 1.0).await;
}

#[tokio::test]
async fn a_connection_without_a_further_request_is_closed_without_a_word() {
    let server = Server::start(ConnectionLimits { idle_time: SOON, ..limits() }).await;
    let answer = server.exchange(REQUEST).await;
    assert!(answer.ends_with("fine"), "{answer}");
    server.until("sidegate_connections_timed_out_total", "{waiting_for=\"request\"}", 1.0).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let server = Server::start(ConnectionLimits { idle_time: SOON, ..limits() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    server.until("sidegate_connections_timed_out_total", "{waiting_for=\"reader\"}", 1.0).await;
    server.until("sidegate_connections", "{}", 0.0).await;
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_not_the_time_of_a_head() {
    let server = Server::start(ConnectionLimits { header_time: SOON, idle_time: SOON, ..limits() }).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 2\r\n\r\na")
        .await
        .unwrap();
    sleep(Duration::from_millis(200)).await;
    stream.write_all(b"b").await.unwrap();
    assert!(rest(&mut stream).await.ends_with("2 bytes"));
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_told_so_and_the_next_is_served_once_there_is_room() {
    let server = Server::start(ConnectionLimits { connections: 1, ..limits() }).await;
    let mut first = server.connect().await;
    first.write_all(REQUEST).await.unwrap();
    read_until(&mut first, "fine").await;
    assert_eq!(server.count("sidegate_connections", "{}"), 1.0);

    let answer = server.exchange(REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"), "{answer}");
    let sentence = "expected at most 1 connections at once, found one more; `--web.max-connections` sets the limit\n";
    assert!(answer.ends_with(&format!("\r\n\r\n{sentence}")), "{answer}");
    assert_eq!(server.count("sidegate_connections_refused_total", "{}"), 1.0);

    drop(first);
    server.until("sidegate_connections", "{}", 0.0).await;
    assert!(server.exchange(LAST_REQUEST).await.ends_with("fine"));
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_for_and_ends_nothing_else() {
    let server = Server::start(limits()).await;
    let answer = server.exchange(b"GET /panic HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\ninternal error: the log of the process says more\n"), "{answer}");
    assert!(server.exchange(LAST_REQUEST).await.ends_with("fine"));
    server.until("sidegate_connections", "{}", 0.0).await;
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_sends_can_read_why() {
    let server = Server::start(ConnectionLimits::default()).await;
    let mut stream = server.connect().await;
    let body = vec![b'x'; 8 * 1024 * 1024];
    let head = format!("POST /ignore HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too large"), "{answer}");
}

#[tokio::test]
async fn on_closing_idle_connections_are_closed_and_requests_under_way_answered() {
    let server = Server::start(ConnectionLimits::default()).await;
    let (mut idle, mut silent) = (server.connect().await, server.connect().await);
    idle.write_all(REQUEST).await.unwrap();
    read_until(&mut idle, "fine").await;
    let mut busy = server.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut busy, "HTTP/1.1 100 Continue\r\n\r\n").await;
    server.close.send_replace(true);
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    busy.write_all(b"a").await.unwrap();
    assert!(rest(&mut busy).await.ends_with("1 bytes"));
    tokio::time::timeout(PATIENCE, server.ended).await.unwrap().unwrap();
}
