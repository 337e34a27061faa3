//! Files in, settings or faults out.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};

use super::*;

/// Of no password that anybody knows.
const HASH: &str = "$2y$10$abcdefghijklmnopqrstuu5Lw7vTBHGMC7RPBwoImgbrnBSnyDRCq";

/// A folder with a certificate in `cert.pem` and its key in `key.pem`, and where the config is to be.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sidegate-web-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    folder.join("web.yaml")
}

async fn read(name: &str, text: &str) -> Result<WebConfig, String> {
    let path = folder(name);
    fs::write(&path, text).unwrap();
    let shown = format!("{path:?}");
    WebConfig::read(&mut Files::new(Instant::now()), &path).map_err(|error| error.to_string().replace(&shown, "FILE"))
}

#[tokio::test]
async fn a_file_that_says_nothing_is_fine() {
    for text in
        ["", "\n# nothing\n", "{}", "tls_server_config: {}\nbasic_auth_users: {}", "http_server_config: {http2: false}"]
    {
        let config = read("nothing", text).await.unwrap();
        assert!(config.tls.is_none() && config.users.is_none() && config.rate.is_none(), "{text}");
        assert!(config.headers.is_empty());
    }
}

#[tokio::test]
async fn all_that_upstream_has_is_read() {
    let text = format!(
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_auth_type: RequireClientCert\n  \
         client_allowed_sans: [a, 10.0.0.1]\n  min_version: TLS12\n  max_version: TLS13\n  \
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [X25519]\n  \
         prefer_server_cipher_suites: false\nhttp_server_config:\n  http2: true\n  headers:\n    \
         Content-Security-Policy: default-src 'self'\n    Strict-Transport-Security: max-age=1\n    \
         X-Content-Type-Options: nosniff\n    X-Frame-Options: DENY\n    X-XSS-Protection: '1'\nbasic_auth_users:\n  \
         alice: {HASH}\nrate_limit:\n  interval: 10ms\n  burst: 5\n"
    );
    let config = read("all", &text).await.unwrap();
    assert!(!config.tls.unwrap().ignore_client_order);
    assert!(config.users.is_some());
    assert_eq!(config.rate, Some(Rate::every(Duration::from_millis(10), 5)));
    let headers: Vec<_> = config.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let expected = [
        ("content-security-policy", "default-src 'self'"),
        ("strict-transport-security", "max-age=1"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("x-xss-protection", "1"),
    ];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn certificates_may_stand_in_the_file() {
    let pem = |name: &str| {
        let text = fs::read_to_string(folder("inline").with_file_name(name)).unwrap();
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    // Each folder has a pair of its own.
    let path = folder("inline");
    let (certificate, key) = (path.with_file_name("cert.pem"), path.with_file_name("key.pem"));
    let indented =
        |path: PathBuf| fs::read_to_string(path).unwrap().lines().map(|line| format!("    {line}\n")).collect();
    let (certificate, key): (String, String) = (indented(certificate), indented(key));
    let text = format!("tls_server_config:\n  cert: |\n{certificate}  key: |\n{key}");
    assert!(read("inline-read", &text).await.unwrap().tls.is_some());
    let other = format!("tls_server_config:\n  cert: |\n{}  key: |\n{key}", pem("cert.pem"));
    let fault = read("inline-read", &other).await.unwrap_err();
    assert!(fault.starts_with("expected in FILE TLS that can be served: expected a private key that fits"), "{fault}");
}

#[tokio::test]
async fn a_fault_says_where_and_what_was_expected() {
    let pair = "cert_file: cert.pem, key_file: key.pem";
    let tls = |rest: &str| format!("tls_server_config: {{{pair}, {rest}}}");
    let in_file = |fault: &str| format!("expected in FILE {fault}");
    let older = "TLS12 or TLS13, since older ones are not served, found";
    let rows = [
        ("tls_config: {}".to_owned(), "expected a web config in FILE, found a fault: line 1, column 1: unknown field, expected one of `tls_server_config`, `http_server_config`, `basic_auth_users`, `rate_limit`".to_owned()),
        ("http_server_config:\n  headers: {Server: x}".to_owned(), "expected a web config in FILE, found a fault: line 2, column 13: http_server_config.headers: unknown field, expected one of `Content-Security-Policy`, `Strict-Transport-Security`, `X-Content-Type-Options`, `X-Frame-Options`, `X-XSS-Protection`".to_owned()),
        ("tls_server_config: {cert_file: cert.pem}".to_owned(), in_file("both a certificate and a key in `tls_server_config`, found one of the two or none")),
        ("tls_server_config: {client_auth_type: RequestClientCert}".to_owned(), in_file("both a certificate and a key in `tls_server_config`, found one of the two or none")),
        (tls("cert: x"), in_file("`cert` or `cert_file`, found both")),
        (tls("client_auth_type: Maybe"), in_file("`client_auth_type` to be NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert, found \"Maybe\"")),
        (tls("min_version: TLS10"), in_file(&format!("`min_version` to be {older} \"TLS10\""))),
        (tls("max_version: TLS11"), in_file(&format!("`max_version` to be {older} \"TLS11\""))),
        (tls("curve_preferences: [CurveP521]"), in_file("TLS that can be served: expected in `curve_preferences` one of X25519, CurveP256, CurveP384, found another")),
        ("basic_auth_users: {alice: s3cr3t}".to_owned(), in_file("a bcrypt hash for user \"alice\", found something else")),
        ("http_server_config: {headers: {X-Frame-Options: never}}".to_owned(), in_file("`X-Frame-Options` to be deny or sameorigin, found \"never\"")),
        ("http_server_config: {headers: {X-Content-Type-Options: sniff}}".to_owned(), in_file("`X-Content-Type-Options` to be nosniff, found \"sniff\"")),
        ("http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}".to_owned(), in_file("`x-xss-protection` to be text that a header can have, found other characters")),
        ("rate_limit: {interval: soon}".to_owned(), in_file("`interval` to be a duration such as 10ms or 1s, found \"soon\"")),
    ];
    for (text, expected) in rows {
        assert_eq!(read("faults", &text).await.unwrap_err(), expected, "{text}");
    }
    let missing = read("faults", "tls_server_config: {cert_file: no.pem, key_file: key.pem}").await.unwrap_err();
    assert!(
        missing.starts_with("expected a file that can be read, found ") && missing.contains("no.pem\": No such"),
        "{missing}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_counts_and_a_fault_or_less_protection_does_not() {
    let path = folder("change");
    let tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";
    let users = format!("basic_auth_users: {{alice: {HASH}}}\n");
    fs::write(&path, format!("{tls}{users}")).unwrap();
    let failures = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&failures);
    let failed = move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
    };
    let web = Web::open(path.clone(), failed).unwrap();
    let first = web.current();
    for (text, count) in [("tls_server_config: [", 1), ("", 2), (tls, 3), (users.as_str(), 4)] {
        fs::write(&path, text).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(Arc::ptr_eq(&web.current(), &first), "{text}");
        assert_eq!(failures.load(Ordering::Relaxed), count, "{text}");
    }
    fs::write(&path, format!("{tls}{users}rate_limit: {{interval: 1s}}")).unwrap();
    assert!(Arc::ptr_eq(&web.current(), &first), "it was looked at just now");
    tokio::time::advance(Duration::from_secs(1)).await;
    let second = web.current();
    assert!(second.rate.is_some() && first.rate.is_none());
    // A new certificate, at the same place.
    folder("change");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!Arc::ptr_eq(&web.current(), &second));
    assert_eq!(failures.load(Ordering::Relaxed), 4);
}
