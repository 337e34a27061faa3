//! A fake API server: it keeps objects by path, merges applied ones, and writes down what was asked.
//!
//! *Never:* what is asked of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    body::Body as Answered,
    http::{Method, Request, Response},
};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::GROUP;

/// The server's insides.
#[derive(Default)]
pub(super) struct Insides {
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) calls: Vec<String>,
    /// What was applied, by its call.
    pub(super) applied: Vec<(String, Value)>,
    pub(super) knows_monitors: bool,
    /// A field that the CRDs do not have.
    pub(super) lacks: Option<&'static str>,
    pub(super) refuses_objects: bool,
    /// An object that may not be written.
    pub(super) refuses: Option<&'static str>,
    /// What somebody makes right before the next object is created, and where.
    pub(super) made_before: Option<(&'static str, Value)>,
    /// What somebody makes of an object right before it is written next, and where.
    pub(super) changed_before: Option<(&'static str, Value)>,
    /// Answers that are lost after the work is done.
    pub(super) lose: usize,
    pub(super) version: u64,
}

#[derive(Clone, Default)]
pub(super) struct FakeServer(pub(super) Arc<Mutex<Insides>>);

// === impl FakeServer ===

impl FakeServer {
    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = server.answer(&parts.method, parts.uri.path(), parts.uri.query(), body);
                if status == 0 {
                    return Err(std::io::Error::other("lost"));
                }
                let answer = Response::builder().status(status).body(Answered::from(answer.to_string()));
                answer.map_err(std::io::Error::other)
            }
        });
        Client::new(service, "default")
    }

    pub(super) fn answer(&self, method: &Method, path: &str, query: Option<&str>, body: Value) -> (u16, Value) {
        let mut api = self.0.lock().unwrap();
        let manager = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("fieldManager=")));
        let force = if query.is_some_and(|query| query.contains("force=true")) { " force" } else { "" };
        let call = format!("{method} {} {}{force}", path, manager.unwrap_or("-"));
        if !force.is_empty() {
            api.applied.push((call.clone(), body.clone()));
        }
        api.calls.push(call);
        if api.refuses_objects && !path.starts_with(GROUP) {
            let call = api.calls.len();
            let refused = json!({"kind": "Status", "status": "Failure", "message": format!("no {call}"), "code": 403});
            return (403, refused);
        }
        if *method != Method::GET && api.refuses.is_some_and(|refused| refused.starts_with(path)) {
            return (403, json!({"kind": "Status", "status": "Failure", "message": "forbidden", "code": 403}));
        }
        if path.contains("monitoring.coreos.com") && !api.knows_monitors {
            return (404, json!("404 page not found"));
        }
        let mut body = body;
        if let Some(field) = api.lacks.filter(|_| *method == Method::POST) {
            // It leaves out what it does not know.
            body.get_mut("spec").and_then(Value::as_object_mut).map(|spec| spec.remove(field));
        }
        if let Some(field) = api.lacks.filter(|field| body.to_string().contains(field)) {
            let message = format!("failed to create typed patch object: .spec.{field}: field not declared in schema");
            return (500, json!({"kind": "Status", "status": "Failure", "message": message, "code": 500}));
        }
        let key = path.trim_end_matches("/status").to_owned();
        let not_found = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
        if *method == Method::GET {
            return api.objects.get(&key).map_or((404, not_found), |object| (200, object.clone()));
        }
        if *method == Method::DELETE {
            if let Some((_, object)) = api.changed_before.take_if(|(path, _)| key == *path) {
                api.objects.insert(key.clone(), object);
            }
            let differs = |member: &str| {
                let expected = body.pointer(&format!("/preconditions/{member}"));
                let found = api.objects.get(&key).map(|object| &object["metadata"][member]);
                expected.is_some() && found.is_some() && expected != found
            };
            if differs("uid") || differs("resourceVersion") {
                return (409, json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409}));
            }
            let gone = api.objects.remove(&key);
            return gone.map_or((404, not_found), |_| (200, json!({"kind": "Status", "status": "Success"})));
        }
        let key = if *method == Method::POST && !path.contains("events.k8s.io") {
            let key = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
            if let Some((path, object)) = api.made_before.take_if(|(path, _)| key == *path) {
                api.objects.insert(path.to_owned(), object);
            }
            if api.objects.contains_key(&key) {
                return (409, json!({"kind": "Status", "status": "Failure", "reason": "AlreadyExists", "code": 409}));
            }
            key
        } else {
            key
        };
        if let Some((_, object)) = api.changed_before.take_if(|(path, _)| key == *path) {
            api.objects.insert(key.clone(), object);
        }
        let is_new = !api.objects.contains_key(&key);
        let known = api.objects.get(&key).cloned().unwrap_or_else(|| json!({"metadata": {}}));
        let based_on = body.pointer("/metadata/resourceVersion");
        if based_on.is_some() && based_on != known.pointer("/metadata/resourceVersion") {
            return (409, json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409}));
        }
        let by_uid = body.pointer("/metadata/uid");
        if by_uid.is_some() && by_uid != known.pointer("/metadata/uid") {
            return (409, json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409}));
        }
        api.version += 1;
        let mut object = known;
        if body.is_array() {
            json_patch::patch(&mut object, &serde_json::from_value::<json_patch::Patch>(body).unwrap()).unwrap();
        } else {
            merge(&mut object, body);
        }
        let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
        let names: BTreeSet<_> = ports.iter().map(|port| port["name"].as_str()).collect();
        if names.len() < ports.len() {
            return (422, json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422}));
        }
        object["metadata"]["resourceVersion"] = json!(api.version.to_string());
        if is_new {
            object["metadata"]["uid"] = json!(format!("made-{}", api.version));
        }
        api.objects.insert(key, object.clone());
        if 0 < api.lose {
            api.lose -= 1;
            return (0, Value::Null);
        }
        (200, object)
    }

    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    pub(super) fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    pub(super) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().objects.insert(path.to_owned(), object);
    }
}

pub(super) fn merge(object: &mut Value, patch: Value) {
    match (object, patch) {
        // Of all lists, that of ports is one that an apply merges.
        (Value::Array(ports), Value::Array(patch)) if ports.iter().chain(&patch).all(|port| port["port"].is_u64()) => {
            ports.retain(|port| patch.iter().all(|one| one["port"] != port["port"]));
            ports.extend(patch);
        }
        (Value::Object(object), Value::Object(patch)) => {
            for (member, value) in patch {
                merge(object.entry(member).or_insert(Value::Null), value);
            }
        }
        (object, patch) => *object = patch,
    }
}
