//! All series by number, and the lists that families keep them in.
//!
//! A list is in the order of the page and cut into chunks, each of which knows when it changed last: so a page is made
//! from the page before it by looking at what is younger. A series knows its chunk, so that another value for it is put
//! in its place without a search.
//!
//! *Never:* names, values, what makes the order.

use std::cmp::Ordering;

use super::{series::Series, slab::Slab};

/// So many series are in a chunk at most: as many as are worth being written anew because of one.
const MOST_IN_CHUNK: usize = 64;

/// At these lengths, a chunk that gets shorter looks for a neighbour to join.
const LENGTHS_TO_JOIN: [usize; 2] = [MOST_IN_CHUNK / 4, MOST_IN_CHUNK / 16];

/// Every series that is stored.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Slab<Slot>,
    chunks: Slab<Chunk>,
}

/// A series and where it belongs.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) series: Series,
    /// The number of its group.
    pub(super) group: u32,
    /// The number of the chunk it is in.
    chunk: u32,
}

/// A part of a list.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Never empty while it is in a list.
    pub(super) ids: Vec<u32>,
    /// The revision of its last change. Number and stamp together are never used again.
    pub(super) stamp: u64,
}

/// The series of a family, by number, in the order of the page.
#[derive(Debug, Default)]
pub(super) struct List {
    chunks: Vec<u32>,
    len: usize,
}

/// Where a series is in a list, or would be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    chunk: usize,
    within: usize,
}

// === impl Slots ===

impl Slots {
    pub(super) fn get(&self, id: u32) -> &Slot {
        self.slots.get(id)
    }

    pub(super) fn chunk(&self, number: u32) -> &Chunk {
        self.chunks.get(number)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Puts a series in the place of one with the same labels.
    pub(super) fn replace(&mut self, id: u32, series: Series, stamp: u64) {
        let slot = self.slots.get_mut(id);
        if slot.series != series {
            slot.series = series;
            self.chunks.get_mut(slot.chunk).stamp = stamp;
        }
    }

    /// Gives a plain series another number.
    pub(super) fn renumber(&mut self, id: u32, number: &str, stamp: u64) {
        let slot = self.slots.get_mut(id);
        if slot.series.renumber(number) {
            self.chunks.get_mut(slot.chunk).stamp = stamp;
        }
    }

    /// Notes that what a series shows has changed.
    pub(super) fn touch(&mut self, id: u32, stamp: u64) {
        let chunk = self.slots.get(id).chunk;
        self.chunks.get_mut(chunk).stamp = stamp;
    }

    fn new_chunk(&mut self, ids: Vec<u32>, stamp: u64) -> u32 {
        let number = self.chunks.insert(Chunk::default());
        self.moved_to(number, &ids);
        *self.chunks.get_mut(number) = Chunk { ids, stamp };
        number
    }

    fn moved_to(&mut self, chunk: u32, ids: &[u32]) {
        for id in ids {
            self.slots.get_mut(*id).chunk = chunk;
        }
    }
}

// === impl List ===

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The numbers of its chunks.
    pub(super) fn chunks(&self) -> &[u32] {
        &self.chunks
    }

    pub(super) fn iter<'a>(&'a self, slots: &'a Slots) -> impl Iterator<Item = u32> + 'a {
        self.chunks.iter().flat_map(|chunk| slots.chunk(*chunk).ids.iter().copied())
    }

    /// The number of the series that is equal, or where it would be. `compare` tells how one in the list stands to it.
    pub(super) fn find(&self, slots: &Slots, compare: impl Fn(u32) -> Ordering) -> Result<u32, Place> {
        let first = |chunk: &u32| slots.chunk(*chunk).ids.first().map_or(Ordering::Greater, |id| compare(*id));
        let chunk = self.chunks.partition_point(|chunk| first(chunk).is_le()).saturating_sub(1);
        let ids = self.chunks.get(chunk).map(|chunk| slots.chunk(*chunk).ids.as_slice()).unwrap_or_default();
        match ids.binary_search_by(|id| compare(*id)) {
            Ok(within) => Ok(ids.get(within).copied().unwrap_or_default()),
            Err(within) => Err(Place { chunk, within }),
        }
    }

    /// Takes a series in at its place and returns its number.
    pub(super) fn insert(&mut self, slots: &mut Slots, place: Place, series: Series, group: u32, stamp: u64) -> u32 {
        let id = slots.slots.insert(Slot { series, group, chunk: 0 });
        self.len += 1;
        let Place { chunk: mut position, mut within } = place;
        let Some(mut number) = self.chunks.get(position).copied() else {
            let number = slots.new_chunk(vec![id], stamp);
            self.chunks.push(number);
            return id;
        };
        let length = slots.chunk(number).ids.len();
        if MOST_IN_CHUNK <= length {
            // What comes in order, at the end, leaves full chunks behind.
            let is_last = within == length && position + 1 == self.chunks.len();
            let cut = if is_last { length } else { length / 2 };
            let chunk = slots.chunks.get_mut(number);
            let right = chunk.ids.split_off(cut);
            if !is_last {
                chunk.stamp = stamp;
            }
            let new = slots.new_chunk(right, stamp);
            self.chunks.insert(position + 1, new);
            if cut < within || is_last {
                (number, position, within) = (new, position + 1, within - cut);
            }
        }
        debug_assert_eq!(self.chunks.get(position), Some(&number));
        let chunk = slots.chunks.get_mut(number);
        chunk.ids.insert(within.min(chunk.ids.len()), id);
        chunk.stamp = stamp;
        slots.slots.get_mut(id).chunk = number;
        id
    }

    /// Takes a series out.
    pub(super) fn remove(&mut self, slots: &mut Slots, id: u32, stamp: u64) -> Slot {
        let slot = slots.slots.remove(id);
        let chunk = slots.chunks.get_mut(slot.chunk);
        chunk.stamp = stamp;
        let before = chunk.ids.len();
        chunk.ids.retain(|known| *known != id);
        let left = chunk.ids.len();
        self.len -= before - left;
        if left == 0 || LENGTHS_TO_JOIN.contains(&left) {
            self.tidy(slots, slot.chunk, stamp);
        }
        slot
    }

    /// Drops a chunk that is empty, and joins a small one with a neighbour that has room.
    fn tidy(&mut self, slots: &mut Slots, number: u32, stamp: u64) {
        let Some(position) = self.chunks.iter().position(|chunk| *chunk == number) else {
            return;
        };
        let length = |slots: &Slots, chunk: u32| slots.chunk(chunk).ids.len();
        if length(slots, number) == 0 {
            slots.chunks.remove(number);
            self.chunks.remove(position);
            return;
        }
        let has_room = |chunk: &u32| length(slots, *chunk) + length(slots, number) <= MOST_IN_CHUNK / 2;
        let left = position.checked_sub(1).filter(|left| self.chunks.get(*left).is_some_and(has_room));
        let right = Some(position).filter(|_| self.chunks.get(position + 1).is_some_and(has_room));
        let Some(left) = left.or(right) else {
            return;
        };
        let gone = self.chunks.remove(left + 1);
        let kept = self.chunks.get(left).copied().unwrap_or_default();
        let moved = slots.chunks.remove(gone).ids;
        slots.moved_to(kept, &moved);
        let kept = slots.chunks.get_mut(kept);
        kept.ids.extend(moved);
        kept.stamp = stamp;
    }
}

/// Numbers of series, of which there is nearly always one.
#[derive(Clone, Debug)]
pub(super) enum Ids {
    One(u32),
    Many(Box<[u32]>),
}

// === impl Ids ===

impl Ids {
    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }
}

impl From<u32> for Ids {
    fn from(id: u32) -> Self {
        Self::One(id)
    }
}

impl From<Vec<u32>> for Ids {
    fn from(ids: Vec<u32>) -> Self {
        match ids.as_slice() {
            [id] => Self::One(*id),
            _ => Self::Many(ids.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(slots: &Slots, id: u32) -> u32 {
        slots.get(id).group
    }

    proptest! {
        /// The order here is that of the groups' numbers.
        #[test]
        fn a_list_holds_what_was_put_in_and_not_taken_out_in_order(steps in prop::collection::vec((0..400_u32, any::<bool>()), 0..900)) {
            let (mut slots, mut list) = (Slots::default(), List::default());
            let mut expected = std::collections::BTreeSet::new();
            for (stamp, (group, is_put)) in (1..).zip(steps) {
                let found = list.find(&slots, |id| number(&slots, id).cmp(&group));
                prop_assert_eq!(found.is_ok(), expected.contains(&group));
                match found {
                    Err(place) if is_put => {
                        list.insert(&mut slots, place, Series::time(), group, stamp);
                        expected.insert(group);
                    }
                    Ok(id) if !is_put => {
                        list.remove(&mut slots, id, stamp);
                        expected.remove(&group);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            let held: Vec<_> = list.iter(&slots).map(|id| number(&slots, id)).collect();
            prop_assert_eq!(held, expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!((list.len(), slots.len()), (expected.len(), expected.len()));
            prop_assert_eq!(slots.chunks.len(), list.chunks.len());
            for chunk in list.chunks() {
                let ids = &slots.chunk(*chunk).ids;
                prop_assert!((1..=MOST_IN_CHUNK).contains(&ids.len()));
                prop_assert!(ids.iter().all(|id| slots.get(*id).chunk == *chunk));
            }
        }
    }

    #[test]
    fn a_slot_is_as_small_as_it_can_be() {
        assert_eq!((size_of::<Slot>(), size_of::<Ids>()), (24, 16));
    }
}
