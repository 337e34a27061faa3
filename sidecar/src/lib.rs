//! `sidegate`: a Pushgateway for localhost, alone or as the sidecar of a pod.
//!
//! ```text
//! main ─▶ args ─▶ config ─▶ app ─┬─▶ listen ─▶ http ─┬─▶ exposition   bytes ↔ families
//!                                │                   ├─▶ store        families ↔ page
//!                                │                   │     └─▶ persist   groups ↔ folder
//!                                │                   ├─▶ auth         who may push and administrate
//!                                │                   ├─▶ selector     which groups an administrator means
//!                                │                   └─▶ operator_access
//!                                ├─▶ web_config      TLS, users and more, from upstream's file
//!                                ├─▶ expiry          removes what is stale
//!                                ├─▶ lifecycle       when to leave
//!                                └─▶ import          takes over from another gateway, over HTTP
//! ```
//!
//! What holds everywhere:
//!
//! - The centre (`exposition`, `store`, `lifecycle::linger`) is pure: `now` is an argument, nothing is read or sent.
//! - What is stored fits together: a push that could break a scrape is refused, and leaves nothing that could.
//! - An answered push is on every page from then on, and where there is a storage, in it before it is answered.
//! - A push time names one accepted push of its group and no other, so that a conditional delete removes what was seen.
//!   That is of times that this process gives: an administrator may push a removed group with the time it had.
//! - Nothing ticks while nothing happens.
//!
//! *Never:* Kubernetes, the operator's code; what both share is in `protocol`.

mod app;
mod args;
mod auth;
mod build_info;
mod config;
mod duration;
mod expiry;
mod gzip;
mod import;
mod lifecycle;
mod listen;
mod metrics;
mod operator_access;
mod pattern;
mod persist;
mod rate;
mod reload;
mod rfc3339;
mod selector;
mod telemetry;
mod tls;
mod web_config;
mod yaml;

pub mod clock;
pub mod exposition;
pub mod http;
pub mod store;

pub use app::{check_arguments, command_line, start};
