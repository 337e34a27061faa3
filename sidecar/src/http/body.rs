//! The extractor of pushed bodies: waits for a turn and for the body, undoes the content encoding, and holds the limits
//! of all that.
//!
//! One encoding at a time: bodies that were encoded twice are refused, as are encodings that are not known.
//!
//! *Never:* what is in the body.

pub(super) mod compression;

use std::{future::poll_fn, pin::pin, task::Poll};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::timeout;

use self::compression::{Encoding, Fault};
use super::{
    AppState, BodyLimits,
    error::{HttpError, LimitError},
    limits::Turn,
};

/// A body as it was before it was encoded, and the turn of its push.
pub(super) struct Plain {
    pub(super) body: Bytes,
    pub(super) turn: Turn,
}

impl FromRequest<AppState> for Plain {
    type Rejection = HttpError;

    /// What need not wait is done at once, so that a push that waits holds little more than its body.
    fn from_request(request: Request, state: &AppState) -> impl Future<Output = Result<Self, HttpError>> + Send {
        let limits = state.settings().bodies;
        let begun = begun(request.headers(), state);
        let body = request.into_body();
        async move {
            let (mut turn, encoding) = begun?;
            let sent = read(body, &limits, &mut turn).await?;
            let body = encoding.map_or(Ok(sent.clone()), |encoding| undone(encoding, &sent, &limits))?;
            Ok(Self { body, turn })
        }
    }
}

/// The turn of a push, and how its body is encoded.
fn begun(headers: &HeaderMap, state: &AppState) -> Result<(Turn, Option<Encoding>), HttpError> {
    let turn = state.shared.load.turn()?;
    let encoding = encoding(headers)?;
    let limit = state.settings().bodies.bytes;
    // Refused by what is announced, before the client has sent it all.
    if announced(headers).is_some_and(|length| limit < length) {
        return Err(LimitError::Body { limit }.into());
    }
    Ok((turn, encoding))
}

fn undone(encoding: Encoding, sent: &[u8], limits: &BodyLimits) -> Result<Bytes, HttpError> {
    let (limit, excess) = limits.decompressed(sent.len());
    match encoding.undo(sent, limit) {
        Ok(plain) => {
            debug_assert!(plain.len() <= limit, "{encoding} made {} bytes of at most {limit}", plain.len());
            Ok(plain.into())
        }
        Err(Fault::TooLarge) => Err(excess.into()),
        Err(Fault::Malformed(fault)) => Err(HttpError::Compression { encoding, fault }),
    }
}

/// `None` where the body is sent as it is. A header that comes twice is one list.
fn encoding(headers: &HeaderMap) -> Result<Option<Encoding>, HttpError> {
    if !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(None);
    }
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let name = values.join(", ").trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" => Ok(None),
        name => Encoding::from_name(name).map(Some).ok_or_else(|| HttpError::Encoding(name.to_owned())),
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(body: Body, limits: &BodyLimits, turn: &mut Turn) -> Result<Bytes, HttpError> {
    let mut read = pin!(collect(body, limits.bytes, turn));
    // A body that is there already needs no timer.
    let first = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
    match (first, limits.time) {
        (Poll::Ready(read), _) => read,
        (Poll::Pending, None) => read.await,
        (Poll::Pending, Some(limit)) => {
            Box::pin(timeout(limit, read)).await.unwrap_or(Err(LimitError::SlowBody { limit }.into()))
        }
    }
}

/// Puts the pieces together, which are few: mostly there is one.
async fn collect(mut body: Body, limit: usize, turn: &mut Turn) -> Result<Bytes, HttpError> {
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HttpError::Incomplete(error.to_string()))?;
        // Trailers say nothing to us.
        let Ok(piece) = frame.into_data() else { continue };
        turn.hold(piece.len())?;
        if limit < first.len() + all.len() + piece.len() {
            return Err(LimitError::Body { limit }.into());
        }
        if first.is_empty() && all.is_empty() {
            first = piece;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&piece);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
