//! A program as a process of this machine, which ends with this one, however that ends.
//!
//! A shell stands between: it ends the program as soon as its standard input is closed, which the system does when this
//! process dies. Until then it passes signals on.
//!
//! *Never:* what the program is for.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::wait;

/// The most that a start or an end may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// It leaves with the program's own code, and holds no end of the pipe that the log comes through.
const GUARD: &str = r#"
"$@" &
program=$!
exec 2> /dev/null
while read -r signal; do kill -s "$signal" "$program"; done
kill -s KILL "$program"
wait "$program"
"#;

/// A program that runs as long as this value lives.
#[derive(Debug)]
pub struct Process {
    guard: Child,
    name: String,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    is_ended: bool,
}

// === impl Process ===

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// When there is no shell to start it.
    pub fn start(program: &Path, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut guard = command.spawn().context("sh")?;
        let stderr = BufReader::new(guard.stderr.take().context("stderr is piped")?);
        let log = Arc::default();
        let written = Arc::clone(&log);
        thread::spawn(move || {
            // Read to the end even if nobody asks: a full pipe would stop the program.
            stderr.lines().map_while(Result::ok).for_each(|line| locked(&written).lines.push(line));
            locked(&written).is_ended = true;
        });
        let name = program.file_name().unwrap_or(program.as_os_str()).display().to_string();
        Ok(Self { guard, name, log })
    }

    /// Where it listens, once its log says so: in the first line with these words and an address of a real port.
    ///
    /// # Errors
    /// When it ends before, or does not say so in time; with its log.
    pub fn address(&self, words: &str) -> anyhow::Result<SocketAddr> {
        let address = |line: &String| {
            let word = line.split_once(" address=")?.1.split(' ').next()?;
            word.parse().ok().filter(|address: &SocketAddr| line.contains(words) && address.port() != 0)
        };
        let found = wait::blocking(&format!("an address of {words:?}"), LIMIT, || {
            let log = locked(&self.log);
            match log.lines.iter().find_map(address) {
                None if log.is_ended => bail!("it has ended"),
                found => Ok(found),
            }
        });
        found.with_context(|| format!("expected {} to say where it listens, found:\n{}", self.name, self.log()))
    }

    /// What it has written to standard error by now.
    #[must_use]
    pub fn log(&self) -> String {
        locked(&self.log).lines.join("\n")
    }

    /// Sends a signal by its name, such as `TERM`.
    ///
    /// # Errors
    /// When the shell is gone.
    pub fn signal(&mut self, name: &str) -> anyhow::Result<()> {
        let stdin = self.guard.stdin.as_mut().context("stdin is piped")?;
        Ok(writeln!(stdin, "{name}")?)
    }

    /// The number of the program's process, of which the kernel tells time and memory.
    ///
    /// # Errors
    /// When it has ended, or the kernel tells nobody's children.
    pub fn id(&self) -> anyhow::Result<u32> {
        let guard = self.guard.id();
        let children = format!("/proc/{guard}/task/{guard}/children");
        let children = fs::read_to_string(&children).context(children)?;
        let first = children.split(' ').next().and_then(|id| id.parse().ok());
        first.with_context(|| format!("expected {} to be a child of its guard, found {children:?}", self.name))
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        locked(&self.log).is_ended
    }

    /// Waits until it has ended by itself, and tells its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        wait::blocking(&format!("the end of {}", self.name), LIMIT, || Ok(self.is_ended().then_some(())))?;
        drop(self.guard.stdin.take());
        Ok(self.guard.wait()?.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // There is nobody to tell.
        let _ = self.guard.wait();
    }
}

fn locked(log: &Mutex<Log>) -> std::sync::MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Path::new("/bin/sh"), &["-c", script]).unwrap()
    }

    #[test]
    fn it_tells_the_log_and_the_code_of_a_program_that_ends() {
        let mut process = shell("echo 'a address=127.0.0.1:0' >&2; echo 'b address=127.0.0.1:7 c' >&2; exit 3");
        assert_eq!(process.address("b").unwrap().port(), 7);
        assert_eq!(process.ended().unwrap(), Some(3));
        assert!(process.address("a address").unwrap_err().to_string().ends_with("b address=127.0.0.1:7 c"));
    }

    #[test]
    fn a_signal_reaches_the_program() {
        let mut process = shell("trap 'exit 4' TERM; echo 'x address=127.0.0.1:1' >&2; while :; do sleep 0.01; done");
        process.address("x").unwrap();
        process.signal("TERM").unwrap();
        assert_eq!(process.ended().unwrap(), Some(4));
    }

    #[test]
    fn the_program_goes_with_the_value() {
        let process = shell("echo $$ address=127.0.0.1:1 >&2; exec sleep 1000");
        process.address("").unwrap();
        let id = process.id().unwrap().to_string();
        assert_eq!(process.log().split(' ').next().unwrap(), id);
        let program = Path::new("/proc").join(id);
        assert!(program.is_dir());
        drop(process);
        assert!(!program.is_dir());
    }
}
