//! The web config file of the process alone, with the real curl and openssl at the other end.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    auth::eventually,
    gateway::{Gateway, request, scrape},
};

/// A folder with a web config, the certificates it names, and those of clients.
struct Folder(PathBuf);

type Authority = CertifiedIssuer<'static, KeyPair>;

// === impl Folder ===

impl Folder {
    /// With `ca.pem`, and what it has signed: `server.pem` for localhost, `client.pem` for some client.
    fn new(name: &str) -> (Self, Authority) {
        let folder = Self(std::env::temp_dir().join(format!("sidegate-it-web-{name}-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        let authority = authority();
        folder.write("ca.pem", &authority.pem());
        folder.issue(&authority, "server", &[SanType::DnsName("localhost".try_into().unwrap())]);
        let names = [SanType::URI("spiffe://x/client".try_into().unwrap()), SanType::IpAddress([10, 0, 0, 1].into())];
        folder.issue(&authority, "client", &names);
        (folder, authority)
    }

    fn write(&self, name: &str, text: &str) {
        // As whoever changes a file while it is read should do it.
        fs::write(self.0.join("new"), text).unwrap();
        fs::rename(self.0.join("new"), self.0.join(name)).unwrap();
    }

    /// A certificate and its key in one file each.
    fn issue(&self, authority: &Authority, name: &str, names: &[SanType]) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        params.distinguished_name.push(DnType::CommonName, name);
        self.write(&format!("{name}.pem"), &params.signed_by(&key, authority).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A gateway with this web config.
    fn gateway(&self, config: &str, args: &[&str]) -> (Gateway, SocketAddr) {
        self.write("web.yaml", config);
        let flag = format!("--web.config.file={}", self.path("web.yaml"));
        let mut gateway = Gateway::start(&[&["--web.listen-address=127.0.0.1:0", &flag], args].concat());
        let to = gateway.address("all");
        (gateway, to)
    }

    /// Curl over TLS, trusting `ca.pem`: status and body, or nothing where no answer came.
    fn curl(&self, to: SocketAddr, path: &str, args: &[&str]) -> Option<(u16, String)> {
        let url = format!("https://localhost:{}{path}", to.port());
        let mut command = Command::new("curl");
        command.args(["--disable", "--silent", "--noproxy", "*", "--max-time", "20", "--ipv4", "--http1.1"]);
        command.args(["--write-out", "\n%{http_code}", "--cacert", &self.path("ca.pem"), &url]).args(args);
        let output = command.output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        let (body, status) = answer.rsplit_once('\n').unwrap();
        output.status.success().then(|| (status.parse().unwrap(), body.to_owned()))
    }

    /// Whether curl gets an answer with this client certificate.
    fn lets_in(&self, to: SocketAddr, client: Option<&str>) -> bool {
        let (certificate, key) = match client {
            Some(client) => (self.path(&format!("{client}.pem")), self.path(&format!("{client}.key"))),
            None => Default::default(),
        };
        let args: &[&str] = if client.is_some() { &["--cert", &certificate, "--key", &key] } else { &[] };
        self.curl(to, "/-/healthy", args) == Some((200, "OK".to_owned()))
    }
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

const TLS: &str = "cert_file: server.pem, key_file: server.key";

fn tls(more: &str) -> String {
    format!("tls_server_config: {{{TLS}, {more}}}\n")
}

/// `alice` with the password `secret`, at the least cost.
fn users() -> String {
    let hash = bcrypt::hash_with_salt("secret", 4, [1; 16]).unwrap();
    format!("basic_auth_users: {{alice: '{hash}'}}\n")
}

#[test]
fn all_is_served_by_tls() {
    let (folder, _) = Folder::new("tls");
    let (_gateway, to) = folder.gateway(&tls(""), &[]);
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let pushed = folder.curl(to, "/metrics/job/j", &[version, &["--data-binary", "x 1\n"]].concat());
        assert_eq!(pushed, Some((200, String::new())), "{version:?}");
        let (status, page) = folder.curl(to, "/metrics", version).unwrap();
        assert!(status == 200 && page.contains("\nx{instance=\"\",job=\"j\"} 1\n"), "{page}");
    }
    // A body that is larger than any buffer.
    let large: String = (0..3000).map(|n| format!("y{{n=\"{n:0500}\"}} 1\n")).collect();
    folder.write("large", &large);
    let data = format!("@{}", folder.path("large"));
    assert_eq!(folder.curl(to, "/metrics/job/large", &["--data-binary", &data]), Some((200, String::new())));
    let (_, page) = folder.curl(to, "/metrics", &[]).unwrap();
    assert_eq!(page.matches("\ny{").count(), 3000);
}

/// What is scraped by TLS counts as seen when it was written, as it does without.
#[test]
fn a_scrape_by_tls_is_counted() {
    let (folder, _) = Folder::new("scrape");
    let (_gateway, to) = folder.gateway(&tls(""), &[]);
    let scraped = || folder.curl(to, "/metrics", &["--header", "X-Prometheus-Scrape-Timeout-Seconds: 10"]).unwrap().1;
    assert!(scraped().contains("\nsidegate_scrapes_total 0\n"));
    assert!(scraped().contains("\nsidegate_scrapes_total 1\n"));
}

#[test]
fn plain_http_is_told_so_on_a_port_with_tls() {
    let (folder, _) = Folder::new("plain");
    let (_gateway, to) = folder.gateway(&tls(""), &[]);
    let sentence = "Client sent an HTTP request to an HTTPS server.\n".to_owned();
    assert_eq!(request(to, "GET", "/metrics", &[], ""), (400, sentence.clone()));
    assert_eq!(request(to, "PUT", "/metrics/job/j", &[], "x 1\n".repeat(1_000_000)), (400, sentence));
}

/// A record of a client's first words breaks off.
#[test]
fn who_does_not_come_to_terms_on_tls_is_cut_off_in_time() {
    let (folder, _) = Folder::new("slow");
    let (_gateway, to) = folder.gateway(&tls(""), &["--web.header-timeout=100ms"]);
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(said).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    let (_, page) = folder.curl(to, "/metrics", &[]).unwrap();
    assert!(page.contains("\nsidegate_connections_timed_out_total{waiting_for=\"head\"} 2\n"), "{page}");
}

#[test]
fn versions_that_are_not_served_are_refused() {
    let (folder, _) = Folder::new("versions");
    let (_gateway, to) = folder.gateway(&tls("min_version: TLS13"), &[]);
    assert_eq!(folder.curl(to, "/-/ready", &["--tls-max", "1.2"]), None);
    assert!(folder.lets_in(to, None));
    let address = format!("localhost:{}", to.port());
    let client = |args: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address, "-CAfile", &folder.path("ca.pem")]).args(args);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(!client(&["-tls1_2"]).0);
    let (is_fine, said) = client(&["-tls1_3", "-alpn", "h2,http/1.1"]);
    assert!(is_fine && said.contains("ALPN protocol: http/1.1") && said.contains("Verification: OK"), "{said}");
}

#[test]
fn clients_show_the_certificates_that_are_asked_for() {
    let (folder, _) = Folder::new("clients");
    folder.issue(&authority(), "stranger", &[SanType::DnsName("client".try_into().unwrap())]);
    let ca = "client_ca_file: ca.pem";
    // Let in without a certificate, with one of ours, with a stranger's.
    let rows = [
        ("", [true, true, true]),
        ("client_auth_type: RequestClientCert", [true, true, true]),
        ("client_auth_type: RequireAnyClientCert", [false, true, true]),
        ("client_auth_type: RequireClientCert", [false, true, true]),
        (&format!("client_auth_type: VerifyClientCertIfGiven, {ca}"), [true, true, false]),
        (&format!("client_auth_type: RequireAndVerifyClientCert, {ca}"), [false, true, false]),
        (
            &format!("client_auth_type: RequireAndVerifyClientCert, {ca}, client_allowed_sans: ['spiffe://x/client']"),
            [false, true, false],
        ),
        (
            &format!("client_auth_type: RequireAndVerifyClientCert, {ca}, client_allowed_sans: [a, 10.0.0.1]"),
            [false, true, false],
        ),
        (
            &format!("client_auth_type: RequireAndVerifyClientCert, {ca}, client_allowed_sans: [x, 'spiffe://x']"),
            [false, false, false],
        ),
        ("client_auth_type: RequireAnyClientCert, client_allowed_sans: [client]", [false, false, true]),
    ];
    for (config, expected) in rows {
        let (_gateway, to) = folder.gateway(&tls(config), &[]);
        let found = [None, Some("client"), Some("stranger")].map(|client| folder.lets_in(to, client));
        assert_eq!(found, expected, "{config}");
    }
}

#[test]
fn every_path_asks_for_a_user() {
    let (folder, _) = Folder::new("users");
    let headers = "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: sandbox}}\n";
    let (_gateway, to) = folder.gateway(&format!("{}{headers}", users()), &[]);
    // `alice:secret`, `alice:Secret`, `bob:secret`.
    let [alice, wrong, bob] = ["YWxpY2U6c2VjcmV0", "YWxpY2U6U2VjcmV0", "Ym9iOnNlY3JldA=="]
        .map(|login| format!("authorization: Basic {login}"));
    let paths = ["/metrics", "/", "/-/healthy", "/-/ready", "/api/v1/status", "/nowhere", "//status"];
    for path in paths {
        for login in ["a: b", &wrong, &bob, "authorization: Bearer secret"] {
            assert_eq!(request(to, "GET", path, &[login], ""), (401, "Unauthorized\n".to_owned()), "{path} {login}");
        }
        assert_ne!(request(to, "GET", path, &[&alice], "").0, 401, "{path}");
    }
    assert_eq!(request(to, "PUT", "/metrics/job/j", &[], "x 1\n").0, 401);
    assert_eq!(request(to, "PUT", "/metrics/job/j", &[&alice], "x 1\n").0, 200);
    assert_eq!(request(to, "PUT", "/metrics/job/j", &["authorization: Bearer x", &alice], "x 1\n").0, 200);

    let page = request(to, "GET", "/metrics", &[&alice], "").1;
    let refused = |reason: &str, count: usize| {
        let line = format!("\nsidegate_auth_refusals_total{{reason=\"{reason}\"}} {count}\n");
        assert!(page.contains(&line), "expected {line} in\n{page}");
    };
    refused("missing", paths.len() * 2 + 1);
    refused("unknown", paths.len() * 2);

    let head = |path: &str| {
        let mut stream = TcpStream::connect(to).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{alice}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split("\r\n\r\n").next().unwrap().to_owned()
    };
    for path in ["/metrics", "/nowhere"] {
        let head = head(path);
        assert!(head.contains("\r\nx-frame-options: deny"), "{head}");
        assert!(head.contains("\r\ncontent-security-policy: sandbox"), "{head}");
    }
    let page = head("/");
    assert!(page.contains("\r\ncontent-security-policy: default-src 'none'") && !page.contains("sandbox"), "{page}");
}

#[test]
fn a_login_asks_for_its_user_by_basic() {
    let (folder, _) = Folder::new("basic");
    let (_gateway, to) = folder.gateway(&format!("{}{}", tls(""), users()), &[]);
    let (_, head) = folder.curl(to, "/metrics", &["--include"]).unwrap();
    assert!(head.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{head}");
    assert!(head.contains("\r\nwww-authenticate: Basic\r\n"), "{head}");
    assert_eq!(folder.curl(to, "/-/ready", &["--user", "alice:secret"]), Some((200, "OK".to_owned())));
}

#[test]
fn a_user_and_a_token_are_both_asked_for() {
    let (folder, _) = Folder::new("both");
    folder.write("tokens", "T0KEN\n");
    let flag = format!("--auth.token-file={}", folder.path("tokens"));
    let (_gateway, to) = folder.gateway(&users(), &[&flag]);
    let push = |headers: &[&str]| request(to, "PUT", "/metrics/job/j", headers, "x 1\n").0;
    let (alice, token) = ("authorization: Basic YWxpY2U6c2VjcmV0", "x-bk-token: T0KEN");
    assert_eq!((push(&[alice]), push(&[token]), push(&[alice, token])), (401, 401, 200));
    assert_eq!(push(&["authorization: Bearer T0KEN", alice]), 200);
}

#[test]
fn requests_are_held_to_the_rate() {
    let (folder, _) = Folder::new("rate");
    let (_gateway, to) = folder.gateway("rate_limit: {interval: 1h, burst: 3}", &[]);
    let found: Vec<_> = (0..4).map(|_| request(to, "GET", "/-/ready", &[], "")).collect();
    assert_eq!(found[2], (200, "OK".to_owned()));
    let sentence = "expected fewer requests, found more than `rate_limit` allows; try again in 3600 s\n";
    assert_eq!(found[3], (429, sentence.to_owned()));
}

/// A client of ours that trusts `ca.pem` of that folder.
fn connect(folder: &Path, to: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(client, stream)
}

/// One request on a connection that stays.
fn ask(stream: &mut StreamOwned<ClientConnection, TcpStream>) {
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"\r\n\r\nOK") {
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(piece.iter().take(read));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn certificates_change_under_load_and_no_connection_is_lost() {
    let (folder, authority) = Folder::new("load");
    let (mut gateway, to) = folder.gateway(&tls(""), &[]);
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let serial = |stream: &StreamOwned<ClientConnection, TcpStream>| {
        stream.conn.peer_certificates().unwrap().first().unwrap().as_ref().to_vec()
    };
    thread::scope(|scope| {
        for n in 0..4 {
            let (folder, is_over, asked) = (&folder.0, &is_over, &asked);
            scope.spawn(move || {
                let mut kept = connect(folder, to);
                while !is_over.load(Ordering::Relaxed) {
                    ask(&mut kept);
                    // Half of them come anew each time.
                    if n % 2 == 0 {
                        kept = connect(folder, to);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let names = [SanType::DnsName("localhost".try_into().unwrap())];
        let mut first = connect(&folder.0, to);
        ask(&mut first);
        for _ in 0..2 {
            let before = serial(&first);
            // The key comes second: for a moment the pair does not fit, and the one before stays.
            folder.issue(&authority, "server", &names);
            eventually(|| {
                let mut fresh = connect(&folder.0, to);
                ask(&mut fresh);
                serial(&fresh) != before
            });
            ask(&mut first);
            first = connect(&folder.0, to);
            ask(&mut first);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(20 < asked.load(Ordering::Relaxed));
    gateway.line(|line| line.contains("web config read"));
}

#[test]
fn a_file_that_turns_bad_leaves_what_was_in_force() {
    let (folder, _) = Folder::new("bad");
    let (mut gateway, to) = folder.gateway(&users(), &[]);
    let alice = "authorization: Basic YWxpY2U6c2VjcmV0";
    folder.write("web.yaml", "basic_auth_users: {alice: s3cr3t}");
    let has_failed = |count: usize| {
        let page = request(to, "GET", "/metrics", &[alice], "").1;
        page.contains(&format!("\nsidegate_reload_failures_total{{file=\"web_config\"}} {count}\n"))
    };
    eventually(|| has_failed(1));
    let line = gateway.line(|line| line.contains("level=error"));
    assert!(line.contains("a bcrypt hash for user") && line.contains("stays in force"), "{line}");
    assert!(!line.contains("s3cr3t"), "{line}");
    folder.write("web.yaml", "");
    eventually(|| has_failed(2));
    gateway.line(|line| line.contains("users as there were before, found none; a restart takes them away"));
    assert_eq!(request(to, "GET", "/metrics", &[], "").0, 401);
}

#[test]
fn a_bad_file_at_the_start_is_a_mistake_like_others() {
    let (folder, _) = Folder::new("start");
    folder.write("web.yaml", "tls_server_config: {cert_file: server.pem}");
    let path = folder.path("web.yaml");
    let (status, log) = Gateway::start(&[&format!("--web.config.file={path}"), "--log.level=loud"]).wait();
    let expected = format!(
        "--web.config.file: expected in \"{path}\" both a certificate and a key in `tls_server_config`, found one of \
         the two or none\n--log.level: expected"
    );
    assert!(status.code() == Some(1) && log.contains(&expected), "{log}");
}

#[test]
fn an_empty_file_asks_for_nothing_and_the_status_names_it() {
    let (folder, _) = Folder::new("empty");
    let (_gateway, to) = folder.gateway("", &[]);
    assert!(scrape(to).contains("sidegate_scrapes_total"));
    let (_, status) = request(to, "GET", "/api/v1/status", &[], "");
    assert!(status.contains(&format!("\"web.config.file\":\"{}\"", folder.path("web.yaml"))), "{status}");
}
