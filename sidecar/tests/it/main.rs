//! Everything a client can see, over the router; and, in `process`, what only the real process can show.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod admin;
mod api;
mod call;
mod delete;
mod gateway;
mod process;
mod push;
mod quit;
mod scrape;
mod signed_delete;
mod ui;
