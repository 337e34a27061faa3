//! Certificates of our own: kept in a Secret, published in the webhook configuration, served.
//!
//! A look reads the configuration, then the Secret, then writes what is missing in the configuration: whoever wrote the
//! Secret since the configuration was read makes the last write fail, so that no replica takes a CA back that it has
//! not heard of. Nothing is served whose CA was not published for a while, unless what is served is of no use any more.
//!
//! Both are looked at rather than watched: time passes and clocks jump with no event that would tell of it, and a look needs
//! the one verb `get` by name where a watch needs more.
//!
//! *Never:* what is to be replaced, which `rotation` says.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret};
use kube::{Api, Client};
use rustls::{crypto::ring, pki_types::CertificateDer};
use tokio::time::Instant;

use super::{
    CertificatesError,
    issue::{Identity, Lifetimes, Which, verify},
    rotation::{Around, Kept},
    secret,
    trust::{self, TrustError},
    x509::{facts, read_pem},
};
use crate::{clock::Clock, config::Config, metrics::Metrics, readiness::Readiness};

/// The longest pause between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// How long a CA is published at most before something it signed is served: API servers learn of it one by one.
const SETTLE: Duration = Duration::from_secs(60);

/// How soon a look follows one that could not publish: nothing is injected until then.
const RETRY: Duration = Duration::from_secs(3);

/// How many looks fit into the lifetime of a certificate, however short that is.
const LOOKS: u32 = 30;

/// How many times a CA can settle in it.
const SETTLINGS: u32 = 10;

/// The shortest pause of any kind.
const SHORTEST: Duration = Duration::from_millis(250);

/// Gets, shares and publishes certificates.
#[derive(Clone, Debug)]
pub(super) struct Own {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    secret: String,
    configuration: String,
    names: Vec<String>,
    lifetimes: Lifetimes,
    clock: Clock,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    /// What has happened by now.
    served: Option<Served>,
    published: Vec<(CertificateDer<'static>, Instant)>,
}

/// What is served, and the CA that signed it.
#[derive(Clone, Debug)]
struct Served {
    identity: Identity,
    authority: CertificateDer<'static>,
}

/// What a look has found.
#[derive(Debug)]
pub(super) struct Looked {
    /// What to serve from now on, if it is something else.
    pub(super) serve: Option<Identity>,
    /// When to look again.
    pub(super) pause: Duration,
}

// === impl Own ===

impl Own {
    pub(super) fn new(
        client: &Client,
        config: &Config,
        (secret, lifetimes): (&str, Lifetimes),
        clock: Clock,
        metrics: Arc<Metrics>,
        readiness: Readiness,
    ) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &config.namespace),
            configurations: Api::all(client.clone()),
            secret: secret.to_owned(),
            configuration: config.webhook.configuration.clone(),
            names: config.webhook_names(),
            lifetimes,
            clock,
            metrics,
            readiness,
            served: None,
            published: Vec::new(),
        }
    }

    /// Looks at everything once, and puts in order what is not.
    ///
    /// # Cancel safety
    /// What was written stays; the next look goes on from there.
    pub(super) async fn look(&mut self) -> Result<Looked, CertificatesError> {
        let now = self.clock.now();
        let published = trust::read(&self.configurations, &self.configuration).await;
        if let Ok(published) = &published {
            self.note(&published.authorities(), false);
        }
        let known = self.known();
        let around = Around {
            names: &self.names,
            lifetimes: self.lifetimes,
            now,
            known: &known,
            published: &published.as_ref().map(trust::Published::authorities).unwrap_or_default(),
            served: self.served.as_ref().map(|served| (&served.identity, &served.authority)),
        };
        let kept = secret::ensure(&self.secrets, &self.secret, &around).await?;
        let written = match published {
            Ok(published) => trust::write(&self.configurations, &self.configuration, &published, &kept.bundle()).await,
            Err(error) => Err(error),
        };
        let pause = match written {
            Ok(()) => {
                self.note(&kept.authorities, true);
                self.readiness.certificate_is_trusted();
                self.pause()
            }
            Err(error) => {
                let configuration = &self.configuration;
                match error {
                    TrustError::MovedOn => tracing::debug!(%error, configuration, "looking again"),
                    TrustError::Api(_) | TrustError::NoWebhooks | TrustError::Json(_) => {
                        tracing::warn!(%error, configuration, "cannot write the CA bundle");
                    }
                }
                RETRY.min(self.pause())
            }
        };
        let serve = self.serve(&kept, now);
        Ok(Looked { serve, pause })
    }

    /// What was to be served could not be.
    pub(super) fn not_served(&mut self) {
        self.served = None;
    }

    /// How long until the next look.
    pub(super) fn pause(&self) -> Duration {
        (self.length() / LOOKS).clamp(SHORTEST, LOOK)
    }

    /// What to serve, if it is something else than before.
    fn serve(&mut self, kept: &Kept, now: Timestamp) -> Option<Identity> {
        let authority = kept.signer(&self.names, now)?;
        let is_due = self.served.as_ref().is_none_or(|served| {
            let ours = std::slice::from_ref(&served.authority);
            let is_good = verify(&served.identity, ours, &self.names, now, &ring::default_provider()).is_ok();
            let is_known = served.authority == *authority || self.known().contains(authority);
            served.identity != kept.identity && (!is_good || is_known)
        });
        if !is_due {
            return None;
        }
        let (leaf, authority) = (read_pem(&kept.identity.certificate), authority.clone());
        for (which, certificate) in [(Which::Serving, leaf.first()), (Which::Authority, Some(&authority))] {
            if let Some(facts) = certificate.and_then(facts) {
                self.metrics.certificate_expires(which, facts.not_after);
            }
        }
        self.served = Some(Served { identity: kept.identity.clone(), authority });
        Some(kept.identity.clone())
    }

    /// The CAs that were published long enough ago.
    fn known(&self) -> Vec<CertificateDer<'static>> {
        let settle = (self.length() / SETTLINGS).clamp(SHORTEST, SETTLE);
        let known = self.published.iter().filter(|(_, since)| settle <= since.elapsed());
        known.map(|(authority, _)| authority.clone()).collect()
    }

    /// Remembers since when CAs are published; those that are not any more are forgotten, unless these are some of more.
    fn note(&mut self, authorities: &[CertificateDer<'static>], some: bool) {
        self.published.retain(|(authority, _)| some || authorities.contains(authority));
        for authority in authorities {
            if !self.published.iter().any(|(known, _)| known == authority) {
                self.published.push((authority.clone(), Instant::now()));
            }
        }
    }

    fn length(&self) -> Duration {
        self.lifetimes.certificate.unsigned_abs()
    }
}
