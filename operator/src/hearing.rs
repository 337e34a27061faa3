//! How long ago the API server last told of `PushGroup`s: whoever removes groups by what one says has to know that it
//! says so still.
//!
//! A cache stays as it is while its watch fails, for ever if need be: when the right to watch is taken away, or when a
//! connection is half open. So the watches of `PushGroup`s are listened to on their way in: an event, a bookmark, and the
//! orderly end of a watch say that all there was to tell was told. What comes in a watch's first moment does not, since
//! it may be the first of much that was missed; a listing that has come to its end does. A watch is short, so that one
//! that is whole is heard of at least as often as that.
//!
//! Limit: what the API server itself learns late, it tells late.
//!
//! *Never:* what is told, what is not done without it.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request,
    body::{Bytes, Frame, SizeHint},
};
use kube::{Client, client::Body};
use tokio::time::Instant;
use tower::service_fn;

/// How long a watch is, in seconds: at its end at the latest there is something to hear.
pub const WATCH: u32 = 20;

/// From how long a silence on nobody knows what is asked for: 45 s. A connection that breaks unseen is none yet: the
/// library gives a watch up 5 s after its end, and the next one is heard of at its own. Nor is an API server that is
/// started anew.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(1).saturating_mul(2 * WATCH + 5);

/// For how long after its start a watch may be telling of what was missed.
const CATCHING_UP: Duration = Duration::from_secs(1);

/// When there was something to hear, by namespace; clones share it.
#[derive(Clone, Debug)]
pub struct Hearing {
    since: Instant,
    /// Of all namespaces together: the empty name.
    places: Arc<Mutex<BTreeMap<String, Place>>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    heard: Instant,
    /// Whether the log was told of the silence.
    is_told: bool,
}

/// The body of a watch.
struct Listened {
    body: Body,
    /// None if it is no watch.
    listening: Option<Listening>,
}

struct Listening {
    hearing: Hearing,
    place: String,
    since: Instant,
}

// === impl Hearing ===

impl Default for Hearing {
    fn default() -> Self {
        Self { since: Instant::now(), places: Arc::default() }
    }
}

impl Hearing {
    /// Hears all the time: for a cache that no watch fills.
    #[must_use]
    pub fn always() -> Self {
        let hearing = Self::default();
        let heard = hearing.since + Duration::from_secs(1 << 30);
        hearing.places().insert(String::new(), Place { heard, is_told: false });
        hearing
    }

    /// A client whose watches are listened to.
    #[must_use]
    pub fn listening(&self, client: &Client) -> Client {
        let (inner, namespace, hearing) = (client.clone(), client.default_namespace().to_owned(), self.clone());
        let service = service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
            let place = is_watch.then(|| namespace_in(request.uri().path()).to_owned());
            let (inner, hearing) = (inner.clone(), hearing.clone());
            async move {
                let answer = inner.send(request).await?;
                let place = place.filter(|_| answer.status().is_success());
                let listening = place.map(|place| Listening { hearing, place, since: Instant::now() });
                Ok::<_, kube::Error>(answer.map(|body| Listened { body, listening }))
            }
        });
        Client::new(service, namespace)
    }

    /// All there is in a namespace, or without one anywhere, was told just now.
    pub fn heard(&self, namespace: Option<&str>) {
        let place = namespace.unwrap_or_default();
        let before = self.places().insert(place.to_owned(), Place { heard: Instant::now(), is_told: false });
        if before.is_some_and(|before| before.is_told) {
            tracing::info!(
                namespace = place,
                "the API server tells of PushGroups again: stale groups are removed again"
            );
        }
    }

    /// Whether nobody knows any more what is asked for in a namespace.
    #[must_use]
    pub fn is_silent(&self, namespace: &str) -> bool {
        let mut places = self.places();
        let place = if places.contains_key(namespace) { namespace } else { "" };
        let Some(Place { heard, is_told }) = places.get_mut(place) else { return true };
        let silence = heard.elapsed();
        if silence <= LONGEST_SILENCE {
            return false;
        }
        if !std::mem::replace(is_told, true) {
            tracing::warn!(
                namespace,
                ?silence,
                "the API server does not tell of PushGroups: no stale group is removed"
            );
        }
        true
    }

    /// The longest silence of the moment.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.places().values().map(|place| place.heard).min().unwrap_or(self.since).elapsed()
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        // Whoever panicked with the lock held left whole places behind.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The namespace that a path of the API is about; empty for all.
fn namespace_in(path: &str) -> &str {
    path.split('/').skip_while(|part| *part != "namespaces").nth(1).unwrap_or_default()
}

// === impl Listened ===

impl hyper::body::Body for Listened {
    type Data = Bytes;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(None | Some(Ok(_))), Some(listening)) = (&polled, &self.listening) {
            listening.hears();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Listening ===

impl Listening {
    fn hears(&self) {
        if CATCHING_UP <= self.since.elapsed() {
            self.hearing.heard(Some(&self.place));
        }
    }
}

#[cfg(test)]
impl Hearing {
    /// Has heard nothing for too long.
    pub(crate) fn falls_silent(&self) {
        let heard = Instant::now().checked_sub(LONGEST_SILENCE * 2).unwrap();
        self.places().insert(String::new(), Place { heard, is_told: false });
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io};

    use futures::{StreamExt as _, channel::mpsc};
    use http_body_util::StreamBody;
    use hyper::Response;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Api, api::WatchParams};
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    type Frames = mpsc::UnboundedSender<io::Result<Frame<Bytes>>>;

    /// A client that is listened to, and the frames of the one watch it makes, or its refusal.
    fn server(status: u16) -> (Hearing, Client, Frames) {
        let (frames, body) = mpsc::unbounded();
        let body = Arc::new(Mutex::new(Some(body)));
        let service = service_fn(move |_: Request<Body>| {
            let body = body.lock().unwrap().take().unwrap();
            let answer = Response::builder().status(status).body(StreamBody::new(body)).unwrap();
            async move { Ok::<_, Infallible>(answer) }
        });
        let hearing = Hearing::default();
        let client = hearing.listening(&Client::new(service, "default"));
        (hearing, client, frames)
    }

    fn bookmark() -> Frame<Bytes> {
        let line = "{\"type\": \"BOOKMARK\", \"object\": {\"metadata\": {\"resourceVersion\": \"7\", \"annotations\": {}}, \
                    \"kind\": \"ConfigMap\", \"apiVersion\": \"v1\"}}\n";
        Frame::data(Bytes::from_static(line.as_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_heard_by_what_comes_after_its_first_moment_and_by_its_end() {
        let (hearing, client, frames) = server(200);
        assert!(hearing.is_silent("data"), "nothing was ever told");
        hearing.heard(None);
        advance(46 * SECOND).await;
        assert!(hearing.is_silent("data"));
        let watch = Api::<ConfigMap>::all(client).watch(&WatchParams::default(), "1").await.unwrap();
        let mut watch = Box::pin(watch);
        frames.unbounded_send(Ok(bookmark())).unwrap();
        watch.next().await.unwrap().unwrap();
        assert!(hearing.is_silent("data"), "it may be the first of many");
        advance(SECOND).await;
        frames.unbounded_send(Ok(bookmark())).unwrap();
        watch.next().await.unwrap().unwrap();
        assert!(!hearing.is_silent("data"));
        advance(45 * SECOND).await;
        assert!(!hearing.is_silent("data"));
        advance(SECOND).await;
        assert!(hearing.is_silent("data") && hearing.silence() == 46 * SECOND);
        drop(frames);
        assert!(watch.next().await.is_none());
        assert!(!hearing.is_silent("data"), "all was told until its end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_breaks_or_is_refused_says_nothing() {
        let (hearing, client, frames) = server(200);
        let watch = Api::<ConfigMap>::all(client).watch(&WatchParams::default(), "1").await.unwrap();
        let mut watch = Box::pin(watch);
        advance(SECOND * 2).await;
        frames.unbounded_send(Err(io::Error::other("reset"))).unwrap();
        assert!(watch.next().await.unwrap().is_err());
        assert!(hearing.is_silent("data"));

        let (hearing, client, frames) = server(403);
        drop(frames);
        assert!(Api::<ConfigMap>::all(client).watch(&WatchParams::default(), "1").await.is_err());
        assert!(hearing.is_silent("data"));
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_namespaces_each_is_heard_by_itself() {
        let (hearing, client, frames) = server(200);
        hearing.heard(Some("other"));
        let watch = Api::<ConfigMap>::namespaced(client, "data").watch(&WatchParams::default(), "1").await.unwrap();
        let mut watch = Box::pin(watch);
        advance(46 * SECOND).await;
        frames.unbounded_send(Ok(bookmark())).unwrap();
        watch.next().await.unwrap().unwrap();
        assert!(!hearing.is_silent("data") && hearing.is_silent("other") && hearing.is_silent("unknown"));
        assert_eq!(hearing.silence(), 46 * SECOND);
    }
}
