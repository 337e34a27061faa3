//! Making a CA and a server certificate, and telling whether one is still good. Pure but for the random keys.
//!
//! The CA's private key signs once and is forgotten: a renewal makes a new CA, and the old one stays in the bundle for
//! replicas that still serve what it signed. Days are UTC; a certificate is valid from the day before it was made,
//! for clocks that run behind.
//!
//! *Never:* Secrets, sockets, the webhook configuration.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

/// A CA outlives what it signs, and a bundle with it once more.
const CA_DAYS: i64 = 365;

/// How long a server certificate is good for.
const SERVER_DAYS: i64 = 90;

/// A certificate that ends sooner than this is replaced.
pub const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A server certificate, its key, and the CAs to trust; all as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The CA that signed, then the one before it.
    pub bundle: String,
    /// The server's certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// By the library.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// For a day outside the calendar.
    #[error("cannot make a certificate: expected a date, found {0}")]
    Date(Timestamp),
}

/// Why a certificate is replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no PEM.
    #[error("expected certificates and a key as PEM, found something else")]
    NoPem,
    /// It does not hold for a name, or not for long enough, or its CA or key is another one.
    #[error("expected a certificate for {name}: {cause}")]
    Unverified {
        /// The name.
        name: String,
        /// What the library found.
        cause: String,
    },
}

/// Makes a CA and a server certificate for some names. The CA that signed before stays in the bundle.
///
/// # Errors
/// Those of the library.
pub fn issue(names: &[String], before: Option<&Identity>, now: Timestamp) -> Result<Identity, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("sidegate-webhook-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_days(&mut params, now, CA_DAYS)?;
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name("sidegate-webhook");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_days(&mut params, now, SERVER_DAYS)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &ca)?;

    let older = before.and_then(|identity| first_certificate(&identity.bundle)).unwrap_or_default();
    Ok(Identity { bundle: ca.pem() + &older, certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Whether an identity is good for all names at a moment.
///
/// # Errors
/// The first reason why it is not.
pub fn verify(identity: &Identity, names: &[String], at: Timestamp, provider: &CryptoProvider) -> Result<(), Unfit> {
    let bundle = certificates(&identity.bundle)?;
    let chain = certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| Unfit::NoPem)?;
    let leaf = chain.first().cloned().ok_or(Unfit::NoPem)?;

    let unverified = |name: &str, cause: String| Unfit::Unverified { name: name.to_owned(), cause };
    CertifiedKey::from_der(chain, key, provider).map_err(|error| unverified("its key", error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(bundle);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::new(provider.clone())).build();
    let verifier = verifier.map_err(|error| unverified("its CA", error.to_string()))?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default()));
    for name in names {
        let server = ServerName::try_from(name.as_str()).map_err(|error| unverified(name, error.to_string()))?;
        let verified = verifier.verify_server_cert(&leaf, &[], &server, &[], at);
        verified.map_err(|error| unverified(name, error.to_string()))?;
    }
    Ok(())
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| Unfit::NoPem)
}

fn first_certificate(bundle: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let end = bundle.find(END)? + END.len();
    bundle.get(..end).map(|first| format!("{}\n", first.trim_start()))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn set_days(params: &mut CertificateParams, now: Timestamp, days: i64) -> Result<(), IssueError> {
    let day = |offset: i64| {
        let date = now.checked_add(SignedDuration::from_hours(24 * offset)).ok()?.to_zoned(TimeZone::UTC).date();
        let (month, day) = (u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?);
        Some(date_time_ymd(i32::from(date.year()), month, day))
    };
    params.not_before = day(-1).ok_or(IssueError::Date(now))?;
    params.not_after = day(days).ok_or(IssueError::Date(now))?;
    Ok(())
}

// === impl Identity ===

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
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

    fn check(identity: &Identity, names: &[&str], days: i64, good: bool) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let at = NOW + SignedDuration::from_hours(24 * days);
        let verified = verify(identity, &names, at, &ring::default_provider());
        assert_eq!(verified.is_ok(), good, "{names:?} after {days} days: {verified:?}");
    }

    #[test]
    fn an_identity_is_good_for_its_names_and_its_time() {
        let identity = issue(&names(), None, NOW).unwrap();
        check(&identity, &["hook.sidegate.svc", "hook.sidegate.svc.cluster.local"], 0, true);
        check(&identity, &["hook.sidegate.svc"], 89, true);
        check(&identity, &["hook.sidegate.svc"], 91, false);
        check(&identity, &["hook.sidegate.svc"], -2, false);
        check(&identity, &["other.sidegate.svc"], 0, false);
    }

    #[test]
    fn parts_of_different_identities_do_not_fit() {
        let (one, other) = (issue(&names(), None, NOW).unwrap(), issue(&names(), None, NOW).unwrap());
        check(&Identity { key: other.key.clone(), ..one.clone() }, &["hook.sidegate.svc"], 0, false);
        check(&Identity { bundle: other.bundle.clone(), ..one.clone() }, &["hook.sidegate.svc"], 0, false);
        check(&Identity { certificate: String::new(), ..one.clone() }, &["hook.sidegate.svc"], 0, false);
        check(&Identity { key: "no".to_owned(), ..one }, &["hook.sidegate.svc"], 0, false);
    }

    #[test]
    fn the_ca_before_stays_trusted_and_the_one_before_that_goes() {
        let first = issue(&names(), None, NOW).unwrap();
        let second = issue(&names(), Some(&first), NOW).unwrap();
        let third = issue(&names(), Some(&second), NOW).unwrap();
        assert_eq!(certificates(&second.bundle).unwrap().len(), 2);
        check(&Identity { bundle: second.bundle.clone(), ..first.clone() }, &["hook.sidegate.svc"], 0, true);
        assert_eq!(certificates(&third.bundle).unwrap().len(), 2);
        check(&Identity { bundle: third.bundle, ..first }, &["hook.sidegate.svc"], 0, false);
    }
}
