//! The page of a revision: the lines of all families, put together when asked for and kept until the revision changes.
//!
//! There is one page for each escaping scheme that is asked for, and one for all of them while all names are classic;
//! the same again in OpenMetrics, which is what most scrapers ask for, and where the names in exemplars count too. A
//! page of some families alone is made for its reader and not kept. The text is put together under the store's lock:
//! from lines that are there, but for names that have to be escaped. OpenMetrics is written from a snapshot.
//!
//! *Never:* the process's own families, compression, who reads.

use std::sync::Arc;

use bytes::Bytes;
use protocol::series::is_push_time;

use super::{
    index::Index,
    shown::{Shown, ShownFamily},
    snapshot::{Snapshot, StoredFamily},
};
use crate::{
    exposition::{
        Escaping, Extra, FamilyHead, MetricRef, openmetrics,
        text::{write_header, write_series},
    },
    metrics::OWN_FAMILIES,
};

/// Everything that is stored, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The state it shows.
    pub revision: u64,
    /// All families, sorted by the name shown.
    pub text: Bytes,
    /// Where each family stands in the text, without gaps.
    pub sections: Vec<Section>,
    /// How many series are left out, because escaping made them like others.
    pub hidden: usize,
    /// What it was made for.
    form: Form,
    /// Whether it is the same in all of them.
    is_classic: bool,
}

/// Where a family stands in the text of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, as it is shown.
    pub name: Arc<str>,
    /// Where its header starts.
    pub start: usize,
    /// Where its samples start.
    pub samples: usize,
    /// Where it ends.
    pub end: usize,
}

/// How push times are labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLabels {
    /// As every series is: with an empty `instance` where the key has none.
    Shown,
    /// As the key was pushed, so that a reader can name the group.
    AsPushed,
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text(Escaping),
    /// Without the mark of its end.
    OpenMetrics(Escaping),
}

/// The pages of one revision that somebody asked for.
#[derive(Debug, Default)]
pub(super) struct Pages {
    made: Vec<Arc<Page>>,
}

// === impl Page ===

impl Page {
    /// Puts the page together from the families that are wanted.
    pub(super) fn of(index: &Index, labels: KeyLabels, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Self {
        let shown = Shown::of(index, escaping, wanted);
        let mut text = String::new();
        let mut sections = Vec::with_capacity(shown.families.len());
        for family in &shown.families {
            let (name, start) = (&family.name, text.len());
            let (help, unit, kind) = (&*family.first.help, &*family.first.unit, family.first.kind);
            write_header(&mut text, FamilyHead { name, help, unit, kind }, escaping);
            let samples = text.len();
            if is_push_time(name) && labels == KeyLabels::AsPushed {
                write_keys(&mut text, family, escaping);
            } else {
                write_lines(&mut text, family, escaping);
            }
            sections.push(Section { name: Arc::clone(name), start, samples, end: text.len() });
        }
        let Shown { hidden, is_classic, .. } = shown;
        Self { revision: index.revision, text: text.into(), sections, hidden, is_classic, form: Form::Text(escaping) }
    }

    /// The same in OpenMetrics, without the mark of its end.
    #[must_use]
    pub fn openmetrics(stored: &Snapshot, escaping: Escaping) -> Self {
        let mut text = String::new();
        let mut sections = Vec::with_capacity(stored.families.len());
        let has_family = |name: &str| {
            let is_stored = stored.families.binary_search_by(|family| (*family.name).cmp(name)).is_ok();
            is_stored || OWN_FAMILIES.iter().any(|(own, _)| *own == name)
        };
        for family in &stored.families {
            let start = text.len();
            openmetrics::write_family(&mut text, family.head(), family.metrics(), escaping, has_family);
            let samples = start + header_length(text.get(start..).unwrap_or_default());
            sections.push(Section { name: Arc::clone(&family.name), start, samples, end: text.len() });
        }
        let mut metrics = stored.families.iter().flat_map(StoredFamily::metrics);
        let is_classic = stored.is_classic && metrics.all(|metric| metric.extra.is_none_or(Extra::is_classic));
        let Snapshot { revision, hidden, .. } = *stored;
        Self { revision, text: text.into(), sections, hidden, is_classic, form: Form::OpenMetrics(escaping) }
    }
}

/// The lines before the first sample; no sample starts like them.
fn header_length(family: &str) -> usize {
    family.split_inclusive('\n').take_while(|line| line.starts_with("# ")).map(str::len).sum()
}

fn write_lines(text: &mut String, family: &ShownFamily<'_>, escaping: Escaping) {
    for (series, _) in family.series() {
        match &series.lines {
            Some(lines) => text.push_str(lines),
            None => write_series(text, &family.name, series.metric(), escaping),
        }
    }
}

fn write_keys(text: &mut String, family: &ShownFamily<'_>, escaping: Escaping) {
    for (series, key) in family.series() {
        let metric = MetricRef { labels: key.labels(), ..series.metric() };
        write_series(text, &family.name, metric, escaping);
    }
}

// === impl Form ===

impl Form {
    /// Whether both are of one format, whatever the scheme.
    fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Text(_), Self::Text(_)) | (Self::OpenMetrics(_), Self::OpenMetrics(_)) => true,
            (Self::Text(_), Self::OpenMetrics(_)) | (Self::OpenMetrics(_), Self::Text(_)) => false,
        }
    }
}

// === impl Pages ===

impl Pages {
    /// The page of that revision, if it was made.
    pub(super) fn find(&mut self, revision: u64, form: Form) -> Option<Arc<Page>> {
        self.made.retain(|page| page.revision == revision);
        let fits = |page: &&Arc<Page>| page.form == form || (page.is_classic && page.form.is_like(form));
        self.made.iter().find(fits).cloned()
    }

    /// Keeps a page until another revision is asked for.
    pub(super) fn keep(&mut self, page: Page) -> Arc<Page> {
        let page = Arc::new(page);
        self.made.retain(|known| known.form != page.form);
        self.made.push(Arc::clone(&page));
        page
    }
}
