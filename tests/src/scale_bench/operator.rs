//! The operator as a process, started as its Deployment would start it.
//!
//! *Never:* what it does.

use std::{ffi::OsString, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::time::Instant;

use super::{World, world::since};
use crate::{control_plane::Requests, install::SIDEGATE_NAMESPACE, measuring::usage, process::Process, wait};

/// The name of its Deployment and of its service account.
pub(super) const NAME: &str = "sidegate-operator";

/// The most that a start may take, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An operator; it ends with this value.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    id: u32,
    started: Instant,
    /// What the API server had been asked before.
    before: Requests,
}

// === impl Operator ===

impl Operator {
    /// Starts it in the network of a control plane.
    ///
    /// # Errors
    /// When it does not start, with its log.
    pub fn start(world: &World, program: &Path) -> anyhow::Result<Self> {
        let (started, before) = (Instant::now(), world.requests()?);
        let mut command = world.plane.entering();
        let mut kubeconfig = OsString::from("KUBECONFIG=");
        kubeconfig.push(&world.kubeconfig);
        command.extend(["env".into(), kubeconfig, program.into()]);
        command.push(format!("--namespace={SIDEGATE_NAMESPACE}").into());
        command.extend(arguments(world)?);
        let (enter, rest) = command.split_first().context("expected a command")?;
        let process = Process::start(Path::new(enter), rest)?;
        wait::blocking("the operator to start", START_LIMIT, || {
            let log = process.log();
            ensure!(!process.is_ended(), "it has ended:\n{log}");
            Ok(log.contains("started").then_some(()))
        })?;
        let id = process.id()?;
        Ok(Self { process, id, started, before })
    }

    /// How long it has run.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// What it has asked the API server for since its start.
    ///
    /// # Errors
    /// When the API server's log cannot be read.
    pub fn requests(&self, world: &World) -> anyhow::Result<Requests> {
        Ok(since(&self.before, &world.requests()?))
    }

    /// What it has written by now.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Memory that it holds and the most it has held, in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> anyhow::Result<[f64; 2]> {
        Ok([usage::memory(self.id)?, usage::peak_memory(self.id)?])
    }

    /// Processor time that it has taken, in seconds.
    ///
    /// # Errors
    /// When it has ended.
    pub fn processor_time(&self) -> anyhow::Result<f64> {
        usage::processor_time(self.id)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.process.signal("TERM")?;
        let code = self.process.ended()?;
        ensure!(code == Some(0), "expected the operator to end well, found {code:?}:\n{}", self.log());
        Ok(())
    }
}

/// What its Deployment starts it with.
fn arguments(world: &World) -> anyhow::Result<Vec<OsString>> {
    let of = ["--namespace", SIDEGATE_NAMESPACE, "get", "deployment", NAME, "--output", "json"];
    let deployment: Value = serde_json::from_str(&world.kubectl.run(&of)?)?;
    let arguments = deployment.pointer("/spec/template/spec/containers/0/args").and_then(Value::as_array);
    let arguments = arguments.context("expected a Deployment with arguments")?;
    Ok(arguments.iter().filter_map(Value::as_str).map(OsString::from).collect())
}
