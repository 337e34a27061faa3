//! The layer that the web config file puts around everything, paths that are not there included: its rate, its users, its
//! headers.
//!
//! A header of an answer's own stays: the status page's policy is stricter than any.
//!
//! *Never:* tokens, routes.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::{Request, State},
    http::header,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use super::{AppState, error::HttpError};
use crate::{
    auth::user_and_password,
    metrics::AuthRefusal,
    rate::{Used, whole_seconds},
    web_config::{Login, Users, Web},
};

/// Why the web config does not let a request in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotLetIn {
    /// The sentence is upstream's, whether there was a user or not.
    #[error("Unauthorized")]
    Unauthorized { is_missing: bool },
    #[error("expected fewer requests, found more than `rate_limit` allows; try again in {retry_after} s")]
    TooOften {
        /// In seconds, rounded up.
        retry_after: u64,
    },
    #[error("expected fewer logins at once, found too many; try again")]
    Busy,
}

#[derive(Clone)]
struct Around {
    app: AppState,
    web: Arc<Web>,
    used: Arc<Mutex<Used>>,
}

/// The router behind the web config.
pub(crate) fn behind(web: &Arc<Web>, app: &AppState, router: Router) -> Router {
    let around = Around { app: app.clone(), web: Arc::clone(web), used: Arc::default() };
    router.layer(from_fn_with_state(around, answer))
}

async fn answer(State(around): State<Around>, request: Request, next: Next) -> Response {
    let config = around.web.current();
    let let_in = match config.rate {
        Some(rate) => {
            let taken = around.used.lock().unwrap_or_else(PoisonError::into_inner).take(rate, Instant::now());
            taken.map_err(|wait| NotLetIn::TooOften { retry_after: whole_seconds(wait) })
        }
        None => Ok(()),
    };
    let let_in = match (let_in, &config.users) {
        (Ok(()), Some(users)) => login(users, shown(&request)).await,
        (let_in, _) => let_in,
    };
    let mut response = match let_in {
        Ok(()) => next.run(request).await,
        Err(why) => {
            around.app.metrics().auth_refused(why.reason());
            tracing::debug!(path = request.uri().path(), error = %why, "not let in by the web config");
            HttpError::Web(why).into_response()
        }
    };
    for (name, value) in &config.headers {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

/// The first user of a request, with the password.
fn shown(request: &Request) -> Option<(String, Vec<u8>)> {
    let mut shown = request.headers().get_all(header::AUTHORIZATION).iter();
    shown.find_map(|value| user_and_password(value.as_bytes()))
}

async fn login(users: &Arc<Users>, shown: Option<(String, Vec<u8>)>) -> Result<(), NotLetIn> {
    let Some((user, password)) = shown else {
        return Err(NotLetIn::Unauthorized { is_missing: true });
    };
    match users.check(&user, &password).await {
        Login::Good => Ok(()),
        Login::Bad => Err(NotLetIn::Unauthorized { is_missing: false }),
        Login::Busy => Err(NotLetIn::Busy),
    }
}

// === impl NotLetIn ===

impl NotLetIn {
    fn reason(self) -> AuthRefusal {
        match self {
            Self::Unauthorized { is_missing: true } => AuthRefusal::Missing,
            Self::Unauthorized { is_missing: false } => AuthRefusal::Unknown,
            Self::TooOften { .. } => AuthRefusal::TooOften,
            Self::Busy => AuthRefusal::Unavailable,
        }
    }
}
