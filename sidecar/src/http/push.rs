//! PUT and POST of a group.
//!
//! *Never:* how it is stored.

use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
};

use super::{AppState, body::Plain, error::HttpError, grouping::Key};
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
    Plain(body): Plain,
) -> Result<StatusCode, HttpError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let families = match negotiate::pushed(content_type.unwrap_or_default()) {
        Format::Text => text::decode(&body, state.settings().names)?,
        Format::OpenMetrics => openmetrics::decode(&body, state.settings().names)?,
        Format::Protobuf => protobuf::decode(&body)?,
    };
    let change = if method == Method::PUT { Change::replace(key, families) } else { Change::merge(key, families) };
    match state.store().submit(change, clock::now()) {
        Verdict::Done => Ok(StatusCode::OK),
        Verdict::Refused(objections) => Err(HttpError::Refused(objections)),
        Verdict::PushedSince { push_time } => Err(HttpError::PushedSince { expected: push_time, found: push_time }),
    }
}
