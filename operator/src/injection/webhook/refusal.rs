//! What is no review that can be answered, as an HTTP answer: the API server then goes by its failure policy.
//!
//! *Never:* faults with a pod, which is admitted.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// Why a request gets no answer about a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The connection broke.
    #[error("expected a review, and its body broke off: {0}")]
    Broken(String),
    /// The body is longer than any review.
    #[error("expected a review of at most {longest} bytes, found more")]
    TooLong {
        /// The limit in bytes.
        longest: usize,
    },
    /// The body did not come, or there was no room for it.
    #[error("expected a review within {0:?}")]
    TooSlow(Duration),
    /// It is no JSON, or not of this form.
    #[error("expected an AdmissionReview as JSON: {0}")]
    Json(String),
    /// It is something else.
    #[error("expected kind AdmissionReview of admission.k8s.io/v1, found {kind:?} of {version:?}")]
    Unknown {
        /// What it says it is.
        kind: String,
        /// And of which version.
        version: String,
    },
    /// It asks nothing.
    #[error("expected an AdmissionReview with a request, found none in it")]
    NoRequest,
    /// Nobody would know what the answer is to.
    #[error("expected a request with a uid, found none")]
    NoUid,
}

// === impl Refusal ===

impl Refusal {
    /// The reason as a metric label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Broken(_) => "broken",
            Self::TooLong { .. } => "too_long",
            Self::TooSlow(_) => "too_slow",
            Self::Json(_) => "no_json",
            Self::Unknown { .. } => "unknown_kind",
            Self::NoRequest => "no_request",
            Self::NoUid => "no_uid",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::Json(_) | Self::Unknown { .. } | Self::NoRequest | Self::NoUid => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}
