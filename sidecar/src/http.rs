//! The HTTP edge: which path and method lead to which handler, on which listener.
//!
//! | Path | Push listener, or the only one | Scrape listener |
//! | --- | --- | --- |
//! | `P/T` | GET | GET |
//! | `P/metrics/job/…`, `P/metrics/job@base64/…` | PUT, POST, DELETE | DELETE, signed by the operator |
//! | `P/metrics`, `P/metrics/…` where no job is needed | PUT, POST, DELETE | |
//! | `P/-/healthy`, `P/-/ready` | GET | GET |
//! | `P/api/v1/…` | see `api` and `admin` | |
//! | `P/-/quit` | PUT, POST | |
//! | `P/`, `P/status` | GET | |
//!
//! `P` is the route prefix and `T` the telemetry path; the scrape listener has no prefix, and `/metrics` as `T`. Paths
//! are taken as sent. Below `P/metrics` they are data: never cleaned, decoded or redirected here. Others are redirected
//! as upstream does it.
//!
//! *Never:* any rule about groups, labels or signatures.

mod admin;
mod api;
mod body;
mod delete;
mod error;
mod grouping;
mod guard;
mod headers;
mod health;
mod limits;
mod observe;
mod page;
mod push;
mod redirect;
mod routes;
mod scrape;
mod settings;
mod terms;
mod ui;
mod web;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, delete, get, put},
};
use protocol::endpoints::{HEALTHY_PATH, METRICS_PATH, READY_PATH};

use crate::{
    auth::{Access, AuthSettings},
    exposition::outline::Outliner,
    lifecycle::{Quit, Readiness, Scrapes},
    metrics::{Handler, Metrics},
    operator_access::OperatorAccess,
    store::Store,
};
use guard::{Purpose, guarded};
pub use limits::BodyLimits;
use limits::Load;
use routes::{GET_ONLY, Routes};
pub use settings::Settings;
pub(crate) use web::behind;

/// How the fixed part of a group's path may be spelled; no other spelling is served.
const JOB_SPELLINGS: [&str; 3] = ["job", "job@base64", "job%40base64"];

/// What is allowed where groups are pushed.
const GROUPS: &str = "DELETE, OPTIONS, POST, PUT";

/// What is allowed where groups are pushed and the page is.
const GROUPS_AND_GET: &str = "DELETE, GET, OPTIONS, POST, PUT";

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
    access: Access,
    quit: Quit,
    load: Load,
    kept: scrape::Kept,
    outliner: Outliner,
}

/// What a state is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) scrapes: Scrapes,
    pub(crate) readiness: Readiness,
    pub(crate) operator: OperatorAccess,
    pub(crate) access: Access,
    pub(crate) settings: Settings,
    pub(crate) quit: Quit,
}

/// The whole API, as the push listener and the only listener serve it.
pub fn router(state: AppState) -> Router {
    let pushes = guarded(&state, Purpose::Push, put(push::push).post(push::push));
    let pushes = pushes.route_layer(from_fn_with_state(state.clone(), observe::push));
    let deletes = guarded(&state, Purpose::Push, delete(delete::delete));
    let deletes = deletes.route_layer(from_fn_with_state(state.clone(), observe::delete));
    let groups = pushes.merge(deletes);
    let page = guarded(&state, Purpose::Read, get(scrape::page));
    let Settings { telemetry_path, allows_missing_job, .. } = &*Arc::clone(&state.settings);
    let page_is_here = &**telemetry_path == METRICS_PATH;

    let routes = ui::routes(admin::routes(api::routes(health(&state), &state), &state), &state);
    let routes = match (page_is_here, *allows_missing_job) {
        (true, true) => at_metrics(routes, GROUPS_AND_GET, &page.clone().merge(groups.clone())),
        (true, false) => at_metrics(routes, GET_ONLY, &page),
        (false, true) => at_metrics(routes, GROUPS, &groups),
        (false, false) => routes,
    };
    let routes = if page_is_here { routes } else { routes.path(telemetry_path, GET_ONLY, page) };
    let routes = if *allows_missing_job {
        routes.groups(&format!("{METRICS_PATH}/{{*key}}"), GROUPS, groups)
    } else {
        below_job(routes, GROUPS, &groups)
    };
    routes.finish(state)
}

/// The read-only API of the scrape listener.
pub fn scrape_router(state: AppState) -> Router {
    let settings =
        Settings { route_prefix: "".into(), telemetry_path: METRICS_PATH.into(), ..Settings::clone(&state.settings) };
    let state = AppState { listener: Listener::Scrape, settings: Arc::new(settings), ..state };
    let deletes = delete(delete::signed).route_layer(from_fn_with_state(state.clone(), observe::delete));
    // Prometheus and the operator have no token: `--auth.reads` is for the push listener.
    let routes = at_metrics(health(&state), GET_ONLY, &get(scrape::page));
    below_job(routes, "DELETE, OPTIONS", &deletes).finish(state)
}

/// The paths that every listener has.
fn health(state: &AppState) -> Routes {
    let counted = |handler: MethodRouter<AppState>, name| {
        let count = move |state, request, next| observe::count(state, name, request, next);
        handler.route_layer(from_fn_with_state(state.clone(), count))
    };
    Routes::new(&state.settings.route_prefix, METRICS_PATH)
        .path(HEALTHY_PATH, GET_ONLY, counted(get(health::healthy), Handler::Healthy))
        .path(READY_PATH, GET_ONLY, counted(get(health::ready), Handler::Ready))
}

/// Nothing below `P/metrics` is redirected, so what is there is also behind the slash.
fn at_metrics(routes: Routes, allow: &'static str, methods: &MethodRouter<AppState>) -> Routes {
    let with_slash = format!("{METRICS_PATH}/");
    routes.path(METRICS_PATH, allow, methods.clone()).path(&with_slash, allow, methods.clone())
}

fn below_job(mut routes: Routes, allow: &'static str, groups: &MethodRouter<AppState>) -> Routes {
    for job in JOB_SPELLINGS {
        // A catch-all does not match nothing, and nothing is an empty job.
        let path = format!("{METRICS_PATH}/{job}/");
        routes = routes.groups(&path, allow, groups.clone());
        routes = routes.groups(&format!("{path}{{*key}}"), allow, groups.clone());
    }
    routes
}

// === impl AppState ===

impl AppState {
    /// A state around a store, with default limits, no route prefix, ready, and nobody who may sign: for tests that
    /// call a router without a process around it.
    #[must_use]
    pub fn around(store: Store) -> Self {
        Self::with_access(store, OperatorAccess::default(), Access::default(), Settings::default())
    }

    /// The same with other settings.
    #[must_use]
    pub fn with(store: Store, settings: Settings) -> Self {
        Self::with_access(store, OperatorAccess::default(), Access::default(), settings)
    }

    /// The same for the pod with that UID, which takes what was signed by the keys in the folder.
    #[must_use]
    pub fn trusting(store: Store, settings: Settings, trust_dir: PathBuf, pod_uid: String) -> Self {
        let operator = OperatorAccess::new(Some(trust_dir), Some(pod_uid));
        Self::with_access(store, operator, Access::default(), settings)
    }

    /// The same for those who have a token of that file.
    #[must_use]
    pub fn guarded(store: Store, settings: Settings, token_file: PathBuf, guards_reads: bool) -> Self {
        let access = Access::new(Some(AuthSettings { token_file, guards_reads }));
        Self::with_access(store, OperatorAccess::default(), access, settings)
    }

    fn with_access(store: Store, operator: OperatorAccess, access: Access, settings: Settings) -> Self {
        let (metrics, scrapes) = (Metrics::default(), Scrapes::default());
        let (readiness, quit) = (Readiness::default(), Quit::default());
        Self::new(Parts { store, metrics, scrapes, readiness, operator, access, settings, quit })
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, metrics, scrapes, readiness, operator, access, settings, quit } = parts;
        let load = Load::new(settings.bodies);
        let kept = scrape::Kept::default();
        let shared = Shared {
            store,
            metrics,
            scrapes,
            readiness,
            operator,
            access,
            quit,
            load,
            kept,
            outliner: Outliner::default(),
        };
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

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}
