//! PUT and POST of a group.
//!
//! Unchecked, a push that could be read is answered before anybody can ask what became of it, so the answer is 202
//! even where it does not fit. Unlike upstream's, it is left aside then too: the page can always be scraped.
//!
//! *Never:* how it is stored.

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{AppState, body::Plain, error::HttpError, grouping::Key, terms::Terms};
use crate::{
    clock,
    exposition::{Format, negotiate, openmetrics, protobuf, text},
    store::{Change, Verdict},
};

pub(super) async fn push(
    State(state): State<AppState>,
    method: Method,
    headers: HeaderMap,
    Key(key): Key,
    terms: Terms,
    Plain(body): Plain,
) -> Result<Response, HttpError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
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
