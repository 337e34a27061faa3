//! Histories of pushes, refusals, looks and clocks: what the parts that decide make of them, put together as a visit
//! does, beside a sidecar that keeps its promise about conditional removals.

use proptest::prelude::*;
use protocol::{GroupingKey, LabelSet};

use super::*;
use crate::{
    gc::{
        policy::{Policy, expired, first_staleness},
        target_clock::TargetClock,
    },
    sidecar::{client::Seen, push_times::GroupAge},
};

/// A group in a sidecar.
#[derive(Clone, Debug, Default)]
struct Stored {
    push_time: f64,
    failure_time: f64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait { millis: u32 },
    Push { group: usize },
    Refuse { group: usize },
    Look { look: Look, meanwhile: Option<(usize, bool)> },
}

/// How long the parts of a look take, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// How old the `Date` is: servers renew it now and then.
    date: u32,
    answer: u32,
    work: u32,
    removal: u32,
}

/// The sidecar with its clock, as far as removals go.
struct World {
    /// Of the sidecar, in seconds.
    now: f64,
    started: Instant,
    passed: Duration,
    /// How many milliseconds our clock is ahead.
    ahead: i64,
    policy: Policy,
    /// By job, what is allowed.
    limits: [Option<u32>; 2],
    groups: Vec<Option<Stored>>,
}

const JOBS: [&str; 4] = ["a", "b", "a", "b"];

// === impl World ===

impl World {
    fn new(limits: [Option<u32>; 2], ahead: i64) -> Self {
        let limit = |limit: Option<u32>| limit.map(|seconds| format!("{seconds}s"));
        let mut spec = json!({"rules": [{"match": {"job": "a"}}]});
        if let Some(limit) = limit(limits[0]) {
            spec["rules"][0]["staleAfter"] = json!(limit);
        }
        if let Some(limit) = limit(limits[1]) {
            spec["staleAfter"] = json!(limit);
        }
        let policy = Policy::compile(&serde_json::from_value(spec).unwrap()).unwrap();
        let now = f64::from(u32::try_from(NOW).unwrap());
        let (started, passed) = (Instant::now(), Duration::ZERO);
        Self { now, started, passed, ahead, policy, limits, groups: vec![None; JOBS.len()] }
    }

    fn wait(&mut self, millis: u32) {
        self.passed += Duration::from_millis(u64::from(millis));
        self.now += f64::from(millis) / 1000.0;
    }

    fn push(&mut self, group: usize, is_accepted: bool) {
        let now = self.now;
        let stored = self.groups[group].get_or_insert_default();
        let latest = stored.push_time.max(stored.failure_time).next_up();
        let time = now.max(latest);
        if is_accepted { stored.push_time = time } else { stored.failure_time = time }
    }

    fn page(&self) -> Vec<GroupAge> {
        let shown = |(index, stored): (usize, &Option<Stored>)| {
            let Stored { push_time, failure_time } = stored.clone()?;
            let labels = [("job", JOBS[index].to_owned()), ("n", index.to_string())];
            let key = GroupingKey::from_labels(labels.into_iter().collect::<LabelSet>()).unwrap();
            let (push_time_text, failure_time_text) = (push_time.to_string(), failure_time.to_string());
            Some(GroupAge { key, push_time, push_time_text, failure_time, failure_time_text })
        };
        self.groups.iter().enumerate().filter_map(shown).collect()
    }

    /// The answer of a sidecar to a reader, and the clock that the reader makes of it.
    fn read(&mut self, look: Look) -> (Vec<GroupAge>, TargetClock) {
        let (page, date) = (self.page(), self.now - f64::from(look.date) / 1000.0);
        let date = SignedDuration::try_from_secs_f64(date.floor()).unwrap();
        self.wait(look.answer);
        let ours = SignedDuration::try_from_secs_f64(self.now).unwrap() + SignedDuration::from_millis(self.ahead);
        let moment = |since_1970| Timestamp::from_duration(since_1970).unwrap();
        (page, TargetClock::of(Some(moment(date)), moment(ours), self.started + self.passed).unwrap())
    }

    fn age(&self, stored: &Stored) -> f64 {
        let since = if stored.push_time == 0.0 { stored.failure_time } else { stored.push_time };
        self.now - since
    }

    /// Removes a group as a sidecar does, and says what it was like.
    fn remove(&mut self, key: &GroupingKey, seen: Seen<'_>) -> Option<(usize, Stored)> {
        let index: usize = key.labels().get("n").unwrap().parse().unwrap();
        let stored = self.groups[index].clone()?;
        let same = |text: &str, time: f64| text.parse::<f64>().unwrap().to_bits() == time.to_bits();
        let is_same = same(seen.push_time, stored.push_time)
            && seen.failure_time.is_none_or(|failure_time| same(failure_time, stored.failure_time));
        is_same.then(|| {
            self.groups[index] = None;
            (index, stored)
        })
    }

    /// Looks and removes; what was removed, with the limit it had.
    fn look(&mut self, look: Look, meanwhile: Option<(usize, bool)>) -> Vec<(Stored, f64, Option<u32>)> {
        let (page, clock) = self.read(look);
        self.wait(look.work);
        let stale = expired(&page, &self.policy, clock.shows(self.started + self.passed));
        if let Some((group, is_accepted)) = meanwhile {
            self.push(group, is_accepted);
        }
        let mut removed = Vec::new();
        for expired in stale {
            self.wait(look.removal);
            if let Some((index, stored)) = self.remove(&expired.group.key, Seen::of(expired.group)) {
                let age = self.age(&stored);
                removed.push((stored, age, self.limits[usize::from(JOBS[index] != "a")]));
            }
        }
        removed
    }
}

fn look() -> impl Strategy<Value = Look> {
    (0_u32..1000, 0_u32..5000, 0_u32..2000, 0_u32..5000)
        .prop_map(|(date, answer, work, removal)| Look { date, answer, work, removal })
}

fn step() -> impl Strategy<Value = Step> {
    let group = 0..JOBS.len();
    prop_oneof![
        4 => (0_u32..40_000).prop_map(|millis| Step::Wait { millis }),
        3 => group.clone().prop_map(|group| Step::Push { group }),
        1 => group.clone().prop_map(|group| Step::Refuse { group }),
        4 => (look(), prop::option::of((group, any::<bool>())))
            .prop_map(|(look, meanwhile)| Step::Look { look, meanwhile }),
    ]
}

fn limits() -> impl Strategy<Value = [Option<u32>; 2]> {
    [prop::option::weighted(0.8, 1_u32..60), prop::option::weighted(0.8, 1_u32..60)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_history_makes_a_group_go_that_is_younger_than_its_limit(
        limits in limits(),
        ahead in -80_000_000_i64..80_000_000,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(limits, ahead);
        for step in steps {
            match step {
                Step::Wait { millis } => world.wait(millis),
                Step::Push { group } => world.push(group, true),
                Step::Refuse { group } => world.push(group, false),
                Step::Look { look, meanwhile } => {
                    for (stored, age, limit) in world.look(look, meanwhile) {
                        let limit = limit.map(f64::from);
                        prop_assert!(limit.is_some_and(|limit| limit < age), "{stored:?} {age} {limit:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_look_at_the_moment_that_was_named_finds_the_group_that_nobody_pushed(
        limit in 1_u32..60,
        ahead in -80_000_000_i64..80_000_000,
        ages in prop::collection::vec(0_u32..59_000, 1..4),
        first in look(),
        second in look(),
    ) {
        let mut world = World::new([Some(limit), Some(limit)], ahead);
        for (group, millis) in ages.into_iter().enumerate() {
            world.push(group, group % 2 == 0);
            world.wait(millis);
        }
        let (page, clock) = world.read(first);
        let stale = expired(&page, &world.policy, clock.showed()).len();
        let named = first_staleness(&page, &world.policy, clock.showed()).unwrap();
        if stale < page.len() {
            // A `Date` that is as old as can be, cut to whole seconds.
            let slack = Duration::from_secs(2);
            world.wait(u32::try_from((named + slack).as_millis()).unwrap() + 1);
            let (page, clock) = world.read(second);
            let found = expired(&page, &world.policy, clock.showed()).len();
            prop_assert!(stale < found, "{stale} {found} {named:?}");
        }
    }
}
