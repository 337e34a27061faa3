//! Over real sockets and TLS, with a patience of milliseconds where the end of a test waits for it.

use axum::routing::get;
use rcgen::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{
    certs::issue::{Identity, server_config},
    stop::{self, StopSender},
};

const BRIEF: Patience = Patience {
    unchanged: Duration::ZERO,
    visited: Duration::from_secs(3600),
    quiet: Duration::from_millis(10),
    last_answers: Duration::from_secs(3600),
};

/// As many as a test needs.
const MOST: usize = 4;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A server that says hello, and how to reach it.
struct Server {
    address: std::net::SocketAddr,
    connector: TlsConnector,
    serving: JoinHandle<()>,
    stop: StopSender,
    metrics: Arc<Metrics>,
}

impl Server {
    async fn start(router: Router, patience: Patience) -> Self {
        let provider = Arc::new(ring::default_provider());
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let identity = Identity { certificate: cert.pem(), key: signing_key.serialize_pem() };
        let tls = watch::Sender::new(Arc::new(server_config(&identity, provider.clone()).unwrap())).subscribe();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::<Metrics>::default();
        let (sender, stop) = stop::channel();
        let serving =
            tokio::spawn(Serving { tls, router, stop, most: MOST, metrics: metrics.clone() }.at(listener, patience));
        Self { address, connector: TlsConnector::from(Arc::new(client)), serving, stop: sender, metrics }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }
}

/// One answer of five letters.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("hello") {
        answer.push(char::from(stream.read_u8().await.unwrap()));
    }
    answer
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn at_the_end_those_who_are_connected_go_and_those_who_come_are_answered() {
    let server = Server::start(hello(), BRIEF).await;
    let mut connected = server.connect().await;
    assert!(ask(&mut connected).await.starts_with("HTTP/1.1 200"));
    // As long as this one says nothing, there is somebody.
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut late = server.connect().await;
    ask(&mut late).await;

    server.stop.request();
    let told = |answer: &str| answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close\r\n");
    e2e::wait::until("those who come to be told to go", Duration::from_secs(20), || async {
        Ok(told(&ask(&mut server.connect().await).await).then_some(()))
    })
    .await
    .unwrap();
    // What was there before is answered, told and closed, and not closed before.
    assert!(told(&ask(&mut connected).await));
    let mut rest = Vec::new();
    // It may be closed without a goodbye of TLS.
    let _ = connected.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    assert!(!server.serving.is_finished());

    drop((silent, late));
    server.serving.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn one_connection_too_many_takes_the_place_of_the_one_that_was_silent_longest_and_is_counted() {
    let server = Server::start(hello(), PATIENCE).await;
    let mut connected = Vec::new();
    for _ in 0..MOST {
        connected.push(server.connect().await);
    }
    // The first to come is not the one that has been silent longest any more.
    ask(&mut connected[0]).await;
    let mut new = server.connect().await;
    assert_eq!(connected.remove(1).read(&mut [0]).await.unwrap_or(0), 0);
    for stream in connected.iter_mut().chain([&mut new]) {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200"));
    }
    assert!(server.metrics.page().unwrap().contains("{reason=\"too_many_connections\"} 1\n"));
}

#[tokio::test]
async fn where_all_connections_are_in_use_one_more_is_closed_at_once_and_counted() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(tokio::sync::Semaphore::new(0)));
    let (handler_begun, handler_go_on) = (begun.clone(), go_on.clone());
    let slow = get(async move || {
        handler_begun.notify_one();
        handler_go_on.acquire().await.unwrap().forget();
        "hello"
    });
    let server = Server::start(Router::new().route("/", slow), PATIENCE).await;
    let mut asking = Vec::new();
    for _ in 0..MOST {
        let mut stream = server.connect().await;
        asking.push(tokio::spawn(async move { ask(&mut stream).await }));
        begun.notified().await;
    }
    let mut refused = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
    assert!(server.metrics.page().unwrap().contains("{reason=\"too_many_connections\"} 1\n"));
    go_on.add_permits(MOST);
    for answer in asking {
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_after_the_end_was_asked_for() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_begun, handler_go_on) = (begun.clone(), go_on.clone());
    let slow = get(async move || {
        handler_begun.notify_one();
        handler_go_on.notified().await;
        "hello"
    });
    // Nobody else is waited for.
    let patience = Patience { visited: Duration::ZERO, ..BRIEF };
    let server = Server::start(Router::new().route("/", slow), patience).await;
    let mut stream = server.connect().await;
    let asking = tokio::spawn(async move { ask(&mut stream).await });
    begun.notified().await;
    server.stop.request();
    go_on.notify_one();
    assert!(asking.await.unwrap().starts_with("HTTP/1.1 200"));
    server.serving.await.unwrap();
}

#[tokio::test]
async fn who_stays_connected_or_is_never_answered_does_not_hold_the_end_up() {
    let begun = Arc::new(Notify::new());
    let handler_begun = begun.clone();
    let never = get(async move || {
        handler_begun.notify_one();
        std::future::pending::<&str>().await
    });
    let patience = Patience { visited: Duration::ZERO, last_answers: Duration::from_millis(10), ..BRIEF };
    let server = Server::start(hello().route("/never", never), patience).await;
    let (mut stays, mut waits) = (server.connect().await, server.connect().await);
    ask(&mut stays).await;
    waits.write_all(b"GET /never HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    begun.notified().await;
    server.stop.request();
    server.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_headers_do_not_end_is_not_waited_for_but_longer_than_an_api_server_is_silent() {
    let (mut client, stream) = tokio::io::duplex(1024);
    let (_end, ending) = watch::channel(Ending::Not);
    let answering = tokio::spawn(async move { answer(stream, hello(), ending, &Activity::of_nobody()).await });
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let asked = Instant::now();
    // It is an answer or none; what counts is that the connection ends.
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    answering.await.unwrap();
    assert!(Duration::from_secs(90) < HEADERS);
    assert!((HEADERS..HEADERS * 2).contains(&asked.elapsed()), "{:?}", asked.elapsed());
}
