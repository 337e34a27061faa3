//! Whatever is sent, in whatever order and under whatever settings: no failure of ours, a refusal that can be read, no
//! redirect of a push, and pages that read back in every format.
//!
//! *Never:* which answer a request should get.

mod sent;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, Uri},
};
use http_body_util::BodyExt;
use proptest::{prelude::*, test_runner::Config};
use protocol::NameValidation;
use sidecar::{
    exposition::{openmetrics, protobuf, text},
    http::{AppState, Settings, router, scrape_router},
    store::Store,
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use sent::{Sent, Setup, sent, setup};

/// Enough to be quick; more with `PROPTEST_CASES`.
const CASES: u32 = 100;

/// How each format is asked for.
const FORMATS: [&str; 10] = [
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "text/plain;escaping=dots",
    "text/plain;escaping=values",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text",
];

struct Sidecar {
    runtime: Runtime,
    push: Router,
    scrape: Router,
    settings: Settings,
}

// === impl Sidecar ===

impl Sidecar {
    fn new(setup: Setup) -> Self {
        let Setup { settings, rules, listener, trusts } = setup;
        let store = Store::with(rules);
        let state = if trusts {
            AppState::trusting(
                store,
                Settings::default(),
                std::env::temp_dir().join("sidegate-no-such-folder"),
                "uid".to_owned(),
            )
        } else {
            AppState::with(store, settings.clone())
        };
        let runtime = Builder::new_current_thread().build().unwrap();
        Self { runtime, push: router(state.on(listener)), scrape: scrape_router(state), settings }
    }

    fn call(&self, router: &Router, request: Request<Body>) -> (u16, Vec<u8>) {
        self.runtime.block_on(async {
            let response = router.clone().oneshot(request).await.unwrap();
            (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes().to_vec())
        })
    }

    fn get(&self, router: &Router, path: &str, accept: &str) -> Vec<u8> {
        let (status, body) =
            self.call(router, Request::get(path).header("accept", accept).body(Body::empty()).unwrap());
        assert_eq!(status, 200, "{path} as {accept}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Sends it, if it is a request at all, and looks at the answer. Tells whether other samples may be stored now.
    fn send(&self, sent: Sent) -> bool {
        let prefix = if sent.has_prefix && !sent.to_scrape_port { &*self.settings.route_prefix } else { "" };
        let Ok(uri) = format!("{prefix}{}", sent.path).parse::<Uri>() else { return false };
        let is_push = self.is_push_path(&sent, uri.path());
        let mut request = Request::builder().method(sent.method).uri(uri);
        for (name, value) in &sent.headers {
            let Ok(value) = HeaderValue::from_bytes(value) else { return false };
            request = request.header(*name, value);
        }
        let router = if sent.to_scrape_port { &self.scrape } else { &self.push };
        let (status, body) = self.call(router, request.body(Body::from(sent.body)).unwrap());
        let answer = String::from_utf8_lossy(&body);
        assert!(status < 500, "{status} {answer}");
        assert!(!is_push || !(300..400).contains(&status), "a push is sent elsewhere: {status}");
        if 400 <= status && sent.method != "HEAD" {
            is_a_refusal(&answer);
        }
        status < 300 && ["PUT", "POST", "DELETE"].contains(&sent.method)
    }

    fn is_push_path(&self, sent: &Sent, path: &str) -> bool {
        let prefix = if sent.to_scrape_port { "" } else { &*self.settings.route_prefix };
        let changes = ["PUT", "POST", "DELETE"].contains(&sent.method);
        match path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/metrics")) {
            Some("") => changes,
            Some(rest) => rest.starts_with('/') && (changes || rest.starts_with("/job")),
            None => false,
        }
    }

    fn pages_read_back(&self, formats: &[&str]) {
        let page = format!("{}{}", self.settings.route_prefix, self.settings.telemetry_path);
        for (router, path, formats) in [(&self.scrape, "/metrics", formats), (&self.push, &*page, &FORMATS[..1])] {
            for accept in formats {
                reads_back(accept, self.get(router, path, accept));
            }
        }
    }

    fn documents_read_back(&self) {
        let prefix = &self.settings.route_prefix;
        for path in ["/api/v1/status", "/api/v1/metrics"] {
            let json = self.get(&self.push, &format!("{prefix}{path}"), "*/*");
            serde_json::from_slice::<serde_json::Value>(&json).unwrap();
        }
        let html = self.get(&self.push, &format!("{prefix}/status"), "*/*");
        assert!(String::from_utf8(html).unwrap().trim_end().ends_with("</html>"));
    }
}

/// A line, or one that says how many follow and those.
#[track_caller]
fn is_a_refusal(answer: &str) {
    if ["Lifecycle API is not enabled.", "Only POST or PUT requests allowed."].contains(&answer) {
        return;
    }
    let sentence = answer.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {answer:?}"));
    let (first, rest) = sentence.split_once('\n').unwrap_or((sentence, ""));
    assert!(!first.is_empty() && rest.lines().all(|line| line.starts_with("* ")), "{answer:?}");
    assert!(rest.is_empty() || first.ends_with(" error(s) occurred:"), "{answer:?}");
    assert!(!sentence.contains(|c: char| c.is_control() && c != '\n'), "{answer:?}");
}

#[track_caller]
fn reads_back(accept: &str, page: Vec<u8>) {
    let is_utf8 = accept.contains("allow-utf-8");
    let names = if is_utf8 { NameValidation::Utf8 } else { NameValidation::Legacy };
    let shown = String::from_utf8_lossy(&page).into_owned();
    let failed = |error: String| -> usize { panic!("{accept}: {error}\n{shown}") };
    let families = match accept {
        _ if accept.starts_with("text/plain") => {
            text::decode(&page, names).map_or_else(|error| failed(error.to_string()), |families| families.len())
        }
        _ if accept.starts_with("application/openmetrics-text") => {
            openmetrics::decode(&page, names).map_or_else(|error| failed(error.to_string()), |families| families.len())
        }
        _ if accept.contains("encoding=delimited") => {
            protobuf::decode(&page.into()).map_or_else(|error| failed(error.to_string()), |families| families.len())
        }
        _ => shown.matches("name: \"pushgateway_build_info\"").count(),
    };
    assert!(0 < families, "{accept}: {shown}");
}

#[test]
fn anything_may_be_sent() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    proptest!(config, |(setup in setup(), requests in prop::collection::vec(sent(), 1..12))| {
        let sidecar = Sidecar::new(setup);
        for request in requests {
            let may_have_changed = sidecar.send(request);
            sidecar.pages_read_back(if may_have_changed { &FORMATS } else { &FORMATS[..1] });
        }
        sidecar.documents_read_back();
    });
}
