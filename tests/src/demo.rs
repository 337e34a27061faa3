//! `cargo demo`: Sidegate at work on a real cluster, from a push in a pod to a series in Prometheus.
//!
//! ```text
//! stage (a cluster with Sidegate and Prometheus) ─▶ play (PushGroup, pods, a Job) ─▶ watch ─▶ screen
//! ```
//!
//! *Never:* the insides of either program; everything shown was asked of the cluster as a user would ask.

mod play;
mod screen;
mod stage;
mod watch;

use std::{io::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::ctrl_c;

use screen::Screen;
use stage::Stage;
use watch::Watch;

/// How long `--once` waits for what it wants to see.
const ONCE_LIMIT: Duration = Duration::from_secs(240);

/// Shows Sidegate at work: a Job of two seconds whose push reaches Prometheus, and a group that goes stale.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo --")]
pub struct Options {
    /// End by itself; exit code 0 only if the Job's series was in Prometheus and the stale group is gone from it.
    #[arg(long)]
    once: bool,

    /// Use the cluster of this context of your kubeconfig, with its Prometheus Operator, instead of a new one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// With --context: where the cluster finds the images `sidegate` and `sidegate-operator`, and their tag.
    #[arg(long, value_name = "PREFIX", default_value = "localhost", requires = "context")]
    registry: String,

    /// With --context: the tag of both images.
    #[arg(long, value_name = "TAG", default_value = "dev", requires = "context")]
    tag: String,

    /// With --context: an image with a shell and `wget` for the demo's own pods.
    #[arg(long, value_name = "IMAGE", default_value = "busybox:1", requires = "context")]
    app_image: String,

    /// With --context: a label that your Prometheus wants to see on monitors; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", requires = "context")]
    monitor_label: Vec<String>,
}

/// Runs the demo. Says on standard output what happens and on standard error what is prepared.
#[must_use]
pub fn main(options: &Options) -> ExitCode {
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(run(options))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let mut screen = Screen::new();
    let stage = tokio::select! {
        stage = Stage::set(options, &mut screen) => stage?,
        signal = ctrl_c() => return Ok(signal?),
    };
    let mut watch = Watch::new(&stage);
    let shown = tokio::select! {
        shown = show(options, &stage, &mut watch, &mut screen) => shown,
        signal = ctrl_c() => Ok(signal?),
    };
    if options.context.is_some() {
        let cleared = play::clear(&stage).context("removing the demo's namespace");
        return shown.and(cleared);
    }
    shown
}

/// The play and what is seen of it, until the end of `--once` or for ever.
async fn show(options: &Options, stage: &Stage, watch: &mut Watch, screen: &mut Screen) -> anyhow::Result<()> {
    play::push_group_and_worker(stage).await?;
    let end = tokio::time::Instant::now() + ONCE_LIMIT;
    let mut job_started = false;
    let forward = if options.once { None } else { Some(stage.forward_prometheus().await?) };
    loop {
        let seen = watch.look(stage).await?;
        screen.draw(&seen, forward.as_ref().map(|forward| stage.how_to_look_around(forward)).as_deref());
        if !job_started && seen.monitor_known {
            play::job(stage)?;
            job_started = true;
        }
        if options.once && seen.complete() {
            screen.say("The Job's series was in Prometheus, and the stale group is gone from it.");
            return Ok(());
        }
        if options.once && end <= tokio::time::Instant::now() {
            bail!("waited {ONCE_LIMIT:?} for {}", seen.missing().join(", and "));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
