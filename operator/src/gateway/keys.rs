//! The true grouping keys of a gateway, by its JSON API, where it has one (since 1.0). Pure.
//!
//! A Pushgateway shows the push times of a group without `instance` with `instance=""`, as it does those of a group whose
//! `instance` is empty. The API shows the labels as they were pushed.
//!
//! A gateway whose page can be read has only one of the two: with both, the page is an error. So where there is no API,
//! both may be tried, the page read again before each.
//!
//! An answer has all that was ever pushed and may be large: only what is asked about is kept of it.
//!
//! *Never:* sending anything, what is stale.

mod answer;
mod chunks;

use std::{collections::HashSet, io};

use protocol::{GroupingKey, LabelSet, series::INSTANCE_LABEL};

pub(super) use self::chunks::Chunks;

/// Those of the grouping keys asked about that a gateway tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrueKeys {
    labels: HashSet<LabelSet>,
    /// Groups whose labels cannot be told: a metric named `labels` stands in their place.
    hidden: u64,
}

/// Which group a push time may be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// One of these, to be tried in this order, the page read again before each.
    Any(Vec<GroupingKey>),
    /// None any more.
    Gone,
    /// Nobody can tell.
    Unclear,
}

/// What the API is to be asked about: all that the push times shown with these labels may be of. None where they tell by
/// themselves what they are of.
#[must_use]
pub fn wanted<'a>(shown: impl IntoIterator<Item = &'a GroupingKey>) -> HashSet<LabelSet> {
    let unsure = shown.into_iter().filter(|key| has_empty_instance(key));
    unsure.flat_map(both).map(|key| key.labels().clone()).collect()
}

/// Reads the answer of the API as far as it is about these.
///
/// # Errors
/// When it is not one.
pub fn read(answer: impl io::Read, wanted: &HashSet<LabelSet>) -> Result<TrueKeys, serde_json::Error> {
    answer::read(answer, wanted)
}

/// The group that the push time shown with these labels is of. `keys` is none where there is no API.
#[must_use]
pub fn meant(shown: &GroupingKey, keys: Option<&TrueKeys>) -> Meant {
    // Whether such a name is taken as written or unescaped depends on a flag of the gateway that it does not show.
    if shown.labels().iter().any(|(name, _)| name.starts_with("U__")) {
        return Meant::Unclear;
    }
    if !has_empty_instance(shown) {
        return Meant::Any(vec![shown.clone()]);
    }
    let both = both(shown);
    let Some(keys) = keys else { return Meant::Any(both) };
    let told: Vec<_> = both.iter().filter(|key| keys.labels.contains(key.labels())).cloned().collect();
    match (told.len(), keys.hidden) {
        (0, 0) => Meant::Gone,
        (0, _) => Meant::Any(both),
        (1, _) => Meant::Any(told),
        _ => Meant::Unclear,
    }
}

fn has_empty_instance(shown: &GroupingKey) -> bool {
    shown.labels().get(INSTANCE_LABEL) == Some("")
}

/// The key without `instance`, and that with an empty one.
fn both(shown: &GroupingKey) -> Vec<GroupingKey> {
    let others = shown.labels().iter().filter(|(name, _)| *name != INSTANCE_LABEL);
    let without = GroupingKey::from_labels(others.collect());
    without.into_iter().chain([shown.clone()]).collect()
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(labels: &[(&str, &str)]) -> GroupingKey {
        GroupingKey::from_labels(labels.iter().copied().collect()).unwrap()
    }

    fn told(groups: Value) -> TrueKeys {
        let answer = json!({"status": "success", "data": groups}).to_string();
        read(answer.as_bytes(), &wanted([&empty()])).unwrap()
    }

    fn empty() -> GroupingKey {
        key(&[("instance", ""), ("job", "a")])
    }

    fn without() -> GroupingKey {
        key(&[("job", "a")])
    }

    #[test]
    fn the_api_tells_an_empty_instance_from_none() {
        let group = |labels: Value| json!([{"labels": labels, "push_time_seconds": {"metrics": []}}]);
        let none = told(group(json!({"job": "a"})));
        assert_eq!(meant(&empty(), Some(&none)), Meant::Any(vec![without()]));
        let explicit = told(group(json!({"job": "a", "instance": ""})));
        assert_eq!(meant(&empty(), Some(&explicit)), Meant::Any(vec![empty()]));
        let other = told(group(json!({"job": "b"})));
        assert_eq!(meant(&empty(), Some(&other)), Meant::Gone);
    }

    #[test]
    fn with_both_nobody_can_tell() {
        let both = told(json!([{"labels": {"job": "a"}}, {"labels": {"job": "a", "instance": ""}}]));
        assert_eq!(meant(&empty(), Some(&both)), Meant::Unclear);
    }

    #[test]
    fn without_the_api_both_are_tried() {
        assert_eq!(meant(&empty(), None), Meant::Any(vec![without(), empty()]));
        // Without a job left there is no such group.
        assert_eq!(meant(&without(), None), Meant::Any(vec![without()]));
    }

    #[test]
    fn an_instance_with_a_value_means_itself() {
        let shown = key(&[("instance", "i"), ("job", "a")]);
        assert_eq!(meant(&shown, None), Meant::Any(vec![shown.clone()]));
        assert_eq!(meant(&shown, Some(&TrueKeys::default())), Meant::Any(vec![shown.clone()]));
    }

    #[test]
    fn a_metric_named_labels_hides_a_group_and_not_the_others() {
        let hidden = json!({"labels": {"type": "GAUGE", "metrics": []}});
        let keys = told(json!([hidden, {"labels": {"job": "a"}}]));
        assert_eq!(meant(&empty(), Some(&keys)), Meant::Any(vec![without()]));
        let only_hidden = told(json!([hidden]));
        assert_eq!(meant(&empty(), Some(&only_hidden)), Meant::Any(vec![without(), empty()]));
    }

    #[test]
    fn only_what_is_asked_about_is_kept() {
        let many: serde_json::Map<_, _> = (0..100).map(|n| (format!("l{n}"), json!("x"))).collect();
        let long = json!({"labels": {"job": "x".repeat(200 << 10)}});
        let group = |n: usize| json!({"labels": {"job": format!("b{n}")}, "more": [{"labels": {"job": "a"}}]});
        let others: Vec<_> = (0..100).map(group).chain([json!({"labels": many}), long]).collect();
        assert_eq!(told(json!(others)), TrueKeys::default());
        let odd = ["1", "-1", "1.5", "true", "null", "[1, {}]", "{\"a\": []}"];
        let odd = odd.map(|value| format!(r#"{{"labels": {{"job": "a", "odd": {value}, "more": "x"}}}}"#)).join(",");
        let odd = read(format!(r#"{{"data": [{odd}]}}"#).as_bytes(), &wanted([&empty()])).unwrap();
        assert_eq!(odd, TrueKeys { hidden: 7, ..TrueKeys::default() });
    }

    #[test]
    fn only_about_an_empty_instance_the_api_has_to_be_asked() {
        assert!(wanted([&without(), &key(&[("instance", "i"), ("job", "a")])]).is_empty());
        assert_eq!(wanted([&empty(), &without()]).len(), 2);
    }

    #[test]
    fn a_name_that_may_be_escaped_is_left_alone() {
        assert_eq!(meant(&key(&[("job", "a"), ("U__x", "y")]), None), Meant::Unclear);
    }

    #[test]
    fn another_answer_is_an_error() {
        let bare = r#"{"data": [{"labels": {}}]"#;
        for answer in ["", "{}", "[]", "404 page not found", "{\"data\": {}}", "{\"data\": [{}]}", bare] {
            assert!(read(answer.as_bytes(), &HashSet::new()).is_err(), "{answer}");
        }
    }
}
