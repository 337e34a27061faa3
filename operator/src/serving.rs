//! Answers over TLS and, at the end, goes on until nobody comes any more.
//!
//! A node learns by and by that a pod is no endpoint of its Service any more, and whoever is connected stays so. So for a
//! while nothing changes when the end is asked for; then those who are connected are told to go, those who come are still
//! answered, and the socket closes when there is nobody. A request that finds it closed would be an admission lost.
//!
//! Connections have a limit, as what comes over each of them has. Not held yet: one that is silent after its handshake
//! keeps its place.
//!
//! *Never:* routes, where certificates come from.

use std::{io, net::TcpListener, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{metrics::Metrics, stop::Stop};

/// What a connection is begun with: that of now, and each after it.
pub type Tls = watch::Receiver<Arc<ServerConfig>>;

/// The longest from the end being asked for until [`Serving::serve`] is over.
pub const LONGEST: Duration = Duration::from_secs(20);

/// How long everything takes at the end.
const PATIENCE: Patience = Patience {
    unchanged: Duration::from_secs(5),
    visited: Duration::from_secs(10),
    quiet: Duration::from_secs(2),
    last_answers: Duration::from_secs(3),
    settled: Duration::from_secs(1),
};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long the headers of a request may take, over HTTP/1.
const HEADERS: Duration = Duration::from_secs(5);

/// How much of a body may come before it is read, over HTTP/2, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;

/// How much of all bodies of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How often who is connected by HTTP/2 is asked whether it is still there, and how long it has for an answer.
const ALIVE: Duration = Duration::from_secs(30);

/// How long to wait where the system has no more connections to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

const _: () = assert!(
    PATIENCE.unchanged.as_secs() + PATIENCE.visited.as_secs() + PATIENCE.last_answers.as_secs() < LONGEST.as_secs(),
    "the end takes longer than it says"
);

#[derive(Clone, Copy, Debug)]
struct Patience {
    /// How long nothing changes after the end was asked for: until nodes have learned that this is no endpoint any more.
    unchanged: Duration,
    /// How long after that there may still be somebody.
    visited: Duration,
    /// How long there has to be nobody.
    quiet: Duration,
    /// How long the last requests may take.
    last_answers: Duration,
    /// How old a connection is at least when it is told to go: one that has not said its first word would just be cut.
    settled: Duration,
}

/// What is served, to how many, and until when.
#[derive(Clone)]
pub struct Serving {
    /// What connections begin with.
    pub tls: Tls,
    /// What is asked.
    pub router: Router,
    /// When the end is asked for.
    pub stop: Stop,
    /// How many connections there may be at a time; one more is closed at once, since the API server then goes by its
    /// failure policy without waiting.
    pub most: usize,
    /// Where that is counted.
    pub metrics: Arc<Metrics>,
}

/// # Cancel safety
/// Dropped midway, it loses no connection.
async fn accept(listener: &tokio::net::TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // One that is gone already, or all that the system has to give: what is open goes on.
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                sleep(EXHAUSTED).await;
            }
        }
    }
}

// === impl Serving ===

impl Serving {
    /// Serves until the end is asked for and nobody comes any more.
    ///
    /// # Errors
    /// When the socket is of no use.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        self.at(tokio::net::TcpListener::from_std(listener)?, PATIENCE).await;
        Ok(())
    }

    async fn at(self, listener: tokio::net::TcpListener, patience: Patience) {
        let mut connections = JoinSet::new();
        let mut time_to_go = pin!(self.time_to_go(patience));
        loop {
            tokio::select! {
                stream = accept(&listener) => self.begin(&mut connections, stream, patience),
                Some(_) = connections.join_next() => {}
                () = time_to_go.as_mut() => break,
            }
        }
        let latest = Instant::now() + patience.visited;
        loop {
            tokio::select! {
                stream = accept(&listener) => self.begin(&mut connections, stream, patience),
                Some(_) = connections.join_next() => {}
                () = sleep(patience.quiet), if connections.is_empty() => break,
                () = sleep_until(latest) => break,
            }
        }
        drop(listener);
        let last = async { while connections.join_next().await.is_some() {} };
        if timeout(patience.last_answers, last).await.is_err() {
            tracing::warn!("some request of the webhook was not answered in time");
        }
    }

    fn begin(&self, connections: &mut JoinSet<()>, stream: TcpStream, patience: Patience) {
        if connections.len() < self.most {
            connections.spawn(self.clone().connection(stream, patience));
        } else {
            tracing::debug!(most = self.most, "refused a connection to the webhook: there are too many");
            self.metrics.review_refused("too_many_connections");
        }
    }

    /// Over when those who are connected are told to go.
    async fn time_to_go(&self, patience: Patience) {
        self.stop.clone().requested().await;
        sleep(patience.unchanged).await;
    }

    async fn connection(self, stream: TcpStream, patience: Patience) {
        // An answer is small and is waited for.
        let _ = stream.set_nodelay(true);
        let config = Arc::clone(&self.tls.borrow());
        match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => self.answer(stream, patience).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake not ended in time"),
        }
    }

    /// Answers the requests of a connection, until it is told to go.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, patience: Patience) {
        let settled = Instant::now() + patience.settled;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // A body that waits for its room holds up neither the others of its connection nor much memory.
        builder.http2().initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(ALIVE).keep_alive_timeout(ALIVE);
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
        let service = TowerToHyperService::new(self.router.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let time_to_go = async {
            self.time_to_go(patience).await;
            sleep_until(settled).await;
        };
        tokio::select! {
            _ = connection.as_mut() => return,
            () = time_to_go => connection.as_mut().graceful_shutdown(),
        }
        // Whatever ends it, there is nobody left to be told.
        let _ = connection.await;
    }
}

#[cfg(test)]
mod tests;
