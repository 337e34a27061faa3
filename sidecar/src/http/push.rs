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

use super::{AppState, body::Plain, error::HttpError, grouping::Key, terms::Terms};
use crate::{
    clock,
    exposition::{Format, negotiate, openmetrics, protobuf, text},
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
    Plain(body): Plain,
) -> Result<Response, HttpError> {
    let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
    let families = match negotiate::sniffed(content_type.unwrap_or_default(), &body) {
        Format::Text => text::decode(&body, state.settings().names)?,
        Format::OpenMetrics => openmetrics::decode(&body, state.settings().names)?,
        Format::Protobuf => protobuf::decode(&body)?,
    };
    terms.check(&families)?;
    let families = match &state.settings().measurement {
        Some(naming) => naming.apply(&key, families)?,
        None => families,
    };
    let change = if method == Method::PUT { Change::replace(key, families) } else { Change::merge(key, families) };
    let verdict = state.store().submit(terms.put_on(change), clock::now());
    state.store().settled().await?;
    answer(verdict, terms, state.settings().is_unchecked)
}

fn answer(verdict: Verdict, terms: Terms, is_unchecked: bool) -> Result<Response, HttpError> {
    match verdict {
        Verdict::Done if is_unchecked => Ok(StatusCode::ACCEPTED.into_response()),
        Verdict::Done => Ok(StatusCode::OK.into_response()),
        Verdict::Refused(objections) if is_unchecked => {
            let reason = HttpError::Refused(objections).reason();
            Ok((StatusCode::ACCEPTED, reason.map(Extension), ()).into_response())
        }
        Verdict::Refused(objections) => Err(HttpError::Refused(objections)),
        Verdict::PushedSince { push_time } => Err(HttpError::MovedOn { sent: terms.times(), found: push_time }),
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
