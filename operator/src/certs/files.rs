//! Certificates that somebody else makes: files in a folder, as the kubelet mounts a Secret, read again when they change.
//!
//! Files are looked at every few seconds, which is soon beside the minute that the kubelet takes. It swaps all of them at
//! once; a pair that was read in the middle does not fit together, and is read again at the next look. What the API server
//! will not take, for its name, its dates or the CA beside it, is never served in place of what it takes: that is served
//! on for as long as it holds by the CA that came with it.
//!
//! Whoever makes them publishes their CA too: cert-manager, or the chart. This replica has no right to look.
//!
//! *Never:* the API server.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustls::{
    client::verify_server_name,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};

use super::{
    CertificatesError,
    issue::{Identity, Unfit, Which, certified, verify},
    own::Looked,
    x509::{facts, read_pem},
};
use crate::{clock::Clock, config::Config, metrics::Metrics, readiness::Readiness};

/// The pause between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// The CAs; may be absent.
const BUNDLE: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Certificates from files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// The one the API server calls the webhook by.
    name: String,
    clock: Clock,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    served: Option<Found>,
    /// What is not served in its place, so that it is told once.
    declined: Option<Found>,
}

/// What the files say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    identity: Identity,
    authorities: Vec<CertificateDer<'static>>,
}

// === impl Files ===

impl Files {
    pub(super) fn new(
        folder: &Path,
        config: &Config,
        clock: Clock,
        metrics: Arc<Metrics>,
        readiness: Readiness,
    ) -> Self {
        let name = config.webhook_names().into_iter().next().unwrap_or_default();
        Self { folder: folder.to_owned(), name, clock, metrics, readiness, served: None, declined: None }
    }

    /// Reads the files.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub(super) async fn look(&mut self) -> Result<Looked, CertificatesError> {
        let nothing = Looked { serve: None, pause: LOOK };
        let failed = |cause: String| CertificatesError::Files { folder: self.folder.clone(), cause };
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || Found::read(&folder)).await;
        let found = read.map_err(io::Error::other).flatten().map_err(|error| failed(error.to_string()))?;
        if self.served.as_ref() == Some(&found) {
            return Ok(nothing);
        }
        let chain =
            certified(&found.identity, &ring::default_provider()).map_err(|error| failed(error.to_string()))?.cert;
        let now = self.clock.now();
        match found.holds(&chain, &self.name, now) {
            Ok(()) => self.readiness.certificate_is_trusted(),
            Err(error) => {
                let is_old_good = self.served_holds(now);
                if self.declined.as_ref() != Some(&found) {
                    tracing::warn!(
                        %error, folder = %self.folder.display(), serving_the_old_one = is_old_good,
                        "the API server will not take the webhook's certificate"
                    );
                }
                if is_old_good {
                    self.declined = Some(found);
                    return Ok(nothing);
                }
                // A new replica with it is not ready, and takes the place of none that may have a better one.
            }
        }
        self.declined = None;
        for (which, certificate) in [(Which::Serving, chain.first()), (Which::Authority, found.authorities.first())] {
            if let Some(facts) = certificate.and_then(facts) {
                self.metrics.certificate_expires(which, facts.not_after);
            }
        }
        let identity = found.identity.clone();
        self.served = Some(found);
        Ok(Looked { serve: Some(identity), pause: LOOK })
    }

    /// Whether what is served until now is still good.
    fn served_holds(&self, now: Timestamp) -> bool {
        let Some(served) = &self.served else { return false };
        let certified = certified(&served.identity, &ring::default_provider());
        certified.is_ok_and(|certified| served.holds(&certified.cert, &self.name, now).is_ok())
    }

    /// What was to be served could not be.
    pub(super) fn not_served(&mut self) {
        self.served = None;
    }
}

// === impl Found ===

impl Found {
    fn read(folder: &Path) -> io::Result<Self> {
        let read = |name: &str| {
            fs::read_to_string(folder.join(name))
                .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
        };
        let bundle = match read(BUNDLE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            bundle => bundle?,
        };
        let identity = Identity { certificate: read(CERTIFICATE)?, key: read(KEY)? };
        Ok(Self { identity, authorities: read_pem(&bundle) })
    }

    /// Whether the API server takes it, as far as that shows here: without the CAs these are its own to trust.
    fn holds(&self, chain: &[CertificateDer<'static>], name: &str, now: Timestamp) -> Result<(), Unfit> {
        let names = [name.to_owned()];
        if !self.authorities.is_empty() {
            return verify(&self.identity, &self.authorities, &names, now, &ring::default_provider());
        }
        let unverified = |cause: String| Unfit::Unverified { name: name.to_owned(), cause };
        let leaf = chain.first().ok_or(Unfit::NoPem)?;
        let server = ServerName::try_from(name).map_err(|error| unverified(error.to_string()))?;
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| unverified(error.to_string()))?;
        verify_server_name(&parsed, &server).map_err(|error| unverified(error.to_string()))?;
        let holds = facts(leaf).is_some_and(|facts| facts.holds_at(now));
        if holds { Ok(()) } else { Err(unverified("it is not good at present".to_owned())) }
    }
}
