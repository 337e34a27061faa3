//! The layer that asks for a token, around the handlers that it guards: before a byte of the body is read.
//!
//! Where nothing is guarded there is no layer.
//!
//! *Never:* which tokens are good.

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use tokio::time::Instant;

use super::{AppState, error::HttpError, grouping};
use crate::{
    auth::{Credentials, Wish},
    metrics::ReloadedFile,
};

/// What a handler is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To change the group that the path names.
    Push,
    /// To change any group, or to end the process.
    Administrate,
    Read,
}

/// The methods given so far, behind the guard if it guards what they are there for.
pub(super) fn guarded(state: &AppState, purpose: Purpose, methods: MethodRouter<AppState>) -> MethodRouter<AppState> {
    if !state.shared.access.guards(purpose.wish(None)) {
        return methods;
    }
    let check = move |state, request, next| check(state, purpose, request, next);
    methods.route_layer(from_fn_with_state(state.clone(), check))
}

async fn check(State(app): State<AppState>, purpose: Purpose, request: Request, next: Next) -> Response {
    app.refresh_tokens();
    let uri = request.uri();
    let shown = Credentials::of(request.headers(), uri.query().unwrap_or_default());
    // What names no group is left to the handler to refuse.
    let key = if purpose == Purpose::Push { grouping::key_of(&app, uri).ok() } else { None };
    let wish = purpose.wish(key.as_ref().map(|key| key.labels().get("job").unwrap_or_default()));
    match app.shared.access.admit(&shown, wish, Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            app.metrics().auth_refused(refused.reason());
            tracing::debug!(path = uri.path(), reason = refused.reason().label(), error = %refused, "not let in");
            HttpError::Auth(refused).into_response()
        }
    }
}

// === impl Purpose ===

impl Purpose {
    fn wish(self, job: Option<&str>) -> Wish<'_> {
        match self {
            Self::Push => Wish::Push { job },
            Self::Administrate => Wish::Administrate,
            Self::Read => Wish::Read,
        }
    }
}

// === impl AppState ===

impl AppState {
    /// Reads the token file if it has changed, and says what came of it.
    pub(crate) fn refresh_tokens(&self) {
        match self.shared.access.refresh(Instant::now()) {
            None => {}
            Some(Ok(tokens)) => tracing::info!(tokens, "token file read"),
            Some(Err(error)) => {
                self.metrics().reload_failed(ReloadedFile::Tokens);
                tracing::error!(%error, "token file not taken, those read before stay in force, if any");
            }
        }
    }
}
