//! Calling a router without sockets.

use std::path::PathBuf;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
};
use http_body_util::BodyExt;
use sidecar::{
    http::{AppState, Listener, Settings, router, scrape_router},
    store::Store,
};
use tower::ServiceExt;

/// The routers of one sidecar.
pub(crate) struct Calls {
    push: Router,
    scrape: Router,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

// === impl Calls ===

impl Calls {
    pub(crate) fn new() -> Self {
        Self::of(&AppState::around(Store::new()))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::around(Store::new(), settings)
    }

    /// The routers around a store that a test fills.
    pub(crate) fn around(store: Store, settings: Settings) -> Self {
        Self::of(&AppState::with(store, settings))
    }

    /// For the pod with that UID, with the operator's keys in that folder.
    pub(crate) fn trusting(trust_dir: PathBuf, pod_uid: &str) -> Self {
        Self::of(&AppState::trusting(Store::new(), Settings::default(), trust_dir, pod_uid.to_owned()))
    }

    /// For those who have a token of that file.
    pub(crate) fn guarded(settings: Settings, token_file: PathBuf, guards_reads: bool) -> Self {
        Self::of(&AppState::guarded(Store::new(), settings, token_file, guards_reads))
    }

    fn of(state: &AppState) -> Self {
        Self { push: router(state.on(Listener::Push)), scrape: scrape_router(state.clone()) }
    }

    /// A request with headers written as `name: value`.
    pub(crate) fn push_listener(&self, method: &str, path: &str, headers: &[&str], body: impl Into<Body>) -> Answer {
        call(&self.push, method, path, headers, body.into())
    }

    pub(crate) fn scrape_listener(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        call(&self.scrape, method, path, headers, Body::empty())
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Answer {
        self.push_listener("PUT", path, &[], body.to_owned())
    }

    pub(crate) fn page(&self) -> String {
        self.push_listener("GET", "/metrics", &[], Body::empty()).text()
    }
}

fn call(router: &Router, method: &str, path: &str, headers: &[&str], body: Body) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    })
}

// === impl Answer ===

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, text: &str) {
        assert_eq!((self.status, self.text().as_str()), (status, text));
    }
}
