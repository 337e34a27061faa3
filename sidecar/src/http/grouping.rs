//! The extractor of grouping keys: path as sent → [`GroupingKey`].
//!
//! The router has matched the fixed part by then; the rest is read by `protocol` from the undecoded path, so that
//! `%2F`, `//`, `.` and `..` are data.
//!
//! *Never:* bodies.

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};
use protocol::{GroupingKey, GroupingKeyError, PathNames};

use super::{AppState, Listener, error::HttpError};

/// The key that the path names.
pub(super) struct Key(pub(super) GroupingKey);

impl FromRequestParts<AppState> for Key {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, HttpError> {
        match key_of(state, &parts.uri) {
            Ok(key) => Ok(Self(key)),
            Err(GroupingKeyError::NotAGroupPath | GroupingKeyError::NotBelowMetrics) => Err(HttpError::NotFound),
            Err(error) => Err(HttpError::Key(error)),
        }
    }
}

/// Reads the path of a request as that of a group.
pub(super) fn key_of(state: &AppState, uri: &Uri) -> Result<GroupingKey, GroupingKeyError> {
    key(state, uri.path().strip_prefix(&*state.settings().route_prefix).unwrap_or_default())
}

/// Reads the path of a group, behind the route prefix, as this listener reads it.
pub(super) fn key(state: &AppState, path: &str) -> Result<GroupingKey, GroupingKeyError> {
    // The operator writes a key's names as they are.
    let names = match state.listener {
        Listener::Scrape => PathNames::Literal,
        Listener::Single | Listener::Push => state.settings().path_names(),
    };
    if state.settings().allows_missing_job {
        GroupingKey::from_path_without_job(path, names)
    } else {
        GroupingKey::from_path(path, names)
    }
}
