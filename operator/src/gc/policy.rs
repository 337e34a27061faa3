//! Which groups are too old, and when the next may be. Pure: ages, limits and a moment in, the expired out.
//!
//! Age counts from the last accepted push; a group that was only ever refused counts from its last refusal; one with
//! neither time is never too old. The first rule whose expressions all match decides, `staleAfter` where none does, and
//! a rule without a limit keeps its groups for good. A limit of zero, which the API server refuses, counts as none.
//!
//! *Never:* pods, HTTP, the clock.

use std::{collections::BTreeMap, time::Duration};

use crds::{PushGroupSpec, push_group::StalenessRule};
use jiff::Timestamp;
use protocol::GroupingKey;
use regex::{Regex, RegexBuilder};

use super::dialect;
use crate::sidecar::push_times::GroupAge;

/// How large an expression may be once it is compiled, in bytes: whoever may write a `PushGroup` may write many, and
/// a counted repetition of a Unicode class is short to write and long to hold.
const LARGEST_EXPRESSION: usize = 256 << 10;

/// The limits of a `PushGroup`, its expressions compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<CompiledRule>,
    stale_after: Option<f64>,
}

#[derive(Clone, Debug)]
struct CompiledRule {
    matches: Vec<(String, Regex)>,
    stale_after: Option<f64>,
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `staleAfter`.
    StaleAfter,
    /// A rule.
    Rule,
}

/// What the age of a group counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Its last accepted push.
    Push,
    /// Its last refused push, where none was ever accepted.
    Failure,
}

/// A rule's expression does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.rules[{rule}].match.{label}: expected a regular expression, found {expression:?}: {cause}")]
pub struct BadRule {
    rule: usize,
    label: String,
    expression: String,
    cause: String,
}

/// A group that is too old.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expired<'a> {
    /// The group.
    pub group: &'a GroupAge,
    /// How old it is, in seconds.
    pub age: f64,
    /// How old it may be, in seconds.
    pub limit: f64,
    /// Where the limit comes from.
    pub source: Source,
    /// What the age counts from.
    pub since: Since,
}

/// Names the groups that are too old at a moment.
#[must_use]
pub fn expired<'a>(groups: &'a [GroupAge], policy: &Policy, now: Timestamp) -> Vec<Expired<'a>> {
    let look = |group: &'a GroupAge| {
        let Aged { age, since, limit, source } = Aged::of(group, policy, now)?;
        (limit < age).then_some(Expired { group, age, limit, source, since })
    };
    groups.iter().filter_map(look).collect()
}

/// How long it is from a moment until the first group can be too old that is not yet: one of these, if it is not pushed
/// until then, or one that is pushed for the first time right now. `None` is for good.
#[must_use]
pub fn first_staleness(groups: &[GroupAge], policy: &Policy, now: Timestamp) -> Option<Duration> {
    let aged = groups.iter().filter_map(|group| Aged::of(group, policy, now));
    let left = aged.map(|Aged { age, limit, .. }| limit - age).filter(|left| 0.0 <= *left);
    let first = left.chain(policy.shortest_limit()).reduce(f64::min)?;
    Some(Duration::try_from_secs_f64(first).unwrap_or(Duration::MAX))
}

/// The age of a group that has one, and a limit.
struct Aged {
    age: f64,
    since: Since,
    limit: f64,
    source: Source,
}

// === impl Aged ===

impl Aged {
    fn of(group: &GroupAge, policy: &Policy, now: Timestamp) -> Option<Self> {
        let (limit, source) = policy.limit(&group.key)?;
        // Zero is "never", not 1970.
        let times = [(group.push_time, Since::Push), (group.failure_time, Since::Failure)];
        let (time, since) = times.into_iter().find(|(time, _)| 0.0 < *time)?;
        Some(Self { age: now.as_duration().as_secs_f64() - time, since, limit, source })
    }
}

// === impl Policy ===

impl Policy {
    /// The limits of a spec.
    ///
    /// # Errors
    /// The first expression that does not compile.
    pub fn compile(spec: &PushGroupSpec) -> Result<Self, BadRule> {
        let rules = spec.rules.iter().enumerate().map(|(index, rule)| CompiledRule::compile(index, rule));
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, stale_after: spec.stale_after.as_ref().and_then(seconds) })
    }

    /// Whether any group can ever be too old.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.stale_after.is_some() || self.rules.iter().any(|rule| rule.stale_after.is_some())
    }

    /// How old a group may be, in seconds; `None` is as old as it likes.
    fn limit(&self, key: &GroupingKey) -> Option<(f64, Source)> {
        match self.rules.iter().find(|rule| rule.is_for(key)) {
            Some(rule) => Some((rule.stale_after?, Source::Rule)),
            None => Some((self.stale_after?, Source::StaleAfter)),
        }
    }

    /// The least that any group may be given, in seconds.
    fn shortest_limit(&self) -> Option<f64> {
        self.rules.iter().filter_map(|rule| rule.stale_after).chain(self.stale_after).reduce(f64::min)
    }
}

// === impl CompiledRule ===

impl CompiledRule {
    fn compile(index: usize, rule: &StalenessRule) -> Result<Self, BadRule> {
        let compile = |(label, expression): (&String, &String)| {
            let whole = RegexBuilder::new(&format!("^(?:{expression})$")).size_limit(LARGEST_EXPRESSION).build();
            let bad = |cause| BadRule { rule: index, label: label.clone(), expression: expression.clone(), cause };
            match whole {
                Ok(compiled) => match dialect::other_meaning(expression) {
                    Some(what) => Err(bad(what)),
                    None => Ok((label.clone(), compiled)),
                },
                Err(regex::Error::CompiledTooBig(_)) => Err(bad(format!(
                    "compiled, it is larger than {} KiB; write it with fewer repetitions",
                    LARGEST_EXPRESSION >> 10
                ))),
                Err(cause) => Err(bad(cause.to_string())),
            }
        };
        let matches: &BTreeMap<String, String> = &rule.matches;
        Ok(Self {
            matches: matches.iter().map(compile).collect::<Result<_, _>>()?,
            stale_after: rule.stale_after.as_ref().and_then(seconds),
        })
    }

    fn is_for(&self, key: &GroupingKey) -> bool {
        self.matches.iter().all(|(label, expression)| expression.is_match(key.labels().get(label).unwrap_or_default()))
    }
}

/// A limit in seconds. People write zero for "off", and an older schema took it.
fn seconds(limit: &crds::Duration) -> Option<f64> {
    (!limit.length().is_zero()).then(|| limit.length().as_secs_f64())
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use proptest::prelude::*;
    use protocol::LabelSet;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn policy(spec: serde_json::Value) -> Policy {
        Policy::compile(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn group(labels: &[(&str, &str)], push_time: f64, failure_time: f64) -> GroupAge {
        let key = GroupingKey::from_labels(labels.iter().copied().collect::<LabelSet>()).unwrap();
        GroupAge {
            key,
            push_time,
            push_time_text: push_time.to_string(),
            failure_time,
            failure_time_text: failure_time.to_string(),
        }
    }

    /// Whether a group of an age in seconds is too old.
    #[track_caller]
    fn check(spec: serde_json::Value, labels: &[(&str, &str)], age: i32, expected: bool) {
        let groups = [group(labels, f64::from(i32::try_from(NOW).unwrap() - age), 0.0)];
        let found = !expired(&groups, &policy(spec.clone()), now()).is_empty();
        assert_eq!(found, expected, "{spec} {labels:?} {age}");
    }

    #[test]
    fn stale_after_is_the_limit_of_all() {
        check(json!({"staleAfter": "1h"}), &[("job", "a")], 3601, true);
        check(json!({"staleAfter": "1h"}), &[("job", "a")], 3600, false);
        check(json!({}), &[("job", "a")], i32::MAX / 2, false);
        check(json!({"staleAfter": "1h"}), &[("job", "a")], -3601, false);
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let spec = json!({"staleAfter": "1h", "rules": [
            {"match": {"job": "backup-.*"}, "staleAfter": "25h"},
            {"match": {"job": "backup-.*|forever"}},
        ]});
        check(spec.clone(), &[("job", "backup-db")], 7200, false);
        check(spec.clone(), &[("job", "backup-db")], 100_000, true);
        check(spec.clone(), &[("job", "forever")], 100_000, false);
        check(spec, &[("job", "other")], 7200, true);
    }

    #[test]
    fn expressions_match_the_whole_value() {
        let spec = json!({"staleAfter": "1h", "rules": [{"match": {"job": "a|b"}}]});
        check(spec.clone(), &[("job", "a")], 7200, false);
        check(spec.clone(), &[("job", "ab")], 7200, true);
        check(spec, &[("job", "a\n")], 7200, true);
    }

    #[test]
    fn a_label_that_is_absent_counts_as_empty() {
        let spec = json!({"staleAfter": "1h", "rules": [{"match": {"instance": ""}}]});
        check(spec.clone(), &[("job", "a")], 7200, false);
        check(spec.clone(), &[("job", "a"), ("instance", "")], 7200, false);
        check(spec, &[("job", "a"), ("instance", "x")], 7200, true);
    }

    #[test]
    fn all_expressions_of_a_rule_have_to_match() {
        let spec = json!({"staleAfter": "1h", "rules": [{"match": {"job": "a", "path": "x"}}]});
        check(spec.clone(), &[("job", "a"), ("path", "x")], 7200, false);
        check(spec, &[("job", "a"), ("path", "y")], 7200, true);
    }

    #[test]
    fn never_pushed_counts_from_the_last_refusal_and_without_one_never() {
        let policy = policy(json!({"staleAfter": "1h"}));
        let (old, young) = (1.0, f64::from(i32::try_from(NOW).unwrap()));
        let keys =
            |push_time, failure_time| expired(&[group(&[("job", "a")], push_time, failure_time)], &policy, now()).len();
        assert_eq!(keys(0.0, 0.0), 0);
        assert_eq!(keys(0.0, old), 1);
        assert_eq!(keys(0.0, young), 0);
        assert_eq!(keys(old, young), 1, "a refused push keeps nothing alive");
    }

    #[test]
    fn the_first_staleness_is_that_of_the_oldest_group_or_of_one_pushed_now() {
        let age = |age: i32| group(&[("job", "a")], f64::from(i32::try_from(NOW).unwrap() - age), 0.0);
        let check = |spec: serde_json::Value, ages: &[i32], seconds: Option<u64>| {
            let groups: Vec<_> = ages.iter().map(|seconds| age(*seconds)).collect();
            let found = first_staleness(&groups, &policy(spec), now());
            assert_eq!(found, seconds.map(Duration::from_secs), "{ages:?}");
        };
        check(json!({"staleAfter": "1h"}), &[], Some(3600));
        check(json!({"staleAfter": "1h"}), &[600, 3000, 10], Some(600));
        check(json!({"staleAfter": "1h"}), &[3600], Some(0));
        check(json!({"staleAfter": "1h"}), &[3601, 600], Some(3000));
        check(json!({"staleAfter": "1h"}), &[-600], Some(3600));
        check(json!({}), &[600], None);
        let rules = json!([{"match": {"job": "b"}, "staleAfter": "1m"}, {"match": {"job": "a"}}]);
        check(json!({"rules": rules}), &[600], Some(60));
    }

    #[test]
    fn what_decided_is_told() {
        let policy = policy(json!({"staleAfter": "1h", "rules": [{"match": {"job": "b"}, "staleAfter": "1m"}]}));
        let groups = [group(&[("job", "a")], 1.0, 0.0), group(&[("job", "b")], 0.0, 1.0)];
        let found: Vec<_> = expired(&groups, &policy, now()).iter().map(|found| (found.source, found.since)).collect();
        assert_eq!(found, [(Source::StaleAfter, Since::Push), (Source::Rule, Since::Failure)]);
    }

    #[test]
    fn a_bad_expression_is_named() {
        let spec = serde_json::from_value(json!({"rules": [{"match": {"job": "a("}}]})).unwrap();
        let error = Policy::compile(&spec).unwrap_err().to_string();
        assert!(error.starts_with("spec.rules[0].match.job: expected a regular expression, found \"a(\": "), "{error}");
    }

    #[test]
    fn an_expression_that_grows_too_large_is_named() {
        let spec = serde_json::from_value(json!({"rules": [{"match": {"job": "\\w{100}"}}]})).unwrap();
        let error = Policy::compile(&spec).unwrap_err().to_string();
        let expected = "spec.rules[0].match.job: expected a regular expression, found \"\\\\w{100}\": \
                        compiled, it is larger than 256 KiB; write it with fewer repetitions";
        assert_eq!(error, expected);
        policy(json!({"rules": [{"match": {"job": "(backup|etl)-\\w+-[0-9]{1,10}"}}]}));
    }

    #[test]
    fn an_expression_of_another_dialect_is_named() {
        let spec = serde_json::from_value(json!({"rules": [{"match": {"job": "[a-z&&[^b]]"}}]})).unwrap();
        let error = Policy::compile(&spec).unwrap_err().to_string();
        let expected = "spec.rules[0].match.job: expected a regular expression, found \"[a-z&&[^b]]\": ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        for zero in ["0s", "0h0m", "0ms"] {
            check(json!({"staleAfter": zero}), &[("job", "a")], 7200, false);
            let rules = json!([{"match": {"job": "a"}, "staleAfter": zero}]);
            check(json!({"staleAfter": "1h", "rules": rules}), &[("job", "a")], 7200, false);
            assert!(!policy(json!({"staleAfter": zero})).has_limits());
        }
    }

    #[test]
    fn limits_are_seen_wherever_they_are() {
        assert!(!policy(json!({"rules": [{"match": {"job": "a"}}]})).has_limits());
        assert!(policy(json!({"rules": [{"match": {"job": "a"}, "staleAfter": "1h"}]})).has_limits());
        assert!(policy(json!({"staleAfter": "1h"})).has_limits());
    }

    proptest! {
        #[test]
        fn no_group_younger_than_its_limit_is_named(
            ages in prop::collection::vec((0_u32..200_000, any::<bool>(), "[ab]"), 0..20),
            stale_after in prop::option::of(1_u32..100_000),
            rule in prop::option::of(1_u32..100_000),
        ) {
            let limit = |seconds: Option<u32>| seconds.map(|seconds| format!("{seconds}s"));
            let mut spec = json!({"rules": [{"match": {"job": "a"}}]});
            if let Some(limit) = limit(stale_after) { spec["staleAfter"] = json!(limit); }
            if let Some(limit) = limit(rule) { spec["rules"][0]["staleAfter"] = json!(limit); }
            let policy = policy(spec);
            let groups: Vec<_> = ages.iter().map(|(age, failed, job)| {
                let time = f64::from(i32::try_from(NOW).unwrap()) - f64::from(*age);
                if *failed { group(&[("job", job)], 0.0, time) } else { group(&[("job", job)], time, 0.0) }
            }).collect();
            let named = expired(&groups, &policy, now());
            for (group, (age, _, job)) in groups.iter().zip(&ages) {
                let limit = if job == "a" { rule } else { stale_after };
                let is_named = named.iter().any(|expired| std::ptr::eq(expired.group, group));
                prop_assert_eq!(is_named, limit.is_some_and(|limit| limit < *age), "{} {:?}", age, limit);
            }
        }
    }
}
