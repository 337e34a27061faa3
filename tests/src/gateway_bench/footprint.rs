//! What ours weighs: the program, its memory, and the time until it is of use.
//!
//! *Never:* load.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::time::Instant;

use super::{
    Bench,
    compare::median,
    report::Fact,
    server::Server,
    workload::{Format, Pushes, Read, SERIES},
};
use crate::{
    client,
    measuring::{
        figure::{Goal, MEBIBYTE, Unit},
        say,
    },
};

/// How often a start is timed.
const STARTS: usize = 20;

/// The most that a start may take.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The size of the binary, and memory with nothing, something and a lot in it.
pub(super) fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    let Bench { programs, report, .. } = bench;
    let size = |program: &Path| anyhow::Ok(fs::metadata(program)?.len() as f64);
    let mut fact = |what: &str, ours, unit, goal, reference| {
        report.facts.push(Fact { what: what.to_owned(), ours, unit, goal, reference });
    };
    let (mebibytes, most) = (Unit::Mebibytes, |mebibytes: f64| Goal::AtMost(mebibytes * MEBIBYTE));
    fact("binary", size(&programs.ours)?, mebibytes, most(6.0), Some(size(&programs.reference)?));

    let (ours, reference) = (Server::gateway(&programs.ours, &[])?, Server::gateway(&programs.reference, &[])?);
    let ready = |server: &Server| client::call(server.address, "GET", "/-/ready", &[], b"").map(drop);
    ready(&ours)?;
    ready(&reference)?;
    fact("RSS, idle", ours.memory()?, mebibytes, most(3.0), Some(reference.memory()?));

    let some = Pushes { groups: 1_000 / SERIES, format: Format::Text };
    ours.fill(&some)?;
    reference.fill(&some)?;
    fact("RSS with 1,000 series", ours.memory()?, mebibytes, most(5.0), Some(reference.memory()?));
    drop((ours, reference));

    let many = Pushes { groups: 100_000 / SERIES, format: Format::Text };
    let ours = Server::gateway(&programs.ours, &[])?;
    ours.fill(&many)?;
    let after_pushes = ours.memory()?;
    ours.page(Read::Prometheus.headers())?;
    let after_gzip = ours.memory()?;
    let page = ours.page(Read::Plain.headers())?.body.len() as f64;
    let after_text = ours.memory()?;
    fact("page in text with 100,000 series", page, mebibytes, Goal::None, None);
    for (what, memory) in [
        ("100,000 series: RSS to the page, after the pushes", after_pushes),
        ("100,000 series: RSS to the page, after a scrape as Prometheus asks", after_gzip),
        ("100,000 series: RSS to the page, after a scrape in text too", after_text),
    ] {
        fact(what, memory / page, Unit::Times, Goal::AtMost(3.0), None);
    }
    Ok(())
}

/// The time from the start of the process to the first answered push.
pub(super) fn start(bench: &mut Bench) -> anyhow::Result<()> {
    say("starts");
    let ours = first_push(&bench.programs.ours)?;
    let reference = Some(first_push(&bench.programs.reference)?);
    let what = "first answered push after the start".to_owned();
    let goal = Goal::AtMost(0.01);
    bench.report.facts.push(Fact { what, ours, unit: Unit::Milliseconds, goal, reference });
    Ok(())
}

/// The median, in seconds.
fn first_push(program: &Path) -> anyhow::Result<f64> {
    let times = (0..STARTS).map(|_| one_start(program)).collect::<Result<_, _>>()?;
    Ok(median(times))
}

fn one_start(program: &Path) -> anyhow::Result<f64> {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let push = Pushes { groups: 1, format: Format::Text };
    let start = Instant::now();
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address={address}")).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("the gateway")?;
    let answered = first_answer(address, push, start);
    end(child)?;
    answered
}

fn first_answer(address: SocketAddr, push: Pushes, start: Instant) -> anyhow::Result<f64> {
    let request = push.request(0, 0);
    loop {
        // Refused until it listens.
        if let Ok(answer) = crate::connection::Connection::of(address).call(request.clone()) {
            ensure!(answer.status == 200, "expected 200, found {}", answer.status);
            return Ok(start.elapsed().as_secs_f64());
        }
        ensure!(start.elapsed() < START_LIMIT, "expected an answer within {START_LIMIT:?}, found none");
        thread::yield_now();
    }
}

fn end(mut child: Child) -> anyhow::Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}
