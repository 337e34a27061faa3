//! What an answer is worth: a real process that keeps what is pushed is killed at any moment, again and again, and has
//! all of it when it is back.
//!
//! Several connections push without a pause. When the process is gone, each knows what was answered, and what was sent
//! and not answered. After the restart, the page has every group as one of the two leaves it, and no other.
//!
//! `SIDEGATE_CRASH_ROUNDS` says how often it is killed, `SIDEGATE_CRASH_SEED` which pushes there are; when exactly it is
//! killed is up to the machine.
//!
//! *Never:* how things are stored.

#![expect(clippy::indexing_slicing, reason = "places are drawn from those that are there")]

mod client;
mod known;
mod page;

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{atomic::AtomicU64, mpsc::channel},
    thread,
    time::Duration,
};

use crate::{
    connection::Connection,
    gateway::{Gateway, PATIENCE},
    random::Random,
};
use client::{Client, Load};
use known::Shared;
use page::Page;

/// How many push at once.
const CLIENTS: u64 = 4;

/// How many groups each client has for itself.
const OWN_GROUPS: u64 = 6;

/// How many groups all of them push to.
const SHARED_GROUPS: u64 = 4;

/// The most pushes that are answered before the end.
const MOST_ANSWERS: u64 = 120;

/// The most bytes that some thirty groups and what is left of their past may take: 64 KiB are no reason to clean up.
const MOST_BYTES: u64 = 2 << 20;

/// All that is kept, and a copy of it as a killed process left it; gone at the end, unless it failed.
struct Folders {
    kept: PathBuf,
    left: PathBuf,
}

struct Test {
    folders: Folders,
    random: Random,
    clients: Vec<Client>,
    shared: Vec<Shared>,
}

/// Enough elsewhere to notice what is always wrong.
fn rounds() -> u64 {
    let default = if env::var_os("CI").is_some() { 500 } else { 25 };
    env::var("SIDEGATE_CRASH_ROUNDS").map_or(default, |rounds| rounds.parse().unwrap())
}

fn seed() -> u64 {
    env::var("SIDEGATE_CRASH_SEED").map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap())
}

#[test]
fn every_answered_push_survives_a_kill_at_any_moment() {
    let (rounds, seed) = (rounds(), seed());
    let mut test = Test::new(seed);
    let folder = test.folders.kept.display();
    println!("SIDEGATE_CRASH_ROUNDS={rounds} SIDEGATE_CRASH_SEED={seed}, in {folder}");
    for round in 0..rounds {
        println!("round {round}");
        if test.random.one_in(10) {
            test.is_killed_while_it_starts();
        } else {
            test.is_killed_while_it_is_pushed_to();
        }
    }
    test.is_as_it_was_left();
}

// === impl Folders ===

impl Folders {
    fn new() -> Self {
        let folder = env::temp_dir().join(format!("sidegate-crash-{}", std::process::id()));
        // One of a process that had the same number.
        let _ = fs::remove_dir_all(&folder);
        let folders = Self { kept: folder.join("kept"), left: folder.join("left") };
        fs::create_dir_all(&folders.kept).unwrap();
        folders
    }

    /// Keeps what is there for whoever has to find out what went wrong. Fails if it is too much.
    fn copy(&self) {
        let _ = fs::remove_dir_all(&self.left);
        fs::create_dir_all(&self.left).unwrap();
        let files: Vec<_> = fs::read_dir(&self.kept).unwrap().map(|entry| entry.unwrap().path()).collect();
        let copied = |path: &PathBuf| fs::copy(path, self.left.join(path.file_name().unwrap())).unwrap();
        let bytes: u64 = files.iter().map(copied).sum();
        assert!(bytes <= MOST_BYTES, "expected at most {MOST_BYTES} bytes, found {bytes} in {files:?}");
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(self.kept.parent().unwrap_or(Path::new("")));
        }
    }
}

// === impl Test ===

impl Test {
    fn new(seed: u64) -> Self {
        let clients = (0..CLIENTS).map(|number| Client::new(number, OWN_GROUPS, seed)).collect();
        let shared = (0..SHARED_GROUPS).map(Shared::new).collect();
        Self { folders: Folders::new(), random: Random(seed), clients, shared }
    }

    /// Files that are cleaned up as often as may be, so that this is broken off as well.
    fn start(&self) -> Gateway {
        self.folders.copy();
        let folder = format!("--storage.dir={}", self.folders.kept.display());
        Gateway::start(&["--web.listen-address=127.0.0.1:0", &folder, "--persistence.interval=10ms"])
    }

    fn is_killed_while_it_starts(&mut self) {
        let gateway = self.start();
        thread::sleep(Duration::from_micros(self.random.below(30_000)));
        is_calm(&gateway.kill());
    }

    fn is_killed_while_it_is_pushed_to(&mut self) {
        let mut gateway = self.start();
        let address = gateway.address("all");
        self.check(&mut Connection::open(address).unwrap());
        let (answered, wanted) = (AtomicU64::new(0), self.random.below(MOST_ANSWERS) + 1);
        let pause = Duration::from_micros(self.random.below(1000));
        let (enough, is_enough) = channel();
        thread::scope(|scope| {
            for client in &mut self.clients {
                let load = Load { address, shared: &self.shared, answered: &answered, wanted, enough: enough.clone() };
                scope.spawn(move || client.push(&load));
            }
            drop(enough);
            let waited = is_enough.recv_timeout(PATIENCE);
            thread::sleep(pause);
            let log = gateway.kill();
            assert!(waited.is_ok(), "expected {wanted} pushes to be answered, found {answered:?}:\n{log}");
            is_calm(&log);
        });
    }

    fn is_as_it_was_left(&mut self) {
        let mut gateway = self.start();
        let mut connection = Connection::open(gateway.address("all")).unwrap();
        self.check(&mut connection);
        drop(connection);
        gateway.signal("TERM");
        let (status, log) = gateway.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        is_calm(&log);
    }

    /// Looks at what a new process has of what was pushed to the one before.
    fn check(&mut self, connection: &mut Connection) {
        let page = connection.send("GET", "/metrics", &[], "").unwrap();
        assert_eq!(page.status, 200);
        let mut page = Page::read(&String::from_utf8(page.body).unwrap());
        for known in self.clients.iter_mut().flat_map(|client| &mut client.own) {
            known.check(page.groups.remove(&known.key));
        }
        for known in &mut self.shared {
            known.check(page.groups.remove(&known.key));
        }
        assert!(page.groups.is_empty(), "expected no other groups, found {:#?}", page.groups);
        for (series, value) in page.own {
            let is_good = match series.split('{').next().unwrap_or_default() {
                "sidegate_storage_damaged_files_total" | "sidegate_storage_failures_total" => value == 0.0,
                // What was being written when the process before ended.
                "sidegate_storage_torn_tails_total" => value <= 1.0,
                _ => true,
            };
            assert!(is_good, "{series} {value}");
        }
    }
}

/// A log may tell of a push that was to be refused and of a record that broke off, and of nothing worse.
fn is_calm(log: &str) {
    let is_loud = |line: &&str| line.contains("level=error") || line.contains("level=warn");
    let is_expected = |line: &&str| line.contains("msg=\"push refused\"") || line.contains("the log broke off");
    let loud: Vec<_> = log.lines().filter(is_loud).filter(|line| !is_expected(line)).collect();
    assert!(loud.is_empty(), "{loud:#?}");
}
