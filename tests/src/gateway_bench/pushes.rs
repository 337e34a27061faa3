//! Pushes over the number of groups that are there, in both formats, without storage and with it.
//!
//! *Never:* how rounds take turns.

use std::{fs, process::Command};

use anyhow::Context as _;

use super::{
    Bench,
    compare::{Rounds, compare},
    report::{Fact, Line},
    server::Server,
    workload::{Format, Pushes, SERIES},
};
use crate::measuring::{
    figure::{Goal, Unit},
    say,
};

/// Groups that are there before; none means that one is pushed to.
const SIZES: [usize; 4] = [0, 100, 1_000, 10_000];

/// The largest size that the reference is loaded at: beyond, it answers no push within a round.
const LARGEST_OF_REFERENCE: usize = 1_000;

/// What the reference takes for one push where there are many groups does not fit into a round.
const REFERENCE_SECONDS: usize = 3;

const TO_BARE: f64 = 0.6;
const TO_BARE_STORED: f64 = 0.4;
const FLAT: f64 = 0.8;

/// How a push survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    None,
    /// The end of the process.
    Process,
    /// The end of the machine.
    Machine,
}

// === impl Storage ===

impl Storage {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::Process => &[],
            Self::Machine => &["--storage.sync=always"],
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Process => ", stored",
            Self::Machine => ", stored with fsync",
        }
    }

    fn goal(self) -> Goal {
        match self {
            Self::None => Goal::AtLeast(TO_BARE),
            Self::Process => Goal::AtLeast(TO_BARE_STORED),
            Self::Machine => Goal::None,
        }
    }
}

/// Pushes without storage, and how flat they are over the sizes.
pub(super) fn push(bench: &mut Bench) -> anyhow::Result<()> {
    for format in [Format::Text, Format::Protobuf] {
        let lines: Vec<Line> =
            SIZES.iter().map(|groups| bench.pushes(*groups, format, Storage::None)).collect::<Result<_, _>>()?;
        if let [first, .., last] = lines.as_slice() {
            let ours = last.comparison.ratio() / first.comparison.ratio();
            let what = format!("push of {}: at 10,000 groups by at none, each to the bare server", format.name());
            let goal = Goal::AtLeast(FLAT);
            bench.report.facts.push(Fact { what, ours, unit: Unit::Percent, goal, reference: None });
        }
        bench.report.pushes.extend(lines);
    }
    Ok(())
}

/// Pushes that are on disk before they are answered.
pub(super) fn storage(bench: &mut Bench) -> anyhow::Result<()> {
    let help = Command::new(&bench.programs.ours).arg("--help").output().context("--help")?;
    if !String::from_utf8_lossy(&help.stdout).contains("--storage.dir") {
        bench.report.gaps.push("pushes with storage, since this build has no `--storage.dir`".to_owned());
        return Ok(());
    }
    for format in [Format::Text, Format::Protobuf] {
        for groups in SIZES {
            let line = bench.pushes(groups, format, Storage::Process)?;
            bench.report.pushes.push(line);
        }
    }
    let line = bench.pushes(1_000, Format::Text, Storage::Machine)?;
    bench.report.pushes.push(line);
    Ok(())
}

// === impl Bench ===

impl Bench {
    fn pushes(&self, groups: usize, format: Format, storage: Storage) -> anyhow::Result<Line> {
        let what = format!("{groups} groups, {}{}", format.name(), storage.shown());
        say(&format!("pushes: {what}"));
        let pushes = Pushes { groups: groups.max(1), format };
        let folder = self.folder.join("storage");
        let dir = format!("--storage.dir={}", folder.display());
        let mut arguments = vec![];
        if storage != Storage::None {
            arguments.push(dir.as_str());
        }
        arguments.extend(storage.arguments());
        let ours = Server::gateway(&self.programs.ours, &arguments)?;
        if 0 < groups {
            ours.fill(&pushes)?;
        }
        let bare = self.bare(&[])?;
        let load = self.wrk.pushes(pushes)?;
        let comparison = compare(&self.wrk, (&ours, &load), &bare, &load)?;
        let memory = ours.memory()?;
        drop((ours, bare));
        if storage != Storage::None {
            fs::remove_dir_all(&folder)?;
        }
        let is_compared = storage == Storage::None && format == Format::Text && groups <= LARGEST_OF_REFERENCE;
        let reference = is_compared.then(|| self.pushes_of_reference(groups)).transpose()?;
        Ok(Line { what, comparison, goal: storage.goal(), memory, reference })
    }

    fn pushes_of_reference(&self, groups: usize) -> anyhow::Result<Rounds> {
        let pushes = Pushes { groups: groups.max(1), format: Format::Text };
        let server = self.filled_reference(groups, &[])?;
        let mut rounds = Rounds::none();
        rounds.add(&self.wrk, &server, &self.wrk.pushes(pushes)?, REFERENCE_SECONDS)?;
        Ok(rounds)
    }

    /// The reference with so many groups. It is filled without its check, whose time grows with what is there.
    pub(super) fn filled_reference(&self, groups: usize, arguments: &[&str]) -> anyhow::Result<Server> {
        if groups == 0 {
            return Server::gateway(&self.programs.reference, arguments);
        }
        let file = self.folder.join(format!("reference-{}", groups * SERIES));
        let persistence = format!("--persistence.file={}", file.display());
        if !file.exists() {
            let unchecked = "--push.disable-consistency-check";
            let server = Server::gateway(&self.programs.reference, &[&persistence, unchecked])?;
            server.fill(&Pushes { groups, format: Format::Text })?;
            server.end()?;
        }
        Server::gateway(&self.programs.reference, &[&[persistence.as_str()], arguments].concat())
    }
}
