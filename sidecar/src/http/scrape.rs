//! GET of the page: what is asked for and in which format, and telling the lifecycle once it was handed over.
//!
//! A *scrape* is a read that carries Prometheus's timeout header, of the whole page, where scrapers are expected. Every
//! other read gets the same bytes and tells nobody. Handed over means: written to the socket, see
//! [`crate::listen::Delivery`].
//!
//! *Never:* groups.

mod compression;
mod kept;

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Extension,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use percent_encoding::percent_decode_str;
use protocol::endpoints::{NAME_PARAMETER, OPERATOR_READ_HEADER, SCRAPE_TIMEOUT_HEADER};
use tokio::{task::spawn_blocking, time::Instant};

use super::{AppState, Listener, page};
use crate::{
    exposition::{
        MetricFamily,
        negotiate::{self, Choice, PageFormat},
        protobuf,
    },
    listen::Delivery,
    store::{Form, KeyLabels, Packing, Page},
};
use compression::Coding;
use kept::Asked;
pub(super) use kept::Kept;

/// How much is handed over at once: little enough that a large page is not in the connection's buffer as a whole.
const FRAME_BYTES: usize = 64 * 1024;

/// What an answer depends on beside its path.
const VARY: &str = "Accept, Accept-Encoding";

/// From so many series on, a page is made beside the connections, so that pushes go on.
const SERIES_OF_LARGE_PAGE: usize = 1000;

/// An answer.
#[derive(Clone, Debug)]
struct Made {
    revision: u64,
    /// Series that it lacks, since escaping made them like others.
    hidden: usize,
    pieces: Vec<Bytes>,
    coding: Option<Coding>,
}

/// Who reads, and what.
struct Reader {
    is_operator: bool,
    choice: Choice,
    /// What the reader takes it in, if not as it is.
    coding: Option<Coding>,
    /// The names of the wanted families, as they were pushed; none for all of them.
    names: HashSet<String>,
}

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
    let started = Instant::now();
    let names = wanted_names(uri.query().unwrap_or_default());
    let is_operator = headers.contains_key(OPERATOR_READ_HEADER);
    let choice = if is_operator { Choice::UNESCAPED_TEXT } else { choice(&headers) };
    let is_scrape = state.listener != Listener::Push
        && !is_operator
        && names.is_empty()
        && headers.contains_key(SCRAPE_TIMEOUT_HEADER);
    let coding = Coding::accepted(&list(&headers, &header::ACCEPT_ENCODING));
    let Made { revision, pieces, coding, .. } = Reader { is_operator, choice, coding, names }.made(&state).await;
    let done = move || {
        if is_scrape {
            state.metrics().scrape(started.elapsed());
            state.shared.scrapes.seen(revision);
        }
    };
    let delivery = connection.map(|Extension(ConnectInfo(delivery))| delivery);
    let mut response = Response::new(Watched::body(pieces, delivery, done));
    let answer = response.headers_mut();
    if let Ok(kind) = HeaderValue::try_from(choice.to_string()) {
        answer.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(coding) = coding {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    answer.insert(header::VARY, HeaderValue::from_static(VARY));
    response
}

fn choice(headers: &HeaderMap) -> Choice {
    negotiate::accepted(&list(headers, &header::ACCEPT))
}

/// A header that comes twice is one list.
fn list(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn wanted_names(query: &str) -> HashSet<String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| decoded(name) == NAME_PARAMETER).map(|(_, value)| decoded(value)).collect()
}

// === impl Reader ===

impl Reader {
    async fn made(self, state: &AppState) -> Made {
        let asked = self.asked(state);
        let kept = asked.as_ref().and_then(|asked| state.shared.kept.find(asked, Instant::now()));
        if let Some(made) = kept {
            return made;
        }
        let made = self.newly_made(state).await;
        if let Some(asked) = asked {
            state.shared.kept.keep(asked, &made, Instant::now());
        }
        made
    }

    /// What the answer depends on; `None` where it is for this reader alone.
    fn asked(&self, state: &AppState) -> Option<Asked> {
        let is_for_all = !self.is_operator && self.names.is_empty();
        let (stored, counted) = (state.store().revision(), state.metrics().revision());
        is_for_all.then_some(Asked { choice: self.choice, coding: self.coding, stored, counted })
    }

    async fn newly_made(self, state: &AppState) -> Made {
        if self.is_at_hand(state) {
            return self.packed(state);
        }
        let state = state.clone();
        match spawn_blocking(move || self.packed(&state)).await {
            Ok(made) => made,
            // The runtime ends, or the thread panicked: as if it had been this one.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Whether it costs next to nothing.
    fn is_at_hand(&self, state: &AppState) -> bool {
        let form = self.kept_form().filter(|_| self.coding != Some(Coding::Zstd));
        let is_small = || state.store().counts().series < SERIES_OF_LARGE_PAGE;
        is_small() || form.is_some_and(|form| state.store().kept_page(form, self.packing()).is_some())
    }

    /// What the store keeps of what is asked for: the whole page, but for messages. The operator sees keys as they were
    /// pushed.
    fn kept_form(&self) -> Option<Form> {
        let escaping = self.choice.escaping;
        match self.choice.format {
            _ if self.is_operator || !self.names.is_empty() => None,
            PageFormat::Text(_) => Some(Form::Text(escaping)),
            PageFormat::OpenMetrics(_) => Some(Form::OpenMetrics(escaping)),
            PageFormat::Protobuf(_) => None,
        }
    }

    fn packing(&self) -> Packing {
        match self.coding {
            Some(Coding::Gzip) => Packing::Gzip,
            Some(Coding::Zstd) | None => Packing::Plain,
        }
    }

    /// The page, compressed if it is not yet.
    fn packed(&self, state: &AppState) -> Made {
        let is_packed = self.kept_form().is_some() && self.packing() == Packing::Gzip;
        let (revision, hidden, pieces) = self.page(state);
        let compressed = self.coding.filter(|_| !is_packed).and_then(|coding| coding.apply(&pieces));
        match compressed {
            Some((coding, compressed)) => Made { revision, hidden, pieces: vec![compressed], coding: Some(coding) },
            None => Made { revision, hidden, pieces, coding: self.coding.filter(|_| is_packed) },
        }
    }

    /// The revision, how many series are left out, and the page.
    fn page(&self, state: &AppState) -> (u64, usize, Vec<Bytes>) {
        let escaping = self.choice.escaping;
        match self.choice.format {
            PageFormat::Text(_) => {
                let stored = self.stored_text(state);
                (stored.revision, stored.hidden, page::pieces(&stored, self.own(state, stored.hidden)))
            }
            PageFormat::OpenMetrics(_) => {
                let stored = self.stored_openmetrics(state);
                (stored.revision, stored.hidden, page::openmetrics_pieces(&stored, self.own(state, stored.hidden)))
            }
            PageFormat::Protobuf(form) => {
                let stored = state.store().snapshot(escaping, |name| self.wants(name));
                let mut out = Vec::new();
                page::for_each_family(&stored, self.own(state, stored.hidden), |head, metrics| {
                    protobuf::write_family(&mut out, head, metrics, escaping, form);
                });
                (stored.revision, stored.hidden, vec![out.into()])
            }
        }
    }

    /// The whole page is kept; every other is made for this reader.
    fn stored_text(&self, state: &AppState) -> Arc<Page> {
        let (store, labels) = (state.store(), if self.is_operator { KeyLabels::AsPushed } else { KeyLabels::Shown });
        match self.kept_form() {
            Some(form) => store.whole_page(form, self.packing()),
            None => Arc::new(store.page_of(labels, self.choice.escaping, |name| self.wants(name))),
        }
    }

    fn stored_openmetrics(&self, state: &AppState) -> Arc<Page> {
        match self.kept_form() {
            Some(form) => state.store().whole_page(form, self.packing()),
            None => Arc::new(state.store().openmetrics_page_of(self.choice.escaping, |name| self.wants(name))),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.contains(name)
    }

    /// The process's own families that are wanted, once it has counted what this reader does not get.
    fn own(&self, state: &AppState, hidden: usize) -> Vec<MetricFamily> {
        state.metrics().hidden(hidden);
        let mut own = state.metrics().gather(state.store().counts());
        own.retain(|family| self.wants(&family.name));
        own
    }
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
    fn names_are_read_from_the_query_encoded_or_not() {
        let names = ["a", "b c"].map(str::to_owned).into();
        assert_eq!(wanted_names("name[]=a&name%5B%5D=b+c&other=d&name[]&name[]=a"), names);
        assert!(wanted_names("").is_empty());
    }
}
