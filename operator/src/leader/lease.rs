//! The Lease at the API server: read, written, released; each write on top of a version.
//!
//! *Never:* when, and by whom it may be taken.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};

use super::election::Record;
use crate::{config::LeaderConfig, signing::secret::owned_labels};

/// One Lease, and who writes it.
#[derive(Debug)]
pub(super) struct Leases {
    api: Api<Lease>,
    name: String,
    identity: String,
    seconds: i32,
    /// As it was seen last: what is not ours in it stays.
    known: Option<Lease>,
}

/// What an election has to know of a Lease.
pub(super) fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    Record {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        length: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        version: lease.resource_version().unwrap_or_default(),
    }
}

// === impl Leases ===

impl Leases {
    pub(super) fn new(client: &Client, namespace: &str, config: &LeaderConfig, identity: String) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            name: config.lease.clone(),
            identity,
            seconds: i32::try_from(config.timings.lease.as_secs()).unwrap_or(i32::MAX),
            known: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// What it is like now is known.
    pub(super) fn keep(&mut self, lease: Option<Lease>) {
        self.known = lease;
    }

    pub(super) async fn look(&self) -> Result<Option<Lease>, kube::Error> {
        self.api.get_opt(&self.name).await
    }

    /// Writes ourselves into it, on top of a version or where there is none; `None` if it has another version by now.
    pub(super) async fn take(&self, over: Option<&str>, now: Timestamp) -> Result<Option<Lease>, kube::Error> {
        let before = over.and(self.known.as_ref());
        let lease = taken(before, &self.name, &self.identity, self.seconds, now);
        let written = match over {
            None => self.api.create(&PostParams::default(), &lease).await,
            Some(version) => self.replace(lease, version).await,
        };
        match written {
            // Not there any more is another version as well.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            written => written.map(Some),
        }
    }

    /// Leaves it to whoever looks next, if it is ours.
    pub(super) async fn release(&self, now: Timestamp) -> Result<(), kube::Error> {
        let Some(mut lease) = self.look().await?.filter(|lease| record(lease).holder == self.identity) else {
            return Ok(());
        };
        let version = lease.resource_version().unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(now));
        self.replace(lease, &version).await.map(drop)
    }

    async fn replace(&self, mut lease: Lease, version: &str) -> Result<Lease, kube::Error> {
        lease.metadata.resource_version = Some(version.to_owned());
        self.api.replace(&self.name, &PostParams::default(), &lease).await
    }
}

/// The Lease with ourselves in it, after the one before.
fn taken(before: Option<&Lease>, name: &str, identity: &str, seconds: i32, now: Timestamp) -> Lease {
    let fresh = || ObjectMeta { name: Some(name.to_owned()), labels: Some(owned_labels()), ..ObjectMeta::default() };
    let known = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let is_ours = known.holder_identity.as_deref() == Some(identity);
    let transitions = known.lease_transitions.unwrap_or_default();
    Lease {
        metadata: before.map_or_else(fresh, |lease| lease.metadata.clone()),
        spec: Some(LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: Some(seconds),
            acquire_time: known.acquire_time.clone().filter(|_| is_ours).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if is_ours || before.is_none() { transitions } else { transitions + 1 }),
            ..known
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);
    const LATER: Timestamp = Timestamp::constant(1_790_000_002, 0);

    fn transitions(lease: &Lease) -> Option<i32> {
        lease.spec.as_ref().unwrap().lease_transitions
    }

    #[test]
    fn a_renewal_keeps_when_it_was_taken_and_what_others_wrote() {
        let mut first = taken(None, "lease", "a", 15, NOW);
        first.metadata.annotations = Some([("mine".to_owned(), "yes".to_owned())].into());
        let renewed = taken(Some(&first), "lease", "a", 15, LATER);
        let spec = renewed.spec.clone().unwrap();
        assert_eq!((spec.acquire_time, spec.renew_time), (Some(MicroTime(NOW)), Some(MicroTime(LATER))));
        assert_eq!((transitions(&renewed), renewed.metadata), (Some(0), first.metadata));
    }

    #[test]
    fn a_lease_that_changes_hands_says_so() {
        let first = taken(None, "lease", "a", 15, NOW);
        let second = taken(Some(&first), "lease", "b", 20, LATER);
        assert_eq!(transitions(&second), Some(1));
        assert_eq!(second.spec.as_ref().unwrap().acquire_time, Some(MicroTime(LATER)));
        let Record { holder, length, .. } = record(&second);
        assert_eq!((holder.as_str(), length), ("b", Duration::from_secs(20)));
    }

    #[test]
    fn a_lease_without_a_word_is_nobodys() {
        let Record { holder, length, version } = record(&Lease::default());
        assert_eq!((holder.as_str(), length, version.as_str()), ("", Duration::ZERO, ""));
    }
}
