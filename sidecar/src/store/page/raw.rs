//! What a block is made from: texts copied from the store, and marks where something has yet to be written.
//!
//! *Never:* the store's lock, which block comes where.

use std::sync::Arc;

use protocol::LabelSet;

use super::{Block, Form, KeyLabels, Names, Unit, packer::Packer};
use crate::{
    exposition::{
        FamilyHead, Kind, Value,
        openmetrics::{Facts, Shape},
        text::{write_header, write_number, write_series},
    },
    store::{
        group::Group,
        labels::{exposed, write_block},
        series::{Rich, Series},
        stored::{Stored, time},
    },
};

/// The lines of some chunks, not all of them written yet.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// The lines that are the same in every form.
    text: String,
    /// What stands between them, each before the byte of that place.
    marks: Vec<(usize, Mark)>,
    units: Vec<Unit>,
    /// Whether something in it is in no chunk.
    is_picked: bool,
    /// How many series there are.
    pub(super) series: usize,
}

#[derive(Debug)]
enum Mark {
    Head(Arc<Heading>),
    Rich(Arc<Heading>, Arc<Rich>),
}

/// What is said of a family.
#[derive(Debug)]
pub(super) struct Heading {
    /// As it is shown.
    pub(super) name: Arc<str>,
    pub(super) help: Arc<str>,
    pub(super) unit: Arc<str>,
    pub(super) kind: Kind,
    pub(super) facts: Facts,
}

// === impl Raw ===

impl Raw {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.marks.is_empty()
    }

    /// About how much there is to write.
    pub(super) fn len(&self) -> usize {
        const MARK: usize = 500;
        self.text.len() + MARK * self.marks.len()
    }

    /// Says what the series that were added last are told by.
    pub(super) fn note(&mut self, unit: Option<Unit>) {
        self.units.extend(unit);
        self.is_picked |= unit.is_none();
    }

    pub(super) fn add_head(&mut self, heading: &Arc<Heading>) {
        self.marks.push((self.text.len(), Mark::Head(Arc::clone(heading))));
    }

    pub(super) fn add_series(&mut self, stored: Stored<'_>, id: u32, heading: &Arc<Heading>, labels: KeyLabels) {
        self.series += 1;
        let slot = stored.slot(id);
        if let Some(group) = stored.time_of(slot) {
            return match labels {
                KeyLabels::Shown => self.add_time(group, heading, || exposed(group.shown_key())),
                KeyLabels::AsPushed => self.add_time(group, heading, || group.key.labels().iter()),
            };
        }
        match &slot.series {
            Series::Plain(text) => {
                self.text.push_str(&heading.name);
                self.text.push_str(text);
                self.text.push('\n');
            }
            Series::Rich(rich) => self.add_rich(heading, Arc::clone(rich)),
        }
    }

    fn add_time<'a, L: Iterator<Item = (&'a str, &'a str)>>(
        &mut self,
        group: &Group,
        heading: &Arc<Heading>,
        labels: impl Fn() -> L,
    ) {
        let (start, time) = (self.text.len(), time(&heading.name, group).0);
        self.text.push_str(&heading.name);
        if write_block(&mut self.text, labels()) {
            self.text.push(' ');
            let written = write_number(&mut self.text, time);
            debug_assert!(written.is_ok(), "a string grows as it needs to");
            self.text.push('\n');
            return;
        }
        self.text.truncate(start);
        let (labels, value) = (labels().collect::<LabelSet>(), Value::Number(time));
        self.add_rich(heading, Arc::new(Rich { labels, value, timestamp: None, lines: None, extra: None }));
    }

    fn add_rich(&mut self, heading: &Arc<Heading>, rich: Arc<Rich>) {
        self.marks.push((self.text.len(), Mark::Rich(Arc::clone(heading), rich)));
    }

    /// Writes what is marked.
    pub(super) fn block(self, form: Form, names: &Names, packer: &mut Packer) -> Block {
        let Self { text, marks, units, is_picked, series: _ } = self;
        let units = if is_picked { Vec::new() } else { units };
        let heeds_names = !marks.is_empty() && matches!(form, Form::OpenMetrics(_));
        let body = if marks.is_empty() { text } else { write(&text, &marks, form, names) };
        let (body, sum) = packer.pack(body);
        Block { units, heeds_names, body, sum }
    }
}

fn write(text: &str, marks: &[(usize, Mark)], form: Form, names: &Names) -> String {
    let mut out = String::with_capacity(text.len());
    let mut written = 0;
    // That of the heading before, which is nearly always the same.
    let mut last: Option<(&Arc<Heading>, Shape<'_>)> = None;
    for (place, mark) in marks {
        out.push_str(text.get(written..*place).unwrap_or_default());
        written = *place;
        let (Mark::Head(heading) | Mark::Rich(heading, _)) = mark;
        match form {
            Form::Text(escaping) => match mark {
                Mark::Head(heading) => write_header(&mut out, heading.head(), escaping),
                Mark::Rich(heading, rich) => match &rich.lines {
                    Some(lines) => out.push_str(lines),
                    None => write_series(&mut out, &heading.name, &rich.metric(), escaping),
                },
            },
            Form::OpenMetrics(escaping) => {
                let head = heading.head();
                let known = last.take().filter(|(known, _)| Arc::ptr_eq(known, heading));
                let (_, shape) = known
                    .unwrap_or_else(|| (heading, Shape::of(head, heading.facts, escaping, |name| names.has(name))));
                match mark {
                    Mark::Head(_) => shape.write_head(&mut out, head),
                    Mark::Rich(_, rich) => shape.write(&mut out, &rich.metric()),
                }
                last = Some((heading, shape));
            }
        }
    }
    out.push_str(text.get(written..).unwrap_or_default());
    out
}

// === impl Heading ===

impl Heading {
    fn head(&self) -> FamilyHead<'_> {
        let Self { name, help, unit, kind, facts: _ } = self;
        FamilyHead { name, help, unit, kind: *kind }
    }
}
