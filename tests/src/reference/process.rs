//! A gateway as a process, on a port of the system's choice, that ends with this process, however that ends.
//!
//! A shell stands between: it ends the gateway as soon as its standard input is closed, which the system does when
//! this process dies.
//!
//! *Never:* whose gateway it is.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// The most that a start may take, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

const GUARD: &str = r#""$@" & gateway=$!; exec 2> /dev/null; cat > /dev/null; kill -s KILL "$gateway""#;

/// A gateway that runs as long as this value lives.
#[derive(Debug)]
pub struct Process {
    guard: Child,
    address: SocketAddr,
}

// === impl Process ===

impl Process {
    /// Starts a program and waits until its log says where it listens.
    ///
    /// # Errors
    /// When it cannot be started, or says nothing in time; with its log.
    pub fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(program).arg("--web.listen-address=127.0.0.1:0").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut guard = command.spawn().context("sh")?;
        let log = BufReader::new(guard.stderr.take().context("stderr is piped")?);
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            // Read to the end even if nobody listens: a full pipe would stop the gateway.
            log.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        let mut process = Self { guard, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut seen = Vec::new();
        while let Ok(line) = lines.recv_timeout(START_LIMIT) {
            if let Some(address) = address_in(&line) {
                process.address = address;
                return Ok(process);
            }
            seen.push(line);
        }
        let name = program.file_name().unwrap_or(OsStr::new("gateway"));
        bail!("expected {} to say where it listens, found:\n{}", name.display(), seen.join("\n"))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // There is nobody to tell.
        let _ = self.guard.wait();
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let address = line.split_once(" address=")?.1.split(' ').next()?;
    address.parse().ok()
}
