//! DELETE of a group: plain, on the condition of its times, and signed at the scrape port.
//!
//! *Never:* who is to be trusted, when a group is stale.

use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use protocol::{
    GroupingKey,
    endpoints::{IF_PUSH_FAILURE_TIME_HEADER, IF_PUSH_TIME_HEADER, SIGNATURE_HEADER},
};

use super::{AppState, error::HttpError, grouping::Key, headers::text};
use crate::{
    clock::{self, UnixSeconds},
    metrics::SignedDelete,
    operator_access::Signed,
    store::{Change, Times, Verdict},
};

/// The times that the sender has seen, as sent.
#[derive(Debug)]
struct Seen {
    push_time: Option<String>,
    failure_time: Option<String>,
}

/// Whoever can push can delete.
pub(super) async fn delete(
    State(state): State<AppState>,
    headers: HeaderMap,
    Key(key): Key,
) -> Result<StatusCode, HttpError> {
    let seen = Seen::of(&headers)?;
    match &seen.push_time {
        None if seen.failure_time.is_some() => Err(HttpError::NoPushTime { beside: IF_PUSH_FAILURE_TIME_HEADER }),
        None => carry_out(&state, Change::remove(key), Times::default()).await,
        Some(push_time) => remove_if(&state, key, push_time, seen.failure_time.as_deref()).await,
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
    let Seen { push_time, failure_time } = Seen::of(&headers)?;
    if signature.is_some() && push_time.is_none() {
        return Err(HttpError::NoPushTime { beside: SIGNATURE_HEADER });
    }
    let (push_time, failure_time) = (push_time.unwrap_or_default(), failure_time.as_deref());
    let request = Signed {
        method: method.as_str(),
        path: uri.path(),
        push_time: &push_time,
        failure_time,
        header: signature.as_deref(),
    };
    state.shared.operator.admit(&request, clock::now())?;
    // The age of a group without an accepted push counts from its last refusal: it may be younger than it was seen.
    if failure_time.is_none() && UnixSeconds::parse(&push_time) == Some(UnixSeconds::NEVER) {
        return Err(HttpError::NoFailureTime);
    }
    let deleted = remove_if(&state, key, &push_time, failure_time).await?;
    state.metrics().signed_delete(SignedDelete::Accepted);
    Ok(deleted)
}

async fn remove_if(
    state: &AppState,
    key: GroupingKey,
    push_time: &str,
    failure_time: Option<&str>,
) -> Result<StatusCode, HttpError> {
    let push_time = seconds(IF_PUSH_TIME_HEADER, push_time)?;
    let failure_time = failure_time.map(|written| seconds(IF_PUSH_FAILURE_TIME_HEADER, written)).transpose()?;
    let mut change = Change::remove_if(key, push_time);
    if let Some(seen) = failure_time {
        change = change.and_failure_time(seen);
    }
    carry_out(state, change, Times { push_time, failure_time: failure_time.unwrap_or_default() }).await
}

async fn carry_out(state: &AppState, change: Change, seen: Times) -> Result<StatusCode, HttpError> {
    let verdict = state.store().submit(change, clock::now());
    state.store().settled().await?;
    match verdict {
        Verdict::Done => Ok(StatusCode::ACCEPTED),
        Verdict::Refused(objections) => Err(HttpError::Refused(objections)),
        Verdict::PushedSince { push_time } => {
            Err(HttpError::PushedSince { expected: seen.push_time, found: push_time })
        }
        Verdict::FailedSince { failure_time } => {
            Err(HttpError::FailedSince { expected: seen.failure_time, found: failure_time })
        }
        Verdict::NotStored(why) => Err(HttpError::NotStored(why)),
    }
}

fn seconds(header: &'static str, written: &str) -> Result<UnixSeconds, HttpError> {
    UnixSeconds::parse(written).ok_or_else(|| HttpError::BadSeenTime { header, found: written.to_owned() })
}

// === impl Seen ===

impl Seen {
    fn of(headers: &HeaderMap) -> Result<Self, HttpError> {
        Ok(Self {
            push_time: text(headers, IF_PUSH_TIME_HEADER)?,
            failure_time: text(headers, IF_PUSH_FAILURE_TIME_HEADER)?,
        })
    }
}
