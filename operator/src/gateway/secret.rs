//! What a Secret of the user's has for a gateway: a token, or a user and a password, and the CA to trust. Pure.
//!
//! Values end before their last line feed, which an editor or `echo` left there.
//!
//! *Never:* reading a Secret, printing what is in one.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::header::HeaderValue;
use k8s_openapi::api::core::v1::Secret;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// The key with the user, beside [`PASSWORD_KEY`].
pub const USERNAME_KEY: &str = "username";

/// The key with the password, beside [`USERNAME_KEY`].
pub const PASSWORD_KEY: &str = "password";

/// The key with a bearer token.
pub const TOKEN_KEY: &str = "token";

/// The key with CA certificates as PEM: what a gateway over TLS is trusted by, instead of what the system trusts.
pub const CA_KEY: &str = "ca.crt";

/// What a gateway wants to see, and what it is trusted by.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Marked as sensitive.
    pub authorization: Option<HeaderValue>,
    roots: Option<Arc<RootCertStore>>,
}

/// A way to prove oneself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// User and password.
    Basic,
    /// A token.
    Bearer,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such Secret.
    #[error("expected the Secret {name} in namespace {namespace}, found none")]
    Missing {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The operator may not read it.
    #[error("the operator may not read the Secret {name}; apply this to let it read that one:\n{manifest}")]
    Forbidden {
        /// Its name.
        name: String,
        /// The Role and the RoleBinding that are missing, as YAML.
        manifest: String,
    },
    /// It does not fit.
    #[error("the Secret {name}: {what}")]
    Unfit {
        /// Its name.
        name: String,
        /// What was expected and found, without any value.
        what: String,
    },
    /// The API server does not say.
    #[error("cannot read the Secret: {0}")]
    Api(#[source] Box<kube::Error>),
}

/// How a Secret proves its holder, by the keys it has; none where it has only a CA.
///
/// # Errors
/// When its keys do not fit together.
pub fn scheme(secret: &Secret) -> Result<Option<Scheme>, SecretError> {
    let keys: BTreeSet<&str> = secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
    let has = |key: &str| keys.contains(key);
    match (has(TOKEN_KEY), has(USERNAME_KEY), has(PASSWORD_KEY)) {
        (true, false, false) => Ok(Some(Scheme::Bearer)),
        (false, true, true) => Ok(Some(Scheme::Basic)),
        (false, false, false) if has(CA_KEY) => Ok(None),
        _ => {
            let found: Vec<_> = [TOKEN_KEY, USERNAME_KEY, PASSWORD_KEY].into_iter().filter(|key| has(key)).collect();
            let found = if found.is_empty() { "none of them".to_owned() } else { found.join(", ") };
            let what =
                format!("expected the key {TOKEN_KEY}, or the keys {USERNAME_KEY} and {PASSWORD_KEY}, found {found}");
            Err(unfit(secret, what))
        }
    }
}

fn unfit(secret: &Secret, what: String) -> SecretError {
    SecretError::Unfit { name: secret.metadata.name.clone().unwrap_or_default(), what }
}

// === impl Credentials ===

impl Credentials {
    /// Takes what a Secret has.
    ///
    /// # Errors
    /// When its keys do not fit together, or a value cannot be sent.
    pub fn of(secret: &Secret) -> Result<Self, SecretError> {
        let value = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.as_slice());
            let value = value.unwrap_or_default();
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            value.strip_suffix(b"\r").unwrap_or(value)
        };
        let header = match scheme(secret)? {
            None => None,
            Some(Scheme::Bearer) => Some([b"Bearer ", value(TOKEN_KEY)].concat()),
            Some(Scheme::Basic) => {
                let (user, password) = (value(USERNAME_KEY), value(PASSWORD_KEY));
                if user.contains(&b':') {
                    return Err(unfit(secret, format!("expected a {USERNAME_KEY} without colon, found one with")));
                }
                Some(format!("Basic {}", STANDARD.encode([user, b":", password].concat())).into_bytes())
            }
        };
        let authorization = header.map(|header| {
            let mut header = HeaderValue::from_bytes(&header).map_err(|_| {
                unfit(secret, format!("expected a {TOKEN_KEY} of one line, found one with control characters"))
            })?;
            header.set_sensitive(true);
            Ok(header)
        });
        let ca = secret.data.as_ref().and_then(|data| data.get(CA_KEY));
        let roots = ca.map(|pem| roots(&pem.0).map_err(|what| unfit(secret, what))).transpose()?;
        Ok(Self { authorization: authorization.transpose()?, roots })
    }

    /// How to speak TLS: trusting the Secret's CA, else what the system trusts.
    ///
    /// # Errors
    /// Those of the library.
    pub fn tls(&self, system: impl FnOnce() -> Arc<RootCertStore>) -> Result<Arc<ClientConfig>, rustls::Error> {
        let roots = self.roots.clone().unwrap_or_else(system);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions()?;
        Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("expected certificates as PEM in {CA_KEY}: {error}"))?;
        roots.add(certificate).map_err(|error| format!("expected CA certificates in {CA_KEY}: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("expected certificates as PEM in {CA_KEY}, found none"));
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;
    use crate::certs::{
        issue::{Lifetimes, issue_authority},
        x509::write_pem,
    };

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
        secret.metadata.name = Some("pg".to_owned());
        secret
    }

    fn header(data: &[(&str, &str)]) -> Option<String> {
        let credentials = Credentials::of(&secret(data)).unwrap_or_else(|error| panic!("{error}"));
        credentials.authorization.map(|header| {
            assert!(header.is_sensitive() && !format!("{header:?}").contains("Basic"), "{header:?}");
            header.to_str().unwrap().to_owned()
        })
    }

    #[track_caller]
    fn check(data: &[(&str, &str)], expected: &str) {
        let error = Credentials::of(&secret(data)).map(drop).unwrap_err().to_string();
        assert_eq!(error, format!("the Secret pg: {expected}"));
    }

    #[test]
    fn a_token_is_a_bearers() {
        assert_eq!(header(&[("token", "t0k")]).as_deref(), Some("Bearer t0k"));
        assert_eq!(header(&[("token", "t0k\n"), ("other", "x")]).as_deref(), Some("Bearer t0k"));
    }

    #[test]
    fn user_and_password_are_basic() {
        let user = [("username", "Aladdin\n"), ("password", "open sesame\r\n")];
        assert_eq!(header(&user).as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    }

    #[test]
    fn keys_that_do_not_fit_are_named_and_no_values() {
        let keys = "expected the key token, or the keys username and password, found";
        check(&[], &format!("{keys} none of them"));
        check(&[("user", "a")], &format!("{keys} none of them"));
        check(&[("username", "secret")], &format!("{keys} username"));
        check(&[("password", "secret"), ("ca.crt", "")], &format!("{keys} password"));
        let all = [("token", "secret"), ("username", "secret"), ("password", "secret")];
        check(&all, &format!("{keys} token, username, password"));
        check(&[("token", "two\nlines")], "expected a token of one line, found one with control characters");
        check(&[("username", "a:b"), ("password", "")], "expected a username without colon, found one with");
    }

    #[test]
    fn a_ca_is_read_and_may_stand_alone() {
        let ca = issue_authority(Lifetimes::default(), jiff::Timestamp::constant(1_790_000_000, 0)).unwrap();
        let ca = write_pem(&[ca.certificate]);
        let credentials = Credentials::of(&secret(&[("ca.crt", &ca)])).unwrap_or_else(|error| panic!("{error}"));
        assert!(credentials.authorization.is_none());
        assert_eq!(credentials.roots.as_ref().map(|roots| roots.len()), Some(1));
        credentials.tls(|| panic!("the system's are not asked for")).unwrap();
        check(&[("ca.crt", "no PEM")], "expected certificates as PEM in ca.crt, found none");
        let broken = ca.replace("MII", "");
        let error = Credentials::of(&secret(&[("ca.crt", &broken)])).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("the Secret pg: expected "), "{error}");
    }
}
