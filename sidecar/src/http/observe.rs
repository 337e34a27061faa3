//! What is counted and logged about requests, around the handlers.
//!
//! Upstream counts neither scrapes nor 404 and 405, and so do we. Malformed pushes are logged at debug, pushes that do
//! not fit at warn, as a client's fault that somebody has to mend. Unsigned deletes at the scrape port are logged at
//! debug, other refused ones at info.
//!
//! *Never:* what an answer is.

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::MethodRouter,
};
use tokio::time::Instant;

use super::{AppState, Listener, error::Reason};
use crate::{
    listen::Delivery,
    metrics::{Handler, Refusal, SignedDelete},
};

/// What counts as the protocol in the size of a request, whichever version it is.
const PROTOCOL: &str = "HTTP/1.1";

pub(super) async fn push(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let (method, size, started) = (method(request.method()), size(&request), Instant::now());
    let client = request.extensions().get().and_then(|ConnectInfo::<Delivery>(delivery)| delivery.peer());
    let response = next.run(request).await;
    answered(&app, Handler::Push, method, &response);
    app.metrics().push(method, size, started.elapsed());
    if let Some(Reason { refusal: Some(refusal), sentence, .. }) = response.extensions().get() {
        app.metrics().refused(*refusal);
        let (path, reason, client) = (uri.path(), refusal.label(), client.map(tracing::field::display));
        if matches!(refusal, Refusal::Identity | Refusal::Inconsistent | Refusal::Measurement | Refusal::Timestamp) {
            tracing::warn!(method, path, client, reason, error = %sentence, "push refused");
        } else if refusal != &Refusal::Auth {
            // What the guard refuses it has logged itself.
            let message = if *refusal == Refusal::Storage { "push not stored" } else { "push malformed" };
            tracing::debug!(method, path, client, reason, error = %sentence, "{message}");
        }
    }
    response
}

pub(super) async fn delete(state: State<AppState>, request: Request, next: Next) -> Response {
    let (State(app), uri) = (state.clone(), request.uri().clone());
    let response = count(state, Handler::Delete, request, next).await;
    if let Some(Reason { signed_delete: Some(outcome), sentence, .. }) = response.extensions().get()
        && app.listener == Listener::Scrape
    {
        app.metrics().signed_delete(*outcome);
        let (path, reason, message) = (uri.path(), outcome.label(), "delete refused at the scrape port");
        // Anybody may knock without a signature, as often as they like.
        if *outcome == SignedDelete::Unsigned {
            tracing::debug!(path, reason, error = %sentence, "{message}");
        } else {
            tracing::info!(path, reason, error = %sentence, "{message}");
        }
    }
    response
}

pub(super) async fn count(State(app): State<AppState>, handler: Handler, request: Request, next: Next) -> Response {
    let method = method(request.method());
    let response = next.run(request).await;
    answered(&app, handler, method, &response);
    response
}

fn answered(app: &AppState, handler: Handler, method: &'static str, response: &Response) {
    let status = response.status();
    if status != StatusCode::NOT_FOUND && status != StatusCode::METHOD_NOT_ALLOWED {
        app.metrics().request(status.as_u16(), handler, method);
    }
}

/// About how large a request is, as upstream reckons it: what stands before the body, and the body as its length was
/// announced; one in chunks counts nothing.
fn size(request: &Request) -> u64 {
    let headers = request.headers();
    let host = headers.get(header::HOST).map_or(0, |_| header::HOST.as_str().len());
    let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let head = request.method().as_str().len() + target + PROTOCOL.len() + lines - host;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    u64::try_from(head).unwrap_or(u64::MAX).saturating_add(length.unwrap_or(0))
}

/// The methods given so far, counted under that handler.
pub(super) fn counted(state: &AppState, handler: Handler, methods: MethodRouter<AppState>) -> MethodRouter<AppState> {
    let count = move |state, request, next| count(state, handler, request, next);
    methods.layer(from_fn_with_state(state.clone(), count))
}

/// One of the few methods that reach a handler.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "PUT" => "put",
        "POST" => "post",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn the_size_of_a_request_is_its_head_and_what_the_body_was_announced_to_be() {
        let request = Request::put("/metrics/job/j?q").header("host", "h:1").header("content-length", "100");
        let head = "PUT".len() + "/metrics/job/j?q".len() + "HTTP/1.1".len() + "h:1".len() + "content-length100".len();
        assert_eq!(size(&request.body(Body::empty()).unwrap()), u64::try_from(head).unwrap() + 100);
        let chunked = Request::put("/metrics/job/j").body(Body::from("x 1\n")).unwrap();
        assert_eq!(size(&chunked), u64::try_from("PUT/metrics/job/jHTTP/1.1".len()).unwrap());
    }
}
