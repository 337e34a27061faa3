//! The store beside a model of it that is written down as simply as can be: whatever is done, in whatever order, both
//! answer the same and show the same, through restarts from the log and from checkpoints.
//!
//! The model asks of every push whether all that would be there with it could be scraped. The store asks only of what
//! the push touches.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::select};
use protocol::LabelSet;

use super::*;
use crate::{
    exposition::{Kind, Metric, MetricFamily, Summary, Value},
    metrics::OWN_FAMILIES,
    store::{Identity, IdentityRule},
};

/// Several that look like their neighbour on the page.
const KEYS: [&str; 8] = ["a", "a/instance/", "b", "b/c/1", "b/pod/p", "b/pod/q", "b/exported_pod/q", "b/instance/i"];

/// One is a part of another, one is of the process itself, one a part of such.
const NAMES: [&str; 7] =
    ["x", "x", "y", "x_sum", "x_sum", "sidegate_scrapes_total", "pushgateway_http_push_size_bytes_count"];

const KINDS: [Kind; 6] = [Kind::Untyped, Kind::Untyped, Kind::Untyped, Kind::Counter, Kind::Summary, Kind::Summary];

/// Labels of which some are refused, some forced and some renamed.
const LABELS: [(&str, &str); 8] = [
    ("a", "1"),
    ("a", "2"),
    ("c", "1"),
    ("instance", "i"),
    ("pod", "q"),
    ("exported_pod", "q"),
    ("__r", "1"),
    ("quantile", "1"),
];

/// After so many seconds a group is stale, unless its push says otherwise.
const DEFAULT_LIMIT: f64 = 100.0;

/// What is done, each a while after the one before.
#[derive(Clone, Debug)]
enum Step {
    Push(Push),
    Delete {
        key: usize,
    },
    /// The push time is the group's own or is not, and so is the failure time where one is named.
    DeleteIf {
        key: usize,
        is_own: bool,
        failed: Option<bool>,
    },
    /// Those of one job.
    DeleteJob {
        job: &'static str,
    },
    Wipe,
    Expire,
    Restart {
        with_checkpoint: bool,
    },
}

#[derive(Clone, Debug)]
struct Push {
    key: usize,
    is_put: bool,
    families: Vec<MetricFamily>,
    limit: Option<f64>,
    /// How far back it took place, and how far back a push was refused, where the push says so; 0 is never.
    past: Option<(f64, f64)>,
}

/// Everything there is.
#[derive(Clone, Debug, Default)]
struct Model {
    identity: Identity,
    groups: BTreeMap<GroupingKey, ModelGroup>,
}

#[derive(Clone, Debug, Default)]
struct ModelGroup {
    push_time: f64,
    failure_time: f64,
    limit: Option<f64>,
    /// With all labels, and with the time of the push.
    families: BTreeMap<String, (MetricFamily, f64)>,
}

/// An answer of the store, as far as the model goes.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Refused,
    PushedSince(f64),
    FailedSince(f64),
}

// === What is done ===

fn any_metric(kind: Kind) -> impl Strategy<Value = Metric> {
    let labels = prop::collection::vec(prop_oneof![9 => select(&LABELS[..6]), 1 => select(&LABELS[..])], 0..2);
    (labels, 0..50_u32, prop::bool::weighted(0.02)).prop_map(move |(labels, number, is_timed)| Metric {
        labels: labels.into_iter().collect(),
        value: if kind == Kind::Summary {
            Value::Summary(Summary { sum: f64::from(number), ..Summary::default() })
        } else {
            Value::Number(f64::from(number))
        },
        timestamp: is_timed.then_some(5),
        extra: None,
    })
}

fn any_family() -> impl Strategy<Value = MetricFamily> {
    (select(&NAMES[..]), select(&KINDS[..]), any::<bool>()).prop_flat_map(|(name, kind, has_help)| {
        let help = if has_help { format!("Help of {name}.") } else { String::new() };
        prop::collection::vec(any_metric(kind), 1..3).prop_map(move |metrics| {
            let (name, help, unit) = (name.to_owned(), help.clone(), String::new());
            MetricFamily { name, help, unit, kind, metrics }
        })
    })
}

fn any_push(key: BoxedStrategy<usize>) -> impl Strategy<Value = Push> {
    let limit = prop::option::weighted(0.2, select(&[1.0, 10.0, 1000.0][..]));
    let ago = || select(&[0.0, 0.0, 1.0, 20.0][..]);
    let past =
        prop::option::weighted(0.1, (ago(), ago()).prop_filter("a time", |(push, fail)| *push != 0.0 || *fail != 0.0));
    (key, any::<bool>(), prop::collection::vec(any_family(), 0..3), limit, past)
        .prop_map(|(key, is_put, families, limit, past)| Push { key, is_put, families, limit, past })
}

fn any_step(key: BoxedStrategy<usize>) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_push(key.clone()).prop_map(Step::Push),
        2 => key.clone().prop_map(|key| Step::Delete { key }),
        2 => (key, any::<bool>(), any::<Option<bool>>())
            .prop_map(|(key, is_own, failed)| Step::DeleteIf { key, is_own, failed }),
        1 => select(&["a", "b"][..]).prop_map(|job| Step::DeleteJob { job }),
        1 => Just(Step::Wipe),
        2 => Just(Step::Expire),
        2 => any::<bool>().prop_map(|with_checkpoint| Step::Restart { with_checkpoint }),
    ]
}

/// Steps with a few of the keys, so that pushes meet; and how long each is after the one before. Clocks
/// may be set back.
fn any_steps() -> impl Strategy<Value = Vec<(f64, Step)>> {
    (0..KEYS.len(), 1..5_usize).prop_flat_map(|(first, count)| {
        let key = (0..count).prop_map(move |key| (first + key) % KEYS.len()).boxed();
        prop::collection::vec((select(&[0.0, 0.5, 1.0, 30.0, -5.0][..]), any_step(key)), 1..40)
    })
}

// === impl Push ===

impl Push {
    fn times(&self, now: f64) -> Option<Times> {
        let ago = |seconds: f64| if seconds == 0.0 { UnixSeconds::NEVER } else { UnixSeconds(now - seconds) };
        self.past.map(|(push, fail)| Times { push_time: ago(push), failure_time: ago(fail) })
    }

    fn change(&self, now: f64) -> Change {
        let (key, families) = (key(KEYS[self.key]), self.families.clone());
        let mut change = if self.is_put { Change::replace(key, families) } else { Change::merge(key, families) };
        if let Some(limit) = self.limit {
            change = change.stale_after(Duration::from_secs_f64(limit));
        }
        match self.times(now) {
            Some(times) => change.with_times(times),
            None => change,
        }
    }
}

// === impl Model ===

impl Model {
    fn push(&mut self, push: &Push, now: f64) -> Answer {
        let key = key(KEYS[push.key]);
        let known = self.groups.get(&key).cloned();
        let before = known.clone().unwrap_or_default();
        let given = push.times(now);
        if let Some(given) = given {
            let is_later = match given.push_time.0 {
                0.0 => before.push_time == 0.0 && before.failure_time < given.failure_time.0,
                push_time => before.push_time < push_time,
            };
            if !is_later {
                return Answer::PushedSince(before.push_time);
            }
        }
        let is_past_failure = given.is_some_and(|given| given.push_time.0 == 0.0);
        let mut after = self.clone();
        let group = after.groups.entry(key.clone()).or_default();
        if !is_past_failure {
            if push.is_put {
                group.families.clear();
            }
            for family in &push.families {
                group.families.insert(family.name.clone(), (self.exposed(&key, family), 0.0));
            }
        }
        let is_timed = |family: &MetricFamily| family.metrics.iter().any(|metric| metric.timestamp.is_some());
        let counts = |family: &&MetricFamily| !is_past_failure && is_last_of_its_name(family, &push.families);
        if !after.is_scrapeable() || push.families.iter().filter(counts).any(is_timed) {
            let later = before.push_time.next_up().max(before.failure_time.next_up());
            let at = if known.is_some() { now.max(later) } else { now };
            let mut failed = self.clone();
            failed.groups.entry(key).or_default().failure_time = at;
            // A failure of a group that looks like another would hide that one.
            if failed.has_keys_of_their_own() {
                *self = failed;
            }
            return Answer::Refused;
        }
        let group = after.groups.entry(key).or_default();
        (group.push_time, group.failure_time) = match given {
            Some(given) if is_past_failure => (before.push_time, given.failure_time.0),
            Some(given) => (given.push_time.0, before.failure_time.max(given.failure_time.0)),
            None if known.is_some() => {
                (now.max(before.push_time.next_up()).max(before.failure_time), before.failure_time)
            }
            None => (now, before.failure_time),
        };
        if !is_past_failure {
            group.limit = push.limit;
            let pushed = group.families.values_mut().filter(|(_, time)| *time == 0.0);
            pushed.for_each(|(_, time)| *time = group.push_time);
        }
        *self = after;
        Answer::Done
    }

    fn delete_if(&mut self, key: &GroupingKey, push_time: f64, failure_time: Option<f64>) -> Answer {
        match self.groups.get(key) {
            Some(group) if group.push_time != push_time => Answer::PushedSince(group.push_time),
            Some(group) if failure_time.is_some_and(|seen| group.failure_time != seen) => {
                Answer::FailedSince(group.failure_time)
            }
            Some(_) | None => {
                self.groups.remove(key);
                Answer::Done
            }
        }
    }

    fn expire(&mut self, now: f64) -> BTreeSet<GroupingKey> {
        let before: BTreeSet<_> = self.groups.keys().cloned().collect();
        self.groups.retain(|_, group| now <= group.last_good());
        before.into_iter().filter(|key| !self.groups.contains_key(key)).collect()
    }

    /// The family with the labels that its series have on the page.
    fn exposed(&self, key: &GroupingKey, family: &MetricFamily) -> MetricFamily {
        let mut family = family.clone();
        for metric in &mut family.metrics {
            metric.labels = self.exposed_labels(key, &metric.labels);
        }
        family
    }

    fn exposed_labels(&self, key: &GroupingKey, labels: &LabelSet) -> LabelSet {
        let mut all = BTreeMap::from([("instance".to_owned(), String::new())]);
        for (name, value) in labels.iter().chain(key.labels().iter()) {
            all.insert(name.to_owned(), value.to_owned());
        }
        let pod = all.get("pod").cloned().unwrap_or_default();
        if self.identity.pod.as_ref().is_some_and(|own| !pod.is_empty() && **own != *pod) {
            all.remove("pod");
            let mut name = "exported_pod".to_owned();
            while all.contains_key(&name) {
                name = format!("exported_{name}");
            }
            all.insert(name, pod);
        }
        all.into_iter().collect()
    }

    fn is_scrapeable(&self) -> bool {
        let families: Vec<_> = self.groups.values().flat_map(|group| group.families.values()).map(|(f, _)| f).collect();
        let mut kinds: BTreeMap<&str, BTreeSet<Kind>> = BTreeMap::new();
        for (name, kind) in OWN_FAMILIES {
            kinds.entry(name).or_default().insert(*kind);
        }
        let mut series = BTreeSet::new();
        let (mut is_once, mut has_good_labels) = (true, true);
        for family in families {
            kinds.entry(&family.name).or_default().insert(family.kind);
            for metric in &family.metrics {
                is_once &= series.insert((&family.name, &metric.labels));
                let is_summary = family.kind == Kind::Summary;
                let is_bad = |name: &str| name.starts_with("__") || (is_summary && name == "quantile");
                has_good_labels &= !metric.labels.iter().any(|(name, _)| is_bad(name));
            }
        }
        let has_one_kind = kinds.values().all(|kinds| kinds.len() == 1);
        let has_no_parts = kinds.iter().all(|(name, of)| {
            let part_of = |suffix: &str| kinds.contains_key(format!("{name}{suffix}").as_str());
            !of.contains(&Kind::Summary) || !["_sum", "_count"].into_iter().any(part_of)
        });
        is_once && has_good_labels && has_one_kind && has_no_parts && self.has_keys_of_their_own()
    }

    fn has_keys_of_their_own(&self) -> bool {
        let keys: BTreeSet<_> = self.groups.keys().map(|key| self.exposed_labels(key, &LabelSet::new())).collect();
        keys.len() == self.groups.len()
    }

    /// All lines of the page, in no order.
    fn lines(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for (key, group) in &self.groups {
            for (family, _) in group.families.values() {
                let MetricFamily { name, help, kind, metrics, .. } = family;
                lines.insert(format!("# TYPE {name} {kind}"));
                if !help.is_empty() {
                    lines.insert(format!("# HELP {name} {help}"));
                }
                for Metric { labels, value, .. } in metrics {
                    match value {
                        Value::Number(number) => lines.extend([format!("{name}{labels} {number}")]),
                        Value::Summary(Summary { sum, .. }) => {
                            lines.extend([format!("{name}_sum{labels} {sum}"), format!("{name}_count{labels} 0")]);
                        }
                        Value::Histogram(_) => panic!("nobody pushes histograms"),
                    }
                }
            }
            let labels = self.exposed_labels(key, &LabelSet::new());
            for (name, word, time) in [
                ("push_time_seconds", "succeeded", group.push_time),
                ("push_failure_time_seconds", "failed", group.failure_time),
            ] {
                let help = format!("Last Unix time when changing this group in the Pushgateway {word}.");
                lines.extend([format!("# HELP {name} {help}"), format!("# TYPE {name} gauge")]);
                lines.insert(format!("{name}{labels} {time}"));
            }
        }
        lines
    }

    fn next_staleness(&self) -> Option<UnixSeconds> {
        let moments = self.groups.values().map(ModelGroup::last_good);
        moments.min_by(f64::total_cmp).map(|last_good| UnixSeconds(last_good.next_up()))
    }
}

fn is_last_of_its_name(family: &MetricFamily, families: &[MetricFamily]) -> bool {
    families.iter().rfind(|other| other.name == family.name).is_some_and(|last| std::ptr::eq(last, family))
}

// === impl ModelGroup ===

impl ModelGroup {
    fn last_good(&self) -> f64 {
        let last = if self.push_time == 0.0 { self.failure_time } else { self.push_time };
        last + self.limit.unwrap_or(DEFAULT_LIMIT)
    }
}

// === The two side by side ===

fn answer(verdict: &Verdict) -> Answer {
    match verdict {
        Verdict::Done => Answer::Done,
        Verdict::Refused(_) => Answer::Refused,
        Verdict::PushedSince { push_time } => Answer::PushedSince(push_time.0),
        Verdict::FailedSince { failure_time } => Answer::FailedSince(failure_time.0),
        Verdict::NotStored(reason) => panic!("{reason}"),
    }
}

/// Numbers as they are, where the page may have an exponent.
fn plain(line: &str) -> String {
    match line.rsplit_once(' ') {
        Some((series, number)) if !line.starts_with('#') => format!("{series} {}", number.parse::<f64>().unwrap()),
        Some(_) | None => line.to_owned(),
    }
}

#[track_caller]
fn is_as_the_model(store: &Store, model: &Model) {
    let page = String::from_utf8(store.page(Escaping::default()).text().to_vec()).unwrap();
    let lines: Vec<_> = page.lines().map(plain).collect();
    let sorted: BTreeSet<_> = lines.iter().cloned().collect();
    assert_eq!(sorted, model.lines());
    assert_eq!(sorted.len(), lines.len(), "a line comes twice");
    let types: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(types.is_sorted(), "{types:?}");
    assert_eq!(store.next_staleness(), model.next_staleness());
    let keys: Vec<_> = store.keys().iter().map(|key| GroupingKey::clone(key)).collect();
    assert_eq!(keys, model.groups.keys().cloned().collect::<Vec<_>>());
    for (key, group) in &model.groups {
        let view = store.group(key).unwrap();
        assert_eq!((view.push_time.0, view.failure_time.0), (group.push_time, group.failure_time));
        let found: Vec<_> =
            view.families().map(|family| (family.head().name.to_owned(), family.pushed_at().0)).collect();
        let expected: Vec<_> = group.families.iter().map(|(name, (_, time))| (name.clone(), *time)).collect();
        assert_eq!(found, expected);
    }
}

fn carry_out(store: &mut Store, model: &mut Model, kept: &Scratch, rules: &Rules, step: &Step, now: f64) {
    let submit = |store: &Store, change| answer(&store.submit(change, UnixSeconds(now)));
    match step {
        Step::Push(push) => assert_eq!(submit(store, push.change(now)), model.push(push, now)),
        Step::Delete { key: index } => {
            assert_eq!(submit(store, Change::remove(key(KEYS[*index]))), Answer::Done);
            model.groups.remove(&key(KEYS[*index]));
        }
        Step::DeleteIf { key: index, is_own, failed } => {
            let key = key(KEYS[*index]);
            let own = model.groups.get(&key).map_or((0.0, 0.0), |group| (group.push_time, group.failure_time));
            let time = if *is_own { own.0 } else { own.0.next_up() };
            let failed = failed.map(|is_own| if is_own { own.1 } else { own.1.next_up() });
            let change = Change::remove_if(key.clone(), UnixSeconds(time));
            let change = match failed {
                Some(seen) => change.and_failure_time(UnixSeconds(seen)),
                None => change,
            };
            assert_eq!(submit(store, change), model.delete_if(&key, time, failed));
        }
        Step::DeleteJob { job } => {
            store.remove_where(|key| key.job() == *job).unwrap();
            model.groups.retain(|key, _| key.job() != *job);
        }
        Step::Wipe => {
            store.remove_where(|_| true).unwrap();
            model.groups.clear();
        }
        Step::Expire => {
            let removed = store.remove_stale(UnixSeconds(now)).unwrap();
            let removed: BTreeSet<_> = removed.iter().map(|key| GroupingKey::clone(key)).collect();
            assert_eq!(removed, model.expire(now));
        }
        Step::Restart { with_checkpoint } => {
            let before = seen(store);
            if *with_checkpoint {
                store.write_checkpoint();
            }
            // Dropped first, since it has the folder locked.
            *store = Store::new();
            *store = kept.open_with(rules.clone());
            assert_eq!(seen(store), before);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_store_is_as_its_model(steps in any_steps(), knows_its_pod in any::<bool>()) {
        let pod = knows_its_pod.then(|| "p".into());
        let identity = Identity { pod, namespace: None, rule: IdentityRule::Rename };
        let stale_after = Some(Duration::from_secs_f64(DEFAULT_LIMIT));
        let rules = Rules { stale_after, identity: identity.clone(), ..Rules::default() };
        let kept = Scratch::new();
        let (mut store, mut model) = (kept.open_with(rules.clone()), Model { identity, ..Model::default() });
        let mut now = 1000.0;
        for (pause, step) in &steps {
            now += pause;
            carry_out(&mut store, &mut model, &kept, &rules, step, now);
            is_as_the_model(&store, &model);
        }
        assert_eq!(kept.counts.torn_tails.get() + kept.counts.damaged_files.get(), 0);
    }
}
