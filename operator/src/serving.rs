//! Answers over TLS and, at the end, goes on until nobody comes any more.
//!
//! A node learns by and by that a pod is no endpoint of its Service any more, and whoever is connected stays so. So for a
//! while nothing changes when the end is asked for; then those who are connected are told to go, those who come are still
//! answered, and the socket closes when there is nobody. A request that finds it closed would be an admission lost.
//!
//! Not held yet: a connection that is silent after the TLS handshake, and headers over HTTP/2.
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

use crate::stop::Stop;

/// What a connection is begun with: that of now, and each after it.
pub type Tls = watch::Receiver<Arc<ServerConfig>>;

/// The longest from the end being asked for until [`serve`] is over.
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

/// What is served, and until when.
#[derive(Clone)]
struct Serving {
    tls: Tls,
    router: Router,
    stop: Stop,
    patience: Patience,
}

/// Serves until the end is asked for and nobody comes any more.
///
/// # Errors
/// When the socket is of no use.
pub async fn serve(listener: TcpListener, tls: Tls, router: Router, stop: Stop) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Serving { tls, router, stop, patience: PATIENCE }.at(listener).await;
    Ok(())
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
    async fn at(self, listener: tokio::net::TcpListener) {
        let mut connections = JoinSet::new();
        let begin = |connections: &mut JoinSet<()>, stream| connections.spawn(self.clone().connection(stream));
        let mut time_to_go = pin!(self.time_to_go());
        loop {
            tokio::select! {
                stream = accept(&listener) => {
                    begin(&mut connections, stream);
                }
                Some(_) = connections.join_next() => {}
                () = time_to_go.as_mut() => break,
            }
        }
        let latest = Instant::now() + self.patience.visited;
        loop {
            tokio::select! {
                stream = accept(&listener) => {
                    begin(&mut connections, stream);
                }
                Some(_) = connections.join_next() => {}
                () = sleep(self.patience.quiet), if connections.is_empty() => break,
                () = sleep_until(latest) => break,
            }
        }
        drop(listener);
        let last = async { while connections.join_next().await.is_some() {} };
        if timeout(self.patience.last_answers, last).await.is_err() {
            tracing::warn!("some request of the webhook was not answered in time");
        }
    }

    /// Over when those who are connected are told to go.
    async fn time_to_go(&self) {
        self.stop.clone().requested().await;
        sleep(self.patience.unchanged).await;
    }

    async fn connection(self, stream: TcpStream) {
        // An answer is small and is waited for.
        let _ = stream.set_nodelay(true);
        let config = Arc::clone(&self.tls.borrow());
        match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => self.answer(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake not ended in time"),
        }
    }

    /// Answers the requests of a connection, until it is told to go.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let settled = Instant::now() + self.patience.settled;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
        let service = TowerToHyperService::new(self.router.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let time_to_go = async {
            self.time_to_go().await;
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
