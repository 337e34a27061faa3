//! The operator over a while: what it costs, and what it asks of the API server and of sidecars.
//!
//! *Never:* what is asked of it in that while.

use std::{cell::Cell, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;

use super::{Operator, World, world::since};
use crate::{control_plane::Requests, wait};

/// A while of an operator's life.
#[derive(Clone, Debug)]
pub struct Window {
    /// How long it was.
    pub length: Duration,
    /// Processor time taken, in seconds.
    pub processor_time: f64,
    /// What the API server was asked.
    pub requests: Requests,
    /// Reads of sidecars.
    pub reads: u64,
    /// Memory at the end of it, and the most there ever was, in bytes.
    pub memory: [f64; 2],
    /// Pods that were removed, with as many made.
    pub replaced: usize,
}

// === impl Window ===

impl Window {
    /// Watches an operator for a while; so many pods a second are removed and others made meanwhile.
    ///
    /// # Errors
    /// When the operator ends, or a pod cannot be replaced.
    pub async fn watch(
        world: &World,
        operator: &Operator,
        length: Duration,
        replaced_a_second: usize,
    ) -> anyhow::Result<Self> {
        let (start, time) = (Instant::now(), operator.processor_time()?);
        let (requests, reads) = (world.requests()?, world.tally().reads);
        let replaced = Cell::new(0);
        wait::throughout(length, || async {
            let due = usize::try_from(start.elapsed().as_secs())? * replaced_a_second;
            world.replace(due - replaced.replace(due)).await?;
            operator.memory().map(drop).context("the operator has ended")
        })
        .await?;
        Ok(Self {
            length: start.elapsed(),
            processor_time: operator.processor_time()? - time,
            requests: since(&requests, &world.requests()?),
            reads: world.tally().reads - reads,
            memory: operator.memory()?,
            replaced: replaced.get(),
        })
    }

    /// The share of a core that it took.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.processor_time / self.length.as_secs_f64()
    }

    /// Requests to the API server in a second.
    #[must_use]
    pub fn requests_a_second(&self) -> f64 {
        self.requests.values().sum::<u64>() as f64 / self.length.as_secs_f64()
    }

    /// Reads of sidecars in a second.
    #[must_use]
    pub fn reads_a_second(&self) -> f64 {
        self.reads as f64 / self.length.as_secs_f64()
    }
}
