//! The only place with status codes for failures, and the sentences that clients read.
//!
//! Texts that upstream has are upstream's. What a client sent is repeated as an [`Excerpt`], here and in the sentences
//! of others. A failure that is counted or logged leaves a [`Reason`] with the response,
//! where `observe` finds it.
//!
//! *Never:* success paths.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use protocol::{
    Excerpt, GroupingKeyError,
    endpoints::{IF_PUSH_TIME_HEADER, SIGNATURE_HEADER},
};

use super::body::compression::{ACCEPTED, Encoding};
use crate::{
    clock::UnixSeconds,
    exposition::{
        openmetrics::OpenMetricsError,
        protobuf::ProtobufError,
        text::{TextError, write_number},
    },
    metrics::{Refusal, SignedDelete},
    operator_access::Denial,
    store::Objection,
};

const NO_SNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

/// Why a request gets no success.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("404 page not found")]
    NotFound,
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    #[error("not ready: some listener was not started yet")]
    NotReady,
    #[error("{0}")]
    Key(GroupingKeyError),
    #[error("{0}")]
    Text(TextError),
    #[error("{0}")]
    OpenMetrics(OpenMetricsError),
    #[error("{0}")]
    Protobuf(ProtobufError),
    #[error("expected a body of at most {limit} bytes, found a larger one; `--push.max-body-bytes` sets the limit")]
    TooLarge { limit: usize },
    #[error("expected at most {limit} bytes after decompression, found more; `--push.max-body-bytes` sets the limit")]
    TooLargeDecompressed { limit: usize },
    #[error("expected a body in {encoding}, as `Content-Encoding` says, found something else: {}", Excerpt::of(fault))]
    Compression { encoding: Encoding, fault: String },
    #[error("expected `Content-Encoding` to be one of {ACCEPTED} or identity, found {:?}", Excerpt::of(.0))]
    Encoding(String),
    #[error("expected the whole body, but it broke off: {}", Excerpt::of(.0))]
    Incomplete(String),
    #[error("{}", refused(.0))]
    Refused(Vec<Objection>),
    #[error("expected `{IF_PUSH_TIME_HEADER}` to be Unix seconds, found {:?}", Excerpt::of(.0))]
    BadPushTime(String),
    #[error("expected `{IF_PUSH_TIME_HEADER}` beside `{SIGNATURE_HEADER}`, found none")]
    NoPushTime,
    #[error("expected a group last pushed at {}, found one pushed at {}; it was not deleted", printed(.expected), printed(.found))]
    PushedSince { expected: UnixSeconds, found: UnixSeconds },
    #[error("{0}")]
    Denied(Denial),
}

/// What there is to count and to log about a failure; an extension of the response.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) refusal: Option<Refusal>,
    pub(super) signed_delete: Option<SignedDelete>,
    pub(super) sentence: Arc<str>,
}

fn refused(objections: &[Objection]) -> String {
    let start = "pushed metrics are invalid or inconsistent with existing metrics:";
    match objections {
        [one] => format!("{start} {one}"),
        several => {
            let lines: String = several.iter().map(|objection| format!("\n* {objection}")).collect();
            format!("{start} {} error(s) occurred:{lines}", several.len())
        }
    }
}

fn printed(time: &UnixSeconds) -> String {
    let mut out = String::new();
    let written = write_number(&mut out, time.0);
    debug_assert!(written.is_ok());
    out
}

// === impl HttpError ===

impl HttpError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Key(_)
            | Self::Text(_)
            | Self::OpenMetrics(_)
            | Self::Protobuf(_)
            | Self::Compression { .. }
            | Self::Incomplete(_)
            | Self::Refused(_)
            | Self::BadPushTime(_)
            | Self::NoPushTime => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } | Self::TooLargeDecompressed { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PushedSince { .. } => StatusCode::PRECONDITION_FAILED,
            Self::Denied(Denial::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Denied(_) => StatusCode::UNAUTHORIZED,
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Key(_) => Some(Refusal::Path),
            Self::Text(_) | Self::OpenMetrics(_) | Self::Protobuf(_) => Some(Refusal::Syntax),
            Self::TooLarge { .. } | Self::TooLargeDecompressed { .. } => Some(Refusal::TooLarge),
            Self::Compression { .. } | Self::Incomplete(_) => Some(Refusal::Body),
            Self::Encoding(_) => Some(Refusal::Encoding),
            Self::Refused(objections) if objections.iter().any(Objection::is_about_time) => Some(Refusal::Timestamp),
            Self::Refused(_) => Some(Refusal::Inconsistent),
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotReady
            | Self::BadPushTime(_)
            | Self::NoPushTime
            | Self::PushedSince { .. }
            | Self::Denied(_) => None,
        }
    }

    fn signed_delete(&self) -> Option<SignedDelete> {
        match self {
            Self::Denied(denial) => Some(denial.outcome()),
            Self::PushedSince { .. } => Some(SignedDelete::PushedSince),
            Self::Key(_) | Self::BadPushTime(_) | Self::NoPushTime => Some(SignedDelete::Malformed),
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotReady
            | Self::Text(_)
            | Self::OpenMetrics(_)
            | Self::Protobuf(_)
            | Self::TooLarge { .. }
            | Self::TooLargeDecompressed { .. }
            | Self::Compression { .. }
            | Self::Encoding(_)
            | Self::Incomplete(_)
            | Self::Refused(_) => None,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let sentence = self.to_string();
        let mut response = (self.status(), [NO_SNIFF], format!("{sentence}\n")).into_response();
        if matches!(self, Self::Encoding(_)) {
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        }
        let (refusal, signed_delete) = (self.refusal(), self.signed_delete());
        if refusal.is_some() || signed_delete.is_some() {
            response.extensions_mut().insert(Reason { refusal, signed_delete, sentence: sentence.into() });
        }
        response
    }
}

impl From<TextError> for HttpError {
    fn from(error: TextError) -> Self {
        Self::Text(error)
    }
}

impl From<OpenMetricsError> for HttpError {
    fn from(error: OpenMetricsError) -> Self {
        Self::OpenMetrics(error)
    }
}

impl From<ProtobufError> for HttpError {
    fn from(error: ProtobufError) -> Self {
        Self::Protobuf(error)
    }
}

impl From<Denial> for HttpError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}
