//! Files that are not what was written.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Where the first record of a file is.
const START: usize = 48;

/// What each group ever was, by key.
#[derive(Default)]
struct History(BTreeMap<String, BTreeSet<String>>);

// === impl History ===

impl History {
    fn note(&mut self, store: &Store) {
        for (key, group) in groups(store) {
            self.0.entry(key).or_default().insert(group);
        }
    }

    #[track_caller]
    fn check(&self, store: &Store, what: &str) {
        for (key, group) in groups(store) {
            let known = self.0.get(&key).unwrap_or_else(|| panic!("{what}: expected no group {key}"));
            assert!(known.contains(&group), "{what}: {key} never was\n{group}\nbut one of {known:#?}");
        }
    }
}

fn groups(store: &Store) -> Vec<(String, String)> {
    let state = store.lock();
    let views: Vec<_> = state.index.groups.iter().map(|group| GroupView::of(group, &state.index.slots)).collect();
    drop(state);
    let shown = |view: &GroupView| {
        let families: String = view
            .families()
            .map(|family| {
                let metrics: Vec<_> = family.metrics().map(|metric| format!("{metric:?}")).collect();
                format!("{:?} {:?} {metrics:?}\n", family.head(), family.pushed_at())
            })
            .collect();
        format!("{:?} {:?} {:?}\n{families}", view.push_time, view.failure_time, view.stale_after)
    };
    views.iter().map(|view| (view.key.to_string(), shown(view))).collect()
}

/// A folder with a checkpoint and a log, and all that its groups ever were.
fn small() -> (Scratch, History) {
    let (kept, mut history) = (Scratch::new(), History::default());
    let store = kept.open();
    let mut second = 100.0;
    let mut submit = |change| {
        second += 1.0;
        store.submit(change, UnixSeconds(second));
        history.note(&store);
    };
    submit(replace("a", "x 1\ny 1\n"));
    submit(merge("a", "x 2\n"));
    submit(replace("b", "z 1\n"));
    submit(replace("c", "w 1 1\n"));
    store.write_checkpoint();
    submit(merge("a", "y 3\n"));
    submit(replace("b", "z 2\n"));
    submit(merge("b", "q 2\n"));
    submit(Change::remove(key("a")));
    submit(merge("a", "x 5\n"));
    submit(replace("b", "v 1 1\n"));
    submit(merge("a", "y 6\n").stale_after(Duration::from_secs(60)));
    (kept, history)
}

#[test]
fn a_flipped_bit_anywhere_never_stops_a_start_and_never_makes_a_wrong_group() {
    let (kept, history) = small();
    let whole = seen(&kept.copy().open());
    for name in ["checkpoint-2", "log-2"] {
        let bytes = fs::read(kept.file(name)).unwrap();
        for at in 0..bytes.len() {
            let copy = kept.copy();
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(copy.file(name), bad).unwrap();
            let store = copy.open();
            history.check(&store, &format!("{name}, byte {at}"));
            let served = seen(&store);
            drop(store);
            // Of the head there are two, and either will do.
            assert!(START <= at || served == whole, "{name}, byte {at}");
            let (torn, damaged) = (copy.counts.torn_tails.get(), copy.counts.damaged_files.get());
            assert!(at < START || torn + damaged == 1, "{name}, byte {at}: {torn} torn, {damaged} damaged");
            // Whatever was served is what the next start serves.
            assert_eq!(seen(&copy.open()), served, "{name}, byte {at}");
        }
    }
}

#[test]
fn an_end_anywhere_never_stops_a_start_and_never_makes_a_wrong_group() {
    let (kept, history) = small();
    for name in ["checkpoint-2", "log-2"] {
        let bytes = fs::read(kept.file(name)).unwrap();
        for end in 0..bytes.len() {
            let copy = kept.copy();
            fs::write(copy.file(name), &bytes[..end]).unwrap();
            let store = copy.open();
            history.check(&store, &format!("{name}, {end} bytes"));
            // It goes on.
            assert_eq!(store.submit(replace("after", "after 1\n"), UnixSeconds(1000.0)), Verdict::Done);
            let after = seen(&store);
            drop(store);
            assert_eq!(seen(&copy.open()), after, "{name}, {end} bytes");
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_counted_and_all_before_it_is_there() {
    let kept = Scratch::new();
    let store = kept.open();
    store.submit(replace("a", "x 1\n"), UnixSeconds(100.0));
    let before = seen(&store);
    let length = fs::metadata(kept.file("log-1")).unwrap().len();
    store.submit(replace("a", "x 2\n"), UnixSeconds(101.0));
    drop(store);
    let bytes = fs::read(kept.file("log-1")).unwrap();
    fs::write(kept.file("log-1"), &bytes[..bytes.len() - 1]).unwrap();
    let store = kept.open();
    assert_eq!(seen(&store), before);
    assert_eq!((kept.counts.torn_tails.get(), kept.counts.damaged_files.get()), (1, 0));
    assert_eq!(fs::metadata(kept.file("log-1")).unwrap().len(), length);
}

#[test]
fn a_damaged_file_is_set_aside_once_what_can_be_read_is_in_a_checkpoint() {
    let (kept, _) = small();
    let mut bytes = fs::read(kept.file("log-2")).unwrap();
    bytes[START + 32] ^= 1;
    fs::write(kept.file("log-2"), &bytes).unwrap();
    let store = kept.open();
    let served = seen(&store);
    assert_eq!(kept.counts.damaged_files.get(), 1);
    assert_eq!(kept.names(), ["checkpoint-3", "lock", "log-2.damaged", "log-3"]);
    assert_eq!(fs::read(kept.file("log-2.damaged")).unwrap(), bytes);
    drop(store);
    assert_eq!(seen(&kept.open()), served);
    assert_eq!(kept.counts.damaged_files.get(), 1);
}

/// Makes one record of the log unreadable.
fn lose(kept: &Scratch, number: usize) {
    let mut bytes = fs::read(kept.file("log-1")).unwrap();
    let mut at = START;
    for _ in 0..number {
        at += 12 + usize::try_from(u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap())).unwrap();
    }
    bytes[at + 8] ^= 1;
    fs::write(kept.file("log-1"), bytes).unwrap();
}

/// The samples that are there once that record is lost.
fn after_losing(number: usize, changes: Vec<Change>) -> Vec<String> {
    let kept = Scratch::new();
    let store = kept.open();
    for (second, change) in changes.into_iter().enumerate() {
        assert_eq!(store.submit(change, UnixSeconds(100.0 + second as f64)), Verdict::Done);
    }
    drop(store);
    lose(&kept, number);
    let page = seen(&kept.open()).0;
    assert_eq!(kept.counts.damaged_files.get(), 1);
    let is_sample = |line: &&str| !line.starts_with('#') && !line.starts_with("push_");
    page.lines().filter(is_sample).map(str::to_owned).collect()
}

#[test]
fn a_group_that_lost_a_push_stays_as_it_was_until_the_next_whole_one() {
    let changes = || vec![replace("a", "x 1\n"), replace("a", "y 2\n"), merge("a", "z 3\n"), merge("other", "o 1\n")];
    let (x, o) = ("x{instance=\"\",job=\"a\"} 1", "o{instance=\"\",job=\"other\"} 1");
    assert_eq!(after_losing(1, changes()), [o, x]);
    let with_whole = [changes(), vec![replace("a", "w 4\n"), merge("a", "v 5\n")]].concat();
    let (v, w) = ("v{instance=\"\",job=\"a\"} 5", "w{instance=\"\",job=\"a\"} 4");
    assert_eq!(after_losing(1, with_whole), [o, v, w]);
}

#[test]
fn a_group_that_lost_its_removal_is_not_mixed_with_what_comes_after() {
    let changes = vec![replace("a", "x 1\n"), Change::remove(key("a")), merge("a", "y 2\n")];
    assert_eq!(after_losing(1, changes), ["y{instance=\"\",job=\"a\"} 2"]);
}

#[test]
fn a_group_that_should_be_gone_gives_way_to_one_that_does_not_fit_beside_it() {
    let changes = vec![
        replace("a", "# TYPE x counter\nx 1\n"),
        Change::remove(key("a")),
        replace("b", "# TYPE x gauge\nx 2\n"),
        replace("c", "y 1\n"),
    ];
    let expected = ["x{instance=\"\",job=\"b\"} 2", "y{instance=\"\",job=\"c\"} 1"];
    assert_eq!(after_losing(1, changes), expected);
}

#[test]
fn a_family_that_an_older_program_took_gives_way_to_one_of_the_process() {
    let kept = Scratch::new();
    let mut store = Store::guarding(&[], Rules::default());
    store.keep_in(&kept.storage(), &kept.counts).unwrap();
    let body = "# TYPE sidegate_scrapes_total gauge\nsidegate_scrapes_total 1\n";
    assert_eq!(store.submit(replace("a", body), UnixSeconds(100.0)), Verdict::Done);
    store.submit(replace("b", "x 1\n"), UnixSeconds(100.0));
    drop(store);
    assert_eq!(kept.open().keys(), [Arc::new(key("b"))]);
}

#[test]
fn files_of_a_newer_version_are_refused_and_nothing_is_touched() {
    let (kept, _) = small();
    for name in ["checkpoint-2", "log-2"] {
        let copy = kept.copy();
        fs::write(copy.file("checkpoint-9.new"), "unfinished").unwrap();
        let mut bytes = fs::read(copy.file(name)).unwrap();
        for start in [0, 24] {
            bytes[start + 8] = 7;
            let checksum = crc32fast::hash(&bytes[start..start + 20]);
            bytes[start + 20..start + 24].copy_from_slice(&checksum.to_le_bytes());
        }
        fs::write(copy.file(name), &bytes).unwrap();
        let all =
            || -> Vec<_> { copy.names().into_iter().map(|name| (fs::read(copy.file(&name)).unwrap(), name)).collect() };
        let before = all();
        let expected = format!(
            "expected a file of version 1 or less, found version 7 at {}: a newer Sidegate wrote it, and nothing in its \
             folder was touched",
            copy.file(name).display()
        );
        assert_eq!(copy.refusal(), expected);
        assert_eq!(all(), before);
    }
}

#[test]
fn a_folder_has_one_process_at_a_time() {
    let kept = Scratch::new();
    let store = kept.open();
    let expected = format!(
        "expected to be the only process that stores in {}, found another one at work there",
        kept.path.display()
    );
    assert_eq!(kept.refusal(), expected);
    drop(store);
    kept.open();
}

#[test]
fn a_folder_that_cannot_be_one_is_named() {
    let kept = Scratch::new();
    fs::write(&kept.path, "a file").unwrap();
    let start = format!("expected a folder to read and write at {}, found: ", kept.path.display());
    let refusal = kept.refusal();
    fs::remove_file(&kept.path).unwrap();
    assert!(refusal.starts_with(&start), "{refusal}");
}

#[test]
fn files_of_others_are_left_alone() {
    let kept = Scratch::new();
    fs::create_dir(&kept.path).unwrap();
    let names = ["checkpoint-x", "log", "log-", "notes.txt"];
    names.iter().for_each(|name| fs::write(kept.file(name), "mine").unwrap());
    let store = kept.open();
    fill(&store);
    store.write_checkpoint();
    assert!(names.iter().all(|name| fs::read(kept.file(name)).unwrap() == b"mine"));
}
