//! The accept loop: takes connections, each into a task of its own, and refuses those beyond the limit with a sentence.
//!
//! A connection beyond the limit is taken and refused, instead of being left in the kernel's queue: a client then
//! learns why at once and can try again, a probe does not hang, and somebody can count it. What refusing costs is
//! bounded too: only so many are given their sentence at a time, the rest are closed without one.
//!
//! *Never:* what is served.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::sleep,
};

use super::{
    Closing,
    activity::{Activity, Awaited},
    answer,
    connection::{self, End},
    delivery::Delivery,
    limits::ConnectionLimits,
    stream::Stream,
    tls,
};
use crate::{metrics::Connections, web_config::Web};

/// How long the listener rests when the system has no room for one more connection.
const REST: Duration = Duration::from_millis(200);

/// How many refused connections are given their sentence at a time.
const MOST_REFUSED_AT_ONCE: usize = 32;

/// What is served to every connection of some listeners, which share its limits. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    router: Router,
    limits: ConnectionLimits,
    counts: Connections,
    /// What says whether there is TLS, if anything may.
    web: Option<Arc<Web>>,
    /// One for each connection there may be.
    slots: Arc<Semaphore>,
    /// One for each that may be refused at a time.
    refusals: Arc<Semaphore>,
}

/// Serves until closing; requests that are under way then are answered.
pub(crate) async fn serve(listener: TcpListener, serving: Serving, mut closing: Closing) {
    let mut connections = JoinSet::new();
    let mut is_out_of_room = false;
    loop {
        tokio::select! {
            () = closing.raised() => break,
            Some(ended) = connections.join_next() => reap(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    is_out_of_room = false;
                    serving.take(stream, peer, &closing, &mut connections);
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if !is_out_of_room {
                        tracing::error!(%error, retry_in = ?REST, "cannot take more connections");
                    }
                    is_out_of_room = true;
                    tokio::select! {
                        () = closing.raised() => break,
                        () = sleep(REST) => {}
                    }
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        reap(ended);
    }
}

/// Ends after so long; never where there is no limit.
async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// The connection was gone before it was taken.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Handlers are caught before; whatever else panics ends its connection alone.
fn reap(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}

// === impl Serving ===

impl Serving {
    pub(crate) fn new(router: Router, limits: ConnectionLimits, counts: Connections) -> Self {
        let most = limits.connections.min(Semaphore::MAX_PERMITS);
        let (slots, refusals) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(MOST_REFUSED_AT_ONCE)));
        Self { router, limits, counts, web: None, slots, refusals }
    }

    /// With TLS, where the web config says so.
    pub(crate) fn secured(self, web: Option<Arc<Web>>) -> Self {
        Self { web, ..self }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, closing: &Closing, connections: &mut JoinSet<()>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be delayed");
        }
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => {
                connections.spawn(self.clone().connection(stream, peer, closing.clone(), slot));
            }
            Err(_) => self.refuse(stream, peer, connections),
        }
    }

    /// The task of a connection, which has one of the slots. What lies between TCP and HTTP has its place here.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, mut closing: Closing, slot: OwnedSemaphorePermit) {
        let open = self.counts.open();
        let tls = self.web.as_ref().and_then(|web| web.current().tls.clone());
        let end = match tls {
            None => connection::serve(stream, peer, &self.router, self.limits, &self.counts, closing).await,
            Some(config) => {
                let accepted = tokio::select! {
                    accepted = tls::accept(stream, config) => accepted.ok_or(End::Closed),
                    () = elapsed(self.limits.header_time) => Err(End::TimedOut(Awaited::Head)),
                    () = closing.raised() => Err(End::Closed),
                };
                match accepted {
                    Ok(stream) => {
                        connection::serve(stream, peer, &self.router, self.limits, &self.counts, closing).await
                    }
                    Err(end) => end,
                }
            }
        };
        match end {
            End::Closed => {}
            End::TimedOut(waited) => self.counts.timed_out(waited),
        }
        drop((open, slot));
    }

    fn refuse(&self, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        self.counts.refused();
        let limit = self.limits.connections;
        tracing::debug!(%peer, limit, "connection refused");
        if let Ok(refusal) = Arc::clone(&self.refusals).try_acquire_owned() {
            let activity = Arc::<Activity>::default();
            // Whoever connects is about to send something.
            activity.read();
            let stream = Stream::new(stream, Delivery::default(), activity);
            connections.spawn(async move {
                answer::say(&answer::too_many_connections(limit), stream).await;
                drop(refusal);
            });
        }
    }
}

#[cfg(test)]
mod tests;
