//! The plain HTTP port for the kubelet and Prometheus.
//!
//! | Path | Answers |
//! | --- | --- |
//! | `/healthz` | 200 while the process works |
//! | `/readyz` | 200 when admission can be served, else 503 with what is missing |
//! | `/metrics` | the operator's own metrics, as OpenMetrics text |
//!
//! *Never:* admission, reconciling, anything a client may change.

use std::{io, net::TcpListener, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{metrics::Metrics, readiness::Readiness, stop::Stop};

/// What the answers are made from.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// Whether admission can be served.
    pub readiness: Readiness,
    /// The numbers.
    pub metrics: Arc<Metrics>,
}

/// The routes.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Serves until the end is asked for.
///
/// # Errors
/// When the socket breaks.
pub async fn serve(listener: TcpListener, state: AdminState, stop: Stop) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router(state)).with_graceful_shutdown(stop.requested()).await
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let missing = state.readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response()
}

async fn metrics(State(state): State<AdminState>) -> Response {
    match state.metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot print the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn check(state: &AdminState, path: &str, status: u16, text: &str) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router(state.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(text), "{path}: {body}");
    }

    #[tokio::test]
    async fn ready_means_that_every_part_is_there() {
        let state = AdminState { readiness: Readiness::default(), metrics: Arc::default() };
        check(&state, "/healthz", 200, "ok").await;
        check(&state, "/readyz", 503, "no certificate yet").await;
        state.readiness.groups_are_known();
        state.readiness.certificate_is_served();
        check(&state, "/readyz", 503, "the webhook configuration does not have the CA bundle yet").await;
        state.readiness.certificate_is_trusted();
        check(&state, "/readyz", 200, "ok").await;
    }

    #[tokio::test]
    async fn metrics_are_served() {
        let state = AdminState { readiness: Readiness::default(), metrics: Arc::default() };
        state.metrics.injection("injected", "selected");
        check(&state, "/metrics", 200, "sidegate_operator_injections_total{result=\"injected\",reason=\"selected\"} 1")
            .await;
    }
}
