//! The plain HTTP port for the kubelet and Prometheus. Every replica serves it from what it knows itself.
//!
//! | Path | Answers |
//! | --- | --- |
//! | `/healthz` | 200 while the process works |
//! | `/readyz` | 200 when admission can be served, else 503 with what is missing |
//! | `/metrics` | the operator's own metrics, as OpenMetrics text |
//! | `/sd/{namespace}/{name}` | the sidecars of a `PushGroup`, as Prometheus' HTTP service discovery; 404 without such a group, 503 while it is not known |
//!
//! *Never:* admission, reconciling, anything a client may change.

use std::{io, net::TcpListener, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    discovery::{Discovery, DiscoveryError},
    metrics::Metrics,
    readiness::Readiness,
    stop::Stop,
};

/// What the answers are made from.
#[derive(Clone)]
pub struct AdminState {
    /// Whether admission can be served.
    pub readiness: Readiness,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The sidecars there are.
    pub discovery: Discovery,
}

/// The routes.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/sd/{namespace}/{name}", get(sidecars))
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

async fn sidecars(State(state): State<AdminState>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let error = match state.discovery.targets(&namespace, &name) {
        Ok(targets) => return Json(targets).into_response(),
        Err(error) => error,
    };
    let status = match error {
        DiscoveryError::NotKnown => StatusCode::SERVICE_UNAVAILABLE,
        DiscoveryError::NoSuchGroup { .. } => StatusCode::NOT_FOUND,
    };
    (status, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{cache::cache, discovery::tests::discovery};

    fn state() -> AdminState {
        AdminState { readiness: Readiness::default(), metrics: Arc::default(), discovery: discovery() }
    }

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
        let state = state();
        check(&state, "/healthz", 200, "ok").await;
        check(&state, "/readyz", 503, "no certificate yet").await;
        state.readiness.groups_are_known();
        state.readiness.certificate_is_served();
        check(&state, "/readyz", 503, "the namespaces and their LimitRanges are not known yet").await;
        state.readiness.surroundings_are_known();
        check(&state, "/readyz", 503, "the webhook configuration does not have the CA bundle yet").await;
        state.readiness.certificate_is_trusted();
        check(&state, "/readyz", 200, "ok").await;
    }

    #[tokio::test]
    async fn metrics_are_served() {
        let state = state();
        state.metrics.injection("injected", "selected");
        check(&state, "/metrics", 200, "sidegate_operator_injections_total{result=\"injected\",reason=\"selected\"} 1")
            .await;
    }

    #[tokio::test]
    async fn sidecars_are_discovered_as_json() {
        let request = Request::get("/sd/data/nightly").body(Body::empty()).unwrap();
        let answer = router(state()).oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        check(&state(), "/sd/data/nightly", 200, "[{\"targets\":[\"10.0.0.7:19091\"],").await;
    }

    #[tokio::test]
    async fn an_unknown_group_is_told_from_one_that_is_not_known_yet() {
        check(&state(), "/sd/data/weekly", 404, "expected a PushGroup weekly in the namespace data, found none").await;
        let (pods, _writer) = cache();
        let discovery = Discovery::new(crate::cache::Cache::of(Vec::new()), pods);
        let starting = AdminState { discovery, ..state() };
        check(&starting, "/sd/data/weekly", 503, "not known yet to this replica").await;
    }
}
