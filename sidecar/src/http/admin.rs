//! What changes more than one group, or ends the process; each only where it was enabled.
//!
//! | Path | Method | Answer |
//! | --- | --- | --- |
//! | `P/api/v1/admin/wipe` | PUT | 202; all groups are gone |
//! | `P/api/v1/groups?match[]=SELECTOR` | DELETE | 200 and the keys of the groups that are gone |
//! | `P/-/quit` | PUT, POST | 200, then the process leaves as on SIGTERM; 403 unless enabled |
//!
//! Without the admin API the first two do not exist. `match[]` may come several times: a group goes that any of the
//! selectors matches; they have 32 matchers at most in all. With `dryRun=1` nothing goes. The answer has the keys, sorted:
//!
//! ```json
//! {"status":"success","data":{"removed":[{"labels":{"job":"a"}}],"dryRun":false}}
//! ```
//!
//! Other sites may not call these: unlike the rest of the API, OPTIONS says nothing to browsers here but what is allowed,
//! or any page that somebody who can reach this process looks at could remove the groups.
//!
//! A parameter that is not known is refused: a `dryRun` that is spelled otherwise would else remove the groups.
//!
//! *Never:* how selectors match, how the process ends.

use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::{delete, get, put},
};
use protocol::{
    GroupingKey,
    endpoints::{API_PATH, QUIT_PATH},
};
use serde::Serialize;

use super::{
    AppState, GET_ONLY, Routes,
    api::{self, Parameters, groups::Labels},
    error::{ApiError, HttpError},
    observe::counted,
};
use crate::{
    metrics::Handler,
    selector::{MOST_MATCHERS, Selector},
};

/// The parameter with a selector.
const MATCH_PARAMETER: &str = "match[]";

/// The parameter that keeps the groups.
const DRY_RUN_PARAMETER: &str = "dryRun";

/// What is to be removed.
struct Removal {
    selectors: Vec<Selector>,
    is_dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Removed<'a> {
    removed: Vec<RemovedGroup<'a>>,
    dry_run: bool,
}

#[derive(Serialize)]
struct RemovedGroup<'a> {
    labels: Labels<'a>,
}

/// The routes that are there with these settings.
pub(super) fn routes(routes: Routes, state: &AppState) -> Routes {
    let settings = state.settings();
    let quit = put(quit).post(quit);
    let refused = get(async || HttpError::Api(ApiError::QuitNotAllowed));
    // Upstream answers a GET of quit where it is without a prefix, wherever quit itself is.
    let routes = if settings.route_prefix.is_empty() {
        routes.path(QUIT_PATH, "GET, OPTIONS, POST, PUT", quit.merge(refused))
    } else {
        routes.path(QUIT_PATH, "OPTIONS, POST, PUT", quit).unprefixed(QUIT_PATH, GET_ONLY, refused)
    };
    if !settings.has_admin_api {
        return routes;
    }
    let wipe = counted(state, Handler::Wipe, put(wipe));
    let groups = counted(state, Handler::ApiGroups, delete(remove));
    routes.path(&format!("{API_PATH}/admin/wipe"), "OPTIONS, PUT", wipe).path(
        &format!("{API_PATH}/groups"),
        "DELETE, OPTIONS",
        groups,
    )
}

async fn wipe(State(state): State<AppState>) -> Result<StatusCode, HttpError> {
    let removed = state.store().remove_where(|_| true)?.len();
    state.store().settled().await?;
    tracing::info!(removed, "wiped");
    Ok(StatusCode::ACCEPTED)
}

async fn remove(State(state): State<AppState>, Query(parameters): Parameters) -> Result<Response, HttpError> {
    let Removal { selectors, is_dry_run } = Removal::from_parameters(&parameters)?;
    // Patterns are matched without the lock; a group pushed to in between was there before as well.
    let is_selected = |key: &Arc<GroupingKey>| selectors.iter().any(|selector| selector.matches(key.labels()));
    let mut keys: Vec<_> = state.store().keys().into_iter().filter(is_selected).collect();
    if !is_dry_run {
        let selected: HashSet<_> = keys.into_iter().collect();
        keys = state.store().remove_where(|key| selected.contains(key))?;
        state.store().settled().await?;
        tracing::info!(removed = keys.len(), "groups removed by selector");
    }
    let removed = keys.iter().map(|key| RemovedGroup { labels: Labels(key.labels()) });
    Ok(api::success(Removed { removed: removed.collect(), dry_run: is_dry_run }))
}

async fn quit(State(state): State<AppState>) -> Result<&'static str, HttpError> {
    if !state.settings().has_lifecycle_api {
        return Err(ApiError::LifecycleDisabled.into());
    }
    state.shared.quit.ask();
    Ok("Requesting termination... Goodbye!")
}

// === impl Removal ===

impl Removal {
    fn from_parameters(parameters: &[(String, String)]) -> Result<Self, ApiError> {
        let mut removal = Self { selectors: Vec::new(), is_dry_run: false };
        let mut is_dry_run = None;
        for (name, value) in parameters {
            match name.as_str() {
                MATCH_PARAMETER => {
                    let left = MOST_MATCHERS.saturating_sub(removal.selectors.iter().map(Selector::matchers).sum());
                    removal.selectors.push(Selector::parse(value, left)?);
                }
                DRY_RUN_PARAMETER if is_dry_run.is_some() => return Err(ApiError::DryRunTwice),
                DRY_RUN_PARAMETER => {
                    is_dry_run = match value.as_str() {
                        "1" | "true" => Some(true),
                        "0" | "false" => Some(false),
                        _ => return Err(ApiError::BadDryRun(value.clone())),
                    }
                }
                _ => return Err(ApiError::UnknownParameter(name.clone())),
            }
        }
        removal.is_dry_run = is_dry_run.unwrap_or_default();
        if removal.selectors.is_empty() { Err(ApiError::NoSelector) } else { Ok(removal) }
    }
}
