//! Files that are read again when they have changed: looked at on use and at most once a second, so that nothing ticks.
//!
//! A file counts as another one by what the kernel says of it, links followed: the kubelet swaps a mounted Secret by a
//! link. That is asked before the content is read, so what changes in between is seen at the next look.
//!
//! *Never:* what is in a file, what becomes of the old content.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

/// How long nobody looks again.
const PAUSE: Duration = Duration::from_secs(1);

/// Largest file that is read.
const MOST_BYTES: u64 = 1024 * 1024;

/// The files that something was made from, as they were then.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    read: Vec<(PathBuf, Option<Stamp>)>,
    looked: Instant,
}

/// What tells a file from another one, and from itself after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

// === impl Files ===

impl Files {
    /// None yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { read: Vec::new(), looked: now }
    }

    /// Reads a file, and remembers it even where that fails.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<String> {
        self.read.push((path.to_owned(), Stamp::of(path)));
        let mut text = String::new();
        File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
        if MOST_BYTES < text.len() as u64 {
            return Err(io::Error::other(format!("expected at most {MOST_BYTES} bytes, found more")));
        }
        Ok(text)
    }

    /// Whether one of them is another one by now, as far as it is time to look.
    pub(crate) fn have_changed(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.looked) < PAUSE {
            return false;
        }
        self.looked = now;
        self.read.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }
}

// === impl Stamp ===

impl Stamp {
    /// `None` where there is no file, or none that may be looked at.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sidegate-reload-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_once_a_second_has_passed() {
        let file = folder("change").join("file");
        fs::write(&file, "a").unwrap();
        let mut files = Files::new(Instant::now());
        assert_eq!(files.read(&file).unwrap(), "a");
        fs::write(&file, "bb").unwrap();
        assert!(!files.have_changed(Instant::now()));
        assert!(files.have_changed(Instant::now() + PAUSE));
        assert!(!files.have_changed(Instant::now() + PAUSE), "it was looked at just now");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_or_goes_has_changed() {
        let file = folder("comes").join("file");
        let mut files = Files::new(Instant::now());
        assert!(files.read(&file).is_err());
        assert!(!files.have_changed(Instant::now() + PAUSE));
        fs::write(&file, "").unwrap();
        assert!(files.have_changed(Instant::now() + PAUSE * 2));
    }

    /// As the kubelet does it: a new folder, and the link to the old one replaced.
    #[tokio::test(start_paused = true)]
    async fn a_link_that_leads_elsewhere_is_a_change() {
        let folder = folder("link");
        for (name, text) in [("1", "a"), ("2", "b")] {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("file"), text).unwrap();
        }
        symlink("1", folder.join("data")).unwrap();
        symlink("data/file", folder.join("file")).unwrap();
        let mut files = Files::new(Instant::now());
        assert_eq!(files.read(&folder.join("file")).unwrap(), "a");
        assert!(!files.have_changed(Instant::now() + PAUSE));
        symlink("2", folder.join("new")).unwrap();
        fs::rename(folder.join("new"), folder.join("data")).unwrap();
        assert!(files.have_changed(Instant::now() + PAUSE * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_end_is_not_read() {
        let mut files = Files::new(Instant::now());
        let error = files.read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "expected at most 1048576 bytes, found more");
    }
}
