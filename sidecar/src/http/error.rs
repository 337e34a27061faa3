//! The only place with status codes for failures, and the sentences that clients read.
//!
//! Texts that upstream has are upstream's. What a client sent is repeated as an [`Excerpt`], here and in the sentences
//! of others. A failure that is counted or logged leaves a [`Reason`] with the response,
//! where `observe` finds it.
//!
//! *Never:* success paths.

mod api;
mod limits;

use std::sync::Arc;

use axum::{
    Extension,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use protocol::{
    Excerpt, GroupingKeyError,
    endpoints::{
        IF_PUSH_FAILURE_TIME_HEADER, IF_PUSH_TIME_HEADER, PUSH_FAILURE_TIME_HEADER, PUSH_TIME_HEADER,
        STALE_AFTER_HEADER,
    },
};

use super::{
    body::compression::{ACCEPTED, Encoding},
    web::NotLetIn,
};
use crate::{
    auth::Refused,
    clock::UnixSeconds,
    exposition::{
        Excess,
        measurement::MeasurementError,
        openmetrics::{self, OpenMetricsError},
        protobuf::{self, ProtobufError},
        text::{self, TextError, write_number},
    },
    metrics::{Refusal, SignedDelete},
    operator_access::Denial,
    store::{MOST_OBJECTIONS, NotStored, Objection, Times},
};
pub(super) use api::ApiError;
pub(super) use limits::LimitError;

const NO_SNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

/// How a token may be shown. Browsers ask their user for the second.
const SCHEMES: [&str; 2] = ["Bearer realm=\"sidegate\"", "Basic realm=\"sidegate\", charset=\"UTF-8\""];

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
    #[error("{0}")]
    Limit(LimitError),
    #[error("expected a body in {encoding}, as `Content-Encoding` says, found something else: {}", Excerpt::of(fault))]
    Compression { encoding: Encoding, fault: String },
    #[error("expected `Content-Encoding` to be one of {ACCEPTED} or identity, found {:?}", Excerpt::of(.0))]
    Encoding(String),
    #[error("expected the whole body, but it broke off: {}", Excerpt::of(.0))]
    Incomplete(String),
    #[error("{}", refused(.0))]
    Refused(Vec<Objection>),
    #[error("{0}")]
    Measurement(MeasurementError),
    #[error(
        "expected `{STALE_AFTER_HEADER}` to be a duration above 0 such as 90s, 1h30m or 7d, found {:?}",
        Excerpt::of(.0)
    )]
    StaleAfter(String),
    #[error(
        "expected no `{STALE_AFTER_HEADER}` beside a `{PUSH_TIME_HEADER}` of 0, which says that no push was accepted, \
         found one"
    )]
    StaleAfterNoPush,
    #[error("expected `{header}` once, found it several times")]
    HeaderTwice { header: &'static str },
    #[error("expected no `{header}` while the admin API is off; the flag `--web.enable-admin-api` turns it on")]
    NoAdminApi { header: &'static str },
    #[error("expected `{header}` to be Unix seconds that are not in the future, found {:?}", Excerpt::of(found))]
    NoPastTime { header: &'static str, found: String },
    #[error("expected `{PUSH_TIME_HEADER}` beside `{PUSH_FAILURE_TIME_HEADER}`, found none")]
    FailureTimeAlone,
    #[error("expected a `{PUSH_FAILURE_TIME_HEADER}` above 0 beside a `{PUSH_TIME_HEADER}` of 0, found none")]
    NoTimeAtAll,
    #[error(
        "expected an empty body beside a `{PUSH_TIME_HEADER}` of 0, which says that no push was accepted, found metrics"
    )]
    MetricsOfNoPush,
    #[error("{}", moved_on(.sent, .found))]
    MovedOn { sent: Times, found: UnixSeconds },
    #[error("expected `{header}` to be Unix seconds, found {:?}", Excerpt::of(found))]
    BadSeenTime { header: &'static str, found: String },
    #[error("expected `{IF_PUSH_TIME_HEADER}` beside `{beside}`, found none")]
    NoPushTime { beside: &'static str },
    #[error("expected `{IF_PUSH_FAILURE_TIME_HEADER}` beside a signed `{IF_PUSH_TIME_HEADER}` of 0, found none")]
    NoFailureTime,
    #[error("expected a group last pushed at {}, found one pushed at {}; it was not deleted", printed(.expected), printed(.found))]
    PushedSince { expected: UnixSeconds, found: UnixSeconds },
    #[error("expected a group last refused a push at {}, found one refused at {}; it was not deleted", printed(.expected), printed(.found))]
    FailedSince { expected: UnixSeconds, found: UnixSeconds },
    #[error("{0}")]
    NotStored(NotStored),
    #[error("{0}")]
    Denied(Denial),
    #[error("{0}")]
    Auth(Refused),
    #[error("{0}")]
    Web(NotLetIn),
    #[error("{0}")]
    Api(ApiError),
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
            // The store stops looking at so many.
            let at_least = if several.len() < MOST_OBJECTIONS { "" } else { "at least " };
            format!("{start} {at_least}{} error(s) occurred:{lines}", several.len())
        }
    }
}

fn moved_on(sent: &Times, found: &UnixSeconds) -> String {
    let failure_time = printed(&sent.failure_time);
    match (sent.push_time, *found) {
        (UnixSeconds::NEVER, UnixSeconds::NEVER) => {
            format!(
                "expected a group last refused a push before {failure_time}, found a later time; nothing was changed"
            )
        }
        (UnixSeconds::NEVER, _) => {
            let found = printed(found);
            format!("expected a group that no push was accepted of, found one pushed at {found}; nothing was changed")
        }
        (push_time, found) => {
            let (push_time, found) = (printed(&push_time), printed(&found));
            format!("expected a group last pushed before {push_time}, found one pushed at {found}; nothing was changed")
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
    /// A push that the store refused.
    pub(super) fn refused(objections: Vec<Objection>) -> Self {
        match objections.as_slice() {
            [full @ Objection::Full { limit, .. }] => {
                Self::Limit(LimitError::Full { limit: *limit, sentence: full.to_string() })
            }
            _ => Self::Refused(objections),
        }
    }

    /// With the sentence that says where it was found.
    fn excess(excess: Excess, sentence: &impl ToString) -> Self {
        Self::Limit(LimitError::Push { limit: excess.limit, sentence: sentence.to_string() })
    }

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
            | Self::Measurement(_)
            | Self::StaleAfter(_)
            | Self::StaleAfterNoPush
            | Self::HeaderTwice { .. }
            | Self::NoPastTime { .. }
            | Self::FailureTimeAlone
            | Self::NoTimeAtAll
            | Self::MetricsOfNoPush
            | Self::BadSeenTime { .. }
            | Self::NoPushTime { .. }
            | Self::NoFailureTime => StatusCode::BAD_REQUEST,
            Self::NoAdminApi { .. } => StatusCode::FORBIDDEN,
            Self::Limit(error) => error.status(),
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PushedSince { .. } | Self::FailedSince { .. } | Self::MovedOn { .. } => {
                StatusCode::PRECONDITION_FAILED
            }
            Self::NotStored(_) | Self::Denied(Denial::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Denied(_) => StatusCode::UNAUTHORIZED,
            Self::Web(NotLetIn::Unauthorized { .. }) => StatusCode::UNAUTHORIZED,
            Self::Web(NotLetIn::TooOften { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::Web(NotLetIn::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Auth(Refused::Missing | Refused::Unknown { .. }) => StatusCode::UNAUTHORIZED,
            Self::Auth(Refused::Job { .. } | Refused::NotForAll) => StatusCode::FORBIDDEN,
            Self::Auth(Refused::TooOften { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::Auth(Refused::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Api(error) => error.status(),
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Key(_) => Some(Refusal::Path),
            Self::Text(_) | Self::OpenMetrics(_) | Self::Protobuf(_) => Some(Refusal::Syntax),
            Self::Limit(error) => Some(error.refusal()),
            Self::Compression { .. } | Self::Incomplete(_) => Some(Refusal::Body),
            Self::Encoding(_) => Some(Refusal::Encoding),
            Self::Refused(objections) if objections.iter().any(Objection::is_about_identity) => Some(Refusal::Identity),
            Self::Refused(objections) if objections.iter().any(Objection::is_about_time) => Some(Refusal::Timestamp),
            Self::Refused(_) => Some(Refusal::Inconsistent),
            Self::Measurement(_) => Some(Refusal::Measurement),
            Self::StaleAfter(_)
            | Self::StaleAfterNoPush
            | Self::HeaderTwice { .. }
            | Self::NoAdminApi { .. }
            | Self::NoPastTime { .. }
            | Self::FailureTimeAlone
            | Self::NoTimeAtAll
            | Self::MetricsOfNoPush => Some(Refusal::Header),
            Self::MovedOn { .. } => Some(Refusal::Outdated),
            Self::Auth(_) => Some(Refusal::Auth),
            Self::NotStored(_) => Some(Refusal::Storage),
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotReady
            | Self::BadSeenTime { .. }
            | Self::NoPushTime { .. }
            | Self::NoFailureTime
            | Self::PushedSince { .. }
            | Self::FailedSince { .. }
            | Self::Denied(_)
            | Self::Web(_)
            | Self::Api(_) => None,
        }
    }

    fn signed_delete(&self) -> Option<SignedDelete> {
        match self {
            Self::Denied(denial) => Some(denial.outcome()),
            Self::PushedSince { .. } | Self::FailedSince { .. } => Some(SignedDelete::PushedSince),
            Self::Key(_)
            | Self::BadSeenTime { .. }
            | Self::NoPushTime { .. }
            | Self::NoFailureTime
            | Self::HeaderTwice { .. } => Some(SignedDelete::Malformed),
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotReady
            | Self::Api(_)
            | Self::Text(_)
            | Self::OpenMetrics(_)
            | Self::Protobuf(_)
            | Self::Limit(_)
            | Self::Compression { .. }
            | Self::Encoding(_)
            | Self::Incomplete(_)
            | Self::Refused(_)
            | Self::Measurement(_)
            | Self::StaleAfter(_)
            | Self::StaleAfterNoPush
            | Self::NoAdminApi { .. }
            | Self::NoPastTime { .. }
            | Self::FailureTimeAlone
            | Self::NoTimeAtAll
            | Self::MetricsOfNoPush
            | Self::MovedOn { .. }
            | Self::Auth(_)
            | Self::Web(_) => None,
            Self::NotStored(_) => Some(SignedDelete::NotStored),
        }
    }

    /// What `observe` is to count and to log, if there is anything.
    pub(super) fn reason(&self) -> Option<Reason> {
        let (refusal, signed_delete) = (self.refusal(), self.signed_delete());
        let has_one = refusal.is_some() || signed_delete.is_some();
        has_one.then(|| Reason { refusal, signed_delete, sentence: self.to_string().into() })
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let end = if matches!(&self, Self::Api(error) if !error.ends_line()) { "" } else { "\n" };
        let mut response =
            (self.status(), [NO_SNIFF], self.reason().map(Extension), format!("{self}{end}")).into_response();
        if let Self::Limit(error) = &self
            && let Some(seconds) = error.retry_after()
        {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if matches!(self, Self::Encoding(_)) {
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        }
        if response.status() == StatusCode::UNAUTHORIZED && matches!(self, Self::Auth(_)) {
            for scheme in SCHEMES {
                response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
        }
        if matches!(self, Self::Web(NotLetIn::Unauthorized { .. })) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        if let Self::Auth(Refused::TooOften { retry_after }) | Self::Web(NotLetIn::TooOften { retry_after }) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
        }
        response
    }
}

impl From<TextError> for HttpError {
    fn from(error: TextError) -> Self {
        if let text::Malformed::Excess(excess) = error.fault { Self::excess(excess, &error) } else { Self::Text(error) }
    }
}

impl From<OpenMetricsError> for HttpError {
    fn from(error: OpenMetricsError) -> Self {
        if let openmetrics::Malformed::Text(text::Malformed::Excess(excess)) = error.fault {
            return Self::excess(excess, &error);
        }
        Self::OpenMetrics(error)
    }
}

impl From<ProtobufError> for HttpError {
    fn from(error: ProtobufError) -> Self {
        if let protobuf::Malformed::Excess(excess) = error.fault {
            return Self::excess(excess, &error);
        }
        Self::Protobuf(error)
    }
}

impl From<LimitError> for HttpError {
    fn from(error: LimitError) -> Self {
        Self::Limit(error)
    }
}

impl From<MeasurementError> for HttpError {
    fn from(error: MeasurementError) -> Self {
        Self::Measurement(error)
    }
}

impl From<ApiError> for HttpError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<NotStored> for HttpError {
    fn from(why: NotStored) -> Self {
        Self::NotStored(why)
    }
}

impl From<Denial> for HttpError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}
