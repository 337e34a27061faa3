//! Headers as text.
//!
//! *Never:* which headers there are.

use axum::http::HeaderMap;

use super::error::HttpError;

/// The header of that name, which may come once; what is not UTF-8 in it is replaced.
pub(super) fn text(headers: &HeaderMap, header: &'static str) -> Result<Option<String>, HttpError> {
    let mut values = headers.get_all(header).iter();
    let first = values.next().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if values.next().is_some() { Err(HttpError::HeaderTwice { header }) } else { Ok(first) }
}
