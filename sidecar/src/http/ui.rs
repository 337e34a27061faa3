//! placeholder
use super::AppState;
use axum::Router;
pub(super) fn routes(_: &AppState) -> Router<AppState> {
    Router::new()
}
