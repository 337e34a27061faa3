//! Pushes that took place in the past.

use super::*;

impl Fixture {
    /// A PUT with these times; 0 stands for "never".
    fn put_at(&mut self, key: &str, body: &str, push_time: f64, failure_time: f64) -> Verdict {
        let times = Times { push_time: UnixSeconds(push_time), failure_time: UnixSeconds(failure_time) };
        self.submit(Change::replace(path(key), families(body)).with_times(times))
    }
}

fn moved_on(push_time: f64) -> Verdict {
    Verdict::PushedSince { push_time: UnixSeconds(push_time) }
}

#[test]
fn a_push_of_the_past_brings_its_times() {
    let mut it = Fixture::new();
    assert_eq!(it.put_at("j", "x 1\n", 50.0, 40.0), Verdict::Done);
    assert_eq!(it.times("j"), (50.0, 40.0));
    assert_eq!(it.index.groups.find(&path("j")).unwrap().family("x").unwrap().time, UnixSeconds(50.0));
    assert_eq!(it.index.groups_pushed_after(0), 1);
    it.put("j", "x 2\n");
    assert_eq!(it.times("j"), (102.0, 40.0));
}

#[test]
fn a_group_that_was_pushed_since_is_left_alone() {
    let mut it = Fixture::new();
    it.put("j", "x 1\n");
    let before = (it.page(), it.index.revision);
    for push_time in [50.0, 101.0] {
        assert_eq!(it.put_at("j", "x 2\n", push_time, 200.0), moved_on(101.0));
        // Even if it would be refused.
        assert_eq!(it.put_at("j", "x 2 5\n", push_time, 200.0), moved_on(101.0));
    }
    assert_eq!((it.page(), it.index.revision), before);
}

#[test]
fn a_post_of_the_past_keeps_the_other_families_with_their_times() {
    let mut it = Fixture::new();
    it.put_at("j", "x 1\ny 1\n", 50.0, 0.0);
    let times = Times { push_time: UnixSeconds(60.0), failure_time: UnixSeconds::NEVER };
    assert_eq!(it.submit(Change::merge(path("j"), families("x 2\n")).with_times(times)), Verdict::Done);
    let group = it.index.groups.find(&path("j")).unwrap();
    assert_eq!((group.family("x").unwrap().time.0, group.family("y").unwrap().time.0), (60.0, 50.0));
}

#[test]
fn the_later_failure_time_counts() {
    let mut it = Fixture::new();
    it.put_at("j", "", 10.0, 40.0);
    it.put_at("j", "", 20.0, 30.0);
    assert_eq!(it.times("j"), (20.0, 40.0));
    it.put_at("j", "", 30.0, 50.0);
    assert_eq!(it.times("j"), (30.0, 50.0));
}

#[test]
fn a_group_that_saw_only_refused_pushes_is_taken_over_with_its_failure_time() {
    let mut it = Fixture::new();
    assert_eq!(it.put_at("j", "", 0.0, 40.0), Verdict::Done);
    assert_eq!(it.times("j"), (0.0, 40.0));
    assert_eq!(it.index.groups_pushed_after(0), 0);
    assert_eq!(it.put_at("j", "", 0.0, 40.0), moved_on(0.0));
    assert_eq!(it.put_at("j", "x 1\n", 0.0, 41.0), Verdict::Done);
    assert_eq!((it.times("j"), it.samples().as_str()), ((0.0, 41.0), ""));
    assert_eq!(it.put_at("j", "x 1\n", 30.0, 0.0), Verdict::Done);
    assert_eq!(it.times("j"), (30.0, 41.0));
    assert_eq!(it.put_at("j", "", 0.0, 50.0), moved_on(30.0));
}

#[test]
fn a_push_of_the_past_that_does_not_fit_is_refused_now() {
    let mut it = Fixture::new();
    it.put_at("j", "x 1\n", 50.0, 0.0);
    assert!(matches!(it.put_at("j", "x 1 5\n", 60.0, 0.0), Verdict::Refused(_)));
    assert_eq!(it.times("j"), (50.0, 102.0));
}

#[test]
fn a_failure_time_of_a_key_that_looks_like_another_leaves_no_trace() {
    let mut it = Fixture::new();
    it.put("j", "");
    let before = it.page();
    assert!(matches!(it.put_at("j/instance/", "", 0.0, 40.0), Verdict::Refused(_)));
    assert_eq!(it.page(), before);
}

#[test]
fn a_push_of_the_past_can_be_stale_at_once() {
    let mut it = Fixture::with(Rules { stale_after: Some(Duration::from_secs(10)), ..Rules::default() });
    it.put("new", "");
    it.put_at("old", "", 50.0, 0.0);
    it.put_at("failed", "", 0.0, 40.0);
    let stale: Vec<_> = it.index.stale(UnixSeconds(102.0)).map(|key| key.job()).collect();
    assert_eq!(stale, ["failed", "old"]);
}
