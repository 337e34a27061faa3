//! What can only be seen with the sidecar's own code on the other side.

#![expect(clippy::unwrap_used, reason = "in a test, a failure is to be loud")]

mod arguments;
mod collecting;
mod contract;
mod floor;
mod fuzz_corpus;
mod offline;
mod race;
mod reference;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
mod laws;
