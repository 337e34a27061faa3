//! The Ed25519 key by which sidecars know the operator: whoever reaches a scrape port cannot delete, only we can.
//!
//! *Never:* which requests are signed, how a signature travels.

pub mod secret;

use ed25519_dalek::{Signer as _, SigningKey};
use protocol::{
    signed_request::{SignatureHeader, SignedRequest},
    trust::PublicKey,
};

/// Signs what the operator asks of a sidecar.
#[derive(Clone)]
pub struct OperatorKey {
    key: SigningKey,
}

/// The system has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("cannot get random numbers: {0}")]
pub struct NoRandomness(getrandom::Error);

// === impl OperatorKey ===

impl OperatorKey {
    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// What sidecars are told.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.verifying_key().to_bytes()
    }

    /// Signs a request.
    #[must_use]
    pub fn sign(&self, request: &SignedRequest<'_>) -> SignatureHeader {
        let signature = self.key.sign(&request.message()).to_bytes();
        SignatureHeader { signed_at: request.signed_at, nonce: request.nonce, signature }
    }
}

impl std::fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// Random bytes.
///
/// # Errors
/// When the system has none.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};

    use super::*;

    #[test]
    fn a_signature_is_good_for_its_request_only() {
        let key = OperatorKey::from_seed(&[7; 32]);
        let request = SignedRequest {
            method: "DELETE",
            path: "/metrics/job/backup",
            target: "uid",
            push_time: "1.5",
            failure_time: None,
            signed_at: 9,
            nonce: random().unwrap(),
        };
        let header = key.sign(&request);
        assert_eq!((header.signed_at, header.nonce), (9, request.nonce));
        let public = VerifyingKey::from_bytes(&key.public()).unwrap();
        let signature = Signature::from_bytes(&header.signature);
        public.verify_strict(&request.message(), &signature).unwrap();
        let other = SignedRequest { path: "/metrics/job/other", ..request };
        assert!(public.verify_strict(&other.message(), &signature).is_err());
    }
}
