//! One visit to one sidecar: read it, name what is too old there, remove that.
//!
//! A visit has a deadline of its own, whatever its requests are given, and its page is read on a thread that may block.
//! What was done before it failed is done and counted. A group that cannot be asked for, or is answered for oddly, is
//! passed over; a connection that fails ends the visit.
//!
//! *Never:* other sidecars, what a failure means for the next visit.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crds::PushGroup;
use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::ObjectRef;
use tokio::{
    task::{JoinError, spawn_blocking},
    time::timeout,
};

use super::{
    Collector, classic,
    policy::{Policy, expired},
    report::PassReport,
    targets::{CollectionTarget, Target},
};
use crate::{
    gateway::client::GatewayError,
    sidecar::{
        client::{Removal, SidecarError},
        push_times::{self, GroupAge, MOST_GROUPS, Reading},
    },
    stop::Stop,
};

/// How long a visit may take.
const LONGEST_VISIT: Duration = Duration::from_secs(15);

/// How far a sidecar's clock may be from ours before its own is used. `Date` has whole seconds.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// What is to be done at one sidecar.
pub(super) struct Visit {
    /// The UID of the `PushGroup`.
    pub(super) uid: String,
    pub(super) group: Arc<PushGroup>,
    /// None if it does not compile.
    pub(super) policy: Option<Arc<Policy>>,
    pub(super) target: CollectionTarget,
}

/// What a visit found and did.
pub(super) struct Found {
    pub(super) visit: Visit,
    pub(super) report: PassReport,
    pub(super) end: End,
}

/// How a visit ended.
#[derive(Debug)]
pub(super) enum End {
    /// All was done.
    Whole,
    /// The process ends, or the `PushGroup` is not the one it was: what was found is not all there is.
    CutShort,
    /// Not all could be done.
    Failed(VisitError),
}

/// Why a visit failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum VisitError {
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("{groups} stale groups were not removed, the last of them because: {last}")]
    GatewayKeeps { groups: u64, last: GatewayError },
    #[error("{0} stale groups are left for the next look: here each is read again before it is removed")]
    MoreToDo(u64),
    #[error("expected a visit to be over within {LONGEST_VISIT:?}")]
    TooLong,
    #[error("expected at most {MOST_GROUPS} groups on a page, left out {0} samples")]
    LeftOut(u64),
    #[error("{groups} stale groups were not removed, the last of them because: {last}")]
    NotRemoved { groups: u64, last: SidecarError },
    #[error("cannot read the page: {0}")]
    Reader(#[from] JoinError),
}

// === impl Collector ===

impl Collector {
    /// Makes a visit.
    pub(super) async fn visit(&self, visit: Visit, stop: &Stop) -> Found {
        let mut report = PassReport::default();
        if stop.is_requested() {
            return Found { visit, report, end: End::CutShort };
        }
        report.targets = 1;
        let collecting = async {
            match &visit.target {
                CollectionTarget::Sidecar(target) => self.collect(&visit, target, stop, &mut report).await,
                CollectionTarget::Gateway(target) => self.collect_gateway(&visit, target, stop, &mut report).await,
            }
        };
        let end = match timeout(LONGEST_VISIT, collecting).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => End::Failed(error),
            Err(_) => End::Failed(VisitError::TooLong),
        };
        if let CollectionTarget::Gateway(_) = visit.target {
            report.gateway = classic::state(&end);
        }
        Found { visit, report, end }
    }

    /// Reads a sidecar and removes what is too old there.
    ///
    /// # Cancel safety
    /// The report says what was done; a group that is just being removed may be gone and not counted.
    async fn collect(
        &self,
        visit: &Visit,
        target: &Target,
        stop: &Stop,
        report: &mut PassReport,
    ) -> Result<End, VisitError> {
        let address = SocketAddr::new(target.address, self.port);
        let page = self.client.read(address).await?;
        let skew = skew(page.date, self.clock.now());
        let reading = spawn_blocking(move || push_times::read(&page.text)).await?;
        self.count_unreadable(visit, &reading);
        report.groups = reading.groups.len() as u64;
        report.newest_push = newest(&reading.groups);

        let end = self.remove_stale(visit, target, &reading.groups, skew, stop, report).await?;
        if 0 < reading.left_out { Err(VisitError::LeftOut(reading.left_out)) } else { Ok(end) }
    }

    async fn remove_stale(
        &self,
        visit: &Visit,
        target: &Target,
        groups: &[GroupAge],
        skew: SignedDuration,
        stop: &Stop,
        report: &mut PassReport,
    ) -> Result<End, VisitError> {
        let Visit { policy: Some(policy), group, .. } = visit else { return Ok(End::Whole) };
        let address = SocketAddr::new(target.address, self.port);
        let stale = expired(groups, policy, self.at_the_target(skew));
        report.stale = stale.len() as u64;
        if group.spec.dry_run {
            return Ok(End::Whole);
        }
        let mut not_removed = None;
        for expired in stale {
            if stop.is_requested() || !self.is_asked_for(visit) {
                return Ok(End::CutShort);
            }
            let GroupAge { key, push_time_text, .. } = expired.group;
            let now = self.at_the_target(skew);
            match self.client.remove(address, &target.uid, key, push_time_text, now).await {
                Ok(Removal::Removed) => {
                    report.stale -= 1;
                    report.collected += 1;
                    report.groups -= 1;
                    self.metrics.collected(1);
                    tracing::info!(pod = target.pod, group = %key, age = expired.age, limit = expired.limit, "removed a stale group");
                }
                Ok(Removal::MovedOn) => {
                    report.stale -= 1;
                    tracing::debug!(pod = target.pod, group = %key, "a stale group was pushed again");
                }
                Err(last) if last.is_of_one_request() => {
                    let groups = not_removed.map_or(1, |(groups, _)| groups + 1);
                    not_removed = Some((groups, last));
                }
                Err(error) => return Err(error.into()),
            }
        }
        not_removed.map_or(Ok(End::Whole), |(groups, last)| Err(VisitError::NotRemoved { groups, last }))
    }

    /// Whether the `PushGroup` is still the one whose limits these are.
    pub(super) fn is_asked_for(&self, visit: &Visit) -> bool {
        let then = &visit.group.metadata;
        let now = self.groups.get(&ObjectRef::from_obj(&*visit.group));
        now.is_some_and(|now| now.metadata.uid == then.uid && now.metadata.generation == then.generation)
    }

    pub(super) fn count_unreadable(&self, visit: &Visit, reading: &Reading) {
        let samples = reading.unreadable + reading.left_out;
        if 0 < samples {
            tracing::warn!(
                target = %visit.target,
                samples,
                "skipped push times that do not read exactly or are too many"
            );
            self.metrics.unreadable(samples);
        }
    }

    pub(super) fn at_the_target(&self, skew: SignedDuration) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(skew).unwrap_or(now)
    }
}

// === impl VisitError ===

impl VisitError {
    /// The reason as a metric label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Sidecar(error) | Self::NotRemoved { last: error, .. } => error.reason(),
            Self::Gateway(error) | Self::GatewayKeeps { last: error, .. } => error.reason(),
            Self::MoreToDo(_) => "more_to_do",
            Self::TooLong => "visit_timeout",
            Self::LeftOut(_) => "too_many_groups",
            Self::Reader(_) => "reader",
        }
    }

    /// Whether it cost so little that the next tick may ask again.
    pub(super) fn is_cheap(&self) -> bool {
        match self {
            Self::Gateway(error) => error.is_about_the_secret(),
            Self::Sidecar(_)
            | Self::NotRemoved { .. }
            | Self::GatewayKeeps { .. }
            | Self::MoreToDo(_)
            | Self::TooLong
            | Self::LeftOut(_)
            | Self::Reader(_) => false,
        }
    }
}

/// What to add to our time for the sidecar's; nothing while they agree as well as can be told.
pub(super) fn skew(date: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let skew = date.map(|date| date.duration_since(now)).unwrap_or_default();
    if skew.abs() <= SKEW { SignedDuration::ZERO } else { skew }
}

pub(super) fn newest(groups: &[GroupAge]) -> Option<f64> {
    groups.iter().map(|group| group.push_time).filter(|time| 0.0 < *time).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn the_sidecars_clock_is_used_only_where_it_differs() {
        let now = Timestamp::from_second(NOW).unwrap();
        let check = |seconds: i64, expected: i64| {
            let date = Some(Timestamp::from_second(NOW + seconds).unwrap());
            assert_eq!(skew(date, now), SignedDuration::from_secs(expected));
        };
        check(0, 0);
        check(-2, 0);
        check(3, 3);
        check(-3600, -3600);
        assert_eq!(skew(None, now), SignedDuration::ZERO);
    }
}
