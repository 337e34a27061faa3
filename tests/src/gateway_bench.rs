//! `cargo gateway-bench`: how fast and how small ours is, beside a bare server and a real Pushgateway, in one run.
//!
//! The bare server does the least that a server on the same libraries could do, so a ratio to it says what of the
//! possible is reached, whatever the machine. Both are loaded by turns. All servers and wrk share the machine's cores,
//! and a ratio says more than a rate.
//!
//! *Never:* whether a figure is good enough to merge; tests judge, this tells.

mod compare;
mod footprint;
mod programs;
mod pushes;
mod report;
mod scrapes;
mod server;
mod workload;
mod wrk;

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command, ExitCode},
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::{measuring::machine, reference};
use programs::Programs;
use report::Report;
use server::Server;
use wrk::Wrk;

/// Loads ours, a bare server and a real Pushgateway, and prints what they do in Markdown. Takes about six
/// minutes, once all is built.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo gateway-bench", bin_name = "cargo gateway-bench --")]
pub struct Options {
    /// Build without link-time optimisation: done in a quarter of the time, and a little slower and larger.
    #[arg(long)]
    quick: bool,

    /// Measure only these.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    rows: Vec<Rows>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// The binary, and memory with nothing, 1,000 and 100,000 series.
    Memory,
    /// From the start of the process to the first answered push.
    Start,
    /// Pushes without storage.
    Push,
    /// Pushes with storage.
    Storage,
    /// Scrapes while nothing changes.
    Scrape,
    /// Scrapes with changes between them.
    Changing,
}

/// A run of the benchmark.
#[derive(Debug)]
struct Bench {
    programs: Programs,
    wrk: Wrk,
    /// For scripts and data; it goes with the run.
    folder: PathBuf,
    report: Report,
}

/// Runs the benchmark. Says on standard error what is being measured, and prints the tables in the end.
#[must_use]
pub fn main(options: &Options) -> ExitCode {
    let folder = env::temp_dir().join(format!("sidegate-bench-{}", process::id()));
    let outcome = run(options, &folder);
    // What is left there is small, and a failure has more to say.
    let _ = fs::remove_dir_all(&folder);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "gateway-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, folder: &Path) -> anyhow::Result<()> {
    let profile = if options.quick { "fast" } else { "release" };
    let programs = Programs::ready(profile)?;
    fs::create_dir_all(folder)?;
    let wrk = Wrk::new(&programs, folder)?;
    let mut bench = Bench { programs, wrk, folder: folder.to_owned(), report: Report::default() };
    let all = Rows::value_variants();
    let chosen = |rows: &&Rows| options.rows.is_empty() || options.rows.contains(rows);
    let mut outcome = Ok(());
    for rows in all.iter().filter(chosen) {
        // What was measured before is printed all the same.
        outcome = outcome.and(rows.measure(&mut bench).with_context(|| format!("{rows:?}")));
    }
    let reference = format!("Pushgateway {}", reference::VERSION);
    let machine = machine::described(profile)?;
    let wrk = machine::said(Command::new(&bench.programs.wrk).arg("--version"));
    let wrk = wrk.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let others = format!("{wrk}, {} connections; {reference} as Debian builds it", wrk::CONNECTIONS);
    writeln!(
        std::io::stdout(),
        "{machine}; {others}; wrk and all servers on the same cores.\n{}",
        bench.report.shown(&reference)
    )?;
    outcome
}

// === impl Rows ===

impl Rows {
    fn measure(self, bench: &mut Bench) -> anyhow::Result<()> {
        match self {
            Self::Memory => footprint::memory(bench),
            Self::Start => footprint::start(bench),
            Self::Push => pushes::push(bench),
            Self::Storage => pushes::storage(bench),
            Self::Scrape => scrapes::unchanging(bench),
            Self::Changing => scrapes::changing(bench),
        }
    }
}

// === impl Bench ===

impl Bench {
    /// The bare server with one thread and with many; with a page and its headers, or without.
    fn bare(&self, page: &[String]) -> anyhow::Result<[Server; 2]> {
        let start = |threads: &str| Server::start(&self.programs.bare, &[&[threads.to_owned()], page].concat());
        Ok([start("one")?, start("many")?])
    }
}
