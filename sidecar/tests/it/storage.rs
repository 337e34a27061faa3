//! What a real process keeps: over its end, with a disk that is full, and beside other processes.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::gateway::{Gateway, request, scrape};

/// A folder that goes with the value.
struct Scratch(PathBuf);

// === impl Scratch ===

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sidegate-storage-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The folder that a process is to make.
    fn folder(&self) -> PathBuf {
        self.0.join("data")
    }

    fn flag(&self) -> String {
        format!("--storage.dir={}", self.folder().display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Alone, with these flags besides.
fn start(args: &[&str]) -> (Gateway, SocketAddr) {
    let mut gateway = Gateway::start(&[&["--web.listen-address=127.0.0.1:0"], args].concat());
    let address = gateway.address("all");
    (gateway, address)
}

fn kill(gateway: Gateway) {
    gateway.signal("KILL");
    gateway.wait();
}

fn put(to: SocketAddr, job: &str, body: &str) -> (u16, String) {
    request(to, "PUT", &format!("/metrics/job/{job}"), &[], body)
}

/// The pushed part of the page.
fn pushed(to: SocketAddr) -> String {
    let is_pushed = |line: &&str| line.contains("job=\"");
    scrape(to).lines().filter(is_pushed).map(|line| format!("{line}\n")).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn size(folder: &Path) -> u64 {
    // Files may go while they are counted.
    names(folder).iter().map(|name| fs::metadata(folder.join(name)).map_or(0, |file| file.len())).sum()
}

#[test]
fn what_was_answered_survives_a_kill() {
    for sync in ["--storage.sync=never", "--storage.sync=always"] {
        let kept = Scratch::new();
        let flags = [kept.flag(), sync.to_owned()];
        let flags = flags.each_ref().map(String::as_str);
        let (gateway, to) = start(&flags);
        assert_eq!(put(to, "a", "# HELP x Of a.\n# TYPE x counter\nx{l=\"1\"} 1\n").0, 200);
        assert_eq!(request(to, "POST", "/metrics/job/a", &[], "y 2\n").0, 200);
        assert_eq!(put(to, "gone", "z 1\n").0, 200);
        assert_eq!(request(to, "DELETE", "/metrics/job/gone", &[], "").0, 202);
        assert_eq!(put(to, "refused", "z 1 5\n").0, 400);
        let before = pushed(to);
        kill(gateway);
        for _ in 0..2 {
            let (gateway, to) = start(&flags);
            assert_eq!(pushed(to), before, "{sync}");
            kill(gateway);
        }
    }
}

#[test]
fn as_a_sidecar_it_keeps_what_was_pushed_and_holds_open_for_it_again() {
    let kept = Scratch::new();
    let flag = kept.flag();
    let (gateway, push, page) = Gateway::sidecar(&[&flag]);
    assert_eq!(put(push, "j", "x 1\n").0, 200);
    scrape(page);
    kill(gateway);
    let (mut gateway, _, page) = Gateway::sidecar(&[&flag, "--hold-open.deadline=1h"]);
    gateway.signal("TERM");
    gateway.line(|line| line.contains("holding open"));
    assert!(scrape(page).contains("\nx{instance=\"\",job=\"j\"} 1\n"));
    assert_eq!(gateway.wait().0.code(), Some(0));
}

#[test]
fn after_sigterm_it_starts_with_the_same_page() {
    let kept = Scratch::new();
    let flag = kept.flag();
    let (gateway, to) = start(&[&flag]);
    let body: String = (0..6000).map(|n| format!("x{{n=\"{n}\"}} {n}\n")).collect();
    assert_eq!(put(to, "j", &body).0, 200);
    let before = pushed(to);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().0.code(), Some(0));
    // There was enough for a checkpoint.
    assert_eq!(names(&kept.folder()), ["checkpoint-2", "lock", "log-2"]);
    let (_gateway, to) = start(&[&flag]);
    assert_eq!(pushed(to), before);
}

#[test]
fn nobody_else_may_read_what_is_kept() {
    let kept = Scratch::new();
    let (_gateway, to) = start(&[&kept.flag()]);
    assert_eq!(put(to, "j", "x 1\n").0, 200);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kept.folder()), 0o700);
    for name in names(&kept.folder()) {
        assert_eq!(mode(&kept.folder().join(&name)), 0o600, "{name}");
    }
}

#[test]
fn a_second_process_says_that_the_folder_is_taken_and_a_second_sidecar_goes_on_in_memory() {
    let kept = Scratch::new();
    let flag = kept.flag();
    let (_gateway, first) = start(&[&flag]);
    assert_eq!(put(first, "j", "x 1\n").0, 200);
    let (status, log) = Gateway::start(&["--web.listen-address=127.0.0.1:0", &flag]).wait();
    assert_eq!(status.code(), Some(1));
    let sentence = "cannot store what is pushed: expected to be the only process that stores in ";
    assert!(log.contains(sentence), "{log}");

    let (mut gateway, push, page) = Gateway::sidecar(&[&flag]);
    gateway.line(|line| line.contains("level=error") && line.contains("kept in memory only"));
    assert_eq!(put(push, "k", "y 1\n").0, 200);
    let page = scrape(page);
    assert!(page.contains("\ny{instance=\"\",job=\"k\"} 1\n") && !page.contains("job=\"j\""), "{page}");
    assert!(page.contains("\nsidegate_storage_failures_total{step=\"start\"} 1\n"), "{page}");
}

#[test]
fn upstreams_flag_names_the_folder_beside_its_file_which_stays_as_it_is() {
    let kept = Scratch::new();
    let file = kept.0.join("metrics");
    fs::write(&file, "what a Pushgateway wrote").unwrap();
    let flag = format!("--persistence.file={}", file.display());
    let (mut gateway, to) = start(&[&flag, "--persistence.interval=1m"]);
    let line = gateway.line(|line| line.contains("neither read nor changed"));
    assert!(line.contains("level=warn") && line.contains("sidegate import --from URL"), "{line}");
    assert_eq!(put(to, "j", "x 1\n").0, 200);
    let status = request(to, "GET", "/api/v1/status", &[], "").1;
    assert!(status.contains(&format!("\"persistence.file\":\"{}\"", file.display())), "{status}");
    kill(gateway);
    assert_eq!(fs::read(&file).unwrap(), b"what a Pushgateway wrote");
    assert_eq!(names(&kept.0), ["metrics", "metrics.d"]);
    let (_gateway, to) = start(&[&flag]);
    assert!(pushed(to).contains("\nx{instance=\"\",job=\"j\"} 1\n"));
}

#[test]
fn what_can_be_read_is_served() {
    let kept = Scratch::new();
    let flag = kept.flag();
    let (gateway, to) = start(&[&flag]);
    for job in ["a", "b", "c"] {
        assert_eq!(put(to, job, "x 1\n").0, 200);
    }
    kill(gateway);
    let log = kept.folder().join("log-1");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, [&bytes[..], b"torn"].concat()).unwrap();
    let (gateway, to) = start(&[&flag]);
    let page = scrape(to);
    for (job, is_there) in [("a", true), ("b", false), ("c", true)] {
        assert_eq!(page.contains(&format!("\nx{{instance=\"\",job=\"{job}\"}} 1\n")), is_there, "{page}");
    }
    assert!(page.contains("\nsidegate_storage_damaged_files_total 1\n"), "{page}");
    assert_eq!(names(&kept.folder()), ["checkpoint-2", "lock", "log-1.damaged", "log-2"]);
    kill(gateway);
    let (_gateway, to) = start(&[&flag]);
    assert!(scrape(to).contains("\nsidegate_storage_damaged_files_total 0\n"));
}

#[test]
fn the_log_is_compacted_while_pushes_go_on() {
    let kept = Scratch::new();
    let flag = kept.flag();
    let (gateway, to) = start(&[&flag]);
    let body = |round: usize| -> String {
        // Other labels each time: of a push that repeats the one before it only the numbers are written.
        (0..1500).map(|n| format!("x{{n=\"{n}\",pad=\"{round}{}\"}} {round}\n", "p".repeat(100))).collect()
    };
    let largest = std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..4)
            .map(|job| {
                scope.spawn(move || {
                    (0..25).for_each(|round| assert_eq!(put(to, &format!("j{job}"), &body(round)).0, 200));
                })
            })
            .collect();
        let mut largest = 0;
        while pushers.iter().any(|pusher| !pusher.is_finished()) {
            largest = largest.max(size(&kept.folder()));
            std::thread::yield_now();
        }
        largest
    });
    // Some eighteen megabytes were written; the groups are less than one, and the log may have eight more.
    let page = scrape(to);
    assert!(!page.contains("\nsidegate_storage_checkpoints_total 0\n"), "{largest}");
    assert!(largest < 20_000_000, "{largest}");
    let before = pushed(to);
    kill(gateway);
    let (_gateway, to) = start(&[&flag]);
    assert_eq!(pushed(to), before);
}

/// A file system of this size, unmounted with the value. `None` where nobody may mount, which only CI minds.
struct Small(Scratch);

impl Small {
    fn mount(size: &str) -> Option<Self> {
        let scratch = Scratch::new();
        fs::create_dir(scratch.folder()).unwrap();
        let option = format!("size={size}");
        let args = ["-t", "tmpfs", "-o", &option, "tmpfs"];
        let mounted = Command::new("mount").args(args).arg(scratch.folder()).output();
        let is_mounted = mounted.as_ref().is_ok_and(|output| output.status.success());
        assert!(is_mounted || std::env::var_os("CI").is_none(), "expected to mount a small disk, found {mounted:?}");
        is_mounted.then_some(Self(scratch))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.folder()).status();
    }
}

#[test]
fn with_a_full_disk_pushes_are_503_with_the_reason_until_there_is_room_again() {
    for sync in ["--storage.sync=never", "--storage.sync=always"] {
        let Some(small) = Small::mount("256k") else { return };
        let (flag, folder) = (small.0.flag(), small.0.folder());
        let (mut gateway, to) = start(&[&flag, sync]);
        assert_eq!(put(to, "j", "x 1\n").0, 200);
        let before = pushed(to);
        fs::write(folder.join("ballast"), vec![0; 230_000]).unwrap();
        let large: String = (0..2000).map(|n| format!("y{{n=\"{n}\"}} 1\n")).collect();
        for _ in 0..3 {
            let (status, sentence) = put(to, "j", &large);
            assert_eq!(status, 503, "{sentence}");
            let expected = "expected to store the change before it is made, found: No space left on device (os error 28); \
                            nothing was changed\n";
            assert_eq!(sentence, expected);
        }
        assert_eq!(pushed(to), before);
        let page = scrape(to);
        assert!(page.contains("\nsidegate_storage_failures_total{step=\"write\"} 3\n"), "{page}");
        assert!(page.contains("\nsidegate_pushes_refused_total{reason=\"storage\"} 3\n"), "{page}");
        // It still reads well, for whoever starts now.
        fs::remove_file(folder.join("ballast")).unwrap();
        assert_eq!(put(to, "j", &large).0, 200);
        gateway.line(|line| line.contains("changes are stored again"));
        let after = pushed(to);
        gateway.signal("KILL");
        let (_, log) = gateway.wait();
        assert_eq!(log.matches("changes cannot be stored and are refused").count(), 1, "{log}");
        let (_gateway, to) = start(&[&flag, sync]);
        assert_eq!(pushed(to), after);
    }
}

#[test]
fn with_a_disk_that_is_full_at_the_start_what_is_there_is_served() {
    let Some(small) = Small::mount("256k") else { return };
    let (flag, folder) = (small.0.flag(), small.0.folder());
    let (gateway, to) = start(&[&flag]);
    assert_eq!(put(to, "j", "x 1\n").0, 200);
    let before = pushed(to);
    let large: String = (0..2000).map(|n| format!("y{{n=\"{n}\"}} 1\n")).collect();
    kill(gateway);
    fs::write(folder.join("ballast"), vec![0; 230_000]).unwrap();
    let (_gateway, to) = start(&[&flag]);
    assert_eq!(pushed(to), before);
    assert_eq!(put(to, "j", &large).0, 503);
    fs::remove_file(folder.join("ballast")).unwrap();
    assert_eq!(put(to, "j", &large).0, 200);
}

#[test]
fn with_sync_a_push_is_answered_once_the_disk_has_it_and_many_share_the_wait() {
    let kept = Scratch::new();
    let (gateway, to) = start(&[&kept.flag(), "--storage.sync=always"]);
    std::thread::scope(|scope| {
        for job in 0..8 {
            scope.spawn(move || {
                for round in 0..20 {
                    assert_eq!(put(to, &format!("j{job}"), &format!("x {round}\n")).0, 200);
                }
            });
        }
    });
    let before = pushed(to);
    assert_eq!(before.matches("\nx{").count() + usize::from(before.starts_with("x{")), 8, "{before}");
    kill(gateway);
    let (_gateway, to) = start(&[&kept.flag(), "--storage.sync=always"]);
    assert_eq!(pushed(to), before);
}
