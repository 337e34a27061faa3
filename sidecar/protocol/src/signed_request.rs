//! What the operator signs before a sidecar lets it delete, and how the signature travels.
//!
//! Anybody in the cluster can reach a scrape port, so a plain `DELETE` there is refused. The operator signs with its
//! Ed25519 key what the request does ([`SignedRequest`]): method, path as sent, the pod it is meant for, the times it
//! has seen, the moment, and a nonce. The signature travels in one header ([`SignatureHeader`]) with the parts the
//! request itself does not carry. A receiver rebuilds the message from the request it got, so a signature is of no
//! use for another group, another pod, or later; the nonce makes each signature unique so that a receiver can refuse a second
//! use of it.
//!
//! *Never:* keys, signing and verifying, the clock, HTTP types.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// How far the moment of signing may lie from the receiver's clock, in seconds and either way.
pub const ACCEPTED_SECONDS: u64 = 60;

const VERSION: &str = "v1";

/// Everything a signature vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedRequest<'a> {
    /// `DELETE`.
    pub method: &'a str,
    /// The path as sent, still encoded: `/metrics/job/backup`.
    pub path: &'a str,
    /// UID of the pod the request is meant for.
    pub target: &'a str,
    /// The value of [`crate::endpoints::IF_PUSH_TIME_HEADER`], as sent.
    pub push_time: &'a str,
    /// The value of [`crate::endpoints::IF_PUSH_FAILURE_TIME_HEADER`], as sent, if it is. A receiver that does not know
    /// that header rebuilds another message and refuses, where it could not keep to what the header says.
    pub failure_time: Option<&'a str>,
    /// When it was signed, Unix seconds.
    pub signed_at: u64,
    /// Chosen at random for each request.
    pub nonce: [u8; 16],
}

/// The parts that travel in [`crate::endpoints::SIGNATURE_HEADER`], as `v1.SECONDS.NONCE.SIGNATURE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureHeader {
    /// When it was signed, Unix seconds.
    pub signed_at: u64,
    /// The nonce of the message.
    pub nonce: [u8; 16],
    /// Ed25519 over [`SignedRequest::message`].
    pub signature: [u8; 64],
}

/// A header value that is no signature of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedSignature;

// === impl SignedRequest ===

impl SignedRequest<'_> {
    /// The bytes that are signed. Each part has its length before it, so that no two requests share a message.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut message = b"sidegate signed request v1\n".to_vec();
        let mut part = |bytes: &[u8]| {
            message.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            message.extend_from_slice(bytes);
        };
        part(self.method.as_bytes());
        part(self.path.as_bytes());
        part(self.target.as_bytes());
        part(self.push_time.as_bytes());
        part(&self.signed_at.to_be_bytes());
        part(&self.nonce);
        if let Some(failure_time) = self.failure_time {
            part(failure_time.as_bytes());
        }
        message
    }
}

// === impl SignatureHeader ===

impl SignatureHeader {
    /// Reads a header value.
    ///
    /// # Errors
    /// [`MalformedSignature`] for anything [`fmt::Display`] does not print.
    pub fn parse(value: &str) -> Result<Self, MalformedSignature> {
        let mut parts = value.split('.');
        let (Some(VERSION), Some(signed_at), Some(nonce), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedSignature);
        };
        let header = Self {
            signed_at: signed_at.parse().map_err(|_| MalformedSignature)?,
            nonce: decode(nonce)?,
            signature: decode(signature)?,
        };
        // Numbers are read in more ways than they are printed in.
        if header.to_string() == value { Ok(header) } else { Err(MalformedSignature) }
    }
}

impl fmt::Display for SignatureHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nonce, signature) = (URL_SAFE_NO_PAD.encode(self.nonce), URL_SAFE_NO_PAD.encode(self.signature));
        write!(f, "{VERSION}.{}.{nonce}.{signature}", self.signed_at)
    }
}

// === impl MalformedSignature ===

impl fmt::Display for MalformedSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a signature as {VERSION}.SECONDS.NONCE.SIGNATURE, found something else")
    }
}

impl std::error::Error for MalformedSignature {}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], MalformedSignature> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedSignature)?;
    bytes.try_into().map_err(|_| MalformedSignature)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: SignedRequest<'static> = SignedRequest {
        method: "DELETE",
        path: "/metrics/job/a",
        target: "uid-1",
        push_time: "1.5",
        failure_time: None,
        signed_at: 12,
        nonce: [3; 16],
    };

    #[test]
    fn a_header_reads_back() {
        let header = SignatureHeader { signed_at: 1_790_000_000, nonce: [1; 16], signature: [9; 64] };
        assert_eq!(SignatureHeader::parse(&header.to_string()), Ok(header));
    }

    #[test]
    fn other_text_is_no_signature() {
        for value in ["", "v1", "v1.x.y.z", "v2.1.AQEBAQEBAQEBAQEBAQEBAQ.AA", "v1.1.AQ.AQ", "v1.1.2.3.4"] {
            assert_eq!(SignatureHeader::parse(value), Err(MalformedSignature), "{value}");
        }
    }

    #[test]
    fn a_header_is_accepted_in_the_one_way_it_is_printed() {
        let printed = SignatureHeader { signed_at: 5, nonce: [1; 16], signature: [9; 64] }.to_string();
        for seconds in ["+5", "0005", "05", "-5", " 5", "5 ", "5.0", ""] {
            let other = printed.replacen(".5.", &format!(".{seconds}."), 1);
            assert_eq!(SignatureHeader::parse(&other), Err(MalformedSignature), "{other}");
        }
        assert_eq!(SignatureHeader::parse(&format!("{printed}=")), Err(MalformedSignature));
        assert!(SignatureHeader::parse(&printed).is_ok());
    }

    #[test]
    fn every_part_changes_the_message() {
        let message = REQUEST.message();
        let others = [
            SignedRequest { method: "PUT", ..REQUEST },
            SignedRequest { path: "/metrics/job/b", ..REQUEST },
            SignedRequest { target: "uid-2", ..REQUEST },
            SignedRequest { push_time: "1.6", ..REQUEST },
            SignedRequest { failure_time: Some("1.6"), ..REQUEST },
            SignedRequest { failure_time: Some(""), ..REQUEST },
            SignedRequest { signed_at: 13, ..REQUEST },
            SignedRequest { nonce: [4; 16], ..REQUEST },
        ];
        for other in others {
            assert_ne!(other.message(), message, "{other:?}");
        }
    }

    #[test]
    fn parts_cannot_flow_into_each_other() {
        let a = SignedRequest { path: "/metrics/job/ab", target: "c", ..REQUEST };
        let b = SignedRequest { path: "/metrics/job/a", target: "bc", ..REQUEST };
        assert_ne!(a.message(), b.message());
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_header_and_each_is_printed_as_it_was_read(
            any in any::<String>(),
            parts in "v1(\\.[A-Za-z0-9_=+-]{0,24}){0,4}",
            seconds in any::<u64>(),
            at in any::<prop::sample::Index>(),
            other in any::<char>(),
        ) {
            let printed = SignatureHeader { signed_at: seconds, nonce: [7; 16], signature: [9; 64] }.to_string();
            prop_assert!(SignatureHeader::parse(&printed).is_ok());
            let mut changed: Vec<char> = printed.chars().collect();
            let at = at.index(changed.len());
            changed[at] = other;
            for value in [any, parts, changed.into_iter().collect()] {
                if let Ok(header) = SignatureHeader::parse(&value) {
                    prop_assert_eq!(header.to_string(), value);
                }
            }
        }
    }
}
