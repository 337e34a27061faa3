//! One visit to one target: read it, name what is too old there, remove that.
//!
//! A visit has a deadline of its own, whatever its requests are given, and its page is read on a thread that may block. No
//! removal begins that may not end by then: what is left has its turn at the next look. What was done before a visit
//! failed is done and counted. A group that cannot be asked for, or is answered for oddly, is passed over; a connection
//! that fails ends the visit.
//!
//! *Never:* other sidecars, what a failure means for the next visit.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crds::PushGroup;
use jiff::SignedDuration;
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use protocol::Excerpt;
use tokio::{
    task::{JoinError, spawn_blocking},
    time::{Instant, timeout_at},
};

use super::{
    Collector, classic,
    policy::{Expired, Policy, expired, first_staleness},
    portion::portion,
    report::PassReport,
    target_clock::{TargetClock, WrongClock},
    targets::{CollectionTarget, Target, is_in},
};
use crate::{
    gateway::client::GatewayError,
    long_pages::Place,
    sidecar::{
        client::{Removal, Seen, SidecarError},
        push_times::{self, GroupAge, MOST_GROUPS, Reading},
    },
    stop::Stop,
};

/// How long a visit may take.
const LONGEST_VISIT: Duration = Duration::from_secs(15);

/// How long one may take to a gateway that has a place of those that take long: each of its pages may take all the time a
/// request has.
const LONGEST_VISIT_TO_A_SLOW_GATEWAY: Duration = Duration::from_secs(60);

/// When the last removal of a visit to a sidecar begins, at the latest, which then has the time of a request.
const LAST_REMOVAL: Duration = Duration::from_secs(8);

/// How many groups of a visit are called by name in a report.
pub(super) const FEW: usize = 5;

/// What is to be done at one target.
#[derive(Debug)]
pub(super) struct Visit {
    /// Another one for each visit.
    pub(super) serial: usize,
    pub(super) began: Instant,
    /// Whether it has a place of those that failed or took long the last time.
    pub(super) is_costly: bool,
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
    /// None if the target was not read.
    pub(super) look: Option<Look>,
    pub(super) end: End,
}

/// A target was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) at: Instant,
    /// How long after it the next group can be too old; none is for good.
    pub(super) first_staleness: Option<Duration>,
}

/// What is kept of a page.
pub(super) struct Taken {
    /// What is to be removed at this visit.
    pub(super) stale: Vec<GroupAge>,
    /// Whether that is all that is stale.
    pub(super) is_all: bool,
    /// Samples of groups that are over what is taken from one page.
    pub(super) left_out: u64,
}

/// How a visit ended.
#[derive(Debug)]
pub(super) enum End {
    /// All was done.
    Whole,
    /// Some was removed, and there is more than is removed at a visit.
    MoreToDo,
    /// Nothing more is removed while nobody knows what is asked for now.
    Held,
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
    #[error("{0} stale groups are left for the next look, and none was removed at this one")]
    NoProgress(u64),
    #[error(transparent)]
    Clock(#[from] WrongClock),
    #[error("expected a visit to be over within {0:?}")]
    TooLong(Duration),
    #[error("expected at most {MOST_GROUPS} groups on a page, left out {0} samples")]
    LeftOut(u64),
    #[error("{groups} stale groups were not removed, the last of them because: {last}")]
    NotRemoved { groups: u64, last: SidecarError },
    #[error("cannot read the page: {0}")]
    Reader(#[from] JoinError),
}

// === impl Collector ===

impl Collector {
    /// Makes a visit. When the process ends, what is being read is left, what is being removed is waited for.
    pub(super) async fn visit(&self, visit: Visit, stop: &Stop) -> Found {
        let (mut report, mut look) = (PassReport::default(), None);
        if stop.is_requested() {
            return Found { visit, report, look, end: End::CutShort };
        }
        report.targets = 1;
        let collecting = async {
            match &visit.target {
                CollectionTarget::Sidecar(target) => self.collect(&visit, target, stop, &mut report, &mut look).await,
                CollectionTarget::Gateway(target) => {
                    self.collect_gateway(&visit, target, stop, &mut report, &mut look).await
                }
            }
        };
        let end = match timeout_at(visit.deadline(), collecting).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => End::Failed(error),
            Err(_) => End::Failed(VisitError::TooLong(visit.longest())),
        };
        match end {
            End::MoreToDo => report.has_more_to_do = true,
            End::Held => report.is_held = true,
            End::Whole | End::CutShort | End::Failed(_) => {}
        }
        if let CollectionTarget::Gateway(_) = visit.target {
            report.gateway = classic::state(&end, look.is_some());
        }
        Found { visit, report, look, end }
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
        look: &mut Option<Look>,
    ) -> Result<End, VisitError> {
        let address = SocketAddr::new(target.address, self.port);
        let page = tokio::select! {
            page = self.client.read(address, visit.is_costly) => page?,
            () = stop.clone().requested() => return Ok(End::CutShort),
        };
        let clock = TargetClock::of(page.date, self.clock.now(), page.at)?;
        let Taken { stale, is_all, left_out } =
            self.take_in(visit, (page.text, page.room), &clock, report, look).await?;
        let found = report.stale;
        let end = self.remove_stale(visit, target, &stale, &clock, stop, report).await?;
        if 0 < left_out {
            return Err(VisitError::LeftOut(left_out));
        }
        match end {
            End::Whole if !is_all => more_to_do(found, report.stale),
            End::Whole | End::MoreToDo | End::Held | End::CutShort | End::Failed(_) => Ok(end),
        }
    }

    /// Takes in what a page says, and gives its place back: removals may take their time, and nobody is to wait for them.
    pub(super) async fn take_in(
        &self,
        visit: &Visit,
        (text, room): (String, Option<Place>),
        clock: &TargetClock,
        report: &mut PassReport,
        look: &mut Option<Look>,
    ) -> Result<Taken, VisitError> {
        // The place is kept for as long as the page is, even if nobody waits for what it says any more.
        let (reading, room) = spawn_blocking(move || (push_times::read(&text), room)).await?;
        self.count_unreadable(visit, &reading);
        report.groups = reading.groups.len() as u64;
        report.newest_push = newest(&reading.groups);
        let first = visit.policy.as_ref().and_then(|policy| first_staleness(&reading.groups, policy, clock.showed()));
        *look = Some(Look { at: clock.read_at(), first_staleness: first });
        let (stale, left_out) = (to_be_removed(visit, &reading.groups, clock, report), reading.left_out);
        let is_all = visit.group.spec.dry_run || report.stale <= stale.len() as u64;
        drop((reading, room));
        Ok(Taken { stale, is_all, left_out })
    }

    async fn remove_stale(
        &self,
        visit: &Visit,
        target: &Target,
        groups: &[GroupAge],
        clock: &TargetClock,
        stop: &Stop,
        report: &mut PassReport,
    ) -> Result<End, VisitError> {
        let Some(policy) = &visit.policy else { return Ok(End::Whole) };
        let address = SocketAddr::new(target.address, self.port);
        let (until, found, mut not_removed) = (visit.began + LAST_REMOVAL, report.stale, None);
        for expired in expired(groups, policy, clock.shows(Instant::now())) {
            if let Some(end) = self.stops(visit, stop) {
                return Ok(end);
            }
            if until < Instant::now() {
                return more_to_do(found, report.stale);
            }
            let key = &expired.group.key;
            let now = clock.shows(Instant::now());
            match self.client.remove(address, &target.uid, key, Seen::of(expired.group), now).await {
                Ok(Removal::Removed) => {
                    report.stale -= 1;
                    report.groups -= 1;
                    self.removed(visit, &expired, report);
                }
                Ok(Removal::MovedOn) => {
                    report.stale -= 1;
                    self.metrics.moved_on();
                    tracing::debug!(target = %visit.target, group = %key, "a stale group was pushed again");
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

    /// Takes a removal down.
    pub(super) fn removed(&self, visit: &Visit, expired: &Expired<'_>, report: &mut PassReport) {
        report.collected += 1;
        if report.removed.len() < FEW {
            report.removed.push(described(expired, &visit.target));
        }
        self.metrics.collected(expired.source, expired.since);
        let Expired { group, age, limit, .. } = expired;
        tracing::info!(target = %visit.target, group = %group.key, age, limit, "removed a stale group");
    }

    /// To be asked before each removal: nothing if somebody still wants it, as far as is known, and that is known.
    pub(super) fn stops(&self, visit: &Visit, stop: &Stop) -> Option<End> {
        if stop.is_requested() || !self.is_asked_for(visit) {
            Some(End::CutShort)
        } else if self.hearing.is_silent(&visit.group.namespace().unwrap_or_default()) {
            Some(End::Held)
        } else {
            None
        }
    }

    /// Whether the `PushGroup` is still the one whose limits these are, is to stay, and the target still its own.
    pub(super) fn is_asked_for(&self, visit: &Visit) -> bool {
        let then = &visit.group.metadata;
        let now = self.groups.get(&ObjectRef::from_obj(&*visit.group));
        let is_same = |now: &PushGroup| now.metadata.uid == then.uid && now.metadata.generation == then.generation;
        now.is_some_and(|now| is_same(&now) && !now.is_going())
            && match &visit.target {
                CollectionTarget::Sidecar(target) => self.has(&visit.group, target),
                CollectionTarget::Gateway(_) => true,
            }
    }

    /// Whether a pod is there and has not moved to another `PushGroup`, whose limits may be others.
    fn has(&self, group: &PushGroup, target: &Target) -> bool {
        let pod = ObjectRef::new(&target.pod).within(&group.namespace().unwrap_or_default());
        let now = self.pods.get(&pod);
        now.is_some_and(|pod| pod.metadata.uid.as_ref() == Some(&target.uid) && is_in(&pod, group))
    }

    fn count_unreadable(&self, visit: &Visit, reading: &Reading) {
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
}

// === impl Visit ===

impl Visit {
    /// When it is to be over.
    pub(super) fn deadline(&self) -> Instant {
        self.began + self.longest()
    }

    fn longest(&self) -> Duration {
        match (&self.target, self.is_costly) {
            (CollectionTarget::Gateway(_), true) => LONGEST_VISIT_TO_A_SLOW_GATEWAY,
            (CollectionTarget::Gateway(_), false) | (CollectionTarget::Sidecar(_), _) => LONGEST_VISIT,
        }
    }
}

// === impl VisitError ===

impl VisitError {
    /// The reason as a metric label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Sidecar(error) | Self::NotRemoved { last: error, .. } => error.reason(),
            Self::Gateway(error) | Self::GatewayKeeps { last: error, .. } => error.reason(),
            Self::NoProgress(_) => "no_progress",
            Self::Clock(_) => "clock",
            Self::TooLong(_) => "visit_timeout",
            Self::LeftOut(_) => "too_many_groups",
            Self::Reader(_) => "reader",
        }
    }

    /// Whether it cost so little, or was so little the target's doing, that it may be asked again soon.
    pub(super) fn is_cheap(&self) -> bool {
        match self {
            Self::Gateway(error) => error.is_about_the_secret() || error.is_about_others(),
            Self::Sidecar(error) => error.is_about_others(),
            Self::NotRemoved { .. }
            | Self::GatewayKeeps { .. }
            | Self::NoProgress(_)
            | Self::Clock(_)
            | Self::TooLong(_)
            | Self::LeftOut(_)
            | Self::Reader(_) => false,
        }
    }
}

/// The stale groups that are to be removed at this visit; how many there are goes into the report.
fn to_be_removed(visit: &Visit, groups: &[GroupAge], clock: &TargetClock, report: &mut PassReport) -> Vec<GroupAge> {
    let Visit { policy: Some(policy), group, .. } = visit else { return Vec::new() };
    let stale = expired(groups, policy, clock.shows(Instant::now()));
    report.stale = stale.len() as u64;
    if group.spec.dry_run {
        report.would_go = stale.iter().take(FEW).map(|expired| described(expired, &visit.target)).collect();
        return Vec::new();
    }
    portion(&stale, visit.serial)
}

/// A visit ended with stale groups left that were not tried; of those found stale at first, so many still are.
pub(super) fn more_to_do(found: u64, left: u64) -> Result<End, VisitError> {
    if left < found { Ok(End::MoreToDo) } else { Err(VisitError::NoProgress(left)) }
}

/// The newest push, if there was any.
fn newest(groups: &[GroupAge]) -> Option<f64> {
    groups.iter().map(|group| group.push_time).filter(|time| 0.0 < *time).reduce(f64::max)
}

/// A stale group in words: `{job="a"} in pod etl-1, older than the 1h allowed`. How much older the log says: here it would
/// make another sentence each time, so that Events never count up and a dry run's condition changes with every look.
fn described(expired: &Expired<'_>, target: &CollectionTarget) -> String {
    let place = match target {
        CollectionTarget::Sidecar(target) => format!(" in pod {}", target.pod),
        CollectionTarget::Gateway(_) => String::new(),
    };
    format!("{}{place}, older than the {} allowed", Excerpt::of(&expired.group.key), in_words(expired.limit))
}

fn in_words(seconds: f64) -> String {
    let whole = SignedDuration::try_from_secs_f64(seconds.trunc()).unwrap_or(SignedDuration::MAX);
    format!("{whole:#}")
}

#[cfg(test)]
mod tests {
    use protocol::{GroupingKey, LabelSet};

    use super::*;
    use crate::{
        gc::policy::{Since, Source},
        long_pages::NoRoom,
    };

    #[test]
    fn what_is_left_is_a_failure_only_where_nothing_was_done() {
        assert!(matches!(more_to_do(25, 24), Ok(End::MoreToDo)));
        let error = more_to_do(24, 24).unwrap_err();
        let sentence = "24 stale groups are left for the next look, and none was removed at this one";
        assert_eq!((error.reason(), error.to_string().as_str()), ("no_progress", sentence));
    }

    #[test]
    fn who_found_no_room_is_asked_again_soon() {
        assert!(VisitError::from(SidecarError::from(NoRoom(2))).is_cheap());
        assert!(VisitError::from(GatewayError::from(NoRoom(1))).is_cheap());
        assert!(!VisitError::from(SidecarError::TooSlow).is_cheap());
    }

    #[test]
    fn a_stale_group_is_described_by_its_key_its_pod_and_its_limit_whatever_its_age() {
        let key = GroupingKey::from_labels(LabelSet::from_iter([("job", "a")])).unwrap();
        let group = GroupAge {
            key,
            push_time: 1.0,
            push_time_text: "1".to_owned(),
            failure_time: 0.0,
            failure_time_text: "0".to_owned(),
        };
        let (source, since) = (Source::StaleAfter, Since::Push);
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let target = Target { pod: "etl-1".to_owned(), uid: "uid".to_owned(), address, restarts: 0 };
        let target = CollectionTarget::Sidecar(target);
        for age in [5401.0, 7_510.7] {
            let found = described(&Expired { group: &group, age, limit: 5400.0, source, since }, &target);
            assert_eq!(found, "{job=\"a\"} in pod etl-1, older than the 1h 30m allowed");
        }
    }
}
