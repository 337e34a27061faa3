//! What a push and a page cost inside, part by part: `cargo bench -p sidecar`.
//!
//! How fast the whole is, over HTTP and beside others, `cargo gateway-bench` says.
//!
//! *Never:* HTTP.

#![allow(clippy::unwrap_used, reason = "a benchmark that panics has failed, which is right")]

mod bodies;
mod decode;
mod store;

fn main() {
    divan::main();
}
