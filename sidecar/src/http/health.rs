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
