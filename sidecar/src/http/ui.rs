//! The status page: what is stored and how the process runs, for people.
//!
//! One document without assets, which reads without a script; the script only puts the buttons to work. Whatever was
//! pushed is escaped, and the policy in the header lets nothing run but the one script. A page has at most
//! [`GROUPS_A_PAGE`] groups and about 4 MiB, and leads to the next one; `?q=` keeps the groups whose key has that text.
//!
//! *Never:* formats that machines read, changes.

mod document;
mod html;

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::{HeaderName, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use protocol::{GroupingKey, PathNames};

use super::{AppState, GET_ONLY, Purpose, Routes, api::Parameters, error::HttpError, guarded, observe::counted};
use crate::metrics::Handler;
use document::{Document, Listing};

/// How many groups are looked at for one page.
const GROUPS_A_PAGE: usize = 200;

/// Nothing is loaded and nothing runs but what the page brings along, named by its hash.
const POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'sha256-DbbGfmc0tN7J98YN4us0eU/YMPmX4MJDSCderOu5ZpI='; \
     style-src 'sha256-o/jdf7aXzNrMYXFk/AVhtRAgj7nadnF2dhNKnvStVR0='; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

const ALWAYS_NEW: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// What the query asks for.
#[derive(Default)]
struct Wish {
    /// A text that the key has, whatever the letter case.
    text: String,
    /// The key of the last group of the page before.
    after: Option<GroupingKey>,
}

/// The routes of the page.
pub(super) fn routes(routes: Routes, state: &AppState) -> Routes {
    let page = counted(state, Handler::Status, guarded(state, Purpose::Read, get(page)));
    routes.root("/").path("/", GET_ONLY, page.clone()).path("/status", GET_ONLY, page)
}

async fn page(State(state): State<AppState>, Query(parameters): Parameters) -> Result<Response, HttpError> {
    let Wish { text, after } = Wish::from_parameters(&parameters)?;
    let mut keys = state.store().keys();
    let stored = keys.len();
    if !text.is_empty() {
        let text = text.to_lowercase();
        keys.retain(|key| key.to_string().to_lowercase().contains(&text));
    }
    let found = keys.len();
    let first = after.map_or(0, |after| keys.partition_point(|key: &Arc<GroupingKey>| **key <= after));
    let shown = keys.iter().skip(first).take(GROUPS_A_PAGE);
    let groups = shown.filter_map(|key| state.store().group(key));
    let listing = Listing { stored, found, first, text: &text };
    let document = Document::new(state.settings()).write(&listing, groups);
    Ok(([POLICY, ALWAYS_NEW], Html(document)).into_response())
}

// === impl Wish ===

impl Wish {
    fn from_parameters(parameters: &[(String, String)]) -> Result<Self, HttpError> {
        let mut wish = Self::default();
        for (name, value) in parameters {
            match name.as_str() {
                "q" => wish.text = value.trim().to_owned(),
                // The page itself has written it, from a key.
                "after" => {
                    let key = GroupingKey::from_path_without_job(value, PathNames::Literal);
                    wish.after = Some(key.map_err(HttpError::Key)?);
                }
                _ => {}
            }
        }
        Ok(wish)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_the_script_and_the_style_of_the_page() {
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        let (_, policy) = POLICY;
        for (what, text) in [("script-src", document::SCRIPT), ("style-src", document::STYLE)] {
            let expected = format!("{what} {};", hash(text));
            assert!(policy.contains(&expected), "expected {expected}\nfound {policy}");
        }
    }
}
