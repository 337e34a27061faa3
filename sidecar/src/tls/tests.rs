//! Settings in, what can be served or the mistake out. What is served by it is tested with the process.

use rcgen::{CertificateParams, KeyPair};

use super::*;

fn settings() -> TlsSettings {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    TlsSettings {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        clients: ClientAuth::default(),
        client_ca: None,
        allowed_names: Vec::new(),
        least: Version::Tls12,
        most: Version::Tls13,
        suites: Vec::new(),
        curves: Vec::new(),
        prefers_own_suites: true,
    }
}

/// What makes settings wrong.
type Change = Box<dyn FnOnce(&mut TlsSettings)>;

fn mistake(change: impl FnOnce(&mut TlsSettings)) -> String {
    let mut settings = settings();
    change(&mut settings);
    settings.config().unwrap_err().to_string()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_certificate_and_its_key_will_do() {
    let config = settings().config().unwrap();
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    assert!(config.ignore_client_order);
}

#[test]
fn versions_suites_and_curves_are_those_that_are_named() {
    let with = |change: fn(&mut TlsSettings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.config().unwrap().crypto_provider().clone()
    };
    let provider = with(|settings| settings.suites = words(&["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]));
    let suites: Vec<_> = provider.cipher_suites.iter().map(suite_name).collect();
    let of_tls13 = ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];
    assert_eq!(suites, [&of_tls13[..], &["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]].concat());
    let provider = with(|settings| settings.curves = words(&["CurveP384", "X25519"]));
    let curves: Vec<_> = provider.kx_groups.iter().map(|group| curve_name(group.name())).collect();
    assert_eq!(curves, ["CurveP384", "X25519"]);
}

#[test]
fn a_mistake_says_what_was_expected() {
    let key = settings().key;
    let rows: [(&str, Change); 12] = [
        ("expected certificates in PEM in `cert`, found none", Box::new(|it| it.certificate = "x".to_owned())),
        (
            "expected certificates in PEM in `cert`, found something else among them",
            Box::new(|it| it.certificate.insert_str(30, "!!")),
        ),
        ("expected a private key in PEM, found none that can be read", Box::new(|it| it.key = it.certificate.clone())),
        ("expected a private key that fits the certificate, found another: ", Box::new(move |it| it.key = key)),
        (
            "expected `client_ca_file` or `client_ca` beside a `client_auth_type` that verifies, found neither",
            Box::new(|it| it.clients = ClientAuth::RequireAndVerifyClientCert),
        ),
        (
            "expected a `client_auth_type` that asks for certificates beside `client_ca`, found none",
            Box::new(|it| it.client_ca = Some(it.certificate.clone())),
        ),
        (
            "expected a `client_auth_type` that asks for certificates beside `client_allowed_sans`, found none",
            Box::new(|it| it.allowed_names = words(&["a"])),
        ),
        (
            "expected certificates in PEM in `client_ca`, found none",
            Box::new(|it| {
                it.clients = ClientAuth::VerifyClientCertIfGiven;
                it.client_ca = Some("x".to_owned());
            }),
        ),
        (
            "expected a `max_version` that is not below `min_version`, found one that is",
            Box::new(|it| (it.least, it.most) = (Version::Tls13, Version::Tls12)),
        ),
        (
            "expected in `cipher_suites` one of TLS_AES_256_GCM_SHA384, ",
            Box::new(|it| it.suites = words(&["TLS_RSA_WITH_RC4_128_SHA"])),
        ),
        (
            "expected in `curve_preferences` one of X25519, CurveP256, CurveP384, found another",
            Box::new(|it| it.curves = words(&["CurveP521"])),
        ),
        (
            "expected suites for the versions that are served in `cipher_suites`, found none",
            Box::new(|it| {
                it.most = Version::Tls12;
                it.suites = words(&["TLS_AES_128_GCM_SHA256"]);
            }),
        ),
    ];
    for (expected, change) in rows {
        let found = mistake(change);
        assert!(found.starts_with(expected), "expected {expected}\nfound {found}");
    }
}

#[test]
fn the_key_is_not_shown() {
    assert_eq!(format!("{:?}", settings()), "TlsSettings { clients: NoClientCert, .. }");
}
