//! Talking to a Pushgateway that exists already, of any version: over plain HTTP or TLS, below any prefix, with what a
//! Secret of the user's has for it.
//!
//! Such a gateway ignores the names that are asked for, and deletes without a condition. So its page is read line by
//! line, as far as the push times go, and is read once more right before each removal.
//!
//! A gateway is anybody's, and there may be many: what is kept of an answer has limits, more than a little of it has to
//! wait for one of few places, and what a long answer is only asked about is decoded while it comes in.
//!
//! The Secret is read with every visit, so that a new password counts at once; the operator may read it only where the
//! user grants that one Secret.
//!
//! *Never:* what is stale, what a `PushGroup`'s status says.

pub mod address;
pub mod client;
mod connection;
pub mod keys;
pub mod page;
pub mod rights;
pub mod secret;

use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use rustls::RootCertStore;

use self::{
    address::GatewayAddress,
    client::{GatewayError, GatewaySession},
    secret::{Credentials, SecretError},
};
use crate::{gc::targets::GatewayTarget, long_pages::LongPages};

/// How many long pages are worked on at a time, and how many of those whose last visit failed or took long: one may take
/// twice what a sidecar's does.
const LONG_PAGES: usize = 1;
const LONG_PAGES_OF_COSTLY: usize = 1;

/// Opens sessions with gateways.
#[derive(Clone)]
pub struct Gateways {
    client: Client,
    /// What the system trusts, read when the first gateway over TLS is asked.
    roots: Arc<OnceLock<Arc<RootCertStore>>>,
    long_pages: LongPages,
}

// === impl Gateways ===

impl Gateways {
    /// Reads Secrets by a client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, roots: Arc::default(), long_pages: LongPages::of(LONG_PAGES, LONG_PAGES_OF_COSTLY) }
    }

    /// Everything a visit needs to ask a gateway; nothing is sent to it yet. A costly one is one whose last visit failed or
    /// took long: its long page waits for places of its own.
    ///
    /// # Errors
    /// When the address is none, or the Secret cannot be read or does not fit.
    pub async fn open(&self, target: &GatewayTarget, is_costly: bool) -> Result<GatewaySession, GatewayError> {
        let address = GatewayAddress::parse(&target.url)?;
        let credentials = match &target.secret {
            Some(name) => self.credentials(target, name).await?,
            None => Credentials::default(),
        };
        let tls = address.is_tls().then(|| credentials.tls(|| self.system_roots())).transpose()?;
        let session = GatewaySession::new(address, credentials.authorization, tls);
        Ok(session.sharing(self.long_pages.clone(), is_costly))
    }

    async fn credentials(&self, target: &GatewayTarget, name: &str) -> Result<Credentials, SecretError> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &target.namespace);
        match secrets.get(name).await {
            Ok(secret) => Credentials::of(&secret),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Err(SecretError::Missing { namespace: target.namespace.clone(), name: name.to_owned() })
            }
            Err(kube::Error::Api(status)) if status.code == 403 => Err(SecretError::Forbidden {
                name: name.to_owned(),
                manifest: rights::manifest(target, name, &rights::who_am_i(&self.client).await),
            }),
            Err(error) => Err(SecretError::Api(Box::new(error))),
        }
    }

    fn system_roots(&self) -> Arc<RootCertStore> {
        let read = || {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "cannot read some of the system's CA certificates");
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            Arc::new(roots)
        };
        self.roots.get_or_init(read).clone()
    }
}
