//! The HTTP edge: which path and method lead to which handler, on which listener.
//!
//! | Path | Push listener, or the only one | Scrape listener |
//! | --- | --- | --- |
//! | `P/metrics` | GET | GET |
//! | `P/metrics/job/…`, `P/metrics/job@base64/…` | PUT, POST, DELETE | DELETE, signed by the operator |
//! | `P/-/healthy`, `P/-/ready` | GET | GET |
//!
//! `P` is the route prefix; the scrape listener has none. Paths are taken as sent and never cleaned, decoded or
//! redirected here: a push path is data.
//!
//! *Never:* any rule about groups, labels or signatures.

mod body;
mod delete;
mod error;
mod grouping;
mod health;
mod observe;
mod page;
mod push;
mod scrape;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, put},
};
use protocol::endpoints::{HEALTHY_PATH, METRICS_PATH, READY_PATH};

use crate::{
    lifecycle::{Readiness, Scrapes},
    metrics::{Handler, Metrics},
    operator_access::OperatorAccess,
    store::Store,
};
use error::HttpError;

/// What is allowed where there is only something to read.
const GET_ONLY: &str = "GET, OPTIONS";

/// How the fixed part of a group's path may be spelled; no other spelling is served.
const JOB_SPELLINGS: [&str; 3] = ["job", "job@base64", "job%40base64"];

/// What the handlers work with. Clones share it.
#[derive(Clone, Debug)]
pub struct AppState {
    shared: Arc<Shared>,
    listener: Listener,
    /// What stands before every path; empty or `/a/b`.
    route_prefix: Arc<str>,
}

/// Which listener a router is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The only one.
    Single,
    /// Where clients push, while scrapers have another.
    Push,
    /// Where scrapers read, while clients have another.
    Scrape,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    metrics: Metrics,
    scrapes: Scrapes,
    readiness: Readiness,
    operator: OperatorAccess,
    max_body_bytes: usize,
}

/// What a state is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) scrapes: Scrapes,
    pub(crate) readiness: Readiness,
    pub(crate) operator: OperatorAccess,
    pub(crate) route_prefix: String,
    pub(crate) max_body_bytes: usize,
}

/// The whole API, as the push listener and the only listener serve it.
pub fn router(state: AppState) -> Router {
    let pushes = put(push::push).post(push::push).route_layer(from_fn_with_state(state.clone(), observe::push));
    let deletes = delete(delete::delete).route_layer(from_fn_with_state(state.clone(), observe::delete));
    let groups = pushes.merge(deletes);
    common(groups, "DELETE, OPTIONS, POST, PUT", state)
}

/// The read-only API of the scrape listener.
pub fn scrape_router(state: AppState) -> Router {
    let state = AppState { listener: Listener::Scrape, route_prefix: "".into(), ..state };
    let deletes = delete(delete::signed).route_layer(from_fn_with_state(state.clone(), observe::delete));
    common(deletes, "DELETE, OPTIONS", state)
}

fn common(groups: MethodRouter<AppState>, allow: &'static str, state: AppState) -> Router {
    let prefix = Arc::clone(&state.route_prefix);
    let page = allowing(get(scrape::page), GET_ONLY);
    let groups = allowing(groups, allow);
    let fixed = |handler: MethodRouter<AppState>, name| {
        let count = move |state, request, next| observe::count(state, name, request, next);
        allowing(handler.route_layer(from_fn_with_state(state.clone(), count)), GET_ONLY)
    };
    let mut router = Router::new().route(&format!("{prefix}{METRICS_PATH}"), page);
    for job in JOB_SPELLINGS {
        // A catch-all does not match nothing, and nothing is an empty job.
        let path = format!("{prefix}{METRICS_PATH}/{job}/");
        router = router.route(&path, groups.clone()).route(&format!("{path}{{*key}}"), groups.clone());
    }
    router
        .route(&format!("{prefix}{HEALTHY_PATH}"), fixed(get(health::healthy), Handler::Healthy))
        .route(&format!("{prefix}{READY_PATH}"), fixed(get(health::ready), Handler::Ready))
        .fallback(async || HttpError::NotFound)
        .with_state(state)
}

/// Answers all other methods the way upstream does: `OPTIONS` with the list, the rest with 405 and the list. GET does
/// not imply HEAD.
fn allowing(methods: MethodRouter<AppState>, allow: &'static str) -> MethodRouter<AppState> {
    let other = async move |request: Request| -> Response {
        let mut response = if request.method() == Method::OPTIONS {
            StatusCode::OK.into_response()
        } else {
            HttpError::MethodNotAllowed.into_response()
        };
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        response
    };
    let methods = if allow == GET_ONLY { methods.head(other) } else { methods };
    methods.fallback(other)
}

// === impl AppState ===

impl AppState {
    /// A state around a store, with default limits, no route prefix, ready, and nobody who may sign: for tests that
    /// call a router without a process around it.
    #[must_use]
    pub fn around(store: Store) -> Self {
        Self::limited(store, crate::config::DEFAULT_MAX_BODY_BYTES)
    }

    /// The same, taking bodies of at most that many bytes.
    #[must_use]
    pub fn limited(store: Store, max_body_bytes: usize) -> Self {
        Self::with(store, OperatorAccess::default(), max_body_bytes)
    }

    /// The same for the pod with that UID, which takes what was signed by the keys in the folder.
    #[must_use]
    pub fn trusting(store: Store, trust_dir: PathBuf, pod_uid: String) -> Self {
        let operator = OperatorAccess::new(Some(trust_dir), Some(pod_uid));
        Self::with(store, operator, crate::config::DEFAULT_MAX_BODY_BYTES)
    }

    fn with(store: Store, operator: OperatorAccess, max_body_bytes: usize) -> Self {
        Self::new(Parts {
            store,
            scrapes: Scrapes::default(),
            readiness: Readiness::default(),
            operator,
            route_prefix: String::new(),
            max_body_bytes,
        })
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, scrapes, readiness, operator, route_prefix, max_body_bytes } = parts;
        let metrics = Metrics::default();
        let shared = Shared { store, metrics, scrapes, readiness, operator, max_body_bytes };
        Self { shared: Arc::new(shared), listener: Listener::Single, route_prefix: route_prefix.into() }
    }

    /// The same state for another listener.
    #[must_use]
    pub fn on(&self, listener: Listener) -> Self {
        Self { listener, ..self.clone() }
    }

    fn store(&self) -> &Store {
        &self.shared.store
    }

    fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}
