//! The webhook's certificate in a Secret: whoever finds none, or one that is not good any more, makes it; everybody
//! else uses it.
//!
//! *Never:* serving it, trusting it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use rustls::crypto::ring;

use super::issue::{Identity, IssueError, RENEW_BEFORE, issue, verify};
use crate::signing::secret::owned_labels;

/// The CAs, as cert-manager and the API server call the key.
const BUNDLE: &str = "ca.crt";
/// The server's certificate.
const CERTIFICATE: &str = "tls.crt";
/// Its private key.
const KEY: &str = "tls.key";

/// How often to start over when another replica was faster.
const ATTEMPTS: usize = 4;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The API server refused, or could not be reached.
    #[error("cannot keep the certificate in Secret {name}: {cause}")]
    Api {
        /// The Secret.
        name: String,
        /// What the API server said.
        #[source]
        cause: Box<kube::Error>,
    },
    /// It could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Others wrote the Secret again and again.
    #[error("Secret {0} changed again and again while it was written")]
    Contended(String),
}

/// The certificate of a Secret, made anew if it is missing or not good for long enough. The CA of one that is served
/// stays trusted even if the Secret is gone.
///
/// # Errors
/// When it can neither be read nor made.
pub async fn ensure(
    api: &Api<Secret>,
    name: &str,
    names: &[String],
    served: Option<&Identity>,
    now: Timestamp,
) -> Result<Identity, SecretError> {
    let failed = |cause| SecretError::Api { name: name.to_owned(), cause: Box::new(cause) };
    for _ in 0..ATTEMPTS {
        let known = api.get_opt(name).await.map_err(failed)?;
        let before = known.as_ref().and_then(read);
        if let Some(identity) = &before {
            match verify(identity, names, now.saturating_add(RENEW_BEFORE).unwrap_or(now), &ring::default_provider()) {
                Ok(()) => return Ok(identity.clone()),
                Err(reason) => tracing::info!(%reason, secret = name, "making a new certificate"),
            }
        }
        let made = issue(names, before.as_ref().or(served), now)?;
        let written = match known {
            None => api.create(&PostParams::default(), &write(name, &made, None)).await,
            Some(known) => {
                let secret = write(name, &made, Some(known));
                api.replace(name, &PostParams::default(), &secret).await
            }
        };
        match written {
            Ok(_) => {
                tracing::info!(secret = name, "made a certificate for the webhook");
                return Ok(made);
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Err(SecretError::Contended(name.to_owned()))
}

fn read(secret: &Secret) -> Option<Identity> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    Some(Identity { bundle: text(BUNDLE)?, certificate: text(CERTIFICATE)?, key: text(KEY)? })
}

/// The Secret with an identity; what is known of it, its version first, stays.
fn write(name: &str, identity: &Identity, known: Option<Secret>) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([
        (BUNDLE.to_owned(), bytes(&identity.bundle)),
        (CERTIFICATE.to_owned(), bytes(&identity.certificate)),
        (KEY.to_owned(), bytes(&identity.key)),
    ]);
    let fresh = || Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(owned_labels()), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    };
    Secret { data: Some(data), ..known.unwrap_or_else(fresh) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_identity_reads_back_and_keeps_the_version() {
        let identity = Identity { bundle: "b".to_owned(), certificate: "c".to_owned(), key: "k".to_owned() };
        let mut secret = write("tls", &identity, None);
        assert_eq!(read(&secret), Some(identity.clone()));
        secret.metadata.resource_version = Some("7".to_owned());
        let other = Identity { key: "other".to_owned(), ..identity };
        let secret = write("tls", &other, Some(secret));
        assert_eq!(read(&secret), Some(other));
        assert_eq!(secret.metadata.resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn half_a_secret_is_none() {
        let mut secret =
            write("tls", &Identity { bundle: String::new(), certificate: String::new(), key: String::new() }, None);
        secret.data.as_mut().unwrap().remove(KEY);
        assert_eq!(read(&secret), None);
    }
}
