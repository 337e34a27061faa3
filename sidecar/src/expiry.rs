//! Removes groups when they grow stale: sleeps until the next one does, and not one moment between.
//!
//! Moments are of the wall clock while sleeping goes by `tokio::time`; [`wait`] is where the one becomes the other. A
//! wall clock that is set while something is due later is noticed within the hour. One that is set forward ages every
//! group by as much, and may remove them all.
//!
//! In a sidecar a group that nobody has scraped is never removed for its age: it would go unseen. It goes at the first
//! look after its scrape.
//!
//! *Never:* which group is stale, metrics.

use std::{sync::Arc, time::Duration};

use protocol::{Excerpt, GroupingKey};
use tokio::{task::yield_now, time::sleep};

use crate::{clock::UnixSeconds, lifecycle::SeenRevisions, store::Store};

/// The longest sleep while something is due, since the wall clock may be set forward meanwhile.
const LONGEST: Duration = Duration::from_hours(1);

/// The shortest: what grows stale soon after something else goes together with it.
const SHORTEST: Duration = Duration::from_millis(100);

/// How long to leave groups that the storage does not let go.
const RETRY: Duration = Duration::from_secs(30);

/// How many removed groups the log names.
const MOST_NAMED: usize = 5;

/// What went.
#[derive(Default)]
struct Removed {
    count: usize,
    /// The keys of the first few.
    named: Vec<Arc<GroupingKey>>,
    /// Whether there is more that cannot go now.
    is_stuck: bool,
}

/// Removes what grows stale, for ever, and reports how many groups each time. With `seen`, it tells the store what was
/// scraped.
pub(crate) async fn run(
    store: Store,
    mut seen: Option<SeenRevisions>,
    now: impl Fn() -> UnixSeconds,
    expired: impl Fn(usize),
) {
    if let Some(seen) = &mut seen {
        store.scraped(seen.revision());
    }
    loop {
        let due = async {
            match store.next_staleness() {
                None => std::future::pending().await,
                Some(moment) => sleep(wait(moment, now())).await,
            }
        };
        tokio::select! {
            () = due => {}
            () = store.stale_sooner() => continue,
            // A look at once, since a sleep that each scrape begins anew may never end.
            revision = newly_seen(&mut seen) => store.scraped(revision),
        }
        let Removed { count, named, is_stuck } = remove(&store, now()).await;
        if count != 0 {
            expired(count);
            tracing::info!(groups = count, keys = listed(&named, count), "stale groups removed");
        }
        if is_stuck {
            sleep(RETRY).await;
        }
    }
}

/// The next revision that a complete scrape has shown.
async fn newly_seen(seen: &mut Option<SeenRevisions>) -> u64 {
    match seen {
        Some(seen) => {
            seen.changed().await;
            seen.revision()
        }
        None => std::future::pending().await,
    }
}

/// The keys as the log has them.
fn listed(named: &[Arc<GroupingKey>], count: usize) -> String {
    let mut listed: Vec<_> = named.iter().map(|key| Excerpt::of(key).to_string()).collect();
    if named.len() < count {
        listed.push("…".to_owned());
    }
    listed.join(" ")
}

/// How long to sleep for something that is due at that moment.
fn wait(due: UnixSeconds, now: UnixSeconds) -> Duration {
    // Neither moment is told by us alone: a difference that makes no duration is one that does not end.
    Duration::try_from_secs_f64((due.0 - now.0).max(0.0)).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
}

/// Removes what is stale at that moment, and lets others work in between.
async fn remove(store: &Store, now: UnixSeconds) -> Removed {
    let mut all = Removed::default();
    loop {
        // Why it failed is in the log already.
        let removed = store.remove_stale(now);
        all.is_stuck = removed.is_err();
        let removed = removed.unwrap_or_default();
        if removed.is_empty() {
            return all;
        }
        all.count += removed.len();
        all.named.extend(removed.into_iter().take(MOST_NAMED - all.named.len()));
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use protocol::PathNames;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        exposition::Escaping,
        lifecycle::{self, HoldOpen, Scrapes},
        persist::Storage,
        store::{Change, Rules},
    };

    /// A store whose groups may grow ten minutes old, and a wall clock that goes by the paused one and can be set.
    struct Fixture {
        store: Store,
        started: Instant,
        wall_at_start: Cell<f64>,
        looks_at_the_clock: Cell<usize>,
        /// After how many seconds how many groups went.
        expired: RefCell<Vec<(u64, usize)>>,
        /// What was scraped, in a sidecar.
        scrapes: Option<Scrapes>,
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
                scrapes: None,
            }
        }

        /// The same in a sidecar.
        fn sidecar() -> Self {
            let rules = Rules { stale_after: Some(Duration::from_mins(10)), keeps_unseen: true, ..Rules::default() };
            Self { store: Store::with(rules), scrapes: Some(Scrapes::default()), ..Self::new() }
        }

        /// A complete scrape.
        fn scrape(&self) {
            self.scrapes.as_ref().unwrap().seen(self.store.page(Escaping::default()).revision);
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
                () = run(self.store.clone(), self.scrapes.as_ref().map(Scrapes::subscribe), now, expired) => {}
                () = script => {}
            }
        }
    }

    fn key_of(job: &str) -> GroupingKey {
        GroupingKey::from_path(&format!("/metrics/job/{job}"), PathNames::Legacy).unwrap()
    }

    fn push_of(job: &str) -> Change {
        Change::replace(key_of(job), Vec::new())
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
        assert!(it.store.keys().is_empty());
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

    #[tokio::test(start_paused = true)]
    async fn what_the_storage_does_not_let_go_stays_and_is_tried_again_now_and_then() {
        let mut it = Fixture::new();
        let folder = std::env::temp_dir().join(format!("sidegate-expiry-{}", std::process::id()));
        let storage = Storage { folder: folder.clone(), is_synced: false, interval: Duration::from_mins(5) };
        it.store.keep_in(&storage, &Arc::default()).unwrap();
        it.push("a");
        it.store.break_storage();
        it.during(minutes(60)).await;
        assert_eq!(*it.expired.borrow(), []);
        assert_eq!(it.store.keys().len(), 1);
        // For fifty minutes, every thirty seconds and a moment.
        assert!((50..220).contains(&it.looks_at_the_clock.get()), "{}", it.looks_at_the_clock.get());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_sidecar_no_group_goes_that_no_scrape_has_shown_and_it_goes_soon_after_that() {
        let it = Fixture::sidecar();
        let script = async {
            it.push("a");
            minutes(1).await;
            it.scrape();
            it.push("a");
            it.push("b");
            minutes(24 * 60).await;
            assert_eq!(*it.expired.borrow(), []);
            let looks = it.looks_at_the_clock.get();
            minutes(24 * 60).await;
            assert_eq!(it.looks_at_the_clock.get(), looks);
            it.push("late");
            it.scrape();
            minutes(1).await;
            assert_eq!(*it.expired.borrow(), [(60 + 2 * 86_400, 2)]);
            minutes(20).await;
        };
        it.during(script).await;
        assert_eq!(*it.expired.borrow(), [(60 + 2 * 86_400, 2), (60 + 2 * 86_400 + 600, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_sidecar_old_groups_go_however_often_others_are_pushed_and_scraped() {
        let it = Fixture::sidecar();
        let script = async {
            it.push("a");
            minutes(20).await;
            for _ in 0..100 {
                it.push("b");
                it.scrape();
                sleep(SHORTEST / 2).await;
            }
            assert_eq!(*it.expired.borrow(), [(1200, 1)]);
        };
        it.during(script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_sidecar_a_group_that_no_push_was_accepted_of_goes_by_its_age_beside_an_unseen_one() {
        let it = Fixture::sidecar();
        let script = async {
            it.push("unseen");
            minutes(20).await;
            let families = crate::exposition::text::decode(b"x 1 5\n", protocol::NameValidation::Legacy).unwrap();
            it.store.submit(Change::replace(key_of("refused"), families), it.now());
            minutes(20).await;
        };
        it.during(script).await;
        assert_eq!(*it.expired.borrow(), [(1800, 1)]);
        assert_eq!(it.store.keys().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_word_of_a_sidecar_counts_the_old_groups_that_nobody_has_seen() {
        let it = Fixture::sidecar();
        let file = std::env::temp_dir().join(format!("sidegate-word-{}-expiry", std::process::id()));
        let hold =
            HoldOpen { deadline: Duration::ZERO, pod_deadline: None, termination_message_file: Some(file.clone()) };
        let word = || {
            let mut seen = it.scrapes.as_ref().unwrap().subscribe();
            lifecycle::last_word(&hold, &it.store, &mut seen);
            std::fs::read_to_string(&file).unwrap()
        };
        it.during(async {
            it.push("a");
            minutes(60).await;
            assert_eq!(word(), "1 groups unseen");
            it.scrape();
            minutes(1).await;
            assert_eq!(word(), "");
        })
        .await;
        assert_eq!(it.expired.borrow().len(), 1);
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn the_log_names_the_first_few_groups() {
        let keys: Vec<_> = ["a", "b"].map(|job| Arc::new(key_of(job))).into();
        assert_eq!(listed(&keys, 2), r#"{job="a"} {job="b"}"#);
        assert_eq!(listed(&keys, 3), r#"{job="a"} {job="b"} …"#);
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
