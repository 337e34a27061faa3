//! The signing key in a Secret, so that replicas share it and a restart keeps it. Made once; on a race, the one that
//! was written is everybody's.
//!
//! *Never:* what is signed.

use std::collections::BTreeMap;

use crds::names;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use super::{NoRandomness, OperatorKey, random};

/// Key of the Secret's data: a seed of 32 bytes.
const SEED: &str = "ed25519";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The API server refused, or could not be reached.
    #[error("cannot keep the signing key in Secret {name}: {cause}")]
    Api {
        /// The Secret.
        name: String,
        /// What the API server said.
        #[source]
        cause: Box<kube::Error>,
    },
    /// The Secret is there without a key. It is not overwritten: sidecars may trust what was in it.
    #[error("Secret {0}: expected 32 bytes under {SEED:?}, found something else; delete it to have a new key made")]
    NoKey(String),
    /// A key could not be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The key of a Secret, made if there is none.
///
/// # Errors
/// When it can neither be read nor made.
pub async fn load_or_create(api: &Api<Secret>, name: &str) -> Result<OperatorKey, KeyError> {
    let failed = |cause| KeyError::Api { name: name.to_owned(), cause: Box::new(cause) };
    if let Some(secret) = api.get_opt(name).await.map_err(failed)? {
        return read(name, &secret);
    }
    match api.create(&PostParams::default(), &write(name, random()?)).await {
        Ok(secret) => {
            tracing::info!(secret = name, "made a signing key");
            read(name, &secret)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => read(name, &api.get(name).await.map_err(failed)?),
        Err(cause) => Err(failed(cause)),
    }
}

/// Labels of the Secrets we make.
#[must_use]
pub fn owned_labels() -> BTreeMap<String, String> {
    BTreeMap::from([(names::MANAGED_BY_LABEL.to_owned(), names::MANAGED_BY.to_owned())])
}

fn read(name: &str, secret: &Secret) -> Result<OperatorKey, KeyError> {
    let seed = secret.data.as_ref().and_then(|data| data.get(SEED));
    let seed = seed.and_then(|seed| <[u8; 32]>::try_from(seed.0.as_slice()).ok());
    seed.map(|seed| OperatorKey::from_seed(&seed)).ok_or_else(|| KeyError::NoKey(name.to_owned()))
}

fn write(name: &str, seed: [u8; 32]) -> Secret {
    Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(owned_labels()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(SEED.to_owned(), ByteString(seed.to_vec()))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_reads_back() {
        let key = read("key", &write("key", [5; 32])).unwrap();
        assert_eq!(key.public(), OperatorKey::from_seed(&[5; 32]).public());
    }

    #[test]
    fn a_secret_without_key_is_named() {
        let error = read("key", &Secret::default()).unwrap_err().to_string();
        assert!(error.starts_with("Secret key: expected 32 bytes"), "{error}");
    }
}
