//! Everything a client can see, over the router; and, in `process`, what only the real process can show.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod abuse;
mod admin;
mod anything;
mod api;
mod auth;
mod call;
mod curl;
mod delete;
mod deviations;
mod formats;
mod fuzz_corpus;
mod gateway;
mod guides;
mod import;
mod known_systems;
mod limits;
mod measurement;
mod openmetrics;
mod own_metrics;
mod paths;
mod process;
mod push;
mod quit;
mod readme;
mod scrape;
mod sentences;
mod signed_delete;
mod times;
mod timestamps;
mod ttl;
mod ui;
mod unchecked;
mod web_config;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
mod laws;
