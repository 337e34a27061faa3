//! A visit to a Pushgateway that exists already: read it, name what is too old there, and remove each of that only if it
//! reads the same once more right before.
//!
//! Limit: a classic Pushgateway deletes without a condition. A push that it accepts between its answer to the second
//! look and the removal is lost; the README states how long that is. Ours, which looks at the push time that is sent
//! along, loses none.
//!
//! *Never:* how a gateway is spoken to, what its failures mean for the next visit.

use std::time::Duration;

use crds::status::reason;
use tokio::time::Instant;

use super::{
    Collector,
    policy::{Policy, expired},
    report::{GatewayState, PassReport},
    target_clock::TargetClock,
    targets::GatewayTarget,
    visit::{End, Look, Taken, Visit, VisitError, more_to_do},
};
use crate::{
    gateway::{
        client::{GatewayError, GatewaySession},
        keys::{Meant, TrueKeys, meant, wanted},
        secret::SecretError,
    },
    sidecar::{
        client::Removal,
        push_times::{self, GroupAge, Reading},
    },
    stop::Stop,
};

/// For how long of a visit groups are removed: each costs a page, and the rest has its turn at the next look.
const REMOVING: Duration = Duration::from_secs(8);

// === impl Collector ===

impl Collector {
    /// Reads a gateway and removes what is too old there.
    ///
    /// # Cancel safety
    /// The report says what was done; a group that is just being removed may be gone and not counted.
    pub(super) async fn collect_gateway(
        &self,
        visit: &Visit,
        target: &GatewayTarget,
        stop: &Stop,
        report: &mut PassReport,
        look: &mut Option<Look>,
    ) -> Result<End, VisitError> {
        let mut session = self.gateways.open(target, visit.is_costly).await?;
        let asked = Instant::now();
        let page = session.read().await?;
        // To read it once more, and then some.
        let removal = 2 * asked.elapsed();
        let clock = TargetClock::of(page.date, self.clock.now(), Instant::now())?;
        let Taken { stale, is_all, left_out } =
            self.take_in(visit, (page.text, page.room), &clock, report, look).await?;
        let found = report.stale;
        let last = visit.deadline().checked_sub(removal).unwrap_or(visit.began);
        let end = self.remove_from_gateway(visit, &mut session, &stale, (&clock, last), stop, report).await?;
        if 0 < left_out {
            return Err(VisitError::LeftOut(left_out));
        }
        match end {
            End::Whole if !is_all => more_to_do(found, report.stale),
            End::Whole | End::MoreToDo | End::Held | End::CutShort | End::Failed(_) => Ok(end),
        }
    }

    async fn remove_from_gateway(
        &self,
        visit: &Visit,
        session: &mut GatewaySession,
        groups: &[GroupAge],
        (clock, last): (&TargetClock, Instant),
        stop: &Stop,
        report: &mut PassReport,
    ) -> Result<End, VisitError> {
        let Visit { policy: Some(policy), .. } = visit else { return Ok(End::Whole) };
        let stale = expired(groups, policy, clock.shows(Instant::now()));
        let wanted = wanted(stale.iter().map(|expired| &expired.group.key));
        let keys = if wanted.is_empty() { None } else { session.true_keys(wanted).await? };
        let (until, found) = (Instant::now() + REMOVING, report.stale);
        let mut kept = None;
        for expired in &stale {
            if let Some(end) = self.stops(visit, stop) {
                return Ok(end);
            }
            let now = Instant::now();
            if last < now && !visit.is_costly {
                // Its next visit is one of those that have more time.
                return Ok(End::MoreToDo);
            }
            if until.min(last) < now {
                return more_to_do(found, report.stale);
            }
            let still = || self.stops(visit, stop).is_none();
            match self.remove_unchanged(session, expired.group, policy, keys.as_ref(), clock, still).await {
                Ok(None) => return Ok(self.stops(visit, stop).unwrap_or(End::CutShort)),
                Ok(Some(Removal::Removed)) => {
                    report.stale -= 1;
                    report.groups -= 1;
                    self.removed(visit, expired, report);
                }
                Ok(Some(Removal::MovedOn)) => {
                    report.stale -= 1;
                    self.metrics.moved_on();
                    let group = &expired.group.key;
                    tracing::debug!(target = %visit.target, %group, "a stale group was pushed again");
                }
                Err(last) if last.is_of_one_request() => {
                    let groups = kept.map_or(1, |(groups, _)| groups + 1);
                    kept = Some((groups, last));
                }
                Err(error) => return Err(error.into()),
            }
        }
        kept.map_or(Ok(End::Whole), |(groups, last)| Err(VisitError::GatewayKeeps { groups, last }))
    }

    /// Removes a group if it is there as it was seen, and as stale; nothing where nobody wants it any more once the page
    /// is in, which may take its time.
    async fn remove_unchanged(
        &self,
        session: &mut GatewaySession,
        seen: &GroupAge,
        policy: &Policy,
        keys: Option<&TrueKeys>,
        clock: &TargetClock,
        still: impl Fn() -> bool,
    ) -> Result<Option<Removal>, GatewayError> {
        let meant = match meant(&seen.key, keys) {
            Meant::Any(meant) => meant,
            Meant::Gone => return Ok(Some(Removal::MovedOn)),
            Meant::Unclear => return Err(GatewayError::Unclear(seen.key.clone())),
        };
        let mut removal = Removal::MovedOn;
        for key in meant {
            session.prepare().await?;
            let again = push_times::read(&session.read_again(&seen.key).await?.text);
            if !is_unchanged(seen, &again, |group| {
                !expired(std::slice::from_ref(group), policy, clock.shows(Instant::now())).is_empty()
            }) {
                // A removal that hits nothing is answered like one that does: what is still there was not removed.
                let is_there = again.groups.iter().any(|group| group.key == seen.key);
                return Ok(Some(if is_there { Removal::MovedOn } else { removal }));
            }
            if !still() {
                return Ok(None);
            }
            removal = session.remove(&key, &seen.push_time_text).await?;
        }
        Ok(Some(removal))
    }
}

/// Whether a page that was read again has a group with the same push time, still stale.
fn is_unchanged(seen: &GroupAge, again: &Reading, is_stale: impl Fn(&GroupAge) -> bool) -> bool {
    let now = again.groups.iter().find(|group| group.key == seen.key);
    now.is_some_and(|now| now.push_time_text == seen.push_time_text && is_stale(now))
}

/// What a visit's end says of the gateway, which was read or was not; nothing where it was cut short.
pub(super) fn state(end: &End, is_read: bool) -> Option<GatewayState> {
    let error = match end {
        End::Whole | End::MoreToDo | End::Held => return Some(GatewayState::Done),
        End::CutShort => return None,
        End::Failed(error) => error,
    };
    let message = error.to_string();
    let unreachable = |reason| GatewayState::Unreachable { reason, message: message.clone() };
    Some(match error {
        _ if is_read => GatewayState::Unfinished(message),
        // It answered, and others were in its way.
        VisitError::Gateway(error) if error.is_about_others() => GatewayState::Unfinished(message),
        VisitError::Gateway(error) => unreachable(reason_of(error)),
        VisitError::Sidecar(_) | VisitError::TooLong(_) | VisitError::Reader(_) => {
            unreachable(reason::GATEWAY_UNREACHABLE)
        }
        VisitError::GatewayKeeps { .. }
        | VisitError::NotRemoved { .. }
        | VisitError::NoProgress(_)
        | VisitError::Clock(_)
        | VisitError::LeftOut(_) => GatewayState::Unfinished(message),
    })
}

fn reason_of(error: &GatewayError) -> &'static str {
    match error {
        GatewayError::Address(_) => reason::BAD_ADDRESS,
        GatewayError::Secret(SecretError::Missing { .. }) => reason::SECRET_MISSING,
        GatewayError::Secret(SecretError::Forbidden { .. }) => reason::SECRET_FORBIDDEN,
        GatewayError::Secret(SecretError::Unfit { .. }) => reason::SECRET_UNFIT,
        GatewayError::Unauthorized { .. } => reason::UNAUTHORIZED,
        GatewayError::Status { .. } | GatewayError::Page { .. } => reason::NO_PUSHGATEWAY,
        GatewayError::Secret(SecretError::Api(_))
        | GatewayError::Connect { .. }
        | GatewayError::Tls(_)
        | GatewayError::TooSlow { .. }
        | GatewayError::Broken { .. }
        | GatewayError::NoRoom(_)
        | GatewayError::Unclear(_)
        | GatewayError::Request(_) => reason::GATEWAY_UNREACHABLE,
    }
}

#[cfg(test)]
mod tests;
