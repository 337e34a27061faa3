//! The extractor of what a push says in headers: how old its group may grow, and when it was pushed elsewhere.
//!
//! Who may tell push times may hide that a group is stale, or that it was pushed again; so that is for those who may
//! wipe everything.
//!
//! *Never:* what the store makes of it.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use protocol::{
    GroupingKey,
    endpoints::{PUSH_FAILURE_TIME_HEADER, PUSH_TIME_HEADER, STALE_AFTER_HEADER},
};

use super::{AppState, error::HttpError, headers::text};
use crate::{
    clock::{self, UnixSeconds},
    duration,
    exposition::{MetricFamily, outline::Outlined},
    store::{Change, Repeat, Times},
};

/// How far ahead of ours another clock may be, in seconds.
const CLOCK_SKEW: f64 = 5.0;

/// What a push says beside its key and its body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    stale_after: Option<Duration>,
    times: Option<Times>,
}

impl FromRequestParts<AppState> for Terms {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, HttpError> {
        let stale_after = text(&parts.headers, STALE_AFTER_HEADER)?.map(duration).transpose()?;
        let reader = Reader { headers: &parts.headers, is_allowed: state.settings().has_admin_api, now: clock::now() };
        let times = reader.times()?;
        // Only an accepted push has a say in how old its group may grow.
        if stale_after.is_some() && matches!(times, Some(Times { push_time: UnixSeconds::NEVER, .. })) {
            return Err(HttpError::StaleAfterNoPush);
        }
        Ok(Self { stale_after, times })
    }
}

/// Reads the headers with times.
struct Reader<'a> {
    headers: &'a HeaderMap,
    is_allowed: bool,
    now: UnixSeconds,
}

fn duration(written: String) -> Result<Duration, HttpError> {
    duration::stale_after(written.trim()).map_err(|_| HttpError::StaleAfter(written))
}

// === impl Terms ===

impl Terms {
    /// Where no push was accepted there are no metrics.
    pub(super) fn check(&self, families: &[MetricFamily]) -> Result<(), HttpError> {
        match self.times {
            Some(Times { push_time: UnixSeconds::NEVER, .. }) if !families.is_empty() => {
                Err(HttpError::MetricsOfNoPush)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The push as a repetition of the one before it, unless it takes place in the past.
    pub(super) fn repeated<'a>(&self, key: &'a GroupingKey, outlined: &'a Outlined<'_>) -> Option<Repeat<'a>> {
        let Outlined { outline, numbers, .. } = outlined;
        self.times.is_none().then_some(Repeat { key, outline: *outline, numbers, stale_after: self.stale_after })
    }

    pub(super) fn put_on(self, change: Change) -> Change {
        let change = match self.stale_after {
            Some(limit) => change.stale_after(limit),
            None => change,
        };
        match self.times {
            Some(times) => change.with_times(times),
            None => change,
        }
    }

    /// The times it has, none if it was pushed just now.
    pub(super) fn times(self) -> Times {
        self.times.unwrap_or_default()
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn times(&self) -> Result<Option<Times>, HttpError> {
        match (self.time(PUSH_TIME_HEADER)?, self.time(PUSH_FAILURE_TIME_HEADER)?) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(HttpError::FailureTimeAlone),
            (Some(UnixSeconds::NEVER), None | Some(UnixSeconds::NEVER)) => Err(HttpError::NoTimeAtAll),
            (Some(push_time), failure_time) => {
                Ok(Some(Times { push_time, failure_time: failure_time.unwrap_or_default() }))
            }
        }
    }

    fn time(&self, header: &'static str) -> Result<Option<UnixSeconds>, HttpError> {
        let Some(found) = text(self.headers, header)? else {
            return Ok(None);
        };
        if !self.is_allowed {
            return Err(HttpError::NoAdminApi { header });
        }
        let time = UnixSeconds::parse(&found).filter(|time| time.0 <= self.now.0 + CLOCK_SKEW);
        time.map(Some).ok_or(HttpError::NoPastTime { header, found })
    }
}
