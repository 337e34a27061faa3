//! Making a CA, and server certificates that it signs, and telling whether one is good. Pure but for the random keys.
//!
//! A certificate is good from long before it was made, by a whole lifetime: the clock of whoever verifies it may be
//! behind ours. It never outlives the CA that signed it.
//!
//! *Never:* Secrets, sockets, the webhook configuration, when something is replaced.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::ServerConfig,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::x509::{facts, read_pem};

/// By how much the clocks of a cluster may differ, however short the lifetimes are.
const CLOCKS: SignedDuration = SignedDuration::from_hours(24);

/// Which of the certificates that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that is served.
    Serving,
    /// The CA that signed it.
    Authority,
}

/// How long what is made is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// A server certificate; it is replaced when a third of this is left.
    pub certificate: SignedDuration,
    /// A CA; at least twice as long.
    pub authority: SignedDuration,
}

/// A server certificate and its key, both as PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The server's certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// A CA that can sign.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    key: KeyPair,
    until: Timestamp,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// By the library.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// For a time outside the calendar.
    #[error("cannot make a certificate: expected a date, found {0}")]
    Date(Timestamp),
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no PEM.
    #[error("expected certificates and a key as PEM, found something else")]
    NoPem,
    /// It does not hold for a name, or not now, or its CA or key is another one.
    #[error("expected a certificate for {name}: {cause}")]
    Unverified {
        /// The name.
        name: String,
        /// What the library found.
        cause: String,
    },
}

/// Makes a CA.
///
/// # Errors
/// Those of the library.
pub fn issue_authority(lifetimes: Lifetimes, now: Timestamp) -> Result<Authority, IssueError> {
    let mut params = authority_params();
    let until = now.checked_add(lifetimes.authority).map_err(|_| IssueError::Date(now))?;
    set_dates(&mut params, now, lifetimes.authority, until)?;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.der().clone();
    Ok(Authority { certificate, key, until })
}

/// Makes a server certificate for some names.
///
/// # Errors
/// Those of the library.
pub fn issue_identity(
    authority: &Authority,
    names: &[String],
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<Identity, IssueError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name("sidegate-webhook");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let until = now.checked_add(lifetimes.certificate).map_err(|_| IssueError::Date(now))?;
    set_dates(&mut params, now, lifetimes.certificate, until.min(authority.until))?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &Issuer::from_params(&authority_params(), &authority.key))?;
    Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Whether an identity is good for all names at a moment, for somebody who trusts some CAs.
///
/// # Errors
/// The first reason why it is not.
pub fn verify(
    identity: &Identity,
    authorities: &[CertificateDer<'static>],
    names: &[String],
    at: Timestamp,
    provider: &CryptoProvider,
) -> Result<(), Unfit> {
    let chain = certified(identity, provider)?.cert;
    let (leaf, between) = chain.split_first().ok_or(Unfit::NoPem)?;
    let unverified = |name: &str, cause: String| Unfit::Unverified { name: name.to_owned(), cause };
    // The API server looks at the dates of a CA; the library takes any that is trusted.
    let holds = |ca: &&CertificateDer<'_>| facts(ca).is_some_and(|facts| facts.holds_at(at));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().filter(holds).cloned());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::new(provider.clone())).build();
    let verifier = verifier.map_err(|error| unverified("its CA", error.to_string()))?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default()));
    for name in names {
        let server = ServerName::try_from(name.as_str()).map_err(|error| unverified(name, error.to_string()))?;
        let verified = verifier.verify_server_cert(leaf, between, &server, &[], time);
        verified.map_err(|error| unverified(name, error.to_string()))?;
    }
    Ok(())
}

/// The chain of an identity whose key is its own.
///
/// # Errors
/// When it is no PEM, or the key belongs to another certificate.
pub fn certified(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, Unfit> {
    let chain = read_pem(&identity.certificate);
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| Unfit::NoPem)?;
    if chain.is_empty() {
        return Err(Unfit::NoPem);
    }
    let certified = CertifiedKey::from_der(chain, key, provider);
    certified.map_err(|error| Unfit::Unverified { name: "its key".to_owned(), cause: error.to_string() })
}

/// What a server says to whoever connects: HTTP/1.1, with this certificate.
///
/// # Errors
/// As those of [`certified`].
pub fn server_config(identity: &Identity, provider: Arc<CryptoProvider>) -> Result<ServerConfig, Unfit> {
    let certified = certified(identity, &provider)?;
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let unverified = |error: rustls::Error| Unfit::Unverified { name: "TLS".to_owned(), cause: error.to_string() };
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let mut config = versions.map_err(unverified)?.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("sidegate-webhook-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// The library's dates are of a crate that is not ours: they are counted from one that it makes.
fn set_dates(
    params: &mut CertificateParams,
    now: Timestamp,
    lifetime: SignedDuration,
    until: Timestamp,
) -> Result<(), IssueError> {
    let from = now.saturating_sub(lifetime.max(CLOCKS)).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH);
    let date = |at: Timestamp| {
        let seconds = Duration::from_secs(u64::try_from(at.as_second()).ok()?);
        date_time_ymd(1970, 1, 1).checked_add(seconds.try_into().ok()?)
    };
    params.not_before = date(from).ok_or(IssueError::Date(now))?;
    params.not_after = date(until).ok_or(IssueError::Date(now))?;
    Ok(())
}

// === impl Lifetimes ===

impl Lifetimes {
    /// A server certificate with less than this left is replaced.
    #[must_use]
    pub fn renew_before(self) -> SignedDuration {
        self.certificate / 3
    }

    /// A CA with less than this left signs nothing more: it could not for a whole lifetime, and a new one has to be
    /// known before it is used.
    #[must_use]
    pub fn replace_authority_before(self) -> SignedDuration {
        self.certificate + self.renew_before()
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        Self { certificate: days(90), authority: days(365) }
    }
}

// === impl Identity ===

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

// === impl Authority ===

impl Authority {
    /// The one among some certificates that a key belongs to.
    #[must_use]
    pub fn find(certificates: &[CertificateDer<'static>], key: &str) -> Option<Self> {
        let key = KeyPair::from_pem(key).ok()?;
        let public = key.subject_public_key_info();
        certificates
            .iter()
            .find_map(|certificate| {
                let facts = facts(certificate).filter(|facts| facts.public_key == public)?;
                Some((certificate.clone(), facts.not_after))
            })
            .map(|(certificate, until)| Self { certificate, key, until })
    }

    /// Its private key as PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

    fn names() -> Vec<String> {
        vec!["hook.sidegate.svc".to_owned(), "hook.sidegate.svc.cluster.local".to_owned()]
    }

    fn made() -> (Authority, Identity) {
        let authority = issue_authority(Lifetimes::default(), NOW).unwrap();
        let identity = issue_identity(&authority, &names(), Lifetimes::default(), NOW).unwrap();
        (authority, identity)
    }

    fn check(identity: &Identity, authority: &Authority, names: &[&str], days: i64, good: bool) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let at = NOW + SignedDuration::from_hours(24 * days);
        let verified =
            verify(identity, std::slice::from_ref(&authority.certificate), &names, at, &ring::default_provider());
        assert_eq!(verified.is_ok(), good, "{names:?} after {days} days: {verified:?}");
    }

    #[test]
    fn an_identity_is_good_for_its_names_and_its_time() {
        let (authority, identity) = made();
        check(&identity, &authority, &["hook.sidegate.svc", "hook.sidegate.svc.cluster.local"], 0, true);
        check(&identity, &authority, &["hook.sidegate.svc"], 89, true);
        check(&identity, &authority, &["hook.sidegate.svc"], 91, false);
        // For a verifier whose clock is behind by as much.
        check(&identity, &authority, &["hook.sidegate.svc"], -89, true);
        check(&identity, &authority, &["hook.sidegate.svc"], -91, false);
        check(&identity, &authority, &["other.sidegate.svc"], 0, false);
    }

    #[test]
    fn parts_of_different_identities_do_not_fit() {
        let ((authority, one), (other_authority, other)) = (made(), made());
        let name = ["hook.sidegate.svc"];
        check(&Identity { key: other.key.clone(), ..one.clone() }, &authority, &name, 0, false);
        check(&one, &other_authority, &name, 0, false);
        check(&Identity { certificate: String::new(), ..one.clone() }, &authority, &name, 0, false);
        check(&Identity { key: "no".to_owned(), ..one }, &authority, &name, 0, false);
    }

    #[test]
    fn a_ca_signs_again_with_the_key_that_was_kept_and_what_it_signs_ends_with_it() {
        let (authority, _) = made();
        let others = [made().0.certificate, authority.certificate.clone()];
        let kept = Authority::find(&others, &authority.key()).unwrap();
        assert_eq!((&kept.certificate, kept.until), (&authority.certificate, authority.until));
        let late = NOW + SignedDuration::from_hours(24 * 300);
        let identity = issue_identity(&kept, &names(), Lifetimes::default(), late).unwrap();
        check(&identity, &authority, &["hook.sidegate.svc"], 364, true);
        let leaf = facts(&read_pem(&identity.certificate)[0]).unwrap();
        assert_eq!(leaf.not_after, authority.until);
        assert!(Authority::find(&others, "no").is_none());
        assert!(Authority::find(&others[..1], &authority.key()).is_none());
    }

    #[test]
    fn a_ca_that_has_ended_vouches_for_nothing() {
        let short = Lifetimes { certificate: SignedDuration::from_secs(10), authority: SignedDuration::from_secs(20) };
        let authority = issue_authority(short, NOW).unwrap();
        let long = Authority { until: NOW + SignedDuration::from_hours(9), ..authority };
        let longer = Lifetimes { certificate: SignedDuration::from_hours(8), ..short };
        let identity = issue_identity(&long, &names(), longer, NOW).unwrap();
        let at = |seconds| {
            let at = NOW + SignedDuration::from_secs(seconds);
            verify(&identity, std::slice::from_ref(&long.certificate), &names(), at, &ring::default_provider()).is_ok()
        };
        assert_eq!((at(19), at(20), at(21)), (true, true, false));
    }
}
