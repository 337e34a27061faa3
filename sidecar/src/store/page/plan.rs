//! Which blocks of a page can be taken over, and what the others are made from.
//!
//! A block is at least so many series long that it is worth being one, and starts where a block of the page before it
//! started, where it can: else one family more would move all that come after it.
//!
//! *Never:* formats, waiting.

use std::sync::Arc;

use super::{
    Ask, Block, Form, Names, Unit,
    pool::Pool,
    raw::{Heading, Raw},
};
use crate::{
    exposition::{FamilyHead, Kind, MetricRef, openmetrics::Facts},
    store::{
        index::Index,
        series::Series,
        shown::{Shown, ShownFamily, ShownSeries},
    },
};

/// So many series are in a block, if there are enough: what is taken over or made anew as a whole.
const SERIES_OF_BLOCK: usize = 64;

/// From so many on, a block ends where the next is known already.
const FEWEST_SERIES: usize = 16;

/// A page as it will be.
pub(super) struct Plan {
    pub(super) revision: u64,
    pub(super) names_revision: u64,
    pub(super) hidden: usize,
    pub(super) is_classic: bool,
    pub(super) form: Form,
    pub(super) names: Names,
    /// The own family before it, the header of its pushed series, and the blocks, of each part.
    pub(super) parts: Vec<(Option<&'static str>, Option<Planned>, Vec<Planned>)>,
    /// Otherwise the budget did not suffice, and the last blocks are missing.
    pub(super) is_complete: bool,
}

pub(super) enum Planned {
    Kept(Arc<Block>),
    Raw(Raw),
}

/// Some series of a family that stand or fall together.
struct Piece<'a> {
    family: usize,
    ids: &'a [u32],
    /// What they are told by; absent where they were picked for this page.
    unit: Option<Unit>,
    has_head: bool,
}

struct Planner<'a, W> {
    index: &'a Index,
    ask: &'a Ask<W>,
    pool: &'a Pool,
    shown: &'a Shown<'a>,
    /// Of the families that something has to be written of.
    headings: Vec<Option<Arc<Heading>>>,
    budget: usize,
}

// === impl Plan ===

impl Plan {
    /// With blocks of the pool. It makes no more blocks when those that it made need the budget.
    pub(super) fn of<W: Fn(&str) -> bool>(index: &Index, ask: &Ask<W>, pool: &Pool, budget: usize) -> Self {
        let shown = Shown::of(index, ask.form.escaping(), &ask.wanted);
        let are_picked = shown.families.iter().any(|family| matches!(family.series, ShownSeries::Picked(_)));
        // What was picked cannot be taken over at the next look.
        let budget = if are_picked { usize::MAX } else { budget };
        let headings = vec![None; shown.families.len()];
        let mut planner = Planner { index, ask, pool, shown: &shown, headings, budget };
        let mut parts = vec![(None, None, Vec::new())];
        let mut is_complete = true;
        for (own, families) in parts_of(&shown, index) {
            let mut header = None;
            let mut pieces = Vec::new();
            for number in families {
                let Some(family) = shown.families.get(number) else { continue };
                let is_own = own == Some(&*family.name);
                if is_own {
                    let mut raw = Raw::default();
                    raw.add_head(&planner.heading(number, family));
                    header = Some(Planned::Raw(raw));
                }
                planner.add_pieces(&mut pieces, number, family, !is_own);
            }
            let (blocks, is_all) = planner.blocks(&pieces);
            parts.push((own, header, blocks));
            if !is_all {
                is_complete = false;
                break;
            }
        }
        let names =
            Names { sorted: shown.families.iter().map(|family| Arc::clone(&family.name)).collect(), own: index.own };
        let has_classic_extras = shown.families.iter().all(|family| family.first.unclassic == [0, 0]);
        Self {
            revision: index.revision,
            names_revision: index.names_revision,
            hidden: shown.hidden,
            is_classic: shown.is_classic && (has_classic_extras || matches!(ask.form, Form::Text(_))),
            form: ask.form,
            names,
            parts,
            is_complete,
        }
    }
}

/// The families between the places of the process's own ones, by number.
fn parts_of(shown: &Shown<'_>, index: &Index) -> Vec<(Option<&'static str>, std::ops::Range<usize>)> {
    let starts = index.own.iter().map(|(own, _)| shown.families.partition_point(|family| *family.name < **own));
    let starts: Vec<_> = std::iter::once(0).chain(starts).collect();
    let ends = starts.iter().copied().skip(1).chain([shown.families.len()]);
    let names = std::iter::once(None).chain(index.own.iter().map(|(own, _)| Some(*own)));
    names.zip(starts.iter().copied().zip(ends).map(|(start, end)| start..end)).collect()
}

// === impl Planner ===

impl<'a, W: Fn(&str) -> bool> Planner<'a, W> {
    fn add_pieces(&self, pieces: &mut Vec<Piece<'a>>, number: usize, family: &'a ShownFamily<'a>, has_head: bool) {
        let chunk = |number| self.index.slots.chunk(number);
        match &family.series {
            ShownSeries::Picked(ids) => pieces.push(Piece { family: number, ids, unit: None, has_head }),
            ShownSeries::All => {
                let chunks = family.first.series.chunks();
                // The header of these two tells something of all values.
                let heeds_values = matches!(family.first.kind, Kind::Info | Kind::StateSet);
                for (place, chunk_number) in chunks.iter().enumerate() {
                    let mut stamp = chunk(*chunk_number).stamp;
                    let is_first = place == 0 && has_head;
                    if is_first {
                        stamp = stamp.max(family.first.stamp);
                    }
                    if is_first && heeds_values {
                        stamp = chunks.iter().map(|number| chunk(*number).stamp).fold(stamp, u64::max);
                    }
                    let unit = Some(Unit { chunk: *chunk_number, stamp, is_first });
                    pieces.push(Piece { family: number, ids: &chunk(*chunk_number).ids, unit, has_head: is_first });
                }
            }
        }
    }

    /// The blocks of the pieces, and whether these are all.
    fn blocks(&mut self, pieces: &[Piece<'a>]) -> (Vec<Planned>, bool) {
        let mut blocks = Vec::new();
        let mut rest = pieces;
        while let Some((first, later)) = rest.split_first() {
            if let Some(block) = self.known(rest) {
                blocks.push(Planned::Kept(Arc::clone(block)));
                rest = rest.get(block.units.len()..).unwrap_or_default();
                continue;
            }
            if self.budget == 0 {
                return (blocks, false);
            }
            let mut raw = Raw::default();
            self.add(&mut raw, first);
            rest = later;
            while let Some((next, later)) = rest.split_first()
                && raw.series + next.ids.len() <= SERIES_OF_BLOCK
                && (raw.series < FEWEST_SERIES || self.known(rest).is_none())
            {
                self.add(&mut raw, next);
                rest = later;
            }
            self.budget = self.budget.saturating_sub(raw.len());
            if !raw.is_empty() {
                blocks.push(Planned::Raw(raw));
            }
        }
        (blocks, true)
    }

    fn known(&self, pieces: &[Piece<'a>]) -> Option<&'a Arc<Block>> {
        self.pool.find(pieces.iter().map(|piece| piece.unit), self.index.names_revision)
    }

    fn add(&mut self, raw: &mut Raw, piece: &Piece<'a>) {
        let Some(family) = self.shown.families.get(piece.family) else {
            return;
        };
        let heading = self.heading(piece.family, family);
        if piece.has_head {
            raw.add_head(&heading);
        }
        for id in piece.ids {
            raw.add_series(self.index.stored(), *id, &heading, self.ask.labels);
        }
        raw.note(piece.unit);
    }

    fn heading(&mut self, number: usize, family: &ShownFamily<'_>) -> Arc<Heading> {
        let make = || self.new_heading(family);
        let known = self.headings.get(number).cloned().flatten();
        let heading = known.unwrap_or_else(|| Arc::new(make()));
        if let Some(place) = self.headings.get_mut(number) {
            *place = Some(Arc::clone(&heading));
        }
        heading
    }

    fn new_heading(&self, family: &ShownFamily<'_>) -> Heading {
        let stored = self.index.stored();
        let series: Vec<Series> = match family.first.kind {
            Kind::Info | Kind::StateSet => family.series(stored).map(|id| stored.series(&family.name, id)).collect(),
            Kind::Counter | Kind::Gauge | Kind::Summary | Kind::Untyped | Kind::Histogram | Kind::GaugeHistogram => {
                Vec::new()
            }
        };
        let head = FamilyHead { name: &family.name, ..family.first.head() };
        let metrics = || series.iter().map(|series| -> MetricRef<'_> { series.metric() });
        let facts = Facts::of(head, metrics, self.ask.form.escaping());
        Heading {
            name: Arc::clone(&family.name),
            help: Arc::clone(&family.first.help),
            unit: Arc::clone(&family.first.unit),
            kind: family.first.kind,
            facts,
        }
    }
}
