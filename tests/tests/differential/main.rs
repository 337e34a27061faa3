//! The differential test: random sequences of requests go to ours and to a real Pushgateway, and both have to agree.
//!
//! What may differ is a row of the table in [`deviations`]. Every run makes other sequences, but for those in CI: whether
//! a change lands is not left to chance. A failure prints the sequence, made as short as it gets, and the seed that makes
//! it again.
//!
//! | Variable | Effect |
//! | --- | --- |
//! | `SIDEGATE_DIFFERENTIAL_SEED` | the seed of the run, from which those of the sequences follow |
//! | `SIDEGATE_DIFFERENTIAL_SEQUENCE` | the seed of the one sequence to send |
//! | `SIDEGATE_DIFFERENTIAL_REQUESTS` | how many requests to send at least |
//!
//! Not libtest: a test that cannot run here has to say so when it is run.
//!
//! *Never:* the insides of either gateway.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a test that panics has failed, which is right"
)]

mod codings;
mod compare;
mod deviations;
mod gateways;
mod generate;
mod page;
mod random;
mod request;
mod shrink;

use std::{env, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use e2e::{binaries, parts, reference};
use libtest_mimic::{Arguments, Completion, Trial};

use compare::Tally;
use deviations::TABLE;
use gateways::Gateways;
use random::Random;

/// What every run in CI starts from.
const CI_SEED: u64 = 0x5eed_0000_0000_0001;

/// The least that shows what it is to show.
const REQUESTS: usize = 20_000;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = Trial::ignorable_test("ours_and_a_pushgateway_answer_alike", || Ok(carry_out()?));
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn carry_out() -> anyhow::Result<Completion> {
    let program = reference::find_or_download();
    let reason = program.as_ref().err().map(|error| format!("there is no reference: {error:#}"));
    if let Some(reason) = parts::excuse(reason)? {
        return Ok(Completion::ignored_with(reason));
    }
    let mut gateways = Gateways::start(binaries::sidegate()?, program?)?;
    if let Some(seed) = number("SIDEGATE_DIFFERENTIAL_SEQUENCE")? {
        send(&mut gateways, seed, &mut Tally::default())?;
        return Ok(Completion::Completed);
    }
    let seed = number("SIDEGATE_DIFFERENTIAL_SEED")?
        .unwrap_or_else(|| if env::var_os("CI").is_some() { CI_SEED } else { Random::seed() });
    let requests = number("SIDEGATE_DIFFERENTIAL_REQUESTS")?.map_or(Ok(REQUESTS), usize::try_from)?;
    println!("differential: SIDEGATE_DIFFERENTIAL_SEED={seed:#018x}");
    let mut seeds = Random::of(seed);
    let mut tally = Tally::default();
    while tally.requests < requests {
        send(&mut gateways, seeds.next(), &mut tally)?;
    }
    tally.print();
    tally.check()?;
    Ok(Completion::Completed)
}

/// Sends the sequence of a seed; an error if the gateways do not agree about it.
fn send(gateways: &mut Gateways, seed: u64, tally: &mut Tally) -> anyhow::Result<()> {
    let sequence = generate::sequence(seed);
    let Some(failure) = compare::run(gateways, &sequence, tally)? else { return Ok(()) };
    let (sequence, failure) = shrink::shortest(gateways, sequence, failure)?;
    let requests: String = sequence.iter().map(|request| format!("    {request}\n")).collect();
    let what = failure.what;
    bail!("the gateways differ in the sequence of SIDEGATE_DIFFERENTIAL_SEQUENCE={seed:#018x}\n{requests}  {what}")
}

/// The number in a variable, decimal or with `0x`.
fn number(name: &str) -> anyhow::Result<Option<u64>> {
    let Some(text) = env::var(name).ok().filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Ok(Some(parsed.with_context(|| format!("expected a number in {name}, found {text:?}"))?))
}

// === impl Tally ===

impl Tally {
    fn share(&self) -> usize {
        self.accepted * 100 / self.pushes.max(1)
    }

    fn print(&self) {
        println!("differential: {} requests in {} sequences, answered by ours with", self.requests, self.sequences);
        self.statuses.iter().for_each(|(status, count)| println!("  {count:>7} × {status}"));
        println!("differential: {} % of {} pushes accepted", self.share(), self.pushes);
        println!("differential: differences that are meant");
        for row in TABLE {
            println!("  {:>7} × {} ({})", self.uses.get(row.name).unwrap_or(&0), row.name, row.why);
        }
    }

    /// Whether the run was worth something.
    fn check(&self) -> anyhow::Result<()> {
        ensure!((30..=80).contains(&self.share()), "expected 30 to 80 % of pushes accepted, found {} %", self.share());
        let unused = TABLE.iter().map(|row| row.name).find(|name| !self.uses.contains_key(name));
        ensure!(unused.is_none(), "expected every row of the table to be used, found {unused:?} unused");
        Ok(())
    }
}
