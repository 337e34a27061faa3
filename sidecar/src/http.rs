//! The HTTP edge: which path and method lead to which handler, on which listener.
//!
//! | Path | Push listener, or the only one | Scrape listener |
//! | --- | --- | --- |
//! | `P/metrics` | GET | GET |
//! | `P/metrics/job/…`, `P/metrics/job@base64/…` | PUT, POST, DELETE | DELETE, signed by the operator |
//! | `P/-/healthy`, `P/-/ready` | GET | GET |
//! | `P/api/v1/…` | see `api` and `admin` | |
//! | `P/-/quit` | PUT, POST | |
//! | `P/`, `P/status` | GET | |
//!
//! `P` is the route prefix; the scrape listener has none. Paths are taken as sent and never cleaned, decoded or
//! redirected here: a push path is data.
//!
//! *Never:* any rule about groups, labels or signatures.

mod admin;
mod api;
mod body;
mod delete;
mod error;
mod grouping;
mod health;
mod observe;
mod page;
mod push;
mod rfc3339;
mod scrape;
mod settings;
mod ui;

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
    lifecycle::{Quit, Readiness, Scrapes},
    metrics::{Handler, Metrics},
    operator_access::OperatorAccess,
    store::Store,
};
use error::HttpError;
pub use settings::Settings;

/// What is allowed where there is only something to read.
const GET_ONLY: &str = "GET, OPTIONS";

/// How the fixed part of a group's path may be spelled; no other spelling is served.
const JOB_SPELLINGS: [&str; 3] = ["job", "job@base64", "job%40base64"];

/// What the handlers work with. Clones share it.
#[derive(Clone, Debug)]
pub struct AppState {
    shared: Arc<Shared>,
    listener: Listener,
    settings: Arc<Settings>,
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
    quit: Quit,
}

/// What a state is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) scrapes: Scrapes,
    pub(crate) readiness: Readiness,
    pub(crate) operator: OperatorAccess,
    pub(crate) settings: Settings,
    pub(crate) quit: Quit,
}

/// The whole API, as the push listener and the only listener serve it.
pub fn router(state: AppState) -> Router {
    let pushes = put(push::push).post(push::push).route_layer(from_fn_with_state(state.clone(), observe::push));
    let deletes = delete(delete::delete).route_layer(from_fn_with_state(state.clone(), observe::delete));
    let groups = pushes.merge(deletes);
    let beside = api::routes(&state).merge(admin::routes(&state)).merge(ui::routes(&state)).with_state(state.clone());
    common(groups, "DELETE, OPTIONS, POST, PUT", state).merge(beside)
}

/// The read-only API of the scrape listener.
pub fn scrape_router(state: AppState) -> Router {
    let settings =
        Settings { route_prefix: "".into(), telemetry_path: METRICS_PATH.into(), ..Settings::clone(&state.settings) };
    let state = AppState { listener: Listener::Scrape, settings: Arc::new(settings), ..state };
    let deletes = delete(delete::signed).route_layer(from_fn_with_state(state.clone(), observe::delete));
    common(deletes, "DELETE, OPTIONS", state)
}

fn common(groups: MethodRouter<AppState>, allow: &'static str, state: AppState) -> Router {
    let prefix = Arc::clone(&state.settings.route_prefix);
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
    let methods = if allow.starts_with("GET") { methods.head(other) } else { methods };
    methods.fallback(other)
}

// === impl AppState ===

impl AppState {
    /// A state around a store, with default limits, no route prefix, ready, and nobody who may sign: for tests that
    /// call a router without a process around it.
    #[must_use]
    pub fn around(store: Store) -> Self {
        Self::with_access(store, OperatorAccess::default(), Settings::default())
    }

    /// The same with other settings.
    #[must_use]
    pub fn with(store: Store, settings: Settings) -> Self {
        Self::with_access(store, OperatorAccess::default(), settings)
    }

    /// The same for the pod with that UID, which takes what was signed by the keys in the folder.
    #[must_use]
    pub fn trusting(store: Store, trust_dir: PathBuf, pod_uid: String) -> Self {
        Self::with_access(store, OperatorAccess::new(Some(trust_dir), Some(pod_uid)), Settings::default())
    }

    fn with_access(store: Store, operator: OperatorAccess, settings: Settings) -> Self {
        let (scrapes, readiness, quit) = (Scrapes::default(), Readiness::default(), Quit::default());
        Self::new(Parts { store, scrapes, readiness, operator, settings, quit })
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, scrapes, readiness, operator, settings, quit } = parts;
        let metrics = Metrics::default();
        let shared = Shared { store, metrics, scrapes, readiness, operator, quit };
        Self { shared: Arc::new(shared), listener: Listener::Single, settings: Arc::new(settings) }
    }

    /// The same state for another listener.
    #[must_use]
    pub fn on(&self, listener: Listener) -> Self {
        Self { listener, ..self.clone() }
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn store(&self) -> &Store {
        &self.shared.store
    }

    fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}
