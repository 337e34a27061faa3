//! The binary `sidegate`, a shell around the library.
//!
//! *Never:* anything else.

use std::process::ExitCode;

fn main() -> ExitCode {
    sidecar::start(std::env::args_os())
}
