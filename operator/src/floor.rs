//! The oldest Kubernetes that the operator works with: on an older one it refuses to run, with a sentence.
//!
//! From 1.33 on every kubelet runs sidecars as the operator makes them, and the API server knows every field it writes.
//! Below, a pod with a sidecar might hang or lose it. An API server that is away is asked until it answers; one that does
//! not tell its version is taken for new enough.
//!
//! *Never:* versions of nodes, what is done with the cluster.

use std::io;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;

use crate::{retry, stop::Stop};

/// Major and minor version of the oldest.
const FLOOR: (u32, u32) = (1, 33);

/// The cluster is too old.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected Kubernetes {}.{} or newer, found {found}: sidecars of pods are not reliable there; upgrade the cluster",
    FLOOR.0,
    FLOOR.1
)]
pub struct TooOld {
    found: String,
}

/// Whether a version is new enough; one that cannot be read is.
///
/// # Errors
/// When it is too old.
pub fn check(version: &Info) -> Result<(), TooOld> {
    // Some vendors write `33+`.
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    match (number(&version.major), number(&version.minor)) {
        (Some(major), Some(minor)) if (major, minor) < FLOOR => Err(TooOld { found: version.git_version.clone() }),
        (Some(_) | None, _) => Ok(()),
    }
}

/// Asks once for the version, and ends when that is too old; else when the end is asked for.
///
/// # Errors
/// When the version is too old.
pub async fn hold(client: Client, stop: Stop) -> io::Result<()> {
    let asked = retry::until_it_works("ask for the API server's version", &stop, || async {
        match client.apiserver_version().await {
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => Ok(None),
            answer => answer.map(Some),
        }
    });
    match asked.await {
        Some(Some(version)) => check(&version).map_err(io::Error::other)?,
        Some(None) => tracing::warn!("the API server does not tell its version: taken for new enough"),
        None => {}
    }
    stop.requested().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use hyper::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::stop;

    fn version(major: &str, minor: &str) -> Info {
        let git_version = format!("v{major}.{minor}.4");
        Info { major: major.to_owned(), minor: minor.to_owned(), git_version, ..Info::default() }
    }

    #[test]
    fn a_cluster_below_the_floor_is_refused_with_a_sentence() {
        assert_eq!(
            check(&version("1", "32")).unwrap_err().to_string(),
            "expected Kubernetes 1.33 or newer, found v1.32.4: sidecars of pods are not reliable there; upgrade the cluster"
        );
        assert!(check(&version("1", "9+")).is_err());
        for (major, minor) in [("1", "33"), ("1", "33+"), ("1", "36"), ("2", "0"), ("", ""), ("1", "x")] {
            assert_eq!(check(&version(major, minor)), Ok(()), "{major}.{minor}");
        }
    }

    /// An API server that says what a request for its version is answered with.
    fn server(status: StatusCode, minor: &'static str) -> Client {
        let service = service_fn(move |request: Request<Body>| async move {
            assert_eq!(request.uri().path(), "/version");
            let info = json!(version("1", minor));
            let refusal =
                json!({"kind": "Status", "status": "Failure", "code": status.as_u16(), "reason": "Forbidden"});
            let body = if status.is_success() { info } else { refusal };
            let mut response = Response::new(axum::body::Body::from(body.to_string()));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn the_operator_ends_on_an_old_cluster_and_stays_on_others() {
        let (sender, stop) = stop::channel();
        let error = hold(server(StatusCode::OK, "32"), stop.clone()).await.unwrap_err();
        assert!(error.to_string().starts_with("expected Kubernetes 1.33 or newer, found v1.32.4"), "{error}");
        for server in [server(StatusCode::OK, "33"), server(StatusCode::FORBIDDEN, "")] {
            let holding = tokio::time::timeout(Duration::from_secs(3600), hold(server, stop.clone()));
            assert!(holding.await.is_err(), "expected it to stay");
        }
        sender.request();
        assert!(hold(server(StatusCode::OK, "36"), stop).await.is_ok());
    }
}
