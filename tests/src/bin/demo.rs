//! `cargo demo`: see [`e2e::demo`].

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(code) = e2e::cluster::take_role() {
        return code;
    }
    e2e::demo::main(&e2e::demo::Options::parse())
}
