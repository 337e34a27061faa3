//! What others make of our pages: promtool reads them, and a real Prometheus scrapes them.
//!
//! Neither needs a cluster, a right or a namespace. Not libtest, since a test that cannot run here has to say so when it
//! is run.
//!
//! *Never:* the insides of our program.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a test that panics has failed, which is right")]

mod gateway;
mod hostile;
mod hostile_protobuf;
mod identity;
mod lint;
mod random;
mod scrape;
mod world;

use std::process::ExitCode;

use e2e::parts;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test and its name.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> anyhow::Result<()>,
}

/// Names a test after its function.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] =
            &[$(crate::Test { module: module_path!(), name: stringify!($name), run: $name }),*];
    };
}
pub(crate) use tests;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests = [identity::TESTS, lint::TESTS, scrape::TESTS].concat();
    let trials = tests.into_iter().map(|test| {
        let module = test.module.trim_start_matches("scraped::");
        Trial::ignorable_test(format!("{module}::{}", test.name), move || carry_out(test))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    world::end();
    conclusion.exit_code()
}

fn carry_out(test: Test) -> Result<Completion, Failed> {
    if let Some(reason) = parts::excuse(parts::why_no_prometheus())? {
        return Ok(Completion::ignored_with(reason));
    }
    (test.run)().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
}
