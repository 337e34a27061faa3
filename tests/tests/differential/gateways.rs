//! Ours and the reference, side by side: asked, scraped, emptied.
//!
//! *Never:* what their answers should be.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context as _, ensure};
use e2e::{
    connection::{Answer, Connection},
    process::Process,
};
use serde_json::Value;

use crate::page::Page;

/// A running gateway and a connection to it.
pub(crate) struct Gateway {
    program: PathBuf,
    arguments: Vec<&'static str>,
    /// Held, since the process ends with it.
    process: Process,
    connection: Connection,
}

/// The two that are compared.
pub(crate) struct Gateways {
    pub(crate) ours: Gateway,
    pub(crate) reference: Gateway,
}

// === impl Gateway ===

impl Gateway {
    pub(crate) fn start(program: PathBuf, arguments: Vec<&'static str>) -> anyhow::Result<Self> {
        let arguments = [vec!["--web.listen-address=127.0.0.1:0"], arguments].concat();
        let process = Process::start(&program, &arguments)?;
        let connection = Connection::of(process.address("")?);
        Ok(Self { program, arguments, process, connection })
    }

    /// Ends the process and starts another.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.process = Process::start(&self.program, &self.arguments)?;
        self.connection = Connection::of(self.process.address("")?);
        Ok(())
    }

    pub(crate) fn send(&mut self, request: Vec<u8>) -> anyhow::Result<()> {
        self.connection.send(request)
    }

    pub(crate) fn receive(&mut self) -> anyhow::Result<Answer> {
        self.connection.receive()
    }

    fn call(&mut self, method: &str, path: &str) -> anyhow::Result<Answer> {
        self.connection
            .call(format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n").into_bytes())
    }

    /// What a scrape shows.
    pub(crate) fn scrape(&mut self) -> anyhow::Result<Page> {
        let answer = self.call("GET", "/metrics")?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "expected a page, found {} {text}", answer.status);
        Page::read(&text).with_context(|| text.into_owned())
    }

    /// The help that each group has for a family, as a page would show it; empty for none.
    pub(crate) fn helps(&mut self, family: &str) -> anyhow::Result<BTreeSet<String>> {
        let answer: Value = serde_json::from_slice(&self.call("GET", "/api/v1/metrics")?.body)?;
        let groups = answer.get("data").and_then(Value::as_array).context("expected a list of groups")?;
        let help = |family: &Value| family.get("help").and_then(Value::as_str).unwrap_or_default().to_owned();
        let helps = groups.iter().filter_map(|group| group.get(family)).map(help);
        Ok(helps.map(|help| help.replace('\\', "\\\\").replace('\n', "\\n")).collect())
    }

    /// Removes everything.
    fn wipe(&mut self) -> anyhow::Result<()> {
        let answer = self.call("PUT", "/api/v1/admin/wipe")?;
        ensure!(answer.status == 202, "expected 202 from wipe, found {}", answer.status);
        Ok(())
    }
}

// === impl Gateways ===

impl Gateways {
    pub(crate) fn start(ours: PathBuf, reference: PathBuf) -> anyhow::Result<Self> {
        let ours = Gateway::start(ours, vec!["--log.level=info", "--web.enable-admin-api"])?;
        let reference = Gateway::start(reference, vec!["--web.enable-admin-api"])?;
        Ok(Self { ours, reference })
    }

    /// Removes everything from both.
    pub(crate) fn wipe(&mut self) -> anyhow::Result<()> {
        self.reference.wipe()?;
        self.ours.wipe()
    }
}
