//! Why a request to the API, for administration or to quit gets no success.
//!
//! *Never:* pushes, what is counted.

use axum::http::StatusCode;
use protocol::{Excerpt, GroupingKey};

use crate::selector::SelectorError;

/// Why it gets none.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum ApiError {
    #[error("expected the key of a group that is here, found {}, which is not", Excerpt::of(.0.to_path()))]
    UnknownGroup(GroupingKey),
    #[error("{0}")]
    Selector(SelectorError),
    #[error("expected at least one `match[]` with a selector such as {{job=\"a\"}}, found none")]
    NoSelector,
    #[error("expected no parameters but `match[]` and `dryRun`, found {:?}", Excerpt::of(.0))]
    UnknownParameter(String),
    #[error("expected `dryRun` to be 1, true, 0 or false, found {:?}", Excerpt::of(.0))]
    BadDryRun(String),
    #[error("expected `dryRun` once, found it several times")]
    DryRunTwice,
    #[error("Lifecycle API is not enabled.")]
    LifecycleDisabled,
    #[error("Only POST or PUT requests allowed.")]
    QuitNotAllowed,
}

// === impl ApiError ===

impl ApiError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::UnknownGroup(_) => StatusCode::NOT_FOUND,
            Self::Selector(_)
            | Self::NoSelector
            | Self::UnknownParameter(_)
            | Self::BadDryRun(_)
            | Self::DryRunTwice => StatusCode::BAD_REQUEST,
            Self::LifecycleDisabled => StatusCode::FORBIDDEN,
            Self::QuitNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Upstream's two sentences about quitting are no lines.
    pub(super) fn ends_line(&self) -> bool {
        !matches!(self, Self::LifecycleDisabled | Self::QuitNotAllowed)
    }
}

impl From<SelectorError> for ApiError {
    fn from(error: SelectorError) -> Self {
        Self::Selector(error)
    }
}
