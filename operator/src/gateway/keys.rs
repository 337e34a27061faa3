//! The true grouping keys of a gateway, by its JSON API, where it has one (since 1.0). Pure.
//!
//! A Pushgateway shows the push times of a group without `instance` with `instance=""`, as it does those of a group whose
//! `instance` is empty. The API shows the labels as they were pushed.
//!
//! A gateway whose page can be read has only one of the two: with both, the page is an error. So where there is no API,
//! both may be tried, the page read again before each.
//!
//! *Never:* sending anything, what is stale.

use std::collections::HashSet;

use protocol::{GroupingKey, LabelSet, series::INSTANCE_LABEL};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The grouping keys a gateway tells.
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

#[derive(Deserialize)]
struct Answer {
    data: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    labels: Map<String, Value>,
}

/// Reads the answer of the API.
///
/// # Errors
/// When it is not one.
pub fn read(answer: &[u8]) -> Result<TrueKeys, serde_json::Error> {
    let answer: Answer = serde_json::from_slice(answer)?;
    let mut keys = TrueKeys::default();
    for group in answer.data {
        let count = group.labels.len();
        let text = |(name, value)| if let Value::String(value) = value { Some((name, value)) } else { None };
        let labels: LabelSet = group.labels.into_iter().filter_map(text).collect();
        if labels.len() == count {
            keys.labels.insert(labels);
        } else {
            keys.hidden += 1;
        }
    }
    Ok(keys)
}

/// The group that the push time shown with these labels is of. `keys` is none where there is no API.
#[must_use]
pub fn meant(shown: &GroupingKey, keys: Option<&TrueKeys>) -> Meant {
    // Whether such a name is taken as written or unescaped depends on a flag of the gateway that it does not show.
    if shown.labels().iter().any(|(name, _)| name.starts_with("U__")) {
        return Meant::Unclear;
    }
    if shown.labels().get(INSTANCE_LABEL) != Some("") {
        return Meant::Any(vec![shown.clone()]);
    }
    let others = shown.labels().iter().filter(|(name, _)| *name != INSTANCE_LABEL);
    let without = GroupingKey::from_labels(others.collect());
    let both: Vec<_> = without.into_iter().chain([shown.clone()]).collect();
    let Some(keys) = keys else { return Meant::Any(both) };
    let told: Vec<_> = both.iter().filter(|key| keys.labels.contains(key.labels())).cloned().collect();
    match (told.len(), keys.hidden) {
        (0, 0) => Meant::Gone,
        (0, _) => Meant::Any(both),
        (1, _) => Meant::Any(told),
        _ => Meant::Unclear,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(labels: &[(&str, &str)]) -> GroupingKey {
        GroupingKey::from_labels(labels.iter().copied().collect()).unwrap()
    }

    fn told(groups: Value) -> TrueKeys {
        read(json!({"status": "success", "data": groups}).to_string().as_bytes()).unwrap()
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
    fn a_name_that_may_be_escaped_is_left_alone() {
        assert_eq!(meant(&key(&[("job", "a"), ("U__x", "y")]), None), Meant::Unclear);
    }

    #[test]
    fn another_answer_is_an_error() {
        for answer in ["", "{}", "[]", "404 page not found", "{\"data\": {}}", "{\"data\": [{}]}"] {
            assert!(read(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
