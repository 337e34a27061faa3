//! How much may be stored: groups, series of a group, series in all.
//!
//! What a push replaces does not count, and a push that adds nothing always fits, so that a limit that was lowered, or
//! is reached, stops growth and nothing else. The push times of a group are not counted. A histogram or a summary is one
//! series.
//!
//! *Never:* what is in the series, flags' values.

use protocol::flags;

use super::{
    change::{Objection, Scope},
    group::{Group, Prepared},
    index::Index,
};

/// The limits of a store; `usize::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Groups.
    pub groups: usize,
    /// Series of one group.
    pub group_series: usize,
    /// Series of all groups.
    pub series: usize,
}

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// See [`Limits::groups`].
    Groups,
    /// See [`Limits::group_series`].
    GroupSeries,
    /// See [`Limits::series`].
    Series,
}

/// How many series a push takes the place of, and how many it brings.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    replaced: usize,
    pushed: usize,
}

/// Why there is no room for the push, if there is none.
pub(super) fn objection(index: &Index, group: Option<&Group>, push: &Prepared, scope: Scope) -> Option<Objection> {
    let Limits { groups, group_series, series } = index.limits;
    let stored = index.counts();
    let full = |limit, at_most, found| (at_most < found).then_some(Objection::Full { limit, at_most, found });
    if group.is_none()
        && let Some(full) = full(Limit::Groups, groups, stored.groups + 1)
    {
        return Some(full);
    }
    let Exchange { replaced, pushed } = Exchange::of(group, push, scope);
    if pushed <= replaced {
        return None;
    }
    let in_all = (stored.series + pushed).saturating_sub(replaced);
    // Where all series are few enough, those of the group are, and need not be counted.
    let of_group = || (group.map_or(0, Group::series) + pushed).saturating_sub(replaced);
    let of_group = if in_all <= group_series { None } else { full(Limit::GroupSeries, group_series, of_group()) };
    of_group.or_else(|| full(Limit::Series, series, in_all))
}

// === impl Limits ===

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { groups: usize::MAX, group_series: usize::MAX, series: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

// === impl Limit ===

impl Limit {
    /// The flag that sets it.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Groups => flags::MAX_GROUPS,
            Self::GroupSeries => "--storage.max-group-series",
            Self::Series => flags::MAX_SERIES,
        }
    }

    pub(super) fn of_what(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::GroupSeries => "series in the group",
            Self::Series => "series in all groups together",
        }
    }
}

// === impl Exchange ===

impl Exchange {
    fn of(group: Option<&Group>, push: &Prepared, scope: Scope) -> Self {
        let pushed = push.families.iter().map(|family| family.series.len()).sum();
        let replaced = match (group, scope) {
            (None, _) => 0,
            (Some(group), Scope::Group) => group.series(),
            (Some(group), Scope::Families) => push.families.iter().map(|family| group.series_of(&family.name)).sum(),
        };
        Self { replaced, pushed }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{GroupingKey, NameValidation, PathNames};

    use super::*;
    use crate::{
        clock::UnixSeconds,
        exposition::text,
        store::{Change, Rules, Store, Verdict},
    };

    /// A store and its time.
    struct Fixture {
        store: Store,
        now: f64,
    }

    // === impl Fixture ===

    impl Fixture {
        fn with(limits: Limits) -> Self {
            Self { store: Store::with(Rules { limits, ..Rules::default() }), now: 0.0 }
        }

        fn submit(&mut self, change: Change) -> Verdict {
            self.now += 1.0;
            self.store.submit(change, UnixSeconds(self.now))
        }

        #[track_caller]
        fn put(&mut self, job: &str, body: &str) -> Verdict {
            self.submit(Change::replace(key(job), families(body)))
        }

        #[track_caller]
        fn post(&mut self, job: &str, body: &str) -> Verdict {
            self.submit(Change::merge(key(job), families(body)))
        }

        fn failure_time(&self, job: &str) -> Option<f64> {
            self.store.group(&key(job)).map(|group| group.failure_time.0)
        }
    }

    fn key(job: &str) -> GroupingKey {
        GroupingKey::from_path(&format!("/metrics/job/{job}"), PathNames::Legacy).unwrap()
    }

    fn families(body: &str) -> Vec<crate::exposition::MetricFamily> {
        text::decode(body.as_bytes(), NameValidation::Legacy).unwrap()
    }

    fn full(limit: Limit, at_most: usize, found: usize) -> Verdict {
        Verdict::Refused(vec![Objection::Full { limit, at_most, found }])
    }

    #[test]
    fn a_new_group_beyond_the_limit_is_refused_without_a_trace_and_known_ones_go_on() {
        let mut it = Fixture::with(Limits { groups: 2, ..Limits::NONE });
        assert_eq!(it.put("a", "x 1\n"), Verdict::Done);
        assert_eq!(it.put("b", "y{a=\"1\"} 1\n"), Verdict::Done);
        let refused = it.put("c", "z 1\n");
        assert_eq!(refused, full(Limit::Groups, 2, 3));
        assert_eq!(it.failure_time("c"), None);
        assert_eq!(it.put("a", "x 2\n"), Verdict::Done);
        it.submit(Change::remove(key("b")));
        assert_eq!(it.put("c", "z 1\n"), Verdict::Done);
        let Verdict::Refused(why) = refused else { panic!("expected a refusal") };
        assert_eq!(
            why[0].to_string(),
            "expected at most 2 groups, found 3 with this push; `--storage.max-groups` sets the limit"
        );
    }

    #[test]
    fn series_of_a_group_are_limited_and_what_a_push_replaces_does_not_count() {
        let mut it = Fixture::with(Limits { group_series: 3, ..Limits::NONE });
        assert_eq!(it.put("a", "x 1\ny{a=\"1\"} 1\ny{a=\"2\"} 1\n"), Verdict::Done);
        // At the limit, it takes the place of itself.
        assert_eq!(it.put("a", "x 2\ny{a=\"1\"} 1\ny{a=\"3\"} 1\n"), Verdict::Done);
        assert_eq!(it.post("a", "y{a=\"7\"} 1\ny{a=\"8\"} 1\n"), Verdict::Done);
        assert_eq!(it.post("a", "z 1\n"), full(Limit::GroupSeries, 3, 4));
        assert_eq!(it.failure_time("a"), Some(4.0));
        assert_eq!(it.post("a", "x{a=\"1\"} 1\nx{a=\"2\"} 1\n"), full(Limit::GroupSeries, 3, 4));
        assert_eq!(it.put("b", "a 1\nb 1\nc 1\nd 1\n"), full(Limit::GroupSeries, 3, 4));
        assert_eq!(it.failure_time("b"), None);
        // Other groups have a limit of their own.
        assert_eq!(it.put("b", "a 1\nb 1\nc 1\n"), Verdict::Done);
    }

    #[test]
    fn series_of_all_groups_are_limited() {
        let mut it = Fixture::with(Limits { series: 3, ..Limits::NONE });
        assert_eq!(it.put("a", "x 1\n"), Verdict::Done);
        assert_eq!(it.put("b", "x 1\n# TYPE h histogram\nh_count 1\nh_sum 1\nh_bucket{le=\"1\"} 1\n"), Verdict::Done);
        assert_eq!(it.put("c", "x 1\n"), full(Limit::Series, 3, 4));
        assert_eq!(it.failure_time("c"), None);
        assert_eq!(it.put("b", "x 1\ny 1\nz 1\n"), full(Limit::Series, 3, 4));
        assert_eq!(it.failure_time("b"), Some(4.0));
        assert_eq!(it.put("b", "x 1\n"), Verdict::Done);
        assert_eq!(it.put("c", "x 1\n"), Verdict::Done);
        assert_eq!(it.put("d", ""), Verdict::Done);
        it.submit(Change::remove(key("c")));
        assert_eq!(it.put("d", "y 1\n"), Verdict::Done);
    }

    #[test]
    fn what_is_inconsistent_is_told_first() {
        let mut it = Fixture::with(Limits { series: 1, ..Limits::NONE });
        assert_eq!(it.put("a", "x 1\n"), Verdict::Done);
        let Verdict::Refused(why) = it.put("b", "# TYPE x counter\nx 1\n") else { panic!("expected a refusal") };
        assert!(matches!(&why[..], [Objection::Type { .. }]), "{why:?}");
    }

    #[test]
    fn a_push_that_failed_before_it_came_here_leaves_its_time_where_the_group_is_known() {
        let mut it = Fixture::with(Limits::NONE);
        assert_eq!(it.submit(Change::fail(key("a"))), Verdict::Done);
        assert_eq!(it.failure_time("a"), None);
        it.put("a", "x 1\n");
        it.submit(Change::fail(key("a")));
        assert_eq!(it.failure_time("a"), Some(3.0));
    }
}
