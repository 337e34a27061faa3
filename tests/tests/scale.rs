//! The operator over some hundred pods that nobody runs: facts of `cargo scale-bench` that are no matter of the machine.
//!
//! *Never:* times.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use anyhow::ensure;
use e2e::{
    binaries,
    parts::Parts,
    scale_bench::{Operator, Pass, Size, Window, World},
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Large enough that whatever is asked for each pod shows.
const PODS: usize = 500;

const GROUPS: usize = 10;

/// What the operator may have held at the most, in bytes.
const MEMORY: f64 = 75.0 * 1024.0 * 1024.0;

/// Long enough for several ticks of whatever ticks.
const WINDOW: Duration = Duration::from_secs(25);

fn main() -> ExitCode {
    if let Some(code) = e2e::cluster::take_role() {
        return code;
    }
    let trial = Trial::ignorable_test("what_the_operator_asks_for_does_not_grow_with_pods", || {
        if let Some(reason) = e2e::parts::excuse(e2e::parts::why_not())? {
            return Ok(Completion::ignored_with(reason));
        }
        run().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn run() -> anyhow::Result<()> {
    let program = binaries::operator()?;
    let parts = Parts::find_or_build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let world = World::make(&parts, Size::of(PODS, GROUPS)).await?;
        // One group of ten, and all of one pod.
        world.sidecars.abandon(7200, |pod, group| pod < PODS && (group == 0 || pod == 7));
        let operator = Operator::start(&world, &program)?;
        let push_groups = world.size.spread.places().count();
        let pass = world.pass(&operator).await?;
        every_sidecar_is_asked_and_what_is_stale_is_removed(&pass)?;
        requests_are_no_matter_of_pods(&pass)?;
        memory_is_far_from_its_bound(&pass)?;
        let still = Window::watch(&world, &operator, WINDOW, 0).await?;
        little_is_asked_while_nothing_happens(&still, push_groups)?;
        operator.end()
    })
}

fn every_sidecar_is_asked_and_what_is_stale_is_removed(pass: &Pass) -> anyhow::Result<()> {
    let stale = PODS + GROUPS - 1;
    ensure!(pass.removed == stale as u64, "expected {stale} stale groups, found {pass:?}");
    let tally = pass.tally;
    let expected = (PODS, PODS * GROUPS - stale, stale as u64);
    let found = (tally.asked, tally.fresh, tally.removed);
    ensure!(found == expected, "expected {expected:?} sidecars asked, groups kept and removed, found {tally:?}");
    ensure!((tally.moved_on, tally.refused) == (0, 0), "expected no request in vain, found {tally:?}");
    Ok(())
}

/// Whatever is asked for each pod is asked five hundred times. Requests for each `PushGroup` are a few, and those for the
/// sake of counts come with time, of which a busy machine takes more.
fn requests_are_no_matter_of_pods(pass: &Pass) -> anyhow::Result<()> {
    for (what, count) in &pass.requests {
        ensure!(*count < PODS as u64, "expected fewer of each request than pods, found {count} × {what} in {pass:?}");
    }
    let seen: BTreeSet<_> = pass.requests.keys().map(String::as_str).collect();
    for what in ["list pods", "watch pods", "patch pushgroups/status", "patch services"] {
        ensure!(seen.contains(what), "expected {what} among {seen:?}");
    }
    Ok(())
}

/// Of ten thousand pods it is 150 MiB; a twentieth of them takes no more than half of that, whatever the machine.
fn memory_is_far_from_its_bound(pass: &Pass) -> anyhow::Result<()> {
    let [_, most] = pass.memory;
    ensure!(0.0 < most && most <= MEMORY, "expected at most {MEMORY} bytes, found {most}");
    Ok(())
}

/// Every object may be looked at once meanwhile, and every status be written for the sake of its times.
fn little_is_asked_while_nothing_happens(still: &Window, push_groups: usize) -> anyhow::Result<()> {
    let most = 2 * push_groups as u64;
    for (what, count) in &still.requests {
        // A leader says that it lives.
        let is_little = *count <= most || what.ends_with(" leases");
        ensure!(is_little, "expected at most {most} of each request, found {count} × {what} in {still:?}");
    }
    Ok(())
}
