//! What is answered to a push beyond a limit: 413 for a body, 422 for what is in it, 429 where there is no room just
//! now, 408 where it takes too long. The sentence names the limit and what was found, the counter has a reason for
//! each.
//!
//! *Never:* when a limit is reached.

use std::time::Duration;

use axum::http::StatusCode;

use crate::{
    exposition::{self, Excess},
    metrics::Refusal,
    store,
};

/// Which limit, and how it was exceeded.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum LimitError {
    #[error("expected a body of at most {limit} bytes, found a larger one; `--push.max-body-bytes` sets the limit")]
    Body { limit: usize },
    #[error(
        "expected at most {limit} bytes after decompression, found more; `--push.max-decompressed-bytes` sets the limit"
    )]
    Decompressed { limit: usize },
    #[error(
        "expected a body that decompresses to at most {limit} times its {sent} bytes, found more; \
         `--push.max-compression-ratio` sets the limit"
    )]
    Ratio { limit: usize, sent: usize },
    #[error("expected the whole body within {limit:?}, found a part of it; `--push.body-timeout` sets the limit")]
    SlowBody { limit: Duration },
    #[error("expected at most {limit} pushes at once, found one more; `--push.max-concurrent` sets the limit")]
    Concurrent { limit: usize },
    #[error(
        "expected at most {limit} bytes of bodies at once, found {found}; `--push.max-bytes-at-once` sets the limit"
    )]
    BytesAtOnce { limit: usize, found: usize },
    /// With the sentence of whoever found it.
    #[error("{sentence}")]
    Push { limit: exposition::Limit, sentence: String },
    /// With the sentence of the store.
    #[error("{sentence}")]
    Full { limit: store::Limit, sentence: String },
}

// === impl LimitError ===

impl LimitError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Body { .. } | Self::Decompressed { .. } | Self::Ratio { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Push { .. } | Self::Full { limit: store::Limit::GroupSeries, .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Concurrent { .. }
            | Self::BytesAtOnce { .. }
            | Self::Full { limit: store::Limit::Groups | store::Limit::Series, .. } => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// In seconds, where it may help to try again.
    pub(super) fn retry_after(&self) -> Option<&'static str> {
        match self {
            Self::Concurrent { .. } | Self::BytesAtOnce { .. } => Some("1"),
            // Groups have to go first.
            Self::Full { limit: store::Limit::Groups | store::Limit::Series, .. } => Some("60"),
            Self::Body { .. }
            | Self::Decompressed { .. }
            | Self::Ratio { .. }
            | Self::SlowBody { .. }
            | Self::Push { .. }
            | Self::Full { limit: store::Limit::GroupSeries, .. } => None,
        }
    }

    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Body { .. } => Refusal::TooLarge,
            Self::Decompressed { .. } => Refusal::Decompressed,
            Self::Ratio { .. } => Refusal::CompressionRatio,
            Self::SlowBody { .. } => Refusal::SlowBody,
            Self::Concurrent { .. } => Refusal::Concurrent,
            Self::BytesAtOnce { .. } => Refusal::BytesAtOnce,
            Self::Push { limit, .. } => match limit {
                exposition::Limit::Series => Refusal::Series,
                exposition::Limit::Labels => Refusal::Labels,
                exposition::Limit::LabelName => Refusal::LabelName,
                exposition::Limit::LabelValue => Refusal::LabelValue,
                exposition::Limit::MetricName => Refusal::MetricName,
                exposition::Limit::Help => Refusal::Help,
                exposition::Limit::Buckets => Refusal::Buckets,
                exposition::Limit::Page => Refusal::Page,
            },
            Self::Full { limit, .. } => match limit {
                store::Limit::Groups => Refusal::Groups,
                store::Limit::GroupSeries => Refusal::GroupSeries,
                store::Limit::Series => Refusal::StoredSeries,
            },
        }
    }

    /// Whether it is about what is in a push, so that the push failed as one that does not fit.
    pub(in crate::http) fn is_about_content(&self) -> bool {
        matches!(self, Self::Push { .. })
    }
}

impl From<Excess> for LimitError {
    fn from(excess: Excess) -> Self {
        Self::Push { limit: excess.limit, sentence: excess.to_string() }
    }
}
