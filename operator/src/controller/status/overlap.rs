//! Condition `Overlapping`: whether older groups have pods that the selector matches, too. It is there only while it is
//! so, and no reason not to be ready. Pure.
//!
//! *Never:* how it is found out.

use crds::status::reason;

use super::Verdict;
use crate::controller::overlap::{MOST_PODS, Overlap};

/// The older groups that are named.
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
    let mut named = named.collect::<Vec<_>>().join(", ");
    if let Some(more) = overlaps.len().checked_sub(SHOWN).filter(|more| 0 < *more) {
        named.push_str(&format!(" and {more} more"));
    }
    let message = format!(
        "Selectors of older PushGroups match pods that this one's matches, and have them: {named}; narrow one of the \
         selectors, or name the PushGroup in the pods' annotation sidegate.dev/inject"
    );
    Some(Verdict { status: "True", reason: reason::OLDER_PUSH_GROUP, message })
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
}
