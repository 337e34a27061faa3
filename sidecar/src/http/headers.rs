//! Headers as text.
//!
//! *Never:* which headers there are.

use axum::http::HeaderMap;

/// The first header of that name; what is not UTF-8 in it is replaced.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
