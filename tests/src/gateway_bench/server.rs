//! A server under load: started, filled, and asked the kernel for what it costs.
//!
//! *Never:* what is compared.

use std::{ffi::OsStr, net::SocketAddr, path::Path};

use anyhow::ensure;

use super::workload::Pushes;
use crate::{
    connection::{Answer, Connection},
    measuring::usage,
    process::Process,
};

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
        usage::memory(self.id)
    }

    /// Processor time that it has taken since its start, in seconds.
    pub(super) fn processor_time(&self) -> anyhow::Result<f64> {
        usage::processor_time(self.id)
    }
}

/// A request for the page.
pub(super) fn page_request(headers: &[(&str, &str)]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET /metrics HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n").into_bytes()
}
