//! `cargo gateway-bench`: see [`e2e::gateway_bench`].

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    e2e::gateway_bench::main(&e2e::gateway_bench::Options::parse())
}
