//! Our program alone, as a process: pushed to, and asked for its page.
//!
//! *Never:* what is pushed.

use std::{fmt, net::SocketAddr};

use anyhow::Context as _;
use e2e::{binaries, client, process::Process};

/// A running gateway.
pub(crate) struct Gateway {
    /// Held, since the program ends with it.
    _process: Process,
    pub(crate) address: SocketAddr,
}

/// A push, and how it is answered.
#[derive(Clone)]
pub(crate) struct Push {
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
}

pub(crate) const TEXT: &str = "text/plain; version=0.0.4";
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(crate) const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

// === impl Gateway ===

impl Gateway {
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let arguments = [&["--web.listen-address=127.0.0.1:0"], arguments].concat();
        let process = Process::start(&binaries::sidegate()?, &arguments)?;
        let address = process.address("listener=all")?;
        Ok(Self { _process: process, address })
    }

    /// One that all of these were pushed to.
    pub(crate) fn with(arguments: &[&str], pushes: &[Push]) -> anyhow::Result<Self> {
        let gateway = Self::start(arguments)?;
        pushes.iter().try_for_each(|push| push.to(gateway.address))?;
        Ok(gateway)
    }

    pub(crate) fn page(&self, accept: &str) -> anyhow::Result<String> {
        let answer = client::call(self.address, "GET", "/metrics", &[("Accept", accept)], b"")?;
        answer.text(200).map(str::to_owned)
    }
}

// === impl Push ===

impl Push {
    /// One that is accepted.
    pub(crate) fn new(path: &str, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), content_type, body: body.into(), status: 200 }
    }

    pub(crate) fn to(&self, address: SocketAddr) -> anyhow::Result<()> {
        let answer = self.answer(address)?;
        answer.text(self.status).map(drop).with_context(|| format!("{self:?}"))
    }

    pub(crate) fn answer(&self, address: SocketAddr) -> anyhow::Result<client::Answer> {
        client::call(address, "PUT", &self.path, &[("Content-Type", self.content_type)], &self.body)
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PUT {} as {}\n{}", self.path, self.content_type, String::from_utf8_lossy(&self.body))
    }
}
