//! A session with one gateway: read its push times, learn its true keys, remove a group that has not moved on.
//!
//! A removal is sent on a connection that is open already, as soon as the push times before it are in, so that little
//! time is between the two. What is left of that time is the window in which a fresh push would be lost: a classic
//! Pushgateway has no conditional removal. Ours has one, and is sent the push time that was seen; others ignore it.
//!
//! Redirects are never followed: they would take credentials, or a removal, to somebody else.
//!
//! *Never:* which groups are stale, Secrets.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, AUTHORIZATION, DATE, HOST, HeaderValue},
};
use jiff::Timestamp;
use protocol::{
    GroupingKey, LabelSet,
    endpoints::{API_PATH, IF_PUSH_TIME_HEADER, METRICS_PATH, NAME_PARAMETER, OPERATOR_READ_HEADER},
    series::{PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_SECONDS},
};
use rustls::ClientConfig;
use tokio::sync::mpsc;

use super::{
    address::{BadAddress, GatewayAddress},
    connection::{ConnectError, Connection},
    keys::{self, Chunks, TrueKeys},
    page::{PageError, PushLines},
    secret::SecretError,
};
use crate::{
    long_pages::{LongPages, NoRoom, Place, SHORT_PAGE},
    sidecar::client::{Removal, parse_date},
};

/// How long one request may take, its answer included: a gateway with very many series takes seconds for its page.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a removal may take, a connection for it included: it is begun only with so much of the leader's term left.
pub const REMOVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer of the JSON API that is read. Beyond it, keys are found out without.
const LONGEST_ANSWER: usize = 16 << 20;

/// The format that is read; where names are not classic, they are wanted as they are.
const TEXT_FORMAT: &str = "text/plain;version=0.0.4;escaping=allow-utf-8";

/// A metric that every Pushgateway has of itself.
const OWN: &str = "pushgateway_build_info";

/// Talks to one gateway for the time of a visit.
pub struct GatewaySession {
    address: GatewayAddress,
    authorization: Option<HeaderValue>,
    tls: Option<Arc<ClientConfig>>,
    long_pages: LongPages,
    is_costly: bool,
    /// For the next removal.
    ready: Option<Connection>,
}

/// What a gateway says.
#[derive(Debug)]
pub struct GatewayPage {
    /// The lines with push times.
    pub text: String,
    /// What time it was there.
    pub date: Option<Timestamp>,
    /// What a long page has to hold on to while it, or all that was made of it, is there.
    pub room: Option<Place>,
}

/// Why a gateway did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// There are no credentials.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No connection.
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        /// Where to.
        address: GatewayAddress,
        /// Why.
        cause: String,
    },
    /// No trust, or no way to speak TLS.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// No answer in time.
    #[error("expected an answer of {address} within {limit:?}, found none")]
    TooSlow {
        /// Whose.
        address: GatewayAddress,
        /// The time.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection to {address} broke: {cause}")]
    Broken {
        /// Whose.
        address: GatewayAddress,
        /// How.
        cause: String,
    },
    /// It wants other credentials.
    #[error("expected {address} to accept {shown}, found status {found}")]
    Unauthorized {
        /// Who.
        address: GatewayAddress,
        /// What it was shown.
        shown: &'static str,
        /// Its answer.
        found: u16,
    },
    /// Another status than expected.
    #[error("expected status {expected} from {asked}, found {found}{hint}")]
    Status {
        /// Method and address.
        asked: String,
        /// The status that was expected.
        expected: u16,
        /// The status that came.
        found: u16,
        /// What helps, if that is known.
        hint: &'static str,
    },
    /// The page is none.
    #[error("{address}: {cause}")]
    Page {
        /// Whose.
        address: GatewayAddress,
        /// Why.
        cause: PageError,
    },
    /// A long page found no place in time.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Nobody can tell which group a push time is of.
    #[error("expected to know which group shows the push time of {0}, found that it may be another")]
    Unclear(GroupingKey),
    /// The request could not be made.
    #[error("cannot make the request: {0}")]
    Request(#[from] hyper::http::Error),
}

// === impl GatewaySession ===

impl GatewaySession {
    /// Sends nothing yet.
    #[must_use]
    pub fn new(address: GatewayAddress, authorization: Option<HeaderValue>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { address, authorization, tls, long_pages: LongPages::of(1, 1), is_costly: false, ready: None }
    }

    /// Waits with others for places for long pages.
    #[must_use]
    pub fn sharing(self, long_pages: LongPages, is_costly: bool) -> Self {
        Self { long_pages, is_costly, ..self }
    }

    /// Reads the lines of the page with push times.
    ///
    /// # Errors
    /// When they are not all there within the timeout.
    pub async fn read(&self) -> Result<GatewayPage, GatewayError> {
        self.page(PushLines::default()).await
    }

    /// Reads the lines of the page with the push times of one group, and keeps no others.
    ///
    /// # Errors
    /// When they are not all there within the timeout.
    pub async fn read_again(&self, key: &GroupingKey) -> Result<GatewayPage, GatewayError> {
        self.page(PushLines::only_of(key.labels().clone())).await
    }

    async fn page(&self, mut lines: PushLines) -> Result<GatewayPage, GatewayError> {
        let path = format!(
            "{METRICS_PATH}?{NAME_PARAMETER}={PUSH_TIME_SECONDS}&{NAME_PARAMETER}={PUSH_FAILURE_TIME_SECONDS}&\
             {NAME_PARAMETER}={OWN}"
        );
        self.within(TIMEOUT, async {
            let request = self.request(Method::GET, &path)?.header(ACCEPT, TEXT_FORMAT);
            // Ours then shows keys as they were pushed, and does not take us for Prometheus.
            let request = request.header(OPERATOR_READ_HEADER, "1").body(Empty::new())?;
            let mut connection = self.connect().await?;
            let mut answer = self.ask(&mut connection, request, METRICS_PATH, StatusCode::OK).await?;
            let date = answer.headers().get(DATE).and_then(|date| parse_date(date.to_str().ok()?));
            let page = |cause| GatewayError::Page { address: self.address.clone(), cause };
            let mut room = None;
            while let Some(frame) = answer.frame().await {
                let Ok(data) = frame.map_err(|error| self.broken(&error))?.into_data() else { continue };
                if !lines.feed(&data).map_err(page)? {
                    break;
                }
                if SHORT_PAGE < lines.length() && room.is_none() {
                    room = Some(self.long_pages.place(self.is_costly, TIMEOUT / 2).await?);
                }
            }
            Ok(GatewayPage { text: lines.finish().map_err(page)?, date, room })
        })
        .await
    }

    /// Asks which of these are true grouping keys; none where the gateway does not tell them.
    ///
    /// # Errors
    /// When there is no answer within the timeout.
    pub async fn true_keys(&self, wanted: HashSet<LabelSet>) -> Result<Option<TrueKeys>, GatewayError> {
        self.within(TIMEOUT, async {
            let path = format!("{API_PATH}/metrics");
            let request = self.request(Method::GET, &path)?.body(Empty::new())?;
            let mut connection = self.connect().await?;
            let mut answer = match self.ask(&mut connection, request, &path, StatusCode::OK).await {
                Ok(answer) => answer,
                // Before 1.0 there is none, and a proxy may keep it back.
                Err(GatewayError::Status { .. } | GatewayError::Unauthorized { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            // Read while it comes in, where it may block: a long answer takes a while, and is not kept.
            let (sender, coming) = mpsc::channel(1);
            let reading = tokio::task::spawn_blocking(move || keys::read(Chunks::new(coming), &wanted).ok());
            let mut length = 0;
            while let Some(frame) = answer.frame().await {
                let Ok(data) = frame.map_err(|error| self.broken(&error))?.into_data() else { continue };
                length += data.len();
                // Who reads has found out before the end that it is none.
                if LONGEST_ANSWER < length || sender.send(data).await.is_err() {
                    return Ok(None);
                }
            }
            drop(sender);
            Ok(reading.await.ok().flatten())
        })
        .await
    }

    /// Opens the connection for the next removal.
    ///
    /// # Errors
    /// When there is none within the timeout.
    pub async fn prepare(&mut self) -> Result<(), GatewayError> {
        if self.ready.as_ref().is_some_and(Connection::is_ready) {
            return Ok(());
        }
        let connection = self.within(TIMEOUT, self.connect()).await?;
        self.ready = Some(connection);
        Ok(())
    }

    /// Removes a group, and says the push time that was seen, which a classic Pushgateway does not look at.
    ///
    /// # Errors
    /// When the gateway neither removes it nor says that it moved on.
    pub async fn remove(&mut self, key: &GroupingKey, push_time: &str) -> Result<Removal, GatewayError> {
        let path = key.to_path();
        let request = self.request(Method::DELETE, &path)?.header(IF_PUSH_TIME_HEADER, push_time);
        let request = request.body(Empty::new())?;
        let ready = self.ready.take().filter(Connection::is_ready);
        let removing = async {
            let mut connection = match ready {
                Some(ready) => ready,
                None => self.connect().await?,
            };
            let answer = match self.ask(&mut connection, request, &path, StatusCode::ACCEPTED).await {
                Err(GatewayError::Status { found: 412, .. }) => return Ok((Removal::MovedOn, None)),
                answer => answer?,
            };
            // Of an answer with a body nobody knows when it ends; the connection goes with it.
            let is_empty = hyper::body::Body::is_end_stream(answer.body());
            Ok((Removal::Removed, is_empty.then_some(connection)))
        };
        let (removal, connection) = self.within(REMOVAL_TIMEOUT, removing).await?;
        self.ready = connection;
        Ok(removal)
    }

    fn request(&self, method: Method, path: &str) -> Result<hyper::http::request::Builder, GatewayError> {
        let request = Request::builder().method(method).uri(self.address.path(path));
        let request = request.header(HOST, self.address.authority());
        Ok(match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        })
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        request: Request<Empty<Bytes>>,
        path: &str,
        expected: StatusCode,
    ) -> Result<Response<Incoming>, GatewayError> {
        let method = request.method().clone();
        let answer = connection.ask(request).await.map_err(|error| self.broken(&error))?;
        let found = answer.status();
        if found == expected {
            return Ok(answer);
        }
        if matches!(found, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let shown = self.authorization.as_ref().map_or("no credentials", |_| "the Secret's credentials");
            return Err(GatewayError::Unauthorized { address: self.address.clone(), shown, found: found.as_u16() });
        }
        let hint = match (found.is_redirection(), found == StatusCode::NOT_FOUND && method == Method::GET) {
            (true, _) => ": redirects are not followed, give the address it has now",
            (_, true) => ": give the address without /metrics, with the route prefix if there is one",
            _ => "",
        };
        let asked = format!("{method} {}{path}", self.address);
        Err(GatewayError::Status { asked, expected: expected.as_u16(), found: found.as_u16(), hint })
    }

    async fn connect(&self) -> Result<Connection, GatewayError> {
        Connection::open(&self.address, self.tls.as_ref()).await.map_err(|error: ConnectError| GatewayError::Connect {
            address: self.address.clone(),
            cause: error.to_string(),
        })
    }

    fn broken(&self, cause: &(dyn std::error::Error + 'static)) -> GatewayError {
        // The library says what it did, and its source why that failed.
        let cause = cause.source().map_or_else(|| cause.to_string(), |source| format!("{cause}: {source}"));
        GatewayError::Broken { address: self.address.clone(), cause }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
        let answered = tokio::time::timeout(limit, request).await;
        answered.unwrap_or_else(|_| Err(GatewayError::TooSlow { address: self.address.clone(), limit }))
    }
}

// === impl GatewayError ===

impl GatewayError {
    /// The reason as a metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Secret(_) => "secret",
            Self::Connect { .. } | Self::Broken { .. } => "connect",
            Self::Tls(_) => "tls",
            Self::TooSlow { .. } => "timeout",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Status { .. } => "status",
            Self::Page { .. } => "body",
            Self::NoRoom(_) => "no_room",
            Self::Unclear(_) => "unclear",
            Self::Request(_) => "request",
        }
    }

    /// Whether it is about the one request, so that another may well do better.
    #[must_use]
    pub fn is_of_one_request(&self) -> bool {
        match self {
            Self::Status { .. } | Self::Request(_) | Self::Unclear(_) => true,
            Self::Address(_)
            | Self::Secret(_)
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Tls(_)
            | Self::TooSlow { .. }
            | Self::Unauthorized { .. }
            | Self::Page { .. }
            | Self::NoRoom(_) => false,
        }
    }

    /// Whether the gateway was not even asked, for want of its Secret.
    #[must_use]
    pub fn is_about_the_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }

    /// Whether it is no fault of the gateway: others were in its way.
    #[must_use]
    pub fn is_about_others(&self) -> bool {
        matches!(self, Self::NoRoom(_))
    }
}

#[cfg(test)]
mod tests;
