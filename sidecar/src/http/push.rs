//! PUT and POST of a group.
//!
//! *Never:* how it is stored.

use axum::{
    extract::State,
    http::{Method, StatusCode},
};

use super::{AppState, body::Plain, error::HttpError, grouping::Key};
use crate::{
    clock,
    exposition::text,
    store::{Change, Verdict},
};

pub(super) async fn push(
    State(state): State<AppState>,
    method: Method,
    Key(key): Key,
    Plain(body): Plain,
) -> Result<StatusCode, HttpError> {
    let families = text::decode(&body)?;
    let change = if method == Method::PUT { Change::replace(key, families) } else { Change::merge(key, families) };
    match state.store().submit(change, clock::now()) {
        Verdict::Done => Ok(StatusCode::OK),
        Verdict::Refused(objections) => Err(HttpError::Refused(objections)),
        Verdict::PushedSince { push_time } => Err(HttpError::PushedSince { expected: push_time, found: push_time }),
    }
}
