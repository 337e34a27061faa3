//! A scraped page as families, without what a gateway says about itself, and how two of them differ.
//!
//! *Never:* how a page was got.

use std::{cmp::Ordering, collections::BTreeMap};

use anyhow::{Context as _, bail, ensure};
use protocol::label_set::parse_block;

/// Families in the order of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) families: Vec<Family>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: Option<String>,
    pub(crate) kind: String,
    /// Each the lines of one series.
    pub(crate) series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// By name, without `le` and `quantile` where they tell lines of one series apart.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) lines: Vec<String>,
    /// Whether its last line was seen.
    is_complete: bool,
}

/// How two pages differ.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Difference {
    /// Only in the help of these families: name, ours, the reference's.
    Help(Vec<(String, String, String)>),
    Other(String),
}

// === impl Page ===

impl Page {
    /// Reads a page, whose order has to be the canonical one.
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let mut page = Self::default();
        let mut help: BTreeMap<&str, &str> = BTreeMap::new();
        for line in text.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, text) = rest.split_once(' ').with_context(|| line.to_owned())?;
                ensure!(help.insert(name, text).is_none(), "two lines of help for {name}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').with_context(|| line.to_owned())?;
                let help = help.get(name).map(|help| (*help).to_owned());
                page.families.push(Family { name: name.to_owned(), help, kind: kind.to_owned(), series: Vec::new() });
            } else {
                let family = page.families.last_mut().with_context(|| format!("a sample before any TYPE: {line}"))?;
                family.add(line)?;
            }
        }
        for family in &mut page.families {
            // Own series have no job.
            family.series.retain(|series| series.labels.iter().any(|(name, _)| name == "job"));
            family.settle_ties()?;
        }
        page.families.retain(|family| !family.series.is_empty());
        let in_order = page.families.windows(2).all(|pair| pair[0].name < pair[1].name);
        ensure!(in_order, "families are not in order");
        Ok(page)
    }

    pub(crate) fn difference(&self, reference: &Self) -> Option<Difference> {
        let names = |page: &Self| page.families.iter().map(|family| family.name.clone()).collect::<Vec<_>>();
        let other = |text: String| Some(Difference::Other(text));
        if names(self) != names(reference) {
            return other(format!("families {:?} against {:?}", names(self), names(reference)));
        }
        let pairs = || self.families.iter().zip(&reference.families);
        for (ours, theirs) in pairs() {
            if ours.kind != theirs.kind {
                return other(format!("{} is a {} against a {}", ours.name, ours.kind, theirs.kind));
            }
            let lines = |family: &Family| {
                family
                    .series
                    .iter()
                    .flat_map(|series| series.lines.iter().map(|line| settled(line)))
                    .collect::<Vec<_>>()
            };
            let (mine, other_lines) = (lines(ours), lines(theirs));
            if mine != other_lines {
                return other(format!(
                    "samples\n    {}\n  against\n    {}",
                    mine.join("\n    "),
                    other_lines.join("\n    ")
                ));
            }
        }
        let text = |family: &Family| family.help.clone().unwrap_or_default();
        let helps = pairs().filter(|(ours, theirs)| ours.help != theirs.help);
        let helps: Vec<_> = helps.map(|(ours, theirs)| (ours.name.clone(), text(ours), text(theirs))).collect();
        (!helps.is_empty()).then_some(Difference::Help(helps))
    }
}

/// Two clocks tell two times; only whether there is one counts.
fn settled(line: &str) -> String {
    let is_time = line.starts_with("push_time_seconds{") || line.starts_with("push_failure_time_seconds{");
    match line.rsplit_once(' ') {
        Some((series, time)) if is_time && time != "0" => format!("{series} (some time)"),
        _ => line.to_owned(),
    }
}

// === impl Family ===

impl Family {
    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let at = line.find('{').with_context(|| format!("a sample without labels: {line}"));
        // Own series may have none.
        let Ok(at) = at else { return Ok(()) };
        let (name, rest) = line.split_at(at);
        let Ok(block) = parse_block(rest) else { bail!("a sample that does not parse: {line}") };
        let suffixes: &[&str] = match self.kind.as_str() {
            "summary" => &["", "_sum", "_count"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let suffix = name.strip_prefix(self.name.as_str()).filter(|suffix| suffixes.contains(suffix));
        let suffix = suffix.with_context(|| format!("a sample of another family: {line}"))?;
        let owned = block.labels.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
        let mut labels: Vec<_> = owned.collect();
        let is_inner = suffix == "_bucket" || (self.kind == "summary" && suffix.is_empty());
        if is_inner {
            labels.pop();
        }
        let is_composed = 1 < suffixes.len();
        match self.series.last_mut().filter(|last| is_composed && last.labels == labels && !last.is_complete) {
            Some(last) => {
                last.lines.push(line.to_owned());
                last.is_complete = suffix == "_count";
            }
            None => self.series.push(Series { labels, lines: vec![line.to_owned()], is_complete: false }),
        }
        Ok(())
    }

    /// Checks the order, fewer labels first and then by values, and sorts by name what that order leaves open.
    fn settle_ties(&mut self) -> anyhow::Result<()> {
        let by_values = |left: &Series, right: &Series| {
            let values = left.labels.iter().map(|(_, value)| value).cmp(right.labels.iter().map(|(_, value)| value));
            left.labels.len().cmp(&right.labels.len()).then(values)
        };
        let in_order = self.series.windows(2).all(|pair| by_values(&pair[0], &pair[1]) != Ordering::Greater);
        ensure!(in_order, "series of {} are not in order", self.name);
        self.series.sort_by(|left, right| by_values(left, right).then_with(|| left.labels.cmp(&right.labels)));
        Ok(())
    }
}
