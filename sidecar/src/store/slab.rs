//! Things kept by number: a number is four bytes where a pointer and its allocation are thirty, and stays the same while
//! its thing changes.
//!
//! *Never:* what the things are.

/// Things by number. A free place holds the thing that is nothing, as does every place that never was.
#[derive(Debug, Default)]
pub(super) struct Slab<T> {
    places: Vec<T>,
    free: Vec<u32>,
    nothing: T,
}

/// The place of a number in a list.
pub(super) fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

// === impl Slab ===

impl<T: Default> Slab<T> {
    /// Takes a thing in, under the number of one that went, or a new one.
    pub(super) fn insert(&mut self, thing: T) -> u32 {
        if let Some(number) = self.free.pop() {
            *self.get_mut(number) = thing;
            return number;
        }
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(thing);
        number
    }

    /// Takes a thing out. Its number is free from then on.
    pub(super) fn remove(&mut self, number: u32) -> T {
        self.free.push(number);
        std::mem::take(self.get_mut(number))
    }

    pub(super) fn get(&self, number: u32) -> &T {
        self.places.get(at(number)).unwrap_or(&self.nothing)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        self.places.get_mut(at(number)).unwrap_or(&mut self.nothing)
    }

    /// How many things there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
