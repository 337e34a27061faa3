//! Healthy and ready.
//!
//! *Never:* why it is not ready, beyond the latch.

use axum::extract::State;

use super::{AppState, error::HttpError};

pub(super) async fn healthy() -> &'static str {
    "OK"
}

pub(super) async fn ready(State(state): State<AppState>) -> Result<&'static str, HttpError> {
    if state.shared.readiness.is_ready() { Ok("OK") } else { Err(HttpError::NotReady) }
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse};

    use super::*;
    use crate::{
        auth::Access,
        http::{Parts, Settings},
        lifecycle::{Quit, Scrapes, latch},
        metrics::Metrics,
        operator_access::OperatorAccess,
        store::Store,
    };

    #[tokio::test]
    async fn it_is_not_ready_until_every_listener_was_started() {
        let (starting, readiness) = latch();
        let state = AppState::new(Parts {
            store: Store::new(),
            metrics: Metrics::default(),
            scrapes: Scrapes::default(),
            readiness,
            operator: OperatorAccess::default(),
            access: Access::default(),
            settings: Settings::default(),
            quit: Quit::default(),
        });
        let error = ready(State(state.clone())).await.unwrap_err();
        assert_eq!(error.to_string(), "not ready: some listener was not started yet");
        assert_eq!(error.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(starting);
        assert_eq!(ready(State(state)).await.unwrap(), "OK");
    }
}
