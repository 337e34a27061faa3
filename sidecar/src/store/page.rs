//! The page of a revision: the lines of all families, put together when asked for and kept until the revision changes.
//!
//! A page is a row of blocks, each some chunks of the stored lists. The page after it takes over the blocks of which
//! nothing has changed, so that it costs what was pushed in between, not what is stored. There is one page for each
//! escaping scheme that is asked for, and one for all of them while all names are classic; the same again in
//! OpenMetrics, where the names in exemplars count too. A page of some families alone is made for its reader and not
//! kept.
//!
//! Under the store's lock, texts are copied ([`plan`]); they are made into blocks without it ([`raw`]). A page that is
//! asked for in gzip is kept in that form alone, each block compressed for itself.
//!
//! *Never:* what the process's own families hold, who reads.

mod kept;
mod packer;
mod plan;
mod pool;
mod raw;

use std::sync::Arc;

use bytes::Bytes;

use super::index::{Index, OwnFamily};
use crate::{exposition::Escaping, gzip::Sum};
pub(super) use kept::Pages;
use packer::Pieces;
use plan::Plan;
use pool::Pool;

/// Everything that is stored, as text.
#[derive(Debug)]
pub struct Page {
    /// The state it shows.
    pub revision: u64,
    /// How many series are left out, because escaping made them like others.
    pub hidden: usize,
    names: Names,
    parts: Vec<Part>,
    form: Form,
    packing: Packing,
    /// Whether it is the same under all schemes.
    is_classic: bool,
    /// That of the last family to come or to go.
    names_revision: u64,
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
pub enum Form {
    /// In the text format.
    Text(Escaping),
    /// In OpenMetrics, without the mark of its end.
    OpenMetrics(Escaping),
}

/// How a page is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// As one member of gzip.
    Gzip,
}

/// What a page is to hold.
pub(super) struct Ask<W> {
    pub(super) form: Form,
    pub(super) packing: Packing,
    pub(super) labels: KeyLabels,
    /// By the names as they were pushed.
    pub(super) wanted: W,
}

/// The names of the families, as they are shown.
#[derive(Clone, Debug)]
struct Names {
    sorted: Arc<[Arc<str>]>,
    own: &'static [OwnFamily],
}

/// What stands between the places of two of the process's own families.
#[derive(Clone, Debug, Default)]
struct Part {
    /// The one before it.
    own: Option<&'static str>,
    /// What stands above the samples where a pushed family has that name too, and the process has none to show.
    header: Option<Arc<Block>>,
    blocks: Vec<Arc<Block>>,
    /// All blocks in one piece, where these are small: compressed.
    joined: Option<(Bytes, Sum)>,
}

/// A piece of a page.
#[derive(Debug)]
struct Block {
    /// What it was made from; nothing where that has no number.
    units: Vec<Unit>,
    /// Whether the names of other families may decide how something in it is written.
    heeds_names: bool,
    body: Bytes,
    /// Of the body as it was before it was compressed, where it is.
    sum: Sum,
}

/// A chunk as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    chunk: u32,
    stamp: u64,
    /// Whether the family's header stands above it.
    is_first: bool,
}

/// How much is copied under one hold of the lock, at first: it grows, so that there is an end to it.
const FIRST_BUDGET: usize = 1 << 18;

/// After so many holds, twice as much is copied.
const HOLDS_OF_A_BUDGET: u32 = 32;

// === impl Page ===

impl Page {
    /// Puts a page together from what `look` is shown, and from the pages before it where these hold the same.
    ///
    /// It looks several times where much has changed, so that nobody waits long; what has changed in between is looked at
    /// again, and the last look is at one state.
    pub(super) fn make<W: Fn(&str) -> bool>(
        ask: &Ask<W>,
        before: Option<&Self>,
        look: impl Fn(&mut dyn FnMut(&Index)),
    ) -> Self {
        let mut pool = Pool::new(ask.packing, before);
        let mut holds = 0;
        loop {
            let budget =
                FIRST_BUDGET.saturating_mul(1_usize.checked_shl(holds / HOLDS_OF_A_BUDGET).unwrap_or(usize::MAX));
            let mut plan = None;
            look(&mut |index| plan = Some(Plan::of(index, ask, &pool, budget)));
            holds += 1;
            let Some(plan) = plan else { continue };
            let is_complete = plan.is_complete;
            let page = pool.carry_out(plan);
            if is_complete {
                return page;
            }
        }
    }

    /// For tests of the index alone.
    #[cfg(test)]
    pub(super) fn of<W: Fn(&str) -> bool>(index: &Index, ask: &Ask<W>) -> Self {
        Self::make(ask, None, |show| show(index))
    }

    /// The names of its families, as they are shown, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.sorted.iter().map(|name| &**name)
    }

    /// Whether it has a family of that name, with the process's own beside it.
    #[must_use]
    pub fn has_family(&self, name: &str) -> bool {
        self.names.has(name)
    }

    /// All of it, without the process's own families.
    #[must_use]
    pub fn text(&self) -> Bytes {
        match self.pieces(Vec::new(), "").as_slice() {
            [] => Bytes::new(),
            [piece] => piece.clone(),
            pieces => pieces.concat().into(),
        }
    }

    /// All of it in pieces, with the process's own families among them, name and text of each, sorted by name, and
    /// something behind it.
    #[must_use]
    pub fn pieces(&self, own: Vec<(String, String)>, end: &str) -> Vec<Bytes> {
        let mut own = own.into_iter().peekable();
        let mut pieces = Pieces::new(self.packing);
        for part in &self.parts {
            let name = part.own.unwrap_or_default();
            while let Some((_, before)) = own.next_if(|(own, _)| **own < *name) {
                pieces.lines.push_str(&before);
            }
            match (own.next_if(|(own, _)| *own == name), &part.header) {
                (Some((_, text)), _) => pieces.lines.push_str(&text),
                (None, Some(header)) => pieces.push(&header.body, header.sum),
                (None, None) => {}
            }
            match &part.joined {
                Some((joined, sum)) => pieces.push(joined, *sum),
                None => part.blocks.iter().for_each(|block| pieces.push(&block.body, block.sum)),
            }
        }
        own.for_each(|(_, text)| pieces.lines.push_str(&text));
        pieces.lines.push_str(end);
        pieces.finish()
    }

    /// Whether it is what a reader of that form gets.
    fn suits(&self, form: Form, packing: Packing) -> bool {
        self.packing == packing && (self.form == form || (self.is_classic && self.form.is_like(form)))
    }
}

// === impl Form ===

impl Form {
    fn escaping(self) -> Escaping {
        match self {
            Self::Text(escaping) | Self::OpenMetrics(escaping) => escaping,
        }
    }

    /// Whether both are of one format, whatever the scheme.
    fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Text(_), Self::Text(_)) | (Self::OpenMetrics(_), Self::OpenMetrics(_)) => true,
            (Self::Text(_), Self::OpenMetrics(_)) | (Self::OpenMetrics(_), Self::Text(_)) => false,
        }
    }
}

// === impl Names ===

impl Names {
    fn has(&self, name: &str) -> bool {
        let is_stored = self.sorted.binary_search_by(|known| (**known).cmp(name)).is_ok();
        is_stored || self.own.iter().any(|(own, _)| *own == name)
    }
}

// === impl Part ===

impl Part {
    /// The blocks become slices of the one piece, so that they are there once.
    fn join(&mut self) {
        let mut joined = Vec::with_capacity(self.blocks.iter().map(|block| block.body.len()).sum());
        self.blocks.iter().for_each(|block| joined.extend_from_slice(&block.body));
        let joined = Bytes::from(joined);
        let mut sum = Sum::default();
        let mut start = 0;
        for block in &mut self.blocks {
            sum = sum.then(block.sum);
            let end = start + block.body.len();
            let Block { units, heeds_names, sum, .. } = &**block;
            let body = joined.slice(start..end);
            *block = Arc::new(Block { units: units.clone(), heeds_names: *heeds_names, body, sum: *sum });
            start = end;
        }
        self.joined = (!joined.is_empty()).then_some((joined, sum));
    }
}

#[cfg(test)]
mod tests;
