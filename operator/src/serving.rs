//! Answers over TLS and, at the end, goes on until nobody comes any more.
//!
//! A node learns by and by that a pod is no endpoint of its Service any more, and whoever is connected stays so. So for a
//! while nothing changes when the end is asked for; then each answer says that it is the last of its connection, those
//! who come anew are still answered, and the socket closes when there is nobody. A request that finds it closed would be
//! an admission lost.
//!
//! It is HTTP/1.1, as the API server asks webhooks. A connection between two requests is the API server's to close: it does
//! not repeat a request that was on its way when we did.
//!
//! Connections have a limit, as what comes over each of them has.
//!
//! *Never:* routes, where certificates come from.

mod connections;

use std::{io, net::TcpListener, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header::CONNECTION},
    middleware::{self, Next},
};
use hyper::{
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::connections::{Activity, Connections, Crowded};
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
};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long the headers of a request may take, and a connection be silent: longer than an API server keeps one (90 s).
const HEADERS: Duration = Duration::from_secs(100);

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
    /// How many connections there may be at a time. For one more another is closed that is silent; where there is none, it
    /// is closed itself, since the API server then goes by its failure policy without waiting.
    pub most: usize,
    /// Where that is counted.
    pub metrics: Arc<Metrics>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It has not been asked for, or just now.
    Not,
    /// Who is answered is told to go.
    Going,
    /// There was nobody, or there is no time left.
    Over,
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

    async fn at(mut self, listener: tokio::net::TcpListener, patience: Patience) {
        let (end, ending) = watch::channel(Ending::Not);
        let told = ending.clone();
        self.router =
            self.router.layer(middleware::from_fn(move |request, next| last_answer(told.clone(), request, next)));
        let mut connections = Connections::at_most(self.most);
        let mut time_to_go = pin!(async {
            self.stop.clone().requested().await;
            sleep(patience.unchanged).await;
        });
        loop {
            tokio::select! {
                stream = accept(&listener) => self.begin(&mut connections, stream, &ending),
                () = connections.one_ended(), if !connections.is_empty() => {}
                () = time_to_go.as_mut() => break,
            }
        }
        end.send_replace(Ending::Going);
        let latest = Instant::now() + patience.visited;
        loop {
            tokio::select! {
                stream = accept(&listener) => self.begin(&mut connections, stream, &ending),
                () = connections.one_ended(), if !connections.is_empty() => {}
                () = sleep(patience.quiet), if connections.is_empty() => break,
                () = sleep_until(latest) => break,
            }
        }
        drop(listener);
        end.send_replace(Ending::Over);
        let last = async {
            while !connections.is_empty() {
                connections.one_ended().await;
            }
        };
        if timeout(patience.last_answers, last).await.is_err() {
            tracing::warn!("some request of the webhook was not answered in time");
        }
    }

    fn begin(&self, connections: &mut Connections, stream: TcpStream, ending: &watch::Receiver<Ending>) {
        let begun = connections.begin(|activity| self.clone().connection(stream, ending.clone(), activity));
        let Err(crowded) = begun else { return };
        self.metrics.review_refused("too_many_connections");
        match crowded {
            Crowded::OneMadePlace => tracing::debug!(most = self.most, "closed a silent connection for a new one"),
            Crowded::Refused => tracing::debug!(most = self.most, "refused a connection: all others are in use"),
        }
    }

    async fn connection(self, stream: TcpStream, ending: watch::Receiver<Ending>, activity: Activity) {
        // An answer is small and is waited for.
        let _ = stream.set_nodelay(true);
        let config = Arc::clone(&self.tls.borrow());
        match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => answer(stream, self.router, ending, &activity).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake not ended in time"),
        }
    }
}

/// Answers the requests of a connection, until its other end closes it or everything is over.
async fn answer<S>(stream: S, router: Router, mut ending: watch::Receiver<Ending>, activity: &Activity)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        activity.begins();
        let answer = router.call(request);
        async {
            let answer = answer.await;
            activity.ends();
            answer
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ending.wait_for(|ending| *ending == Ending::Over) => connection.as_mut().graceful_shutdown(),
    }
    // Whatever ends it, there is nobody left to be told.
    let _ = connection.await;
}

/// Tells who is answered near the end to come again over another connection, and so to another replica.
async fn last_answer(ending: watch::Receiver<Ending>, request: Request, next: Next) -> axum::response::Response {
    let mut response = next.run(request).await;
    if *ending.borrow() != Ending::Not {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests;
