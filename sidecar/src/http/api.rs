//! The JSON API, as upstream has it: status, all groups, and OPTIONS for browsers.
//!
//! | Path | Method | Answer |
//! | --- | --- | --- |
//! | `P/api/v1/status` | GET | build, flags, start |
//! | `P/api/v1/metrics` | GET | all groups, by key |
//! | `P/api/v1/metrics?group=KEY` | GET | one group, in a list of one; 404 if it is not there |
//! | `P/api/v1/…` | OPTIONS | empty, with the headers that let other sites read |
//!
//! `KEY` is the path of the group behind the route prefix, such as `/metrics/job/a/instance/b`, or the same without
//! `/metrics/`. As the value of a parameter it is decoded once before it is read as a path: where the path has `%2F`,
//! the parameter has `%252F`.
//!
//! *Never:* the index's insides, changes.

pub(super) mod groups;
mod json;

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, options},
};
use protocol::{
    GroupingKey,
    endpoints::{API_PATH, METRICS_PATH},
};
use serde::{Serialize, Serializer};

use super::{
    AppState, GET_ONLY, Purpose, Routes,
    error::{ApiError, HttpError},
    grouping::key,
    guarded,
    observe::counted,
};
use crate::{build_info, metrics::Handler, rfc3339::Rfc3339};

/// What every answer of the read-only API says to browsers and caches; errors of its handlers too.
const OPEN_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS")),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Accept, Authorization, Content-Type, Origin")),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
];

/// The parameter that picks one group.
const GROUP_PARAMETER: &str = "group";

/// Name and value of each parameter, decoded.
pub(super) type Parameters = Query<Vec<(String, String)>>;

/// The envelope of every answer.
#[derive(Debug, Serialize)]
pub(super) struct Success<D> {
    status: &'static str,
    data: D,
}

#[derive(Serialize)]
struct Status<'a> {
    build_information: BuildInformation,
    #[serde(serialize_with = "sorted")]
    flags: &'a [(String, String)],
    start_time: groups::Printed<Rfc3339>,
}

/// The keys are upstream's; those that speak of Go are empty.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildInformation {
    branch: &'static str,
    build_date: &'static str,
    build_user: &'static str,
    go_version: &'static str,
    revision: &'static str,
    version: &'static str,
}

/// The routes of the API that everybody may use.
pub(super) fn routes(routes: Routes, state: &AppState) -> Routes {
    let read = |methods, handler| open(state, guarded(state, Purpose::Read, methods), handler).merge(preflight(state));
    // Not a route for OPTIONS with 404 for the rest: a path that is nowhere allows nothing.
    let elsewhere =
        any(async |method: Method| if method == Method::OPTIONS { Ok(OPEN_HEADERS) } else { Err(HttpError::NotFound) });
    let elsewhere = counted(state, Handler::ApiOptions, elsewhere);
    let root = format!("{API_PATH}/");
    routes
        .path(&format!("{API_PATH}/status"), GET_ONLY, read(get(status), Handler::ApiStatus))
        .path(&format!("{API_PATH}/metrics"), GET_ONLY, read(get(metrics), Handler::ApiMetrics))
        .root(&root)
        .asked_before(&root)
        .whole(&root, elsewhere.clone())
        .whole(&format!("{root}{{*path}}"), elsewhere)
}

/// OPTIONS, as every path of the read-only API answers it.
fn preflight(state: &AppState) -> MethodRouter<AppState> {
    open(state, options(async || ()), Handler::ApiOptions)
}

fn open(state: &AppState, methods: MethodRouter<AppState>, handler: Handler) -> MethodRouter<AppState> {
    counted(state, handler, methods).route_layer(map_response(async |mut response: Response| {
        response.headers_mut().extend(OPEN_HEADERS);
        response
    }))
}

/// An answer of one piece.
pub(super) fn success(data: impl Serialize) -> Response {
    let success = Success { status: "success", data };
    json_response(Body::from(json::to_bytes(&success)))
}

fn json_response(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn status(State(state): State<AppState>) -> Response {
    let build_information = BuildInformation {
        branch: build_info::BRANCH,
        build_date: "",
        build_user: "",
        go_version: "",
        revision: build_info::REVISION,
        version: build_info::VERSION,
    };
    let settings = state.settings();
    success(Status {
        build_information,
        flags: &settings.flags,
        start_time: groups::Printed(Rfc3339(settings.started)),
    })
}

async fn metrics(State(state): State<AppState>, Query(parameters): Parameters) -> Result<Response, HttpError> {
    let store = state.store();
    let body = match parameters.iter().find(|(name, _)| name == GROUP_PARAMETER) {
        None => {
            // Each group is whole, and as it is when its turn comes: holding all of them would cost as much again.
            let store = store.clone();
            groups::body(store.keys().into_iter().filter_map(move |key| store.group(&key)))
        }
        Some((_, written)) => {
            let key = group_key(&state, written)?;
            groups::body(std::iter::once(store.group(&key).ok_or(ApiError::UnknownGroup(key))?))
        }
    };
    Ok(json_response(body))
}

fn group_key(state: &AppState, written: &str) -> Result<GroupingKey, HttpError> {
    let is_whole = written.strip_prefix(METRICS_PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = if is_whole {
        written.to_owned()
    } else {
        format!("{METRICS_PATH}/{}", written.strip_prefix('/').unwrap_or(written))
    };
    key(state, &path).map_err(HttpError::Key)
}

/// Flags by name, as upstream has them.
fn sorted<S: Serializer>(flags: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let flags: std::collections::BTreeMap<_, _> = flags.iter().map(|(name, value)| (name, value)).collect();
    flags.serialize(serializer)
}
