//! The extractor of pushed bodies: undoes the content encoding and holds the limit before and after it.
//!
//! Only gzip so far. Decompression happens in one go, bounded by the limit.
//!
//! *Never:* what is in the body.

use std::io::Read;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{AppState, error::HttpError};

/// A body as it was before it was encoded.
pub(super) struct Plain(pub(super) Bytes);

enum Encoding {
    Identity,
    Gzip,
}

impl FromRequest<AppState> for Plain {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, HttpError> {
        let limit = state.shared.max_body_bytes;
        let encoding = encoding(request.headers())?;
        // Refused by what is announced, before the client has sent it all.
        if announced(request.headers()).is_some_and(|length| limit < length) {
            return Err(HttpError::TooLarge { limit });
        }
        let body = read(request.into_body(), limit).await?;
        match encoding {
            Encoding::Identity => Ok(Self(body)),
            Encoding::Gzip => gunzip(&body, limit).map(Self),
        }
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, HttpError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    let name = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" => Ok(Encoding::Gzip),
        _ => Err(HttpError::Encoding(name)),
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

fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, HttpError> {
    let mut plain = Vec::new();
    let beyond = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body).take(beyond).read_to_end(&mut plain).map_err(HttpError::Gzip)?;
    if limit < plain.len() { Err(HttpError::TooLargeDecompressed { limit }) } else { Ok(plain.into()) }
}
