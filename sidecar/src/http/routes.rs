//! A router under construction: each path is said once, with its methods, for the router, for `Allow` and for
//! redirects.
//!
//! *Never:* which paths there are, what a handler does.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};

use super::{
    AppState,
    error::HttpError,
    redirect::{Known, Redirect, redirect},
};

/// What is allowed where there is only something to read.
pub(super) const GET_ONLY: &str = "GET, OPTIONS";

/// Paths below a prefix, and what they are served by.
#[derive(Debug)]
pub(super) struct Routes {
    prefix: Arc<str>,
    router: Router<AppState>,
    /// Those below which all is data, so that nobody has to ask about another place.
    groups: Router<AppState>,
    known: Known,
}

// === impl Routes ===

impl Routes {
    /// No paths yet. Below `groups` nothing is ever redirected.
    pub(super) fn new(prefix: &Arc<str>, groups: &str) -> Self {
        let known = Known { groups: format!("{prefix}{groups}"), ..Known::default() };
        Self { prefix: Arc::clone(prefix), router: Router::new(), groups: Router::new(), known }
    }

    /// Serves a path of plain text. `allow` is the list of its methods and `OPTIONS`, sorted; every method outside it
    /// is answered with 405 and the list.
    pub(super) fn path(mut self, path: &str, allow: &'static str, methods: MethodRouter<AppState>) -> Self {
        let path = format!("{}{path}", self.prefix);
        self.known.paths.push((path.clone(), allow.to_owned()));
        self.router = self.router.route(&path, allowing(methods, allow));
        self
    }

    /// Serves all paths of a template such as `/metrics/job/{*key}`, which are those of groups: they are no place to be
    /// redirected to, nor from.
    pub(super) fn groups(mut self, template: &str, allow: &'static str, methods: MethodRouter<AppState>) -> Self {
        self.groups = self.groups.route(&format!("{}{template}", self.prefix), allowing(methods, allow));
        self
    }

    /// Serves a path of plain text that the prefix does not stand before.
    pub(super) fn unprefixed(mut self, path: &str, allow: &'static str, methods: MethodRouter<AppState>) -> Self {
        self.router = self.router.route(path, allowing(methods, allow));
        self
    }

    /// Serves all paths of a template with a handler that answers every method itself.
    pub(super) fn whole(mut self, template: &str, methods: MethodRouter<AppState>) -> Self {
        self.router = self.router.route(&format!("{}{template}", self.prefix), methods);
        self
    }

    /// Lets this path, which ends in a slash, be found without it by every method.
    pub(super) fn root(mut self, path: &str) -> Self {
        self.known.roots.push(format!("{}{path}", self.prefix));
        self
    }

    /// Answers OPTIONS below this path, which ends in a slash, where it is asked.
    pub(super) fn asked_before(mut self, path: &str) -> Self {
        self.known.asked_before = Some(format!("{}{path}", self.prefix));
        self
    }

    /// The router; whatever it does not know is 404.
    pub(super) fn finish(self, state: AppState) -> Router {
        let redirects = from_fn_with_state(Arc::new(self.known), redirected);
        self.router.fallback(async || HttpError::NotFound).layer(redirects).merge(self.groups).with_state(state)
    }
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
    let gets = allow.split(", ").any(|method| method == Method::GET.as_str());
    let methods = if gets { methods.head(other) } else { methods };
    methods.fallback(other)
}

async fn redirected(State(known): State<Arc<Known>>, request: Request, next: Next) -> Response {
    let uri = request.uri();
    match redirect(request.method(), uri.path(), uri.query(), &known) {
        Some(Redirect { status, location }) => (status, [(header::LOCATION, location)]).into_response(),
        None => next.run(request).await,
    }
}
