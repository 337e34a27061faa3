//! TLS as upstream's web config file describes it, by rustls: certificates, versions, suites, and which clients are let in.
//!
//! TLS 1.2 and 1.3 with what the library has of suites and groups, which is what is still thought safe; whatever else is
//! asked for is a mistake with a sentence. The suites of TLS 1.3 cannot be chosen, as with Go. Both sides agree on
//! HTTP/1.1.
//!
//! *Never:* files, sockets, users.

mod clients;
mod names;

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use clients::{AnyCertificate, Named};

/// What is to be served with; texts are PEM.
pub(crate) struct TlsSettings {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) clients: ClientAuth,
    pub(crate) client_ca: Option<String>,
    /// Empty for all.
    pub(crate) allowed_names: Vec<String>,
    pub(crate) least: Version,
    pub(crate) most: Version,
    /// By Go's names; empty for all.
    pub(crate) suites: Vec<String>,
    /// By Go's names; empty for all.
    pub(crate) curves: Vec<String>,
    pub(crate) prefers_own_suites: bool,
}

/// What clients have to show, in Go's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    #[default]
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// A version of TLS that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

/// What is wrong with the settings. No sentence has anything of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("expected certificates in PEM in `{0}`, found none")]
    NoCertificate(&'static str),
    #[error("expected certificates in PEM in `{0}`, found something else among them")]
    BadCertificate(&'static str),
    #[error("expected a private key in PEM, found none that can be read")]
    NoKey,
    #[error("expected a private key that fits the certificate, found another: {0}")]
    KeyDoesNotFit(rustls::Error),
    #[error("expected `client_ca_file` or `client_ca` beside a `client_auth_type` that verifies, found neither")]
    NoClientCa,
    #[error("expected a `client_auth_type` that asks for certificates beside `{0}`, found none")]
    NoClientAuth(&'static str),
    #[error("expected a `max_version` that is not below `min_version`, found one that is")]
    Versions,
    #[error("expected in `{field}` one of {}, found another", known.join(", "))]
    Unknown { field: &'static str, known: Vec<String> },
    #[error("expected suites for the versions that are served in `cipher_suites`, found none")]
    NoSuites,
    #[error("expected client certificate authorities that can be used, found others: {0}")]
    ClientCa(String),
}

// === impl TlsSettings ===

impl TlsSettings {
    /// What connections are accepted with.
    ///
    /// # Errors
    /// The first mistake.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(self.provider()?);
        let versions = self.versions()?;
        let clients = self.verifier(&provider)?;
        let chain = certificates("cert", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| TlsError::NoKey)?;
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions);
        let config = config.map_err(|_| TlsError::NoSuites)?;
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(clients),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(chain, key).map_err(TlsError::KeyDoesNotFit)?;
        config.ignore_client_order = self.prefers_own_suites;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = ring::default_provider();
        if !self.suites.is_empty() {
            let of_tls13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
            check("cipher_suites", &self.suites, provider.cipher_suites.iter().map(suite_name).collect())?;
            provider.cipher_suites.retain(|suite| of_tls13(suite) || self.suites.contains(&suite_name(suite)));
        }
        if !self.curves.is_empty() {
            let names = provider.kx_groups.iter().map(|group| curve_name(group.name()));
            check("curve_preferences", &self.curves, names.collect())?;
            let place = |name: String| self.curves.iter().position(|curve| *curve == name);
            provider.kx_groups.retain(|group| place(curve_name(group.name())).is_some());
            provider.kx_groups.sort_by_key(|group| place(curve_name(group.name())));
        }
        Ok(provider)
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        let served = [(Version::Tls13, &TLS13), (Version::Tls12, &TLS12)];
        let served = served.into_iter().filter(|(version, _)| (self.least..=self.most).contains(version));
        let versions: Vec<_> = served.map(|(_, version)| version).collect();
        if versions.is_empty() { Err(TlsError::Versions) } else { Ok(versions) }
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let any = |is_mandatory| -> Arc<dyn ClientCertVerifier> {
            Arc::new(AnyCertificate { is_mandatory, algorithms: provider.signature_verification_algorithms })
        };
        let inner = match self.clients {
            ClientAuth::NoClientCert if self.client_ca.is_some() => return Err(TlsError::NoClientAuth("client_ca")),
            ClientAuth::NoClientCert if !self.allowed_names.is_empty() => {
                return Err(TlsError::NoClientAuth("client_allowed_sans"));
            }
            ClientAuth::NoClientCert => return Ok(None),
            ClientAuth::RequestClientCert => any(false),
            ClientAuth::RequireAnyClientCert => any(true),
            ClientAuth::VerifyClientCertIfGiven => self.verified(provider, false)?,
            ClientAuth::RequireAndVerifyClientCert => self.verified(provider, true)?,
        };
        if self.allowed_names.is_empty() {
            return Ok(Some(inner));
        }
        Ok(Some(Arc::new(Named { inner, allowed: self.allowed_names.iter().map(|name| canonical(name)).collect() })))
    }

    fn verified(
        &self,
        provider: &Arc<CryptoProvider>,
        is_mandatory: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let authorities = self.client_ca.as_ref().ok_or(TlsError::NoClientCa)?;
        let mut roots = RootCertStore::empty();
        for authority in certificates("client_ca", authorities)? {
            roots.add(authority).map_err(|error| TlsError::ClientCa(error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let verifier = if is_mandatory { verifier } else { verifier.allow_unauthenticated() };
        let verifier = verifier.build().map_err(|error| TlsError::ClientCa(error.to_string()))?;
        Ok(verifier)
    }
}

fn check(field: &'static str, found: &[String], known: Vec<String>) -> Result<(), TlsError> {
    let are_known = found.iter().all(|name| known.contains(name));
    if are_known { Ok(()) } else { Err(TlsError::Unknown { field, known }) }
}

fn certificates(field: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(read) if read.is_empty() => Err(TlsError::NoCertificate(field)),
        Ok(read) => Ok(read),
        Err(_) => Err(TlsError::BadCertificate(field)),
    }
}

/// IP addresses may be written in several ways.
fn canonical(name: &str) -> String {
    name.parse::<std::net::IpAddr>().map_or_else(|_| name.to_owned(), |address| address.to_string())
}

/// Go has the names of the registry, which are the library's but for TLS 1.3.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

/// As Go has them.
fn curve_name(group: rustls::NamedGroup) -> String {
    format!("{group:?}").replace("secp256r1", "CurveP256").replace("secp384r1", "CurveP384")
}

/// Not the key.
impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings").field("clients", &self.clients).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
