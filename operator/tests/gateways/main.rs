//! Collection on a real Pushgateway, the reference, as a process of this machine: what it removes, how it gets in, and
//! what happens to groups that are pushed while they are removed.
//!
//! Not libtest: a test that cannot run here has to say so when it is run.
//!
//! *Never:* a cluster; Secrets come from a few lines that answer as an API server does.

#![allow(clippy::indexing_slicing, clippy::print_stdout, reason = "a test that panics has failed, which is right")]

mod access;
mod labels;
mod race;
mod world;

use std::process::ExitCode;

use e2e::{parts, reference};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Names a test after its function.
macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$(Trial::ignorable_test(concat!(stringify!($module), "::", stringify!($name)), || carry_out($module::$name))),*]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = tests![
        access::a_user_and_a_password_get_in_below_a_prefix,
        access::a_gateway_over_tls_is_trusted_by_the_secrets_ca_alone,
        labels::hostile_labels_are_removed_and_bystanders_stay,
        labels::no_instance_and_an_empty_one_are_each_removed_by_their_own_key,
        labels::a_group_that_was_only_ever_refused_ages_from_its_refusal,
        race::the_window_of_a_classic_gateway_is_measured,
        race::few_fresh_groups_are_lost_on_a_classic_gateway,
        race::no_fresh_group_is_lost_on_a_gateway_of_ours,
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn carry_out(test: fn(&std::path::Path) -> anyhow::Result<()>) -> Result<Completion, Failed> {
    let program = reference::find_or_download();
    let reason = program.as_ref().err().map(|error| format!("there is no reference: {error:#}"));
    if let Some(reason) = parts::excuse(reason)? {
        return Ok(Completion::ignored_with(reason));
    }
    let carried_out = program.and_then(|program| test(&program)).map(|()| Completion::Completed);
    carried_out.map_err(|error| Failed::from(format!("{error:#}")))
}
