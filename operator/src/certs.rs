//! The webhook's certificate: made by us, kept in a Secret so that replicas agree, trusted by the API server because we
//! write the CA into the webhook configuration, renewed without a restart.
//!
//! Order matters: a new CA is trusted, beside the old one, a whole look before anything is served that it signed, since
//! not every API server learns of it at once. Every replica looks
//! at the Secret and at the configuration once a minute, so a renewal by one reaches the others, and a configuration
//! that was made anew gets its bundle back.
//!
//! *Never:* what the webhook answers.

pub mod issue;
pub mod secret;
pub mod trust;

use std::{io, time::Duration};

use axum_server::tls_rustls::RustlsConfig;
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret};
use kube::{Api, Client};

use self::issue::Identity;
use crate::{clock::Clock, config::Config, readiness::Readiness, retry, stop::Stop};

/// How often Secret and configuration are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// How often the trust is tried while it is missing: nothing is injected until it is there.
const EVERY_UNTIL_TRUSTED: Duration = Duration::from_secs(3);

/// Gets and keeps the webhook's certificate.
#[derive(Clone)]
pub struct Certificates {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    secret: String,
    configuration: String,
    names: Vec<String>,
    clock: Clock,
    readiness: Readiness,
}

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
enum CertificatesError {
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    #[error("cannot serve with the certificate: {0}")]
    Tls(#[from] io::Error),
}

/// What is served now.
struct Served {
    identity: Identity,
    /// What is served next: its CA was published at the last look.
    coming: Option<Identity>,
    tls: RustlsConfig,
}

// === impl Certificates ===

impl Certificates {
    /// For the webhook of a configuration.
    #[must_use]
    pub fn new(client: &Client, config: &Config, clock: Clock, readiness: Readiness) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &config.namespace),
            configurations: Api::all(client.clone()),
            secret: config.webhook.secret.clone(),
            configuration: config.webhook.configuration.clone(),
            names: config.webhook_names(),
            clock,
            readiness,
        }
    }

    /// Gets a certificate, then hands the TLS configuration out and keeps it current until the end is asked for.
    pub async fn keep(self, stop: Stop, ready: tokio::sync::oneshot::Sender<RustlsConfig>) {
        let first = retry::until_it_works("get the webhook's certificate", &stop, || self.first()).await;
        let Some(mut served) = first else { return };
        self.readiness.certificate_is_served();
        // Nobody waits for it any more when the process ends just now.
        let _ = ready.send(served.tls.clone());
        loop {
            let pause = match self.trust(served.newest()).await {
                Ok(()) => EVERY,
                Err(()) => EVERY_UNTIL_TRUSTED,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.clone().requested() => return,
            }
            self.renew(&mut served).await;
        }
    }

    async fn first(&self) -> Result<Served, CertificatesError> {
        let identity = secret::ensure(&self.secrets, &self.secret, &self.names, None, self.clock.now()).await?;
        let (certificate, key) = (identity.certificate.clone(), identity.key.clone());
        let tls = RustlsConfig::from_pem(certificate.into_bytes(), key.into_bytes()).await?;
        Ok(Served { identity, coming: None, tls })
    }

    /// Publishes the CA of what the Secret holds by now, and serves it at the look after.
    async fn renew(&self, served: &mut Served) {
        let (known, now) = (Some(&served.identity), self.clock.now());
        let identity = match secret::ensure(&self.secrets, &self.secret, &self.names, known, now).await {
            Ok(identity) if identity == served.identity => {
                served.coming = None;
                return;
            }
            Ok(identity) => identity,
            Err(error) => return tracing::warn!(%error, "cannot check the webhook's certificate"),
        };
        if self.trust(&identity).await.is_err() {
            return;
        }
        if served.coming.as_ref() != Some(&identity) {
            served.coming = Some(identity);
            return;
        }
        let (certificate, key) = (identity.certificate.clone(), identity.key.clone());
        match served.tls.reload_from_pem(certificate.into_bytes(), key.into_bytes()).await {
            Ok(()) => {
                tracing::info!("serving with a new certificate");
                served.identity = identity;
                served.coming = None;
            }
            Err(error) => tracing::error!(%error, "cannot serve with the new certificate"),
        }
    }

    async fn trust(&self, identity: &Identity) -> Result<(), ()> {
        match trust::ensure(&self.configurations, &self.configuration, &identity.bundle).await {
            Ok(()) => {
                self.readiness.certificate_is_trusted();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, configuration = self.configuration, "cannot write the CA bundle");
                Err(())
            }
        }
    }
}

// === impl Served ===

impl Served {
    /// The identity whose bundle has all CAs that are in use.
    fn newest(&self) -> &Identity {
        self.coming.as_ref().unwrap_or(&self.identity)
    }
}

#[cfg(test)]
mod tests;
