//! A group's status: counts and conditions from what was seen and done. Pure.
//!
//! A condition keeps its transition time while its status stays. Times have whole seconds, as Kubernetes writes them, so
//! that a status reads back equal.
//!
//! *Never:* the API server, how the facts came about.

mod membership;
mod overlap;

use crds::{
    PushGroupSpec, PushGroupStatus,
    status::{condition, reason},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{apply::Outcome, membership::Assigned, overlap::Overlap};
use crate::gc::report::PassReport;

/// After this time a status is written for the sake of its times alone, which change with every pass and push.
const TIMES_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// How far ahead of ours the clock of a sidecar may be.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

/// What a group is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sidecars are scraped.
    Pod,
    /// A gateway that exists is collected.
    Gateway,
}

/// What a status is made from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// What the group is about.
    pub mode: Mode,
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// Running sidecars, once they are known.
    pub sidecars: Option<u64>,
    /// How applying went.
    pub monitors: &'a Outcome,
    /// How labelling pods went.
    pub assigned: &'a Assigned,
    /// Older groups that have pods of this one's selector.
    pub overlaps: &'a [Overlap],
    /// The last pass, if there was one.
    pub pass: Option<PassReport>,
    /// Collected groups that are not in the status yet.
    pub collected: i64,
}

/// A condition without what the one before it gives.
struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// The status after the one there is.
#[must_use]
pub fn next(previous: &PushGroupStatus, facts: &Facts<'_>, now: Timestamp) -> PushGroupStatus {
    let condition = |type_: &str, verdict: Verdict| verdict.into_condition(type_, previous, facts.generation, now);
    let carried = PushGroupStatus {
        observed_generation: facts.generation,
        mode: Some(facts.mode.as_str().to_owned()),
        collected_total: Some(previous.collected_total.unwrap_or_default().saturating_add(facts.collected)),
        unseen_total: previous.unseen_total,
        refused_total: previous.refused_total,
        ..PushGroupStatus::default()
    };
    match facts.mode {
        Mode::Gateway => {
            let message = "Collecting a Pushgateway that exists already is not built yet: nothing is done";
            let ready = Verdict::no(reason::GATEWAY_NOT_BUILT, message.to_owned());
            PushGroupStatus { conditions: vec![condition(condition::READY, ready)], ..carried }
        }
        Mode::Pod => {
            let (monitors, collected) = (monitors_synced(facts.monitors), collected(previous, facts));
            let assigned = membership::pods_assigned(facts.assigned);
            let ready = ready(&[&monitors, &assigned, &collected]);
            let pass = facts.pass.as_ref();
            let newest = pass.and_then(|pass| whole_seconds(pass.newest_push?));
            PushGroupStatus {
                conditions: [
                    (condition::READY, Some(ready)),
                    (condition::MONITORS_SYNCED, Some(monitors)),
                    (condition::PODS_ASSIGNED, Some(assigned)),
                    (condition::OVERLAPPING, overlap::overlapping(facts.overlaps)),
                    (condition::COLLECTED, Some(collected)),
                ]
                .into_iter()
                .filter_map(|(type_, verdict)| Some(condition(type_, verdict?)))
                .collect(),
                sidecars: facts.sidecars.map(count).or(previous.sidecars),
                groups: pass.map(|pass| count(pass.groups)).or(previous.groups),
                stale_groups: pass.map(|pass| count(pass.stale)).or(previous.stale_groups),
                last_collection_time: pass
                    .and_then(|pass| Timestamp::from_second(pass.ended.as_second()).ok())
                    .map(Time)
                    .or_else(|| previous.last_collection_time.clone()),
                // The newest there ever was: a group that is gone was pushed all the same. A time of the future would
                // stay for ever.
                newest_push_time: newest
                    .into_iter()
                    .chain(previous.newest_push_time.as_ref().map(|time| time.0))
                    .filter(|time| time.duration_since(now) <= AHEAD)
                    .max()
                    .map(Time),
                ..carried
            }
        }
    }
}

/// Whether a status differs enough to be written.
#[must_use]
pub fn worth_writing(previous: &PushGroupStatus, next: &PushGroupStatus, now: Timestamp) -> bool {
    let without_times = |status: &PushGroupStatus| PushGroupStatus {
        last_collection_time: None,
        newest_push_time: None,
        ..status.clone()
    };
    if without_times(previous) != without_times(next) {
        return true;
    }
    let times = |status: &PushGroupStatus| (status.last_collection_time.clone(), status.newest_push_time.clone());
    // A status with times was written at about the time of its pass.
    let told = previous.last_collection_time.as_ref();
    times(previous) != times(next) && told.is_none_or(|told| TIMES_EVERY <= now.duration_since(told.0))
}

fn monitors_synced(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Applied => Verdict::yes(reason::APPLIED, "The monitor is as asked for".to_owned()),
        Outcome::NotWanted => Verdict::yes(reason::NOT_WANTED, "No monitor is asked for".to_owned()),
        Outcome::ApiAbsent => Verdict::no(
            reason::MONITORING_API_ABSENT,
            "The API server does not know the kind of monitor: install the Prometheus Operator's CRDs, \
             or set spec.scrape.kind to None"
                .to_owned(),
        ),
        Outcome::Foreign(what) => {
            Verdict::no(reason::FOREIGN_OBJECT, format!("{what} exists and is not ours: remove or rename it"))
        }
        Outcome::Failed(what) => Verdict::no(reason::APPLY_FAILED, format!("Cannot apply {what}")),
    }
}

fn collected(previous: &PushGroupStatus, facts: &Facts<'_>) -> Verdict {
    let Some(pass) = &facts.pass else {
        // After a restart of ours, what was true a moment ago stands until the first pass.
        let known = previous.conditions.iter().find(|known| known.type_ == condition::COLLECTED);
        let known = known.filter(|known| known.observed_generation == facts.generation);
        return known.and_then(Verdict::of_known).unwrap_or(Verdict {
            status: "Unknown",
            reason: reason::NO_PASS_YET,
            message: "No sidecar was looked at yet".to_owned(),
        });
    };
    if let Some(rule) = &pass.bad_rule {
        return Verdict::no(reason::BAD_RULE, format!("Nothing is collected: {rule}"));
    }
    if 0 < pass.failed {
        let (failed, targets) = (pass.failed, pass.targets);
        let message = format!("{failed} of {targets} sidecars did not answer, or did not delete");
        return Verdict::no(reason::PASS_INCOMPLETE, message);
    }
    if !pass.has_limits {
        let message = "Neither staleAfter nor a rule says how old a group may get: nothing is ever removed";
        return Verdict::yes(reason::NO_LIMIT, message.to_owned());
    }
    let message = if pass.dry_run {
        "Every sidecar was looked at; dryRun: nothing is removed"
    } else {
        "Every sidecar was looked at, and every stale group removed"
    };
    Verdict::yes(reason::PASS_COMPLETE, message.to_owned())
}

/// The first condition that does not hold; one that is not known yet does not stand in the way.
fn ready(verdicts: &[&Verdict]) -> Verdict {
    for verdict in verdicts {
        if verdict.status == "False" {
            return Verdict::no(verdict.reason, verdict.message.clone());
        }
    }
    Verdict::yes(reason::AS_ASKED, "Everything is as asked for".to_owned())
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Unix seconds as a moment; `None` for what no calendar has.
fn whole_seconds(seconds: f64) -> Option<Timestamp> {
    let length = SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_second(length.as_secs()).ok()
}

// === impl Mode ===

impl Mode {
    /// What a spec is about.
    #[must_use]
    pub fn of(spec: &PushGroupSpec) -> Self {
        if spec.selector.is_some() { Self::Pod } else { Self::Gateway }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Gateway => "Gateway",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    fn yes(reason: &'static str, message: String) -> Self {
        Self { status: "True", reason, message }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }

    /// A condition of ours, read back.
    fn of_known(known: &Condition) -> Option<Self> {
        let statuses = ["True", "False", "Unknown"];
        let reasons =
            [reason::BAD_RULE, reason::PASS_INCOMPLETE, reason::NO_LIMIT, reason::PASS_COMPLETE, reason::NO_PASS_YET];
        Some(Self {
            status: statuses.into_iter().find(|status| *status == known.status)?,
            reason: reasons.into_iter().find(|reason| *reason == known.reason)?,
            message: known.message.clone(),
        })
    }

    fn into_condition(
        self,
        type_: &str,
        previous: &PushGroupStatus,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Condition {
        let known = previous.conditions.iter().find(|known| known.type_ == type_ && known.status == self.status);
        let since = match known {
            Some(known) => known.last_transition_time.clone(),
            None => Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        };
        Condition {
            type_: type_.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            last_transition_time: since,
            observed_generation: generation,
        }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests;
