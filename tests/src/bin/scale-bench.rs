//! `cargo scale-bench`: see [`e2e::scale_bench`].

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(code) = e2e::cluster::take_role() {
        return code;
    }
    e2e::scale_bench::main(&e2e::scale_bench::Options::parse())
}
