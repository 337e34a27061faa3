//! Signatures, made with real keys and read from real files.

use std::path::Path;

use ed25519_dalek::{Signer, SigningKey};
use protocol::trust::print_operator_keys;

use super::*;

const NOW: u64 = 1_790_000_000;
const REQUEST: SignedRequest<'static> = SignedRequest {
    method: "DELETE",
    path: "/metrics/job/a",
    target: "uid-1",
    push_time: "1.5",
    failure_time: None,
    signed_at: NOW,
    nonce: [3; 16],
};

/// A folder of its own for each test, gone with the value.
struct TrustDir(PathBuf);

impl TrustDir {
    fn new(test: &str, keys: &[&SigningKey]) -> Self {
        let dir = std::env::temp_dir().join(format!("sidegate-trust-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let trust = Self(dir);
        trust.write(keys);
        trust
    }

    fn write(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.verifying_key().to_bytes()).collect();
        std::fs::write(self.0.join(OPERATOR_KEYS_FILE), print_operator_keys(&keys)).unwrap();
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TrustDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn access(trust: &TrustDir) -> OperatorAccess {
    OperatorAccess::new(Some(trust.path().to_owned()), Some("uid-1".to_owned()))
}

fn sign(key: &SigningKey, request: &SignedRequest<'_>) -> String {
    let signature = key.sign(&request.message()).to_bytes();
    SignatureHeader { signed_at: request.signed_at, nonce: request.nonce, signature }.to_string()
}

/// Sends [`REQUEST`] with a signature over another one.
fn admit(access: &OperatorAccess, key: &SigningKey, signed: &SignedRequest<'_>) -> Result<(), Denial> {
    let header = sign(key, signed);
    let SignedRequest { method, path, push_time, failure_time, .. } = REQUEST;
    let request = Signed { method, path, push_time, failure_time, header: Some(&header) };
    access.admit(&request, UnixSeconds(NOW as f64 + 0.5))
}

#[test]
fn the_operator_is_admitted_once_a_signature() {
    let trust = TrustDir::new("once", &[&key(1)]);
    let access = access(&trust);
    assert_eq!(admit(&access, &key(1), &REQUEST), Ok(()));
    assert_eq!(admit(&access, &key(1), &REQUEST), Err(Denial::Replayed));
    assert_eq!(admit(&access, &key(1), &SignedRequest { nonce: [4; 16], ..REQUEST }), Ok(()));
}

#[test]
fn a_signature_over_anything_else_is_bad() {
    let trust = TrustDir::new("else", &[&key(1)]);
    let access = access(&trust);
    let others = [
        SignedRequest { method: "PUT", ..REQUEST },
        SignedRequest { path: "/metrics/job/b", ..REQUEST },
        SignedRequest { target: "uid-2", ..REQUEST },
        SignedRequest { push_time: "1.6", ..REQUEST },
        SignedRequest { failure_time: Some("1.6"), ..REQUEST },
    ];
    for other in others {
        assert_eq!(admit(&access, &key(1), &other), Err(Denial::BadSignature), "{other:?}");
    }
    assert_eq!(admit(&access, &key(2), &REQUEST), Err(Denial::BadSignature));
}

#[test]
fn a_signature_is_good_for_a_minute_either_way() {
    let trust = TrustDir::new("minute", &[&key(1)]);
    let access = access(&trust);
    for (signed_at, nonce) in [(NOW - 60, [1; 16]), (NOW + 60, [2; 16])] {
        assert_eq!(admit(&access, &key(1), &SignedRequest { signed_at, nonce, ..REQUEST }), Ok(()));
    }
    for (signed_at, late) in [(NOW - 61, true), (NOW + 61, false)] {
        let denial = Denial::Stale { skew: 61, late };
        assert_eq!(admit(&access, &key(1), &SignedRequest { signed_at, ..REQUEST }), Err(denial));
    }
}

#[test]
fn keys_are_read_anew_and_old_and_new_ones_stand_together() {
    let trust = TrustDir::new("anew", &[&key(1)]);
    let access = access(&trust);
    assert_eq!(admit(&access, &key(2), &REQUEST), Err(Denial::BadSignature));
    trust.write(&[&key(1), &key(2)]);
    assert_eq!(admit(&access, &key(2), &REQUEST), Ok(()));
}

#[test]
fn nobody_is_admitted_without_keys_pod_or_signature() {
    let trust = TrustDir::new("without", &[]);
    let nowhere = OperatorAccess::new(Some(trust.path().join("missing")), Some("uid-1".to_owned()));
    assert_eq!(admit(&nowhere, &key(1), &REQUEST), Err(Denial::NoKeys));
    assert_eq!(admit(&access(&trust), &key(1), &REQUEST), Err(Denial::NoKeys));
    std::fs::write(trust.path().join(OPERATOR_KEYS_FILE), "no key").unwrap();
    assert_eq!(admit(&access(&trust), &key(1), &REQUEST), Err(Denial::NoKeys));
    let no_pod = OperatorAccess::new(Some(trust.path().to_owned()), None);
    assert_eq!(admit(&no_pod, &key(1), &REQUEST), Err(Denial::NoPodUid));

    let SignedRequest { method, path, push_time, failure_time, .. } = REQUEST;
    let request = Signed { method, path, push_time, failure_time, header: None };
    assert_eq!(access(&trust).admit(&request, UnixSeconds(0.0)), Err(Denial::Unsigned));
    let request = Signed { header: Some("Bearer x"), ..request };
    assert_eq!(access(&trust).admit(&request, UnixSeconds(0.0)), Err(Denial::Malformed));
}

#[test]
fn remembered_nonces_are_bounded_and_forgotten_when_too_old() {
    let mut nonces = Nonces::default();
    for number in 0..MAX_NONCES as u128 {
        assert_eq!(nonces.spend(number.to_be_bytes(), NOW, NOW), Ok(()));
    }
    assert_eq!(nonces.spend([255; 16], NOW, NOW + ACCEPTED_SECONDS), Err(Denial::Busy));
    assert_eq!(Denial::Busy.to_string(), "too many signed requests within 60 s; try again later");
    let later = NOW + ACCEPTED_SECONDS + 1;
    assert_eq!(nonces.spend([255; 16], later, later), Ok(()));
    assert_eq!(nonces.used.len(), 1);
}

#[test]
fn a_denial_says_what_was_expected_and_found() {
    let trust = TrustDir::new("sentences", &[&key(1)]);
    let access = access(&trust);
    let check = |key: &SigningKey, signed: &SignedRequest<'_>, expected: &str| {
        assert_eq!(admit(&access, key, signed).unwrap_err().to_string(), expected);
    };
    let (early, late) = (SignedRequest { signed_at: NOW + 75, ..REQUEST }, SignedRequest { signed_at: 0, ..REQUEST });
    check(&key(1), &early, "expected a signature made within 60 s of now, found one made 75 s ahead");
    check(&key(1), &late, &format!("expected a signature made within 60 s of now, found one made {NOW} s ago"));
    let another = "expected a signature of the operator over this very request to this very pod, found another";
    check(&key(2), &REQUEST, another);
    admit(&access, &key(1), &REQUEST).unwrap();
    check(&key(1), &REQUEST, "expected a signature that was not used before, found one that was");
    assert_eq!(Denial::Busy.to_string(), "too many signed requests within 60 s; try again later");
}
