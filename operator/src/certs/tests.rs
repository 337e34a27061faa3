//! From nothing to an answer over TLS, and through rotations, against a fake API server.

use std::{
    cell::Cell,
    collections::VecDeque,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    path::Path,
};

use axum::Router;
use clap::Parser as _;
use jiff::{SignedDuration, Timestamp};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use serde_json::json;

use super::{
    fake::FakeServer,
    files::Files,
    issue::{Lifetimes, issue_authority, issue_identity, verify},
    x509::{facts, read_pem, write_pem},
    *,
};
use crate::{args::Args, serving::Serving, stop};

const START: Timestamp = Timestamp::constant(1_790_000_000, 0);

thread_local! {
    /// What the clocks of both replicas of this test say.
    static NOW: [Cell<Timestamp>; 2] = const { [Cell::new(START), Cell::new(START)] };
}

fn set_now(now: Timestamp) {
    NOW.with(|clocks| clocks.iter().for_each(|clock| clock.set(now)));
}

fn config(flags: &[&str]) -> Config {
    let given = [
        "sidegate-operator",
        "--namespace=sidegate",
        "--sidecar.image=x",
        "--webhook.configuration=hook",
        "--webhook.service=hook",
    ];
    Config::from_args(Args::parse_from(given.iter().chain(flags))).unwrap()
}

/// A replica, and what it serves.
struct Replica {
    own: Own,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    serving: Option<Identity>,
}

// === impl Replica ===

impl Replica {
    fn new(server: &FakeServer, clock: usize, flags: &[&str]) -> Self {
        let config = config(flags);
        let CertificateSource::Own { secret, lifetimes } = &config.webhook.certificates else { unreachable!() };
        let (metrics, readiness) = (Arc::<Metrics>::default(), Readiness::default());
        let clocks: [fn() -> Timestamp; 2] =
            [|| NOW.with(|clocks| clocks[0].get()), || NOW.with(|clocks| clocks[1].get())];
        let clock = Clock::from_fn(clocks[clock]);
        let (told, ready) = (metrics.clone(), readiness.clone());
        let own = Own::new(&server.client(), &config, (secret, *lifetimes), clock, told, ready);
        Self { own, metrics, readiness, serving: None }
    }

    async fn look(&mut self) -> Duration {
        let looked = self.own.look().await.unwrap();
        self.serving = looked.serve.or(self.serving.take());
        looked.pause
    }

    /// Whether somebody who trusts a bundle takes what is served.
    fn is_trusted(&self, bundle: &[CertificateDer<'static>], now: Timestamp) -> Result<(), issue::Unfit> {
        let names = config(&[]).webhook_names();
        verify(self.serving.as_ref().unwrap(), bundle, &names, now, &ring::default_provider())
    }
}

fn published(server: &FakeServer) -> Vec<CertificateDer<'static>> {
    read_pem(&server.bundle(0).unwrap_or_default())
}

/// Asks as the API server does: by the Service's name, trusting the bundle.
fn ask(address: SocketAddr, bundle: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read_pem(bundle));
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    let config =
        config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("hook.sidegate.svc").unwrap();
    let connection = ClientConnection::new(config.into(), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    if let Err(error) = stream.write_all(b"GET / HTTP/1.1\r\nhost: hook\r\nconnection: close\r\n\r\n") {
        return error.to_string();
    }
    let mut answer = String::new();
    // The server may close without a goodbye of TLS.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// A server that says hello, with a TLS configuration.
fn hello(tls: Tls) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(async || "hello");
    let (sender, stop) = stop::channel();
    tokio::spawn(async move {
        let _running = sender;
        Serving { tls, router: app, stop, most: 8, metrics: Arc::default() }.serve(listener).await
    });
    address
}

#[tokio::test]
async fn the_api_server_can_trust_what_is_served() {
    let _ = ring::default_provider().install_default();
    let (server, readiness) = (FakeServer::new(), Readiness::default());
    let (sender, stop) = stop::channel();
    let (ready, tls) = tokio::sync::oneshot::channel();
    let (config, metrics) = (config(&[]), Arc::<Metrics>::default());
    let certificates = Certificates::new(&server.client(), &config, Clock::system(), metrics, readiness.clone());
    let keeping = tokio::spawn(certificates.keep(stop, ready));
    let address = hello(tls.await.unwrap());
    let bundle = server.bundle(0).unwrap();
    assert_eq!(server.bundle(1).as_ref(), Some(&bundle));
    let others = ["the PushGroups are not known yet", "the namespaces and their LimitRanges are not known yet"];
    assert_eq!(readiness.missing(), others);
    let answer = tokio::task::spawn_blocking(move || ask(address, &bundle)).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    sender.request();
    keeping.await.unwrap();
}

#[tokio::test]
async fn replicas_that_make_or_renew_at_the_same_time_end_with_the_same() {
    set_now(START);
    let server = FakeServer::new();
    let (mut one, mut other) = (Replica::new(&server, 0, &[]), Replica::new(&server, 1, &[]));
    tokio::join!(one.look(), other.look());
    assert_eq!(server.with(|state| state.secret_writes), (1, 1), "one was faster");
    let first = one.serving.clone();
    assert!(first.is_some() && first == other.serving);
    set_now(START + SignedDuration::from_hours(24 * 61));
    tokio::join!(one.look(), other.look());
    assert_eq!(server.with(|state| state.secret_writes), (2, 2));
    assert!(one.serving != first && one.serving == other.serving);
}

#[tokio::test]
async fn a_replica_is_not_ready_before_the_bundle_was_seen_in_the_configuration() {
    set_now(START);
    let server = FakeServer::new();
    server.with(|state| state.refuses = true);
    let mut one = Replica::new(&server, 0, &[]);
    assert_eq!(one.look().await, Duration::from_secs(3));
    let missing = "the webhook configuration does not have the CA bundle yet";
    assert!(one.serving.is_some() && one.readiness.missing().contains(&missing));
    server.with(|state| state.refuses = false);
    assert_eq!(one.look().await, Duration::from_secs(10));
    assert!(!one.readiness.missing().contains(&missing));
}

#[tokio::test]
async fn a_bundle_that_was_taken_out_is_back_after_a_look_and_no_older_one_gets_in() {
    set_now(START);
    let server = FakeServer::new();
    let mut one = Replica::new(&server, 0, &[]);
    one.look().await;
    let (bundle, api) = (server.bundle(0).unwrap(), kube::Api::all(server.client()));
    let stale = trust::read(&api, "hook").await.unwrap();
    server.with(|state| state.configuration["webhooks"][1]["clientConfig"] = json!({}));
    one.look().await;
    assert_eq!(server.bundle(1), Some(bundle.clone()));
    let error = trust::write(&api, "hook", &stale, "an older one").await.unwrap_err();
    assert_eq!(error.to_string(), "expected the configuration as it was read, found a newer one");
    assert_eq!(server.bundle(0), Some(bundle));
}

#[tokio::test(start_paused = true)]
async fn a_new_ca_is_published_for_a_minute_before_it_signs_what_is_served() {
    set_now(START);
    let server = FakeServer::new();
    let (mut one, mut other) = (Replica::new(&server, 0, &[]), Replica::new(&server, 1, &[]));
    one.look().await;
    other.look().await;
    let (first, old) = (one.serving.clone(), published(&server));
    server.damage("ca.key", "");
    for _ in 0..6 {
        one.look().await;
        other.look().await;
        assert_eq!(published(&server).len(), 2, "both CAs are trusted");
        assert_eq!((&one.serving, &other.serving), (&first, &first));
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    one.look().await;
    other.look().await;
    assert!(one.serving != first && one.serving == other.serving);
    assert!(one.is_trusted(&old, START).is_err() && one.is_trusted(&published(&server), START).is_ok());
}

/// A pod's end in the middle, a Secret that is gone or damaged, a clock that is ahead: by a number, so that it can be repeated.
struct Disturbances {
    state: u64,
    /// When a Secret was damaged last.
    last: i64,
}

// === impl Disturbances ===

impl Disturbances {
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % limit
    }

    fn disturb(&mut self, second: i64, server: &FakeServer, replicas: &mut [Replica; 2]) -> String {
        let which = self.below(6);
        if which < 5 {
            self.last = second;
        } else if second < self.last + 3 {
            // Whoever starts before another has seen the damage knows nothing of what that one serves.
            return "nothing".to_owned();
        }
        match which {
            0 => server.with(|state| state.secret = None),
            1 => server.damage("tls.crt", ""),
            2 => server.damage("tls.key", "no key"),
            3 => server.damage("ca.key", ""),
            4 => server.damage("ca.crt", "no CA"),
            _ => {
                let place = usize::from(self.below(2) == 1);
                replicas[place] = Replica::new(server, place, SHORT);
            }
        }
        format!("disturbance {which}")
    }
}

/// Lifetimes of seconds: two seconds between looks, six until a CA is used.
const SHORT: &[&str] = &["--webhook.certificate-lifetime=60s", "--webhook.ca-lifetime=150s"];

/// Whoever has not heard of the configuration for so many seconds still trusts what is served.
const BEHIND: usize = 5;

/// Rotates for a while, and checks every pair of an API server and a replica at every second.
async fn rotate(seed: u64, disturbed: bool, ahead: i64) {
    set_now(START);
    let server = FakeServer::new();
    let mut replicas = [Replica::new(&server, 0, SHORT), Replica::new(&server, 1, SHORT)];
    let mut due = [0, 1];
    let mut bundles = VecDeque::new();
    let (mut disturbances, mut story) = (Disturbances { state: seed, last: 0 }, vec![format!("seed {seed}")]);
    let (mut authorities, mut identities) = (Vec::new(), Vec::new());
    for second in 0..900_i64 {
        let now = START + SignedDuration::from_secs(second);
        NOW.with(|clocks| {
            clocks[0].set(now);
            clocks[1].set(now + SignedDuration::from_secs(ahead));
        });
        tokio::time::advance(Duration::from_secs(1)).await;
        if disturbed && 10 < second && disturbances.below(25) == 0 {
            story.push(format!("{second}: {}", disturbances.disturb(second, &server, &mut replicas)));
        }
        let [one, other] = &mut replicas;
        let looks = [one, other].into_iter().zip(&mut due).map(|(replica, due)| async move {
            if *due <= second || replica.serving.is_none() {
                *due = second + i64::try_from(replica.look().await.as_secs()).unwrap();
            }
        });
        futures::future::join_all(looks).await;

        let bundle = published(&server);
        authorities.extend(bundle.iter().filter(|ca| !authorities.contains(*ca)).cloned().collect::<Vec<_>>());
        bundles.push_front(bundle);
        bundles.truncate(BEHIND + 1);
        for replica in &replicas {
            let serving = replica.serving.clone().unwrap();
            if !identities.contains(&serving) {
                identities.push(serving);
            }
            let heard: &[_] = if second < 10 { &[] } else { bundles.make_contiguous() };
            for (behind, bundle) in heard.iter().enumerate() {
                if 0 < behind && heard[behind - 1] == *bundle {
                    continue;
                }
                let trusted = replica.is_trusted(bundle, now);
                assert_eq!(trusted, Ok(()), "{second} s, {behind} s behind; {}", story.join(", "));
            }
        }
    }
    assert!(8 < authorities.len(), "expected many CAs, found {}", authorities.len());
    assert!(15 < identities.len(), "expected many certificates, found {}", identities.len());
    assert!(bundles[0].len() <= 5, "{} CAs are left", bundles[0].len());
    let page = replicas[0].metrics.page().unwrap();
    let serving = read_pem(&replicas[0].serving.as_ref().unwrap().certificate);
    let until = facts(&serving[0]).unwrap().not_after.as_second();
    let line = format!("sidegate_webhook_certificate_expiry_timestamp_seconds{{certificate=\"serving\"}} {until}\n");
    assert!(page.contains(&line), "{line} is not in\n{page}");
}

#[tokio::test(start_paused = true)]
async fn through_rotations_every_api_server_trusts_every_replica() {
    rotate(0, false, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_clock_is_ahead_does_no_harm() {
    rotate(0, false, 20).await;
}

#[tokio::test(start_paused = true)]
async fn restarts_and_damaged_or_lost_secrets_cost_no_trust() {
    for seed in 1..4 {
        rotate(seed, true, 0).await;
    }
}

#[tokio::test]
async fn a_clock_that_jumps_is_followed_and_back_again() {
    let server = FakeServer::new();
    let mut one = Replica::new(&server, 0, &[]);
    let days = |days: i64| START + SignedDuration::from_hours(24 * days);
    for at in [days(0), days(80), days(0), days(2000), days(0), days(-500), days(0)] {
        set_now(at);
        one.look().await;
        assert_eq!(one.is_trusted(&published(&server), at), Ok(()), "at {at}");
    }
}

/// Files as the kubelet writes them: beside the others, then one link is swapped.
fn mount(folder: &Path, version: &str, files: &[(&str, &str)]) {
    fs::create_dir_all(folder.join(version)).unwrap();
    for (name, text) in files {
        fs::write(folder.join(version).join(name), text).unwrap();
        if !folder.join(name).exists() {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
    }
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn files_that_change_are_served_and_those_that_do_not_fit_are_not() {
    let _ = ring::default_provider().install_default();
    let folder = std::env::temp_dir().join(format!("sidegate-certs-{}", std::process::id()));
    // Whoever asks goes by the real time.
    let clock = Clock::system();
    let now = clock.now();
    let made = |names: &[String]| {
        let authority = issue_authority(Lifetimes::default(), now).unwrap();
        let identity = issue_identity(&authority, names, Lifetimes::default(), now).unwrap();
        (write_pem(std::slice::from_ref(&authority.certificate)), identity)
    };
    let flag = format!("--webhook.certificate-directory={}", folder.display());
    let (config, metrics, readiness) = (config(&[&flag]), Arc::<Metrics>::default(), Readiness::default());
    let server = FakeServer::new();
    let mut certificates = Certificates::new(&server.client(), &config, clock, metrics.clone(), readiness.clone());
    let mut tls = None;
    let error = certificates.look(&mut tls).await.unwrap_err().to_string();
    let expected = format!("expected a certificate and its key in {}: tls.crt: ", folder.display());
    assert!(error.starts_with(&expected), "{error}");

    let ((one_ca, one), (other_ca, other)) = (made(&config.webhook_names()), made(&config.webhook_names()));
    mount(&folder, "..1", &[("ca.crt", &one_ca), ("tls.crt", &one.certificate), ("tls.key", &one.key)]);
    certificates.look(&mut tls).await.unwrap();
    assert_eq!(readiness.missing().len(), 3, "nobody has to publish anything: {:?}", readiness.missing());
    let address = hello(tls.as_ref().unwrap().subscribe());
    let ask = async |bundle: &str| {
        let bundle = bundle.to_owned();
        tokio::task::spawn_blocking(move || ask(address, &bundle)).await.unwrap()
    };
    assert!(ask(&one_ca).await.ends_with("hello"));

    mount(&folder, "..2", &[("ca.crt", &other_ca), ("tls.crt", &other.certificate), ("tls.key", &one.key)]);
    let error = certificates.look(&mut tls).await.unwrap_err().to_string();
    assert!(error.contains("expected a certificate for its key: "), "{error}");
    assert!(ask(&one_ca).await.ends_with("hello"));

    mount(&folder, "..3", &[("ca.crt", &other_ca), ("tls.crt", &other.certificate), ("tls.key", &other.key)]);
    certificates.look(&mut tls).await.unwrap();
    assert!(ask(&other_ca).await.ends_with("hello"));
    assert!(ask(&one_ca).await.contains("invalid peer certificate"), "{}", ask(&one_ca).await);
    let until = (now + Lifetimes::default().certificate).as_second();
    let page = metrics.page().unwrap();
    assert!(page.contains(&format!("_expiry_timestamp_seconds{{certificate=\"serving\"}} {until}\n")), "{page}");
    assert!(server.with(|state| state.secret.is_none()) && server.bundle(0).is_none(), "nothing is written");

    // One for somebody else is not served in its place, nor is one that the CA beside it has not signed.
    let (elsewhere_ca, elsewhere) = made(&["elsewhere".to_owned()]);
    let (next_ca, next) = made(&config.webhook_names());
    for (version, ca, bad) in [("..4", &elsewhere_ca, &elsewhere), ("..5", &other_ca, &next), ("..6", &next_ca, &other)]
    {
        mount(&folder, version, &[("ca.crt", ca), ("tls.crt", &bad.certificate), ("tls.key", &bad.key)]);
        certificates.look(&mut tls).await.unwrap();
        assert!(ask(&other_ca).await.ends_with("hello"), "{version}");
    }
    // With the CA that has, it is.
    mount(&folder, "..7", &[("ca.crt", &next_ca), ("tls.crt", &next.certificate), ("tls.key", &next.key)]);
    certificates.look(&mut tls).await.unwrap();
    assert!(ask(&next_ca).await.ends_with("hello"));

    // With one for somebody else a replica is never ready.
    mount(
        &folder,
        "..8",
        &[("ca.crt", &elsewhere_ca), ("tls.crt", &elsewhere.certificate), ("tls.key", &elsewhere.key)],
    );
    let new = Readiness::default();
    let mut certificates = Certificates::new(&server.client(), &config, clock, metrics, new.clone());
    certificates.look(&mut None).await.unwrap();
    assert!(
        new.missing().contains(&"the webhook configuration does not have the CA bundle yet"),
        "{:?}",
        new.missing()
    );
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_served_once_what_did_has_ended() {
    let _ = ring::default_provider().install_default();
    set_now(START);
    let folder = std::env::temp_dir().join(format!("sidegate-ended-{}", std::process::id()));
    let config = config(&[]);
    let clock = Clock::from_fn(|| NOW.with(|clocks| clocks[0].get()));
    let mut files = Files::new(&folder, &config, clock, Arc::default(), Readiness::default());
    let authority = issue_authority(Lifetimes::default(), START).unwrap();
    let bundle = write_pem(std::slice::from_ref(&authority.certificate));
    let mut serves = async |version: &str, names: &[String], now: Timestamp| {
        set_now(now);
        let identity = issue_identity(&authority, names, Lifetimes::default(), START).unwrap();
        mount(&folder, version, &[("ca.crt", &bundle), ("tls.crt", &identity.certificate), ("tls.key", &identity.key)]);
        files.look().await.unwrap().serve == Some(identity)
    };
    let elsewhere = ["elsewhere".to_owned()];
    assert!(serves("..1", &config.webhook_names(), START).await);
    assert!(!serves("..2", &elsewhere, START).await);
    let ended = START + Lifetimes::default().certificate + SignedDuration::from_secs(1);
    assert!(serves("..3", &elsewhere, ended).await);
    fs::remove_dir_all(folder).unwrap();
}
