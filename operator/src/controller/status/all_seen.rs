//! Condition `AllSeen`: false for an hour after a pod ended with groups that no scrape had seen. Pure.
//!
//! *Never:* which endings are counted already.

use crds::{
    PushGroupStatus,
    status::{condition, reason},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Verdict;
use crate::controller::ledger::Ending;

/// For how long an ending is news.
const NEWS: SignedDuration = SignedDuration::from_hours(1);

/// When the last of all counted pods ended, these among them.
pub(super) fn last_time(previous: &PushGroupStatus, endings: &[Ending]) -> Option<Time> {
    let known = previous.last_unseen_time.as_ref().map(|time| time.0);
    endings.iter().map(|ending| ending.finished).chain(known).max().map(Time)
}

pub(super) fn all_seen(previous: &PushGroupStatus, endings: &[Ending], now: Timestamp) -> Verdict {
    let last = last_time(previous, endings);
    let is_news = last.is_some_and(|last| now.duration_since(last.0) < NEWS);
    let known = previous.conditions.iter().find(|known| known.type_ == condition::ALL_SEEN);
    let known = known.filter(|known| known.status == "False").and_then(Verdict::of_known);
    match (endings.iter().max_by_key(|ending| ending.finished), known) {
        (Some(latest), _) if is_news => Verdict::no(reason::GROUPS_UNSEEN, message(latest, endings)),
        (None, Some(known)) if is_news => known,
        (Some(_) | None, _) => {
            let message = "No pod ended within the last hour with groups that no scrape had seen";
            Verdict::yes(reason::NOTHING_UNSEEN, message.to_owned())
        }
    }
}

fn message(latest: &Ending, endings: &[Ending]) -> String {
    let all: u64 = endings.iter().map(|ending| u64::from(ending.groups)).sum();
    match endings.len() {
        1 => latest.to_string(),
        pods => format!("{latest}; with {} other pods {all} groups in all", pods - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

    fn ending(pod: &str, ago: i64, groups: u32) -> Ending {
        let finished = NOW - SignedDuration::from_secs(ago);
        Ending { pod: pod.to_owned(), uid: pod.to_owned(), groups, finished }
    }

    /// The status after some endings.
    fn after(previous: &PushGroupStatus, endings: &[Ending], now: Timestamp) -> (PushGroupStatus, String) {
        let verdict = all_seen(previous, endings, now);
        let said = format!("{} {}: {}", verdict.status, verdict.reason, verdict.message);
        let last_unseen_time = last_time(previous, endings);
        let conditions = vec![verdict.into_condition(condition::ALL_SEEN, previous, None, now)];
        (PushGroupStatus { conditions, last_unseen_time, ..PushGroupStatus::default() }, said)
    }

    #[test]
    fn an_ending_is_told_for_an_hour() {
        let nothing = "True NothingUnseen: No pod ended within the last hour with groups that no scrape had seen";
        let one = "False GroupsUnseen: Pod a ended with 3 groups that no scrape had seen";
        let (status, said) = after(&PushGroupStatus::default(), &[], NOW);
        assert_eq!(said, nothing);
        let (status, said) = after(&status, &[ending("a", 60, 3)], NOW);
        assert_eq!(said, one);
        let (status, said) = after(&status, &[], NOW + SignedDuration::from_secs(3539));
        assert_eq!(said, one);
        let (_, said) = after(&status, &[], NOW + SignedDuration::from_secs(3540));
        assert_eq!(said, nothing);
    }

    #[test]
    fn several_are_told_together_with_the_latest() {
        let endings = [ending("a", 60, 3), ending("b", 30, 1), ending("c", 90, 2)];
        let (_, said) = after(&PushGroupStatus::default(), &endings, NOW);
        let expected = "Pod b ended with 1 group that no scrape had seen; with 2 other pods 6 groups in all";
        assert_eq!(said, format!("False GroupsUnseen: {expected}"));
    }

    #[test]
    fn an_old_ending_is_no_news() {
        let (status, said) = after(&PushGroupStatus::default(), &[ending("a", 7200, 3)], NOW);
        assert!(said.starts_with("True"), "{said}");
        assert_eq!(status.last_unseen_time, Some(Time(NOW - SignedDuration::from_secs(7200))), "it counts all the same");
    }
}
