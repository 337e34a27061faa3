//! The client of the API server: every request is counted, and for what only a leader does, writes are fenced.
//!
//! The fence is in the client, so that no write of a reconcile can forget to ask: with less of the term left than a write
//! may take it is refused here, and what has begun is given up after that time.
//!
//! *Never:* what is asked for.

use std::sync::Arc;

use hyper::{Method, Request};
use kube::{Client, client::Body};
use tokio::time::timeout;
use tower::{BoxError, service_fn};

use crate::{
    leader::{LONGEST_WRITE, Term},
    metrics::Metrics,
};

/// Why a write was not made, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// It might have had its answer only when another leads.
    #[error("this replica does not lead for long enough to write")]
    NotLeading,
    /// It was given up.
    #[error("expected an answer to a write within {LONGEST_WRITE:?}")]
    TooSlow,
}

/// What went wrong, for whoever reads a condition: what the API server says, in its own words.
#[must_use]
pub fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error
        && !status.message.is_empty()
    {
        return status.message.clone();
    }
    // One without words of its own, or nothing of the API server's.
    error.to_string()
}

/// A client whose requests are counted.
#[must_use]
pub fn counted(client: &Client, metrics: Arc<Metrics>) -> Client {
    let (inner, namespace) = (client.clone(), client.default_namespace().to_owned());
    let service = service_fn(move |request: Request<Body>| {
        let (inner, metrics) = (inner.clone(), metrics.clone());
        async move {
            let method = name(request.method());
            let answer = inner.send(request).await;
            metrics.runtime.api_answered(method, answer.as_ref().ok().map(|answer| answer.status().as_u16()));
            answer
        }
    });
    Client::new(service, namespace)
}

/// A client that writes only within a term.
#[must_use]
pub fn fenced(client: &Client, term: Term) -> Client {
    let (inner, namespace) = (client.clone(), client.default_namespace().to_owned());
    let service = service_fn(move |request: Request<Body>| {
        let (inner, term) = (inner.clone(), term.clone());
        async move {
            if request.method().is_safe() {
                return inner.send(request).await.map_err(BoxError::from);
            }
            if !term.has(LONGEST_WRITE) {
                return Err(Fenced::NotLeading.into());
            }
            match timeout(LONGEST_WRITE, inner.send(request)).await {
                Ok(answer) => answer.map_err(BoxError::from),
                Err(_) => Err(Fenced::TooSlow.into()),
            }
        }
    });
    Client::new(service, namespace)
}

fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        // The API is not asked otherwise.
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future,
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use hyper::Response;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Api, Error, api::PostParams};

    use super::*;

    /// An API server that answers reads, and writes never; and how many requests it saw.
    fn silent() -> (Client, Arc<AtomicU32>) {
        let seen = Arc::<AtomicU32>::default();
        let counter = seen.clone();
        let service = service_fn(move |request: Request<Body>| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                if !request.method().is_safe() {
                    future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(axum::body::Body::from("{\"metadata\": {\"name\": \"a\"}}")))
            }
        });
        (Client::new(service, "default"), seen)
    }

    async fn write(api: &Api<ConfigMap>) -> Option<Fenced> {
        let Error::Service(error) = api.create(&PostParams::default(), &ConfigMap::default()).await.unwrap_err() else {
            panic!("expected the fence")
        };
        error.downcast_ref().copied()
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_made_only_within_a_term_and_given_up_before_its_end() {
        let (client, seen) = silent();
        let (terms, term) = Term::of_test();
        let api = Api::<ConfigMap>::default_namespaced(fenced(&client, term));
        assert_eq!((write(&api).await, seen.load(Ordering::Relaxed)), (Some(Fenced::TooSlow), 1));
        let mut held = terms.borrow().unwrap();
        held.until = tokio::time::Instant::now() + LONGEST_WRITE - Duration::from_millis(1);
        terms.send_replace(Some(held));
        assert_eq!((write(&api).await, seen.load(Ordering::Relaxed)), (Some(Fenced::NotLeading), 1));
        terms.send_replace(None);
        assert_eq!((write(&api).await, seen.load(Ordering::Relaxed)), (Some(Fenced::NotLeading), 1));
        // Whoever leads, everybody may read.
        assert!(api.get("a").await.is_ok());
    }

    #[tokio::test]
    async fn requests_are_counted_with_their_answers() {
        let (client, _) = silent();
        let metrics = Arc::<Metrics>::default();
        let api = Api::<ConfigMap>::default_namespaced(counted(&client, metrics.clone()));
        api.get("a").await.unwrap();
        api.get("a").await.unwrap();
        let page = metrics.page().unwrap();
        assert!(page.contains("rest_client_requests_total{code=\"200\",method=\"GET\"} 2"), "{page}");
    }
}
