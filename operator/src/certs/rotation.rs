//! What is kept, and what becomes of it: pure.
//!
//! ```text
//! CA        1 ──────────────────────────────────────┐
//!                                     2 ────────────┴──────────────────────
//! published 1 ────────────────────────1+2 ──────────2 ─────────────────────
//! served    1a ───────1b ──────1c ─────────2a ────────────2b ──────────────
//! ```
//!
//! A server certificate is replaced when a third of its time is left, by the same CA. A CA that could not sign for a whole
//! such time any more gets a successor beside it, which is published first and signs once every API server knows it. The old
//! one stays published until its own end, after which nothing it signed is good either.
//!
//! What is damaged or gone is replaced, and no more than that. Nothing is lost that is needed: the CAs that are
//! published and the certificate that is served are elsewhere too, and come back from there.
//!
//! *Never:* Secrets, the webhook configuration, the clock.

use jiff::Timestamp;
use rustls::{crypto::ring, pki_types::CertificateDer};

use super::{
    issue::{Authority, Identity, IssueError, Lifetimes, issue_authority, issue_identity, verify},
    x509::{facts, read_pem, write_pem},
};

/// The most CAs that are published at a time: more than two means that keys were lost, again and again.
const MOST_AUTHORITIES: usize = 5;

/// What replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The CAs to trust, the newest first.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The private key of one of them, as PEM.
    pub authority_key: String,
    /// The certificate to serve.
    pub identity: Identity,
}

/// What a replica knows beside what is kept.
#[derive(Clone, Debug)]
pub struct Around<'a> {
    /// The names a certificate is for.
    pub names: &'a [String],
    /// How long it is for.
    pub lifetimes: Lifetimes,
    /// The present.
    pub now: Timestamp,
    /// The CAs that every API server knows by now.
    pub known: &'a [CertificateDer<'static>],
    /// The CAs that are published.
    pub published: &'a [CertificateDer<'static>],
    /// What this replica serves, and the CA that signed it.
    pub served: Option<(&'a Identity, &'a CertificateDer<'static>)>,
}

/// What has to be kept instead, and why.
#[derive(Clone, Debug)]
pub struct Change {
    /// All of it.
    pub kept: Kept,
    /// For the log.
    pub reasons: Vec<String>,
}

/// What has to be kept instead of what is; `None` if it is good.
///
/// # Errors
/// When something cannot be made.
pub fn plan(kept: Option<&Kept>, around: &Around<'_>) -> Result<Option<Change>, IssueError> {
    let mut reasons = Vec::new();
    let mut authorities = authorities(kept, around);
    let authority_key = kept.map_or("", |kept| &kept.authority_key);
    let authority = match usable(&authorities, authority_key, around) {
        Ok(authority) => authority,
        Err(reason) => {
            reasons.push(reason);
            let made = issue_authority(around.lifetimes, around.now)?;
            authorities.insert(0, made.certificate.clone());
            made
        }
    };
    authorities.truncate(MOST_AUTHORITIES);

    let good = |identity: &Identity, authorities: &[CertificateDer<'static>]| {
        verify(identity, authorities, around.names, around.now, &ring::default_provider())
    };
    let mut identity = kept.map(|kept| kept.identity.clone()).unwrap_or_default();
    if let (Err(reason), Some((served, _))) = (good(&identity, &authorities), around.served) {
        reasons.push(reason.to_string());
        identity = served.clone();
    }
    let by_this = good(&identity, std::slice::from_ref(&authority.certificate)).is_ok();
    let due = match good(&identity, &authorities) {
        Err(reason) => Some(reason.to_string()),
        Ok(()) if by_this => ends_soon(&identity, around).then(|| "the certificate ends soon".to_owned()),
        Ok(()) if around.known.contains(&authority.certificate) => Some("there is a new CA".to_owned()),
        Ok(()) => None,
    };
    if let Some(reason) = due {
        reasons.push(reason);
        identity = issue_identity(&authority, around.names, around.lifetimes, around.now)?;
    }

    if kept.is_some_and(|kept| kept.authorities != authorities) && reasons.is_empty() {
        reasons.push("the CAs that are published are others".to_owned());
    }
    let next = Kept { authorities, authority_key: authority.key(), identity };
    Ok((!reasons.is_empty()).then_some(Change { kept: next, reasons }))
}

/// The CAs that something may still need, the newest first.
fn authorities(kept: Option<&Kept>, around: &Around<'_>) -> Vec<CertificateDer<'static>> {
    let lasts = |ca: &&CertificateDer<'static>| facts(ca).is_some_and(|facts| around.now <= facts.not_after);
    let kept = kept.into_iter().flat_map(|kept| &kept.authorities).filter(lasts);
    let mut found: Vec<_> = kept.cloned().collect();
    if found.is_empty() {
        // Others may serve what these signed.
        found.extend(around.published.iter().filter(lasts).cloned());
    }
    if let Some((_, authority)) = around.served.filter(|(_, ca)| lasts(ca) && !found.contains(ca)) {
        found.push(authority.clone());
    }
    found
}

/// The CA that signs, if it does so for long enough.
fn usable(authorities: &[CertificateDer<'static>], key: &str, around: &Around<'_>) -> Result<Authority, String> {
    let found = Authority::find(authorities, key).ok_or_else(|| "there is no CA with its key".to_owned())?;
    let facts = facts(&found.certificate).ok_or_else(|| "the CA cannot be read".to_owned())?;
    if around.now < facts.not_before {
        return Err("the CA is of the future".to_owned());
    }
    if facts.not_after.duration_since(around.now) < around.lifetimes.replace_authority_before() {
        return Err("the CA ends soon".to_owned());
    }
    Ok(found)
}

fn ends_soon(identity: &Identity, around: &Around<'_>) -> bool {
    let end = read_pem(&identity.certificate).first().and_then(facts).map(|facts| facts.not_after);
    end.is_none_or(|end| end.duration_since(around.now) < around.lifetimes.renew_before())
}

// === impl Kept ===

impl Kept {
    /// The CAs as they are published.
    #[must_use]
    pub fn bundle(&self) -> String {
        write_pem(&self.authorities)
    }

    /// The CA that signed the certificate.
    #[must_use]
    pub fn signer(&self, names: &[String], now: Timestamp) -> Option<&CertificateDer<'static>> {
        let signed = |ca: &&CertificateDer<'static>| {
            verify(&self.identity, std::slice::from_ref(*ca), names, now, &ring::default_provider()).is_ok()
        };
        self.authorities.iter().find(signed)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

    fn names() -> Vec<String> {
        vec!["hook.sidegate.svc".to_owned()]
    }

    fn after(days: i64) -> Timestamp {
        NOW + SignedDuration::from_hours(24 * days)
    }

    fn around(names: &[String], now: Timestamp) -> Around<'_> {
        Around { names, lifetimes: Lifetimes::default(), now, known: &[], published: &[], served: None }
    }

    fn made() -> Kept {
        plan(None, &around(&names(), NOW)).unwrap().unwrap().kept
    }

    /// What follows for what is kept, at a time, and with which reasons.
    fn planned(kept: &Kept, around: &Around<'_>) -> (Kept, Vec<String>) {
        let change = plan(Some(kept), around).unwrap();
        change.map_or_else(|| (kept.clone(), Vec::new()), |change| (change.kept, change.reasons))
    }

    #[test]
    fn what_is_good_stays_and_a_certificate_is_renewed_by_the_same_ca() {
        let (first, names) = (made(), names());
        assert_eq!(planned(&first, &around(&names, after(59))), (first.clone(), Vec::new()));
        let (second, reasons) = planned(&first, &around(&names, after(61)));
        assert_eq!(reasons, ["the certificate ends soon"]);
        assert_eq!((&second.authorities, &second.authority_key), (&first.authorities, &first.authority_key));
        assert!(second.identity != first.identity);
        assert_eq!(planned(&second, &around(&names, after(61))), (second.clone(), Vec::new()));
    }

    #[test]
    fn a_new_ca_signs_once_it_is_known_and_the_old_one_goes_at_its_end() {
        let (first, names) = (made(), names());
        let (first, _) = planned(&first, &around(&names, after(240)));
        let (second, reasons) = planned(&first, &around(&names, after(246)));
        assert_eq!(reasons, ["the CA ends soon"]);
        assert_eq!((second.authorities.len(), &second.identity), (2, &first.identity));
        assert_eq!(second.authorities[1], first.authorities[0]);
        // Not known yet: nothing happens, even when the certificate is to be renewed.
        assert_eq!(planned(&second, &around(&names, after(301))), (second.clone(), Vec::new()));

        let known = Around { known: &second.authorities, ..around(&names, after(246)) };
        let (third, reasons) = planned(&second, &known);
        assert_eq!(reasons, ["there is a new CA"]);
        assert_eq!(third.signer(&names, after(246)), Some(&second.authorities[0]));
        assert_eq!(third.authorities, second.authorities, "replicas may still serve what the old one signed");
        let (third, _) = planned(&third, &around(&names, after(320)));
        let (fourth, _) = planned(&third, &around(&names, after(366)));
        assert_eq!(fourth.authorities, second.authorities[..1]);
    }

    #[test]
    fn only_what_is_damaged_is_replaced() {
        let (first, names) = (made(), names());
        let now = around(&names, NOW);
        let other = Identity { key: made().identity.key, ..first.identity.clone() };
        for identity in [Identity::default(), other] {
            let (healed, _) = planned(&Kept { identity, ..first.clone() }, &now);
            assert_eq!((&healed.authorities, &healed.authority_key), (&first.authorities, &first.authority_key));
            assert_eq!(healed.signer(&names, NOW), Some(&first.authorities[0]));
        }
        // Without its key a CA signs no more, but what it has signed stays good.
        for authority_key in [String::new(), made().authority_key] {
            let (healed, reasons) = planned(&Kept { authority_key, ..first.clone() }, &now);
            assert_eq!(reasons, ["there is no CA with its key"]);
            assert_eq!((healed.authorities.len(), &healed.identity), (2, &first.identity));
            assert_eq!(healed.authorities[1], first.authorities[0]);
        }
        // Others too may serve what the CAs that are published signed.
        let lost = Kept { authorities: Vec::new(), ..first.clone() };
        let (healed, _) = planned(&lost, &Around { published: &first.authorities, ..now.clone() });
        assert_eq!(healed, first);
        let (healed, _) = planned(&lost, &now);
        assert!(healed.authorities != first.authorities && healed.identity != first.identity);
    }

    #[test]
    fn what_is_served_outlives_the_loss_of_all_that_is_kept() {
        let (first, names) = (made(), names());
        let served = Around { served: Some((&first.identity, &first.authorities[0])), ..around(&names, NOW) };
        let healed = plan(None, &served).unwrap().unwrap().kept;
        assert_eq!((healed.authorities.len(), &healed.identity), (2, &first.identity));
        assert_eq!(healed.authorities[1], first.authorities[0]);
        // Somebody else was faster, and knew of nothing.
        let (both, reasons) = planned(&made(), &served);
        assert_eq!(reasons, ["the CAs that are published are others"]);
        assert_eq!(both.authorities[1], first.authorities[0]);
    }

    #[test]
    fn what_has_ended_is_made_anew_and_nothing_old_stays() {
        let (first, names) = (made(), names());
        let (second, _) = planned(&first, &around(&names, after(1000)));
        assert_eq!(second.authorities.len(), 1);
        assert!(second.authorities != first.authorities && second.signer(&names, after(1000)).is_some());
    }

    #[test]
    fn a_clock_that_jumps_back_by_less_than_a_lifetime_changes_nothing() {
        let (first, names) = (made(), names());
        assert_eq!(planned(&first, &around(&names, after(-89))), (first.clone(), Vec::new()));
        let (healed, _) = planned(&first, &around(&names, after(-400)));
        assert!(healed.signer(&names, after(-400)).is_some());
        assert_eq!(healed.authorities[1], first.authorities[0], "and it is no reason to forget a CA");
    }

    #[test]
    fn keys_that_are_lost_again_and_again_do_not_pile_cas_up() {
        let names = names();
        let mut kept = made();
        for _ in 0..7 {
            kept = planned(&Kept { authority_key: String::new(), ..kept }, &around(&names, NOW)).0;
        }
        assert_eq!(kept.authorities.len(), MOST_AUTHORITIES);
        assert!(kept.signer(&names, NOW).is_some());
    }
}
