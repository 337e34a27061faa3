//! Requests to one sidecar: read the push times, remove a group if it has not been pushed since.
//!
//! Plain HTTP to a pod's address, a new connection for each request (an idle one would count in the sidecar's end),
//! a timeout for each, and a limit for the page.
//!
//! *Never:* which pod is asked, what is stale.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{ACCEPT, DATE, HOST},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::{Timestamp, fmt::rfc2822};
use protocol::{
    GroupingKey,
    endpoints::{
        IF_PUSH_FAILURE_TIME_HEADER, IF_PUSH_TIME_HEADER, METRICS_PATH, NAME_PARAMETER, OPERATOR_READ_HEADER,
        SIGNATURE_HEADER,
    },
    series::{PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_SECONDS},
    signed_request::SignedRequest,
};
use tokio::time::Instant;

use super::push_times::GroupAge;
use crate::{
    long_pages::{LongPages, NoRoom, Place, SHORT_PAGE},
    signing::{NoRandomness, OperatorKey, random},
};

/// How long one request may take, its answer included.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest page that is read: 200 bytes for each of the groups that are taken from one.
const LONGEST_PAGE: usize = 4 * 1024 * 1024;

/// How many longer pages are worked on at a time.
const LONG_PAGES: usize = 2;

/// How many longer pages of those whose last visit failed or took long are worked on at a time, beside the others.
const LONG_PAGES_OF_COSTLY: usize = 1;

/// How much of an answer's head is kept.
const LONGEST_HEAD: usize = 32 * 1024;

/// The format [`super::push_times`] reads.
const TEXT_FORMAT: &str = "text/plain;version=0.0.4";

/// Asks sidecars.
#[derive(Clone, Debug)]
pub struct SidecarClient {
    http: Client<HttpConnector, Empty<Bytes>>,
    key: OperatorKey,
    long_pages: LongPages,
}

/// What a sidecar says.
#[derive(Debug)]
pub struct Page {
    /// The page.
    pub text: String,
    /// What time it was there.
    pub date: Option<Timestamp>,
    /// When its head was here.
    pub at: Instant,
    /// What a long page has to hold on to while it, or all that was made of it, is there.
    pub room: Option<Place>,
}

/// The times of a group that was seen, as the page printed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The push time.
    pub push_time: &'a str,
    /// The failure time, where the group's age counts from it: then a refused push makes it younger.
    pub failure_time: Option<&'a str>,
}

/// What became of a group that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It was pushed since, and stays.
    MovedOn,
}

/// Why a sidecar did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// No connection, or one that broke.
    #[error("cannot connect: {0}")]
    Connect(#[from] hyper_util::client::legacy::Error),
    /// No answer in time.
    #[error("no answer within {TIMEOUT:?}")]
    TooSlow,
    /// Another status than expected.
    #[error("expected status {expected}, found {found}")]
    Status {
        /// The status that was expected.
        expected: u16,
        /// The status that came.
        found: u16,
    },
    /// A long page found no place in time.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The answer broke off, was too long, or was no text.
    #[error("expected a page of at most {LONGEST_PAGE} bytes of text: {0}")]
    Body(String),
    /// The request could not be made.
    #[error("cannot make the request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The request could not be signed.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

// === impl SidecarClient ===

impl SidecarClient {
    /// Signs with a key.
    #[must_use]
    pub fn new(key: OperatorKey) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        let mut builder = Client::builder(TokioExecutor::new());
        let http = builder.pool_max_idle_per_host(0).http1_max_buf_size(LONGEST_HEAD).build(connector);
        Self { http, key, long_pages: LongPages::of(LONG_PAGES, LONG_PAGES_OF_COSTLY) }
    }

    /// Reads the push times, as the operator sees them: grouping keys as they were pushed, and no scrape. A costly
    /// sidecar is one whose last visit failed or took long: its long page waits for places of its own.
    ///
    /// # Errors
    /// When there is no page within the timeout.
    pub async fn read(&self, address: SocketAddr, is_costly: bool) -> Result<Page, SidecarError> {
        let uri = format!(
            "http://{address}{METRICS_PATH}?{NAME_PARAMETER}={PUSH_TIME_SECONDS}&\
             {NAME_PARAMETER}={PUSH_FAILURE_TIME_SECONDS}"
        );
        let request = Request::get(uri)
            .header(HOST, address.to_string())
            .header(ACCEPT, TEXT_FORMAT)
            .header(OPERATOR_READ_HEADER, "1")
            .body(Empty::new())?;
        within_the_timeout(async {
            let answer = self.http.request(request).await?;
            expect_status(&answer, StatusCode::OK)?;
            let at = Instant::now();
            let date = answer.headers().get(DATE).and_then(|date| parse_date(date.to_str().ok()?));
            let (text, room) = self.text(answer.into_body(), is_costly).await?;
            Ok(Page { text, date, at, room })
        })
        .await
    }

    /// Collects a body that is no longer than it may be.
    async fn text(&self, mut body: Incoming, is_costly: bool) -> Result<(String, Option<Place>), SidecarError> {
        let too_long = || SidecarError::Body("it is longer".to_owned());
        let (mut text, mut room) = (Vec::new(), None);
        if (LONGEST_PAGE as u64) < body.size_hint().lower() {
            return Err(too_long());
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| SidecarError::Body(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            let length = text.len() + data.len();
            if LONGEST_PAGE < length {
                return Err(too_long());
            }
            if SHORT_PAGE < length && room.is_none() {
                room = Some(self.long_pages.place(is_costly, TIMEOUT / 2).await?);
            }
            text.extend_from_slice(&data);
        }
        let text = String::from_utf8(text).map_err(|error| SidecarError::Body(error.to_string()))?;
        Ok((text, room))
    }

    /// Removes a group unless it has moved on from the times that were seen.
    ///
    /// # Errors
    /// When the sidecar neither removes it nor says that it moved on.
    pub async fn remove(
        &self,
        address: SocketAddr,
        pod_uid: &str,
        key: &GroupingKey,
        seen: Seen<'_>,
        now: Timestamp,
    ) -> Result<Removal, SidecarError> {
        let path = key.to_path();
        let signed = SignedRequest {
            method: Method::DELETE.as_str(),
            path: &path,
            target: pod_uid,
            push_time: seen.push_time,
            failure_time: seen.failure_time,
            signed_at: u64::try_from(now.as_second()).unwrap_or_default(),
            nonce: random()?,
        };
        let mut request = Request::delete(format!("http://{address}{path}"))
            .header(HOST, address.to_string())
            .header(IF_PUSH_TIME_HEADER, seen.push_time)
            .header(SIGNATURE_HEADER, self.key.sign(&signed).to_string());
        if let Some(failure_time) = seen.failure_time {
            request = request.header(IF_PUSH_FAILURE_TIME_HEADER, failure_time);
        }
        let request = request.body(Empty::new())?;
        within_the_timeout(async {
            let answer = self.http.request(request).await?;
            if answer.status() == StatusCode::PRECONDITION_FAILED {
                return Ok(Removal::MovedOn);
            }
            expect_status(&answer, StatusCode::ACCEPTED)?;
            Ok(Removal::Removed)
        })
        .await
    }
}

async fn within_the_timeout<T>(request: impl Future<Output = Result<T, SidecarError>>) -> Result<T, SidecarError> {
    tokio::time::timeout(TIMEOUT, request).await.unwrap_or(Err(SidecarError::TooSlow))
}

fn expect_status(answer: &Response<Incoming>, expected: StatusCode) -> Result<(), SidecarError> {
    if answer.status() == expected {
        return Ok(());
    }
    Err(SidecarError::Status { expected: expected.as_u16(), found: answer.status().as_u16() })
}

pub(crate) fn parse_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

// === impl Seen ===

impl<'a> Seen<'a> {
    /// What a removal of a group is to depend on.
    #[must_use]
    pub fn of(group: &'a GroupAge) -> Self {
        let failure_time = (group.push_time <= 0.0).then_some(group.failure_time_text.as_str());
        Self { push_time: &group.push_time_text, failure_time }
    }
}

// === impl SidecarError ===

impl SidecarError {
    /// The reason as a metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::TooSlow => "timeout",
            Self::Status { .. } => "status",
            Self::NoRoom(_) => "no_room",
            Self::Body(_) => "body",
            Self::Request(_) | Self::NoRandomness(_) => "request",
        }
    }

    /// Whether it is about the one request, so that another may well do better.
    #[must_use]
    pub fn is_of_one_request(&self) -> bool {
        match self {
            Self::Status { .. } | Self::Request(_) => true,
            Self::Connect(_) | Self::TooSlow | Self::NoRoom(_) | Self::Body(_) | Self::NoRandomness(_) => false,
        }
    }

    /// Whether it is no fault of the sidecar: others were in its way.
    #[must_use]
    pub fn is_about_others(&self) -> bool {
        matches!(self, Self::NoRoom(_))
    }
}

#[cfg(test)]
mod tests;
