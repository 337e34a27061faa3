//! Removes groups when they grow stale: sleeps until the next one does, and not one moment between.
//!
//! Moments are of the wall clock while sleeping goes by `tokio::time`; [`wait`] is where the one becomes the other. A
//! wall clock that is set while something is due later is noticed within the hour.
//!
//! *Never:* which group is stale, metrics.

use std::time::Duration;

use tokio::{task::yield_now, time::sleep};

use crate::{clock::UnixSeconds, store::Store};

/// The longest sleep while something is due, since the wall clock may be set forward meanwhile.
const LONGEST: Duration = Duration::from_hours(1);

/// The shortest: what grows stale soon after something else goes together with it.
const SHORTEST: Duration = Duration::from_millis(100);

/// Removes what grows stale, for ever, and reports how many groups each time.
pub(crate) async fn run(store: Store, now: impl Fn() -> UnixSeconds, expired: impl Fn(usize)) {
    loop {
        let sleep = async {
            match store.next_staleness() {
                None => std::future::pending().await,
                Some(due) => sleep(wait(due, now())).await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = store.stale_sooner() => continue,
        }
        let count = remove(&store, now()).await;
        if count != 0 {
            expired(count);
            tracing::info!(groups = count, "stale groups removed");
        }
    }
}

/// How long to sleep for something that is due at that moment.
fn wait(due: UnixSeconds, now: UnixSeconds) -> Duration {
    // Neither moment is told by us alone: a difference that makes no duration is one that does not end.
    Duration::try_from_secs_f64((due.0 - now.0).max(0.0)).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
}

/// Removes what is stale at that moment, and lets others work in between.
async fn remove(store: &Store, now: UnixSeconds) -> usize {
    let mut count = 0;
    loop {
        match store.remove_stale(now).len() {
            0 => return count,
            removed => count += removed,
        }
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use protocol::{GroupingKey, PathNames};
    use tokio::time::Instant;

    use super::*;
    use crate::store::{Change, Rules};

    /// A store whose groups may grow ten minutes old, and a wall clock that goes by the paused one and can be set.
    struct Fixture {
        store: Store,
        started: Instant,
        wall_at_start: Cell<f64>,
        looks_at_the_clock: Cell<usize>,
        /// After how many seconds how many groups went.
        expired: RefCell<Vec<(u64, usize)>>,
    }

    impl Fixture {
        fn new() -> Self {
            let rules = Rules { stale_after: Some(Duration::from_mins(10)), ..Rules::default() };
            Self {
                store: Store::with(rules),
                started: Instant::now(),
                wall_at_start: Cell::new(1e9),
                looks_at_the_clock: Cell::new(0),
                expired: RefCell::default(),
            }
        }

        fn now(&self) -> UnixSeconds {
            UnixSeconds(self.wall_at_start.get() + self.started.elapsed().as_secs_f64())
        }

        fn push(&self, job: &str) {
            self.store.submit(push_of(job), self.now());
        }

        /// Lets the task run while the script does.
        async fn during(&self, script: impl Future<Output = ()>) {
            let now = || {
                self.looks_at_the_clock.update(|looks| looks + 1);
                self.now()
            };
            let expired = |count| self.expired.borrow_mut().push((self.started.elapsed().as_secs(), count));
            tokio::select! {
                () = run(self.store.clone(), now, expired) => {}
                () = script => {}
            }
        }
    }

    fn push_of(job: &str) -> Change {
        let path = format!("/metrics/job/{job}");
        Change::replace(GroupingKey::from_path(&path, PathNames::Legacy).unwrap(), Vec::new())
    }

    fn minutes(minutes: u64) -> tokio::time::Sleep {
        sleep(Duration::from_mins(minutes))
    }

    #[tokio::test(start_paused = true)]
    async fn groups_go_when_they_are_older_than_the_limit_and_no_sooner() {
        let it = Fixture::new();
        let script = async {
            it.push("a");
            minutes(5).await;
            it.push("b");
            minutes(20).await;
        };
        it.during(script).await;
        assert_eq!(*it.expired.borrow(), [(600, 1), (900, 1)]);
        assert!(it.store.groups().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_is_pushed_again_stays() {
        let it = Fixture::new();
        let script = async {
            for _ in 0..6 {
                it.push("a");
                minutes(9).await;
            }
        };
        it.during(script).await;
        assert_eq!(*it.expired.borrow(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_that_grows_stale_sooner_than_all_others_wakes_it_and_no_other_push_does() {
        let it = Fixture::new();
        let script = async {
            it.push("a");
            minutes(1).await;
            let looks = it.looks_at_the_clock.get();
            for job in ["a", "b", "c"] {
                it.push(job);
                minutes(1).await;
            }
            assert_eq!(it.looks_at_the_clock.get(), looks);
            it.store.submit(push_of("soon").stale_after(Duration::from_secs(1)), it.now());
            minutes(1).await;
        };
        it.during(script).await;
        assert_eq!(*it.expired.borrow(), [(241, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_sleeps_while_nothing_can_grow_stale() {
        let it = Fixture { store: Store::new(), ..Fixture::new() };
        it.push("a");
        it.during(minutes(100_000)).await;
        assert_eq!(it.looks_at_the_clock.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_keeps_groups_longer_without_asking_all_the_time() {
        let it = Fixture::new();
        let script = async {
            it.push("a");
            minutes(5).await;
            it.wall_at_start.update(|at| at - 86_400.0);
            minutes(23 * 60).await;
            assert_eq!(*it.expired.borrow(), []);
            minutes(2 * 60).await;
        };
        it.during(script).await;
        assert_eq!(*it.expired.borrow(), [(87_000, 1)]);
        assert!(it.looks_at_the_clock.get() < 100, "{}", it.looks_at_the_clock.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_is_noticed_within_the_hour() {
        let it = Fixture::new();
        it.store.submit(push_of("a").stale_after(Duration::from_hours(24)), it.now());
        it.during(async {
            minutes(30).await;
            it.wall_at_start.update(|at| at + 86_400.0);
            minutes(31).await;
        })
        .await;
        assert_eq!(*it.expired.borrow(), [(3600, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_groups_goes_in_one_report() {
        let it = Fixture::new();
        (0..2500).for_each(|job| it.push(&job.to_string()));
        it.during(minutes(11)).await;
        assert_eq!(*it.expired.borrow(), [(600, 2500)]);
    }

    #[test]
    fn a_wait_is_neither_too_short_nor_too_long() {
        let check = |due: f64, now: f64, expected| assert_eq!(wait(UnixSeconds(due), UnixSeconds(now)), expected);
        check(100.0, 90.0, Duration::from_secs(10));
        check(90.0, 100.0, SHORTEST);
        check(100.0, 100.0, SHORTEST);
        check(1e30, 0.0, LONGEST);
        check(f64::INFINITY, 0.0, LONGEST);
    }
}
