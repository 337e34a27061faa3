//! Review in, review out: the thin edge around [`inject`](super::inject).
//!
//! It always admits. A fault of ours, lack of time among them, becomes a warning on an unchanged pod; only a body that is
//! no review, is too long, or does not come is refused, and then the API server goes by its failure policy.
//! Reviews are read as raw JSON first and the pod is taken out of them as it came.
//!
//! *Never:* TLS, what makes a pod eligible, what a patch looks like.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use crds::PushGroup;
use json_patch::Patch;
use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    groups::Groups,
    inject::{Injected, Outcome, Surroundings, inject},
    pod::RawPod,
};
use crate::{config::SidecarImage, metrics::Metrics};

/// The review of a create carries one object of at most 3 MiB, the API server's own limit, and some words.
const LONGEST_REVIEW: usize = 7 * 512 * 1024;

/// How long a review may take: less than the API server waits, so that the pod's owner learns why.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many reviews are in hand at a time, each with a pod several times the size of its text; others wait.
const AT_A_TIME: usize = 32;

/// What the webhook needs.
#[derive(Clone)]
pub struct WebhookState {
    /// What is injected.
    pub image: Arc<SidecarImage>,
    /// Where groups are looked up.
    pub groups: Groups,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Room for reviews.
    room: Arc<Semaphore>,
}

/// A fault of ours, which admits the pod unchanged.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the request has no namespace")]
    NoNamespace,
    #[error("not done within {PATIENCE:?}")]
    TooSlow,
    #[error("cannot write the sidecar as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What is answered about a pod.
#[derive(Debug)]
struct Answer {
    result: &'static str,
    reason: &'static str,
    patch: Option<Patch>,
    warnings: Vec<String>,
}

/// A body that is no review of a request.
#[derive(Debug, thiserror::Error)]
enum NoReview {
    #[error("expected an AdmissionReview as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("expected an AdmissionReview with a request")]
    NoRequest,
}

/// The routes.
pub fn router(state: WebhookState) -> Router {
    Router::new()
        .route("/mutate-pods", post(mutate_pods))
        .layer(DefaultBodyLimit::max(LONGEST_REVIEW))
        .with_state(state)
}

async fn mutate_pods(State(state): State<WebhookState>, request: Request) -> Response {
    let started = Instant::now();
    let _running = state.metrics.runtime.admitting();
    let deadline = started + PATIENCE;
    let answer = match timeout_at(deadline, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => answer_to(&state, &body, deadline).await,
        Ok(Err(rejection)) => rejection.into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    state.metrics.runtime.webhook_answered(answer.status().as_u16(), started.elapsed());
    answer
}

async fn answer_to(state: &WebhookState, body: &[u8], deadline: Instant) -> Response {
    // Without room until the deadline there is no time left, which `review` turns into an answer.
    let _room = timeout_at(deadline, state.room.acquire()).await;
    match review(state, body, deadline).await {
        Ok(review) => Json(review).into_response(),
        Err(error) => {
            tracing::warn!(%error, "refused a request to the webhook");
            (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
        }
    }
}

async fn review(
    state: &WebhookState,
    body: &[u8],
    deadline: Instant,
) -> Result<AdmissionReview<DynamicObject>, NoReview> {
    let mut review: Value = serde_json::from_slice(body)?;
    let pod = review.pointer_mut("/request/object").map(Value::take).unwrap_or_default();
    let review: AdmissionReview<DynamicObject> = serde_json::from_value(review)?;
    let request: AdmissionRequest<DynamicObject> = review.try_into().map_err(|_| NoReview::NoRequest)?;

    let looked = timeout_at(deadline, look_at(state, &request, &pod)).await;
    let outcome = match looked.unwrap_or(Err(Fault::TooSlow)) {
        Ok(outcome) => outcome,
        Err(fault) => {
            tracing::error!(%fault, namespace = request.namespace.as_deref(), "admitted a pod without a sidecar");
            Answer {
                result: "failed",
                reason: "fault",
                patch: None,
                warnings: vec![format!("sidegate: no sidecar, by a fault of the operator: {fault}")],
            }
        }
    };
    if !request.dry_run {
        state.metrics.injection(outcome.result, outcome.reason);
    }
    Ok(answer(&request, outcome).into_review())
}

fn answer(request: &AdmissionRequest<DynamicObject>, outcome: Answer) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let mut response = match outcome.patch {
        None => response,
        // A patch of ours is made of JSON values; were it ever not printable, the pod goes on without.
        Some(patch) => response.with_patch(patch).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot print a patch");
            AdmissionResponse::from(request)
        }),
    };
    response.warnings = Some(outcome.warnings).filter(|warnings| !warnings.is_empty());
    response
}

/// Decides by the groups of the cache and, where those have none that fits, once more by those of the API server.
async fn look_at(
    state: &WebhookState,
    request: &AdmissionRequest<DynamicObject>,
    pod: &Value,
) -> Result<Answer, Fault> {
    if request.operation != Operation::Create {
        return Ok(Answer { result: "untouched", reason: "not_a_create", patch: None, warnings: Vec::new() });
    }
    // The pod's own namespace may be empty at this point; the request's is where it goes.
    let namespace = request.namespace.as_deref().ok_or(Fault::NoNamespace)?;
    let pod = RawPod::new(pod);
    let decide = |groups: &[Arc<PushGroup>]| {
        inject(pod, &Surroundings { image: &state.image, namespace_value: None, groups, limit_ranges: &[] })
    };
    let mut outcome = decide(&state.groups.cached(namespace))?;
    if matches!(&outcome, Outcome::Injected(injected) if !injected.group_is_known) {
        match state.groups.live(namespace).await {
            Ok(live) => outcome = decide(&live)?,
            Err(error) => tracing::warn!(%error, namespace, "injecting without having seen the PushGroups"),
        }
    }
    match &outcome {
        Outcome::Untouched(_) => {}
        Outcome::Skipped(skip) => tracing::debug!(namespace, reason = skip.reason(), "skipped a pod"),
        Outcome::Injected(Injected { group, reason, .. }) => {
            tracing::debug!(namespace, pushgroup = group.as_deref(), reason, "injected a sidecar");
        }
    }
    Ok(outcome.into())
}

// === impl WebhookState ===

impl WebhookState {
    /// Nothing in hand yet.
    #[must_use]
    pub fn new(image: Arc<SidecarImage>, groups: Groups, metrics: Arc<Metrics>) -> Self {
        Self { image, groups, metrics, room: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

// === impl Answer ===

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        let (result, reason, warnings) = (outcome.result(), outcome.reason(), outcome.warnings());
        let patch = match outcome {
            Outcome::Untouched(_) | Outcome::Skipped(_) => None,
            Outcome::Injected(injected) => Some(injected.patch),
        };
        Self { result, reason, patch, warnings }
    }
}

#[cfg(test)]
mod tests;
