//! Laws that hold for every input: one function for each way into the operator, which panics where its law is broken.
//!
//! libFuzzer looks for inputs that break them, by the targets in `fuzz_targets/`; a test of the operator includes this
//! file, and replays what the fuzzer starts from (`seeds/`) and what it once found (`findings/`).
//!
//! *Never:* where inputs come from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a law that is broken panics, which is what the fuzzer sees"
)]

mod review;

pub use review::review;

/// Holds for any bytes, or panics.
pub type Law = fn(&[u8]);

/// All of them, by the name of their target.
pub const LAWS: [(&str, Law); 1] = [("review", review)];
