//! When groups grow stale: by the store's rule, by their own, by their failure time.

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Fixture {
    /// A store whose groups may grow so many seconds old.
    fn growing(stale_after: u64) -> Self {
        Self::with(Rules { stale_after: Some(seconds(stale_after)), ..Rules::default() })
    }

    fn put_with_limit(&mut self, key: &str, limit: u64) {
        let change = Change::replace(path(key), Vec::new()).stale_after(seconds(limit));
        assert_eq!(self.submit(change), Verdict::Done);
    }

    /// The jobs that are stale at that time.
    fn stale(&self, now: f64) -> Vec<&str> {
        self.index.stale(UnixSeconds(now)).map(|key| key.job()).collect()
    }

    /// The last time at which no group is stale.
    #[track_caller]
    fn grows_stale_after(&self, expected: Option<f64>) {
        assert_eq!(self.index.next_staleness(), expected.map(|time| UnixSeconds(time).next()));
        if let Some(time) = expected {
            assert!(self.stale(time).is_empty() && !self.stale(UnixSeconds(time).next().0).is_empty());
        }
    }
}

#[test]
fn a_group_is_stale_when_it_is_older_than_the_limit() {
    let mut it = Fixture::growing(10);
    it.grows_stale_after(None);
    it.put("a", "x 1\n");
    it.put("b", "y 1\n");
    it.grows_stale_after(Some(111.0));
    assert_eq!(it.stale(111.5), ["a"]);
    assert_eq!(it.stale(112.0), ["a"]);
    assert_eq!(it.stale(112.5), ["a", "b"]);
    it.post("a", "");
    it.grows_stale_after(Some(112.0));
    assert_eq!(it.stale(112.5), ["b"]);
}

#[test]
fn without_a_limit_nothing_grows_stale() {
    let mut it = Fixture::new();
    it.put("a", "x 1\n");
    it.grows_stale_after(None);
    assert!(it.stale(f64::MAX).is_empty());
}

#[test]
fn the_limit_of_the_last_accepted_push_counts_before_the_rule() {
    let mut it = Fixture::growing(10);
    it.put_with_limit("j", 3);
    it.grows_stale_after(Some(104.0));
    // Refused, so that it changes neither the limit nor what it is counted from.
    let refused = Change::merge(path("j"), families("x 1 5\n")).stale_after(seconds(50));
    assert!(matches!(it.submit(refused), Verdict::Refused(_)));
    it.grows_stale_after(Some(104.0));
    it.put_with_limit("j", 50);
    it.grows_stale_after(Some(153.0));
    it.post("j", "");
    it.grows_stale_after(Some(114.0));
}

#[test]
fn a_limit_of_its_own_needs_no_rule() {
    let mut it = Fixture::new();
    it.put_with_limit("j", 3);
    it.grows_stale_after(Some(104.0));
    it.put("j", "");
    it.grows_stale_after(None);
}

#[test]
fn while_no_push_was_accepted_the_failure_time_counts() {
    let mut it = Fixture::growing(10);
    it.put("j", "x 1 5\n");
    it.grows_stale_after(Some(111.0));
    it.put("j", "x 1 5\n");
    it.grows_stale_after(Some(112.0));
    it.put("j", "");
    it.put("j", "x 1 5\n");
    it.grows_stale_after(Some(113.0));
}

#[test]
fn a_removed_group_grows_stale_no_more() {
    let mut it = Fixture::growing(10);
    it.put("a", "");
    it.put_with_limit("b", 3);
    it.submit(Change::remove(path("b")));
    it.grows_stale_after(Some(111.0));
    it.submit(Change::remove_if(path("a"), UnixSeconds(101.0)));
    it.grows_stale_after(None);
}

#[test]
fn a_limit_without_end_is_one() {
    let mut it = Fixture::new();
    it.submit(Change::replace(path("j"), Vec::new()).stale_after(Duration::MAX));
    assert!(it.stale(1e18).is_empty());
}

#[test]
fn a_group_that_is_kept_until_it_was_seen_is_stale_no_sooner_whatever_else_happens_to_it() {
    let mut it = Fixture::with(Rules { stale_after: Some(seconds(10)), keeps_unseen: true, ..Rules::default() });
    it.put("a", "x 1\n");
    it.put("b", "y 1\n");
    it.grows_stale_after(None);
    it.index.scraped(1);
    it.grows_stale_after(Some(111.0));
    // Refused: it stays seen, and the failure time does not count.
    it.put("a", "x 1 5\n");
    it.grows_stale_after(Some(111.0));
    it.put("a", "x 2\n");
    it.grows_stale_after(None);
    it.index.scraped(2);
    it.grows_stale_after(Some(112.0));
    it.submit(Change::remove(path("a")));
    it.index.scraped(u64::MAX);
    it.grows_stale_after(Some(112.0));
    // An older scrape that ends later takes nothing back.
    it.index.scraped(1);
    it.put("c", "z 1\n");
    assert_eq!(it.stale(1000.0), ["b", "c"]);
}
