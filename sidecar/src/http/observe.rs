//! What is counted and logged about requests, around the handlers.
//!
//! Upstream counts neither scrapes nor 404 and 405, and so do we. Malformed pushes are logged at debug, pushes that do
//! not fit at warn, as a client's fault that somebody has to mend.
//!
//! *Never:* what an answer is.

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::MethodRouter,
};

use super::{AppState, Listener, error::Reason};
use crate::metrics::{Handler, Refusal};

pub(super) async fn push(state: State<AppState>, request: Request, next: Next) -> Response {
    let (State(app), path) = (state.clone(), request.uri().path().to_owned());
    let response = count(state, Handler::Push, request, next).await;
    if let Some(Reason { refusal: Some(refusal), sentence, .. }) = response.extensions().get() {
        app.metrics().refused(*refusal);
        let reason = refusal.label();
        if matches!(refusal, Refusal::Inconsistent | Refusal::Timestamp) {
            tracing::warn!(path, reason, error = %sentence, "push refused");
        } else {
            tracing::debug!(path, reason, error = %sentence, "push malformed");
        }
    }
    response
}

pub(super) async fn delete(state: State<AppState>, request: Request, next: Next) -> Response {
    let (State(app), path) = (state.clone(), request.uri().path().to_owned());
    let response = count(state, Handler::Delete, request, next).await;
    if let Some(Reason { signed_delete: Some(outcome), sentence, .. }) = response.extensions().get()
        && app.listener == Listener::Scrape
    {
        app.metrics().signed_delete(*outcome);
        tracing::info!(path, reason = outcome.label(), error = %sentence, "delete refused at the scrape port");
    }
    response
}

pub(super) async fn count(State(app): State<AppState>, handler: Handler, request: Request, next: Next) -> Response {
    let method = method(request.method());
    let response = next.run(request).await;
    let status = response.status();
    if status != StatusCode::NOT_FOUND && status != StatusCode::METHOD_NOT_ALLOWED {
        app.metrics().request(status.as_u16(), handler, method);
    }
    response
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
