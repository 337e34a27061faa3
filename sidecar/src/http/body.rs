//! The extractor of pushed bodies: undoes the content encoding and holds the limit before and after it.
//!
//! One encoding at a time: bodies that were encoded twice are refused, as are encodings that are not known.
//!
//! *Never:* what is in the body.

pub(super) mod compression;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use self::compression::{Encoding, Fault};
use super::{AppState, error::HttpError};

/// A body as it was before it was encoded.
pub(super) struct Plain(pub(super) Bytes);

impl FromRequest<AppState> for Plain {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, HttpError> {
        let limit = state.settings().max_body_bytes;
        let encoding = encoding(request.headers())?;
        // Refused by what is announced, before the client has sent it all.
        if announced(request.headers()).is_some_and(|length| limit < length) {
            return Err(HttpError::TooLarge { limit });
        }
        let body = read(request.into_body(), limit).await?;
        let Some(encoding) = encoding else {
            return Ok(Self(body));
        };
        match encoding.undo(&body, limit) {
            Ok(plain) => {
                debug_assert!(plain.len() <= limit, "{encoding} made {} bytes of at most {limit}", plain.len());
                Ok(Self(plain.into()))
            }
            Err(Fault::TooLarge) => Err(HttpError::TooLargeDecompressed { limit }),
            Err(Fault::Malformed(fault)) => Err(HttpError::Compression { encoding, fault }),
        }
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

async fn read(body: Body, limit: usize) -> Result<Bytes, HttpError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(HttpError::TooLarge { limit }),
        Err(error) => Err(HttpError::Incomplete(error.to_string())),
    }
}
