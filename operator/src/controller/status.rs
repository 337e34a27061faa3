//! A group's status: counts and conditions from what was seen and done. Pure.
//!
//! A condition keeps its transition time while its status stays. Times have whole seconds, as Kubernetes writes them, so
//! that a status reads back equal.
//!
//! *Never:* the API server, how the facts came about.

mod all_seen;
mod gateway_reachable;
mod honor_labels_overridden;
mod membership;
mod monitors_synced;
mod overlap;
mod pods_injected;
mod selected_by_prometheus;

use crds::{
    PushGroupSpec, PushGroupStatus,
    status::{REASONS, condition, reason},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use self::{
    gateway_reachable::{gateway_collected, gateway_reachable, given_by_url, is_unreachable},
    honor_labels_overridden::honor_labels_overridden,
    monitors_synced::monitors_synced,
    selected_by_prometheus::selected_by_prometheus,
};
use super::{apply::Outcome, ledger::Due, membership::Assigned, observe::Sidecars, overlap::Overlap, sharing::Sharing};
use crate::{audit::missing::MissingPods, gc::report::PassReport, hearing, monitors::monitoring::Takers};

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
    pub sidecars: Option<Sidecars>,
    /// How applying went.
    pub monitors: &'a Outcome,
    /// Who takes the monitor; `None` where there is to be none.
    pub takers: Option<Takers>,
    /// Whether the sidecars expose pushed timestamps.
    pub has_timestamps: bool,
    /// How labelling pods went.
    pub assigned: &'a Assigned,
    /// Older groups that have pods of this one's selector.
    pub overlaps: &'a [Overlap],
    /// With whom it shares its gateway.
    pub shared: Sharing,
    /// Pods that ask for a sidecar of this group and have none, once all were looked at.
    pub not_injected: Option<MissingPods>,
    /// The last pass, if there was one.
    pub pass: Option<PassReport>,
    /// What is not in the totals yet.
    pub due: &'a Due,
    /// Whether the gateway is given by URL.
    pub by_url: bool,
}

/// What of a status is worth a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Nothing.
    Nothing,
    /// Counts of what there is, or times, which may wait for others.
    Counts,
    /// More than that.
    More,
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
    // Others than Prometheus read monitors too, so that the last two say nothing about `Ready`.
    let about_prometheuses = [
        (condition::SELECTED_BY_PROMETHEUS, selected_by_prometheus(previous, facts)),
        (condition::HONOR_LABELS_OVERRIDDEN, honor_labels_overridden(previous, facts)),
    ];
    // What a look has found is true of the spec that was looked by, and with it the summary.
    let looked_by = facts.pass.as_ref().map_or(facts.generation, |pass| pass.generation.min(facts.generation));
    let generation = |type_: &str| match type_ {
        condition::READY | condition::COLLECTED | condition::GATEWAY_REACHABLE => looked_by,
        _ => facts.generation,
    };
    let conditions = |own: Vec<(&str, Option<Verdict>)>| {
        let verdicts = own.into_iter().chain(about_prometheuses);
        let conditions = verdicts
            .filter_map(|(type_, verdict)| Some(verdict?.into_condition(type_, previous, generation(type_), now)));
        conditions.collect()
    };
    let carried = PushGroupStatus {
        observed_generation: facts.generation,
        mode: Some(facts.mode.as_str().to_owned()),
        collected_total: Some(previous.collected_total.unwrap_or_default().saturating_add(facts.due.collected)),
        unseen_total: Some(previous.unseen_total.unwrap_or_default().saturating_add(facts.due.unseen())),
        last_unseen_time: all_seen::last_time(previous, &facts.due.endings),
        ..PushGroupStatus::default()
    };
    match facts.mode {
        Mode::Gateway => {
            let monitors = if facts.by_url { given_by_url() } else { monitors_synced(facts) };
            let (reachable, collected) = (gateway_reachable(previous, facts), gateway_collected(previous, facts));
            let ready = ready(&[&monitors, &reachable, &collected]);
            let own = vec![
                (condition::READY, Some(ready)),
                (condition::MONITORS_SYNCED, Some(monitors)),
                (condition::OVERLAPPING, overlap::sharing_a_gateway(&facts.shared)),
                (condition::GATEWAY_REACHABLE, Some(reachable)),
                (condition::COLLECTED, Some(collected)),
            ];
            // What could not be read has the counts that were read last.
            let pass = facts.pass.as_ref().filter(|pass| !is_unreachable(pass));
            PushGroupStatus { conditions: conditions(own), ..counted(carried, previous, pass, now) }
        }
        Mode::Pod => {
            let (monitors, collected) = (monitors_synced(facts), collected(previous, facts));
            let assigned = membership::pods_assigned(facts.assigned);
            let ready = ready(&[&monitors, &assigned, &collected]);
            let own = vec![
                (condition::READY, Some(ready)),
                (condition::MONITORS_SYNCED, Some(monitors)),
                (condition::PODS_ASSIGNED, Some(assigned)),
                (condition::OVERLAPPING, overlap::overlapping(facts.overlaps)),
                (condition::PODS_INJECTED, Some(pods_injected::pods_injected(previous, facts))),
                (condition::COLLECTED, Some(collected)),
                (condition::ALL_SEEN, Some(all_seen::all_seen(previous, &facts.due.endings, now))),
            ];
            PushGroupStatus {
                conditions: conditions(own),
                sidecars: facts.sidecars.map(|found| count(found.running)).or(previous.sidecars),
                outdated_sidecars: facts.sidecars.map(|found| count(found.outdated)).or(previous.outdated_sidecars),
                ..counted(carried, previous, facts.pass.as_ref(), now)
            }
        }
    }
}

/// A status with the counts and times of the last pass, or with those there were.
fn counted(
    carried: PushGroupStatus,
    previous: &PushGroupStatus,
    pass: Option<&PassReport>,
    now: Timestamp,
) -> PushGroupStatus {
    let newest = pass.and_then(|pass| whole_seconds(pass.newest_push?));
    PushGroupStatus {
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

/// How much a status differs. What was counted for good, as collected groups are, is more than a count.
#[must_use]
pub fn worth_writing(previous: &PushGroupStatus, next: &PushGroupStatus, now: Timestamp) -> Worth {
    let without_times = |status: &PushGroupStatus| PushGroupStatus {
        last_collection_time: None,
        newest_push_time: None,
        ..status.clone()
    };
    let without_counts = |status: &PushGroupStatus| PushGroupStatus {
        sidecars: None,
        outdated_sidecars: None,
        groups: None,
        stale_groups: None,
        ..without_times(status)
    };
    if without_counts(previous) != without_counts(next) {
        return Worth::More;
    }
    if without_times(previous) != without_times(next) {
        return Worth::Counts;
    }
    let times = |status: &PushGroupStatus| (status.last_collection_time.clone(), status.newest_push_time.clone());
    // A status with times was written at about the time of its pass.
    let told = previous.last_collection_time.as_ref();
    let are_old = told.is_none_or(|told| TIMES_EVERY <= now.duration_since(told.0));
    if times(previous) != times(next) && are_old { Worth::Counts } else { Worth::Nothing }
}

fn collected(previous: &PushGroupStatus, facts: &Facts<'_>) -> Verdict {
    let Some(pass) = &facts.pass else {
        return Verdict::that_stands(previous, facts, condition::COLLECTED, Verdict::no_pass_yet());
    };
    if let Some(verdict) = bad_rule(pass).or_else(|| held(pass)) {
        return verdict;
    }
    if 0 < pass.failed {
        let (failed, targets) = (pass.failed, pass.targets);
        let message = format!("{failed} of {targets} sidecars did not answer, or did not delete");
        return Verdict::no(reason::PASS_INCOMPLETE, message);
    }
    if let Some(verdict) = no_limit(pass).or_else(|| more_to_do(pass, "Every sidecar was looked at")) {
        return verdict;
    }
    let message = if pass.dry_run {
        format!("Every sidecar was looked at; dryRun: nothing is removed{}", would_go(pass))
    } else {
        "Every sidecar was looked at, and every stale group removed".to_owned()
    };
    Verdict::yes(reason::PASS_COMPLETE, message)
}

fn would_go(pass: &PassReport) -> String {
    let more = pass.stale.saturating_sub(pass.would_go.len() as u64);
    match (pass.stale, more) {
        (0, _) => ", and nothing would be".to_owned(),
        (stale, 0) => format!(", {stale} would be: {}", pass.would_go.join("; ")),
        (stale, more) => format!(", {stale} would be: {}; and {more} more", pass.would_go.join("; ")),
    }
}

fn bad_rule(pass: &PassReport) -> Option<Verdict> {
    let rule = pass.bad_rule.as_ref()?;
    Some(Verdict::no(reason::BAD_RULE, format!("Nothing is collected: {rule}")))
}

fn held(pass: &PassReport) -> Option<Verdict> {
    let message = format!(
        "Nothing is removed: the API server has not told of PushGroups for more than {} s, so that what is asked for may \
         be something else by now",
        hearing::LONGEST_SILENCE.as_secs()
    );
    pass.is_held.then(|| Verdict::no(reason::NOT_HEARD, message))
}

/// Without a number, which would be another one at each look: `staleGroups` has it.
fn more_to_do(pass: &PassReport, looked_at: &str) -> Option<Verdict> {
    let message =
        format!("{looked_at}; there are more stale groups than are removed at a time, and the next looks go on");
    pass.has_more_to_do.then(|| Verdict::yes(reason::MORE_TO_DO, message))
}

fn no_limit(pass: &PassReport) -> Option<Verdict> {
    let message = "Neither staleAfter nor a rule says how old a group may get: nothing is ever removed";
    (!pass.has_limits).then(|| Verdict::yes(reason::NO_LIMIT, message.to_owned()))
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

    fn unknown(reason: &'static str, message: &str) -> Self {
        Self { status: "Unknown", reason, message: message.to_owned() }
    }

    fn no_pass_yet() -> Self {
        Self::unknown(reason::NO_PASS_YET, "Nothing was looked at yet")
    }

    fn prometheuses_not_listed_yet() -> Self {
        Self::unknown(reason::NOT_LOOKED_AT_YET, "The Prometheus objects were not looked at yet")
    }

    /// After a restart of ours, what was true of this generation a moment ago stands until the first look; `otherwise` is
    /// for when there was nothing.
    fn that_stands(previous: &PushGroupStatus, facts: &Facts<'_>, type_: &str, otherwise: Self) -> Self {
        let known = previous.conditions.iter().find(|known| known.type_ == type_);
        let known = known.filter(|known| known.observed_generation == facts.generation);
        known.and_then(Self::of_known).unwrap_or(otherwise)
    }

    /// A condition of ours, read back.
    fn of_known(known: &Condition) -> Option<Self> {
        let is_of_it = |(type_, status, _): &&(&str, &str, _)| *type_ == known.type_ && *status == known.status;
        let (_, status, reasons) = REASONS.iter().find(is_of_it)?;
        // Whether there is a monitor is known at once.
        let reason = reasons.iter().find(|reason| **reason == known.reason && **reason != reason::NO_MONITOR)?;
        Some(Self { status, reason, message: known.message.clone() })
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
