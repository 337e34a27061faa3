//! Laws that hold for every input: one function for each way into the sidecar, which panics where its law is broken.
//!
//! libFuzzer looks for inputs that break them, by the targets in `fuzz_targets/`; a test of the sidecar includes this
//! file, and replays what the fuzzer starts from (`seeds/`) and what it once found (`findings/`).
//!
//! *Never:* where inputs come from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a law that is broken panics, which is what the fuzzer sees"
)]

mod body;
mod exposition;
mod grouping_key;
mod outline;
mod pages;

pub use body::body;
pub use exposition::{openmetrics, protobuf, text};
pub use grouping_key::grouping_key;

/// Holds for any bytes, or panics.
pub type Law = fn(&[u8]);

/// All of them, by the name of their target.
pub const LAWS: [(&str, Law); 5] = [
    ("body", body),
    ("grouping_key", grouping_key),
    ("openmetrics", openmetrics),
    ("protobuf", protobuf),
    ("text", text),
];

/// Whatever was sent, what is said about it can be read at a glance: a sentence, or a list of ten.
fn is_short(answer: &str) {
    let lines = answer.lines();
    assert!(lines.clone().count() <= 11, "{answer:.2000}");
    lines.for_each(|line| assert!(line.len() < 1500, "{} bytes: {line:.200}", line.len()));
}
