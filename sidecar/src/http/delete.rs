//! DELETE of a group: plain, on the condition of its push time, and signed at the scrape port.
//!
//! *Never:* who is to be trusted, when a group is stale.

use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use protocol::endpoints::{IF_PUSH_TIME_HEADER, SIGNATURE_HEADER};

use super::{AppState, error::HttpError, grouping::Key, headers::text};
use crate::{
    clock::{self, UnixSeconds},
    metrics::SignedDelete,
    operator_access::Signed,
    store::{Change, Verdict},
};

/// Whoever can push can delete.
pub(super) async fn delete(
    State(state): State<AppState>,
    headers: HeaderMap,
    Key(key): Key,
) -> Result<StatusCode, HttpError> {
    match text(&headers, IF_PUSH_TIME_HEADER)? {
        None => carry_out(&state, Change::remove(key), UnixSeconds::NEVER).await,
        Some(seen) => {
            let push_time = push_time(&seen)?;
            carry_out(&state, Change::remove_if(key, push_time), push_time).await
        }
    }
}

/// Anybody can reach the scrape port, so only the operator deletes there, and only what it has seen.
pub(super) async fn signed(
    State(state): State<AppState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Key(key): Key,
) -> Result<StatusCode, HttpError> {
    let signature = text(&headers, SIGNATURE_HEADER)?;
    let seen = text(&headers, IF_PUSH_TIME_HEADER)?;
    if signature.is_some() && seen.is_none() {
        return Err(HttpError::NoPushTime);
    }
    let seen = seen.unwrap_or_default();
    let request = Signed { method: method.as_str(), path: uri.path(), push_time: &seen, header: signature.as_deref() };
    state.shared.operator.admit(&request, clock::now())?;
    let push_time = push_time(&seen)?;
    let deleted = carry_out(&state, Change::remove_if(key, push_time), push_time).await?;
    state.metrics().signed_delete(SignedDelete::Accepted);
    Ok(deleted)
}

async fn carry_out(state: &AppState, change: Change, expected: UnixSeconds) -> Result<StatusCode, HttpError> {
    let verdict = state.store().submit(change, clock::now());
    state.store().settled().await?;
    match verdict {
        Verdict::Done => Ok(StatusCode::ACCEPTED),
        Verdict::Refused(objections) => Err(HttpError::Refused(objections)),
        Verdict::PushedSince { push_time } => Err(HttpError::PushedSince { expected, found: push_time }),
        Verdict::NotStored(why) => Err(HttpError::NotStored(why)),
    }
}

fn push_time(written: &str) -> Result<UnixSeconds, HttpError> {
    UnixSeconds::parse(written).ok_or_else(|| HttpError::BadPushTime(written.to_owned()))
}
