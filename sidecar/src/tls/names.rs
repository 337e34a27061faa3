//! The names of a certificate's subject: DNS, e-mail and IP addresses and URIs of its "subject alternative name".
//!
//! Just enough DER to find that one extension in a certificate, which somebody else verifies.
//!
//! *Never:* whether a certificate is good.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// 2.5.29.17, as DER has it.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// Of a certificate's fields, that of its extensions.
const EXTENSIONS: u8 = 0xa3;

const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// Elements of DER, one behind the other.
#[derive(Clone, Copy)]
struct Elements<'a>(&'a [u8]);

/// All names, as they are written in a configuration. Empty where there are none, and for what is no certificate.
pub(super) fn names_of(certificate: &[u8]) -> Vec<String> {
    names(certificate).unwrap_or_default()
}

fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let fields = Elements(certificate).first(SEQUENCE)?.first(SEQUENCE)?;
    let mut extensions = fields.find(|(tag, _)| tag == EXTENSIONS)?.first(SEQUENCE)?;
    while let Some((SEQUENCE, extension)) = extensions.take() {
        let mut extension = Elements(extension);
        if extension.take() != Some((OBJECT_ID, SUBJECT_ALT_NAME)) {
            continue;
        }
        let mut value = extension.take()?;
        if value.0 == BOOLEAN {
            value = extension.take()?;
        }
        let (OCTET_STRING, value) = value else { return None };
        let mut found = Vec::new();
        let mut names = Elements(value).first(SEQUENCE)?;
        while let Some((kind, name)) = names.take() {
            found.extend(shown(kind, name));
        }
        return Some(found);
    }
    None
}

fn shown(kind: u8, name: &[u8]) -> Option<String> {
    match kind {
        EMAIL | DNS | URI => std::str::from_utf8(name).ok().map(str::to_owned),
        IP => {
            let four = <[u8; 4]>::try_from(name).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
            let sixteen = || <[u8; 16]>::try_from(name).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
            four.or_else(|_| sixteen()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

// === impl Elements ===

impl<'a> Elements<'a> {
    /// The next one: its tag and what is in it.
    fn take(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// What is in the first one, if that has this tag.
    fn first(mut self, tag: u8) -> Option<Self> {
        self.take().filter(|(found, _)| *found == tag).map(|(_, content)| Self(content))
    }

    fn find(mut self, is_it: impl Fn((u8, &[u8])) -> bool) -> Option<Self> {
        while let Some(element) = self.take() {
            if is_it(element) {
                return Some(Self(element.1));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_of_every_kind_are_found() {
        let names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::Rfc822Name("x@a.example".try_into().unwrap()),
            SanType::URI("spiffe://a.example/ns/b".try_into().unwrap()),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ];
        let expected = ["a.example", "x@a.example", "spiffe://a.example/ns/b", "10.0.0.1", "2001:db8::1"];
        assert_eq!(names_of(&certificate(names)), expected);
    }

    #[test]
    fn what_has_no_names_has_none() {
        assert!(names_of(&certificate(Vec::new())).is_empty());
        assert!(names_of(b"").is_empty() && names_of(b"\x30\x84\xff\xff\xff\xff").is_empty());
    }

    proptest! {
        #[test]
        fn a_certificate_that_is_none_does_no_harm(at in 0_usize..400, byte in any::<u8>(), bytes in any::<Vec<u8>>()) {
            let mut broken = certificate(vec![SanType::DnsName("a.example".try_into().unwrap())]);
            if let Some(place) = broken.get_mut(at) {
                *place = byte;
            }
            drop((names_of(&broken), names_of(&bytes)));
        }
    }
}
