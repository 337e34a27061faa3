//! GET of the page: what is asked for and in which format, and telling the lifecycle once it was handed over.
//!
//! A *scrape* is a read that carries Prometheus's timeout header, of the whole page, where scrapers are expected. Every
//! other read gets the same bytes and tells nobody. Handed over means: written to the socket, see
//! [`crate::listen::Delivery`].
//!
//! *Never:* groups.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Write,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Extension,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body::{Frame, SizeHint};
use percent_encoding::percent_decode_str;
use protocol::endpoints::{NAME_PARAMETER, OPERATOR_READ_HEADER, SCRAPE_TIMEOUT_HEADER};

use super::{AppState, Listener, page};
use crate::{
    exposition::{
        Format,
        negotiate::{self, Choice},
    },
    listen::Delivery,
    store::{KeyLabels, Page},
};

/// How much is handed over at once: little enough that a large page is not in the connection's buffer as a whole.
const FRAME_BYTES: usize = 64 * 1024;

const ENCODING_GZIP: (HeaderName, &str) = (header::CONTENT_ENCODING, "gzip");

/// A body that tells its connection what to do when all of it was written.
struct Watched<F: FnOnce() + Send + 'static> {
    pieces: VecDeque<Bytes>,
    left: usize,
    /// Passed on when the body is dropped with nothing left in it.
    done: Option<F>,
    /// Absent where a router is called without a socket.
    delivery: Option<Delivery>,
}

pub(super) async fn page(
    State(state): State<AppState>,
    connection: Option<Extension<ConnectInfo<Delivery>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let names = wanted_names(uri.query().unwrap_or_default());
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let is_operator = headers.contains_key(OPERATOR_READ_HEADER);
    let choice = if is_operator { Choice::default() } else { choice(&headers) };
    let is_scrape = state.listener != Listener::Push
        && !is_operator
        && names.is_empty()
        && headers.contains_key(SCRAPE_TIMEOUT_HEADER);

    let own = state.metrics().gather();
    let (revision, pieces) = match choice.format {
        Format::Text => {
            let stored = stored(&state, is_operator, wanted);
            (stored.revision, page::pieces(&stored, own, wanted))
        }
        Format::Protobuf => {
            let stored = state.store().snapshot(wanted);
            (stored.revision, vec![page::messages(&stored, own, wanted).into()])
        }
    };
    let done = move || {
        if is_scrape {
            state.metrics().scrape();
            state.shared.scrapes.seen(revision);
        }
    };
    let delivery = connection.map(|Extension(ConnectInfo(delivery))| delivery);
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let kind = [(header::CONTENT_TYPE, choice.to_string())];
    match accepted.filter(|accepted| prefers_gzip(accepted)).and_then(|_| gzip(&pieces)) {
        Some(compressed) => (kind, [ENCODING_GZIP], Watched::body(vec![compressed], delivery, done)).into_response(),
        None => (kind, Watched::body(pieces, delivery, done)).into_response(),
    }
}

/// A header that comes twice is one list.
fn choice(headers: &HeaderMap) -> Choice {
    let values: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    negotiate::accepted(&values.join(","))
}

/// The operator sees keys as they were pushed; its page is made for it, and always text.
fn stored(state: &AppState, is_operator: bool, wanted: impl Fn(&str) -> bool) -> Arc<Page> {
    if is_operator { Arc::new(state.store().page_of(KeyLabels::AsPushed, wanted)) } else { state.store().page() }
}

fn wanted_names(query: &str) -> Vec<String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| decoded(name) == NAME_PARAMETER).map(|(_, value)| decoded(value)).collect()
}

/// Whether gzip is weighed above no compression, which wins ties and is what `*` means.
fn prefers_gzip(accepted: &str) -> bool {
    let (mut gzip, mut identity) = (0.0, 0.0);
    for choice in accepted.split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse).unwrap_or(0.0);
        if name.eq_ignore_ascii_case("gzip") {
            gzip = f64::max(gzip, weight);
        } else if name == "*" || name.eq_ignore_ascii_case("identity") {
            identity = f64::max(identity, weight);
        }
    }
    identity < gzip
}

/// `None` if it cannot be done, which is no reason not to answer.
fn gzip(pieces: &[Bytes]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        encoder.write_all(piece).ok()?;
    }
    encoder.finish().ok().map(Bytes::from)
}

// === impl Watched ===

impl<F: FnOnce() + Send + Unpin + 'static> Watched<F> {
    fn body(pieces: Vec<Bytes>, delivery: Option<Delivery>, done: F) -> Body {
        let left = pieces.iter().map(Bytes::len).sum();
        Body::new(Self { pieces: pieces.into(), left, done: Some(done), delivery })
    }
}

impl<F: FnOnce() + Send + Unpin + 'static> http_body::Body for Watched<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut piece) = self.pieces.pop_front() else {
            return Poll::Ready(None);
        };
        if FRAME_BYTES < piece.len() {
            let rest = piece.split_off(FRAME_BYTES);
            self.pieces.push_front(rest);
        }
        self.left -= piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.left).unwrap_or(u64::MAX))
    }
}

impl<F: FnOnce() + Send + 'static> Drop for Watched<F> {
    fn drop(&mut self) {
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            match &self.delivery {
                Some(delivery) => delivery.tell(done),
                None => done(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_chosen_where_it_weighs_more_than_identity() {
        for yes in ["gzip", "gzip, deflate, br", "identity;q=0.5, gzip", "GZIP;q=0.1", "deflate , gzip;q=0.2"] {
            assert!(prefers_gzip(yes), "{yes}");
        }
        for no in ["", "deflate", "*", "gzip;q=0", "gzip, identity", "gzip;q=0.5, *", "gzip;q=x"] {
            assert!(!prefers_gzip(no), "{no}");
        }
    }

    #[test]
    fn names_are_read_from_the_query_encoded_or_not() {
        assert_eq!(wanted_names("name[]=a&name%5B%5D=b+c&other=d&name[]"), ["a", "b c"]);
        assert!(wanted_names("").is_empty());
    }
}
