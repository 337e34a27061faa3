//! Which of the stale groups of a target are removed at one visit: all of them, or as many as a short page may have.
//! Pure.
//!
//! Removals take as long as the target likes, and what is to be removed is held until then. A long page has one of few
//! places while it is worked on, and everybody waits for those; so only what needs no such place is kept of it. Where
//! groups are left, each visit begins at another one, so that those that cannot be removed keep nobody from being
//! reached.
//!
//! *Never:* the target, what becomes of the groups.

use protocol::series::PUSH_TIME_SECONDS;

use super::policy::Expired;
use crate::{long_pages::SHORT_PAGE, sidecar::push_times::GroupAge};

/// The groups of one visit; another number for each visit begins at another group where not all can be taken.
pub(super) fn portion(stale: &[Expired<'_>], visit: usize) -> Vec<GroupAge> {
    let in_all: usize = stale.iter().map(|expired| length(expired.group)).sum();
    let first = if in_all <= SHORT_PAGE { 0 } else { visit.checked_rem(stale.len()).unwrap_or_default() };
    let mut taken = 0;
    let fits = |group: &&GroupAge| {
        taken += length(group);
        taken <= SHORT_PAGE
    };
    let in_turn = stale.iter().cycle().skip(first).take(stale.len()).map(|expired| expired.group);
    in_turn.take_while(fits).cloned().collect()
}

/// How long a group's lines are at least: those of a short page are never longer than it.
fn length(group: &GroupAge) -> usize {
    let labels = group.key.labels().iter().map(|(name, value)| name.len() + value.len() + r#"="","#.len());
    let times = group.push_time_text.len() + group.failure_time_text.len();
    PUSH_TIME_SECONDS.len() + labels.sum::<usize>() + times
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::{GroupingKey, LabelSet};

    use super::*;
    use crate::{
        gc::policy::{Since, Source},
        sidecar::push_times,
    };

    fn groups(count: usize, length: usize) -> Vec<GroupAge> {
        let group = |nth| GroupAge {
            key: GroupingKey::from_labels(LabelSet::from_iter([("job", format!("{nth:0length$}").as_str())])).unwrap(),
            push_time: 1.0,
            push_time_text: "1".to_owned(),
            failure_time: 0.0,
            failure_time_text: "0".to_owned(),
        };
        (0..count).map(group).collect()
    }

    fn stale(groups: &[GroupAge]) -> Vec<Expired<'_>> {
        let (source, since) = (Source::StaleAfter, Since::Push);
        groups.iter().map(|group| Expired { group, age: 2.0, limit: 1.0, source, since }).collect()
    }

    #[test]
    fn what_is_on_a_short_page_is_taken_as_a_whole() {
        let mut page = "# TYPE push_time_seconds gauge\n".to_owned();
        while page.len() < SHORT_PAGE - 40 {
            page += &format!("push_time_seconds{{job=\"{}\"}} 1\n", page.len());
        }
        let reading = push_times::read(&page);
        assert!(2000 < reading.groups.len());
        for visit in [0, 1, 77] {
            assert_eq!(portion(&stale(&reading.groups), visit), reading.groups, "and in its order");
        }
    }

    #[test]
    fn of_more_a_part_is_taken_and_each_group_has_its_turn() {
        let groups = groups(100, 10_000);
        let stale = stale(&groups);
        let mut reached = BTreeSet::new();
        for visit in 1000..1100 {
            let taken = portion(&stale, visit);
            assert!((10..=13).contains(&taken.len()), "{}", taken.len());
            assert!(taken.iter().map(length).sum::<usize>() <= SHORT_PAGE);
            reached.extend(taken.iter().map(|group| group.key.to_string()));
        }
        assert_eq!(reached.len(), 100);
    }

    #[test]
    fn of_none_none_is_taken() {
        assert!(portion(&[], 7).is_empty());
    }
}
