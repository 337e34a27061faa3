//! What rotation has to know of a certificate: from when until when it is good, and for which key. And PEM, both ways.
//!
//! Only the fields up to the key are read; whether a signature holds is for the library to say.
//!
//! *Never:* what a certificate is for, whether it is trusted.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// Tags of DER.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Letters in a line of PEM.
const LINE: usize = 64;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// From when on it is good.
    pub not_before: Timestamp,
    /// The last moment at which it is good.
    pub not_after: Timestamp,
    /// The public key as it stands there: a `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
}

/// DER that is left to be read.
struct Reader<'a> {
    rest: &'a [u8],
}

/// What a certificate says; `None` where it is none.
#[must_use]
pub fn facts(certificate: &CertificateDer<'_>) -> Option<Facts> {
    let mut signed = Reader { rest: Reader { rest: certificate }.take(SEQUENCE)? };
    let mut fields = Reader { rest: signed.take(SEQUENCE)? };
    if fields.rest.first() == Some(&VERSION) {
        fields.take(VERSION)?;
    }
    fields.take(INTEGER)?;
    // How it is signed, and by whom.
    fields.take(SEQUENCE)?;
    fields.take(SEQUENCE)?;
    let mut validity = Reader { rest: fields.take(SEQUENCE)? };
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    // Whose it is.
    fields.take(SEQUENCE)?;
    let before = fields.rest;
    fields.take(SEQUENCE)?;
    let public_key = before.get(..before.len() - fields.rest.len())?.to_vec();
    Some(Facts { not_before, not_after, public_key })
}

/// The certificates of a PEM text, as far as they can be read.
#[must_use]
pub fn read_pem(text: &str) -> Vec<CertificateDer<'static>> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()).flatten() {
        if !found.contains(&certificate) {
            found.push(certificate);
        }
    }
    found
}

/// Certificates as PEM, one after the other.
#[must_use]
pub fn write_pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text += "-----BEGIN CERTIFICATE-----\n";
        let mut letters = BASE64_STANDARD.encode(certificate);
        while !letters.is_empty() {
            let rest = letters.split_off(letters.len().min(LINE));
            text += &letters;
            text += "\n";
            letters = rest;
        }
        text += "-----END CERTIFICATE-----\n";
    }
    text
}

// === impl Facts ===

impl Facts {
    /// Whether it is good at a moment, for all that its dates say.
    #[must_use]
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.not_before <= at && at <= self.not_after
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// The content of the next value, if it has a tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.rest.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = if first & 0x80 == 0 {
            (usize::from(*first), rest)
        } else {
            // A certificate is shorter than what three bytes count.
            let (bytes, rest) =
                rest.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| bytes.len() < 4)?;
            (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((*tag, content))
    }

    /// `YYMMDDHHMMSSZ`, from 1950 to 2049, or with four digits of the year.
    fn time(&mut self) -> Option<Timestamp> {
        let (tag, content) = self.next()?;
        let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
        let digits = match tag {
            UTC_TIME => format!("{}{digits}", if digits.get(..2)? < "50" { "20" } else { "19" }),
            GENERALIZED_TIME => digits.to_owned(),
            _ => return None,
        };
        let part = |from: usize, to: usize| digits.get(from..to);
        let text = format!(
            "{}-{}-{}T{}:{}:{}Z",
            part(0, 4)?,
            part(4, 6)?,
            part(6, 8)?,
            part(8, 10)?,
            part(10, 12)?,
            part(12, 14)?
        );
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, date_time_ymd};

    use super::*;

    fn made(from: i32, until: i32) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::new(vec!["hook.sidegate.svc".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 2, 3);
        params.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().der().clone(), key)
    }

    #[test]
    fn a_certificate_tells_its_dates_and_its_key() {
        for (from, until) in [(1999, 2049), (2026, 2050)] {
            let (certificate, key) = made(from, until);
            let facts = facts(&certificate).unwrap();
            assert_eq!(facts.not_before.to_string(), format!("{from}-02-03T00:00:00Z"));
            assert_eq!(facts.not_after.to_string(), format!("{until}-12-31T00:00:00Z"));
            assert_eq!(facts.public_key, key.subject_public_key_info());
            assert!(facts.holds_at(facts.not_before) && facts.holds_at(facts.not_after));
        }
    }

    #[test]
    fn what_breaks_off_anywhere_before_its_end_is_none() {
        let (certificate, _) = made(2020, 2030);
        for length in 0..certificate.len() {
            assert_eq!(facts(&CertificateDer::from(certificate[..length].to_vec())), None, "{length} bytes");
        }
        // An announced length that no memory has.
        assert_eq!(facts(&CertificateDer::from(vec![0x30, 0x88, 255, 255, 255, 255, 255, 255, 255, 255])), None);
    }

    #[test]
    fn certificates_read_back_once_each_and_the_rest_of_a_text_is_left_out() {
        let (one, other) = (made(2020, 2030).0, made(2020, 2030).0);
        let text = write_pem(&[one.clone(), other.clone()]);
        assert_eq!(read_pem(&text), [one.clone(), other.clone()]);
        let damaged = format!("no\n{text}{}-----BEGIN CERTIFICATE-----\n!!\n", write_pem(std::slice::from_ref(&one)));
        assert_eq!(read_pem(&damaged), [one, other]);
        assert_eq!(read_pem(""), Vec::<CertificateDer<'_>>::new());
    }

    #[test]
    fn text_is_as_the_library_writes_it() {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(write_pem(&[certificate.der().clone()]), certificate.pem());
    }
}
