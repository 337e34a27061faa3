//! What the conditions of a `PushGroup` with a gateway say: whether it could be read, whether all that is stale there was
//! removed, and who tells Prometheus of it. Pure.
//!
//! *Never:* how a gateway is asked.

use crds::{
    PushGroupStatus,
    status::{condition, reason},
};

use super::{Facts, Verdict, bad_rule, held, more_to_do, no_limit, would_go};
use crate::gc::report::{GatewayState, PassReport};

/// Whether the gateway could be read when it was last looked at.
pub(super) fn gateway_reachable(previous: &PushGroupStatus, facts: &Facts<'_>) -> Verdict {
    match facts.pass.as_ref().and_then(|pass| pass.gateway.as_ref()) {
        None => Verdict::that_stands(previous, facts, condition::GATEWAY_REACHABLE, Verdict::no_pass_yet()),
        Some(GatewayState::Done | GatewayState::Unfinished(_)) => {
            Verdict::yes(reason::GATEWAY_REACHED, "The gateway was read".to_owned())
        }
        Some(GatewayState::Unreachable { reason, message }) => Verdict::no(reason, sentence(message)),
    }
}

/// Whether everything that is stale there was removed.
pub(super) fn gateway_collected(previous: &PushGroupStatus, facts: &Facts<'_>) -> Verdict {
    let Some(pass) = &facts.pass else {
        return Verdict::that_stands(previous, facts, condition::COLLECTED, Verdict::no_pass_yet());
    };
    if let Some(verdict) = bad_rule(pass).or_else(|| held(pass)) {
        return verdict;
    }
    match &pass.gateway {
        None => Verdict::that_stands(previous, facts, condition::COLLECTED, Verdict::no_pass_yet()),
        Some(GatewayState::Unreachable { .. }) => {
            let message = "The gateway could not be read: see the condition GatewayReachable";
            Verdict::no(reason::PASS_INCOMPLETE, message.to_owned())
        }
        Some(GatewayState::Unfinished(what)) => Verdict::no(reason::PASS_INCOMPLETE, sentence(what)),
        Some(GatewayState::Done) => {
            no_limit(pass).or_else(|| more_to_do(pass, "The gateway was looked at")).unwrap_or_else(|| {
                let message = if pass.dry_run {
                    format!("The gateway was looked at; dryRun: nothing is removed{}", would_go(pass))
                } else {
                    "The gateway was looked at, and every stale group removed".to_owned()
                };
                Verdict::yes(reason::PASS_COMPLETE, message)
            })
        }
    }
}

/// Of a URL nothing can be made that Prometheus would find.
pub(super) fn given_by_url() -> Verdict {
    let message = "The gateway is given by URL, for which no monitor can be made: tell Prometheus of it yourself, with \
                   honor_labels: true, or name its Service";
    Verdict::yes(reason::GIVEN_BY_URL, message.to_owned())
}

/// Whether a pass saw nothing of its gateway.
pub(super) fn is_unreachable(pass: &PassReport) -> bool {
    match &pass.gateway {
        None | Some(GatewayState::Unreachable { .. }) => true,
        Some(GatewayState::Done | GatewayState::Unfinished(_)) => false,
    }
}

/// An error as the sentence of a condition.
fn sentence(error: &str) -> String {
    let mut letters = error.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::controller::{
        apply::Outcome,
        ledger::Due,
        membership::Assigned,
        sharing::Sharing,
        status::{Mode, next},
    };

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

    fn pass(gateway: Option<GatewayState>) -> PassReport {
        let found = PassReport { targets: 1, groups: 5, stale: 2, gateway, ..PassReport::default() };
        PassReport { ended: NOW, generation: Some(3), has_limits: true, ..found }
    }

    fn status(previous: &PushGroupStatus, by_url: bool, pass: Option<PassReport>) -> PushGroupStatus {
        let (monitors, due) = (Outcome::Applied, Due::default());
        let facts = Facts {
            mode: Mode::Gateway,
            generation: Some(3),
            sidecars: None,
            monitors: &monitors,
            assigned: &Assigned::default(),
            overlaps: &[],
            shared: Sharing::default(),
            not_injected: None,
            takers: None,
            has_timestamps: false,
            pass,
            due: &due,
            by_url,
        };
        next(previous, &facts, NOW)
    }

    #[track_caller]
    fn check(by_url: bool, pass: Option<PassReport>, expected: [&str; 4]) {
        let status = status(&PushGroupStatus::default(), by_url, pass);
        let conditions = status.conditions.iter();
        let found: Vec<_> = conditions.map(|it| format!("{}={} {}", it.type_, it.status, it.reason)).collect();
        assert_eq!(found, expected);
        assert_eq!((status.mode.as_deref(), status.sidecars), (Some("Gateway"), None));
    }

    fn unreachable() -> Option<GatewayState> {
        let message = "cannot connect to http://pg: refused".to_owned();
        Some(GatewayState::Unreachable { reason: reason::GATEWAY_UNREACHABLE, message })
    }

    #[test]
    fn conditions_follow_what_the_gateway_said() {
        let (applied, reached) = ("MonitorsSynced=True Applied", "GatewayReachable=True Reached");
        let complete = "Collected=True PassComplete";
        let done = Some(GatewayState::Done);
        check(false, Some(pass(done.clone())), ["Ready=True AsAsked", applied, reached, complete]);
        let by_url = "MonitorsSynced=True GivenByUrl";
        check(true, Some(pass(done.clone())), ["Ready=True AsAsked", by_url, reached, complete]);
        let unknown = ["GatewayReachable=Unknown NoPassYet", "Collected=Unknown NoPassYet"];
        check(false, None, ["Ready=True AsAsked", applied, unknown[0], unknown[1]]);
        let incomplete = "Collected=False PassIncomplete";
        let gone = ["Ready=False Unreachable", applied, "GatewayReachable=False Unreachable", incomplete];
        check(false, Some(pass(unreachable())), gone);
        let unfinished = Some(GatewayState::Unfinished("2 stale groups are left".to_owned()));
        check(false, Some(pass(unfinished)), ["Ready=False PassIncomplete", applied, reached, incomplete]);
        let unlimited = PassReport { has_limits: false, ..pass(done.clone()) };
        check(false, Some(unlimited), ["Ready=True AsAsked", applied, reached, "Collected=True NoLimit"]);
        let more = PassReport { has_more_to_do: true, ..pass(done.clone()) };
        check(false, Some(more), ["Ready=True AsAsked", applied, reached, "Collected=True MoreToDo"]);
        let held = PassReport { is_held: true, ..pass(done.clone()) };
        check(false, Some(held), ["Ready=False NotHeard", applied, reached, "Collected=False NotHeard"]);
        let bad = PassReport { bad_rule: Some("rule".to_owned()), ..pass(done) };
        check(false, Some(bad), ["Ready=False BadRule", applied, reached, "Collected=False BadRule"]);
    }

    #[test]
    fn a_gateway_that_cannot_be_read_keeps_its_counts() {
        let before = status(&PushGroupStatus::default(), false, Some(pass(Some(GatewayState::Done))));
        assert_eq!((before.groups, before.stale_groups), (Some(5), Some(2)));
        let nothing = PassReport { groups: 0, stale: 0, ..pass(unreachable()) };
        let after = status(&before, false, Some(nothing));
        assert_eq!((after.groups, after.stale_groups), (Some(5), Some(2)));
        assert_eq!(after.last_collection_time, before.last_collection_time);
        let reachable = after.conditions.iter().find(|it| it.type_ == condition::GATEWAY_REACHABLE).unwrap();
        assert_eq!(reachable.message, "Cannot connect to http://pg: refused");
    }

    #[test]
    fn what_was_true_before_a_restart_stands_until_the_first_look() {
        let before = status(&PushGroupStatus::default(), false, Some(pass(unreachable())));
        assert_eq!(status(&before, false, None).conditions, before.conditions);
    }

    #[test]
    fn a_dry_run_says_what_would_go() {
        let would_go = vec!["{job=\"a\"}, older than the 1h allowed".to_owned()];
        let dry = PassReport { dry_run: true, stale: 2, would_go, ..pass(Some(GatewayState::Done)) };
        let after = status(&PushGroupStatus::default(), false, Some(dry));
        let collected = after.conditions.iter().find(|it| it.type_ == condition::COLLECTED).unwrap();
        assert_eq!(
            collected.message,
            "The gateway was looked at; dryRun: nothing is removed, 2 would be: {job=\"a\"}, older than the 1h allowed; \
             and 1 more"
        );
    }
}
