//! Condition `PodsAssigned`: whether the pods that were there before their group have become its members. Pure.
//!
//! *Never:* which pods, how they are labelled.

use crds::{names::PUSH_GROUP_LABEL, status::reason};

use super::Verdict;
use crate::controller::membership::{Assigned, Refused};

/// From how labelling went.
pub(super) fn pods_assigned(assigned: &Assigned) -> Verdict {
    let Assigned { waiting, refused } = assigned;
    let Some(refused) = refused else {
        return Verdict::yes(reason::ALL_ASSIGNED, "No pod that the selector matches is without a group".to_owned());
    };
    let whose = match waiting {
        1 => "1 pod that the selector matches has".to_owned(),
        pods => format!("{pods} pods that the selector matches have"),
    };
    let without = format!("{whose} no label {PUSH_GROUP_LABEL}, so that nobody scrapes or collects there");
    match refused {
        Refused::Forbidden => Verdict::no(
            reason::PATCH_FORBIDDEN,
            format!(
                "{without}: the operator may not patch pods; set membership.labelPods in the chart's values to true, \
                 or replace the pods"
            ),
        ),
        Refused::Otherwise(why) => Verdict::no(reason::PATCH_REFUSED, format!("{without}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(waiting: u64, refused: Option<Refused>, expected: (&str, &str, &str)) {
        let verdict = pods_assigned(&Assigned { waiting, refused });
        assert_eq!((verdict.status, verdict.reason, verdict.message.as_str()), expected);
    }

    #[test]
    fn the_condition_says_how_many_pods_and_what_to_do() {
        let all = "No pod that the selector matches is without a group";
        check(0, None, ("True", "AllAssigned", all));
        check(
            3,
            Some(Refused::Forbidden),
            (
                "False",
                "PatchForbidden",
                "3 pods that the selector matches have no label sidegate.dev/pushgroup, so that nobody scrapes or \
                 collects there: the operator may not patch pods; set membership.labelPods in the chart's values to \
                 true, or replace the pods",
            ),
        );
        check(
            1,
            Some(Refused::Otherwise("a policy says no".to_owned())),
            (
                "False",
                "PatchRefused",
                "1 pod that the selector matches has no label sidegate.dev/pushgroup, so that nobody scrapes or \
                 collects there: a policy says no",
            ),
        );
    }
}
