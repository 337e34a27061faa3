//! Scrapes in every form, while nothing changes and with changes between them.
//!
//! *Never:* how rounds take turns.

use std::{fs, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;

use super::{
    Bench,
    compare::{Rounds, compare, median},
    report::{Fact, Line},
    server::{Server, page_request},
    workload::{Format, Pushes, Read},
};
use crate::{
    connection::Connection,
    measuring::{
        figure::{Goal, Unit},
        say,
    },
};

/// The reference takes seconds for a page of more groups.
const SIZES: [usize; 2] = [100, 1_000];

/// Groups that change, a few of them, between scrapes.
const CHANGING_SIZES: [usize; 2] = [1_000, 10_000];

const READS: [Read; 3] = [Read::Plain, Read::Gzip, Read::Prometheus];

/// Of the bare server, which sends the same bytes.
const TO_BARE: f64 = 0.6;

/// As fast as the reference while some groups change.
const TO_REFERENCE: f64 = 20.0;

/// One group of so many changes between two scrapes.
const CHANGING: usize = 100;

/// Scrapes with changes before each; odd, so that there is a middle.
const SCRAPES: usize = 5;

/// How long the reference is asked for pages: it makes each of them anew.
const REFERENCE_SECONDS: usize = 2;

/// Scrapes while nothing changes.
pub(super) fn unchanging(bench: &mut Bench) -> anyhow::Result<()> {
    for groups in SIZES {
        let ours = Server::gateway(&bench.programs.ours, &[])?;
        ours.fill(&Pushes { groups, format: Format::Text })?;
        let reference = bench.filled_reference(groups, &[])?;
        for read in READS {
            let line = bench.scrapes(groups, read, &ours, &reference)?;
            bench.report.scrapes.push(line);
        }
    }
    Ok(())
}

/// Scrapes with one group in a hundred pushed before each.
pub(super) fn changing(bench: &mut Bench) -> anyhow::Result<()> {
    for groups in CHANGING_SIZES {
        let ours = Server::gateway(&bench.programs.ours, &[])?;
        ours.fill(&Pushes { groups, format: Format::Text })?;
        // Its check makes a push slow, which is not what is measured here.
        let reference = bench.filled_reference(groups, &["--push.disable-consistency-check"])?;
        for read in READS {
            let what = format!("scrape of {groups} groups, 1 % changed since the last, {}", read.name());
            say(&what);
            let (ours, theirs) = (after_changes(&ours, groups, read)?, after_changes(&reference, groups, read)?);
            let times = theirs.as_secs_f64() / ours.as_secs_f64();
            let goal = Goal::None;
            let (ours, reference) = (ours.as_secs_f64(), Some(theirs.as_secs_f64()));
            bench.report.facts.push(Fact { what: what.clone(), ours, unit: Unit::Milliseconds, goal, reference });
            let goal = if read == Read::Prometheus { Goal::AtLeast(TO_REFERENCE) } else { Goal::None };
            let what = format!("{what}: as fast as the reference");
            bench.report.facts.push(Fact { what, ours: times, unit: Unit::Times, goal, reference: None });
        }
    }
    Ok(())
}

/// How long a scrape takes when some groups were pushed before it.
fn after_changes(server: &Server, groups: usize, read: Read) -> anyhow::Result<Duration> {
    let pushes = Pushes { groups, format: Format::Text };
    let mut connection = Connection::of(server.address);
    let mut scrape = || -> anyhow::Result<f64> {
        let start = Instant::now();
        connection.call(page_request(read.headers()))?;
        Ok(start.elapsed().as_secs_f64())
    };
    scrape()?;
    let changed = groups / CHANGING;
    let mut times = Vec::new();
    for round in 0..SCRAPES {
        // Others each time, as they are in life.
        server.push(&pushes, round * changed..(round + 1) * changed, 1)?;
        times.push(scrape()?);
    }
    Ok(Duration::from_secs_f64(median(times)))
}

// === impl Bench ===

impl Bench {
    fn scrapes(&self, groups: usize, read: Read, ours: &Server, reference: &Server) -> anyhow::Result<Line> {
        let page = ours.page(read.headers())?;
        let file = self.folder.join("page");
        fs::write(&file, &page.body)?;
        let size = page.body.len() / 1024;
        let what = format!("{groups} groups, {}, {size} KiB", read.name());
        say(&format!("scrapes: {what}"));
        let header = |name: &str| page.headers.get(name).cloned();
        let content_type = header("content-type").context("expected a content type")?;
        let arguments = [Some(file.display().to_string()), Some(content_type), header("content-encoding")];
        let bare = self.bare(&arguments.into_iter().flatten().collect::<Vec<_>>())?;
        let load = self.wrk.reads(read);
        let comparison = compare(&self.wrk, (ours, &load), &bare, &load)?;
        let mut rounds = Rounds::none();
        rounds.add(&self.wrk, reference, &load, REFERENCE_SECONDS)?;
        let (memory, goal) = (ours.memory()?, Goal::AtLeast(TO_BARE));
        Ok(Line { what, comparison, goal, memory, reference: Some(rounds) })
    }
}
