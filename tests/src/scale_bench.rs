//! `cargo scale-bench`: what the operator costs where there are ten thousand pods and a hundred thousand groups.
//!
//! Pods, `PushGroup`s and the operator's rights are real, in a real API server; only the nodes are not: all sidecars are
//! one server. The operator runs as a process of this machine, with the chart's flags and as the chart's service
//! account. API server, etcd, sidecars and operator share the machine's cores.
//!
//! *Never:* whether a figure is good enough to merge; the test judges what is no matter of the machine.

mod operator;
mod report;
mod window;
mod world;

use std::{
    io::Write as _,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::ensure;
use clap::Parser;

pub use self::{
    operator::Operator,
    window::Window,
    world::{Pass, Size, World},
};
use crate::{
    measuring::{build::build, machine, say},
    parts::Parts,
};

/// Pods that are replaced in a second, where some are.
const REPLACED_A_SECOND: usize = 10;

/// For how long a sidecar may not be looked at where there are many, in seconds for each of so many: twenty are looked at in
/// a second, and chance makes it a quarter longer.
const LOOKED_AT_AGAIN: usize = 16;

/// Runs the operator over many pods and prints what it costs in Markdown. Takes about a quarter of an hour.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo scale-bench", bin_name = "cargo scale-bench --")]
pub struct Options {
    /// Pods; a hundredth as many PushGroups.
    #[arg(long, default_value = "10000", value_name = "NUMBER")]
    pods: NonZeroUsize,

    /// Groups in each sidecar.
    #[arg(long, default_value = "10", value_name = "NUMBER")]
    groups: NonZeroUsize,

    /// Seconds that the operator is watched for where nothing is asked of it; long enough for each sidecar to be looked at
    /// again, if not given.
    #[arg(long, value_name = "SECONDS")]
    still: Option<u64>,

    /// Seconds that it is watched for where pods come and go.
    #[arg(long, default_value = "60", value_name = "SECONDS")]
    window: u64,

    /// Build without link-time optimisation: done in a quarter of the time, and a little slower and larger.
    #[arg(long)]
    quick: bool,

    /// An operator that is built already, somehow.
    #[arg(long, value_name = "FILE", conflicts_with = "quick")]
    operator: Option<PathBuf>,
}

/// Runs the benchmark. Says on standard error what is being done, and prints the table in the end.
#[must_use]
pub fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(table) => {
            let _ = writeln!(std::io::stdout(), "{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "scale-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<String> {
    let (program, profile) = match &options.operator {
        Some(program) => (program.clone(), "unknown"),
        None => {
            let profile = if options.quick { "fast" } else { "release" };
            (build("operator", "sidegate-operator", profile)?, profile)
        }
    };
    let parts = Parts::find_or_build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(figures(options, &parts, &program))?;
    Ok(format!("{}; everything on the same cores.\n\n{}", machine::described(profile)?, figures.table()))
}

async fn figures(options: &Options, parts: &Parts, program: &Path) -> anyhow::Result<report::Figures> {
    let size = Size::of(options.pods.get(), options.groups.get());
    let window = Duration::from_secs(options.window);
    let whole_round = u64::try_from(options.pods.get() / LOOKED_AT_AGAIN)? + 30;
    let world = World::make(parts, size).await?;
    say("the first pass, one group of ten stale");
    world.sidecars.abandon(2 * world::STALE_AFTER, |pod, group| pod < size.pods && group % 10 == 0);
    let mut operator = Operator::start(&world, program)?;
    let first = world.pass(&operator).await?;
    say("nothing happens");
    let length = Duration::from_secs(options.still.unwrap_or(whole_round));
    let still = Window::watch(&world, &operator, length, 0).await?;
    let is_whole = options.still.is_some() || size.pods as u64 <= still.reads;
    ensure!(is_whole, "expected each of {} sidecars to be looked at again, found {} looks", size.pods, still.reads);
    say("pods come and go");
    let busy = Window::watch(&world, &operator, window, REPLACED_A_SECOND).await?;
    operator.end()?;
    say("the first pass, every group stale");
    world.sidecars.forget_reads();
    world.sidecars.abandon(2 * world::STALE_AFTER, |_, _| true);
    operator = Operator::start(&world, program)?;
    let all_stale = world.pass(&operator).await?;
    operator.end()?;
    Ok(report::Figures { size, first, still, busy, all_stale })
}
