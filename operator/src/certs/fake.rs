//! An API server that keeps one Secret and one webhook configuration, with versions, and answers late enough for
//! another replica to come in between.
//!
//! *Never:* what a certificate is.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body as Answered,
    http::{Method, Request, Response},
};
use http_body_util::BodyExt as _;
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{Client, client::Body};
use serde_json::{Value, json};

#[derive(Clone)]
pub(super) struct FakeServer {
    state: Arc<Mutex<State>>,
}

pub(super) struct State {
    version: u64,
    pub(super) secret: Option<Value>,
    pub(super) configuration: Value,
    /// Whether a write to the configuration is refused.
    pub(super) refuses: bool,
    /// Successful writes of the Secret, and those that came too late.
    pub(super) secret_writes: (u32, u32),
}

// === impl FakeServer ===

impl FakeServer {
    pub(super) fn new() -> Self {
        let webhook =
            |name| json!({"name": name, "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
        let configuration = json!({
            "metadata": {"name": "hook", "resourceVersion": "1"},
            "webhooks": [webhook("a.sidegate.dev"), webhook("b.sidegate.dev")],
        });
        let state = State { version: 1, secret: None, configuration, refuses: false, secret_writes: (0, 0) };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                    tokio::task::yield_now().await;
                    let (status, answer) = server.with(|state| state.answer(&parts.method, parts.uri.path(), &body));
                    let answer = Response::builder().status(status).body(Answered::from(answer.to_string()));
                    answer.map_err(io::Error::other)
                }
            }),
            "default",
        )
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// The bundle of an entry of the configuration, as PEM.
    pub(super) fn bundle(&self, place: usize) -> Option<String> {
        let configuration = self.with(|state| serde_json::from_value(state.configuration.clone()).unwrap());
        let configuration: MutatingWebhookConfiguration = configuration;
        let bundle = configuration.webhooks.unwrap()[place].client_config.ca_bundle.clone()?;
        Some(String::from_utf8(bundle.0).unwrap())
    }

    /// Writes a key of the Secret as somebody else would.
    pub(super) fn damage(&self, key: &str, text: &str) {
        self.with(|state| {
            state.version += 1;
            let version = json!(state.version.to_string());
            if let Some(secret) = &mut state.secret {
                secret["data"][key] = json!(ByteString(text.as_bytes().to_vec()));
                secret["metadata"]["resourceVersion"] = version;
            }
        });
    }
}

// === impl State ===

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        if path.contains("/mutatingwebhookconfigurations/hook") {
            if *method == Method::PATCH { self.patch(body) } else { (200, self.configuration.clone()) }
        } else if *method == Method::GET {
            self.secret.clone().map_or_else(|| status(404), |secret| (200, secret))
        } else {
            self.write_secret(method, serde_json::from_slice(body).unwrap())
        }
    }

    fn patch(&mut self, body: &[u8]) -> (u16, Value) {
        if self.refuses {
            return status(403);
        }
        let patch: json_patch::Patch = serde_json::from_slice(body).unwrap();
        if json_patch::patch(&mut self.configuration, &patch).is_err() {
            return status(422);
        }
        self.configuration["metadata"]["resourceVersion"] = self.next();
        (200, self.configuration.clone())
    }

    fn write_secret(&mut self, method: &Method, mut secret: Value) -> (u16, Value) {
        let found = self.secret.as_ref().map(|secret| &secret["metadata"]["resourceVersion"]);
        let fits = match found {
            None => *method == Method::POST,
            Some(found) => *method == Method::PUT && *found == secret["metadata"]["resourceVersion"],
        };
        if !fits {
            self.secret_writes.1 += 1;
            return status(if found.is_none() { 404 } else { 409 });
        }
        self.secret_writes.0 += 1;
        secret["metadata"]["resourceVersion"] = self.next();
        self.secret = Some(secret.clone());
        (200, secret)
    }

    fn next(&mut self) -> Value {
        self.version += 1;
        json!(self.version.to_string())
    }
}

fn status(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "" };
    (code, json!({"kind": "Status", "status": "Failure", "reason": reason, "message": "no", "code": code}))
}
