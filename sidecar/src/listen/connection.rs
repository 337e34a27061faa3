//! One connection from its first byte to its end: HTTP/1.0 and 1.1, its time limits, and what a panic leaves of it.
//!
//! HTTP/2 is not served: neither Prometheus nor any client asks for it without TLS, and with TLS both sides agree on
//! HTTP/1.1.
//!
//! A handler that panics is answered for with 500, and only its connection ends.
//!
//! *Never:* how connections come in, routes.

use std::{
    future::poll_fn,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, body::Body, extract::ConnectInfo};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tower::Service as _;

use super::{
    Closing,
    activity::{Activity, Awaited, Patience},
    answer,
    delivery::Delivery,
    limits::ConnectionLimits,
    stream::{Socket, Stream},
};
use crate::metrics::Connections;

/// How much larger than the largest head a connection's buffer is: what is found too large has a sentence only if all of
/// it was read.
const HEAD_ROOM: usize = 64 * 1024;

/// The largest buffer where heads have no limit.
const MOST_BUFFER: usize = 1024 * 1024 * 1024;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By either side's wish, or since the other side broke off.
    Closed,
    /// It waited for too long.
    TimedOut(Awaited),
}

/// The body of a request, which tells when nobody reads on.
#[derive(Debug)]
struct Received {
    body: Incoming,
    /// What the library says of a body in chunks only here.
    has_ended: bool,
    activity: Arc<Activity>,
}

/// The body of an answer, which tells when it is at its end.
#[derive(Debug)]
struct Answer {
    body: Body,
    activity: Arc<Activity>,
}

/// Serves requests until either side closes, a time limit, or closing; then the request that is under way is answered.
pub(super) async fn serve(
    socket: impl Socket,
    peer: SocketAddr,
    router: &Router,
    limits: ConnectionLimits,
    counts: &Connections,
    mut closing: Closing,
) -> End {
    let (delivery, activity) = (Delivery::to(peer), Arc::<Activity>::default());
    let stream = Stream::new(socket, delivery.clone(), Arc::clone(&activity));
    let service = service_fn(|request: Request<Incoming>| {
        activity.requested();
        let (activity, delivery) = (Arc::clone(&activity), delivery.clone());
        let mut router = router.clone();
        async move {
            let body = |body| Body::new(Received { body, has_ended: false, activity: Arc::clone(&activity) });
            let mut request = request.map(body);
            request.extensions_mut().insert(ConnectInfo(delivery));
            let head = head_bytes(&request);
            let response = if head <= limits.header_bytes {
                caught(async { router.call(request).await }).await.unwrap_or_else(|| Ok(panicked()))
            } else {
                drop(request);
                counts.large_head();
                Ok(answer::large_head(limits.header_bytes, head))
            };
            activity.answered();
            response.map(|response| response.map(|body| Answer { body, activity }))
        }
    });
    let mut connection = http(limits).serve_connection(TokioIo::new(stream), service);
    let (mut patience, mut is_leaving) = (Patience::new(limits), false);
    let waited = loop {
        tokio::select! {
            // What the connection does tells how long there is patience.
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    if error.is_parse_too_large() {
                        counts.large_head();
                    }
                    tracing::debug!(%peer, %error, "connection broke off");
                }
                return End::Closed;
            }
            () = closing.raised(), if !is_leaving => {
                is_leaving = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            waited = patience.ends(&activity) => break waited,
        }
    };
    tracing::debug!(%peer, ?waited, "connection timed out");
    let parts = connection.into_parts();
    if let (Awaited::Head, Some(limit), false) = (waited, limits.header_time, parts.read_buf.is_empty()) {
        answer::say(&answer::slow_head(limit), parts.io.into_inner()).await;
    }
    End::TimedOut(waited)
}

/// How a connection reads and writes.
fn http(limits: ConnectionLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // The library's own limit counts the time between requests as time of a head.
    http.header_read_timeout(None);
    let buffer = limits.header_bytes.saturating_add(HEAD_ROOM).min(MOST_BUFFER);
    http.max_buf_size(buffer);
    http
}

/// What a future makes, or `None` if it panics.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// The hook of panics has told the log what happened.
fn panicked() -> Response<Body> {
    tracing::error!("a handler panicked; its request is answered with 500");
    answer::panicked()
}

/// The size of request line and headers, without the few bytes between their parts.
fn head_bytes(request: &Request<Body>) -> usize {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.method().as_str().len() + target + headers
}

// === impl Received ===

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.has_ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.has_ended && !http_body::Body::is_end_stream(&self.body) {
            self.activity.left_body();
        }
    }
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.activity.buffered();
    }
}
