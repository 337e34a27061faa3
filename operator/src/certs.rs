//! The webhook's certificate: made by us, kept in a Secret so that replicas agree, trusted by the API server because we
//! write the CA into the webhook configuration; or made by others, and mounted. Either is renewed without a restart.
//!
//! | Module | Owns |
//! | --- | --- |
//! | `own` | one replica's looks at Secret and configuration: publish first, serve later |
//! | [`rotation`] | pure: what is kept, and what becomes of it |
//! | [`issue`] | pure: making a CA and what it signs, and verifying that |
//! | [`secret`], [`trust`] | reading and writing the two objects |
//! | `files` | what others made, in a folder |
//! | [`x509`] | dates and key of a certificate, PEM |
//!
//! *Never:* what the webhook answers.

mod files;
pub mod issue;
mod own;
pub mod rotation;
pub mod secret;
pub mod trust;
pub mod x509;

use std::{path::PathBuf, sync::Arc, time::Duration};

use kube::Client;
use rustls::{ServerConfig, crypto::ring};
use tokio::sync::{oneshot, watch};

use self::{
    files::Files,
    issue::{Identity, Unfit},
    own::{Looked, Own},
};
use crate::{
    clock::Clock,
    config::{CertificateSource, Config},
    metrics::Metrics,
    readiness::Readiness,
    retry,
    serving::Tls,
    stop::Stop,
};

/// Gets and keeps the webhook's certificate.
#[derive(Clone, Debug)]
pub struct Certificates {
    source: Source,
    readiness: Readiness,
}

/// Who makes them.
#[derive(Clone, Debug)]
enum Source {
    Own(Box<Own>),
    Files(Box<Files>),
}

/// Why there is no certificate to serve, or no newer one.
#[derive(Debug, thiserror::Error)]
enum CertificatesError {
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    #[error("expected a certificate and its key in {}: {cause}", .folder.display())]
    Files { folder: PathBuf, cause: String },
    #[error("cannot serve with the certificate: {0}")]
    Tls(#[from] Unfit),
}

// === impl Certificates ===

impl Certificates {
    /// For the webhook of a configuration.
    #[must_use]
    pub fn new(client: &Client, config: &Config, clock: Clock, metrics: Arc<Metrics>, readiness: Readiness) -> Self {
        let ready = readiness.clone();
        let source = match &config.webhook.certificates {
            CertificateSource::Own { secret, lifetimes } => {
                Source::Own(Box::new(Own::new(client, config, (secret, *lifetimes), clock, metrics, ready)))
            }
            CertificateSource::Files(folder) => {
                Source::Files(Box::new(Files::new(folder, config, clock, metrics, ready)))
            }
        };
        Self { source, readiness }
    }

    /// Gets a certificate, then hands the TLS configuration out and keeps it current until the end is asked for.
    pub async fn keep(mut self, stop: Stop, ready: oneshot::Sender<Tls>) {
        let (mut served, mut ready, mut failures) = (None, Some(ready), 0);
        while !stop.is_requested() {
            let pause = match self.look(&mut served).await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    failures += 1;
                    let pause = retry::pause(failures).min(self.source.longest_pause());
                    tracing::warn!(%error, again_in = ?pause, "cannot renew the webhook's certificate");
                    pause
                }
            };
            if let Some(served) = &served
                && let Some(ready) = ready.take()
            {
                self.readiness.certificate_is_served();
                // Nobody waits for it any more when the process ends just now.
                let _ = ready.send(served.subscribe());
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.clone().requested() => {}
            }
        }
    }

    /// Looks once, and serves what there is; how long until the next time.
    async fn look(&mut self, served: &mut Served) -> Result<Duration, CertificatesError> {
        let Looked { serve, pause } = self.source.look().await?;
        if let Some(identity) = serve {
            serve_with(served, &identity).inspect_err(|_| self.source.not_served())?;
        }
        Ok(pause)
    }
}

/// What is served until now, as whoever serves has it.
type Served = Option<watch::Sender<Arc<ServerConfig>>>;

fn serve_with(served: &mut Served, identity: &Identity) -> Result<(), Unfit> {
    let config = Arc::new(issue::server_config(identity, Arc::new(ring::default_provider()))?);
    match served {
        None => *served = Some(watch::Sender::new(config)),
        Some(served) => {
            served.send_replace(config);
            tracing::info!("serving with a new certificate");
        }
    }
    Ok(())
}

// === impl Source ===

impl Source {
    async fn look(&mut self) -> Result<Looked, CertificatesError> {
        match self {
            Self::Own(own) => own.look().await,
            Self::Files(files) => files.look().await,
        }
    }

    fn not_served(&mut self) {
        match self {
            Self::Own(own) => own.not_served(),
            Self::Files(files) => files.not_served(),
        }
    }

    fn longest_pause(&self) -> Duration {
        match self {
            Self::Own(own) => own.pause(),
            Self::Files(_) => files::LOOK,
        }
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
