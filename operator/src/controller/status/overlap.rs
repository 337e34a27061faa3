//! Condition `Overlapping`: whether older groups have pods that the selector matches, too, or others name the same gateway.
//! It is there only while it is so, and no reason not to be ready. Pure.
//!
//! *Never:* how it is found out.

use crds::status::reason;

use super::Verdict;
use crate::controller::{
    overlap::{MOST_PODS, Overlap},
    sharing::Sharing,
};

/// The groups that are named.
const SHOWN: usize = 3;

/// From the older groups.
pub(super) fn overlapping(overlaps: &[Overlap]) -> Option<Verdict> {
    if overlaps.is_empty() {
        return None;
    }
    let named = overlaps.iter().take(SHOWN).map(|Overlap { older, pods }| {
        let pods = match *pods {
            1 => "1 pod".to_owned(),
            pods if MOST_PODS < pods => format!("more than {MOST_PODS} pods"),
            pods => format!("{pods} pods"),
        };
        format!("{older} ({pods})")
    });
    let named = some_of(&named.collect::<Vec<_>>(), overlaps.len());
    let message = format!(
        "Selectors of older PushGroups match pods that this one's matches, and have them: {named}; narrow one of the \
         selectors, or name the PushGroup in the pods' annotation sidegate.dev/inject"
    );
    Some(Verdict { status: "True", reason: reason::OLDER_PUSH_GROUP, message })
}

/// From those that name the same gateway.
pub(super) fn sharing_a_gateway(Sharing { others, monitor_of }: &Sharing) -> Option<Verdict> {
    let named = some_of(others.get(..SHOWN).unwrap_or(others), others.len());
    let who = match others.as_slice() {
        [] => return None,
        [_] => format!("PushGroup {named} names"),
        [..] => format!("PushGroups {named} name"),
    };
    let monitor = monitor_of.as_ref().map(|older| format!("; {older}, which is older, has the monitor"));
    let message = format!(
        "{who} the same gateway: what one of them finds stale is removed, whatever the others say{}. Have one PushGroup for \
         it, with rules",
        monitor.unwrap_or_default()
    );
    Some(Verdict { status: "True", reason: reason::SHARED_GATEWAY, message })
}

fn some_of(named: &[String], all: usize) -> String {
    let more = all.checked_sub(SHOWN).filter(|more| 0 < *more).map(|more| format!(" and {more} more"));
    format!("{}{}", named.join(", "), more.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_groups_are_named_with_the_pods_they_have() {
        let overlap = |older: &str, pods: u32| Overlap { older: older.to_owned(), pods };
        assert!(overlapping(&[]).is_none());
        let verdict = overlapping(&[overlap("a", 1), overlap("b", 20)]).unwrap();
        assert_eq!((verdict.status, verdict.reason), ("True", "OlderPushGroup"));
        assert_eq!(
            verdict.message,
            "Selectors of older PushGroups match pods that this one's matches, and have them: a (1 pod), b (20 pods); \
             narrow one of the selectors, or name the PushGroup in the pods' annotation sidegate.dev/inject"
        );
        let crowd = overlapping(&[overlap("a", MOST_PODS), overlap("b", MOST_PODS + 1)]).unwrap();
        assert!(crowd.message.contains("a (100 pods), b (more than 100 pods);"), "{}", crowd.message);
        let many = overlapping(&["a", "b", "c", "d", "e"].map(|name| overlap(name, 2))).unwrap();
        assert!(many.message.contains("c (2 pods) and 2 more; narrow"), "{}", many.message);
    }

    #[test]
    fn those_that_name_the_same_gateway_are_named_and_whose_the_monitor_is() {
        let told = |others: &[&str], monitor_of: Option<&str>| {
            let others = others.iter().map(|name| (*name).to_owned()).collect();
            let verdict = sharing_a_gateway(&Sharing { others, monitor_of: monitor_of.map(str::to_owned) })?;
            assert_eq!((verdict.status, verdict.reason), ("True", "SharedGateway"));
            Some(verdict.message)
        };
        assert_eq!(told(&[], None), None);
        let end = "Have one PushGroup for it, with rules";
        let what = "what one of them finds stale is removed, whatever the others say";
        assert_eq!(told(&["b"], None), Some(format!("PushGroup b names the same gateway: {what}. {end}")));
        assert_eq!(
            told(&["a", "c", "d", "e"], Some("a")),
            Some(format!(
                "PushGroups a, c, d and 1 more name the same gateway: {what}; a, which is older, has the monitor. {end}"
            ))
        );
    }
}
