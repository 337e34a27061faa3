//! What benchmarks share: programs built to be measured, what they cost, the machine, and how figures are written.
//!
//! *Never:* what is measured.

pub(crate) mod build;
pub(crate) mod figure;
pub(crate) mod machine;
pub(crate) mod usage;

use std::io::Write as _;

/// Says on standard error what is being done.
pub(crate) fn say(what: &str) {
    // Nobody has to be there to read it.
    let _ = writeln!(std::io::stderr(), "{what}");
}
