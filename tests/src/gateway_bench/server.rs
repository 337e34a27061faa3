//! A server under load: started, filled, and asked the kernel for what it costs.
//!
//! *Never:* what is compared.

use std::{ffi::OsStr, fs, net::SocketAddr, path::Path};

use anyhow::{Context as _, ensure};

use super::workload::Pushes;
use crate::{
    connection::{Answer, Connection},
    process::Process,
};

/// How often the kernel's clock for processor time ticks in a second; so it is on every Linux.
const TICKS: f64 = 100.0;

/// A server of this machine, which ends with this value.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    pub(super) address: SocketAddr,
    id: u32,
}

// === impl Server ===

impl Server {
    /// Starts a gateway on some port.
    pub(super) fn gateway(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start(program, &[&["--web.listen-address=127.0.0.1:0"], arguments].concat())
    }

    /// Starts a program that says where it listens.
    pub(super) fn start(program: &Path, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<Self> {
        let process = Process::start(program, arguments)?;
        let (address, id) = (process.address("")?, process.id()?);
        Ok(Self { process, address, id })
    }

    /// Ends it in order, so that it can write down what it has.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.process.signal("TERM")?;
        self.process.ended().map(drop)
    }

    /// Puts every group once, one after the other.
    pub(super) fn fill(&self, pushes: &Pushes) -> anyhow::Result<()> {
        self.push(pushes, 0..pushes.groups, 0)
    }

    /// Puts some groups, with the body of that round.
    pub(super) fn push(&self, pushes: &Pushes, groups: std::ops::Range<usize>, round: usize) -> anyhow::Result<()> {
        let mut connection = Connection::of(self.address);
        for group in groups {
            let answer = connection.call(pushes.request(group, round))?;
            let shown = || String::from_utf8_lossy(&answer.body).into_owned();
            ensure!(matches!(answer.status, 200 | 202), "expected 200 or 202, found {} {}", answer.status, shown());
        }
        Ok(())
    }

    /// The page, as it comes when asked with these headers.
    pub(super) fn page(&self, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let answer = Connection::of(self.address).call(page_request(headers))?;
        ensure!(answer.status == 200, "expected a page, found {}", answer.status);
        Ok(answer)
    }

    /// Memory that it holds, in bytes.
    pub(super) fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        Ok(1024.0 * line.context("expected VmRSS")?.trim().parse::<f64>()?)
    }

    /// Processor time that it has taken since its start, in seconds.
    pub(super) fn processor_time(&self) -> anyhow::Result<f64> {
        processor_time(&fs::read_to_string(format!("/proc/{}/stat", self.id))?)
    }
}

/// A request for the page.
pub(super) fn page_request(headers: &[(&str, &str)]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET /metrics HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n").into_bytes()
}

/// Time in the program and time in the kernel for it. The program's name, in parentheses, may have blanks.
fn processor_time(stat: &str) -> anyhow::Result<f64> {
    let (_, fields) = stat.rsplit_once(") ").context("expected a name in parentheses")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next().context("expected two times")?.parse::<f64>().map_err(anyhow::Error::from);
    Ok((ticks()? + ticks()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_program_and_of_the_kernel_for_it() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 10\n";
        assert_eq!(processor_time(stat).unwrap(), 3.0);
        assert!(processor_time("7 (a) S 1").is_err());
    }
}
