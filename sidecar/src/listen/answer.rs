//! Answers to those who are not let in, or never came to their point, most of them given without a request, on the bare
//! connection; and for a handler that came to no answer.
//!
//! The only status codes of failures outside `http::error`: no handler could give them.
//!
//! *Never:* when they are given.

use std::time::Duration;

use axum::body::Body;
use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long a peer may take to read such an answer, and to close.
const GOODBYE: Duration = Duration::from_secs(1);

/// There are as many connections as there may be.
pub(super) fn too_many_connections(limit: usize) -> String {
    let sentence =
        format!("expected at most {limit} connections at once, found one more; `--web.max-connections` sets the limit");
    answer("503 Service Unavailable", "retry-after: 1\r\n", &sentence)
}

/// A head did not come to its end.
pub(super) fn slow_head(limit: Duration) -> String {
    let sentence = format!(
        "expected the whole head of the request within {limit:?}, found a part of it; `--web.header-timeout` sets the \
         limit"
    );
    answer("408 Request Timeout", "", &sentence)
}

/// Plain HTTP where TLS is served; the sentence is upstream's.
pub(super) fn no_tls() -> String {
    answer("400 Bad Request", "", "Client sent an HTTP request to an HTTPS server.")
}

/// A head is larger than it may be.
pub(super) fn large_head(limit: usize, found: usize) -> Response<Body> {
    let sentence = format!(
        "expected a request line and headers of at most {limit} bytes, found {found}; `--web.max-header-bytes` sets the \
         limit\n"
    );
    closing(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, sentence)
}

/// A handler panicked.
pub(super) fn panicked() -> Response<Body> {
    closing(StatusCode::INTERNAL_SERVER_ERROR, "internal error: the log of the process says more\n".to_owned())
}

fn closing(status: StatusCode, sentence: String) -> Response<Body> {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Writes an answer and closes, as far as that goes in a moment.
pub(super) async fn say(answer: &str, mut stream: impl AsyncWrite + Unpin) {
    let said = timeout(GOODBYE, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        stream.shutdown().await
    });
    if let Ok(Err(error)) = said.await {
        tracing::debug!(%error, "an answer could not be given");
    }
}

fn answer(status: &str, headers: &str, sentence: &str) -> String {
    let length = sentence.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{sentence}\n"
    )
}
