//! From nothing to an answer over TLS, against a fake API server that keeps one Secret and one configuration.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body as Answered,
    http::{Method, Request, Response},
};
use clap::Parser as _;
use http_body_util::BodyExt as _;
use kube::client::Body;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};

use super::*;
use crate::{args::Args, stop};

#[derive(Clone, Default)]
struct FakeServer {
    secret: Arc<Mutex<Option<Value>>>,
    configuration: Arc<Mutex<Value>>,
}

// === impl FakeServer ===

impl FakeServer {
    fn new() -> Self {
        let webhook =
            |name| json!({"name": name, "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
        let configuration =
            json!({"metadata": {"name": "hook"}, "webhooks": [webhook("a.sidegate.dev"), webhook("b.sidegate.dev")]});
        Self { secret: Arc::default(), configuration: Arc::new(Mutex::new(configuration)) }
    }

    fn client(&self) -> Client {
        let server = self.clone();
        Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                    let (status, answer) = server.answer(&parts.method, parts.uri.path(), &body);
                    let answer = Response::builder().status(status).body(Answered::from(answer.to_string()));
                    answer.map_err(io::Error::other)
                }
            }),
            "default",
        )
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let (mut secret, mut configuration) = (self.secret.lock().unwrap(), self.configuration.lock().unwrap());
        if path.contains("/mutatingwebhookconfigurations/hook") {
            if *method == Method::PATCH {
                let patch: json_patch::Patch = serde_json::from_slice(body).unwrap();
                json_patch::patch(&mut configuration, &patch).unwrap();
            }
            return (200, configuration.clone());
        }
        if *method != Method::GET {
            *secret = serde_json::from_slice(body).unwrap();
        }
        let not_found = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
        secret.clone().map_or((404, not_found), |secret| (200, secret))
    }

    /// The bundle of an entry of the configuration, as PEM.
    fn bundle(&self, place: usize) -> Option<String> {
        let configuration = serde_json::from_value(self.configuration.lock().unwrap().clone()).unwrap();
        let configuration: MutatingWebhookConfiguration = configuration;
        let bundle = configuration.webhooks.unwrap()[place].client_config.ca_bundle.clone()?;
        Some(String::from_utf8(bundle.0).unwrap())
    }
}

fn certificates(server: &FakeServer, readiness: &Readiness) -> Certificates {
    let flags = ["--namespace=sidegate", "--sidecar.image=x", "--webhook.configuration=hook", "--webhook.service=hook"];
    let args = Args::parse_from(std::iter::once("sidegate-operator").chain(flags));
    Certificates::new(&server.client(), &Config::from_args(args).unwrap(), Clock::system(), readiness.clone())
}

/// Asks as the API server does: by the Service's name, trusting the bundle.
fn ask(address: SocketAddr, bundle: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap));
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    let config =
        config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("hook.sidegate.svc").unwrap();
    let connection = ClientConnection::new(config.into(), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    stream.write_all(b"GET / HTTP/1.1\r\nhost: hook\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // The server may close without a goodbye of TLS.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn the_api_server_can_trust_what_is_served() {
    let _ = ring::default_provider().install_default();
    let (server, readiness) = (FakeServer::new(), Readiness::default());
    let (sender, stop) = stop::channel();
    let (ready, tls) = tokio::sync::oneshot::channel();
    let keeping = tokio::spawn(certificates(&server, &readiness).keep(stop, ready));
    let tls = tls.await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(async || "hello");
    tokio::spawn(axum_server::from_tcp_rustls(listener, tls).unwrap().serve(app.into_make_service()));

    let written = async {
        while server.bundle(1).is_none() || readiness.missing().len() != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
    let bundle = server.bundle(0).unwrap();
    assert_eq!(server.bundle(1).as_ref(), Some(&bundle));
    let answer = tokio::task::spawn_blocking(move || ask(address, &bundle)).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    sender.request();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_second_replica_uses_what_the_first_made() {
    let (server, readiness) = (FakeServer::new(), Readiness::default());
    let certificates = certificates(&server, &readiness);
    let ensure = async || {
        secret::ensure(&certificates.secrets, &certificates.secret, &certificates.names, None, certificates.clock.now())
            .await
    };
    let first = ensure().await.unwrap();
    assert_eq!(ensure().await.unwrap(), first);
}

#[tokio::test]
async fn a_certificate_near_its_end_is_replaced_and_its_ca_stays() {
    let (server, readiness) = (FakeServer::new(), Readiness::default());
    let certificates = certificates(&server, &readiness);
    let ensure = async |days: i64| {
        let now = certificates.clock.now() + jiff::SignedDuration::from_hours(24 * days);
        secret::ensure(&certificates.secrets, &certificates.secret, &certificates.names, None, now).await.unwrap()
    };
    let first = ensure(0).await;
    assert_eq!(ensure(58).await, first);
    let second = ensure(61).await;
    assert_ne!(second, first);
    assert!(second.bundle.ends_with(&first.bundle));
}

#[tokio::test]
async fn a_new_certificate_is_served_a_look_after_its_ca_was_published() {
    let _ = ring::default_provider().install_default();
    let (server, readiness) = (FakeServer::new(), Readiness::default());
    let certificates = certificates(&server, &readiness);
    let mut served = certificates.first().await.unwrap();
    let first = served.identity.clone();
    // Another identity, as after a renewal; the Secret is gone, which is no reason to forget what is served.
    *server.secret.lock().unwrap() = None;
    certificates.renew(&mut served).await;
    assert!(served.identity == first, "still the old one");
    let bundle = server.bundle(0).unwrap();
    assert!(bundle.ends_with(&first.bundle) && bundle != first.bundle, "both CAs are trusted");
    certificates.trust(served.newest()).await.unwrap();
    assert_eq!(server.bundle(0).unwrap(), bundle, "and stay so");
    certificates.renew(&mut served).await;
    assert!(served.identity != first && served.identity.bundle == bundle);
}
