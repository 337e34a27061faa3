//! Which replica leads: an election by a Lease (`coordination.k8s.io/v1`), as other controllers hold theirs.
//!
//! The leader renews the Lease every `retry`, and leads for `renew` from the moment it *asked* for the last renewal that
//! was confirmed. Another takes the Lease when it has not seen it change for the Lease's own length, which is longer, by its
//! own clock. So no clock is compared with another: two lead at once only if one runs half as fast again as the other.
//! Every write names the version it is based on, so that of several who take it one does.
//!
//! ```text
//! Lease ◀─ read, write ─ Elector ─ asks ─▶ Election (pure)      Elector ─ Held ─▶ Leadership ─▶ Term: do we, for long enough?
//! ```
//!
//! Who leads does so by a [`Term`], and asks it before every write: one that may not have its answer within the term is
//! not made. A replica that loses its term goes on as a standby and tries again.
//!
//! Limits: who deletes the Lease may have two leaders until the first finds it gone, at its next renewal. A write that
//! was sent within the term may be carried out by the API server after it, which is why writes name versions, and deletions
//! push times. A process that the system stops right between the question and the write is late unnoticed.
//!
//! *Never:* what leaders do.

pub mod election;
mod lease;
pub mod term;

use std::{future::Future, sync::Arc, time::Duration};

use kube::Client;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use self::{
    election::{Election, Step, Written},
    lease::Leases,
};
use crate::{
    clock::Clock,
    config::LeaderConfig,
    metrics::Metrics,
    signing::{NoRandomness, random},
    stop::Stop,
};

pub use election::{Held, Timings};
pub use term::{LONGEST_WRITE, Leadership, Term};

/// Stands for election.
pub struct Elector {
    leases: Leases,
    election: Election,
    timings: Timings,
    clock: Clock,
    metrics: Arc<Metrics>,
    sender: watch::Sender<Option<Held>>,
}

/// Someone to stand for election, and how everybody else learns of it.
///
/// # Errors
/// When there are no random numbers to tell this process from its predecessor.
pub fn elector(
    client: &Client,
    namespace: &str,
    config: &LeaderConfig,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> Result<(Elector, Leadership), NoRandomness> {
    let identity = format!("{}_{:08x}", config.identity, u32::from_le_bytes(random()?));
    let (sender, receiver) = watch::channel(None);
    metrics.runtime.leading(&config.lease, false);
    let elector = Elector {
        election: Election::new(identity.clone(), config.timings),
        leases: Leases::new(client, namespace, config, identity),
        timings: config.timings,
        clock,
        metrics,
        sender,
    };
    Ok((elector, Leadership::new(receiver)))
}

// === impl Elector ===

impl Elector {
    /// Stands for election until the end is asked for, then releases the Lease: by then nobody may write any more.
    pub async fn run(mut self, stop: Stop) {
        let mut failures = 0;
        while !stop.is_requested() {
            let step = self.election.next(Instant::now());
            self.tell();
            let failed = match step {
                Step::Rest(until) => {
                    tokio::select! {
                        () = sleep_until(until + self.jitter()) => {}
                        () = stop.clone().requested() => {}
                    }
                    continue;
                }
                Step::Look => self.look().await,
                Step::Take { over } => self.take(over.as_deref()).await,
            };
            self.tell();
            match failed {
                None => failures = 0,
                Some(error) => {
                    failures += 1;
                    tracing::warn!(%error, lease = self.leases.name(), failures, "cannot tell or renew who leads");
                }
            }
        }
        self.release().await;
    }

    async fn look(&mut self) -> Option<String> {
        match self.in_time(self.leases.look()).await {
            Ok(found) => {
                let record = found.as_ref().map(lease::record);
                self.leases.keep(found);
                self.election.looked(Instant::now(), Ok(record));
                None
            }
            Err(error) => {
                self.election.looked(Instant::now(), Err(()));
                Some(error)
            }
        }
    }

    async fn take(&mut self, over: Option<&str>) -> Option<String> {
        let asked = Instant::now();
        let (written, error) = match self.in_time(self.leases.take(over, self.clock.now())).await {
            Ok(Some(lease)) => {
                let record = lease::record(&lease);
                self.leases.keep(Some(lease));
                (Written::Done(record), None)
            }
            Ok(None) => (Written::Refused, None),
            Err(error) => (Written::Unknown, Some(error)),
        };
        self.election.wrote(asked, Instant::now(), written);
        error
    }

    async fn release(mut self) {
        let held = self.election.give_up();
        self.tell();
        if !held {
            return;
        }
        match self.in_time(self.leases.release(self.clock.now())).await {
            Ok(()) => tracing::info!(lease = self.leases.name(), "released the Lease"),
            Err(error) => tracing::warn!(%error, lease = self.leases.name(), "the Lease is left to run out"),
        }
    }

    /// Half of what a term lasts: of two requests in a row one may be lost.
    async fn in_time<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
        let limit = self.timings.renew / 2;
        match timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }

    /// Candidates do not all look at once.
    fn jitter(&self) -> Duration {
        let share = if self.election.held().is_some() { 0 } else { random().map_or(0, |[share]: [u8; 1]| share) };
        self.timings.retry / 5 * u32::from(share) / 256
    }

    fn tell(&self) {
        let (before, now) = (*self.sender.borrow(), self.election.held());
        if before == now {
            return;
        }
        let (lease, identity) = (self.leases.name(), self.leases.identity());
        self.sender.send_replace(now);
        match (before.map(|held| held.term), now.map(|held| held.term)) {
            (before, now) if before == now => {}
            (_, Some(term)) => tracing::info!(lease, identity, term, "this replica leads"),
            (_, None) => tracing::info!(lease, identity, "this replica does not lead any more"),
        }
        self.metrics.runtime.leading(lease, now.is_some());
    }
}

#[cfg(test)]
mod tests;
