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

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum_server::tls_rustls::RustlsConfig;
use kube::Client;

use self::{
    files::Files,
    issue::Identity,
    own::{Looked, Own},
};
use crate::{
    clock::Clock,
    config::{CertificateSource, Config},
    metrics::Metrics,
    readiness::Readiness,
    retry,
    stop::Stop,
};

/// Gets and keeps the webhook's certificate.
#[derive(Clone, Debug)]
pub struct Certificates {
    source: Source,
    readiness: Readiness,
}

/// Which of the certificates that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that is served.
    Serving,
    /// The CA that signed it.
    Authority,
}

/// Who makes them.
#[derive(Clone, Debug)]
enum Source {
    Own(Box<Own>),
    Files(Files),
}

/// Why there is no certificate to serve, or no newer one.
#[derive(Debug, thiserror::Error)]
enum CertificatesError {
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    #[error("expected a certificate and its key in {}: {cause}", .folder.display())]
    Files { folder: PathBuf, cause: String },
    #[error("cannot serve with the certificate: {0}")]
    Tls(#[from] io::Error),
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
            CertificateSource::Files(folder) => Source::Files(Files::new(folder, config, clock, metrics, ready)),
        };
        Self { source, readiness }
    }

    /// Gets a certificate, then hands the TLS configuration out and keeps it current until the end is asked for.
    pub async fn keep(mut self, stop: Stop, ready: tokio::sync::oneshot::Sender<RustlsConfig>) {
        let (mut tls, mut ready, mut failures) = (None, Some(ready), 0);
        while !stop.is_requested() {
            let pause = match self.look(&mut tls).await {
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
            if let Some(tls) = &tls
                && let Some(ready) = ready.take()
            {
                self.readiness.certificate_is_served();
                // Nobody waits for it any more when the process ends just now.
                let _ = ready.send(RustlsConfig::clone(tls));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.clone().requested() => {}
            }
        }
    }

    /// Looks once, and serves what there is; how long until the next time.
    async fn look(&mut self, tls: &mut Option<RustlsConfig>) -> Result<Duration, CertificatesError> {
        let Looked { serve, pause } = self.source.look().await?;
        if let Some(identity) = serve {
            serve_with(tls, identity).await.inspect_err(|_| self.source.not_served())?;
        }
        Ok(pause)
    }
}

async fn serve_with(tls: &mut Option<RustlsConfig>, identity: Identity) -> io::Result<()> {
    let Identity { certificate, key } = identity;
    match tls {
        None => *tls = Some(RustlsConfig::from_pem(certificate.into_bytes(), key.into_bytes()).await?),
        Some(tls) => {
            tls.reload_from_pem(certificate.into_bytes(), key.into_bytes()).await?;
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
