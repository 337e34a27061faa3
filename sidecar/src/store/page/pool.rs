//! The blocks of pages before, and the page that is made of them and of what is new.
//!
//! *Never:* the store's lock, what goes into a block.

use std::{collections::HashMap, sync::Arc};

use super::{
    Block, Packing, Page, Part, Unit,
    packer::Packer,
    plan::{Plan, Planned},
};

/// Blocks that can be taken over, by the chunk that each starts with.
#[derive(Debug)]
pub(super) struct Pool {
    blocks: HashMap<u32, Arc<Block>>,
    names_revision: u64,
    packer: Packer,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(packing: Packing, before: Option<&Page>) -> Self {
        let names_revision = before.map_or(0, |page| page.names_revision);
        let mut pool = Self { blocks: HashMap::new(), names_revision, packer: Packer::new(packing) };
        let parts = before.into_iter().flat_map(|page| &page.parts);
        parts.flat_map(|part| &part.blocks).for_each(|block| pool.put(block));
        pool
    }

    fn put(&mut self, block: &Arc<Block>) {
        if let Some(first) = block.units.first() {
            self.blocks.insert(first.chunk, Arc::clone(block));
        }
    }

    /// The block that starts with this unit, if it is still true as a whole: `units` are those that come now.
    pub(super) fn find(
        &self,
        units: impl ExactSizeIterator<Item = Option<Unit>>,
        names_revision: u64,
    ) -> Option<&Arc<Block>> {
        let mut units = units.peekable();
        let block = self.blocks.get(&units.peek()?.as_ref()?.chunk)?;
        let is_written_so = !block.heeds_names || self.names_revision == names_revision;
        let is_same =
            block.units.len() <= units.len() && block.units.iter().zip(units).all(|(old, new)| Some(*old) == new);
        (is_written_so && is_same).then_some(block)
    }

    /// Makes blocks of what is new.
    pub(super) fn carry_out(&mut self, plan: Plan) -> Page {
        let Plan { revision, names_revision, hidden, is_classic, form, names, parts, is_complete } = plan;
        let mut made = |planned: Planned| match planned {
            Planned::Kept(block) => block,
            Planned::Raw(raw) => {
                let block = Arc::new(raw.block(form, &names, &mut self.packer));
                self.put(&block);
                block
            }
        };
        let part = |(own, header, blocks): (_, Option<Planned>, Vec<Planned>)| Part {
            own,
            header: header.map(&mut made),
            blocks: blocks.into_iter().map(&mut made).collect(),
            joined: None,
        };
        let mut parts: Vec<_> = parts.into_iter().map(part).collect();
        let packing = self.packer.packing();
        if is_complete && packing == Packing::Gzip {
            parts.iter_mut().for_each(Part::join);
        }
        self.names_revision = names_revision;
        Page { revision, hidden, names, parts, form, packing, is_classic, names_revision }
    }
}
