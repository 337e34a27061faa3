//! Everything a client can see, over the router; and, in `process`, what only the real process can show.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod call;
mod delete;
mod formats;
mod gateway;
mod process;
mod push;
mod scrape;
mod signed_delete;
