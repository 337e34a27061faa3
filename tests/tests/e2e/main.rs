//! The end-to-end tests: one cluster for all of them, with Sidegate, the Prometheus Operator and a Prometheus.
//!
//! Not libtest, for two reasons: a test that cannot run here has to say so when it is run, and the executable also
//! serves as the cluster's supervisor and init.
//!
//! *Never:* the insides of either program.

#![allow(clippy::indexing_slicing, clippy::print_stdout, reason = "a test that panics has failed, which is right")]

mod audit;
mod availability;
mod certificates_of_others;
mod cluster;
mod collection;
mod conditions;
mod conduct;
mod crd;
mod discovery;
mod drift;
mod fields;
mod gateways;
mod injection;
mod injection_kinds;
mod injection_others;
mod labels;
mod load;
mod membership;
mod monitors;
mod network_policy;
mod oldest_kubernetes;
mod own_cluster;
mod own_prometheus;
mod rights;
mod scrape_configs;
mod workload;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};

use world::World;

fn main() -> ExitCode {
    if let Some(code) = e2e::cluster::take_role() {
        return code;
    }
    if let Some(held) = cluster::hold_if_asked() {
        return if held.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut arguments = Arguments::from_args();
    // Tests wait more than they work.
    arguments.test_threads = arguments.test_threads.or(Some(6));
    let conclusion = run(&arguments);
    world::end();
    conclusion.exit_code()
}

fn run(arguments: &Arguments) -> Conclusion {
    let tests = [
        audit::TESTS,
        membership::TESTS,
        monitors::TESTS,
        conditions::TESTS,
        conduct::TESTS,
        labels::TESTS,
        discovery::TESTS,
        drift::TESTS,
        network_policy::TESTS,
        gateways::TESTS,
        availability::TESTS,
        certificates_of_others::TESTS,
        cluster::TESTS,
        collection::TESTS,
        crd::TESTS,
        fields::TESTS,
        injection::TESTS,
        injection_kinds::TESTS,
        injection_others::TESTS,
        oldest_kubernetes::TESTS,
        rights::TESTS,
        scrape_configs::TESTS,
    ]
    .concat();
    let trials = tests.into_iter().map(|test| {
        let module = test.module.trim_start_matches("e2e::");
        Trial::ignorable_test(format!("{module}::{}", test.name), move || carry_out(test))
    });
    libtest_mimic::run(arguments, trials.collect())
}

fn carry_out(test: world::Test) -> Result<Completion, Failed> {
    if let Some(reason) = e2e::parts::excuse(e2e::parts::why_not())? {
        return Ok(Completion::ignored_with(reason));
    }
    World::test(test).map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
}
