//! `sidegate import`: takes over everything a running Pushgateway holds, push times included.
//!
//! ```text
//! source: groups as JSON, values as protobuf ─▶ join (pure) ─▶ target: a push for each time something was pushed
//!                                                            └▶ read back ─▶ report
//! ```
//!
//! The JSON API says which group has which series, the page in protobuf has their exact values, native histograms and
//! exemplars too. What does not fit together, because somebody pushed in between, is read again; what still does not,
//! or what the target has newer, is left and said. Nothing is changed at the source.
//!
//! *Never:* the store of this process: the target is a Sidegate that runs, with its admin API on.

mod client;
mod source;
mod target;

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
};

use protocol::{GroupingKey, endpoints::METRICS_PATH};

use crate::{clock::UnixSeconds, exposition::MetricFamily, rfc3339::Rfc3339};
pub(crate) use client::{Client, ClientError, Endpoint};

/// How often the source is read before what does not fit together is left.
const MOST_READINGS: usize = 4;

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) struct Import {
    pub(crate) from: Endpoint,
    /// Where the source has its page.
    pub(crate) telemetry_path: String,
    pub(crate) to: Endpoint,
    /// Whether the target is left alone.
    pub(crate) is_dry_run: bool,
}

/// A group as the source has it.
#[derive(Debug, PartialEq)]
struct SourceGroup {
    key: GroupingKey,
    push_time: UnixSeconds,
    failure_time: UnixSeconds,
    /// What was pushed at which time, in that order.
    steps: Vec<Step>,
}

/// Families that were pushed at the same time.
#[derive(Debug, PartialEq)]
struct Step {
    time: UnixSeconds,
    families: Vec<MetricFamily>,
}

/// Something that is not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    /// The group's labels, or what is known of it.
    group: String,
    why: String,
}

/// What the source holds, as far as it could be read.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    groups: Vec<SourceGroup>,
    left: Vec<Left>,
}

/// Why nothing, or no more, can be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("cannot read the source: {0}")]
    Source(ClientError),
    #[error("expected the groups as a Pushgateway's JSON API shows them at {url}, found something else: {fault}")]
    Groups { url: String, fault: String },
    #[error("expected the page in protobuf at {url}, found something else: {fault}")]
    Page { url: String, fault: String },
    #[error("cannot write to the target: {0}")]
    Target(ClientError),
    #[error("expected a Sidegate with `--web.enable-admin-api` at {url}, found one that refuses: {sentence}")]
    NoAdminApi { url: String, sentence: String },
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Carries it out, prints what was taken and what was not, and tells whether that is all.
pub(crate) fn run(import: &Import, client: &Client, out: &mut impl Write) -> Result<bool, ImportError> {
    let Import { from, telemetry_path, to, is_dry_run } = import;
    let Reading { groups, mut left } = source::read(client, from, telemetry_path)?;
    let there = if *is_dry_run { Vec::new() } else { source::read(client, to, METRICS_PATH)?.groups };
    let there: HashMap<_, _> = there.iter().map(|group| (&group.key, group.times())).collect();
    let mut taken = Vec::new();
    for group in groups {
        // One that was taken over before is only looked at.
        let is_there = there.get(&group.key) == Some(&group.times());
        let outcome = if *is_dry_run || is_there { Ok(()) } else { target::send(client, to, &group)? };
        match outcome {
            Ok(()) => taken.push(group),
            Err(why) => left.push(Left { group: group.key.to_string(), why }),
        }
    }
    if !*is_dry_run {
        left.extend(target::missing(client, to, &taken)?);
    }
    print(import, &taken, &left, out)?;
    Ok(left.is_empty())
}

fn print(import: &Import, taken: &[SourceGroup], left: &[Left], out: &mut impl Write) -> io::Result<()> {
    let verb = if import.is_dry_run { "would take" } else { "took" };
    let series: usize = taken.iter().map(SourceGroup::series).sum();
    writeln!(out, "{verb} {} groups with {series} series from {} to {}", taken.len(), import.from, import.to)?;
    for group in taken {
        writeln!(out, "  {}: {} series, {}", group.key, group.series(), Pushed(group))?;
    }
    if !left.is_empty() {
        writeln!(out, "left {}:", left.len())?;
    }
    for Left { group, why } in left {
        writeln!(out, "  {group}: {why}")?;
    }
    Ok(())
}

/// Tells when a group was pushed.
struct Pushed<'a>(&'a SourceGroup);

// === impl SourceGroup ===

impl SourceGroup {
    /// What tells this state of the group from others.
    fn times(&self) -> (UnixSeconds, UnixSeconds) {
        (self.push_time, self.failure_time)
    }

    fn series(&self) -> usize {
        self.steps.iter().flat_map(|step| &step.families).map(|family| family.metrics.len()).sum()
    }
}

// === impl Pushed ===

impl fmt::Display for Pushed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SourceGroup { push_time, failure_time, .. } = self.0;
        if *push_time == UnixSeconds::NEVER {
            f.write_str("never pushed with success")?;
        } else {
            write!(f, "pushed at {}", Rfc3339(*push_time))?;
        }
        if *push_time < *failure_time {
            write!(f, ", refused at {}", Rfc3339(*failure_time))?;
        }
        Ok(())
    }
}
