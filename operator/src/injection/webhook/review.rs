//! An `AdmissionReview` on its way in and out.
//!
//! It is read in two steps: first who asks what about which kind of object, past the object itself, which costs no memory
//! and takes any depth; then the pod as it came. So whatever the pod is like, there is an answer to its request.
//!
//! Of members that come twice in the review itself the review is refused; in a pod the last counts, as for the API server.
//! Nothing deeper than 128 levels is read.
//!
//! *Never:* what is answered.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use json_patch::Patch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal::Refusal;

const VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// The longest piece of a foreign text that is repeated.
const SHOWN: usize = 80;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What the answer is to.
    pub(super) uid: String,
    /// Where the object goes.
    pub(super) namespace: Option<String>,
    /// Whether nothing is to come of it.
    pub(super) dry_run: bool,
    /// What is about to happen.
    pub(super) about: About,
}

/// What is about to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A pod is created.
    NewPod,
    /// Something that is none of our business.
    NotACreate,
    /// Something is done to a pod by one of its subresources, such as an eviction.
    Subresource,
    /// Something else is created; its resource.
    NoPod(String),
}

/// What is answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What is done to the pod; an empty patch is none.
    pub(super) patch: Option<Patch>,
    /// Sentences for whoever asks.
    pub(super) warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: Option<String>,
    kind: Option<String>,
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: Option<String>,
    namespace: Option<String>,
    operation: Option<String>,
    dry_run: Option<bool>,
    resource: Option<Resource>,
    sub_resource: Option<String>,
}

#[derive(Deserialize)]
struct Resource {
    group: Option<String>,
    resource: Option<String>,
}

#[derive(Deserialize)]
struct WithObject {
    request: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    object: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

/// Reads what is asked, and not the object.
///
/// # Errors
/// When there is nothing that could be answered.
pub(super) fn asked(body: &[u8]) -> Result<Asked, Refusal> {
    let review: Review = serde_json::from_slice(body).map_err(|error| Refusal::Json(error.to_string()))?;
    let (kind, version) = (review.kind.unwrap_or_default(), review.api_version.unwrap_or_default());
    if kind != KIND || version != VERSION {
        return Err(Refusal::Unknown { kind: shown(&kind), version: shown(&version) });
    }
    let request = review.request.ok_or(Refusal::NoRequest)?;
    let about = request.about();
    Ok(Asked {
        uid: request.uid.filter(|uid| !uid.is_empty()).ok_or(Refusal::NoUid)?,
        namespace: request.namespace.filter(|namespace| !namespace.is_empty()),
        dry_run: request.dry_run.unwrap_or(false),
        about,
    })
}

/// Reads the pod as it came; `null` where there is none.
///
/// # Errors
/// When it is nested deeper than can be read, or is no text.
pub(super) fn object(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<WithObject>(body).map(|review| review.request.object)
}

/// Prints the answer to a request. Every pod is admitted.
///
/// # Errors
/// Those of the encoder.
pub(super) fn answered(uid: &str, answer: &Answer) -> Result<Vec<u8>, serde_json::Error> {
    let patch = answer.patch.as_ref().filter(|patch| !patch.0.is_empty());
    let patch = patch.map(|patch| serde_json::to_vec(patch).map(|bytes| STANDARD.encode(bytes))).transpose()?;
    let response = Response {
        uid,
        allowed: true,
        patch_type: patch.is_some().then_some("JSONPatch"),
        patch,
        warnings: &answer.warnings,
    };
    serde_json::to_vec(&Answered { api_version: VERSION, kind: KIND, response })
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

// === impl Request ===

impl Request {
    fn about(&self) -> About {
        let resource = self.resource.as_ref();
        let text = |of: fn(&Resource) -> &Option<String>| {
            resource.and_then(|resource| of(resource).as_deref()).unwrap_or_default()
        };
        let (group, name) = (text(|resource| &resource.group), text(|resource| &resource.resource));
        if name != "pods" || !group.is_empty() {
            let dot = if group.is_empty() { "" } else { "." };
            return About::NoPod(shown(&format!("{name}{dot}{group}")));
        }
        if self.sub_resource.as_deref().is_some_and(|sub| !sub.is_empty()) {
            return About::Subresource;
        }
        if self.operation.as_deref() == Some("CREATE") { About::NewPod } else { About::NotACreate }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::json;

    use super::*;

    fn review(request: &Value) -> String {
        json!({"apiVersion": VERSION, "kind": KIND, "request": request}).to_string()
    }

    fn pods(fields: Value) -> String {
        let mut request = json!({"uid": "u", "operation": "CREATE", "resource": {"group": "", "resource": "pods"}});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        review(&request)
    }

    #[track_caller]
    fn refused(body: &[u8], expected: &str) {
        let refusal = asked(body).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{refusal}");
    }

    #[test]
    fn what_is_no_review_that_can_be_answered_is_told_what_was_expected() {
        refused(b"", "expected an AdmissionReview as JSON: EOF while parsing a value at line 1 column 0");
        refused(b"not json", "expected an AdmissionReview as JSON: expected ident at line 1 column 2");
        refused(b"[]", "expected an AdmissionReview as JSON: ");
        refused(b"{}", "expected kind AdmissionReview of admission.k8s.io/v1, found \"\" of \"\"");
        let old = pods(json!({})).replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
        let found = "found \"AdmissionReview\" of \"admission.k8s.io/v1beta1\"";
        refused(old.as_bytes(), &format!("expected kind AdmissionReview of admission.k8s.io/v1, {found}"));
        let other = pods(json!({})).replace("AdmissionReview", "ConversionReview");
        refused(
            other.as_bytes(),
            "expected kind AdmissionReview of admission.k8s.io/v1, found \"ConversionReview\" of",
        );
        refused(review(&json!(null)).as_bytes(), "expected an AdmissionReview with a request, found none in it");
        refused(review(&json!({})).as_bytes(), "expected a request with a uid, found none");
        refused(pods(json!({"uid": ""})).as_bytes(), "expected a request with a uid, found none");
        let number = "expected an AdmissionReview as JSON: invalid type: integer `3`, expected a string";
        refused(pods(json!({"uid": 3})).as_bytes(), number);
        let twice = pods(json!({})).replace("\"uid\":\"u\"", "\"uid\":\"u\",\"uid\":\"v\"");
        refused(twice.as_bytes(), "expected an AdmissionReview as JSON: duplicate field `uid`");
        let no_text = pods(json!({"uid": "?"})).into_bytes();
        let no_text: Vec<_> = no_text.into_iter().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
        refused(&no_text, "expected an AdmissionReview as JSON: invalid unicode code point");
        let long = pods(json!({})).replace("AdmissionReview", &"x".repeat(100_000));
        assert!(asked(long.as_bytes()).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn only_a_new_pod_is_our_business() {
        let about = |fields: Value| asked(pods(fields).as_bytes()).unwrap().about;
        assert_eq!(about(json!({})), About::NewPod);
        assert_eq!(about(json!({"subResource": "", "namespace": null, "dryRun": null})), About::NewPod);
        for operation in ["UPDATE", "DELETE", "CONNECT", "create", ""] {
            assert_eq!(about(json!({"operation": operation})), About::NotACreate);
        }
        assert_eq!(about(json!({"operation": null})), About::NotACreate);
        assert_eq!(about(json!({"subResource": "eviction"})), About::Subresource);
        let other = |group: &str, resource: &str| about(json!({"resource": {"group": group, "resource": resource}}));
        assert_eq!(other("apps", "deployments"), About::NoPod("deployments.apps".to_owned()));
        assert_eq!(other("metrics.k8s.io", "pods"), About::NoPod("pods.metrics.k8s.io".to_owned()));
        assert_eq!(about(json!({"resource": null})), About::NoPod(String::new()));
    }

    #[test]
    fn a_pod_of_any_depth_does_not_keep_its_request_from_being_read() {
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        let body = pods(json!({"object": "?"})).replace("\"?\"", &deep);
        assert_eq!(asked(body.as_bytes()).unwrap().about, About::NewPod);
        assert!(object(body.as_bytes()).unwrap_err().to_string().starts_with("recursion limit exceeded"));
    }

    #[test]
    fn of_members_of_a_pod_that_come_twice_the_last_counts() {
        let body = pods(json!({"object": "?"})).replace("\"?\"", "{\"a\": 1, \"a\": 2}");
        assert_eq!(object(body.as_bytes()).unwrap(), json!({"a": 2}));
    }

    #[test]
    fn a_patch_is_printed_in_base64_and_an_empty_one_is_none() {
        let patch: Patch = serde_json::from_value(json!([{"op": "add", "path": "/a", "value": 1}])).unwrap();
        let answer = Answer { patch: Some(patch), warnings: vec!["one".to_owned()] };
        let printed: Value = serde_json::from_slice(&answered("u", &answer).unwrap()).unwrap();
        let patch = "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6MX1d";
        let response =
            json!({"uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": patch, "warnings": ["one"]});
        assert_eq!(printed, json!({"apiVersion": VERSION, "kind": KIND, "response": response}));
        let nothing = Answer { patch: Some(Patch::default()), warnings: Vec::new() };
        let printed: Value = serde_json::from_slice(&answered("u", &nothing).unwrap()).unwrap();
        assert_eq!(printed["response"], json!({"uid": "u", "allowed": true}));
    }
}
