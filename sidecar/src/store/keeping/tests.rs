//! What a store has after a restart: all of it where the files are whole, and nothing wrong where they are not.

mod damage;
mod identity;
mod model;
mod repeat;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use protocol::{GroupingKey, NameValidation, PathNames};

use super::*;
use crate::{
    clock::UnixSeconds,
    exposition::{Escaping, openmetrics, text},
    persist::NotStored,
    store::{Change, Identity, Rules, Times, Timestamps, Verdict},
};

/// A folder that goes with the value, in memory where there is such a place.
struct Scratch {
    path: PathBuf,
    counts: Arc<Counts>,
}

// === impl Scratch ===

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { path: base.join(format!("sidegate-kept-{}-{number}", std::process::id())), counts: Arc::default() }
    }

    /// The same files in another folder.
    fn copy(&self) -> Self {
        let copy = Self::new();
        fs::create_dir(&copy.path).unwrap();
        for name in self.names() {
            fs::copy(self.path.join(&name), copy.path.join(&name)).unwrap();
        }
        copy
    }

    fn storage(&self) -> Storage {
        Storage { folder: self.path.clone(), is_synced: false, interval: Duration::from_mins(5) }
    }

    fn open(&self) -> Store {
        self.open_with(Rules::default())
    }

    fn open_with(&self, rules: Rules) -> Store {
        let mut store = Store::with(rules);
        store.keep_in(&self.storage(), &self.counts).unwrap();
        store
    }

    /// What a start that has to fail says.
    fn refusal(&self) -> String {
        Store::new().keep_in(&self.storage(), &self.counts).unwrap_err().to_string()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn key(path: &str) -> GroupingKey {
    GroupingKey::from_path(&format!("/metrics/job/{path}"), PathNames::Utf8).unwrap()
}

fn replace(path: &str, body: &str) -> Change {
    Change::replace(key(path), text::decode(body.as_bytes(), NameValidation::Utf8).unwrap())
}

fn merge(path: &str, body: &str) -> Change {
    Change::merge(key(path), text::decode(body.as_bytes(), NameValidation::Utf8).unwrap())
}

/// All that a reader can see.
fn seen(store: &Store) -> (String, String, Option<UnixSeconds>) {
    let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
    let escaping = Escaping::default();
    let (page, openmetrics) = (store.page(escaping), store.openmetrics_page(escaping));
    (text(&page.text()), text(&openmetrics.text()), store.next_staleness())
}

/// Everything that can happen to a store.
fn fill(store: &Store) {
    let openmetrics = b"# TYPE h histogram\n# UNIT h_s s\nh_bucket{le=\"1\"} 2 # {trace=\"t\"} 0.5 9.25\n\
        h_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 4\nh_created 7\n# TYPE i info\ni_info{a=\"b\"} 1\n# EOF\n";
    let openmetrics = openmetrics::decode(openmetrics, NameValidation::Utf8).unwrap();
    let changes = [
        replace("a", "# HELP x of a\n# TYPE x counter\nx{l=\"1\"} 1\nx{l=\"2\"} NaN\ny 2\n"),
        merge("a", "y 3\nz -Inf\n").stale_after(Duration::from_secs(90)),
        replace("b/l/v", "{\"größe\"} 1\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 1\n"),
        replace("c", "x 1 5\n"),
        replace("gone", "gone 1\n"),
        Change::replace(key("openmetrics"), openmetrics),
        // Does not fit: y is untyped.
        replace("d", "# TYPE y counter\ny 1\n"),
        Change::remove(key("gone")),
        merge("new", "m 1\n"),
        merge("new", "n 1\n"),
        replace("past", "p 1\n").with_times(Times { push_time: UnixSeconds(5.0), failure_time: UnixSeconds(7.5) }),
        replace("past/refused/1", "")
            .with_times(Times { push_time: UnixSeconds::NEVER, failure_time: UnixSeconds(8.0) }),
        replace("empty", ""),
    ];
    for (second, change) in changes.into_iter().enumerate() {
        store.submit(change, UnixSeconds(100.0 + second as f64));
    }
}

#[test]
fn a_restart_brings_back_all_that_was_there() {
    let kept = Scratch::new();
    let store = kept.open();
    fill(&store);
    let before = seen(&store);
    drop(store);
    let store = kept.open();
    assert_eq!(seen(&store), before);
    drop(store);
    assert_eq!(kept.names(), ["lock", "log-1"]);
    assert_eq!(seen(&kept.open()), before);
    assert_eq!(kept.counts.torn_tails.get() + kept.counts.damaged_files.get(), 0);
}

#[test]
fn a_checkpoint_takes_the_place_of_the_log() {
    let kept = Scratch::new();
    let store = kept.open();
    fill(&store);
    let before = seen(&store);
    store.write_checkpoint();
    assert_eq!(kept.names(), ["checkpoint-2", "lock", "log-2"]);
    drop(store);
    let store = kept.open();
    assert_eq!(seen(&store), before);
    // And what comes after it goes on from there.
    store.submit(merge("a", "later 1\n"), UnixSeconds(200.0));
    store.submit(Change::remove(key("b/l/v")), UnixSeconds(201.0));
    let before = seen(&store);
    drop(store);
    let store = kept.open();
    assert_eq!(seen(&store), before);
    store.write_checkpoint();
    drop(store);
    assert_eq!(kept.names(), ["checkpoint-3", "lock", "log-3"]);
    assert_eq!(seen(&kept.open()), before);
}

#[test]
fn labels_that_name_another_pod_are_renamed_once_however_often_it_starts() {
    let rules = || {
        let identity = Identity { pod: Some("web-0".into()), namespace: Some("data".into()), ..Identity::default() };
        Rules { identity, ..Rules::default() }
    };
    let kept = Scratch::new();
    let store = kept.open_with(rules());
    store.submit(replace("j/pod/web-1", "x{namespace=\"other\"} 1\nx{exported_pod=\"web-1\"} 2\n"), UnixSeconds(1.0));
    store.submit(replace("j/pod/web-0", "x{pod=\"web-1\",namespace=\"data\"} 1\n"), UnixSeconds(2.0));
    let before = seen(&store);
    assert!(before.0.contains("exported_exported_pod=\"web-1\",exported_pod=\"web-1\""), "{}", before.0);
    drop(store);
    for _ in 0..2 {
        drop(store_again(&kept, rules(), &before));
        store_again(&kept, rules(), &before).write_checkpoint();
    }
}

fn store_again(kept: &Scratch, rules: Rules, before: &(String, String, Option<UnixSeconds>)) -> Store {
    let store = kept.open_with(rules);
    assert_eq!(seen(&store), *before);
    store
}

#[test]
fn what_changes_while_a_checkpoint_is_written_is_neither_lost_nor_done_twice() {
    let kept = Scratch::new();
    let store = kept.open();
    fill(&store);
    let checkpoint = store.lock().log.as_mut().unwrap().begin_checkpoint().unwrap();
    // All of these are in the log behind the checkpoint, and in the groups that are written to it.
    store.submit(merge("a", "y 4\nw 1\n"), UnixSeconds(200.0));
    store.submit(replace("a", "v 1\n"), UnixSeconds(201.0));
    store.submit(merge("a", "u 1\n"), UnixSeconds(202.0));
    store.submit(merge("new", "m 2 1\n"), UnixSeconds(203.0));
    store.submit(Change::remove(key("empty")), UnixSeconds(204.0));
    store.submit(merge("empty", "q 1\n"), UnixSeconds(205.0));
    store.submit(Change::remove(key("b/l/v")), UnixSeconds(206.0));
    let written = store.fill(checkpoint);
    store.end_checkpoint(written);
    store.submit(merge("a", "t 1\n"), UnixSeconds(207.0));
    let before = seen(&store);
    drop(store);
    assert_eq!(seen(&kept.open()), before);
}

#[test]
fn wherever_a_checkpoint_ends_all_is_there() {
    let kept = Scratch::new();
    let store = kept.open();
    fill(&store);
    store.write_checkpoint();
    store.submit(merge("a", "later 1\n"), UnixSeconds(200.0));
    let before = seen(&store);
    let old = kept.copy();
    let checkpoint = store.lock().log.as_mut().unwrap().begin_checkpoint().unwrap();
    // The new segment is there, the new checkpoint is not.
    let begun = kept.copy();
    assert_eq!(begun.names(), ["checkpoint-2", "checkpoint-3.new", "lock", "log-2", "log-3"]);
    assert_eq!(seen(&begun.open()), before);
    assert!(!begun.file("checkpoint-3.new").exists());
    let written = store.fill(checkpoint);
    store.end_checkpoint(written);
    drop(store);
    assert_eq!(kept.names(), ["checkpoint-3", "lock", "log-3"]);
    // It is there, and so is what it takes the place of.
    let both = kept.copy();
    for name in ["checkpoint-2", "log-2"] {
        fs::copy(old.file(name), both.file(name)).unwrap();
    }
    assert_eq!(seen(&both.open()), before);
    assert_eq!(both.names(), ["checkpoint-3", "lock", "log-3"]);
    // Without the one that was to come.
    let none = both.copy();
    fs::remove_file(none.file("log-3")).unwrap();
    assert_eq!(seen(&none.open()), before);
}

#[test]
fn what_is_pushed_is_loaded_by_the_rules_that_it_was_pushed_by() {
    let kept = Scratch::new();
    let honoring = Rules { timestamps: Timestamps::Honor, ..Rules::default() };
    let store = kept.open_with(honoring);
    store.submit(replace("a", "x 1 5000\n"), UnixSeconds(100.0));
    store.submit(merge("a", "y 1 6000\n"), UnixSeconds(101.0));
    drop(store);
    let stripping = Rules { timestamps: Timestamps::Strip, ..Rules::default() };
    let store = kept.open_with(stripping);
    store.submit(merge("a", "z 1 7000\n"), UnixSeconds(102.0));
    drop(store);
    for _ in 0..2 {
        let store = kept.open_with(Rules::default());
        let page = seen(&store).0;
        let lines = ["x{instance=\"\",job=\"a\"} 1 5000\n", "y{instance=\"\",job=\"a\"} 1 6000\n"];
        assert!(lines.iter().all(|line| page.contains(line)), "{page}");
        assert!(page.contains("\nz{instance=\"\",job=\"a\"} 1\n"), "{page}");
        store.write_checkpoint();
    }
}

/// A later version has to read these files for ever: they are never written again.
#[test]
fn files_of_version_1_are_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/storage-1");
    let kept = Scratch::new();
    fs::create_dir(&kept.path).unwrap();
    for name in ["checkpoint-2", "log-2"] {
        fs::copy(golden.join(name), kept.file(name)).unwrap();
    }
    let expected = |name| fs::read_to_string(golden.join(name)).unwrap();
    let (page, openmetrics, _) = seen(&kept.open());
    assert_eq!(page, expected("page.prom"));
    assert_eq!(openmetrics, expected("page.openmetrics"));
    assert_eq!(kept.counts.torn_tails.get() + kept.counts.damaged_files.get(), 0);
}

#[test]
fn groups_that_are_loaded_count_as_not_scraped() {
    let kept = Scratch::new();
    let store = kept.open();
    store.submit(replace("a", "x 1\n"), UnixSeconds(100.0));
    store.submit(replace("b", "y 1 1\n"), UnixSeconds(100.0));
    drop(store);
    let store = kept.open();
    // The refused one has nothing that only this process has.
    assert_eq!(store.groups_pushed_after(0), 1);
}

#[test]
fn many_groups_go_in_one_record() {
    let kept = Scratch::new();
    let store = kept.open();
    for job in 0..300 {
        store.submit(replace(&job.to_string(), "x 1\n"), UnixSeconds(100.0));
    }
    let records = kept.counts.records.get();
    assert_eq!(store.remove_where(|key| key.job() != "7").unwrap().len(), 299);
    assert_eq!(kept.counts.records.get(), records + 1);
    drop(store);
    assert_eq!(kept.open().keys(), [Arc::new(key("7"))]);
}

#[test]
fn what_changes_nothing_is_not_written() {
    let kept = Scratch::new();
    let store = kept.open();
    store.submit(Change::remove(key("never-there")), UnixSeconds(100.0));
    store.submit(Change::remove_if(key("never-there"), UnixSeconds(5.0)), UnixSeconds(100.0));
    assert_eq!(store.remove_where(|_| true), Ok(Vec::new()));
    assert_eq!(store.remove_stale(UnixSeconds(1e9)), Ok(Vec::new()));
    assert_eq!(kept.counts.records.get(), 0);
    assert_eq!(kept.names(), ["lock"]);
}

#[test]
fn a_change_that_cannot_be_written_is_not_made() {
    let kept = Scratch::new();
    let store = kept.open();
    store.submit(replace("a", "x 1\n"), UnixSeconds(100.0));
    let before = seen(&store);
    let log = fs::read(kept.file("log-1")).unwrap();
    store.break_storage();
    let is_refused = |change| {
        let verdict = store.submit(change, UnixSeconds(101.0));
        let Verdict::NotStored(why @ NotStored::Write(_)) = verdict else {
            panic!("expected it not to be stored, found {verdict:?}")
        };
        let start = "expected to store the change before it is made, found: ";
        assert!(why.to_string().starts_with(start) && why.to_string().ends_with("; nothing was changed"), "{why}");
    };
    is_refused(replace("a", "x 2\n"));
    is_refused(merge("b", "y 2\n"));
    is_refused(Change::remove(key("a")));
    // A refused push changes its failure time, which cannot be written either.
    is_refused(replace("a", "x 2 2\n"));
    assert!(store.remove_where(|_| true).is_err());
    assert_eq!(seen(&store), before);
    assert_eq!(kept.counts.write_failures.get(), 5);
    // What changes nothing needs no storage.
    assert_eq!(store.submit(Change::remove(key("b")), UnixSeconds(101.0)), Verdict::Done);
    // The next file can be written.
    store.write_checkpoint();
    assert_eq!(store.submit(merge("a", "y 2\n"), UnixSeconds(102.0)), Verdict::Done);
    let after = seen(&store);
    drop(store);
    assert_eq!(seen(&kept.open()), after);
    assert!(!kept.file("log-1").exists() && !log.is_empty());
}

#[test]
fn the_log_stays_within_its_bound_however_long_it_is_pushed_to() {
    let kept = Scratch::new();
    let store = kept.open();
    let body: String = (0..20).map(|n| format!("x{{n=\"{n}\",pad=\"{}\"}} 1\n", "p".repeat(10_000))).collect();
    let size =
        || -> u64 { kept.names().iter().map(|name| fs::metadata(kept.file(name)).map_or(0, |file| file.len())).sum() };
    let mut largest = 0;
    for round in 0..120 {
        store.submit(replace(&format!("{}", round % 5), &body), UnixSeconds(100.0));
        largest = largest.max(size());
    }
    assert!(kept.counts.checkpoints.get() != 0);
    // Two checkpoints of a megabyte, the log and what was pushed while the second one was written.
    assert!(largest < 40_000_000, "{largest}");
    while store.lock().log.as_ref().is_some_and(Log::is_checkpointing) {
        std::thread::yield_now();
    }
    assert!(size() < 14_000_000, "{}", size());
    let before = seen(&store);
    drop(store);
    assert_eq!(seen(&kept.open()), before);
}

#[test]
fn an_interval_that_is_over_is_a_reason_for_a_checkpoint_where_there_is_enough_to_write() {
    let kept = Scratch::new();
    let store = kept.open();
    let body: String = (0..1000).map(|n| format!("x{{n=\"{n}\"}} 1\n")).collect();
    let is_due = |now| store.lock().log.as_mut().unwrap().take_due(UnixSeconds(now));
    store.submit(replace("a", "x 1\n"), UnixSeconds(100.0));
    assert!(!is_due(1000.0));
    for _ in 0..5 {
        store.submit(replace("a", &body), UnixSeconds(100.0));
    }
    assert!(!is_due(399.0));
    assert!(is_due(400.0));
    // It is under way.
    assert!(!is_due(1000.0));
}

#[test]
fn whoever_pushes_while_checkpoints_are_written_finds_all_of_it_again() {
    let kept = Scratch::new();
    let store = kept.open();
    std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..3)
            .map(|pusher| {
                let store = store.clone();
                scope.spawn(move || {
                    for round in 0..300 {
                        let path = format!("{pusher}/round/{}", round % 90);
                        let change = match round % 7 {
                            0 => Change::remove(key(&path)),
                            1..4 => replace(&path, &format!("x{{pusher=\"{pusher}\"}} {round}\n")),
                            _ => merge(&path, &format!("y{} {round}\n", round % 3)),
                        };
                        assert_eq!(store.submit(change, UnixSeconds(100.0 + f64::from(round))), Verdict::Done);
                    }
                })
            })
            .collect();
        while pushers.iter().any(|pusher| !pusher.is_finished()) {
            store.write_checkpoint();
        }
    });
    let before = seen(&store);
    assert!(1 < kept.counts.checkpoints.get());
    drop(store);
    assert_eq!(seen(&kept.open()), before);
    assert_eq!(kept.counts.damaged_files.get() + kept.counts.torn_tails.get(), 0);
}
