//! Review in, review out: the thin edge around [`inject`](super::inject).
//!
//! It always admits. A fault of ours, lack of time or room and a panic among them, becomes a warning on an unchanged pod;
//! only what is no review that could be answered is refused, and then the API server goes by its failure policy. Reviews
//! are read as raw JSON and the pod is taken out of them as it came.
//!
//! *Never:* TLS, what makes a pod eligible, what a patch looks like.

mod refusal;
mod review;
mod room;
pub mod telling;

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::post,
};
use crds::{PushGroup, names::INJECT};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::LimitRange;
use tokio::time::{Instant, timeout_at};

use self::{
    refusal::Refusal,
    review::{About, Answer, Asked},
    room::{Held, Room, TooHeavy},
};
use super::{
    groups::Groups,
    inject::{Outcome, Surroundings, inject},
    limit_ranges::{LimitRanges, NotKnown},
    namespaces::{Namespaces, NamespacesError},
    pod::RawPod,
    warning::warning,
};
use crate::{
    config::{SidecarImage, WebhookLimits},
    events::{Events, Kind},
    metrics::Metrics,
};

/// The decision that the edge is around.
type Centre = fn(RawPod<'_>, &Surroundings<'_>) -> Result<Outcome, serde_json::Error>;

/// What the webhook needs.
#[derive(Clone)]
pub struct WebhookState {
    image: Arc<SidecarImage>,
    around: Around,
    events: Events,
    metrics: Arc<Metrics>,
    patience: Duration,
    room: Room,
    centre: Centre,
}

/// Where what is around a pod is looked up.
#[derive(Clone)]
pub struct Around {
    /// The groups.
    pub groups: Groups,
    /// What namespaces say.
    pub namespaces: Namespaces,
    /// What a sidecar has to fit into.
    pub limit_ranges: LimitRanges,
}

/// A fault of ours, which admits the pod unchanged.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the request has no namespace")]
    NoNamespace,
    #[error("not done within {0:?}")]
    TooSlow(Duration),
    #[error("{0}")]
    TooHeavy(#[from] TooHeavy),
    #[error("cannot read the pod: {0}")]
    Unreadable(#[source] serde_json::Error),
    #[error("{0}")]
    Namespace(#[from] NamespacesError),
    #[error("{0}")]
    LimitRanges(#[from] NotKnown),
    #[error("cannot write the sidecar as JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("the operator panicked, which its log has more about")]
    Panic,
}

/// What becomes of a request.
struct Verdict {
    result: &'static str,
    reason: &'static str,
    answer: Answer,
    /// Who is told that there is no sidecar, and how.
    event: Option<Told>,
}

/// An Event to be.
struct Told {
    about: k8s_openapi::api::core::v1::ObjectReference,
    kind: Kind,
    reason: &'static str,
}

/// The routes.
pub fn router(state: WebhookState) -> Router {
    Router::new().route("/mutate-pods", post(mutate_pods)).with_state(state)
}

async fn mutate_pods(State(state): State<WebhookState>, request: Request) -> Response {
    let started = Instant::now();
    let _running = state.metrics.runtime.admitting();
    let answer = match state.answer_to(request.into_body(), started + state.patience).await {
        Ok(review) => ([(CONTENT_TYPE, "application/json")], review).into_response(),
        Err(refusal) => {
            tracing::warn!(error = %refusal, "refused a request to the webhook");
            state.metrics.review_refused(refusal.reason());
            refusal.into_response()
        }
    };
    state.metrics.runtime.webhook_answered(answer.status().as_u16(), started.elapsed());
    answer
}

// === impl WebhookState ===

impl WebhookState {
    /// Nothing in hand yet.
    #[must_use]
    pub fn new(
        image: Arc<SidecarImage>,
        limits: &WebhookLimits,
        around: Around,
        events: Events,
        metrics: Arc<Metrics>,
    ) -> Self {
        let room = Room::new(*limits);
        Self { image, around, events, metrics, patience: limits.timeout, room, centre: inject }
    }

    async fn answer_to(&self, body: Body, deadline: Instant) -> Result<Vec<u8>, Refusal> {
        let held = timeout_at(deadline, self.room.read(body)).await;
        let mut held = held.map_err(|_| Refusal::TooSlow(self.patience))??;
        let asked = review::asked(&held.bytes)?;
        let mut owner = None;
        let considered = timeout_at(deadline, self.consider(&asked, &mut held, &mut owner));
        // Whatever panicked was reading and left nothing behind; the process goes on.
        let considered = AssertUnwindSafe(considered).catch_unwind().await;
        let verdict = match considered {
            Ok(Ok(Ok(verdict))) => verdict,
            Ok(Ok(Err(fault))) => fault.verdict(owner),
            Ok(Err(_)) => Fault::TooSlow(self.patience).verdict(owner),
            Err(panic) => {
                tracing::error!(panic = message(&*panic), "the webhook panicked");
                Fault::Panic.verdict(owner)
            }
        };
        self.tell(&asked, &verdict);
        let answer = review::answered(&asked.uid, &verdict.answer);
        // A patch of ours is made of JSON values; were it ever not printable, the pod goes on without.
        answer.or_else(|error| {
            let verdict = Fault::Json(error).verdict(None);
            review::answered(&asked.uid, &verdict.answer).map_err(|error| Refusal::Json(error.to_string()))
        })
    }

    /// What becomes of a request. As soon as it is known, `owner` is who is told of a fault.
    async fn consider(&self, asked: &Asked, held: &mut Held, owner: &mut Option<Told>) -> Result<Verdict, Fault> {
        match &asked.about {
            About::NewPod => {}
            About::NotACreate => return Ok(Verdict::untouched("not_a_create")),
            About::Subresource => return Ok(Verdict::untouched("subresource")),
            About::NoPod(resource) => {
                tracing::warn!(resource, "asked about what is no pod: the webhook configuration sends too much");
                return Ok(Verdict::untouched("no_pod"));
            }
        }
        self.room.make_for_pod(held).await?;
        let object = review::object(&held.bytes).map_err(Fault::Unreadable)?;
        let pod = RawPod::new(&object);
        // The pod's own namespace may be empty at this point; the request's is where it goes.
        let namespace = asked.namespace.as_deref().ok_or(Fault::NoNamespace)?;
        let is_silent = pod.label_or_annotation(INJECT).is_none();
        // Of a pod that asks itself somebody wants to know; of a whole namespace not each pod was meant.
        let kind = if is_silent { Kind::Normal } else { Kind::Warning };
        let controller = telling::controller_of(pod, namespace);
        *owner = controller.map(|about| Told { about, kind: Kind::Warning, reason: telling::FAILED });
        let outcome = self.decide(pod, namespace, is_silent).await?;
        let (result, reason) = (outcome.result(), outcome.reason());
        let warnings = outcome.warnings();
        let mut event = None;
        let patch = match outcome {
            Outcome::Untouched(_) => None,
            Outcome::Skipped(skip) => {
                event = owner.take().map(|told| Told { kind, reason: telling::reason_of(&skip), ..told });
                None
            }
            Outcome::Injected(injected) => Some(injected.patch),
        };
        tracing::debug!(namespace, dry_run = asked.dry_run, result, reason, "looked at a pod");
        Ok(Verdict { result, reason, answer: Answer { patch, warnings }, event })
    }

    /// Decides by what is cached and, where that has no group that fits, once more by what the API server has. What is not
    /// known in time leaves time for the rest.
    async fn decide(&self, pod: RawPod<'_>, namespace: &str, is_silent: bool) -> Result<Outcome, Fault> {
        let short = self.patience / 4;
        let value = self.around.namespaces.value(namespace, is_silent, short).await?;
        let decide = |groups: &[Arc<PushGroup>], limit_ranges: &[LimitRange]| {
            let around = Surroundings { image: &self.image, namespace_value: value.as_deref(), groups, limit_ranges };
            (self.centre)(pod, &around).map_err(Fault::Json)
        };
        let mut groups = self.around.groups.cached(namespace);
        let first = decide(&groups, &[])?;
        let Outcome::Injected(injected) = &first else { return Ok(first) };
        // Where they would refuse the sidecar they refuse the pod: rather none than that.
        let ranges = self.around.limit_ranges.of(namespace, short).await?;
        let mut again = !ranges.is_empty();
        if !injected.group_is_known {
            match self.around.groups.live(namespace, short * 3 / 2).await {
                Ok(live) => (groups, again) = (live, true),
                Err(error) => tracing::warn!(%error, namespace, "injecting without having seen the PushGroups"),
            }
        }
        if again { decide(&groups, &ranges) } else { Ok(first) }
    }

    /// Counts, and tells the pod's owner of a sidecar that is missing. Nobody hears of a dry run.
    fn tell(&self, asked: &Asked, verdict: &Verdict) {
        if asked.dry_run {
            return;
        }
        self.metrics.injection(verdict.result, verdict.reason);
        let (Some(told), Some(message)) = (&verdict.event, verdict.answer.warnings.first()) else { return };
        self.events.tell(told.about.clone(), told.kind, told.reason, message);
    }
}

// === impl Fault ===

impl Fault {
    /// The reason as a metric label.
    fn reason(&self) -> &'static str {
        match self {
            Self::NoNamespace => "no_namespace",
            Self::TooSlow(_) => "too_slow",
            Self::TooHeavy(_) => "too_heavy",
            Self::Unreadable(_) => "unreadable",
            Self::Namespace(_) => "namespace",
            Self::LimitRanges(_) => "limit_ranges",
            Self::Json(_) => "no_json",
            Self::Panic => "panic",
        }
    }

    fn verdict(&self, owner: Option<Told>) -> Verdict {
        tracing::error!(fault = %self, "admitted a pod without a sidecar");
        let warning = warning(&["sidegate: no sidecar, by a fault of the operator: ", &self.to_string()]);
        let answer = Answer { patch: None, warnings: vec![warning] };
        Verdict { result: "failed", reason: self.reason(), answer, event: owner }
    }
}

// === impl Verdict ===

impl Verdict {
    fn untouched(reason: &'static str) -> Self {
        Self { result: "untouched", reason, answer: Answer::default(), event: None }
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
