//! Who may delete at the scrape port: the operator, by a signature for one request, one pod and one moment.
//!
//! The keys are read from the mounted folder at each signed request that is otherwise in order, so that a new key
//! counts at once and no watch is needed; the file is small and read only so far. A nonce is remembered until the signature would be too
//! old anyway, so a signature is good for one request. A signature made for another pod cannot be told from a forged
//! one: the pod is part of what is signed and not of what is sent.
//!
//! *Never:* HTTP types, groups, what the request does.

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use ed25519_dalek::{Signature, VerifyingKey};
use protocol::{
    endpoints::SIGNATURE_HEADER,
    signed_request::{ACCEPTED_SECONDS, SignatureHeader, SignedRequest},
    trust::{OPERATOR_KEYS_FILE, PublicKey, parse_operator_keys},
};

use crate::{clock::UnixSeconds, metrics::SignedDelete};

/// A few thousand keys; there are one or two.
const MAX_KEY_FILE_BYTES: u64 = 256 * 1024;

/// How many signatures are remembered. Only the operator's own count, so only the operator can fill it.
const MAX_NONCES: usize = 16 * 1024;

/// What it takes to tell the operator from anybody.
#[derive(Debug, Default)]
pub(crate) struct OperatorAccess {
    trust_dir: Option<PathBuf>,
    pod_uid: Option<String>,
    nonces: Mutex<Nonces>,
}

/// A request as far as its signature is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// As sent.
    pub(crate) path: &'a str,
    /// As sent.
    pub(crate) push_time: &'a str,
    /// As sent, if it was.
    pub(crate) failure_time: Option<&'a str>,
    /// The signature, if there is one.
    pub(crate) header: Option<&'a str>,
}

/// Why somebody is not taken for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error(
        "expected `{SIGNATURE_HEADER}` with the operator's signature, found none: nobody else deletes at this port"
    )]
    Unsigned,
    #[error("expected `{SIGNATURE_HEADER}` as v1.SECONDS.NONCE.SIGNATURE, found something else")]
    Malformed,
    #[error("expected this process to know its pod (`--pod.uid`), but it does not: no signature can be meant for it")]
    NoPodUid,
    #[error("expected a signature made within {ACCEPTED_SECONDS} s of now, found one made {skew} s {}", if *.late { "ago" } else { "ahead" })]
    Stale { skew: u64, late: bool },
    #[error("expected a key of the operator in `--trust.dir`, found none")]
    NoKeys,
    #[error("expected a signature of the operator over this very request to this very pod, found another")]
    BadSignature,
    #[error("expected a signature that was not used before, found one that was")]
    Replayed,
    #[error("too many signed requests within {ACCEPTED_SECONDS} s; try again later")]
    Busy,
}

/// Nonces that were used, and the second at which they may be forgotten.
#[derive(Debug, Default)]
struct Nonces {
    used: HashMap<[u8; 16], u64>,
}

// === impl OperatorAccess ===

impl OperatorAccess {
    pub(crate) fn new(trust_dir: Option<PathBuf>, pod_uid: Option<String>) -> Self {
        Self { trust_dir, pod_uid, nonces: Mutex::default() }
    }

    /// Whether the operator has signed this request. A signature is used up by it.
    pub(crate) fn admit(&self, request: &Signed<'_>, now: UnixSeconds) -> Result<(), Denial> {
        let header = SignatureHeader::parse(request.header.ok_or(Denial::Unsigned)?);
        let header = header.map_err(|_| Denial::Malformed)?;
        let target = self.pod_uid.as_deref().ok_or(Denial::NoPodUid)?;
        let now = now.whole();
        let skew = now.abs_diff(header.signed_at);
        if ACCEPTED_SECONDS < skew {
            return Err(Denial::Stale { skew, late: header.signed_at < now });
        }
        let signed = SignedRequest {
            method: request.method,
            path: request.path,
            target,
            push_time: request.push_time,
            failure_time: request.failure_time,
            signed_at: header.signed_at,
            nonce: header.nonce,
        };
        let keys = self.keys();
        if keys.is_empty() {
            return Err(Denial::NoKeys);
        }
        if !is_signed_by_any(&keys, &signed.message(), &header.signature) {
            return Err(Denial::BadSignature);
        }
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).spend(header.nonce, header.signed_at, now)
    }

    /// The keys of the moment; none if there is no file, and none of a file that is broken.
    fn keys(&self) -> Vec<PublicKey> {
        let Some(path) = self.trust_dir.as_ref().map(|dir| dir.join(OPERATOR_KEYS_FILE)) else {
            return Vec::new();
        };
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "operator keys cannot be read");
                return Vec::new();
            }
        }
        parse_operator_keys(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "operator keys are broken");
            Vec::new()
        })
    }
}

fn is_signed_by_any(keys: &[PublicKey], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    let keys = keys.iter().filter_map(|key| VerifyingKey::from_bytes(key).ok());
    keys.into_iter().any(|key| key.verify_strict(message, &signature).is_ok())
}

// === impl Nonces ===

impl Nonces {
    fn spend(&mut self, nonce: [u8; 16], signed_at: u64, now: u64) -> Result<(), Denial> {
        if self.used.contains_key(&nonce) {
            return Err(Denial::Replayed);
        }
        if MAX_NONCES <= self.used.len() {
            self.used.retain(|_, until| now <= *until);
        }
        if MAX_NONCES <= self.used.len() {
            return Err(Denial::Busy);
        }
        self.used.insert(nonce, signed_at.saturating_add(ACCEPTED_SECONDS));
        Ok(())
    }
}

// === impl Denial ===

impl Denial {
    /// The word it is counted under.
    pub(crate) fn outcome(self) -> SignedDelete {
        match self {
            Self::Unsigned => SignedDelete::Unsigned,
            Self::Malformed => SignedDelete::Malformed,
            Self::NoPodUid => SignedDelete::NoPodUid,
            Self::Stale { .. } => SignedDelete::Stale,
            Self::NoKeys => SignedDelete::NoKeys,
            Self::BadSignature => SignedDelete::BadSignature,
            Self::Replayed => SignedDelete::Replayed,
            Self::Busy => SignedDelete::Busy,
        }
    }
}

#[cfg(test)]
mod tests;
