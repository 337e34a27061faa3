//! wrk: what it is called with, and what it says in the end.
//!
//! *Never:* who is loaded, and why.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::{
    programs::Programs,
    workload::{Pushes, Read},
};

/// Ends every script: prints the figures.
const FIGURES: &str = include_str!("figures.lua");

const PUSH: &str = include_str!("push.lua");

/// As many as there are clients that push or scrape at once.
pub(super) const CONNECTIONS: usize = 16;

/// Something to load a server with: the part of wrk's arguments that is the same in every round.
#[derive(Clone, Debug)]
pub(super) struct Load {
    options: Vec<String>,
    path: &'static str,
    arguments: Vec<String>,
}

/// What a run of wrk came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) requests: f64,
    pub(super) seconds: f64,
    /// In milliseconds.
    pub(super) p50: f64,
    /// In milliseconds.
    pub(super) p99: f64,
}

/// wrk and the folder that its scripts are in.
#[derive(Debug)]
pub(super) struct Wrk {
    program: PathBuf,
    folder: PathBuf,
}

// === impl Load ===

impl Load {
    fn of(script: &Path, path: &'static str, arguments: Vec<String>) -> Self {
        Self { options: vec!["--script".to_owned(), script.display().to_string()], path, arguments }
    }
}

// === impl Wrk ===

impl Wrk {
    /// Writes the scripts into a folder.
    pub(super) fn new(programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
        fs::write(folder.join("push.lua"), format!("{PUSH}\n{FIGURES}"))?;
        fs::write(folder.join("figures.lua"), FIGURES)?;
        Ok(Self { program: programs.wrk.clone(), folder: folder.to_owned() })
    }

    pub(super) fn pushes(&self, pushes: Pushes) -> anyhow::Result<Load> {
        Ok(Load::of(&self.folder.join("push.lua"), "", pushes.script_arguments(&self.folder)?))
    }

    pub(super) fn reads(&self, read: Read) -> Load {
        let mut load = Load::of(&self.folder.join("figures.lua"), "/metrics", Vec::new());
        for (name, value) in read.headers() {
            load.options.extend(["--header".to_owned(), format!("{name}: {value}")]);
        }
        load
    }

    /// Loads a server for so many seconds.
    pub(super) fn run(&self, load: &Load, address: SocketAddr, seconds: usize) -> anyhow::Result<Figures> {
        let mut wrk = Command::new(&self.program);
        wrk.args(["--threads", "1", "--timeout", "30s", "--connections", &CONNECTIONS.to_string()]);
        wrk.args(["--duration", &seconds.to_string()]).args(&load.options);
        wrk.arg(format!("http://{address}{}", load.path)).arg("--").args(&load.arguments);
        let output = wrk.output().context("wrk")?;
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "wrk: {}\n{said}{errors}", output.status);
        figures(&said).with_context(|| format!("wrk said\n{said}{errors}"))
    }
}

// === impl Figures ===

impl Figures {
    /// Answers in a second.
    pub(super) fn rate(self) -> f64 {
        self.requests / self.seconds
    }
}

/// Reads the line that `figures.lua` prints.
fn figures(said: &str) -> anyhow::Result<Figures> {
    let line = said.lines().find_map(|line| line.strip_prefix("figures ")).context("expected a line of figures")?;
    let number = |name: &str| {
        let mut words = line.split(' ').filter_map(|word| word.split_once('='));
        let word = words.find(|(found, _)| *found == name).with_context(|| format!("expected {name} in {line:?}"))?;
        word.1.parse::<f64>().with_context(|| format!("expected a number as {name}, found {:?}", word.1))
    };
    let failed = number("failed")?;
    ensure!(failed == 0.0, "expected every request to succeed, found {failed} that failed");
    let figures = Figures {
        requests: number("requests")?,
        seconds: number("microseconds")? / 1e6,
        p50: number("p50")? / 1e3,
        p99: number("p99")? / 1e3,
    };
    ensure!(0.0 < figures.requests && 0.0 < figures.seconds, "expected some answers in some time, found {line:?}");
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_run_are_read_from_the_line_of_the_script() {
        let said = "Running 2s test @ http://127.0.0.1:9091\n  1 threads and 16 connections\n  5 requests in 2.00s, 1.38MB read\n\
                    figures requests=84000 microseconds=2000000 p50=180 p99=1530 failed=0\n";
        let found = figures(said).unwrap();
        assert_eq!(found, Figures { requests: 84000.0, seconds: 2.0, p50: 0.18, p99: 1.53 });
        assert_eq!(found.rate(), 42000.0);
    }

    #[test]
    fn a_run_with_failures_is_no_measurement() {
        let fault = |said: &str| figures(said).unwrap_err().to_string();
        let line = "figures requests=10 microseconds=20 p50=1 p99=2 failed=3\n";
        assert_eq!(fault(line), "expected every request to succeed, found 3 that failed");
        assert!(fault("figures requests=0 microseconds=20 p50=0 p99=0 failed=0").starts_with("expected some answers"));
        assert!(fault("figures requests=1 p50=0 p99=0 failed=0").starts_with("expected microseconds"));
        assert_eq!(fault("unable to connect\n"), "expected a line of figures");
    }
}
