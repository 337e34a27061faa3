//! Older groups of the namespace whose selectors match the same pods: those pods are theirs, which may surprise whoever
//! made the younger one.
//!
//! Which pods two selectors match is the API server's to say, once a minute and only where an older group's selector does
//! not exclude ours by itself: labels of pods are not kept here.
//!
//! *Never:* which pods a group gets, conditions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::{PushGroup, names::INJECTED_LABEL};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::ListParams,
    core::{Expression, Selector},
    runtime::reflector::ObjectRef,
};

use super::Context;

/// For how long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Of the pods that a selector matches, those that an older group has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The older group.
    pub older: String,
    /// The pods that both match.
    pub pods: u64,
}

/// What is remembered of each group between reconciles.
#[derive(Debug, Default)]
pub struct Overlaps {
    entries: Mutex<HashMap<ObjectRef<PushGroup>, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    /// The older groups and the selectors that were asked for.
    question: Vec<(String, String)>,
    at: Timestamp,
    overlaps: Vec<Overlap>,
}

/// The older groups that have pods which this group's selector matches, too.
pub async fn overlaps(ctx: &Context, group: &PushGroup, now: Timestamp) -> Vec<Overlap> {
    let known = ObjectRef::from_obj(group);
    let namespace = group.namespace().unwrap_or_default();
    let beside = ctx.groups.filter(|one| one.namespace().as_deref() == Some(&namespace));
    let question = question(group, &beside);
    if question.is_empty() {
        ctx.overlaps.forget(&known);
        return Vec::new();
    }
    if let Some(overlaps) = ctx.overlaps.fresh(&known, &question, now) {
        return overlaps;
    }
    let pods = Api::<Pod>::namespaced(ctx.client.clone(), &namespace);
    let mut overlaps = Vec::new();
    for (older, selector) in &question {
        let running = "status.phase!=Succeeded,status.phase!=Failed";
        let params = ListParams::default().match_any().labels(selector).fields(running);
        match pods.list_metadata(&params).await {
            Ok(found) if found.items.is_empty() => {}
            Ok(found) => overlaps.push(Overlap { older: older.clone(), pods: found.items.len() as u64 }),
            Err(error) => {
                tracing::debug!(%error, pushgroup = %known, older, "cannot ask which pods both match");
                return ctx.overlaps.last(&known);
            }
        }
    }
    ctx.overlaps.keep(&known, Answer { question, at: now, overlaps: overlaps.clone() });
    overlaps
}

/// The older groups whose selector does not exclude this group's by itself, each with the selector of both.
fn question(group: &PushGroup, beside: &[Arc<PushGroup>]) -> Vec<(String, String)> {
    let Some(own) = selector(group) else { return Vec::new() };
    let age = |group: &PushGroup| (group.creation_timestamp(), group.name_any());
    let older = beside.iter().filter(|one| age(one) < age(group));
    let mut question: Vec<_> = older
        .filter_map(|one| {
            let theirs = selector(one).filter(|theirs| !exclude_each_other(&own, theirs))?;
            let mut both = Selector::from(Expression::Equal(INJECTED_LABEL.to_owned(), "true".to_owned()));
            both.extend(own.clone()).extend(theirs);
            Some((one.name_any(), both.to_string()))
        })
        .collect();
    question.sort();
    question
}

/// A selector the API server took and we cannot read matches nothing.
fn selector(group: &PushGroup) -> Option<Selector> {
    group.spec.selector.clone().and_then(|selector| Selector::try_from(selector).ok())
}

/// Whether no pod can match both: they want different values of one label.
fn exclude_each_other(one: &Selector, other: &Selector) -> bool {
    let values = |expression: Expression| match expression {
        Expression::Equal(key, value) => Some((key, vec![value])),
        Expression::In(key, values) => Some((key, values.into_iter().collect())),
        Expression::NotIn(..) | Expression::NotEqual(..) | Expression::Exists(_) | Expression::DoesNotExist(_) => None,
    };
    let wanted = |selector: &Selector| selector.clone().into_iter().filter_map(values).collect::<Vec<_>>();
    let theirs = wanted(other);
    wanted(one).into_iter().any(|(key, values)| {
        theirs.iter().any(|(other, others)| *other == key && !values.iter().any(|value| others.contains(value)))
    })
}

// === impl Overlaps ===

impl Overlaps {
    fn fresh(
        &self,
        group: &ObjectRef<PushGroup>,
        question: &[(String, String)],
        now: Timestamp,
    ) -> Option<Vec<Overlap>> {
        let entries = self.entries();
        let answer = entries.get(group).filter(|answer| answer.question == question)?;
        // A clock that was set back makes all of it old.
        let age = Duration::try_from(now.duration_since(answer.at)).ok()?;
        (age < GOOD_FOR).then(|| answer.overlaps.clone())
    }

    /// What was found when it was last asked for, however long ago.
    #[must_use]
    pub fn last(&self, group: &ObjectRef<PushGroup>) -> Vec<Overlap> {
        self.entries().get(group).map(|answer| answer.overlaps.clone()).unwrap_or_default()
    }

    fn keep(&self, group: &ObjectRef<PushGroup>, answer: Answer) {
        self.entries().insert(group.clone(), answer);
    }

    /// The group is gone, or nothing is older.
    pub fn forget(&self, group: &ObjectRef<PushGroup>) {
        self.entries().remove(group);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ObjectRef<PushGroup>, Answer>> {
        // Whoever panicked with the lock held left whole entries behind.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn group(name: &str, created: &str, selector: &Value) -> PushGroup {
        serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
            "metadata": {"namespace": "data", "name": name, "creationTimestamp": created},
            "spec": {"selector": selector},
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(older: &Value, own: &Value, expected: Option<&str>) {
        let older = group("older", "2026-01-01T00:00:00Z", older);
        let own = group("own", "2026-01-02T00:00:00Z", own);
        let beside = [Arc::new(older.clone()), Arc::new(own.clone())];
        let asked = question(&own, &beside).into_iter().next().map(|(_, selector)| selector);
        assert_eq!(asked.as_deref(), expected);
        assert_eq!(question(&older, &beside), [], "of the younger one nothing is asked");
    }

    #[test]
    fn only_selectors_that_may_match_the_same_pods_are_asked_about() {
        let (etl, web) = (json!({"matchLabels": {"app": "etl"}}), json!({"matchLabels": {"app": "web"}}));
        let one_of =
            |values: &[&str]| json!({"matchExpressions": [{"key": "app", "operator": "In", "values": values}]});
        check(&json!({}), &etl, Some("sidegate.dev/injected=true,app=etl"));
        check(&etl, &web, None);
        check(&etl, &etl, Some("sidegate.dev/injected=true,app=etl,app=etl"));
        check(&one_of(&["a", "b"]), &one_of(&["c"]), None);
        check(&one_of(&["a", "b"]), &one_of(&["b"]), Some("sidegate.dev/injected=true,app in (b),app in (a,b)"));
        check(&json!({"matchLabels": {"tier": "batch"}}), &etl, Some("sidegate.dev/injected=true,app=etl,tier=batch"));
        check(
            &json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["etl"]}]}),
            &etl,
            Some("sidegate.dev/injected=true,app=etl,app notin (etl)"),
        );
    }

    #[test]
    fn an_answer_is_good_for_a_minute_and_for_its_question() {
        let (overlaps, group) = (Overlaps::default(), ObjectRef::new("own").within("data"));
        let question = vec![("older".to_owned(), "app=etl".to_owned())];
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let found = vec![Overlap { older: "older".to_owned(), pods: 2 }];
        overlaps.keep(&group, Answer { question: question.clone(), at: at(100), overlaps: found.clone() });
        assert_eq!(overlaps.fresh(&group, &question, at(159)), Some(found.clone()));
        assert_eq!(overlaps.fresh(&group, &question, at(160)), None);
        assert_eq!(overlaps.fresh(&group, &question, at(99)), None, "a clock that was set back");
        assert_eq!(overlaps.fresh(&group, &[], at(101)), None);
        assert_eq!(overlaps.last(&group), found);
    }
}
