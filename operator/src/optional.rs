//! A watch of a kind that the API server may not know, or not show: its CRD may be installed later, or its right granted.
//!
//! While a kind is hidden, one listing after another is tried, from the start each time: a watch that went on where it
//! ended would not tell that the kind is there again.
//!
//! *Never:* which kinds, what for.

use std::{fmt::Debug, time::Duration};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<K> {
    /// The kind cannot be seen; told when it begins.
    Hidden(Hidden),
    /// All objects are told one by one, from here on.
    Listing,
    /// An object is there, or is there in another form.
    There(K),
    /// All objects of a listing were told.
    Listed,
    /// An object is gone.
    Gone(K),
}

/// Why a kind cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// The API server does not know it.
    Absent,
    /// There is no right to see it.
    Forbidden,
}

struct Watch<K> {
    events: BoxStream<'static, Result<Event<K>, watcher::Error>>,
    hidden: Option<Hidden>,
    pause: Option<Duration>,
}

/// Watches a kind for ever.
pub fn watch<K>(
    what: &'static str,
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Seen<K>> + Send + 'static
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let fresh = move || watcher(api.clone(), config.clone()).default_backoff().boxed();
    let first = Watch { events: fresh(), hidden: None, pause: None };
    stream::unfold((first, fresh), move |(mut watch, fresh)| async move {
        loop {
            if let Some(pause) = watch.pause {
                tokio::time::sleep(pause).await;
                watch.pause = None;
            }
            let seen = match watch.events.next().await {
                // A watch begins with it, before the API server was asked.
                Some(Ok(Event::Init)) => Seen::Listing,
                Some(Ok(event)) => {
                    watch.hidden = None;
                    Seen::of(event)
                }
                Some(Err(error)) => {
                    let Some(hidden) = Hidden::of(&error) else {
                        tracing::warn!(%error, what, "a watch broke and is taken up again");
                        continue;
                    };
                    (watch.events, watch.pause) = (fresh(), Some(hidden.pause()));
                    if watch.hidden.replace(hidden) == Some(hidden) {
                        continue;
                    }
                    tracing::info!(what, ?hidden, "cannot be seen now");
                    Seen::Hidden(hidden)
                }
                None => {
                    watch.events = fresh();
                    continue;
                }
            };
            return Some((seen, (watch, fresh)));
        }
    })
}

// === impl Seen ===

impl<K> Seen<K> {
    fn of(event: Event<K>) -> Self {
        match event {
            Event::Init => Self::Listing,
            Event::InitApply(object) | Event::Apply(object) => Self::There(object),
            Event::InitDone => Self::Listed,
            Event::Delete(object) => Self::Gone(object),
        }
    }

    /// The same about something else.
    pub fn map<T>(self, change: impl FnOnce(K) -> T) -> Seen<T> {
        match self {
            Self::Hidden(hidden) => Seen::Hidden(hidden),
            Self::Listing => Seen::Listing,
            Self::There(object) => Seen::There(change(object)),
            Self::Listed => Seen::Listed,
            Self::Gone(object) => Seen::Gone(change(object)),
        }
    }
}

// === impl Hidden ===

impl Hidden {
    fn of(error: &watcher::Error) -> Option<Self> {
        let code = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => status.code,
            watcher::Error::InitialListFailed(_)
            | watcher::Error::WatchStartFailed(_)
            | watcher::Error::WatchFailed(_)
            | watcher::Error::NoResourceVersion => return None,
        };
        match code {
            404 => Some(Self::Absent),
            403 => Some(Self::Forbidden),
            _ => None,
        }
    }

    /// How long until it is tried again.
    fn pause(self) -> Duration {
        match self {
            // Cheap to ask, and somebody may be installing it right now.
            Self::Absent => Duration::from_secs(4),
            Self::Forbidden => Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{
        body::Body as Answered,
        http::{Request, Response},
    };
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;

    /// Answers listings with one status after another, 200 at last, and lets watches hang.
    fn client(statuses: &[u16]) -> Client {
        let statuses = Arc::new(Mutex::new(statuses.to_vec()));
        let list = json!({
            "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"},
            "items": [{"metadata": {"name": "one", "namespace": "data"}}],
        });
        let service = tower::service_fn(move |request: Request<Body>| {
            let (list, statuses) = (list.to_string(), statuses.clone());
            async move {
                if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                    futures::future::pending::<()>().await;
                }
                let mut statuses = statuses.lock().unwrap();
                let status = if statuses.is_empty() { 200 } else { statuses.remove(0) };
                let body = if status == 200 { list } else { "no".to_owned() };
                Ok::<_, std::io::Error>(Response::builder().status(status).body(Answered::from(body)).unwrap())
            }
        });
        Client::new(service, "default")
    }

    async fn check(statuses: &[u16], expected: &[&str]) {
        let api = Api::<ConfigMap>::all(client(statuses));
        let seen = watch("test", api, watcher::Config::default());
        let told = seen.filter(|seen| futures::future::ready(*seen != Seen::Listing)).map(|seen| match seen {
            Seen::Hidden(hidden) => format!("{hidden:?}"),
            Seen::Listing => String::new(),
            Seen::There(object) => object.metadata.name.unwrap_or_default(),
            Seen::Listed => "listed".to_owned(),
            Seen::Gone(_) => "gone".to_owned(),
        });
        let told: Vec<String> = told.take(expected.len()).collect().await;
        assert_eq!(told, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_is_hidden_is_told_once_and_seen_when_it_appears() {
        check(&[], &["one", "listed"]).await;
        check(&[404, 404, 404], &["Absent", "one", "listed"]).await;
        check(&[403, 404], &["Forbidden", "Absent", "one", "listed"]).await;
        check(&[500], &["one", "listed"]).await;
    }
}
