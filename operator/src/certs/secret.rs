//! The webhook's certificates in a Secret, so that replicas agree: whoever finds that something is to be replaced writes it
//! over the version it has read; whoever comes second reads again.
//!
//! *Never:* when something is replaced, serving it, publishing it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use super::{
    issue::{Identity, IssueError},
    rotation::{Around, Kept, plan},
    x509::read_pem,
};
use crate::signing::secret::owned_labels;

/// The CAs, as cert-manager and the API server call the key.
const BUNDLE: &str = "ca.crt";
/// The private key of the CA that signs.
const AUTHORITY_KEY: &str = "ca.key";
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

/// What a Secret keeps, with all replaced that has to be.
///
/// # Errors
/// When it can neither be read nor made.
pub async fn ensure(api: &Api<Secret>, name: &str, around: &Around<'_>) -> Result<Kept, SecretError> {
    let failed = |cause| SecretError::Api { name: name.to_owned(), cause: Box::new(cause) };
    for _ in 0..ATTEMPTS {
        let found = api.get_opt(name).await.map_err(failed)?;
        let kept = found.as_ref().map(read);
        let Some(change) = plan(kept.as_ref(), around)? else {
            return kept.ok_or_else(|| SecretError::Contended(name.to_owned()));
        };
        let secret = write(name, &change.kept, found);
        let written = if secret.metadata.resource_version.is_some() {
            api.replace(name, &PostParams::default(), &secret).await
        } else {
            api.create(&PostParams::default(), &secret).await
        };
        match written {
            Ok(_) => {
                tracing::info!(
                    secret = name,
                    reasons = change.reasons.join(", "),
                    "renewed the webhook's certificates"
                );
                return Ok(change.kept);
            }
            // Another replica was faster, or somebody removed it.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Err(SecretError::Contended(name.to_owned()))
}

/// What can be read; the rest is empty, and replaced.
fn read(secret: &Secret) -> Kept {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    Kept {
        authorities: read_pem(&text(BUNDLE)),
        authority_key: text(AUTHORITY_KEY),
        identity: Identity { certificate: text(CERTIFICATE), key: text(KEY) },
    }
}

/// The Secret with what is kept; what else is known of it, its version first, stays.
fn write(name: &str, kept: &Kept, found: Option<Secret>) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([
        (BUNDLE.to_owned(), bytes(&kept.bundle())),
        (AUTHORITY_KEY.to_owned(), bytes(&kept.authority_key)),
        (CERTIFICATE.to_owned(), bytes(&kept.identity.certificate)),
        (KEY.to_owned(), bytes(&kept.identity.key)),
    ]);
    let fresh = || Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(owned_labels()), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    };
    Secret { data: Some(data), ..found.unwrap_or_else(fresh) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn made() -> Kept {
        let (names, now) = (["hook.sidegate.svc".to_owned()], Timestamp::constant(1_790_000_000, 0));
        let lifetimes = crate::certs::issue::Lifetimes::default();
        let around = Around { names: &names, lifetimes, now, known: &[], published: &[], served: None };
        plan(None, &around).unwrap().unwrap().kept
    }

    #[test]
    fn what_was_written_reads_back_and_keeps_the_version() {
        let kept = made();
        let mut secret = write("tls", &kept, None);
        assert_eq!(read(&secret), kept);
        secret.metadata.resource_version = Some("7".to_owned());
        let other = Kept { authority_key: "other".to_owned(), ..kept };
        let secret = write("tls", &other, Some(secret));
        assert_eq!(read(&secret), other);
        assert_eq!(secret.metadata.resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn what_cannot_be_read_is_empty_and_the_rest_is_not() {
        let kept = made();
        let mut secret = write("tls", &kept, None);
        let data = secret.data.as_mut().unwrap();
        data.remove(KEY);
        data.insert(BUNDLE.to_owned(), ByteString(vec![255]));
        let found = read(&secret);
        assert_eq!((found.authorities.len(), found.identity.key.as_str()), (0, ""));
        assert_eq!(found.identity.certificate, kept.identity.certificate);
        assert_eq!(read(&Secret::default()).identity, Identity::default());
    }
}
