//! The real binary as a child process, and a client that speaks just enough HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running process, killed with the value.
pub(crate) struct Gateway {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

// === impl Gateway ===

impl Gateway {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts it with environment variables of its own.
    pub(crate) fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.args(args).envs(variables.iter().copied()).stdout(Stdio::null());
        Self::spawn(command)
    }

    /// Starts it as systemd does, with two sockets from file descriptor 3 on, of which it is told so many. A shell puts
    /// them there, and becomes the process that `LISTEN_PID` names.
    pub(crate) fn passed(args: &[&str], count: &str, first: OwnedFd, second: OwnedFd) -> Self {
        let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_sidegate")]).args(args).env("LISTEN_FDS", count);
        command.stdin(first).stdout(second);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, log: Vec::new() }
    }

    /// A sidecar on ports of the system's choice, and where it takes pushes and is scraped.
    pub(crate) fn sidecar(args: &[&str]) -> (Self, SocketAddr, SocketAddr) {
        let fixed = ["sidecar", "--push.listen-address=127.0.0.1:0", "--scrape.listen-address=127.0.0.1:0"];
        let mut gateway = Self::start(&[&fixed, args].concat());
        let push = gateway.address("push");
        let scrape = gateway.address("scrape");
        (gateway, push, scrape)
    }

    /// Waits for the line that says where a listener is.
    pub(crate) fn address(&mut self, listener: &str) -> SocketAddr {
        self.addresses(listener, 1).remove(0)
    }

    /// Waits for the lines that say where the listeners of this name are.
    pub(crate) fn addresses(&mut self, listener: &str, count: usize) -> Vec<SocketAddr> {
        let end = format!(" listener={listener}");
        let mut lines: Vec<String> = Vec::new();
        while lines.len() < count {
            let is_new = |line: &str| lines.iter().all(|known| known != line);
            let is_one = |line: &str| line.contains("msg=listening address=") && line.ends_with(&end);
            let line = self.line(|line| is_one(line) && is_new(line));
            lines.push(line);
        }
        let address =
            |line: &String| line.split_once("address=").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        lines.iter().map(address).collect()
    }

    /// Waits for a line of the log; lines that were read before count too.
    pub(crate) fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        if let Some(line) = self.log.iter().find(|line| wanted(line)) {
            return line.clone();
        }
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(error @ (RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
                    panic!("{error}, after:\n{}", self.log.join("\n"))
                }
            }
            if let Some(line) = self.log.last().filter(|line| wanted(line)) {
                return line.clone();
            }
        }
    }

    /// Sends a signal such as `TERM` to this process.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The most memory it ever held, in MiB, as the kernel knows it.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Waits for the end: standard error is closed then.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("still running, after:\n{}", self.log.join("\n")),
            }
        }
        (self.child.wait().unwrap(), self.log.join("\n"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request on a connection of its own and returns status and body.
pub(crate) fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: impl AsRef<[u8]>,
) -> (u16, String) {
    let body = body.as_ref();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    raw(to, &[format!("{head}{headers}\r\n").as_bytes(), body].concat())
}

/// Sends these bytes on a connection of their own, which they ask to be closed, and returns status and body.
pub(crate) fn raw(to: SocketAddr, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A scrape as Prometheus does it.
pub(crate) fn scrape(to: SocketAddr) -> String {
    let (status, page) = request(to, "GET", "/metrics", &["x-prometheus-scrape-timeout-seconds: 10"], "");
    assert_eq!(status, 200);
    page
}
