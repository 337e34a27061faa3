//! PUT and POST of a group.
//!
//! Unchecked, a push that could be read is answered before anybody can ask what became of it, so the answer is 202
//! even where it does not fit. Unlike upstream's, it is left aside then too: the page can always be scraped.
//!
//! *Never:* how it is stored.

use std::convert::Infallible;

use axum::{
    Extension,
    extract::{FromRequestParts, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use bytes::Bytes;
use protocol::GroupingKey;

use super::{
    AppState, Settings,
    body::Plain,
    error::{HttpError, LimitError},
    grouping::Key,
    terms::Terms,
};
use crate::{
    clock,
    exposition::{Format, MetricFamily, negotiate, openmetrics, outline::Outlined, protobuf, text},
    store::{Change, Verdict},
};

/// What the body is said to be.
pub(super) struct ContentType(Option<HeaderValue>);

pub(super) async fn push(
    State(state): State<AppState>,
    method: Method,
    ContentType(content_type): ContentType,
    Key(key): Key,
    terms: Terms,
    Plain { body, turn: _turn }: Plain,
) -> Result<Response, HttpError> {
    let content_type = content_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let outlined = outlined(&state, content_type, &body);
    if let Some(outlined) = &outlined
        && let Some(verdict) = terms.repeated(&key, outlined).and_then(|it| state.store().repeat(&it, clock::now()))
    {
        state.store().settled().await?;
        return answer(verdict, terms, state.settings().is_unchecked);
    }
    let families = match read(state.settings(), &key, content_type, &body) {
        Ok(families) => families,
        Err(HttpError::Limit(error)) if error.is_about_content() => {
            state.store().submit(Change::fail(key), clock::now());
            return Err(error.into());
        }
        Err(error) => return Err(error),
    };
    terms.check(&families)?;
    let families = match &state.settings().measurement {
        Some(naming) => naming.apply(&key, families)?,
        None => families,
    };
    let outline = outlined.filter(|outlined| outlined.is_of(&families)).map(|outlined| outlined.outline);
    let change = if method == Method::PUT { Change::replace(key, families) } else { Change::merge(key, families) };
    let change = outline.into_iter().fold(change, Change::outlined);
    let verdict = state.store().submit(terms.put_on(change), clock::now());
    state.store().settled().await?;
    answer(verdict, terms, state.settings().is_unchecked)
}

/// The outline of a body of which nothing but the body decides what is stored.
fn outlined<'a>(state: &AppState, content_type: &str, body: &'a Bytes) -> Option<Outlined<'a>> {
    let is_as_pushed = state.settings().measurement.is_none();
    match negotiate::sniffed(content_type, body) {
        Format::Text if is_as_pushed => state.shared.outliner.text(body),
        Format::Protobuf if is_as_pushed => state.shared.outliner.protobuf(body),
        Format::Text | Format::OpenMetrics | Format::Protobuf => None,
    }
}

/// Reads the body within the limits, those of what it makes of the page too.
fn read(
    settings: &Settings,
    key: &GroupingKey,
    content_type: &str,
    body: &Bytes,
) -> Result<Vec<MetricFamily>, HttpError> {
    let (names, limits) = (settings.names, &settings.pushes);
    limits.check_labels(key.labels()).map_err(LimitError::from)?;
    let families = match negotiate::sniffed(content_type, body) {
        Format::Text => text::decode_within(body, names, limits)?,
        Format::OpenMetrics => openmetrics::decode_within(body, names, limits)?,
        Format::Protobuf => protobuf::decode_within(body, limits)?,
    };
    limits.check_families(key.labels(), &families).map_err(LimitError::from)?;
    Ok(families)
}

fn answer(verdict: Verdict, terms: Terms, is_unchecked: bool) -> Result<Response, HttpError> {
    match verdict {
        Verdict::Done if is_unchecked => Ok(StatusCode::ACCEPTED.into_response()),
        Verdict::Done => Ok(StatusCode::OK.into_response()),
        Verdict::Refused(objections) => {
            let error = HttpError::refused(objections);
            if is_unchecked && matches!(error, HttpError::Refused(_)) {
                return Ok((StatusCode::ACCEPTED, error.reason().map(Extension), ()).into_response());
            }
            Err(error)
        }
        Verdict::PushedSince { push_time } => Err(HttpError::MovedOn { sent: terms.times(), found: push_time }),
        // No push is made on the condition of a failure time.
        Verdict::FailedSince { failure_time } => {
            Err(HttpError::FailedSince { expected: failure_time, found: failure_time })
        }
        Verdict::NotStored(why) => Err(HttpError::NotStored(why)),
    }
}

// === impl ContentType ===

impl<S: Sync> FromRequestParts<S> for ContentType {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(header::CONTENT_TYPE).cloned()))
    }
}
